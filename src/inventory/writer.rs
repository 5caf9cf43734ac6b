//! The thread that writes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{error, info, warn};

use super::lock::{Lock, beside};
use super::retention::Retention;
use super::store::{Limits, Restored, Store, is_full};
use super::{InventoryError, schema};
use crate::detect::{Finding, FindingKey};
use crate::time::Timestamp;
use crate::visibility::Counter;

/// Counts of the inventory, read by whoever exports them.
#[derive(Debug, Default)]
pub struct Stats {
    /// Findings on disk.
    pub rows: Counter,
    /// Octets of the database file.
    pub bytes: Counter,
    /// Changes of findings written.
    pub written: Counter,
    /// Findings removed to keep the caps.
    pub evicted: Counter,
    /// Findings removed by the retention.
    pub expired: Counter,
    /// Writes that failed because the disk or the cap on octets had no room; what they held waits
    /// for the next one.
    pub full: Counter,
    /// Writes that failed otherwise.
    pub failed: Counter,
    /// Changes that wait in memory to be written.
    pub pending: Counter,
    /// Changes lost because too many were waiting already.
    pub pending_lost: Counter,
    /// Changes lost because the queue to the writing thread was full. Counted by the sender.
    pub queue_lost: Counter,
}

/// An inventory opened for writing.
#[derive(Debug)]
pub struct Opened {
    pub writer: Writer,
    /// What earlier runs left.
    pub restored: Restored,
    /// Where a damaged database was moved, so that a new one could take its place.
    pub set_aside: Option<PathBuf>,
}

/// The way to the writing thread. Dropping it writes what waits, and ends the thread.
#[derive(Debug)]
pub struct Writer {
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
enum Message {
    Changes(Vec<Finding>),
    /// Answered when all that came before is written, or known to wait.
    Flush(SyncSender<()>),
}

impl Writer {
    /// Opens the inventory at `path`, or makes it, and starts the thread that writes to it.
    /// Restores at most `most` findings.
    ///
    /// A damaged database is moved aside, never deleted, and a new one is begun: the sensor
    /// matters more than its memory. A database of something else, of a newer program, or in use
    /// by another process is left alone and refused.
    pub fn open(path: &Path, limits: Limits, most: usize) -> Result<Opened, InventoryError> {
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)
                .map_err(|error| InventoryError::File { path: directory.to_owned(), error })?;
        }
        let lock = Lock::take(path)?;
        let open = || {
            let store = Store::open(path, limits)?;
            let restored = store.restore(most).map_err(|error| schema::blame(path, error))?;
            Ok((store, restored))
        };
        let mut set_aside = None;
        let (store, restored) = match open() {
            Err(InventoryError::Damaged { what, .. }) => {
                let aside = move_aside(path)?;
                error!(
                    path = %path.display(), aside = %aside.display(), what,
                    "the inventory is damaged: moved aside, a new one begins"
                );
                set_aside = Some(aside);
                open()?
            }
            opened => opened?,
        };
        let stats = Arc::new(Stats::default());
        let (sender, receiver) = sync_channel(QUEUE);
        let mut thread = Thread {
            store,
            stats: Arc::clone(&stats),
            pending: BTreeMap::new(),
            most_pending: limits.pending.max(1),
            complained: None,
            unsaid: 0,
            _lock: lock,
        };
        thread.measure();
        let thread = std::thread::Builder::new()
            .name("inventory".to_owned())
            .spawn(move || thread.run(&receiver))
            .map_err(|error| InventoryError::File { path: path.to_owned(), error })?;
        let writer = Self { queue: Some(sender), thread: Some(thread), stats };
        Ok(Opened { writer, restored, set_aside })
    }

    /// Hands over what changed. Never waits: when the queue is full the changes are lost, and
    /// counted.
    pub fn submit(&self, changes: Vec<Finding>) {
        if changes.is_empty() {
            return;
        }
        let Some(queue) = &self.queue else { return };
        if let Err(
            TrySendError::Full(Message::Changes(lost))
            | TrySendError::Disconnected(Message::Changes(lost)),
        ) = queue.try_send(Message::Changes(changes))
        {
            self.stats.queue_lost.add(lost.len() as u64);
        }
    }

    /// Waits until what was handed over is on disk, or known to wait for it.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if let Some(queue) = &self.queue
            && queue.send(Message::Flush(done)).is_ok()
        {
            // An error means that the thread ended, and there is nothing to wait for.
            let _ = wait.recv();
        }
    }

    /// The counts.
    #[must_use]
    pub const fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the inventory thread had panicked");
        }
    }
}

