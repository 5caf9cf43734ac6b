//! A file in a mapping gives what a stream of its octets gives, whoever else wants the file.

use core::ops::ControlFlow;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::mpsc;

use super::*;
use crate::capture::file::reader::Stop;
use crate::capture::file::{BLOCK, Block};
use crate::frame::Frame;

/// Octets of a file with records of all sizes, longer than two mappings.
fn octets(shape: Shape) -> Vec<u8> {
    let lengths = (0..400_usize).map(|n| n * n % 60_000).chain([5 << 20, 60, 0]).chain(1..200);
    let samples: Vec<_> = (0..).zip(lengths).map(|(n, length)| sample(n, length)).collect();
    write(&samples, shape, false)
}

fn stored(octets: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), octets).unwrap();
    // Closed for writing: the temporary file has another descriptor of its own.
    let kept = file.into_temp_path();
    tempfile::NamedTempFile::from_parts(std::fs::File::open(&kept).unwrap(), kept)
}

fn reader(path: &Path) -> Reader {
    Reader::open(path, SourceId(0)).unwrap()
}

const NEEDS: &str = "is TMPDIR on a local file system, which has leases (fcntl(2))?";

/// Reads one frame; false at the end.
fn step(reader: &mut Reader) -> bool {
    let mut each = |_: &Frame<'_>, _: &Block, _| ControlFlow::Continue(());
    reader.run(Timestamp::from_nanos(u64::MAX), 1, &mut each, false).unwrap() == Stop::Full
}

#[test]
fn a_mapping_gives_what_a_stream_gives() {
    for shape in [Shape::Micros, Shape::Enhanced { resolution: 6, offset: 0 }] {
        let octets = octets(shape);
        for cut in [octets.len(), octets.len() - 1, 4 << 20, (4 << 20) + 1, BLOCK + 1, BLOCK] {
            let file = stored(&octets[..cut]);
            let mut mapped = reader(file.path());
            let (frames, end) = read_all(&mut mapped);
            assert_eq!(mapped.octets_read(), cut as u64);
            let (expected, expected_end) = read_all(&mut open(octets[..cut].to_vec()).unwrap());
            assert!(frames == expected, "{} of {} frames", frames.len(), expected.len());
            let text = |end: Option<CaptureError>| {
                let text = end.map(|end| end.to_string()).unwrap_or_default();
                text.split_once(": ").map(|(_, why)| why.to_owned())
            };
            assert_eq!(text(end), text(expected_end), "cut at {cut}");
        }
    }
}

#[test]
fn a_large_file_is_mapped_and_a_small_or_compressed_one_is_not() {
    let octets = octets(Shape::Micros);
    let small = write(&[sample(0, 60), sample(1, 60)], Shape::Micros, false);
    let files = [(stored(&octets), true), (stored(&small), false), (stored(&gzip(&octets)), false)];
    for (file, expected) in files {
        let mut reader = reader(file.path());
        let mut mapped = false;
        while step(&mut reader) {
            mapped |= reader.is_mapped();
        }
        assert_eq!(mapped, expected, "{NEEDS}");
    }
}

#[test]
fn who_writes_to_the_file_is_not_kept_waiting_and_takes_nothing_away() {
    let octets = octets(Shape::Micros);
    let expected = read_all(&mut open(octets.clone()).unwrap()).0;
    let file = stored(&octets);
    let mut reader = reader(file.path());
    // Into the first mapping.
    let mut frames = 0;
    while !reader.is_mapped() {
        assert!(step(&mut reader), "{NEEDS}");
        frames += 1;
    }
    assert!(frames < expected.len());
    // Waits for the lease, and cuts the file short of what was not read.
    let (path, (tell, told)) = (file.path().to_owned(), mpsc::channel());
    let writer = std::thread::spawn(move || {
        tell.send(()).unwrap();
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    });
    told.recv().unwrap();
    let (rest, _) = read_all(&mut reader);
    writer.join().unwrap();
    assert!(!reader.is_mapped());
    assert!(rest == expected[frames..frames + rest.len()]);
}

#[test]
fn a_file_that_is_being_written_is_copied() {
    let octets = octets(Shape::Micros);
    let file = stored(&octets);
    let writer = OpenOptions::new().append(true).open(file.path()).unwrap();
    let mut reader = reader(file.path());
    let mut frames = 0;
    while step(&mut reader) {
        frames += 1;
        assert!(!reader.is_mapped());
    }
    assert_eq!(frames, read_all(&mut open(octets).unwrap()).0.len());
    drop(writer);
}
