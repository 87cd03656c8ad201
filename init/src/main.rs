//! The init binary of an image; what it does depends on its name, its arguments and on whether it is process 1.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    kmimage_init::start(&words)
}