/// What the writing thread owns.
struct Thread {
    store: Store,
    stats: Arc<Stats>,
    /// Changes that are not on disk yet.
    pending: BTreeMap<FindingKey, Finding>,
    most_pending: usize,
    /// When a failure was logged last.
    complained: Option<Instant>,
    /// Failures since then.
    unsaid: u64,
    _lock: Lock,
}

impl Thread {
    fn run(mut self, queue: &Receiver<Message>) {
        let mut retention = Retention::new(Instant::now(), SystemTime::now());
        loop {
            // The wall clock, not packet time: an old capture must not make today's findings old.
            if let Some(now) = retention.due(Instant::now(), SystemTime::now()) {
                self.expire(now);
            }
            let message = queue.recv_timeout(RETRY);
            let ended = matches!(message, Err(RecvTimeoutError::Disconnected));
            let mut waiting = Vec::new();
            // What has queued up meanwhile goes into the same transaction.
            for message in message.into_iter().chain(queue.try_iter().take(QUEUE)) {
                match message {
                    Message::Changes(changes) => self.wait(changes),
                    Message::Flush(done) => waiting.push(done),
                }
            }
            self.write();
            for done in waiting {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
            if ended {
                if !self.pending.is_empty() {
                    error!(lost = self.pending.len(), "the inventory could not be written");
                }
                return;
            }
        }
    }

    /// Puts changes with those that wait.
    fn wait(&mut self, changes: Vec<Finding>) {
        for change in changes {
            if let Some(waiting) = self.pending.get_mut(&change.key) {
                waiting.merge(&change);
            } else if self.pending.len() < self.most_pending {
                self.pending.insert(change.key.clone(), change);
            } else {
                self.stats.pending_lost.add(1);
            }
        }
        self.stats.pending.set(self.pending.len() as u64);
    }

    /// Writes what waits, some thousand findings a transaction.
    fn write(&mut self) {
        if self.pending.is_empty() {
            return self.measure();
        }
        if !self.store.is_in_place() {
            if let Err(error) = self.store.open_again() {
                self.fail(&error, false);
                return self.measure();
            }
            warn!(
                findings = self.store.rows(),
                "somebody removed or replaced the inventory; what changes from now on goes to the \
                 one that is at its path"
            );
        }
        let mut made_room = 0;
        while !self.pending.is_empty() {
            match self.store.merge(self.pending.values().take(TRANSACTION)) {
                Ok(done) => {
                    let kept = match self.pending.keys().nth(TRANSACTION).cloned() {
                        Some(next) => self.pending.split_off(&next),
                        None => BTreeMap::new(),
                    };
                    let written = std::mem::replace(&mut self.pending, kept);
                    self.stats.written.add(written.len() as u64);
                    self.stats.evicted.add(done.evicted);
                }
                Err(error) if is_full(&error) && made_room < MOST_ROOM => {
                    made_room += 1;
                    match self.store.make_room() {
                        Ok(removed) if removed > 0 => self.stats.evicted.add(removed),
                        Ok(_) => {
                            self.fail(&error, is_full(&error));
                            break;
                        }
                        Err(error) => {
                            self.fail(&error, is_full(&error));
                            break;
                        }
                    }
                }
                Err(error) => {
                    self.fail(&error, is_full(&error));
                    break;
                }
            }
        }
        self.measure();
    }

    fn expire(&mut self, now: Timestamp) {
        match self.store.expire(now) {
            Ok(0) => {}
            Ok(expired) => {
                self.stats.expired.add(expired);
                info!(expired, "removed findings past the retention");
            }
            Err(error) => self.fail(&error, is_full(&error)),
        }
        self.measure();
    }

    /// Counts a failure, and says so once a minute at most.
    fn fail(&mut self, error: &dyn core::fmt::Display, full: bool) {
        let count = if full { &self.stats.full } else { &self.stats.failed };
        count.add(1);
        self.unsaid += 1;
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINTS) {
            warn!(
                %error, failures = self.unsaid, waiting = self.pending.len(),
                "cannot write the inventory; findings wait in memory"
            );
            self.complained = Some(Instant::now());
            self.unsaid = 0;
        }
    }

