//! Laws of the file reader, over files written here in every variant.

mod mapped;

use core::time::Duration;
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

use proptest::prelude::*;

use super::{Files, MAX_OPEN, Reader};
use crate::capture::{Batch, CaptureError, Source};
use crate::frame::{LinkType, SourceId};
use crate::time::Timestamp;

/// A frame as a test wants it written and read.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Sample {
    micros: u64,
    data: Vec<u8>,
    wire_len: u32,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Micros,
    Nanos,
    Kuznetzov,
    Enhanced { resolution: u8, offset: i64 },
    Obsolete,
}

/// Writes numbers in one byte order.
struct Writer {
    big: bool,
    octets: Vec<u8>,
}

impl Writer {
    fn u16(&mut self, value: u16) {
        let field = if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        self.octets.extend(field);
    }

    fn u32(&mut self, value: u32) {
        let field = if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        self.octets.extend(field);
    }

    fn u64(&mut self, value: u64) {
        let field = if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        self.octets.extend(field);
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Self)) {
        let start = self.octets.len();
        self.u32(kind);
        self.u32(0);
        body(self);
        while !self.octets.len().is_multiple_of(4) {
            self.octets.push(0);
        }
        let total = u32::try_from(self.octets.len() - start + 4).unwrap();
        self.u32(total);
        let field = if self.big { total.to_be_bytes() } else { total.to_le_bytes() };
        self.octets[start + 4..start + 8].copy_from_slice(&field);
    }

    fn section(&mut self) {
        self.block(0x0a0d_0d0a, |w| {
            w.u32(0x1a2b_3c4d);
            w.u16(1);
            w.u16(0);
            w.u64(u64::MAX);
        });
    }

    fn interface(&mut self, link: u16, snap_len: u32, resolution: u8, offset: i64) {
        self.block(1, |w| {
            w.u16(link);
            w.u16(0);
            w.u32(snap_len);
            w.u16(2);
            w.u16(5);
            w.octets.extend(b"eth0\0\0\0\0");
            w.u16(9);
            w.u16(1);
            w.octets.extend([resolution, 0, 0, 0]);
            w.u16(14);
            w.u16(8);
            w.u64(offset.cast_unsigned());
            w.u32(0);
        });
    }

    fn enhanced(&mut self, interface: u32, count: u64, sample: &Sample) {
        self.block(6, |w| {
            w.u32(interface);
            w.u32(u32::try_from(count >> 32).unwrap());
            w.u32(u32::try_from(count & 0xffff_ffff).unwrap());
            w.u32(u32::try_from(sample.data.len()).unwrap());
            w.u32(sample.wire_len);
            w.octets.extend(&sample.data);
        });
    }
}

fn classic(big: bool, magic: u32, link: u32) -> Writer {
    let mut w = Writer { big, octets: Vec::new() };
    w.u32(magic);
    w.u16(2);
    w.u16(4);
    for field in [0, 0, 262_144, link] {
        w.u32(field);
    }
    w
}

fn write(samples: &[Sample], shape: Shape, big: bool) -> Vec<u8> {
    let (magic, unit, extra) = match shape {
        Shape::Micros => (0xa1b2_c3d4, 1, 0),
        Shape::Nanos => (0xa1b2_3c4d, 1_000, 0),
        Shape::Kuznetzov => (0xa1b2_cd34, 1, 8),
        Shape::Enhanced { .. } | Shape::Obsolete => return write_blocks(samples, shape, big),
    };
    let mut w = classic(big, magic, 1);
    for sample in samples {
        w.u32(u32::try_from(sample.micros / 1_000_000).unwrap());
        w.u32(u32::try_from(sample.micros % 1_000_000 * unit).unwrap());
        w.u32(u32::try_from(sample.data.len()).unwrap());
        w.u32(sample.wire_len);
        w.octets.extend(vec![0xee; extra]);
        w.octets.extend(&sample.data);
    }
    w.octets
}

