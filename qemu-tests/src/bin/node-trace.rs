//! `cargo xtask bench node`: how long a machine that has joined takes from the kernel's start to a Ready node, held against the kernel's own
//! part of the same boot (from its start to /init), as docs/performance.md has it. Five boots; another number as the first word.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use kmimage_qemu_tests::cluster::node::{Node, control_plane, install_pod_network, network};
use kmimage_qemu_tests::cluster::real::Real;
use kmimage_qemu_tests::trace::Trace;
use kmimage_qemu_tests::vm::Vm;
use std::time::Duration;

fn main() {
    let Some(real) = Real::find("the benchmark of a node") else { return };
    let rounds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(5);
    let lan = network();
    let plane = control_plane(&lan, &real);
    install_pod_network(&plane);
    let node = Node::new(&lan, &real, 1);
    println!(
        "| boot | kernel start to /init, s | kernel start to Node Ready, s | ratio (target: at most 6) |\n|---|---|---|---|"
    );
    boot("the first, which joins", node.boot_with(&node.config(&plane)));
    let mut all: Vec<_> = (1..=rounds).map(|round| boot(&format!("{round}"), node.boot())).collect();
    all.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
    row("median", all[all.len() / 2]);
}

/// Boots, switches off and tells: kernel start to /init, kernel start to Node Ready.
fn boot(name: &str, mut vm: Vm) -> (Duration, Duration) {
    vm.ready();
    let log = vm.probe().kernel_log();
    vm.power_off();
    let trace = Trace::of(&log).expect("`ready` in the kernel's log");
    let times = (trace.kernel, trace.kernel + trace.init());
    row(name, times);
    times
}

fn ratio((init, ready): &(Duration, Duration)) -> f64 {
    ready.as_secs_f64() / init.as_secs_f64()
}

fn row(name: &str, times: (Duration, Duration)) {
    println!("| {name} | {:.2} | {:.2} | {:.2} |", times.0.as_secs_f64(), times.1.as_secs_f64(), ratio(&times));
}
