//! The benchmarks: `cargo xtask bench [NAME...] [-- OPTION...]`, all of them by default. What each measures is in its own file; all print
//! Markdown, for docs/performance.md. One program, because linking it takes longer than most of them run.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a program for developers: it prints, stops at the first error, takes times and runs its peers"
)]

mod bench;
mod build;
mod contents;
mod levels;
mod mkosi;
mod squashfs;

const BENCHMARKS: [(&str, fn()); 5] = [
    ("build", build::main),
    ("mkosi", mkosi::main),
    ("squashfs", squashfs::main),
    ("levels", levels::main),
    ("contents", contents::main),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--test") {
        return;
    }
    let named: Vec<&String> = words.iter().take_while(|word| !word.starts_with("--")).collect();
    if let Some(unknown) = named.iter().find(|name| !BENCHMARKS.iter().any(|(known, _)| known == *name)) {
        panic!("no benchmark `{unknown}`; there are: {}", BENCHMARKS.map(|(name, _)| name).join(", "));
    }
    for (name, benchmark) in BENCHMARKS {
        if named.is_empty() || named.iter().any(|word| *word == name) {
            println!("\n## {name}\n");
            benchmark();
        }
    }
}
