//! Where signatures come from: the files in the binary, directories with files and packs, and
//! whose packs are trusted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use minisign::{PublicKey, SignatureBox};

use super::{Config, keys};
use crate::signature::pack::{self, PackError};
use crate::signature::{Fault, File, Pack, Set, embedded, format, lint};

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
    pub faults: Vec<Fault>,
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
        let Contents { files, packs, mut faults } = self.read()?;
        faults.extend(lint::check(&files).into_iter().filter(Fault::is_error));
        if !faults.is_empty() {
            faults.sort();
            return Err(LoadError::Wrong(faults));
        }
        let set = Set::with_packs(files, packs).map_err(LoadError::Wrong)?;
        if set.indicators().is_empty() { Err(LoadError::Empty) } else { Ok(set) }
    }

    /// Reads every file; what cannot be read as signatures is a fault, what cannot be read at all,
    /// or is not trusted, an error.
    pub fn read(&self) -> Result<Contents, LoadError> {
        let keys = self.public_keys()?;
        let mut contents = Contents::default();
        let mut files = ByVendor::default();
        if self.built_in {
            for &(name, text) in embedded::FILES {
                files.add(format::parse(name, text), &mut contents.faults);
            }
        }
        for directory in &self.directories {
            files.next_source();
            for path in files_of(directory, "pack")? {
                let pack = self.read_pack(&path, &keys)?;
                for file in &pack.manifest().files {
                    let name = format!("{}:{}", path.display(), file.name);
                    files.add(format::parse(&name, &file.text), &mut contents.faults);
                }
                contents.packs.push(Arc::new(pack));
            }
            files.next_source();
            for path in files_of(directory, "toml")? {
                let text = fs::read_to_string(&path)
                    .map_err(|why| LoadError::Unreadable { path: path.clone(), why })?;
                files.add(format::parse(&path.to_string_lossy(), &text), &mut contents.faults);
            }
        }
        contents.files = files.into_files();
        Ok(contents)
    }

    fn read_pack(&self, path: &Path, keys: &[PublicKey]) -> Result<Pack, LoadError> {
        let octets =
            fs::read(path).map_err(|why| LoadError::Unreadable { path: path.to_owned(), why })?;
        self.trust(&octets, keys)
            .map_err(|why| LoadError::Untrusted { path: path.to_owned(), why })?;
        Pack::read(octets).map_err(|why| LoadError::Pack { path: path.to_owned(), why })
    }

    fn trust(&self, octets: &[u8], keys: &[PublicKey]) -> Result<(), Untrusted> {
        let (body, signature) = pack::split_signature(octets);
        let Some(signature) = signature else {
            return if self.require_signed { Err(Untrusted::Unsigned) } else { Ok(()) };
        };
        if keys.is_empty() && !self.require_signed {
            return Ok(());
        }
        let signature = SignatureBox::from_string(signature)
            .map_err(|error| Untrusted::Unreadable(error.to_string()))?;
        let signed_by = |key: &PublicKey| {
            minisign::verify(key, &signature, io::Cursor::new(body), true, false, false).is_ok()
        };
        if keys.iter().any(signed_by) { Ok(()) } else { Err(Untrusted::Stranger) }
    }

    fn public_keys(&self) -> Result<Vec<PublicKey>, LoadError> {
        self.keys
            .iter()
            .map(|key| {
                // As in a key file, or its second line alone.
                let line = key.trim().lines().next_back().unwrap_or_default();
                PublicKey::from_base64(line.trim())
                    .map_err(|error| LoadError::Key { key: key.clone(), why: error.to_string() })
            })
            .collect()
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
    fn add(&mut self, read: Result<File, Vec<Fault>>, faults: &mut Vec<Fault>) {
        match read {
            Ok(file) if file.extends => self.extensions.push(file),
            Ok(file) => {
                self.here.entry(Arc::clone(&file.vendor.record.id)).or_default().push(file);
            }
            Err(found) => faults.extend(found),
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
