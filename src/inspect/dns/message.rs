//! A message: header, questions, records (RFC 1035 §4).

use super::{NameRef, RecordType};
use crate::inspect::Malformed;
use crate::inspect::reader::Reader;

/// The header's fields (RFC 1035 §4.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    pub id: u16,
    flags: u16,
    pub questions: u16,
    pub answers: u16,
    pub authorities: u16,
    pub additionals: u16,
}

impl Header {
    /// Octets on the wire.
    pub const LEN: usize = 12;

    /// Reads the first twelve octets of a message.
    pub fn read(message: &[u8]) -> Result<Self, Malformed> {
        let header: &[u8; Self::LEN] = Reader::new(message).array("header")?;
        let field = |at: usize| u16::from_be_bytes([header[2 * at], header[2 * at + 1]]);
        Ok(Self {
            id: field(0),
            flags: field(1),
            questions: field(2),
            answers: field(3),
            authorities: field(4),
            additionals: field(5),
        })
    }

    /// QR: is this a response?
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// The kind of query.
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }

    /// How a response went.
    #[must_use]
    pub const fn rcode(&self) -> u8 {
        (self.flags & 0xf) as u8
    }

    /// Could this be a DNS header at all? Asked where only the port, or not even that, speaks for
    /// it: an assigned opcode, few questions, and records in proportion.
    #[must_use]
    pub const fn is_plausible(&self) -> bool {
        let queries_carry_no_answers =
            self.is_response() || self.opcode() != super::OPCODE_QUERY || self.answers == 0;
        self.opcode() <= 6 && self.questions <= 16 && queries_carry_no_answers
    }

    /// The strict test for a message on a port that is not DNS's: a plain query or its answer
    /// with one question.
    #[must_use]
    pub const fn is_usual(&self) -> bool {
        let query = !self.is_response() && self.answers == 0 && self.authorities == 0;
        let response = self.is_response() && self.answers <= 64 && self.authorities <= 64;
        // Opcode, and the bit that must be zero (RFC 6895 §2.1).
        self.flags & 0x7840 == 0
            && self.questions == 1
            && self.additionals <= 4
            && (query && self.rcode() == 0 || response)
    }
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    octets: &'a [u8],
    pub header: Header,
}

/// A question (RFC 1035 §4.1.2).
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub name: NameRef<'a>,
    pub record_type: RecordType,
    pub class: u16,
}

/// A resource record (RFC 1035 §4.1.3).
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub name: NameRef<'a>,
    pub record_type: RecordType,
    pub class: u16,
    pub ttl: u32,
    pub data: &'a [u8],
    message: &'a [u8],
    data_at: usize,
}

impl<'a> Message<'a> {
    /// The most records looked at in one message. The longest, of 65,535 octets over TCP, holds no
    /// more: a record takes eleven at least (RFC 1035 §4.1.3).
    pub const MAX_RECORDS: usize = 65_535 / 11;

    /// Reads the header; everything else is read when asked for.
    pub fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self { octets, header: Header::read(octets)? })
    }

    /// The questions, up to the first fault.
    pub fn questions(&self) -> Questions<'a> {
        Questions { message: self.octets, at: Header::LEN, left: self.header.questions }
    }

    /// The records of the answer section, up to the first fault.
    ///
    /// # Errors
    /// When the questions before it cannot be read.
    pub fn answers(&self) -> Result<Records<'a>, Malformed> {
        self.answers_after(self.questions())
    }

    /// As [`Self::answers`], when some of the `questions` were read already.
    ///
    /// # Errors
    /// When the others cannot be read.
    pub fn answers_after(&self, questions: Questions<'a>) -> Result<Records<'a>, Malformed> {
        let mut questions = questions;
        for question in questions.by_ref() {
            question?;
        }
        let left = usize::from(self.header.answers).min(Self::MAX_RECORDS);
        Ok(Records { message: self.octets, at: questions.at, left })
    }

    /// Is the message sound from its first octet to its last, with nothing behind it?
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let mut questions = self.questions();
        if questions.by_ref().any(|question| question.is_err()) {
            return false;
        }
        let header = &self.header;
        let left =
            [header.answers, header.authorities, header.additionals].map(usize::from).iter().sum();
        let mut records = Records { message: self.octets, at: questions.at, left };
        left <= Self::MAX_RECORDS
            && !records.by_ref().any(|record| record.is_err())
            && records.at == self.octets.len()
    }

    /// May this be what is left of a message that was cut? It asks for a name of the Internet in
    /// printable octets, one of them at least, and is sound as far as it goes.
    #[must_use]
    pub fn is_sound_to_its_cut(&self) -> bool {
        let mut name = self.octets.get(Header::LEN..).unwrap_or_default();
        while let Some((&len @ 1..=0x3f, label)) = name.split_first() {
            let (label, rest) = label.split_at(label.len().min(len.into()));
            if !label.iter().all(u8::is_ascii_graphic) {
                return false;
            }
            name = rest;
        }
        let mut questions = self.questions();
        let answers = match questions.next() {
            Some(Ok(question)) if question.class == CLASS_IN => self.answers_after(questions),
            Some(Err(fault)) => Err(fault),
            _ => return false,
        };
        let fault = answers.map(|mut answers| answers.find_map(Result::err));
        let asks = self.octets.len() > Header::LEN + 1;
        asks && matches!(
            fault,
            Ok(None | Some(Malformed::Overrun { .. })) | Err(Malformed::Overrun { .. })
        )
    }
}

/// RFC 1035 §3.2.4.
const CLASS_IN: u16 = 1;

/// See [`Message::questions`].
#[derive(Clone, Debug)]
pub struct Questions<'a> {
    message: &'a [u8],
    at: usize,
    left: u16,
}

