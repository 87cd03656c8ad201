//! Boots real images in QEMU and watches them from outside: the product's proof.
//!
//! `image` builds with the real binary, `guest` describes a machine, `raw_disk` prepares what it starts from, `vm` starts it and reads its
//! console, `probe` looks into it, `qmp` and `agent` speak to it as a hypervisor does, `netns` makes networks with servers in them, `cluster` a real control plane. The tests are in tests/.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

pub mod agent;
pub mod cluster;
pub mod count;
pub mod cut_disk;
pub mod disk;
pub mod foreign;
pub mod guest;
pub mod image;
pub mod netns;
pub mod output;
pub mod probe;
pub mod qmp;
pub mod raw_disk;
pub mod replay;
pub mod trace;
pub mod vm;
