//! `cargo xtask bench boot`: the second boot of a disk in counted instructions, phase by phase, as docs/performance.md has it. With `--log`
//! the kernel's whole log, with milliseconds, to see what a phase is made of.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use kmimage_qemu_tests::trace::{Trace, booted_once};

fn main() {
    let disk = booted_once();
    let log = Trace::log_of_second_boot(&disk);
    if std::env::args().any(|word| word == "--log") {
        for (at, text) in &log {
            println!("{:>10.1} {text}", at.as_secs_f64() * 1000.0);
        }
    }
    match Trace::of(&log) {
        Some(trace) => println!("{trace}"),
        None => println!("no `ready` in the kernel's log"),
    }
}
