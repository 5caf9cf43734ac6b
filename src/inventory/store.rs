//! Findings in tables: merged in, capped, read back.

use core::time::Duration;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};

use super::lock::beside;
use super::query::{self, Query};
use super::{InventoryError, schema};
use crate::detect::{Finding, FindingKey, Role, Seen, Tally, VendorKey};
use crate::inspect::Signal;
use crate::signature::{Class, Strength};
use crate::time::Timestamp;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Findings on disk; beyond them the weakest go, of these the oldest.
    pub rows: u64,
    /// Octets of the database file. Its WAL takes some more while a transaction is written.
    pub bytes: u64,
    /// Findings not seen for this long are removed. First sights of vendors stay.
    pub retention: Duration,
    /// Findings that wait in memory while the disk refuses them.
    pub pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 1_000_000,
            bytes: 1 << 30,
            retention: Duration::from_secs(400 * 24 * 3_600),
            pending: 65_536,
        }
    }
}

/// What an earlier run left: see [`Correlator::restore`](crate::detect::Correlator::restore).
#[derive(Debug, Default)]
pub struct Restored {
    pub findings: Vec<Finding>,
    pub vendors: Vec<(VendorKey, Seen)>,
}

/// The open database of a writer.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// The file that was opened, and its WAL; none while there is no such file.
    files: [Option<FileId>; 2],
    connection: Connection,
    limits: Limits,
    rows: u64,
}

/// What a write removed to keep the caps.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Written {
    pub evicted: u64,
}

impl Store {
    /// Opens or makes the database at `path`.
    pub(super) fn open(path: &Path, limits: Limits) -> Result<Self, InventoryError> {
        let connection = schema::open(path)?;
        let blame = |error| schema::blame(path, error);
        let page = number(&connection, "PRAGMA page_size").map_err(blame)?;
        let pages = (limits.bytes / page.max(1)).max(LEAST_PAGES);
        number(&connection, &format!("PRAGMA max_page_count = {pages}")).map_err(blame)?;
        let rows = number(&connection, "SELECT count(*) FROM finding").map_err(blame)?;
        Ok(Self { path: path.to_owned(), files: files_at(path), connection, limits, rows })
    }

    /// Is the file that is written to still the one at its path? Somebody may have removed it, or
    /// put another in its place, and would find nothing there of what is written from then on.
    pub(super) fn is_in_place(&self) -> bool {
        let [opened, _] = self.files;
        opened.is_some() && opened == files_at(&self.path)[0]
    }

    /// Goes on in the file that is at the path now, or in a new one.
    pub(super) fn open_again(&mut self) -> Result<(), InventoryError> {
        self.leave();
        // The old file is let go before the other is opened.
        self.connection =
            Connection::open_in_memory().map_err(|error| schema::blame(&self.path, error))?;
        self.rows = 0;
        *self = Self::open(&self.path, self.limits)?;
        Ok(())
    }

    /// Takes the WAL of a file that is not in its place any more away. SQLite leaves it there, and
    /// whoever opens the other file would take it for its own.
    fn leave(&mut self) {
        let [opened, wal] = core::mem::take(&mut self.files);
        let [there, wal_there] = files_at(&self.path);
        if opened.is_some() && opened != there && wal.is_some() && wal == wal_there {
            for companion in ["wal", "shm"] {
                // What cannot be removed here cannot be written beside either.
                let _ = std::fs::remove_file(beside(&self.path, companion));
            }
        }
    }

    /// The findings seen last, at most `most`, and all first sights of vendors.
    pub(super) fn restore(&self, most: usize) -> rusqlite::Result<Restored> {
        let newest = Query { newest: Some(most), ..Query::default() };
        Ok(Restored {
            findings: query::findings(&self.connection, &newest)?.findings,
            vendors: query::vendors(&self.connection)?,
        })
    }

