//! What an image and its init must agree on. No I/O, no `unsafe`, few dependencies: a type enters only when both sides read it.
//!
//! Everything here parses foreign bytes (a disk, a command line, a file of an image), so nothing here panics on any input.

pub mod boot_records;
pub mod certificate;
pub mod cmdline;
pub mod disk_layout;

pub mod disk_selector;
pub mod fat32;
pub mod gpt;
pub mod kubeconfig;
pub mod ledger;
pub mod machine_config;
pub mod manifest;
pub mod modules;
pub mod notation;
pub mod paths;
pub mod release;
pub mod state_line;
pub mod sysctl;
pub mod toml_document;
pub mod verity;

pub use disk_layout::Slot;
pub use verity::RootHash;
