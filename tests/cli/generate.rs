//! What the program prints about itself.

use super::{Run, vendorwatch};

#[test]
fn help_and_version_are_data_and_succeed() {
    let Run { code, stdout, stderr } = vendorwatch(["--version"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for part in [env!("CARGO_PKG_VERSION"), "revision: ", "features: ", "platform: "] {
        assert!(stdout.contains(part), "{stdout}");
    }
    let Run { code, stdout, .. } = vendorwatch(["run", "--help"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("--web.listen-address") && stdout.contains("VENDORWATCH_WEB_"));
}

#[test]
fn completions_and_man_page_know_every_command() {
    let Run { stdout: man, .. } = vendorwatch(["generate", "man"]);
    let Run { stdout: bash, .. } = vendorwatch(["generate", "completions", "bash"]);
    for command in [
        "run",
        "read",
        "match",
        "signatures",
        "inventory",
        "config",
        "interfaces",
        "bench",
        "generate",
    ] {
        assert!(man.contains(&format!("COMMAND {}", command.to_uppercase())), "{command}");
        assert!(bash.contains(command), "{command}");
    }
    // What is below a command is there too, with its own options; pages that do not exist are not.
    for part in ["COMMAND SIGNATURES IMPORT", "show\\-skipped", "COMMAND GENERATE COMPLETIONS"] {
        assert!(man.contains(part), "{part}");
    }
    assert!(!man.contains("vendorwatch\\-match(1)"), "there is one page");
}

#[test]
fn the_default_configuration_is_sound_and_shown_as_default() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("v.toml");
    let Run { stdout: file, .. } = vendorwatch(["generate", "config"]);
    std::fs::write(&path, &file).unwrap();
    let path = path.to_str().unwrap();
    let Run { code, stderr, .. } = vendorwatch(["config", "check", "-c", path]);
    assert_eq!(code, 0, "{stderr}");
    let Run { stdout: with_file, .. } = vendorwatch(["config", "show", "-c", path]);
    let Run { stdout: without, .. } = vendorwatch(["config", "show"]);
    assert_eq!(with_file, without);
    let Run { stdout: flagged, .. } = vendorwatch(["config", "show", "-i", "a,b"]);
    assert!(flagged.contains("interfaces = [\"a\", \"b\"] # --interface"), "{flagged}");
}
