//! The signature files of this repository, as the build put them into the binary.

use super::fault::Fault;
use super::format::{self, File};

/// Name and text of every file in `signatures/`, by name.
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/signatures.rs"));

/// The embedded files, read. The tests see to it that this succeeds for every commit.
pub fn files() -> Result<Vec<File>, Vec<Fault>> {
    format::parse_all(FILES.iter().map(|&(name, text)| (name, text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::Set;

    #[test]
    fn the_embedded_files_make_a_set() {
        let set = Set::build(files().unwrap()).unwrap();
        assert_eq!(set.vendors().len(), FILES.len());
        let hit = set.lookup("s00.upd.kaspersky.com").unwrap();
        assert_eq!(&*hit.indicator.vendor, "kaspersky");
        assert!(set.lookup("notkaspersky.com").is_none());
    }
}
