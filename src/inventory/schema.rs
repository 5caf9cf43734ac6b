//! The tables, and how older files become new ones.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::InventoryError;

/// What this program writes. Each step of [`MIGRATIONS`] adds one.
#[expect(clippy::cast_possible_wrap, reason = "a handful of migrations")]
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Step n turns schema n into schema n + 1; schema 0 is an empty file. A step that was released is
/// never changed.
const MIGRATIONS: [&str; 2] = [
    // Strength is a rank, so that the weakest sorts first. Times are nanoseconds since the epoch.
    // The empty indicator stands for all beyond the most that a finding tells apart.
    "CREATE TABLE finding (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        network TEXT NOT NULL,
        client TEXT NOT NULL,
        vendor TEXT NOT NULL,
        product TEXT NOT NULL,
        strength INTEGER NOT NULL,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        count INTEGER NOT NULL,
        last_name TEXT NOT NULL,
        mac TEXT,
        role TEXT,
        UNIQUE (tenant, network, client, vendor, product, strength)
    ) STRICT;
    CREATE INDEX finding_by_worth ON finding (strength, last_seen);
    CREATE TABLE tally (
        finding INTEGER NOT NULL REFERENCES finding (id) ON DELETE CASCADE,
        indicator TEXT NOT NULL,
        signal TEXT NOT NULL,
        purpose TEXT NOT NULL,
        class TEXT,
        count INTEGER NOT NULL,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        PRIMARY KEY (finding, indicator, signal)
    ) STRICT, WITHOUT ROWID;",
    // First sights of vendors must outlive the findings that the caps and the retention remove.
    "CREATE TABLE vendor (
        vendor TEXT NOT NULL,
        strength INTEGER NOT NULL,
        network TEXT NOT NULL,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        PRIMARY KEY (vendor, strength, network)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO vendor
        SELECT vendor, strength, network, min(first_seen), max(last_seen)
        FROM finding GROUP BY vendor, strength, network;
    CREATE INDEX finding_by_age ON finding (last_seen);",
];

/// Marks the file as ours (PRAGMA application_id): `vwch`.
const APPLICATION: i64 = 0x7677_6368;

/// How long the writer waits for someone else's transaction; changes wait in memory after that.
const WRITER_PATIENCE: Duration = Duration::from_secs(1);

/// How long a reader waits for the writer: for the recovery of a WAL, seldom at all.
const READER_PATIENCE: Duration = Duration::from_secs(5);

/// Opens the file for writing, makes it when there is none, and brings it up to date.
pub(super) fn open(path: &Path) -> Result<Connection, InventoryError> {
    // Client addresses are in it: for its owner and their group only.
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| InventoryError::File { path: path.to_owned(), error })?;
    let blame = |error| blame(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(blame)?;
    connection.busy_timeout(WRITER_PATIENCE).map_err(blame)?;
    check_owner(path, &connection)?;
    // In WAL mode NORMAL loses no commit to a crash of the process, and after a power cut the
    // file is whole though the last commits may be missing.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             PRAGMA foreign_keys = ON;
             PRAGMA journal_size_limit = 8388608;",
        )
        .map_err(blame)?;
    let fault: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(blame)?;
    if fault != "ok" {
        return Err(InventoryError::Damaged { path: path.to_owned(), what: fault });
    }
    migrate(path, &mut connection, VERSION)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Opens the file for reading only; its writer is not disturbed.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, InventoryError> {
    check_readable(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| blame(path, error))?;
    let connection = match ready_to_read(path, &connection) {
        Ok(()) => connection,
        // Without a writer, and without the right or the room to make the files of the WAL, the
        // database can still be read as what it is: a file that nobody changes.
        Err(error) if cannot_make_files(&error) && !has_changes_beside(path) => {
            let uri = format!("file:{}?immutable=1", escape(path));
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            let connection =
                Connection::open_with_flags(uri, flags).map_err(|error| blame(path, error))?;
            ready_to_read(path, &connection)?;
            connection
        }
        Err(error) => return Err(error),
    };
    Ok(connection)
}

/// Is there a WAL that holds something? One that could not be begun is empty.
fn has_changes_beside(path: &Path) -> bool {
    std::fs::metadata(super::lock::beside(path, "wal")).is_ok_and(|wal| wal.len() > 0)
}

fn cannot_make_files(error: &InventoryError) -> bool {
    match error {
        InventoryError::NoRoom { .. } => true,
        InventoryError::Database { error, .. } => {
            matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen))
        }
        _ => false,
    }
}

/// What SQLite calls "unable to open database file", told apart: what cannot be reached may be there.
fn check_readable(path: &Path) -> Result<(), InventoryError> {
    let is_directory = File::open(path).and_then(|file| Ok(file.metadata()?.is_dir()));
    let path = path.to_owned();
    match is_directory {
        Ok(false) => Ok(()),
        Ok(true) => Err(InventoryError::File { path, error: ErrorKind::IsADirectory.into() }),
        Err(error) => Err(match error.kind() {
            ErrorKind::NotFound => InventoryError::Missing { path },
            ErrorKind::PermissionDenied => InventoryError::Denied { path },
            _ => InventoryError::File { path, error },
        }),
    }
}

