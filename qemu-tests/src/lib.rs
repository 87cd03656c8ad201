//! Boots real images in QEMU and watches them from outside: the product's proof.
//!
//! `image` builds with the real binary, `vm` starts a machine and reads its console, `qmp` speaks to QEMU, `netns` makes networks.
//! The tests are in tests/.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

pub mod disk;
pub mod foreign;
pub mod image;
pub mod netns;
pub mod output;
pub mod qmp;
pub mod vm;
