//! Where signatures come from: the files in the binary, directories with files and packs, and
//! whose packs are trusted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use super::packs::Trust;
use super::{Config, keys};
use crate::signature::pack::PackError;
use crate::signature::{Fault, File, Pack, Set, Severity, embedded, format, lint};

/// What to load.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sources {
    /// Begin with the files in the binary.
    pub built_in: bool,
    /// Directories with `*.toml` files and `*.pack` packs. A file replaces earlier ones of the same
    /// vendor; so does a file within a pack, and files stand before packs.
    pub directories: Vec<PathBuf>,
    /// Public keys in minisign's form; a signed pack must be signed with one of them.
    pub keys: Vec<String>,
    /// Refuse packs without a signature.
    pub require_signed: bool,
}

impl Default for Sources {
    fn default() -> Self {
        Self { built_in: true, directories: Vec::new(), keys: Vec::new(), require_signed: false }
    }
}

/// Why there is no set.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: io::Error },
    /// A set that finds nothing would report absence that it cannot know.
    #[error(
        "the signatures hold no indicator; add a directory with signature files, or use the \
         built-in ones"
    )]
    Empty,
    #[error("{}: {why}", path.display())]
    Pack { path: PathBuf, why: PackError },
    #[error("{}: {why}", path.display())]
    Untrusted { path: PathBuf, why: Untrusted },
    #[error("signature key {key:?}: {why}")]
    Key { key: String, why: String },
    /// All that is wrong, in the order of files and lines.
    #[error("{}", Report(.0))]
    Wrong(Vec<Fault>),
}

/// Why a pack is not believed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Untrusted {
    #[error("has no signature, and signatures.require_signed asks for one")]
    Unsigned,
    #[error("has a signature that cannot be read: {0}")]
    Unreadable(String),
    #[error("is signed, but with none of the keys in signatures.keys")]
    Stranger,
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

/// What was read: the files of all sources, the packs they speak of, and the faults on the way.
#[derive(Debug, Default)]
pub struct Contents {
    pub files: Vec<File>,
    pub packs: Vec<Arc<Pack>>,
    /// What could be read of files with faults.
    pub parts: Vec<File>,
    pub faults: Vec<Fault>,
}

impl Contents {
    fn add(&mut self, name: &str, text: &str, files: &mut ByVendor) {
        match format::parse_part(name, text) {
            (Some(file), faults) if faults.is_empty() => files.add(file),
            (part, mut faults) => {
                self.parts.extend(part);
                self.faults.append(&mut faults);
            }
        }
    }

    /// Every fault, those of meaning too; in the order of files and lines.
    #[must_use]
    pub fn all_faults(&self) -> Vec<Fault> {
        let mut faults = self.faults.clone();
        faults.extend(lint::check(&self.files));
        faults.extend(lint::check_parts(&self.parts));
        faults.sort();
        faults
    }
}

impl Sources {
    /// As a configuration says.
    #[must_use]
    pub fn configured(config: &Config) -> Self {
        Self {
            built_in: config.switch(&keys::SIGNATURES_BUILT_IN),
            directories: config
                .list(&keys::SIGNATURES_DIRECTORIES)
                .iter()
                .map(PathBuf::from)
                .collect(),
            keys: config.list(&keys::SIGNATURES_KEYS).to_vec(),
            require_signed: config.switch(&keys::SIGNATURES_REQUIRE_SIGNED),
        }
    }

    /// Reads, checks and compiles. A set with one error is refused whole.
    pub fn load(&self) -> Result<Set, LoadError> {
        self.load_beside(&[])
    }

    /// As [`Self::load`], in a process that holds these packs already.
    pub fn load_beside(&self, held: &[Arc<Pack>]) -> Result<Set, LoadError> {
        let contents = self.read_beside(Some(held), &mut Err)?;
        let mut faults = contents.all_faults();
        faults.retain(Fault::is_error);
        if !faults.is_empty() {
            return Err(LoadError::Wrong(faults));
        }
        let Contents { files, packs, .. } = contents;
        let set = Set::with_packs(files, packs).map_err(LoadError::Wrong)?;
        if set.indicators().is_empty() { Err(LoadError::Empty) } else { Ok(set) }
    }

