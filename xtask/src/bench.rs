//! Benchmarks: ratios against named peers in the same run; the tables of docs/performance.md.

use crate::run::{Outcome, cargo, run};

/// Runs the named benchmarks, or all.
pub(crate) fn main(names: &[&str]) -> Outcome {
    let mut bench = cargo(&["bench", "--package", "kmimage", "--locked"]);
    for name in names {
        bench.args(["--bench", name]);
    }
    run(&mut bench)
}