    /// Adds changes to what is kept: all of them or none.
    pub(super) fn merge<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Finding>,
    ) -> rusqlite::Result<Written> {
        let mut rows = self.rows;
        let transaction = self.connection.transaction()?;
        let mut vendors = BTreeMap::<VendorKey, Seen>::new();
        for change in changes {
            rows += u64::from(merge_finding(&transaction, change)?);
            let FindingKey { vendor, strength, network, .. } = &change.key;
            let seen = vendors
                .entry((Arc::clone(vendor), *strength, Arc::clone(network)))
                .or_insert(Seen { first: change.first_seen, last: change.last_seen });
            seen.first = seen.first.min(change.first_seen);
            seen.last = seen.last.max(change.last_seen);
        }
        for (key, seen) in &vendors {
            merge_vendor(&transaction, key, *seen)?;
        }
        let evicted = match rows.checked_sub(self.limits.rows) {
            Some(over) if over > 0 => remove_least(&transaction, over)?,
            _ => 0,
        };
        transaction.commit()?;
        self.rows = rows.saturating_sub(evicted);
        Ok(Written { evicted })
    }

    /// Removes a sixteenth of the findings, the least first, when the cap on octets is what
    /// stopped a write; a disk that is full would gain nothing.
    pub(super) fn make_room(&mut self) -> rusqlite::Result<u64> {
        let used = number(&self.connection, "PRAGMA page_count")?;
        let most = number(&self.connection, "PRAGMA max_page_count")?;
        // A write that failed gave its pages back: near the cap is at the cap.
        if used < most - most / 8 || self.rows == 0 {
            return Ok(0);
        }
        let transaction = self.connection.transaction()?;
        let removed = remove_least(&transaction, self.rows.div_ceil(16))?;
        transaction.commit()?;
        self.rows = self.rows.saturating_sub(removed);
        Ok(removed)
    }

    /// Removes what was not seen since `limits.retention` before `now`.
    pub(super) fn expire(&mut self, now: Timestamp) -> rusqlite::Result<u64> {
        let before = now.minus(self.limits.retention);
        let mut expired = 0;
        loop {
            // In portions, so that no transaction outgrows the WAL.
            let removed = self.connection.execute(
                "DELETE FROM finding WHERE id IN
                    (SELECT id FROM finding WHERE last_seen < ?1 LIMIT 4096)",
                [nanos(before)],
            )? as u64;
            expired += removed;
            self.rows = self.rows.saturating_sub(removed);
            if removed == 0 {
                return Ok(expired);
            }
        }
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// Octets of the database file.
    pub(super) fn bytes(&self) -> rusqlite::Result<u64> {
        let pages = number(&self.connection, "PRAGMA page_count")?;
        Ok(pages * number(&self.connection, "PRAGMA page_size")?)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Device and number: what tells a file from another.
type FileId = (u64, u64);

/// The database at `path`, and its WAL.
fn files_at(path: &Path) -> [Option<FileId>; 2] {
    [path, &beside(path, "wal")].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    })
}

/// True when the finding is new.
fn merge_finding(transaction: &Transaction<'_>, change: &Finding) -> rusqlite::Result<bool> {
    let key = &change.key;
    let client = key.client.to_string();
    let mac = change.mac.map(|mac| mac.to_string());
    let role = change.role.map(Role::label);
    let values = params![
        &*key.tenant,
        &*key.network,
        client,
        &*key.vendor,
        &*key.product,
        rank(key.strength),
        nanos(change.first_seen),
        nanos(change.last_seen),
        signed(change.count),
        change.last_name.as_str(),
        mac,
        role,
    ];
    let known: Option<i64> = transaction
        .prepare_cached(
            "UPDATE finding SET
                first_seen = min(first_seen, ?7), last_seen = max(last_seen, ?8),
                count = count + ?9,
                last_name = iif(?8 >= last_seen, ?10, last_name),
                mac = iif(?8 >= last_seen, coalesce(?11, mac), coalesce(mac, ?11)),
                role = iif(?8 >= last_seen, ?12, role)
             WHERE tenant = ?1 AND network = ?2 AND client = ?3 AND vendor = ?4
                AND product = ?5 AND strength = ?6
             RETURNING id",
        )?
        .query_row(values, |row| row.get(0))
        .optional()?;
    let finding = match known {
        Some(id) => id,
        None => transaction
            .prepare_cached(
                "INSERT INTO finding (tenant, network, client, vendor, product, strength,
                    first_seen, last_seen, count, last_name, mac, role)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .insert(values)?,
    };
    for ((indicator, signal), tally) in &change.tallies {
        merge_tally(transaction, finding, indicator, *signal, tally)?;
    }
    Ok(known.is_none())
}

