//! The built program, in a directory of its own.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Without the caller's configuration.
pub(super) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vendorwatch"));
    command.args(arguments).current_dir(directory).env_remove("VENDORWATCH_CONFIG");
    command
}

pub(super) fn vendorwatch(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).stdin(Stdio::null()).output().unwrap()
}

pub(super) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Runs a command that must succeed; what it printed.
pub(super) fn done(directory: &Path, arguments: &[&str]) -> String {
    let output = vendorwatch(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must refuse, and print nothing; what it said.
pub(super) fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = vendorwatch(directory, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    text(&output.stderr)
}

/// The answer of `match`.
pub(super) fn tsv(directory: &Path, more: &[&str], name: &str) -> String {
    let mut arguments = vec!["match", "--format", "tsv", name];
    arguments.extend_from_slice(more);
    done(directory, &arguments)
}

/// A signature file of a made-up vendor: the values of its zones, in the order of its records.
pub(super) fn acme(zones: &[&str]) -> String {
    use std::fmt::Write;

    let mut text = "[vendor]\nid = \"acme\"\nname = \"Acme\"\ncountry = \"XX\"\n\
                    default_enabled = false\ndisabled_reason = \"made up\"\n"
        .to_owned();
    for (number, zone) in (1_900_001..).zip(zones) {
        write!(
            text,
            "\n[[indicator]]\nid = \"acme.n{number}\"\nnumber = {number}\n\
             match = {{ kind = \"suffix\", value = \"{zone}\" }}\npurpose = \"update\"\n\
             product = \"Agent\"\nstrength = \"strong\"\nconfounders = [\"none known\"]\n\
             evidence = [{{ class = \"A\", title = \"Handbook\", reference = \"https://acme.example/h\", \
             retrieved = \"2026-11-21\", says = \"update server\" }}]\n\
             first_seen = \"2026-11-21\"\nreview_by = \"2027-05-21\"\n"
        )
        .unwrap();
    }
    text
}
