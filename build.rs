//! Lists the files of `signatures/` for `signature::embedded`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=signatures");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("signatures.rs"), list(&root.join("signatures"))?)
}

/// An array expression of `(name, include_str!(path))`, sorted by name.
fn list(dir: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml")
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    let mut text = String::from("&[\n");
    for name in names {
        let path = dir.join(&name).display().to_string();
        let shown = format!("signatures/{name}");
        let _ = writeln!(text, "    ({shown:?}, include_str!({path:?})),");
    }
    text.push_str("]\n");
    Ok(text)
}
