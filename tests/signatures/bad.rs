//! One file for each way in which a signature file can be wrong, the way in its name; beside it
//! what is said about it. `VENDORWATCH_BLESS=1` writes the latter anew.

use std::{env, fs};

use vendorwatch::config::signatures::{LoadError, Sources};

use crate::support::repository;

#[test]
fn every_fault_is_named_with_its_line_and_what_to_do() {
    let mut wrong = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(repository("tests/signatures/bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        files += 1;
        let sources =
            Sources { built_in: false, directories: vec![path.clone()], ..Sources::default() };
        let said = match sources.load() {
            Err(LoadError::Wrong(faults)) => {
                assert!(faults.iter().all(|fault| !fault.advice.is_empty()), "{path:?}: no advice");
                let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let directory = format!("{}/", path.parent().unwrap().display());
                lines.join("\n").replace(&directory, "") + "\n"
            }
            Err(other) => panic!("{}: {other}", path.display()),
            Ok(_) => panic!("{}: nothing was found wrong", path.display()),
        };
        let golden = path.with_extension("faults");
        if env::var_os("VENDORWATCH_BLESS").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{}:\nsaid\n{said}expected\n{expected}", path.display()));
        }
    }
    assert!(files > 50, "{files} files: where are the others?");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
