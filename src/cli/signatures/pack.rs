//! `signatures pack`: a directory of signature files and lists becomes one file that is signed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use minisign::{PublicKey, SecretKeyBox};

use super::super::Failure;
use super::lines::{Line, each_line};
use super::{SourceArgs, refusal, whole};
use crate::config::signatures::{LoadError, Sources};
use crate::signature::exchange::{Taken, admit};
use crate::signature::pack::{self, Builder, FileText, List, Manifest};
use crate::signature::{Fault, Pack, Pattern, Set, format, lint};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory with signature files, and the lists that they name beside them
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// File to write; DIR with the extension .pack when absent
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the pack is called in metrics and reports; the directory's name when absent
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its version; today when absent
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Secret key, as `minisign -G` makes it, to sign with. A password is taken from
    /// MINISIGN_PASSWORD, or asked for
    #[arg(long, value_name = "FILE")]
    secret_key: Option<PathBuf>,
    /// Lines of lists that are reported one by one; the others are counted
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    show_skipped: usize,
    #[command(flatten)]
    sources: SourceArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let directory = &args.directory;
    let texts = texts(directory)?;
    let mut files = Vec::new();
    let mut faults = Vec::new();
    for FileText { name, text } in &texts {
        match format::parse(&directory.join(name).to_string_lossy(), text) {
            Ok(file) => files.push(file),
            Err(found) => faults.extend(found),
        }
    }
    faults.extend(without_base(lint::check(&files)));
    if !faults.is_empty() {
        faults.sort();
        return Err(refusal(LoadError::Wrong(faults)));
    }

    let mut builder = Builder::default();
    let mut lists = Vec::new();
    let mut skipped = 0;
    for located in files.iter().flat_map(|file| &file.indicators) {
        if let Pattern::Listed { list, exact } = &located.record.pattern {
            let number = u16::try_from(lists.len()).context("more than 65,536 lists")?;
            let path = directory.join(&**list);
            skipped += read_list(&path, *exact, number, &mut builder, args.show_skipped)?;
            let indicator = located.record.id.to_string();
            lists.push(List { indicator, exact: *exact, names: 0 });
        }
    }
    if skipped > 0 {
        say!("{skipped} lines were skipped");
    }
    let today = jiff::Zoned::now().date().to_string();
    // `.` has no name of its own.
    let named = match directory.file_name() {
        Some(_) => directory.clone(),
        None => directory
            .canonicalize()
            .with_context(|| format!("cannot read {}", directory.display()))?,
    };
    let directory_name = || named.file_name().map(|name| name.to_string_lossy().into_owned());
    let manifest = Manifest {
        name: args.name.clone().or_else(directory_name).unwrap_or_else(|| "pack".to_owned()),
        version: args.version.clone().unwrap_or_else(|| today.clone()),
        created: today,
        lists,
        files: texts,
    };
    let names = builder.len();
    let mut octets = builder.finish(manifest).map_err(anyhow::Error::from)?;
    let pack = Pack::read(octets.clone()).map_err(anyhow::Error::from)?;
    let digest = crate::signature::set::hex(pack.digest());
    check_use(files, pack, &args.sources.sources()?)?;
    if let Some(key) = &args.secret_key {
        let signature = sign(key, &octets)?;
        pack::append_signature(&mut octets, &signature);
    }
    let output = args.output.clone().unwrap_or_else(|| named.with_extension("pack"));
    whole::write(&output, &octets)?;
    say!(
        "{}: {names} names, {} octets, {}, SHA-256 {digest}",
        output.display(),
        octets.len(),
        if args.secret_key.is_some() { "signed" } else { "not signed" },
    );
    Ok(())
}

/// The signature files of a directory, by name.
fn texts(directory: &Path) -> anyhow::Result<Vec<FileText>> {
    let mut texts = Vec::new();
    let cannot = || format!("cannot read {}", directory.display());
    for entry in fs::read_dir(directory).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            texts.push(FileText { name: name.to_owned(), text });
        }
    }
    if texts.is_empty() {
        bail!("{} holds no signature file (*.toml)", directory.display());
    }
    texts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(texts)
}

/// The errors; that a vendor is described elsewhere is seen when the pack is tried out.
fn without_base(faults: Vec<Fault>) -> impl Iterator<Item = Fault> {
    faults.into_iter().filter(|fault| fault.is_error() && fault.key != "vendor.extends")
}

/// Adds the names of a file, a line each; says how many lines were skipped.
fn read_list(
    path: &Path,
    exact: bool,
    number: u16,
    builder: &mut Builder,
    show: usize,
) -> Result<usize, Failure> {
    let mut skipped = 0;
    each_line(path, |Line { number: at, octets, bar }| {
        let text = octets.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            return Ok(());
        }
        let taken = core::str::from_utf8(text)
            .map_err(|error| error.to_string())
            .and_then(|text| admit(text, exact).map_err(|skipped| skipped.to_string()));
        match taken {
            Ok(Taken::Name { name, .. }) => {
                builder.add(&name, number).map_err(anyhow::Error::from)?;
            }
            Ok(Taken::Prefix(_)) => {}
            Err(reason) => {
                skipped += 1;
                if skipped <= show {
                    bar.suspend(|| say!("{}:{at}: {reason}: skipped", path.display()));
                }
            }
        }
        Ok(())
    })?;
    Ok(skipped)
}

/// Does the pack work beside the other files, as it will in the daemon?
fn check_use(
    mut files: Vec<crate::signature::File>,
    pack: Pack,
    sources: &Sources,
) -> Result<(), Failure> {
    let replaced: HashSet<_> = files
        .iter()
        .filter(|file| !file.extends)
        .map(|file| Arc::clone(&file.vendor.record.id))
        .collect();
    let mut others = sources.read_files().map_err(refusal)?.files;
    others.retain(|file| !replaced.contains(&file.vendor.record.id));
    files.append(&mut others);
    Set::with_packs(files, vec![Arc::new(pack)])
        .map(drop)
        .map_err(|faults| refusal(LoadError::Wrong(faults)))
}

fn sign(path: &Path, octets: &[u8]) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let key = SecretKeyBox::from_string(&text)
        .with_context(|| format!("{} is no secret key", path.display()))?;
    let secret = match SecretKeyBox::from_string(&text)?.into_unencrypted_secret_key() {
        Ok(secret) => secret,
        Err(_) => key
            .into_secret_key(std::env::var("MINISIGN_PASSWORD").ok())
            .with_context(|| format!("cannot open {}", path.display()))?,
    };
    let public = PublicKey::from_secret_key(&secret)?;
    let comment = format!("timestamp:{}", jiff::Timestamp::now().as_second());
    let signature = minisign::sign(
        Some(&public),
        &secret,
        io::Cursor::new(octets),
        Some(&comment),
        Some("signature of a vendorwatch pack"),
    )?;
    Ok(signature.into_string())
}
