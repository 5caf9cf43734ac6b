//! The set of names behind `read --names`: sorted and unique within bounded memory.
//!
//! Up to `Names::LIMIT` octets are kept in memory. Beyond, the set is written to a temporary
//! file as a sorted run and begins anew; at the end all runs are merged.

use core::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::inspect::Signal;

/// Names by signal.
#[derive(Debug)]
pub struct Names {
    seen: [HashSet<Box<str>, foldhash::quality::RandomState>; Signal::ALL.len()],
    octets: usize,
    limit: usize,
    runs: Vec<BufReader<File>>,
}

impl Names {
    /// Octets kept in memory: about 32 MiB with the table's own cost.
    const LIMIT: usize = 16 << 20;
    /// What an entry costs beside its text.
    const ENTRY: usize = 32;

    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(Self::LIMIT)
    }

    fn with_limit(limit: usize) -> Self {
        Self { seen: Default::default(), octets: 0, limit, runs: Vec::new() }
    }

    /// Adds one name.
    pub fn insert(&mut self, signal: Signal, name: &str) -> io::Result<()> {
        let seen = &mut self.seen[signal as usize];
        if seen.contains(name) {
            return Ok(());
        }
        seen.insert(name.into());
        self.octets += name.len() + Self::ENTRY;
        if self.octets > self.limit { self.spill() } else { Ok(()) }
    }

    /// Adds all of `other`, as another worker found it.
    pub fn merge(&mut self, mut other: Self) -> io::Result<()> {
        self.runs.append(&mut other.runs);
        for (signal, names) in Signal::ALL.into_iter().zip(&mut other.seen) {
            for name in names.drain() {
                self.insert(signal, &name)?;
            }
        }
        Ok(())
    }

    /// Prints `kind<TAB>name` lines in the order of their octets, each once.
    pub fn print(mut self, out: &mut impl Write) -> io::Result<()> {
        let mut last = String::new();
        let mut print = |line: &str| -> io::Result<()> {
            if line != last {
                last.clear();
                last.push_str(line);
                out.write_all(line.as_bytes())?;
            }
            Ok(())
        };
        if self.runs.is_empty() {
            return self.sorted().iter().try_for_each(|line| print(line));
        }
        if self.octets > 0 {
            self.spill()?;
        }
        let mut heads = BinaryHeap::new();
        for (number, run) in self.runs.iter_mut().enumerate() {
            if let Some(line) = next_line(run)? {
                heads.push(Reverse((line, number)));
            }
        }
        while let Some(Reverse((line, number))) = heads.pop() {
            print(&line)?;
            if let Some(line) = next_line(&mut self.runs[number])? {
                heads.push(Reverse((line, number)));
            }
        }
        Ok(())
    }

    fn sorted(&mut self) -> Vec<String> {
        let mut lines: Vec<String> = Signal::ALL
            .into_iter()
            .zip(&mut self.seen)
            .flat_map(|(signal, names)| {
                names.drain().map(move |name| format!("{}\t{name}\n", signal.kind()))
            })
            .collect();
        lines.sort_unstable();
        self.octets = 0;
        lines
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut run = BufWriter::new(nameless_file()?);
        for line in self.sorted() {
            run.write_all(line.as_bytes())?;
        }
        let mut run = run.into_inner().map_err(io::IntoInnerError::into_error)?;
        run.rewind()?;
        self.runs.push(BufReader::new(run));
        Ok(())
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

fn next_line(run: &mut BufReader<File>) -> io::Result<Option<String>> {
    let mut line = String::new();
    Ok((run.read_line(&mut line)? > 0).then_some(line))
}

/// A file that is gone when it is closed, however the process ends.
fn nameless_file() -> io::Result<File> {
    let directory = std::env::temp_dir();
    for attempt in 0..100 {
        let path = directory.join(format!("vendorwatch-{}-{attempt}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spilling_changes_nothing(
            names in proptest::collection::vec((0..Signal::ALL.len(), "[a-c.]{1,3}"), 0..60),
            limit in 1_usize..400,
        ) {
            let print = |limit| {
                let mut set = Names::with_limit(limit);
                for (signal, name) in &names {
                    set.insert(Signal::ALL[*signal], name).unwrap();
                }
                let mut out = Vec::new();
                set.print(&mut out).unwrap();
                String::from_utf8(out).unwrap()
            };
            let whole = print(usize::MAX);
            prop_assert!(whole.lines().is_sorted());
            prop_assert_eq!(whole, print(limit));
        }
    }
}
