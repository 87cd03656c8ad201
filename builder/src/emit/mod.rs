//! root image, boot image -> disk images and the other artefacts.
//!
//! `plan` fixes the whole disk as a value; `raw` and `qcow2` write it.

pub mod esp;
pub mod plan;
pub mod qcow2;
pub mod raw;
pub mod sparse;
