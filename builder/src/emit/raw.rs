//! The raw disk image: a sparse file of the planned size. The root and its hash tree are written straight to their places while they
//! are made; what names them comes last.

use super::plan::{DiskPlan, RootPlace};
use kmimage_contract::disk_layout::Role;
use kmimage_contract::fat32::layout::Data;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Gives the empty `file` the disk's size; what holds nothing stays a hole.
pub fn begin(place: &RootPlace, file: &File) -> io::Result<()> {
    file.set_len(place.disk_size)
}

/// Writes what the root hash decides: the partition table and the EFI system partition; and the boot loader for a BIOS.
pub fn finish(plan: &DiskPlan, file: &File) -> io::Result<()> {
    file.write_all_at(&plan.gpt.primary, 0)?;
    // The table's first bytes are the protective MBR's, whose code it leaves zero.
    file.write_all_at(&plan.boot_code, 0)?;
    file.write_all_at(&plan.gpt.backup, plan.gpt.backup_offset)?;
    if let Some(bios) = plan.layout.partition(Role::Bios) {
        file.write_all_at(&plan.boot_core, bios.offset)?;
    }
    let esp = plan.layout.partition(Role::Esp).map_or(0, |partition| partition.offset);
    for extent in &plan.esp {
        let bytes: &[u8] = match &extent.data {
            Data::Bytes(bytes) => bytes,
            Data::File(index) => plan.esp_files.get(*index).map_or(&[], |file| &file.bytes),
        };
        file.write_all_at(bytes, esp + extent.offset)?;
    }
    Ok(())
}
