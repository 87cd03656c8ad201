//! `kmimage flash` through the real program, to loop devices over files: good ones, and a FUSE file that fails as sticks do.
//!
//! Loop devices and mounts are root's: run as another user these tests fail and say so. Nothing but the loop devices that they make
//! themselves is ever a target, and every one of them lies beside another that must not change.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "../support/mod.rs"]
mod support;

mod config;
mod faults;
mod loops;
mod refusals;
mod stick;
mod whole;
