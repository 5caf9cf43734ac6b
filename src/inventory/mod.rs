//! Findings on disk: what was ever seen survives restarts, crashes and reloads.
//!
//! In: changes of findings, as the correlator hands them out. Out: the findings and first sights
//! of earlier runs, for the daemon that starts and for `vendorwatch inventory`, which may read
//! while the daemon writes. One SQLite file in WAL mode: a transaction is there whole or not at
//! all, whatever kills the process.
//!
//! It is bounded in rows and octets, because whoever can send packets can invent clients: the
//! weakest findings go first, of these the oldest. When the disk is full it keeps what waits
//! within a limit, counts what it loses, and holds nobody up.

mod location;
mod lock;
mod query;
mod retention;
mod schema;
mod store;
mod writer;

pub use location::Location;
pub use query::{Answer, Query, Reader};
pub use store::{Limits, Restored};
pub use writer::{Opened, Stats, Writer};

use std::io;
use std::path::PathBuf;

/// Why an inventory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryError {
    /// There is no such file.
    #[error(
        "{path}: no inventory there; `vendorwatch run` makes one when it is given a place: \
         --state-dir DIR (daemon.state_dir), or a path as inventory.path; name another with \
         --inventory FILE"
    )]
    Missing { path: PathBuf },
    /// The file, or a directory on the way to it, is not for this user.
    #[error(
        "{path}: this user may not read it, whether there is an inventory or not; try as root, or \
         as the user that `vendorwatch run` has"
    )]
    Denied { path: PathBuf },
    /// The file is a database of something else.
    #[error("{path}: not an inventory of vendorwatch; choose another path")]
    Foreign { path: PathBuf },
    /// The file is damaged, or no database at all.
    #[error("{path}: damaged ({what}); move it away, or restore a copy")]
    Damaged { path: PathBuf, what: String },
    /// The file was written by a later program.
    #[error("{path}: schema {found} is newer than this program's {known}; use a newer vendorwatch")]
    Newer { path: PathBuf, found: i64, known: i64 },
    /// The file was written by an earlier program and may only be read here.
    #[error(
        "{path}: schema {found} is older than this program's {known}; `vendorwatch run` converts it when it starts"
    )]
    Older { path: PathBuf, found: i64, known: i64 },
    /// Another process writes to it.
    #[error(
        "{path}: another vendorwatch writes to this inventory; stop it, or choose another path"
    )]
    InUse { path: PathBuf },
    /// The directory or a file beside the database.
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    /// The disk refused.
    #[error("{path}: {error}; is the disk full?")]
    NoRoom { path: PathBuf, error: rusqlite::Error },
    /// Anything else SQLite says.
    #[error("{path}: {error}")]
    Database { path: PathBuf, error: rusqlite::Error },
}
