//! The EFI system partition: a FAT32 file system written in-process, only where it holds something.
//!
//! `fat32` lays a set of files out (pure); what comes back is a list of extents, so that 512 MiB cost no more than their content.

pub mod boot_files;
pub mod fat32;
mod names;
