//! What several test modules share.

pub(crate) mod counting;
pub(crate) mod handshake;
pub(crate) mod made_up;
pub(crate) mod process;
pub(crate) mod talk;
pub(crate) mod wire;

use std::path::{Path, PathBuf};
use std::{env, fs};

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

/// The captures in a folder, by name.
pub(crate) fn captures_in(folder: &Path) -> Vec<PathBuf> {
    let mut captures: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    captures.retain(|path| path.extension().is_some_and(|ext| ext == "pcap" || ext == "pcapng"));
    captures.sort();
    captures
}

/// The repository's own captures, all of them Ethernet.
pub(crate) fn own_captures() -> Vec<PathBuf> {
    let captures = captures_in(&repository("tests/pcap"));
    assert!(captures.len() >= 4, "the repository holds its captures: {captures:?}");
    captures
}
