//! One writer a database: two daemons on one file would both add what both saw.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::InventoryError;

/// Held while its owner may write. The kernel gives it back when the process ends, however.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the database at `path`.
    pub(super) fn take(path: &Path) -> Result<Self, InventoryError> {
        let beside = beside(path, "lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&beside)
            .map_err(|error| InventoryError::File { path: beside.clone(), error })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(InventoryError::InUse { path: path.to_owned() })
            }
            Err(error) => Err(InventoryError::File { path: beside, error: io::Error::from(error) }),
        }
    }
}

/// `inventory.sqlite` + `lock` = `inventory.sqlite-lock`, as SQLite names its own.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-");
    name.push(suffix);
    name.into()
}
