//! Packs on the disk: read, checked and believed, or known already.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use minisign::{PublicKey, SignatureBox};
use sha2::{Digest, Sha256};

use super::signatures::{LoadError, Untrusted};
use crate::signature::Pack;
use crate::signature::pack;

/// Whose packs are believed.
#[derive(Debug)]
pub(super) struct Trust {
    keys: Vec<PublicKey>,
    require_signed: bool,
}

impl Trust {
    /// `keys` in minisign's form: as in a key file, or its second line alone.
    pub(super) fn new(keys: &[String], require_signed: bool) -> Result<Self, LoadError> {
        let read = |key: &String| {
            let line = key.trim().lines().next_back().unwrap_or_default();
            PublicKey::from_base64(line.trim())
                .map_err(|error| LoadError::Key { key: key.clone(), why: error.to_string() })
        };
        Ok(Self { keys: keys.iter().map(read).collect::<Result<_, _>>()?, require_signed })
    }

    /// Reads a pack, or takes it from `held` when its octets are there already: a reload would
    /// have two packs of a hundred megabytes in memory otherwise.
    pub(super) fn read(&self, path: &Path, held: &[Arc<Pack>]) -> Result<Arc<Pack>, LoadError> {
        let unreadable = |why| LoadError::Unreadable { path: path.to_owned(), why };
        let untrusted = |why| LoadError::Untrusted { path: path.to_owned(), why };
        if let Some((pack, signature)) = find(path, held).map_err(unreadable)? {
            self.check(signature.as_deref(), || Signed::of(pack)).map_err(untrusted)?;
            return Ok(Arc::clone(pack));
        }
        let octets = fs::read(path).map_err(unreadable)?;
        let (body, signature) = pack::split_signature(&octets);
        self.check(signature, || Cursor::new(body)).map_err(untrusted)?;
        let pack =
            Pack::read(octets).map_err(|why| LoadError::Pack { path: path.to_owned(), why })?;
        Ok(Arc::new(pack))
    }

    /// Is `signature` one of `body` by somebody who is believed?
    fn check<R: Read + Seek>(
        &self,
        signature: Option<&str>,
        body: impl Fn() -> R,
    ) -> Result<(), Untrusted> {
        let Some(signature) = signature else {
            return if self.require_signed { Err(Untrusted::Unsigned) } else { Ok(()) };
        };
        if self.keys.is_empty() && !self.require_signed {
            return Ok(());
        }
        let signature = SignatureBox::from_string(signature)
            .map_err(|error| Untrusted::Unreadable(error.to_string()))?;
        let signed_by =
            |key: &PublicKey| minisign::verify(key, &signature, body(), true, false, false).is_ok();
        if self.keys.iter().any(signed_by) { Ok(()) } else { Err(Untrusted::Stranger) }
    }
}

/// The pack of `held` whose octets the file at `path` has, and the file's signature. All of the
/// file is hashed, none of it kept.
fn find<'a>(
    path: &Path,
    held: &'a [Arc<Pack>],
) -> io::Result<Option<(&'a Arc<Pack>, Option<String>)>> {
    if held.is_empty() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let end_len = len.min(END_LEN);
    file.seek(SeekFrom::Start(len - end_len))?;
    let mut end = Vec::new();
    file.by_ref().take(end_len).read_to_end(&mut end)?;
    let (body, signature) = pack::split_signature(&end);
    let Some((body, digest)) = body.split_last_chunk() else { return Ok(None) };
    let Some(pack) = held.iter().find(|pack| pack.digest() == digest) else { return Ok(None) };
    let body_len = len - end_len + body.len() as u64;
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut body = BufReader::with_capacity(1 << 16, file.take(body_len));
    while let part @ [_, ..] = body.fill_buf()? {
        hasher.update(part);
        let len = part.len();
        body.consume(len);
    }
    let is_same = hasher.finalize().as_slice() == digest;
    Ok(is_same.then(|| (pack, signature.map(str::to_owned))))
}

/// The library asks for a reader that could be rewound, and never rewinds it.
struct Signed<'a>(io::Chain<&'a [u8], &'a [u8]>);

impl<'a> Signed<'a> {
    fn of(pack: &'a Pack) -> Self {
        let [octets, digest] = pack.signed_octets();
        Self(octets.chain(digest))
    }
}

impl Read for Signed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Signed<'_> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Octets at the end of a file that hold its hash and its signature, with room to spare: minisign's
/// signatures have some three hundred octets. With a longer one the pack is read anew.
const END_LEN: u64 = 8_192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::pack::{Builder, List, Manifest};

    fn built(name: &str) -> Vec<u8> {
        let mut builder = Builder::default();
        builder.add(name, 0).unwrap();
        let list = List { indicator: "a.list".into(), exact: false, names: 0 };
        builder.finish(Manifest { lists: vec![list], ..Manifest::default() }).unwrap()
    }

    fn trust(keys: &[&minisign::PublicKey], require_signed: bool) -> Trust {
        let keys: Vec<String> = keys.iter().map(|key| key.to_base64()).collect();
        Trust::new(&keys, require_signed).unwrap()
    }

    #[test]
    fn a_pack_that_is_there_already_is_not_read_again_but_checked_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pack");
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let stranger = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let mut octets = built("one.example.com");
        let data = Cursor::new(octets.clone());
        let signature = minisign::sign(Some(&pair.pk), &pair.sk, data, None, None).unwrap();
        pack::append_signature(&mut octets, &signature.into_string());
        fs::write(&path, &octets).unwrap();

        let first = trust(&[&pair.pk], true).read(&path, &[]).unwrap();
        let held = [Arc::clone(&first)];
        let again = trust(&[&pair.pk], true).read(&path, &held).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let refused = trust(&[&stranger.pk], true).read(&path, &held);
        assert!(matches!(refused, Err(LoadError::Untrusted { why: Untrusted::Stranger, .. })));

        // The hash at the end still says that it is the same.
        octets[100] ^= 1;
        fs::write(&path, &octets).unwrap();
        let damaged = trust(&[], false).read(&path, &held);
        assert!(matches!(damaged, Err(LoadError::Pack { .. })), "{damaged:?}");

        fs::write(&path, built("one.example.com")).unwrap();
        let again = trust(&[&pair.pk], false).read(&path, &held).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let unsigned = trust(&[&pair.pk], true).read(&path, &held);
        assert!(matches!(unsigned, Err(LoadError::Untrusted { why: Untrusted::Unsigned, .. })));
        fs::write(&path, built("two.example.com")).unwrap();
        let other = trust(&[], false).read(&path, &held).unwrap();
        assert_ne!(other.digest(), first.digest());
    }
}
