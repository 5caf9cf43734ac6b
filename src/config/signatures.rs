//! Where signatures come from: the files in the binary, directories, and what may be trusted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use crate::signature::{Fault, File, Set, embedded, format, lint};

/// What to load.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sources {
    /// Begin with the files in the binary.
    pub built_in: bool,
    /// Directories with `*.toml` files. A file replaces an earlier one of the same vendor.
    pub directories: Vec<PathBuf>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { built_in: true, directories: Vec::new() }
    }
}

/// Why there is no set.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: io::Error },
    /// A set that finds nothing would report absence that it cannot know.
    #[error(
        "the signatures hold no indicator; add a directory with signature files, or use the built-in ones"
    )]
    Empty,
    /// All that is wrong, in the order of files and lines.
    #[error("{}", Report(.0))]
    Wrong(Vec<Fault>),
}

/// Faults as lines for a person.
#[derive(Debug)]
pub struct Report<'a>(pub &'a [Fault]);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl Sources {
    /// Reads, checks and compiles. A set with one error is refused whole.
    pub fn load(&self) -> Result<Set, LoadError> {
        let (files, mut faults) = self.read()?;
        faults.extend(lint::check(&files).into_iter().filter(Fault::is_error));
        if !faults.is_empty() {
            faults.sort();
            return Err(LoadError::Wrong(faults));
        }
        let set = Set::build(files).map_err(LoadError::Wrong)?;
        if set.indicators().is_empty() { Err(LoadError::Empty) } else { Ok(set) }
    }

    /// Reads every file; what cannot be read as signatures is a fault, what cannot be read at all
    /// an error.
    pub fn read(&self) -> Result<(Vec<File>, Vec<Fault>), LoadError> {
        let mut by_vendor: BTreeMap<Arc<str>, File> = BTreeMap::new();
        let mut faults = Vec::new();
        let mut clashes = Vec::new();
        if self.built_in {
            for &(name, text) in embedded::FILES {
                match format::parse(name, text) {
                    Ok(file) => {
                        by_vendor.insert(Arc::clone(&file.vendor.record.id), file);
                    }
                    Err(found) => faults.extend(found),
                }
            }
        }
        for directory in &self.directories {
            // Within one directory two files of one vendor are a mistake, not an override.
            let mut here: BTreeMap<Arc<str>, File> = BTreeMap::new();
            for path in toml_files(directory)? {
                let text = fs::read_to_string(&path)
                    .map_err(|why| LoadError::Unreadable { path: path.clone(), why })?;
                match format::parse(&path.to_string_lossy(), &text) {
                    Ok(file) => {
                        let id = Arc::clone(&file.vendor.record.id);
                        if let Some(first) = here.insert(id, file) {
                            clashes.push(first);
                        }
                    }
                    Err(found) => faults.extend(found),
                }
            }
            by_vendor.extend(here);
        }
        Ok((by_vendor.into_values().chain(clashes).collect(), faults))
    }
}

/// The `*.toml` files of a directory, by name. A path to a file stands for itself.
fn toml_files(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |why| LoadError::Unreadable { path: directory.to_owned(), why };
    if directory.is_file() {
        return Ok(vec![directory.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
