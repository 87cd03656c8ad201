//! Benchmarks: ratios against named peers in the same run; the tables of docs/performance.md.

use crate::run::{Outcome, cargo, run};

/// Runs the named benchmarks, or all; what follows `--` are their options.
pub(crate) fn main(words: &[&str]) -> Outcome {
    let mut bench = cargo(&["bench", "--package", "kmimage", "--locked", "--bench", "speed", "--"]);
    run(bench.args(words.iter().filter(|word| **word != "--")))
}
