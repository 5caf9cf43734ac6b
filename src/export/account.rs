//! What was seen and what was not, in plain words: the end of `read`, and the page.
//!
//! Every outcome of [`visibility`](crate::visibility) has its words here, so that a count that is
//! not zero is never left out.

use crate::detect::{ConnectionOutcome, Ech, EncryptedDns, Event};
use crate::visibility::{
    DnsOutcome, DnsTransport, HandshakeOutcome, HandshakeProtocol, Ledger, PacketOutcome,
};

/// What the correlator said, summed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub connections: [u64; ConnectionOutcome::ALL.len()],
    pub encrypted_dns: [u64; 3],
    pub hidden_hellos: u64,
    pub copies: u64,
    pub split_flows: u64,
}

impl Tally {
    /// Counts one event.
    pub fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Connection { outcome, .. } => self.connections[*outcome as usize] += 1,
            Event::EncryptedDns { kind, .. } => {
                let at = match kind {
                    EncryptedDns::Doh => 0,
                    EncryptedDns::Dot => 1,
                    EncryptedDns::Doq => 2,
                };
                self.encrypted_dns[at] += 1;
            }
            Event::Ech { verdict: Ech::Real, .. } => self.hidden_hellos += 1,
            Event::Copy { .. } => self.copies += 1,
            Event::Split { .. } => self.split_flows += 1,
            Event::Detected(_) | Event::Ech { .. } | Event::Volume { .. } => {}
        }
    }
}

/// What is said where the account names nothing unseen.
pub const NOTHING_UNREAD: &str = "Nothing that was captured stayed unread.";

/// What no account can count, so that it is said with each: without a table of all conversations,
/// these are not told from what follows a beginning that was read.
pub const UNCOUNTED: &str = "Not counted: connections that were open before the capture began, for \
     they said their names then; datagrams of protocols that name no host.";

/// A line of the account: how many, and of what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    pub count: u64,
    pub what: String,
}

/// The account of some workers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Account {
    pub seen: Vec<Line>,
    /// What may hide names.
    pub unseen: Vec<Line>,
}

impl Account {
    /// Of all workers' ledgers, and frames lost before them.
    pub fn of<'a>(
        ledgers: impl IntoIterator<Item = &'a Ledger>,
        dropped: u64,
        tally: Option<&Tally>,
    ) -> Self {
        let ledgers: Vec<&Ledger> = ledgers.into_iter().collect();
        let sum = |read: &dyn Fn(&Ledger) -> u64| -> u64 { ledgers.iter().map(|l| read(l)).sum() };
        let mut account = Self::default();
        let frames = sum(&|l| l.frames.value());
        account.seen(frames, "packets read");
        account.unseen(dropped, "packets lost before they were captured");
        for outcome in PacketOutcome::ALL {
            let count = sum(&|l| l.packets[outcome as usize].value());
            account.line(count, packet(outcome), "");
        }
        let waiting = sum(&|l| l.fragments_waiting.value());
        account.unseen(waiting, "fragments whose other parts are not here yet");
        for transport in DnsTransport::ALL {
            let label = dns_transport(transport);
            let begun = sum(&|l| l.dns_begun[transport as usize].value());
            account.seen(begun, &format!("{label} messages"));
            let mut ended = 0;
            for outcome in DnsOutcome::ALL {
                let count = sum(&|l| l.dns[transport as usize][outcome as usize].value());
                ended += count;
                account.line(count, dns(outcome), &format!("{label} messages "));
            }
            let pending = begun.saturating_sub(ended);
            account.unseen(pending, &format!("{label} messages whose end is not here yet"));
        }
        for protocol in HandshakeProtocol::ALL {
            let label = handshake_protocol(protocol);
            let begun = sum(&|l| l.handshakes_begun[protocol as usize].value());
            let mut ended = 0;
            for outcome in HandshakeOutcome::ALL {
                let count = sum(&|l| l.handshakes[protocol as usize][outcome as usize].value());
                ended += count;
                account.line(count, handshake(outcome), &format!("{label} handshakes "));
            }
            let pending = begun.saturating_sub(ended);
            account.unseen(pending, &format!("{label} handshakes whose end is not here yet"));
        }
        let refused = sum(&|l| l.derivations_refused.value());
        account.unseen(refused, "QUIC keys not derived, for a flood had used up the budget");
        account.unseen(sum(&|l| l.records_lost.value()), "findings lost between threads");
        let mut copies = sum(&|l| l.copies.value());
        if let Some(tally) = tally {
            account.tally(tally);
            copies += tally.copies;
        }
        account.seen(copies, "copies, counted once");
        account.seen(sum(&|l| l.time_clamped.value()), "packet times that were corrected");
        account
    }

    /// Adds what only whoever captured knows of.
    pub fn also_unseen(&mut self, count: u64, what: &str) {
        self.unseen(count, what);
    }

    /// Was nothing there to be seen?
    #[must_use]
    pub const fn is_of_nothing(&self) -> bool {
        self.seen.is_empty()
    }

    /// What is said where nothing is reported; `left_out` are not for the configuration's sake, and
    /// are called `what`.
    #[must_use]
    pub fn of_no_finding(&self, left_out: usize, what: &str) -> String {
        if left_out > 0 {
            format!("Nothing is reported. {}", left_out_by_configuration(left_out, what))
        } else if self.is_of_nothing() {
            "No packet was read, so that nothing can be said of what was contacted.".to_owned()
        } else {
            "No endpoint of a listed vendor was contacted in what could be seen.".to_owned()
        }
    }

    /// As lines for a terminal.
    pub fn write(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        writeln!(out, "Seen:")?;
        for Line { count, what } in &self.seen {
            writeln!(out, "{:>14}  {what}", grouped(*count))?;
        }
        if self.unseen.is_empty() {
            let line = if self.is_of_nothing() { "Nothing." } else { NOTHING_UNREAD };
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "Not seen, so that names may be missing:")?;
        }
        for Line { count, what } in &self.unseen {
            writeln!(out, "{:>14}  {what}", grouped(*count))?;
        }
        if self.is_of_nothing() { Ok(()) } else { writeln!(out, "{UNCOUNTED}") }
    }

    fn tally(&mut self, tally: &Tally) {
        for outcome in ConnectionOutcome::ALL {
            let count = tally.connections[outcome as usize];
            match outcome {
                ConnectionOutcome::Named => self.seen(count, "connections that named their server"),
                ConnectionOutcome::Attributed => {
                    self.seen(count, "connections whose server was known from DNS");
                }
                ConnectionOutcome::Nameless => {
                    self.unseen(count, "connections to servers that nothing named");
                }
            }
        }
        for (kind, count) in ["HTTPS", "TLS", "QUIC"].iter().zip(tally.encrypted_dns) {
            self.unseen(count, &format!("connections to resolvers over {kind}"));
        }
        self.unseen(tally.hidden_hellos, "hellos whose real name ECH hides");
        self.unseen(
            tally.split_flows,
            "connections whose two directions came to different workers",
        );
    }

    fn line(&mut self, count: u64, outcome: Outcome, of: &str) {
        match outcome {
            Outcome::Seen(what) => self.seen(count, &format!("{of}{what}")),
            Outcome::Unseen(what) => self.unseen(count, &format!("{of}{what}")),
        }
    }

    fn seen(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.seen.push(Line { count, what: what.to_owned() });
        }
    }

    fn unseen(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.unseen.push(Line { count, what: what.to_owned() });
        }
    }
}

