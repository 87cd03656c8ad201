//! The raw disk image: a sparse file of the planned size with the partition table and what the plan puts on the partitions.

use super::esp::fat32::Data;
use super::plan::DiskPlan;
use super::sparse;
use kmimage_contract::disk_layout::{Role, Slot};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The finished parts that the plan places. Each is copied whole, inside the kernel where possible.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The squashfs.
    pub root: &'a File,
    /// Its hash tree, superblock first.
    pub hash_tree: &'a File,
}

/// Writes the disk into `file`, which must be empty; what holds nothing stays a hole.
pub fn write(plan: &DiskPlan, parts: &Parts<'_>, file: &File) -> io::Result<()> {
    file.set_len(plan.layout.size)?;
    file.write_all_at(&plan.gpt.primary, 0)?;
    file.write_all_at(&plan.gpt.backup, plan.gpt.backup_offset)?;
    for partition in &plan.layout.partitions {
        match partition.role {
            Role::Esp => {
                for extent in &plan.esp {
                    let bytes: &[u8] = match &extent.data {
                        Data::Bytes(bytes) => bytes,
                        Data::File(index) => plan.esp_files.get(*index).map_or(&[], |file| &file.bytes),
                    };
                    file.write_all_at(bytes, partition.offset + extent.offset)?;
                }
            }
            Role::Root(Slot::A) => sparse::copy(parts.root, 0, file, partition.offset, plan.root_len)?,
            Role::RootVerity(Slot::A) => sparse::copy(parts.hash_tree, 0, file, partition.offset, plan.hash_tree_len)?,
            Role::Bios | Role::Root(Slot::B) | Role::RootVerity(Slot::B) | Role::State | Role::Var => {}
        }
    }
    Ok(())
}
