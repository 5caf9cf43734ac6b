//! Writing events: a thread behind a bounded queue. When the queue is full or the file cannot be
//! written, events are dropped and counted, and nobody waits.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::super::metrics::Metrics;

/// Where events go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    Stdout,
    File(PathBuf),
}

/// Why events cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot write events to {}: {why}", path.display())]
    Open { path: PathBuf, why: io::Error },
    #[error("cannot start the event writer: {0}")]
    Thread(io::Error),
}

/// The way to the event file.
#[derive(Debug)]
pub struct Log {
    queue: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    reopen: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

impl Output {
    /// `-` is standard output, anything else a file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text == "-" { Self::Stdout } else { Self::File(text.into()) }
    }

    /// Opens it for appending. A pipe that nobody reads yet is tried again with each event.
    pub fn open(&self) -> Result<Opened, LogError> {
        let target = match self {
            Self::Stdout => Target::Stdout,
            Self::File(path) => {
                let file = match append(path) {
                    Err(why) if why.raw_os_error() == Some(libc::ENXIO) => None,
                    opened => {
                        Some(opened.map_err(|why| LogError::Open { path: path.clone(), why })?)
                    }
                };
                Target::File { path: path.clone(), file }
            }
        };
        Ok(Opened(target))
    }
}

/// An output that could be opened.
#[derive(Debug)]
pub struct Opened(Target);

#[derive(Debug)]
enum Target {
    Stdout,
    File { path: PathBuf, file: Option<File> },
}

impl Log {
    /// How long what waits may take to be written at the end: whoever is to read it may never do.
    const FAREWELL: Duration = Duration::from_secs(3);

    /// Starts to write. `most`: events that may wait.
    pub fn start(opened: Opened, most: usize, metrics: Arc<Metrics>) -> Result<Self, LogError> {
        let (queue, lines) = sync_channel(most.max(1));
        let reopen = Arc::new(AtomicBool::new(false));
        let torn = match &opened.0 {
            Target::Stdout => false,
            Target::File { path, .. } => ends_within_a_line(path),
        };
        let writer = Writer {
            target: opened.0,
            reopen: Arc::clone(&reopen),
            metrics: Arc::clone(&metrics),
            torn,
            trouble: None,
            lost: 0,
        };
        let thread = std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || writer.run(&lines))
            .map_err(LogError::Thread)?;
        Ok(Self { queue: Some(queue), thread: Some(thread), reopen, metrics })
    }

    /// One event. Never waits.
    pub fn write(&self, line: String) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(line) {
            Ok(()) => &self.metrics.sinks.events,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                &self.metrics.sinks.events_queue_full
            }
        }
        .fetch_add(1, Relaxed);
    }

    /// What asks for the file to be opened again, after it was rotated.
    #[must_use]
    pub fn reopener(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.reopen)
    }
}

impl Drop for Log {
    /// Writes what waits.
    fn drop(&mut self) {
        self.queue = None;
        let Some(thread) = self.thread.take() else { return };
        let end = Instant::now() + Self::FAREWELL;
        while !thread.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !thread.is_finished() {
            tracing::error!("the last events are lost: nobody took them in time");
        } else if thread.join().is_err() {
            tracing::error!("the event writer had panicked");
        }
    }
}

struct Writer {
    target: Target,
    reopen: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    /// What was written last ends within a line.
    torn: bool,
    /// When trouble was last spoken of.
    trouble: Option<Instant>,
    /// Events lost since then.
    lost: u64,
}

impl Writer {
    /// How soon a rotated file is let go when no event comes.
    const PATIENCE: Duration = Duration::from_millis(500);
    /// One line of log for trouble that lasts, this often.
    const COMPLAINT: Duration = Duration::from_secs(60);
    /// Most octets gathered for one write.
    const BLOCK: usize = 64 << 10;