fn write_blocks(samples: &[Sample], shape: Shape, big: bool) -> Vec<u8> {
    let mut w = Writer { big, octets: Vec::new() };
    w.section();
    let (resolution, offset) = match shape {
        Shape::Enhanced { resolution, offset } => (resolution, offset),
        _ => (6, 0),
    };
    w.interface(1, 0, resolution, offset);
    for (number, sample) in samples.iter().enumerate() {
        if number % 3 == 0 {
            w.block(0x0bad_0bad, |w| w.octets.extend(vec![7; number]));
        }
        let micros = sample.micros - offset.cast_unsigned() * 1_000_000;
        let count = match resolution {
            6 => micros,
            9 => micros * 1_000,
            10 => micros * 10_000,
            // Binary: round up, so that reading rounds down to the same nanosecond or less.
            power => {
                let power = u32::from(power & 0x7f);
                u64::try_from((u128::from(micros) << power).div_ceil(1_000_000)).unwrap()
            }
        };
        if matches!(shape, Shape::Obsolete) {
            w.block(2, |w| {
                w.u16(0);
                w.u16(3);
                w.u32(u32::try_from(count >> 32).unwrap());
                w.u32(u32::try_from(count & 0xffff_ffff).unwrap());
                w.u32(u32::try_from(sample.data.len()).unwrap());
                w.u32(sample.wire_len);
                w.octets.extend(&sample.data);
            });
        } else {
            w.enhanced(0, count, sample);
        }
    }
    w.octets
}

/// Every frame, and how the file ended.
fn read_all(source: &mut impl Source) -> (Vec<Sample>, Option<CaptureError>) {
    let mut samples = Vec::new();
    loop {
        let batch = source.batch(Duration::ZERO, &mut |frame| {
            samples.push(Sample {
                micros: frame.at.as_nanos() / 1_000,
                data: frame.data.to_vec(),
                wire_len: frame.wire_len,
            });
        });
        match batch {
            Ok(Batch::Frames(_)) => {}
            Ok(Batch::Idle | Batch::End) => return (samples, None),
            Err(error) => return (samples, Some(error)),
        }
    }
}

/// A stream that gives a few octets at a time, as a pipe may.
struct Dribble(Cursor<Vec<u8>>, usize);

impl Read for Dribble {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = into.len().min(self.1);
        self.0.read(&mut into[..most])
    }
}

fn open(octets: Vec<u8>) -> Result<Reader, CaptureError> {
    Reader::new("sample", Cursor::new(octets), SourceId(0))
}

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let sample = (0_u64..1_000_000, prop::collection::vec(any::<u8>(), 0..300), 0_u32..2_000);
    prop::collection::vec(sample, 0..20).prop_map(|samples| {
        let mut micros = 1_700_000_000_000_000;
        samples
            .into_iter()
            .map(|(after, data, cut)| {
                micros += after;
                let wire_len = u32::try_from(data.len()).unwrap() + cut;
                Sample { micros, data, wire_len }
            })
            .collect()
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Micros),
        Just(Shape::Nanos),
        Just(Shape::Kuznetzov),
        Just(Shape::Obsolete),
        (prop_oneof![Just(6_u8), Just(9), Just(10), Just(0x9e)], 0_i64..1_000)
            .prop_map(|(resolution, offset)| Shape::Enhanced { resolution, offset }),
    ]
}

