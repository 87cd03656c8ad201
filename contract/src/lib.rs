//! What an image and its init must agree on. No I/O, no `unsafe`, few dependencies: a type enters only when both sides read it.

pub mod boot_entry;
pub mod cmdline;
pub mod disk_layout;
pub mod gpt;
pub mod manifest;
pub mod release;
pub mod state_line;
pub mod verity;