impl<'a> Iterator for Questions<'a> {
    type Item = Result<Question<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let question = self.question();
        if question.is_err() {
            self.left = 0;
        }
        Some(question)
    }
}

impl<'a> Questions<'a> {
    fn question(&mut self) -> Result<Question<'a>, Malformed> {
        let (name, at) = NameRef::skip(self.message, self.at)?;
        let mut reader = Reader::new(self.message.get(at..).unwrap_or_default());
        let &[a, b, c, d] = reader.array("qtype and qclass")?;
        self.at = at + 4;
        let record_type = RecordType(u16::from_be_bytes([a, b]));
        Ok(Question { name, record_type, class: u16::from_be_bytes([c, d]) })
    }
}

/// See [`Message::answers`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = self.record();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Result<Record<'a>, Malformed> {
        let (name, at) = NameRef::skip(self.message, self.at)?;
        let mut reader = Reader::new(self.message.get(at..).unwrap_or_default());
        let &[a, b, c, d, e, f, g, h] = reader.array("type, class and ttl")?;
        let record_type = RecordType(u16::from_be_bytes([a, b]));
        let class = u16::from_be_bytes([c, d]);
        let ttl = u32::from_be_bytes([e, f, g, h]);
        let data = reader.vector16("rdata")?;
        let data_at = at + 10;
        self.at = data_at + data.len();
        Ok(Record { name, record_type, class, ttl, data, message: self.message, data_at })
    }
}

impl<'a> Record<'a> {
    /// The name that the data begins with `skip` octets in: 0 for CNAME.
    pub fn data_name(&self, skip: usize) -> Result<NameRef<'a>, Malformed> {
        self.name_in_data(skip).map(|(name, _)| name)
    }

    /// The data behind that name.
    pub(super) fn data_after_name(&self, skip: usize) -> Result<&'a [u8], Malformed> {
        self.name_in_data(skip).map(|(_, rest)| rest)
    }

    /// A name and what follows it. It ends where the data does at the latest; what it points to may
    /// lie before.
    fn name_in_data(&self, skip: usize) -> Result<(NameRef<'a>, &'a [u8]), Malformed> {
        let (name, after) = NameRef::skip(self.message, self.data_at + skip)?;
        let (need, have) = (after - self.data_at, self.data.len());
        let overrun = Malformed::Overrun { field: "name", need, have };
        self.data.get(need..).map(|rest| (name, rest)).ok_or(overrun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\
        \x03www\x07example\x03com\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x06\x03cdn\xc0\x10\
        \xc0\x2d\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\xc0\x00\x02\x01";

    #[test]
    fn every_record_of_the_longest_message_is_read() {
        let mut octets = ANSWER[..6].to_vec();
        octets[5] = 0;
        octets.extend([0, 0, 0, 0, 0, 0]);
        let mut records = 0_u16;
        while octets.len() + 11 <= 65_535 {
            octets.extend([0, 0, 1, 0, 1, 0, 0, 0, 30, 0, 0]);
            records += 1;
        }
        octets[6..8].copy_from_slice(&records.to_be_bytes());
        let message = Message::read(&octets).unwrap();
        let read = message.answers().unwrap().map(Result::unwrap).count();
        assert_eq!(read, usize::from(records));
        assert!(message.is_exact());
    }

    #[test]
    fn an_answer_is_read_link_by_link() {
        let message = Message::read(ANSWER).unwrap();
        assert!(message.header.is_response() && message.is_exact());
        let mut name = String::new();
        let question = message.questions().next().unwrap().unwrap();
        question.name.write(&mut name).unwrap();
        assert_eq!((name.as_str(), question.record_type), ("www.example.com", RecordType::A));

        let records: Vec<_> = message.answers().unwrap().map(Result::unwrap).collect();
        records[0].data_name(0).unwrap().write(&mut name).unwrap();
        assert_eq!(name, "cdn.example.com");
        records[1].name.write(&mut name).unwrap();
        assert_eq!((name.as_str(), records[1].data), ("cdn.example.com", &[192, 0, 2, 1][..]));
        assert_eq!(records[1].ttl, 30);
    }

    #[test]
    fn a_name_that_leaves_its_data_is_none() {
        let mut answer = ANSWER.to_vec();
        // The data is two octets short: its name would end in the next record.
        answer[44] = 4;
        let message = Message::read(&answer).unwrap();
        let first = message.answers().unwrap().next().unwrap().unwrap();
        assert!(matches!(first.data_name(0), Err(Malformed::Overrun { need: 6, have: 4, .. })));
    }

    #[test]
    fn what_contradicts_dns_before_a_cut_is_none_of_it() {
        for (at, octet) in [(12, 0x40), (14, 1), (28, 9), (32, 2), (33, 0x80)] {
            let mut other = ANSWER.to_vec();
            other[at] = octet;
            let message = Message::read(&other[..48]).unwrap();
            assert!(!message.is_sound_to_its_cut(), "{octet} at {at}");
        }
    }

    #[test]
    fn every_prefix_yields_what_lies_before_the_cut() {
        for len in Header::LEN..ANSWER.len() {
            let message = Message::read(&ANSWER[..len]).unwrap();
            assert!(!message.is_exact());
            assert_eq!(message.is_sound_to_its_cut(), len >= Header::LEN + 2, "at {len}");
            let questions = message.questions().flatten().count();
            assert_eq!(questions, usize::from(len >= 33), "at {len}");
            let records = message.answers().map_or(0, |all| all.flatten().count());
            assert_eq!(records, usize::from(len >= 51), "at {len}");
        }
    }
}
