//! The init binary of an image; what it does depends on its name and on whether it is process 1.

use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    kmimage_init::start(&name.to_string_lossy())
}
