//! kmimage's builder: the first river.
//!
//! profile -> lock -> packages -> tree -> root image -> boot image -> disk
//!
//! Each module below is one stage (or a shelf that stages share); `pipeline` shows all of them on one screen.
//! Nothing here needs root, a container engine or an external program; only `run` starts one (QEMU).

pub mod assemble;
pub mod cli;
pub mod compose;
pub mod container_image;
pub mod deb822;
pub mod embedded_init;
pub mod emit;
pub mod failure;
pub mod fetch;
pub mod flash;
pub mod hash;
pub(crate) mod kept_file;
pub mod lock;
pub mod machine_config;
pub(crate) mod parallel;
pub mod percent;
pub mod pipeline;
pub mod profile;
pub mod reference;
pub mod report;
pub mod resolve;
pub mod run;
pub mod show;
pub mod store;
pub(crate) mod unbuffered;
pub mod version;
pub mod zeros;

/// What tests build on; shared with the tests of the binary.
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