    fn run(mut self, lines: &Receiver<String>) {
        let mut block = Vec::new();
        loop {
            let first = lines.recv_timeout(Self::PATIENCE);
            if self.reopen.swap(false, Relaxed) {
                self.open_again();
            }
            let mut count = 0;
            match first {
                Ok(line) => {
                    for line in std::iter::once(line).chain(lines.try_iter()) {
                        block.extend_from_slice(line.as_bytes());
                        block.push(b'\n');
                        count += 1;
                        if block.len() >= Self::BLOCK {
                            break;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let mut left = &block[..];
            match self.write(&mut left) {
                Ok(()) => self.recovered(),
                Err(error) => {
                    let written = &block[..block.len() - left.len()];
                    self.torn = written.last().map_or(self.torn, |last| *last != b'\n');
                    let lines = memchr::memchr_iter(b'\n', written).count();
                    self.failed(&error, count - lines as u64);
                }
            }
            block.clear();
        }
    }

    /// Writes `block`, and leaves in it what was not written.
    fn write(&mut self, block: &mut &[u8]) -> io::Result<()> {
        match &mut self.target {
            Target::Stdout => {
                let mut out = io::stdout().lock();
                put(&mut out, &mut self.torn, block)?;
                out.flush()
            }
            Target::File { path, file } => {
                let open = match file.take() {
                    Some(open) => open,
                    None => {
                        self.torn = ends_within_a_line(path);
                        append(path)?
                    }
                };
                // A file that failed is opened afresh: what is wrong with it may have been mended.
                let open = file.insert(open);
                let written = put(open, &mut self.torn, block);
                if written.is_err() {
                    *file = None;
                }
                written
            }
        }
    }

    fn open_again(&mut self) {
        if let Target::File { path, file } = &mut self.target {
            match append(path) {
                Ok(fresh) => {
                    self.torn = ends_within_a_line(path);
                    *file = Some(fresh);
                    tracing::info!(path = %path.display(), "opened the event file again");
                }
                Err(error) => {
                    *file = None;
                    tracing::error!(path = %path.display(), %error, "cannot open the event file");
                }
            }
        }
    }

    fn failed(&mut self, error: &io::Error, count: u64) {
        self.metrics.sinks.events_unwritten.fetch_add(count, Relaxed);
        self.lost += count;
        if self.trouble.is_none_or(|at| at.elapsed() >= Self::COMPLAINT) {
            tracing::error!(%error, lost = self.lost, "cannot write events");
            self.trouble = Some(Instant::now());
        }
    }

    fn recovered(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!(lost = self.lost, "events are written again");
            self.lost = 0;
        }
    }
}

/// Writes `block`, and leaves in it what was not written. What was `torn` ends before.
fn put(out: &mut impl Write, torn: &mut bool, block: &mut &[u8]) -> io::Result<()> {
    if *torn {
        out.write_all(b"\n")?;
        *torn = false;
    }
    while !block.is_empty() {
        match out.write(block) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => *block = &block[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Does a file end within a line: was its writer, or the disk, at an end before? A pipe has no end.
fn ends_within_a_line(path: &Path) -> bool {
    let last = || {
        let is_file = std::fs::metadata(path).ok()?.is_file();
        let mut file = is_file.then(|| File::open(path).ok())??;
        file.seek(SeekFrom::End(-1)).ok()?;
        let mut last = [0];
        file.read_exact(&mut last).ok()?;
        Some(last[0])
    };
    last().is_some_and(|last| last != b'\n')
}

/// Names of clients are in it: not for everybody, as the inventory is not. A file that is there keeps
/// the mode that somebody gave it.
///
/// Waits for nobody to open the other end of a pipe (`ENXIO`, as fifo(7) has it), nor needs what was
/// opened be asked again because somebody reads slowly.
fn append(path: &PathBuf) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file =
        OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::channel;

    use arc_swap::ArcSwap;
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;
    use crate::config::{Config, Flags, Policy};
    use crate::time::Timestamp;

    /// Long enough for the busiest machine; nobody waits for it who is not failing.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_pipe_that_nobody_reads_holds_up_neither_the_start_nor_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mkfifoat(CWD, &path, Mode::RWXU).unwrap();
        let (done, ended) = channel();
        std::thread::spawn(move || {
            let config = Config::read(None, "", |_| None, &Flags::default()).unwrap();
            let policy = Policy::load(&config, &[], Timestamp::ZERO).unwrap();
            let policy = Arc::new(ArcSwap::from_pointee(policy));
            let metrics = Arc::new(Metrics::new(policy, vec![], vec![], "test").unwrap());
            let open = || Output::File(path.clone()).open().unwrap();
            let unwritten = || metrics.sinks.events_unwritten.load(Relaxed);
            let log = Log::start(open(), 64, Arc::clone(&metrics)).unwrap();
            log.write("before".into());
            while unwritten() < 1 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let mut reader = OpenOptions::new()
                .read(true)
                .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
                .open(&path)
                .unwrap();
            log.write("while".into());
            drop(log);
            let mut read = String::new();
            reader.read_to_string(&mut read).unwrap();
            assert_eq!((read.as_str(), unwritten()), ("while\n", 1));
            // More than a pipe holds.
            let log = Log::start(open(), 64, Arc::clone(&metrics)).unwrap();
            (0..64).for_each(|_| log.write("x".repeat(64 << 10)));
            drop(log);
            done.send(()).unwrap();
        });
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(()));
    }

    /// A disk with room for so many octets.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let fits = octets.len().min(self.room).min(5);
            if fits == 0 && !octets.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= fits;
            self.written.extend_from_slice(&octets[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_breaks_off_takes_no_other_with_it() {
        let mut disk = Disk { written: Vec::new(), room: 11 };
        let mut block = &b"one one\ntwo two\nthree\n"[..];
        assert!(put(&mut disk, &mut false, &mut block).is_err());
        assert_eq!(block, b" two\nthree\n", "what was not written is known");
        disk.room = 100;
        let mut torn = true;
        put(&mut disk, &mut torn, &mut &b"four\n"[..]).unwrap();
        assert_eq!(disk.written, b"one one\ntwo\nfour\n");
        assert!(!torn);
    }

    #[test]
    fn a_new_file_is_not_for_everybody_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = folder.path().join("eve.json");
        append(&path).unwrap();
        assert_eq!(mode(&path) & 0o137, 0, "{:o}", mode(&path));
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        append(&path).unwrap();
        assert_eq!(mode(&path), 0o644, "as somebody wants it");
    }

    #[test]
    fn a_file_that_ends_within_a_line_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eve.json");
        assert!(!ends_within_a_line(&path), "there is none");
        for (octets, expected) in [(&b""[..], false), (b"{}\n", false), (b"{}\n{\"ti", true)] {
            std::fs::write(&path, octets).unwrap();
            assert_eq!(ends_within_a_line(&path), expected, "{octets:?}");
        }
    }
}
