//! What kmimage refuses because it cannot be trusted or cannot be had, through the program itself: the whole message, the exit code,
//! an output folder and a lock that stay as they were.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod bench;
mod disk;
mod index;
mod lock;
mod network;
mod package;
mod resolve;
mod store;
#[path = "../support/mod.rs"]
mod support;
