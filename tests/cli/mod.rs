//! The built program, as a person or a script meets it: exit codes, standard output and error.

mod absence;
mod bad_input;
mod budgets;
mod generate;
mod live;

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// How a run ended.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs the program to its end, without the caller's configuration.
fn vendorwatch<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Run {
    vendorwatch_with(&[], words)
}

/// As [`vendorwatch`], with these variables.
fn vendorwatch_with<S: AsRef<OsStr>>(
    variables: &[(&str, &OsStr)],
    words: impl IntoIterator<Item = S>,
) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vendorwatch"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VENDORWATCH_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    let output = command.args(words).stdin(Stdio::null()).output().unwrap();
    Run {
        code: output.status.code().expect("no signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A classic pcap file with one question for a listed name, over Ethernet, IPv4 and UDP.
fn small_capture() -> Vec<u8> {
    let mut dns = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["downloads", "kaspersky-labs", "com"] {
        dns.push(u8::try_from(label.len()).unwrap());
        dns.extend(label.as_bytes());
    }
    dns.extend([0, 0, 1, 0, 1]);
    let length = |above: usize| u16::try_from(above + dns.len()).unwrap().to_be_bytes();
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0]);
    frame.extend(length(28));
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 7, 192, 0, 2, 53]);
    frame.extend([0x9c, 0x40, 0, 53]);
    frame.extend(length(8));
    frame.extend([0, 0]);
    frame.extend(&dns);
    let size = u32::try_from(frame.len()).unwrap();
    let fields = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1, 1_790_000_000, 0, size, size];
    let mut file: Vec<u8> = fields.iter().flat_map(|field: &u32| field.to_le_bytes()).collect();
    file.extend(frame);
    file
}