proptest! {
    /// However a capture is written, compressed or delivered, the frames are the same.
    #[test]
    fn variants_agree(samples in samples(), shape in shape(), big: bool, step in 1_usize..700) {
        let octets = write(&samples, shape, big);
        let plain = read_all(&mut open(octets.clone()).unwrap());
        prop_assert!(plain.1.is_none());
        prop_assert_eq!(&plain.0, &samples);
        let mut doubled = gzip(&octets[..octets.len() / 2]);
        doubled.extend(gzip(&octets[octets.len() / 2..]));
        for packed in [doubled, zstd::encode_all(&octets[..], 1).unwrap()] {
            prop_assert_eq!(&read_all(&mut open(packed).unwrap()).0, &samples);
        }
        let dribble = Dribble(Cursor::new(octets), step);
        let mut reader = Reader::new("dribble", dribble, SourceId(0)).unwrap();
        prop_assert_eq!(&read_all(&mut reader).0, &samples);
    }

    /// A file cut anywhere yields a prefix of its frames, and says where it breaks off unless it
    /// was cut between two records.
    #[test]
    fn a_prefix_yields_a_prefix(samples in samples(), shape in shape(), big: bool, cut: u16) {
        let octets = write(&samples, shape, big);
        let cut = usize::from(cut) % (octets.len() + 1);
        let Ok(mut reader) = open(octets[..cut].to_vec()) else {
            prop_assert!(cut < 28);
            return Ok(());
        };
        let (frames, end) = read_all(&mut reader);
        prop_assert!(samples.starts_with(&frames));
        // Between two records: one more octet of the file makes a broken one.
        let broken_by_one_more =
            || read_all(&mut open(octets[..=cut].to_vec()).unwrap()).1.is_some();
        let all = frames.len() == samples.len();
        prop_assert!(end.is_some() || all || broken_by_one_more());
        if let Some(CaptureError::Broken { offset, .. }) = end {
            prop_assert!(offset <= cut as u64);
        }
    }

    /// Whatever the octets are, reading them ends, and no frame comes out of nothing.
    #[test]
    fn garbage_ends(
        magic in prop::sample::select(vec![
            [0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0x3c, 0x4d], [0x0a, 0x0d, 0x0d, 0x0a],
            [0x1f, 0x8b, 8, 0], [0x28, 0xb5, 0x2f, 0xfd],
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let octets: Vec<u8> = magic.into_iter().chain(rest).collect();
        super::fuzzing::capture_file(&octets);
    }

    /// Damage to one octet never panics and never invents octets.
    #[test]
    fn damage_ends(samples in samples(), shape in shape(), big: bool, at: u16, to: u8) {
        let mut octets = write(&samples, shape, big);
        let at = usize::from(at) % octets.len();
        octets[at] = to;
        super::fuzzing::capture_file(&octets);
    }

    /// Files are merged frame by frame in the order of time, whatever they are called.
    #[test]
    fn files_are_merged_by_time(samples in samples(), owner in prop::collection::vec(0_usize..4, 20)) {
        let directory = tempfile::tempdir().unwrap();
        for file in 0..4 {
            let part: Vec<_> = samples
                .iter()
                .zip(&owner)
                .filter(|(_, owner)| **owner == file)
                .map(|(sample, _)| sample.clone())
                .collect();
            let octets = write(&part, [Shape::Micros, Shape::Obsolete][file % 2], file > 1);
            std::fs::write(directory.path().join(format!("{}.cap", 9 - file)), octets).unwrap();
        }
        std::fs::write(directory.path().join("README"), "not a capture").unwrap();
        let mut files = Files::new(&[directory.path().to_owned()], None).unwrap();
        let (frames, end) = read_all(&mut files);
        prop_assert!(end.is_none());
        let times = |all: &[Sample]| all.iter().map(|s| s.micros).collect::<Vec<_>>();
        prop_assert_eq!(times(&frames), times(&samples));
        prop_assert_eq!(files.skipped().len(), 1);
        prop_assert!(files.take_faults().is_empty());
        prop_assert_eq!(files.counters().packets, samples.len() as u64);
        let (read, total) = files.progress();
        prop_assert!(Some(read) <= total);
    }
}

fn sample(micros: u64, len: usize) -> Sample {
    Sample { micros, data: vec![0x5a; len], wire_len: u32::try_from(len).unwrap() }
}

#[test]
fn sections_change_byte_order_and_interfaces() {
    let mut first = Writer { big: true, octets: Vec::new() };
    first.section();
    first.interface(1, 0, 6, 0);
    first.interface(101, 0, 9, 0);
    first.enhanced(1, 5_000, &sample(0, 21));
    first.enhanced(7, 0, &sample(0, 5));
    let mut second = Writer { big: false, octets: Vec::new() };
    second.section();
    second.interface(113, 9, 3, 0);
    second.enhanced(0, 8, &sample(0, 4));
    second.block(3, |w| {
        w.u32(40);
        w.octets.extend([1; 9]);
    });
    second.block(5, |w| {
        w.u32(0);
        w.u64(0);
        w.u16(5);
        w.u16(8);
        w.u64(11);
        w.u16(7);
        w.u16(8);
        w.u64(13);
        w.u32(0);
    });
    let mut octets = first.octets;
    octets.extend(second.octets);
    let mut reader = open(octets).unwrap();
    let mut seen = Vec::new();
    let batch = reader.batch(Duration::ZERO, &mut |f| {
        seen.push((f.link, f.at.as_nanos(), f.data.len(), f.wire_len));
    });
    assert_eq!(batch.unwrap(), Batch::Frames(4));
    assert_eq!(
        seen,
        [
            (LinkType::RAW, 5_000, 21, 21),
            (LinkType::UNKNOWN, 5_000, 5, 5),
            (LinkType::LINUX_SLL, 8_000_000, 4, 4),
            // No time of its own; as long as the snap length allows.
            (LinkType::LINUX_SLL, 8_000_000, 9, 40),
        ]
    );
    let counters = reader.counters();
    assert_eq!((counters.dropped_interface, counters.dropped_kernel), (11, 13));
}

/// A frame in an Enhanced Packet Block that says how many were lost before it, behind another option.
fn after_loss(w: &mut Writer, interface: u32, micros: u64, lost: u64) {
    w.block(6, |w| {
        for field in [interface, 0, u32::try_from(micros).unwrap(), 5, 5] {
            w.u32(field);
        }
        w.octets.extend([0; 8]); // a frame of five octets, padded
        w.u16(2);
        w.u16(4);
        w.u32(1);
        w.u16(4);
        w.u16(8);
        w.u64(lost);
        w.u32(0);
    });
}

/// A block of interface statistics.
fn statistics(w: &mut Writer, interface: u32, dropped: u64, dropped_kernel: u64) {
    w.block(5, |w| {
        w.u32(interface);
        w.u64(0);
        for (code, count) in [(5, dropped), (7, dropped_kernel)] {
            w.u16(code);
            w.u16(8);
            w.u64(count);
        }
        w.u32(0);
    });
}

fn dropped(source: &mut impl Source) -> (u64, u64) {
    let counters = source.counters();
    (counters.dropped_interface, counters.dropped_kernel)
}

#[test]
fn what_frames_say_was_lost_before_them_is_counted_once() {
    for big in [false, true] {
        let mut w = Writer { big, octets: Vec::new() };
        w.section();
        for _ in 0..3 {
            w.interface(1, 0, 6, 0);
        }
        for micros in 0..4 {
            after_loss(&mut w, 0, micros, 1_000);
            after_loss(&mut w, 1, micros, 10);
            // An interface that nobody described.
            after_loss(&mut w, 9, micros, 500_000);
            w.enhanced(0, micros, &sample(micros, 5));
        }
        // The obsolete Packet Block, whose losses may be unknown.
        for lost in [7, 0xffff, 0] {
            w.block(2, |w| {
                w.u16(2);
                w.u16(lost);
                for field in [0, 9, 5, 5, 0, 0] {
                    w.u32(field);
                }
            });
        }
        let mut reader = open(w.octets.clone()).unwrap();
        assert_eq!(reader.peek().unwrap(), Some(Timestamp::ZERO));
        assert_eq!(dropped(&mut reader), (0, 0), "what was only looked at");
        read_all(&mut reader);
        assert_eq!(dropped(&mut reader), (0, 4_047));

        // Their statistics tell of the same, and less or more of it.
        statistics(&mut w, 0, 300, 200);
        statistics(&mut w, 1, 300, 200);
        let mut reader = open(w.octets.clone()).unwrap();
        read_all(&mut reader);
        assert_eq!(dropped(&mut reader), (600, 3_700 + 200 + 7));

        // Side by side with another file each frame is looked at more than once.
        let directory = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            std::fs::write(directory.path().join(name), &w.octets).unwrap();
        }
        let mut files = Files::new(&[directory.path().to_owned()], None).unwrap();
        read_all(&mut files);
        assert_eq!(dropped(&mut files), (1_200, 2 * 3_907));
    }
}

#[test]
fn what_a_file_without_frames_says_was_lost_is_counted() {
    let mut w = Writer { big: false, octets: Vec::new() };
    w.section();
    w.interface(1, 0, 6, 0);
    statistics(&mut w, 0, 77, u64::MAX);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("quiet"), &w.octets).unwrap();
    // The same, and broken behind that.
    w.octets.extend([0xff; 16]);
    std::fs::write(directory.path().join("torn"), &w.octets).unwrap();
    let mut files = Files::new(&[directory.path().to_owned()], None).unwrap();
    let (frames, end) = read_all(&mut files);
    assert!(frames.is_empty() && end.is_none(), "{end:?}");
    assert_eq!(dropped(&mut files), (154, u64::MAX));
}

