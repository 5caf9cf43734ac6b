//! Several captures as one, in the order of time.

use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use super::reader::{Block, Reader, Stop};
use crate::capture::{BATCH, Batch, CaptureError, Counters, Filter, Source};
use crate::frame::{Frame, SourceId};
use crate::time::Timestamp;

/// How many files one run reads: as many as a [`SourceId`] can tell apart.
pub const MAX_FILES: usize = 1 << 16;

/// How many files whose times overlap are read side by side. Further ones wait until one of these
/// is done, and their first frames come late.
pub const MAX_OPEN: usize = 16;

/// Of those, how many are read in a mapping of some MiB each.
const MAX_MAPPED: usize = 4;

/// How deep directories inside directories are looked into.
const MAX_DEPTH: usize = 16;

/// Captures in the order of time: files one after the other by their first frame, and frame by
/// frame where files overlap (two taps of one hour).
///
/// A file that cannot be read, or breaks off, is a fault (see [`Files::take_faults`]) and the
/// others go on; only when none of them could be read is that an error of [`Source::batch`].
#[derive(Debug)]
pub struct Files {
    /// Not begun yet, by time of the first frame.
    waiting: VecDeque<Waiting>,
    open: Vec<Open>,
    filter: Option<String>,
    faults: Vec<CaptureError>,
    skipped: Vec<PathBuf>,
    /// Frames of files that are done which the filter left out.
    left_out: u64,
    /// Of the files that are done.
    done: Counters,
    octets_done: u64,
    octets_total: Option<u64>,
    /// At least one file was a capture.
    any: bool,
}

#[derive(Debug)]
struct Waiting {
    first: Timestamp,
    path: PathBuf,
    source: SourceId,
    /// Standard input cannot be opened twice.
    reader: Option<Reader>,
}

#[derive(Debug)]
struct Open {
    next: Timestamp,
    source: SourceId,
    reader: Reader,
}

impl Files {
    /// Finds the captures among `paths`: files, directories with all that is below them, and `-`
    /// for standard input.
    ///
    /// # Errors
    /// When `filter`, in the syntax of tcpdump, cannot be used, or there are more than
    /// [`MAX_FILES`].
    pub fn new(paths: &[PathBuf], filter: Option<&str>) -> Result<Self, CaptureError> {
        if let Some(filter) = filter {
            Filter::new(filter)?;
        }
        let mut files = Self {
            waiting: VecDeque::new(),
            open: Vec::new(),
            filter: filter.map(str::to_owned),
            faults: Vec::new(),
            skipped: Vec::new(),
            left_out: 0,
            done: Counters::default(),
            octets_done: 0,
            octets_total: Some(0),
            any: false,
        };
        let mut found = Vec::new();
        for path in paths {
            if path.is_dir() {
                let before = (found.len(), files.faults.len(), files.skipped.len());
                files.walk(path, MAX_DEPTH, &mut found);
                if before == (found.len(), files.faults.len(), files.skipped.len()) {
                    // Whoever named it expects captures there, whatever else is read.
                    let what = path.display().to_string();
                    let why = "it is an empty directory".to_owned();
                    files.faults.push(CaptureError::NotACapture { what, why, foreign: false });
                }
            } else {
                found.push((path.clone(), true));
            }
        }
        if found.len() > MAX_FILES {
            let what = format!("{} files", found.len());
            let why = format!("one run reads at most {MAX_FILES}");
            return Err(CaptureError::Open { what, why });
        }
        for (path, named) in found {
            files.look_at(path, named);
        }
        let waiting = files.waiting.make_contiguous();
        waiting.sort_by_key(|file| file.first);
        for (number, file) in (0..=u16::MAX).zip(waiting.iter_mut()) {
            file.source = SourceId(number);
            if let Some(reader) = &mut file.reader {
                reader.set_source(file.source);
            }
        }
        Ok(files)
    }

    /// What went wrong with single files since the last call.
    pub fn take_faults(&mut self) -> Vec<CaptureError> {
        std::mem::take(&mut self.faults)
    }

    /// What was passed over in directories, so that a caller can say so: files that are no
    /// captures, directories by a link or too deep, pipes and devices.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Frames that the filter left out.
    pub fn left_out(&self) -> u64 {
        let open = self.open.iter().map(|file| file.reader.left_out());
        self.left_out + open.sum::<u64>()
    }

