//! What kmimage refuses, through the real program: the whole message, the exit code, and an output folder left as it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "../support/mod.rs"]
mod support;

mod members;
mod rules;
mod wishes;

use support::binary::Binary;
use support::mini::Mini;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kmimage");

/// Building this distribution fails with exit code 6, policy, and exactly this message.
#[track_caller]
fn refused(mini: &Mini, message: &str) {
    refused_as(mini, &[], 6, message);
}

/// Building this distribution with more arguments fails with this exit code and exactly this message.
#[track_caller]
fn refused_as(mini: &Mini, arguments: &[&str], code: i32, message: &str) {
    let binary = Binary::new(PROGRAM);
    mini.write(&binary);
    binary.refuses(&[&["--profile", "mini"], arguments].concat(), code, message);
}
