//! The `loyalhouse` binary: parses arguments, runs the command, maps its error to an exit code.

use std::process::ExitCode;

use loyalhouse::cli;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), std::env::vars())
}