fn merge_tally(
    transaction: &Transaction<'_>,
    finding: i64,
    indicator: &str,
    signal: Signal,
    tally: &Tally,
) -> rusqlite::Result<()> {
    // As in memory: beyond the most tallies, all others are one.
    let indicator: String = transaction
        .prepare_cached(
            "SELECT iif(
                EXISTS (SELECT 1 FROM tally WHERE finding = ?1 AND indicator = ?2 AND signal = ?3)
                OR (SELECT count(*) FROM tally WHERE finding = ?1) < ?4, ?2, ?5)",
        )?
        .query_row(
            params![
                finding,
                indicator,
                signal.label(),
                signed(Finding::MAX_TALLIES as u64),
                Finding::OTHERS
            ],
            |row| row.get(0),
        )?;
    transaction
        .prepare_cached(
            "INSERT INTO tally (finding, indicator, signal, purpose, class, count,
                first_seen, last_seen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (finding, indicator, signal) DO UPDATE SET
                purpose = iif(excluded.last_seen >= last_seen, excluded.purpose, purpose),
                class = iif(excluded.last_seen >= last_seen, excluded.class, class),
                count = count + excluded.count,
                first_seen = min(first_seen, excluded.first_seen),
                last_seen = max(last_seen, excluded.last_seen)",
        )?
        .execute(params![
            finding,
            indicator,
            signal.label(),
            tally.purpose.label(),
            tally.class.map(Class::label),
            signed(tally.count),
            nanos(tally.first_seen),
            nanos(tally.last_seen),
        ])?;
    Ok(())
}

fn merge_vendor(
    transaction: &Transaction<'_>,
    (vendor, strength, network): &VendorKey,
    seen: Seen,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO vendor (vendor, strength, network, first_seen, last_seen)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (vendor, strength, network) DO UPDATE SET
                first_seen = min(first_seen, excluded.first_seen),
                last_seen = max(last_seen, excluded.last_seen)",
        )?
        .execute(params![
            &**vendor,
            rank(*strength),
            &**network,
            nanos(seen.first),
            nanos(seen.last)
        ])?;
    Ok(())
}

fn remove_least(transaction: &Transaction<'_>, rows: u64) -> rusqlite::Result<u64> {
    let removed = transaction.execute(
        "DELETE FROM finding WHERE id IN
            (SELECT id FROM finding ORDER BY strength, last_seen LIMIT ?1)",
        [signed(rows)],
    )?;
    Ok(removed as u64)
}

/// Is the disk, or the cap on octets, what refused?
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// The one number that a statement answers.
fn number(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let found: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(u64::try_from(found).unwrap_or_default())
}

/// The weakest first.
pub(super) const fn rank(strength: Strength) -> i64 {
    match strength {
        Strength::Weak => 1,
        Strength::Moderate => 2,
        Strength::Strong => 3,
    }
}

/// Nanoseconds since the epoch; times beyond the year 2262 are that year.
pub(super) fn nanos(at: Timestamp) -> i64 {
    signed(at.as_nanos())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The empty tables and indexes alone take this many pages.
const LEAST_PAGES: u64 = 64;
