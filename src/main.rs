//! Arguments to command to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    vendorwatch::cli::main(std::env::args_os())
}