/// The words for an outcome, and whether it may hide a name.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Seen(&'static str),
    Unseen(&'static str),
}

const fn packet(outcome: PacketOutcome) -> Outcome {
    Outcome::Unseen(match outcome {
        PacketOutcome::Decoded => return Outcome::Seen("packets of TCP and UDP"),
        PacketOutcome::Fragment => return Outcome::Seen("fragments that became whole"),
        PacketOutcome::SkippedInKernel => {
            return Outcome::Seen("packets left in the kernel, where no name is looked for");
        }
        PacketOutcome::FragmentLost => "fragments whose other parts never came",
        PacketOutcome::UnknownLinkType => "packets of a link type that is not known here",
        PacketOutcome::UnknownEthertype => "packets of an EtherType that is not known here",
        PacketOutcome::NotIp => "packets that are not IP",
        PacketOutcome::OtherTransport => "packets of other transports than TCP and UDP",
        PacketOutcome::Encrypted => "packets encrypted below the transport",
        PacketOutcome::Truncated => "packets cut short by the capture",
        PacketOutcome::Malformed => "malformed packets",
        PacketOutcome::TooDeep => "packets in more tunnels than are opened",
    })
}

const fn dns(outcome: DnsOutcome) -> Outcome {
    Outcome::Unseen(match outcome {
        DnsOutcome::Query => return Outcome::Seen("that ask"),
        DnsOutcome::Response => return Outcome::Seen("that answer"),
        DnsOutcome::OtherOpcode => return Outcome::Seen("that do neither"),
        DnsOutcome::Repeated => return Outcome::Seen("that came again"),
        DnsOutcome::Malformed => "that are malformed",
        DnsOutcome::Truncated => "cut short by the capture",
        DnsOutcome::Gap => "with octets missing",
        DnsOutcome::Timeout => "whose rest never came",
        DnsOutcome::Evicted => "given up for want of room",
    })
}

const fn dns_transport(transport: DnsTransport) -> &'static str {
    match transport {
        DnsTransport::Udp => "DNS",
        DnsTransport::Tcp => "DNS over TCP",
        DnsTransport::Mdns => "mDNS",
        DnsTransport::Llmnr => "LLMNR",
    }
}

const fn handshake_protocol(protocol: HandshakeProtocol) -> &'static str {
    match protocol {
        HandshakeProtocol::Tls => "TLS",
        HandshakeProtocol::Dtls => "DTLS",
        HandshakeProtocol::Quic => "QUIC",
        HandshakeProtocol::Gquic => "Google QUIC",
    }
}

