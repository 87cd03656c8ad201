//! root image, boot image -> disk images and the other artefacts.
//!
//! `plan` fixes the whole disk as a value; `raw` writes it, `copies` the root image, the qcow2 and the ISO out of that; `artifacts` puts all files of a build in place as one set, by `swap`;
//! `stale` tells whether that set still stands. `iso` writes ISO 9660 volumes, `medium` plans the ISO that machines are started and installed from. `manifest`, `files_tsv` and `spdx` say what it is made of.

pub mod artifacts;
pub mod copies;
pub mod esp;
pub mod files_tsv;
pub mod iso;
pub mod manifest;
pub mod medium;
pub mod plan;
pub mod qcow2;
pub mod raw;
pub mod sparse;
pub mod spdx;
pub mod stale;
mod swap;
