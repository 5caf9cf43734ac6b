//! Files that are written whole: a reader, and who runs out of disk, has the old one or the new one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A file under way. It takes its place when it is finished; given up, it leaves nothing.
pub(super) struct Whole {
    out: BufWriter<File>,
    /// Where it is written, if not in its place.
    beside: Option<PathBuf>,
    path: PathBuf,
}

impl Whole {
    /// Begins the file at `path`. What is there and no file, as /dev/null, is written to and not put
    /// out of its place.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let there = fs::symlink_metadata(path);
        let beside = there.as_ref().map_or(true, fs::Metadata::is_file).then(|| {
            let mut name: OsString = path.into();
            name.push(".new");
            PathBuf::from(name)
        });
        let begin = || -> io::Result<_> {
            let file = File::create(beside.as_deref().unwrap_or(path))?;
            if let (Some(_), Ok(there)) = (&beside, &there) {
                file.set_permissions(there.permissions())?;
            }
            Ok(BufWriter::new(file))
        };
        let out = begin().with_context(|| cannot(path))?;
        Ok(Self { out, beside, path: path.to_owned() })
    }

    /// Puts it in its place.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let placed = self.out.flush().and_then(|()| match &self.beside {
            Some(beside) => fs::rename(beside, &self.path),
            None => Ok(()),
        });
        if placed.is_ok() {
            self.beside = None;
        }
        placed.with_context(|| cannot(&self.path))
    }
}

impl Write for Whole {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.out.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // What is there of it is of no use, and may be what fills the disk.
            let _ = fs::remove_file(beside);
        }
    }
}

/// Writes a file whose text is at hand.
pub(super) fn write(path: &Path, octets: &[u8]) -> anyhow::Result<()> {
    let mut whole = Whole::create(path)?;
    whole.write_all(octets).with_context(|| cannot(path))?;
    whole.finish()
}

fn cannot(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
