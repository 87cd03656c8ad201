//! FAT32, as the EFI system partition has it: pure, over offsets and bytes.
//!
//! `layout` lays a set of files out on an empty volume; `edit` changes files of a volume that exists, whoever wrote it. Format:
//! Microsoft's "FAT32 File System Specification", 2000.

pub mod edit;
pub mod layout;
mod names;
mod record;
mod time;