const fn handshake(outcome: HandshakeOutcome) -> Outcome {
    Outcome::Unseen(match outcome {
        HandshakeOutcome::Named => return Outcome::Seen("with a name"),
        HandshakeOutcome::NoSni => "without a server name",
        HandshakeOutcome::Ech => "whose name is encrypted (ECH), with none in the clear",
        HandshakeOutcome::Truncated => "cut short by the capture",
        HandshakeOutcome::Gap => "with octets missing before the name",
        HandshakeOutcome::OneWay => "of which only the server's side was there",
        HandshakeOutcome::Timeout => "whose rest never came",
        HandshakeOutcome::Evicted => "given up for want of room",
        HandshakeOutcome::Undecryptable => "that the keys on the wire do not open",
        HandshakeOutcome::UnsupportedVersion => "of a version that is not known here",
        HandshakeOutcome::Malformed => "that are malformed",
    })
}

/// Says that there is more than what is reported: so many of what a report consists of.
#[must_use]
pub fn left_out_by_configuration(count: usize, what: &str) -> String {
    format!(
        "Left out by the [signatures] of the configuration, for their vendor, listing or strength: \
         {count} {what}{}.",
        if count == 1 { "" } else { "s" },
    )
}

/// `1234567` as `1,234,567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_left_out_and_zeroes_are() {
        let ledger = Ledger::default();
        assert_eq!(Account::of([&ledger], 0, None), Account::default());
        for protocol in HandshakeProtocol::ALL {
            ledger.handshakes_begun[protocol as usize].add(20);
            for outcome in HandshakeOutcome::ALL {
                ledger.handshake(protocol, outcome);
            }
        }
        let account = Account::of([&ledger, &ledger], 5, None);
        let of_tls = |line: &&Line| line.what.starts_with("TLS");
        // Each outcome but `named`, and those pending.
        assert_eq!(account.unseen.iter().filter(of_tls).count(), HandshakeOutcome::ALL.len());
        assert!(account.unseen.iter().filter(of_tls).any(|line| line.count == 2 * (20 - 11)));
        assert_eq!(account.seen.iter().filter(of_tls).count(), 1);
        assert_eq!(account.unseen[0].count, 5);
    }

    /// The closed sets are what a report of absence rests on: what has no line is not missed.
    #[test]
    fn every_outcome_of_every_closed_set_has_a_line_of_its_own() {
        let (ledger, mut next) = (Ledger::default(), 1_000_000);
        let mut unlike = || {
            next += 1;
            next
        };
        let mut counts = Vec::new();
        let mut add = |counter: &crate::visibility::Counter| {
            let count = unlike();
            counter.add(count);
            counts.push(count);
        };
        add(&ledger.frames);
        ledger.packets.iter().for_each(&mut add);
        add(&ledger.fragments_waiting);
        ledger.handshakes.iter().flatten().for_each(&mut add);
        ledger.dns.iter().flatten().for_each(&mut add);
        add(&ledger.derivations_refused);
        add(&ledger.records_lost);
        add(&ledger.time_clamped);
        let tally = Tally {
            connections: [1, 2, 3],
            encrypted_dns: [4, 5, 6],
            hidden_hellos: 7,
            copies: 8,
            split_flows: 9,
        };
        counts.extend(1..=9);
        // What began and has no outcome yet.
        for (begun, outcomes) in ledger.handshakes_begun.iter().zip(&ledger.handshakes) {
            let ended: u64 = outcomes.iter().map(crate::visibility::Counter::value).sum();
            begun.add(ended + 77);
        }
        for (begun, outcomes) in ledger.dns_begun.iter().zip(&ledger.dns) {
            let ended: u64 = outcomes.iter().map(crate::visibility::Counter::value).sum();
            begun.add(ended + 77);
        }
        let account = Account::of([&ledger], 0, Some(&tally));
        let lines: Vec<&Line> = account.seen.iter().chain(&account.unseen).collect();
        for count in counts {
            assert_eq!(lines.iter().filter(|line| line.count == count).count(), 1, "{count}");
        }
        let pending = lines.iter().filter(|line| line.count == 77).count();
        assert_eq!(pending, HandshakeProtocol::ALL.len() + DnsTransport::ALL.len());
        let mut words: Vec<_> = lines.iter().map(|line| &line.what).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), lines.len(), "each has words of its own");
    }

    #[test]
    fn absence_is_only_said_where_something_was_seen_and_nothing_left_out() {
        let ledger = Ledger::default();
        assert!(
            Account::of([&ledger], 0, None)
                .of_no_finding(0, "row")
                .starts_with("No packet was read")
        );
        ledger.frames.add(1);
        let account = Account::of([&ledger], 0, None);
        assert!(account.of_no_finding(0, "row").starts_with("No endpoint of a listed vendor"));
        let one = account.of_no_finding(1, "row");
        assert!(one.ends_with("strength: 1 row."), "{one}");
    }

    #[test]
    fn numbers_are_grouped() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
    }
}