    /// Octets read so far and, unless a pipe is among them, octets of all files.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let open: u64 = self.open.iter().map(|file| file.reader.octets_read()).sum();
        (self.octets_done + open, self.octets_total)
    }

    /// Collects the files below `directory`, by name so that every run finds the same order.
    fn walk(&mut self, directory: &Path, depth: usize, found: &mut Vec<(PathBuf, bool)>) {
        let entries = fs::read_dir(directory).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        });
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                let what = directory.display().to_string();
                self.faults.push(CaptureError::Open { what, why: error.to_string() });
                return;
            }
        };
        entries.sort();
        for path in entries {
            // A link to a directory could lead back up.
            if depth > 0 && fs::symlink_metadata(&path).is_ok_and(|kind| kind.is_dir()) {
                self.walk(&path, depth - 1, found);
                continue;
            }
            match fs::metadata(&path) {
                Ok(kind) if kind.is_file() => found.push((path, false)),
                // A pipe is nobody's capture unless somebody names it: it would be waited for.
                Ok(_) => self.skipped.push(path),
                Err(error) => {
                    let what = path.display().to_string();
                    self.faults.push(CaptureError::Open { what, why: error.to_string() });
                }
            }
        }
    }

    /// Learns the time of a file's first frame. `named`: the operator named it, so that it must
    /// be a capture.
    fn look_at(&mut self, path: PathBuf, named: bool) {
        let mut reader = match Reader::open(&path, SourceId::default()) {
            Ok(reader) => reader,
            Err(CaptureError::NotACapture { foreign: false, .. }) if !named => {
                self.skipped.push(path);
                return;
            }
            Err(fault) => {
                self.faults.push(fault);
                return;
            }
        };
        let first = reader.peek();
        if !matches!(first, Ok(Some(_))) {
            // It has no frames, but may say how many were lost.
            self.done.add(reader.counters());
        }
        let first = match first {
            Ok(first) => first,
            Err(fault) => {
                self.faults.push(fault);
                return;
            }
        };
        self.any = true;
        let size = fs::metadata(&path).ok().filter(fs::Metadata::is_file).map(|meta| meta.len());
        let Some(first) = first else { return };
        self.octets_total = self.octets_total.zip(size).map(|(sum, size)| sum + size);
        // Only a regular file reads the same when it is opened again.
        let reader = size.is_none().then_some(reader);
        self.waiting.push_back(Waiting { first, path, source: SourceId::default(), reader });
    }

    /// Opens what begins before anything that is open goes on.
    fn open_due(&mut self) -> Result<(), CaptureError> {
        while self.open.len() < MAX_OPEN
            && let Some(file) = self.waiting.front()
            && self.open.iter().all(|open| file.first <= open.next)
            && let Some(file) = self.waiting.pop_front()
        {
            let reader = match file.reader {
                Some(reader) => Ok(reader),
                None => Reader::open(&file.path, file.source),
            };
            match reader {
                Ok(mut reader) => {
                    if let Some(filter) = &self.filter {
                        reader.set_filter(Filter::new(filter)?);
                    }
                    if self.open.len() >= MAX_MAPPED {
                        reader.copy();
                    }
                    self.open.push(Open { next: file.first, source: file.source, reader });
                }
                Err(fault) => self.faults.push(fault),
            }
        }
        Ok(())
    }

    fn close(&mut self, at: usize) {
        let mut file = self.open.swap_remove(at);
        self.left_out += file.reader.left_out();
        self.octets_done += file.reader.octets_read();
        self.done.add(file.reader.counters());
    }

    /// Like [`Source::batch`], with the block that each frame lies in and where it begins there.
    pub(in crate::capture) fn shared_batch(
        &mut self,
        each: &mut impl FnMut(&Frame<'_>, &Block, usize) -> ControlFlow<()>,
    ) -> Result<Batch, CaptureError> {
        let mut count = 0;
        while count < BATCH {
            self.open_due()?;
            let Some(at) =
                (0..self.open.len()).min_by_key(|&at| (self.open[at].next, self.open[at].source))
            else {
                break;
            };
            let others = (0..self.open.len()).filter(|&other| other != at);
            // What waits for room has no say, or nothing would ever make that room.
            let waiting = self.waiting.front().filter(|_| self.open.len() < MAX_OPEN);
            let until = others
                .map(|other| self.open[other].next)
                .chain(waiting.map(|file| file.first))
                .min()
                .unwrap_or(Timestamp::from_nanos(u64::MAX));
            let file = &mut self.open[at];
            let before = file.reader.walked();
            let stop = file.reader.run(until, BATCH - count, each, false);
            count += usize::try_from(file.reader.walked() - before).unwrap_or(BATCH);
            match stop {
                Ok(Stop::Full) => {}
                Ok(Stop::Enough) => break,
                Ok(Stop::Later(next)) => file.next = next,
                Ok(Stop::End) => self.close(at),
                Err(error @ CaptureError::Filter { .. }) => return Err(error),
                Err(fault) => {
                    self.faults.push(fault);
                    self.close(at);
                }
            }
        }
        if count > 0 {
            return Ok(Batch::Frames(count));
        }
        match self.faults.pop() {
            Some(fault) if !self.any => Err(fault),
            None if !self.any => {
                let what = "what was named".to_owned();
                let why = format!("none of the {} files below it is one", self.skipped.len());
                Err(CaptureError::NotACapture { what, why, foreign: false })
            }
            fault => {
                self.faults.extend(fault);
                Ok(Batch::End)
            }
        }
    }
}

impl Source for Files {
    fn batch(
        &mut self,
        _patience: Duration,
        each: &mut impl FnMut(&Frame<'_>),
    ) -> Result<Batch, CaptureError> {
        self.shared_batch(&mut |frame, _, _| {
            each(frame);
            ControlFlow::Continue(())
        })
    }

    fn counters(&mut self) -> Counters {
        let mut sum = self.done;
        for file in &mut self.open {
            sum.add(file.reader.counters());
        }
        sum
    }
}