#[test]
fn a_large_record_grows_the_block_and_a_larger_one_breaks() {
    let long = Sample { micros: 1, data: vec![3; super::BLOCK * 2 + 5], wire_len: 600_000 };
    let samples = [sample(0, 60), long, sample(2, 60)];
    let octets = write(&samples, Shape::Micros, false);
    assert_eq!(read_all(&mut open(octets).unwrap()).0, samples);

    let mut octets = write(&samples[..1], Shape::Micros, false);
    let offset = octets.len() as u64;
    octets.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xad, 0xde, 0xad, 0xde, 0, 0, 0, 0]);
    octets.extend(vec![0; super::BLOCK]);
    let (frames, end) = read_all(&mut open(octets).unwrap());
    assert_eq!(frames, &samples[..1]);
    let Some(CaptureError::Broken { offset: at, why, .. }) = end else { panic!("{end:?}") };
    assert_eq!(at, offset);
    assert!(why.contains("limit"), "{why}");
}

#[test]
fn old_versions_have_their_lengths_the_other_way_round() {
    let mut octets = write(&[Sample { wire_len: 90, ..sample(1, 60) }], Shape::Micros, true);
    octets[6..8].copy_from_slice(&2_u16.to_be_bytes());
    octets[32..40].copy_from_slice(&[0, 0, 0, 90, 0, 0, 0, 60]);
    let (frames, end) = read_all(&mut open(octets.clone()).unwrap());
    assert!(end.is_none());
    assert_eq!((frames[0].data.len(), frames[0].wire_len), (60, 90));
    octets[6..8].copy_from_slice(&3_u16.to_be_bytes());
    assert_eq!(read_all(&mut open(octets).unwrap()).0, frames);
}

