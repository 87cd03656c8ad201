//! FAT32, as the EFI system partition has it: pure, over offsets and bytes.
//!
//! `layout` lays a set of files out on an empty volume. Format: Microsoft's "FAT32 File System Specification", 2000.

pub mod layout;
mod names;
mod time;
