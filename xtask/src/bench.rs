//! Benchmarks: ratios against named peers in the same run; the tables of docs/performance.md.
//!
//! `boot` counts the instructions of a machine (qemu-tests/src/bin/boot-trace.rs); the others are one program in builder/benches.

use crate::docs::target;
use crate::run::{Outcome, cargo, command, run};

/// Runs the named benchmarks, or all; what follows `--` are their options.
pub(crate) fn main(words: &[&str]) -> Outcome {
    if words.is_empty() || words.contains(&"boot") {
        // Of the whole workspace: its packages together decide the features of dependencies, and so what has to be compiled.
        run(&mut cargo(&["build", "--locked", "--workspace", "--bin", "boot-trace"]))?;
        run(&mut command(target().join("debug/boot-trace")))?;
        if words == ["boot"] {
            return Ok(());
        }
    }
    let words: Vec<&str> = words.iter().copied().filter(|word| *word != "boot").collect();
    let mut bench = cargo(&["bench", "--package", "kmimage", "--locked", "--bench", "speed", "--"]);
    run(bench.args(words.iter().filter(|word| **word != "--")))
}