    /// Reads every file; what is no signatures, or not trusted, is a fault, what cannot be read at
    /// all an error.
    pub fn read(&self) -> Result<Contents, LoadError> {
        let mut faults = Vec::new();
        let mut contents = self.read_beside(Some(&[]), &mut |error| match error {
            LoadError::Pack { path, why } => {
                faults.push(fault_of(&path, why.to_string(), "build it anew"));
                Ok(())
            }
            LoadError::Untrusted { path, why } => {
                faults.push(fault_of(&path, why.to_string(), "sign it with one of the keys"));
                Ok(())
            }
            other => Err(other),
        })?;
        contents.faults.append(&mut faults);
        Ok(contents)
    }

    /// As [`Self::read`], without packs: what a new pack is held against, which may take the place
    /// of one of them.
    pub fn read_files(&self) -> Result<Contents, LoadError> {
        self.read_beside(None, &mut Err)
    }

    /// Without `held` no pack is read; `broken` decides what a pack that cannot be used means for
    /// all of it.
    fn read_beside(
        &self,
        held: Option<&[Arc<Pack>]>,
        broken: &mut dyn FnMut(LoadError) -> Result<(), LoadError>,
    ) -> Result<Contents, LoadError> {
        let trust = Trust::new(&self.keys, self.require_signed)?;
        let mut contents = Contents::default();
        let mut files = ByVendor::default();
        if self.built_in {
            for &(name, text) in embedded::FILES {
                contents.add(name, text, &mut files);
            }
        }
        for directory in &self.directories {
            files.next_source();
            let packs = if held.is_some() { files_of(directory, "pack")? } else { Vec::new() };
            for path in packs {
                let pack = match trust.read(&path, held.unwrap_or_default()) {
                    Ok(pack) => pack,
                    Err(error) => {
                        broken(error)?;
                        continue;
                    }
                };
                for file in &pack.manifest().files {
                    let name = format!("{}:{}", path.display(), file.name);
                    contents.add(&name, &file.text, &mut files);
                }
                contents.packs.push(pack);
            }
            files.next_source();
            for path in files_of(directory, "toml")? {
                let text = fs::read_to_string(&path)
                    .map_err(|why| LoadError::Unreadable { path: path.clone(), why })?;
                contents.add(&path.to_string_lossy(), &text, &mut files);
            }
        }
        contents.files = files.into_files();
        Ok(contents)
    }
}

/// A pack is wrong as a whole.
fn fault_of(path: &Path, problem: String, advice: &str) -> Fault {
    Fault {
        file: path.to_string_lossy().into(),
        line: 1,
        severity: Severity::Error,
        key: "pack".to_owned(),
        problem,
        advice: advice.to_owned(),
    }
}

/// Files by vendor; of two vendors of one name in one source both are kept, so that the lint can
/// point at them. Files that extend a vendor replace nothing.
#[derive(Default)]
struct ByVendor {
    extensions: Vec<File>,
    earlier: BTreeMap<Arc<str>, Vec<File>>,
    here: BTreeMap<Arc<str>, Vec<File>>,
}

impl ByVendor {
    fn add(&mut self, file: File) {
        if file.extends {
            self.extensions.push(file);
        } else {
            self.here.entry(Arc::clone(&file.vendor.record.id)).or_default().push(file);
        }
    }

    /// From now on files replace those of before.
    fn next_source(&mut self) {
        self.earlier.append(&mut self.here);
    }

    fn into_files(mut self) -> Vec<File> {
        self.next_source();
        self.earlier.into_values().flatten().chain(self.extensions).collect()
    }
}

/// The files of a directory with this extension, by name. A path to a file stands for itself, and
/// is TOML unless it is called a pack.
fn files_of(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |why| LoadError::Unreadable { path: directory.to_owned(), why };
    let is_ours = |path: &Path| path.extension().is_some_and(|found| found == extension);
    if directory.is_file() {
        let is_pack = directory.extension().is_some_and(|found| found == "pack");
        let wanted = is_pack == (extension == "pack");
        return Ok(wanted.then(|| directory.to_owned()).into_iter().collect());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if is_ours(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