    fn measure(&mut self) {
        self.stats.rows.set(self.store.rows());
        self.stats.pending.set(self.pending.len() as u64);
        if let Ok(bytes) = self.store.bytes() {
            self.stats.bytes.set(bytes);
        }
    }
}

/// Moves a damaged database and its companions to a name that is free.
fn move_aside(path: &Path) -> Result<PathBuf, InventoryError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let aside = (0..1_000)
        .map(|n| beside(path, &format!("damaged-{now}-{n}")))
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| beside(path, "damaged"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| InventoryError::File { path, error }
    };
    std::fs::rename(path, &aside).map_err(failed(path))?;
    for companion in ["wal", "shm"] {
        let from = beside(path, companion);
        match std::fs::rename(&from, beside(&aside, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&from)(error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// Messages that may wait for the thread; a message is what changed within a second or so.
const QUEUE: usize = 64;

/// Findings a transaction: the WAL grows by its size, some megabytes.
const TRANSACTION: usize = 4_096;

/// How often room is made for one write, a sixteenth of the findings each time.
const MOST_ROOM: u32 = 4;

/// After how long a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How often a failure is logged at most.
const COMPLAINTS: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::samples::key;
    use crate::detect::{Role, Seen, Tally};
    use crate::inspect::Signal;
    use crate::inventory::{Query, Reader};
    use crate::net::{Addr, Mac};
    use crate::signature::{Class, Purpose, Strength};

    /// A change of the finding of client `n`, last seen at second `n` of the year 2100.
    fn change(n: u32, strength: Strength) -> Finding {
        let at = Timestamp::from_parts(4_102_444_800 + u64::from(n), 0);
        let tally = Tally {
            purpose: Purpose::Update,
            class: Some(Class::B1),
            count: 2,
            first_seen: at,
            last_seen: at,
        };
        let key = FindingKey { client: Addr::from_v4(n.to_be_bytes()), strength, ..key() };
        Finding {
            count: 2,
            tallies: [(("acme.update".into(), Signal::TlsSni), tally)].into(),
            last_name: "upd.acme.example".into(),
            ..Finding::new(key, at)
        }
    }

    fn small(rows: u64, bytes: u64) -> Limits {
        Limits { rows, bytes, pending: 10_000, ..Limits::default() }
    }

    fn open(path: &Path, limits: Limits) -> Opened {
        Writer::open(path, limits, 1_000).unwrap()
    }

    #[test]
    fn what_was_written_is_restored_and_added_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/inventory.sqlite");
        let change = change(7, Strength::Strong);
        for round in 1..=3_u64 {
            let opened = open(&path, Limits::default());
            assert_eq!(opened.set_aside, None);
            let counts: Vec<u64> = opened.restored.findings.iter().map(|f| f.count).collect();
            if round > 1 {
                assert_eq!(counts, [(round - 1) * 2]);
                let mut expected = change.clone();
                for _ in 2..round {
                    expected.merge(&change);
                }
                assert_eq!(opened.restored.findings, [expected]);
                assert_eq!(opened.restored.vendors.len(), 1);
                assert_eq!(opened.restored.vendors[0].1.first, change.first_seen);
            }
            // Closing writes what waits: no flush.
            opened.writer.submit(vec![change.clone()]);
        }
    }

    #[test]
    fn a_reader_sees_what_was_flushed_while_the_writer_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.sqlite");
        let Opened { writer, .. } = open(&path, Limits::default());
        writer.submit((0..20).map(|n| change(n, Strength::Weak)).collect());
        writer.submit(vec![change(3, Strength::Strong)]);
        writer.flush();
        let reader = Reader::open(&path).unwrap();
        assert_eq!(reader.findings(&Query::default()).unwrap().findings.len(), 21);
        let one = Query {
            vendors: vec!["acme".into(), "other".into()],
            networks: vec!["other".into()],
            client: Some(Addr::from_v4(3_u32.to_be_bytes()).to_ip()),
            strength: Some(Strength::Moderate),
            since: Some(change(3, Strength::Strong).last_seen),
            newest: Some(10),
        };
        assert_eq!(reader.findings(&one).unwrap().findings, [change(3, Strength::Strong)]);
        let later = Query { since: Some(change(4, Strength::Strong).last_seen), ..one };
        assert!(reader.findings(&later).unwrap().findings.is_empty());
        writer.submit(vec![change(99, Strength::Strong)]);
        writer.flush();
        assert_eq!(reader.findings(&Query::default()).unwrap().findings.len(), 22);
        assert_eq!(reader.vendors().unwrap().len(), 2);
        assert_eq!(writer.stats().rows.value(), 22);
        assert_eq!(writer.stats().written.value(), 22);
    }

    #[test]
    fn what_the_disk_adds_up_is_what_memory_would_whatever_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let seen = |second: u32, mac: Option<u8>, role, name: &str| {
            let change = change(second, Strength::Strong);
            Finding {
                key: FindingKey { client: Addr::from_v4([192, 0, 2, 1]), ..change.key.clone() },
                last_name: name.into(),
                mac: mac.map(|last| Mac([2, 0, 0, 0, 0, last])),
                role,
                ..change
            }
        };
        let changes = [
            seen(2, Some(1), Some(Role::Resolver), "a.acme.example"),
            seen(5, Some(2), None, "b.acme.example"),
            seen(9, None, Some(Role::Proxy), "c.acme.example"),
        ];
        for (n, order) in
            [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].iter().enumerate()
        {
            let path = dir.path().join(format!("{n}.sqlite"));
            let Opened { writer, .. } = open(&path, Limits::default());
            let [first, second, third] = order.map(|which| changes[which].clone());
            let mut expected = first.clone();
            expected.merge(&second);
            expected.merge(&third);
            writer.submit(vec![first, second]);
            writer.flush();
            writer.submit(vec![third]);
            writer.flush();
            let reader = Reader::open(&path).unwrap();
            assert_eq!(
                reader.findings(&Query::default()).unwrap().findings,
                [expected],
                "{order:?}"
            );
            let sights: Vec<_> = reader.vendors().unwrap().into_iter().map(|(_, s)| s).collect();
            let (first, last) = (changes[0].first_seen, changes[2].last_seen);
            assert_eq!(sights, [Seen { first, last }], "{order:?}");
        }
        // Clients of one vendor in one write, neither the first nor the last of them seen first.
        let path = dir.path().join("clients.sqlite");
        let Opened { writer, .. } = open(&path, Limits::default());
        let clients = [7, 3, 8, 5].map(|n| change(n, Strength::Weak));
        let (first, last) = (clients[1].first_seen, clients[2].last_seen);
        let clients = (1..).zip(clients).map(|(n, change)| Finding {
            key: FindingKey { client: Addr::from_v4([192, 0, 2, n]), ..change.key.clone() },
            ..change
        });
        writer.submit(clients.collect());
        writer.flush();
        let sights = Reader::open(&path).unwrap().vendors().unwrap();
        assert_eq!(sights.len(), 1);
        assert_eq!(sights[0].1, Seen { first, last });
    }

    #[test]
    fn beyond_the_rows_the_weakest_go_and_of_these_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.sqlite");
        let Opened { writer, .. } = open(&path, small(10, 1 << 30));
        writer.submit((0..5).map(|n| change(n, Strength::Strong)).collect());
        writer.submit((100..120).map(|n| change(n, Strength::Weak)).collect());
        writer.flush();
        let reader = Reader::open(&path).unwrap();
        let left = reader.findings(&Query::default()).unwrap().findings;
        let clients: Vec<Addr> = left.iter().map(|finding| finding.key.client).collect();
        let expected: Vec<Addr> = [119, 118, 117, 116, 115, 4, 3, 2, 1, 0]
            .map(|n: u32| Addr::from_v4(n.to_be_bytes()))
            .into();
        assert_eq!(clients, expected);
        assert_eq!(writer.stats().evicted.value(), 15);
        assert_eq!(writer.stats().rows.value(), 10);
    }

    #[test]
    fn the_cap_on_octets_holds_against_invented_clients() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.sqlite");
        let cap = 1 << 20;
        let Opened { writer, .. } = open(&path, small(u64::MAX, cap));
        for portion in 0..20 {
            let clients = portion * 1_000..(portion + 1) * 1_000;
            writer.submit(clients.map(|n| change(n, Strength::Strong)).collect());
            writer.flush();
        }
        let stats = writer.stats();
        assert!(stats.bytes.value() <= cap, "{}", stats.bytes.value());
        assert!(std::fs::metadata(&path).unwrap().len() <= cap);
        assert!(stats.evicted.value() > 0);
        assert_eq!((stats.pending.value(), stats.pending_lost.value()), (0, 0));
        assert_eq!(stats.written.value(), 20_000);
        let newest = Query { newest: Some(1), ..Query::default() };
        let found = Reader::open(&path).unwrap().findings(&newest).unwrap().findings;
        assert_eq!(found, [change(19_999, Strength::Strong)], "the newest is kept");
    }

    #[test]
    fn a_damaged_database_is_moved_aside_and_a_new_one_begins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.sqlite");
        let damage = "damage ".repeat(1_000);
        std::fs::write(&path, &damage).unwrap();
        let opened = open(&path, Limits::default());
        let aside = opened.set_aside.unwrap();
        assert_eq!(std::fs::read_to_string(aside).unwrap(), damage, "nothing is lost");
        opened.writer.submit(vec![change(1, Strength::Weak)]);
        opened.writer.flush();
        assert_eq!(opened.writer.stats().rows.value(), 1);
    }

    #[test]
    fn what_the_retention_ends_is_removed_later_and_first_sights_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.sqlite");
        let old = Finding {
            first_seen: Timestamp::from_parts(1_000, 0),
            last_seen: Timestamp::from_parts(2_000, 0),
            ..change(1, Strength::Strong)
        };
        let Opened { writer, .. } = open(&path, Limits::default());
        writer.submit(vec![old, change(2, Strength::Strong)]);
        drop(writer);
        // The clock may be wrong by years at the start.
        let Opened { writer, .. } = open(&path, Limits::default());
        writer.flush();
        assert_eq!((writer.stats().rows.value(), writer.stats().expired.value()), (2, 0));
        drop(writer);
        let mut store = Store::open(&path, Limits::default()).unwrap();
        let today = Timestamp::from_parts(1_800_000_000, 0);
        assert_eq!((store.expire(today).unwrap(), store.rows()), (1, 1));
        let left = store.restore(10).unwrap();
        let clients: Vec<_> = left.findings.iter().map(|found| found.key.client).collect();
        assert_eq!(clients, [Addr::from_v4(2_u32.to_be_bytes())]);
        assert_eq!(left.vendors[0].1.first, Timestamp::from_parts(1_000, 0));
    }

    #[test]
    fn two_writers_of_one_file_are_one_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.sqlite");
        let first = open(&path, Limits::default());
        let second = Writer::open(&path, Limits::default(), 1);
        assert!(matches!(second, Err(InventoryError::InUse { .. })), "{second:?}");
        drop(first);
        assert!(Writer::open(&path, Limits::default(), 1).is_ok());
    }

    #[test]
    fn changes_wait_within_their_limit_while_nothing_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.sqlite");
        let limits = Limits { pending: 100, ..Limits::default() };
        let Opened { writer, .. } = open(&path, limits);
        // A transaction of someone else's keeps the file locked for longer than the patience.
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        writer.submit((0..150).map(|n| change(n, Strength::Weak)).collect());
        writer.flush();
        let stats = writer.stats();
        assert_eq!((stats.pending.value(), stats.pending_lost.value()), (100, 50));
        assert_eq!(stats.written.value(), 0);
        assert!(stats.failed.value() > 0);
        other.execute_batch("COMMIT").unwrap();
        writer.submit(vec![change(0, Strength::Weak)]);
        writer.flush();
        assert_eq!((stats.pending.value(), stats.rows.value()), (0, 100));
        let first = Query { client: Some(Addr::from_v4([0; 4]).to_ip()), ..Query::default() };
        let found = Reader::open(&path).unwrap().findings(&first).unwrap().findings;
        assert_eq!(found[0].count, 4, "what waited and what came later were added");
    }
}
