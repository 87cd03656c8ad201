//! `kmimage run`: boots an image in QEMU. The only room that starts an external program.
//!
//! `machine` plans (what to boot, as a value), `host` finds what this host offers (QEMU, OVMF, KVM), `qemu` turns both into one
//! command line and runs it.

pub mod host;
pub mod machine;
pub mod qemu;