#[test]
fn what_is_no_capture_is_called_by_its_name() {
    for (octets, word) in [
        (&b""[..], "empty"),
        (b"\xfd7zXZ\0 and so on", "xz"),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04", "ends within"),
        (b"From: somebody\nTo: somebody else\n", "neither"),
    ] {
        let error = open(octets.to_vec()).unwrap_err();
        let CaptureError::NotACapture { why, .. } = error else { panic!("{error}") };
        assert!(why.contains(word), "{why}");
    }
    let twice = gzip(&gzip(&write(&[], Shape::Micros, false)));
    assert!(open(twice).unwrap_err().to_string().contains("twice"));
}

#[test]
fn a_cut_compressed_file_yields_what_was_whole() {
    let samples: Vec<_> = (0..2_000).map(|n| sample(n, 500)).collect();
    let mut noisy = samples.clone();
    for (n, sample) in noisy.iter_mut().enumerate() {
        sample.data.fill(u8::try_from(n % 251).unwrap());
    }
    let packed = gzip(&write(&noisy, Shape::Nanos, false));
    let (frames, end) = read_all(&mut open(packed[..packed.len() * 3 / 4].to_vec()).unwrap());
    assert!(matches!(end, Some(CaptureError::Broken { .. })), "{end:?}");
    assert!(noisy.starts_with(&frames) && frames.len() > 100, "{}", frames.len());
}

