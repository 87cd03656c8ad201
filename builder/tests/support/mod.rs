//! What tests build on: .deb files, signed repositories and an HTTP server, each with knobs for what can go wrong; a miniature
//! distribution; the program itself in a world of its own.
//!
//! Used by the unit tests of the crate (`crate::support`) and by the tests of the binary (`mod support;`).

#![allow(dead_code, unreachable_pub, reason = "every user of this module uses another part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub mod binary;
pub mod boot;
pub mod deb;
pub mod elf;
pub mod image;
pub mod mini;
pub mod repository;
pub mod server;
