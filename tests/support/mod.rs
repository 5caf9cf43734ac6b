//! What several test modules share.

pub(crate) mod counting;
pub(crate) mod process;
pub(crate) mod talk;
pub(crate) mod wire;

use std::env;
use std::path::{Path, PathBuf};

/// A folder of third-party test data that is not part of this repository: `../shared` beside the
/// checkout, or `$VENDORWATCH_SHARED`.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let root = env::var_os("VENDORWATCH_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(folder);
    path.is_dir().then_some(path)
}

/// A file of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