#[test]
fn one_broken_file_among_several_is_a_fault_and_alone_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let good = write(&[sample(5, 60)], Shape::Micros, false);
    std::fs::write(path("good"), &good).unwrap();
    std::fs::write(path("cut"), &good[..good.len() - 1]).unwrap();
    std::fs::write(path("text"), "text").unwrap();
    let all: Vec<PathBuf> = ["good", "cut", "text", "absent"].map(path).to_vec();
    let mut files = Files::new(&all, None).unwrap();
    let (frames, end) = read_all(&mut files);
    assert_eq!((frames.len(), end.is_none()), (1, true));
    assert_eq!(files.take_faults().len(), 3);

    let mut files = Files::new(&all[1..], None).unwrap();
    let (frames, end) = read_all(&mut files);
    assert!(frames.is_empty() && end.is_some());

    std::fs::write(path("nothing"), &good[..24]).unwrap();
    let mut files = Files::new(&[path("nothing")], None).unwrap();
    let (frames, end) = read_all(&mut files);
    assert!(frames.is_empty() && end.is_none(), "a capture of a quiet hour is no error: {end:?}");
}

#[test]
fn more_overlapping_files_than_may_be_open_are_all_read() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..u64::try_from(MAX_OPEN).unwrap() + 3 {
        // Each lasts until all others have begun.
        let frames = [sample(number, 60), sample(1_000 + number, 60)];
        let path = directory.path().join(number.to_string());
        std::fs::write(path, write(&frames, Shape::Micros, false)).unwrap();
    }
    let mut files = Files::new(&[directory.path().to_owned()], None).unwrap();
    let (frames, end) = read_all(&mut files);
    assert_eq!((frames.len(), end.is_none()), (2 * (MAX_OPEN + 3), true));
}

#[cfg(feature = "libpcap")]
#[test]
fn a_filter_keeps_numbers_and_compiles_for_each_link_type() {
    let mut w = Writer { big: false, octets: Vec::new() };
    w.section();
    w.interface(1, 0, 6, 0);
    w.interface(101, 0, 6, 0);
    let ip: Vec<u8> = [
        &[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2][..],
        &[0x10, 0, 0, 53, 0, 8, 0, 0],
    ]
    .concat();
    let ethernet = [&[0; 12][..], &[8, 0], &ip].concat();
    for (interface, data) in [(0, vec![0; 60]), (0, ethernet), (1, ip), (1, vec![0x45; 20])] {
        let wire_len = u32::try_from(data.len()).unwrap();
        w.enhanced(interface, 0, &Sample { micros: 0, data, wire_len });
    }
    let mut reader = open(w.octets).unwrap();
    reader.set_filter(crate::capture::Filter::new("udp port 53").unwrap());
    let mut numbers = Vec::new();
    reader.batch(Duration::ZERO, &mut |frame| numbers.push(frame.number)).unwrap();
    assert_eq!(numbers, [2, 3]);
    let mut reader = open(classic(false, 0xa1b2_c3d4, 1).octets).unwrap();
    reader.set_filter(crate::capture::Filter::new("udp porrt 53").unwrap());
    assert_eq!(reader.batch(Duration::ZERO, &mut |_| {}).unwrap(), Batch::End);
    let octets = write(&[sample(0, 60)], Shape::Micros, false);
    let mut reader = open(octets).unwrap();
    reader.set_filter(crate::capture::Filter::new("udp porrt 53").unwrap());
    let error = reader.batch(Duration::ZERO, &mut |_| {}).unwrap_err();
    assert!(matches!(error, CaptureError::Filter { .. }), "{error}");
}

#[test]
fn peeking_takes_nothing() {
    let samples = [sample(7, 60), sample(9, 61)];
    let mut reader = open(write(&samples, Shape::Nanos, true)).unwrap();
    assert_eq!(reader.peek().unwrap(), Some(Timestamp::from_nanos(7_000)));
    assert_eq!(reader.peek().unwrap(), Some(Timestamp::from_nanos(7_000)));
    assert_eq!(read_all(&mut reader).0, samples);
    assert_eq!(reader.peek().unwrap(), None);
}
