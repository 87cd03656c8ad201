//! Benchmarks: ratios against named peers in the same run; the tables of docs/performance.md.
//!
//! `boot` and `node` watch machines (qemu-tests/src/bin/{boot,node}-trace.rs); the others are one program in builder/benches.

use crate::docs::target;
use crate::run::{Outcome, cargo, command, run};

/// The benchmarks that are programs of qemu-tests.
const MACHINES: [&str; 2] = ["boot", "node"];

/// Runs the named benchmarks, or all; what follows `--` are their options.
pub(crate) fn main(words: &[&str]) -> Outcome {
    for name in MACHINES {
        if words.is_empty() || words.contains(&name) {
            let program = format!("{name}-trace");
            // Of the whole workspace: its packages together decide the features of dependencies, and so what has to be compiled.
            run(&mut cargo(&["build", "--locked", "--workspace", "--bin", &program]))?;
            run(&mut command(target().join("debug").join(program)))?;
        }
    }
    let others: Vec<&str> = words.iter().copied().filter(|word| !MACHINES.contains(word) && *word != "--").collect();
    if others.is_empty() && !words.is_empty() {
        return Ok(());
    }
    let mut bench = cargo(&["bench", "--package", "kmimage", "--locked", "--bench", "speed", "--"]);
    run(bench.args(others))
}
