//! kmimage's init: one static binary.
//!
//! In the initramfs it is stage 1: it loads the modules that reach a disk, finds the root that the command line's root hash names,
//! verifies and mounts it and starts the second part from it. There it is process 1: it mounts what a system needs, says `ready`,
//! reaps, and powers the machine off when asked. It is small, synchronous and free of `unsafe`; every system call is in `kmimage-sys`.

pub mod agent;
mod applets;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod console;
pub mod desired;
pub mod devices;
mod esp;
pub mod facts;
pub mod failure;
#[cfg(feature = "fault-injection")]
pub mod fault;
pub mod install;
pub mod kernel_log;
pub mod log_receiver;
pub mod login1;
pub mod modules;
pub mod network;
pub mod reconcile;
pub mod services;
pub mod stage1;
pub mod status;
pub mod storage;
pub mod system;
mod timestamp;
pub mod watchdog;

use kmimage_contract::paths;
use std::io::Write as _;
use std::process::ExitCode;

/// Runs what this process is for, by its command line; as process 1 it never returns.
pub fn start(words: &[String]) -> ExitCode {
    if kmimage_sys::process::own_id() == 1 {
        let in_initramfs = words.first().is_some_and(|name| name == paths::INITRAMFS_INIT);
        failure::restart_on_panic(!in_initramfs);
        if in_initramfs { stage1::run() } else { system::run() }
    }
    match applets::find(words) {
        Some((applet, arguments)) => applet(arguments),
        None => {
            let _ = writeln!(
                std::io::stderr(),
                "kmimage-init {}: this program is process 1 of a kmimage image and its children, and does nothing else",
                env!("CARGO_PKG_VERSION")
            );
            ExitCode::from(2)
        }
    }
}
