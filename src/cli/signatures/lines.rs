//! Long lists, a line each, while a person may be waiting.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::Failure;

/// A line with its end, if it has one.
pub(super) struct Line<'a> {
    /// From one.
    pub(super) number: u64,
    pub(super) octets: &'a [u8],
    /// How far the reading has come; to be suspended where something is printed.
    pub(super) bar: &'a ProgressBar,
}

/// Calls `each` with every line of a file.
pub(super) fn each_line(
    path: &Path,
    mut each: impl FnMut(Line<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (reader, size) = open(path)?;
    let bar = progress_bar(size);
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let mut line = Vec::new();
    let (mut number, mut read) = (0_u64, 0_u64);
    loop {
        line.clear();
        let taken = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        let octets = taken.with_context(|| format!("cannot read {}", path.display()))?;
        if octets == 0 {
            break;
        }
        number += 1;
        read += octets as u64;
        if number % 4096 == 0 {
            bar.set_position(read);
        }
        each(Line { number, octets: &line, bar: &bar })?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// A file and its size; `-` is standard input, which has none.
pub(super) fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let size = file.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(file), size))
}

/// A bar for a person who waits; nothing where nobody does.
fn progress_bar(size: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Octets of a line that are read as one: more than any name with its comment has.
const MAX_LINE: u64 = 65_536;
