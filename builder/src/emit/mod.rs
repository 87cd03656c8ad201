//! root image, boot image -> disk images and the other artefacts.
//!
//! `plan` fixes the whole disk as a value; `raw` and `qcow2` write it; `artifacts` puts all files of a build in place as one set;
//! `stale` tells whether that set still stands.

pub mod artifacts;
pub mod esp;
pub mod plan;
pub mod qcow2;
pub mod raw;
pub mod sparse;
pub mod stale;
