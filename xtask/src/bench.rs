//! Benchmarks: ratios against named peers in the same run; the tables of docs/performance.md.
//!
//! `boot` counts the instructions of a machine (qemu-tests/src/bin/boot-trace.rs); the others are one program in builder/benches.

use crate::run::{Outcome, cargo, run};

/// Runs the named benchmarks, or all; what follows `--` are their options.
pub(crate) fn main(words: &[&str]) -> Outcome {
    if words.is_empty() || words.contains(&"boot") {
        run(&mut cargo(&["run", "--locked", "--package", "kmimage-qemu-tests", "--bin", "boot-trace"]))?;
        if words == ["boot"] {
            return Ok(());
        }
    }
    let words: Vec<&str> = words.iter().copied().filter(|word| *word != "boot").collect();
    let mut bench = cargo(&["bench", "--package", "kmimage", "--locked", "--bench", "speed", "--"]);
    run(bench.args(words.iter().filter(|word| **word != "--")))
}
