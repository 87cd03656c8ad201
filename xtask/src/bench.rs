//! Benchmarks: ratios against named peers in the same run; the tables of docs/performance.md.

use crate::run::{Outcome, cargo, run};

/// Runs the named benchmarks, or all; what follows `--` is theirs.
pub(crate) fn main(words: &[&str]) -> Outcome {
    let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    let (names, more) = words.split_at(end);
    let mut bench = cargo(&["bench", "--package", "kmimage", "--locked"]);
    for name in names {
        bench.args(["--bench", name]);
    }
    run(bench.args(more))
}
