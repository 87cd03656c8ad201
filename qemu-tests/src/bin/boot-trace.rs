//! `cargo xtask bench boot`: the second boot of a disk in counted instructions, phase by phase, as docs/performance.md has it.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

fn main() {
    println!("{}", kmimage_qemu_tests::trace::Trace::measure());
}
