//! How often a test that repeats something does so, and with which random numbers.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

/// How many power cuts a test judges.
pub const CUTS: &str = "KMIMAGE_CUTS";
/// How many of them it boots.
pub const CUT_BOOTS: &str = "KMIMAGE_CUT_BOOTS";

/// A few times in CI, all of them with `KMIMAGE_SOAK=1` (`just soak`).
pub fn times(few: u32, all: u32) -> u32 {
    if std::env::var_os("KMIMAGE_SOAK").is_some_and(|value| value == "1") { all } else { few }
}

/// As [`times`], unless an environment variable says how often.
///
/// # Panics
/// When it says no number.
pub fn times_of(variable: &str, few: u32, all: u32) -> u32 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => times(few, all),
    }
}

/// A seed for a test's random choices: `KMIMAGE_SEED`, else a new one. It is printed, so that a failure can be had again.
///
/// # Panics
/// When `KMIMAGE_SEED` is no number.
#[expect(clippy::print_stderr, reason = "who wants the failure again needs the seed")]
pub fn seed() -> u64 {
    let seed = match std::env::var("KMIMAGE_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("KMIMAGE_SEED={text} is no number")),
        Err(_) => RandomState::new().build_hasher().finish(),
    };
    eprintln!("KMIMAGE_SEED={seed}");
    seed
}