fn ready_to_read(path: &Path, connection: &Connection) -> Result<(), InventoryError> {
    connection.busy_timeout(READER_PATIENCE).map_err(|error| blame(path, error))?;
    check_owner(path, connection)?;
    let found = version(path, connection)?;
    if found < VERSION {
        return Err(InventoryError::Older { path: path.to_owned(), found, known: VERSION });
    }
    check_not_newer(path, found)
}

/// Brings the file from whatever schema it has up to `to`, one transaction a step.
pub(super) fn migrate(
    path: &Path,
    connection: &mut Connection,
    to: i64,
) -> Result<(), InventoryError> {
    let found = version(path, connection)?;
    check_not_newer(path, found)?;
    for (from, step) in (0..).zip(MIGRATIONS).skip_while(|(from, _)| *from < found) {
        if from >= to {
            break;
        }
        let mut run = || {
            let transaction = connection.transaction()?;
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", from + 1)?;
            transaction.commit()
        };
        run().map_err(|error| blame(path, error))?;
    }
    Ok(())
}

/// What an error of SQLite means to whoever named the file.
pub(super) fn blame(path: &Path, error: rusqlite::Error) -> InventoryError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            InventoryError::Damaged { path, what: error.to_string() }
        }
        // On a full disk the shared memory of the WAL cannot be made, which is an I/O error.
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
            InventoryError::NoRoom { path, error }
        }
        _ => InventoryError::Database { path, error },
    }
}

fn version(path: &Path, connection: &Connection) -> Result<i64, InventoryError> {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| blame(path, error))
}

fn check_not_newer(path: &Path, found: i64) -> Result<(), InventoryError> {
    if found > VERSION {
        return Err(InventoryError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    Ok(())
}

/// An empty file may become an inventory; a database of something else may not.
fn check_owner(path: &Path, connection: &Connection) -> Result<(), InventoryError> {
    let (application, tables): (i64, i64) = connection
        .query_row(
            "SELECT application_id, (SELECT count(*) FROM sqlite_schema)
             FROM pragma_application_id",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| blame(path, error))?;
    if application == APPLICATION || (application == 0 && tables == 0) {
        Ok(())
    } else {
        Err(InventoryError::Foreign { path: path.to_owned() })
    }
}

/// A path inside an SQLite URI.
fn escape(path: &Path) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-".contains(&octet);
    let octets = path.as_os_str().as_encoded_bytes().iter();
    octets
        .map(|&octet| match octet {
            octet if plain(octet) => char::from(octet).to_string(),
            octet => format!("%{octet:02x}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// A file as the first schema left it.
    const OLD: &str = "
        INSERT INTO finding VALUES
            (1, '', 'office', '192.0.2.1', 'acme', 'agent', 3, 100, 300, 4, 'a.example', NULL, NULL),
            (2, '', 'office', '192.0.2.2', 'acme', 'agent', 3, 50, 200, 1, 'b.example', NULL, NULL),
            (3, '', 'other', '192.0.2.2', 'acme', 'agent', 1, 10, 20, 1, 'c.example', NULL, NULL);
        INSERT INTO tally VALUES (1, 'acme.update', 'dns_query', 'update', 'A', 4, 100, 300);";

    #[test]
    fn an_older_file_becomes_what_a_new_one_is_and_keeps_what_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        for version in 0..VERSION {
            let _ = std::fs::remove_file(&old);
            let mut connection = Connection::open(&old).unwrap();
            migrate(&old, &mut connection, version).unwrap();
            if version > 0 {
                connection.execute_batch(OLD).unwrap();
            }
            drop(connection);
            let migrated = open(&old).unwrap();
            assert_eq!(columns(&migrated), columns(&open(&new).unwrap()), "from {version}");
            if version == 1 {
                let first: Vec<(String, i64, i64)> = migrated
                    .prepare("SELECT network, first_seen, last_seen FROM vendor ORDER BY 1")
                    .unwrap()
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                    .unwrap()
                    .map(Result::unwrap)
                    .collect();
                assert_eq!(first, [("office".into(), 50, 300), ("other".into(), 10, 20)]);
                let kept: i64 =
                    migrated.query_row("SELECT count(*) FROM tally", [], |row| row.get(0)).unwrap();
                assert_eq!(kept, 1);
            }
        }
    }

    #[test]
    fn what_is_not_ours_or_not_sound_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        assert!(matches!(open_to_read(&path), Err(InventoryError::Missing { .. })));

        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(open(&path), Err(InventoryError::Foreign { .. })));
        assert!(matches!(open_to_read(&path), Err(InventoryError::Foreign { .. })));

        std::fs::write(&path, "not a database, but long enough to be taken for one".repeat(99))
            .unwrap();
        assert!(matches!(open(&path), Err(InventoryError::Damaged { .. })));
        assert!(matches!(open_to_read(&path), Err(InventoryError::Damaged { .. })));

        std::fs::remove_file(&path).unwrap();
        let connection = open(&path).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(connection);
        assert!(matches!(open(&path), Err(InventoryError::Newer { .. })));
        assert!(matches!(open_to_read(&path), Err(InventoryError::Newer { .. })));
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", VERSION - 1).unwrap();
        drop(connection);
        assert!(matches!(open_to_read(&path), Err(InventoryError::Older { .. })));
    }

    #[test]
    fn a_file_on_a_medium_that_cannot_be_written_is_read_as_it_is() {
        assert_eq!(escape(Path::new("/var/lib/a b/ä?#")), "/var/lib/a%20b/%c3%a4%3f%23");
    }
}
