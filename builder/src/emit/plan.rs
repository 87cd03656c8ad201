//! The disk as a value: every offset, size and UUID, the partition tables' bytes and the layout of the EFI system partition.
//!
//! Pure, and the writer is left no choice. Everything follows from the root hash and the sizes; nothing is random.

use super::esp::boot_files::EspFile;
use crate::failure::{Classified, Kind};
use kmimage_contract::disk_layout::{DiskLayout, LayoutError, Role, Slot};
use kmimage_contract::fat32::layout::{self, Extent, FatError, FileAt, Volume};
use kmimage_contract::gpt;
use kmimage_contract::verity::RootHash;
use std::sync::Arc;

/// Bytes of a protective MBR that are code.
const BOOT_CODE_ROOM: usize = 440;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The profile's slot size makes no layout.
    #[error("image.slot-size makes no disk layout")]
    Layout(#[source] LayoutError),
    /// The root image is larger than its slot.
    #[error("the root image has {root} bytes ({}), but image.slot-size is {slot} ({})", mebibytes(*.root), mebibytes(*.slot))]
    RootTooLarge {
        /// Bytes of the squashfs.
        root: u64,
        /// Bytes of the slot.
        slot: u64,
    },
    /// The hash tree is larger than its partition; a slot that the root fits has room for its tree.
    #[error("the hash tree has {tree} bytes, but its partition has {partition}")]
    TreeTooLarge {
        /// Bytes of the tree.
        tree: u64,
        /// Bytes of the partition.
        partition: u64,
    },
    /// The boot loader for a BIOS is larger than its place.
    #[error("boot code of {code} bytes and a core image of {core} have no room on the disk")]
    BootCodeTooLarge {
        /// Bytes of the code in front of the partition table.
        code: usize,
        /// Bytes of the core image.
        core: usize,
    },
    /// The partition table can't describe the layout.
    #[error("the partition table can't describe the disk")]
    Gpt(#[source] gpt::Fault),
    /// The EFI system partition can't hold its files.
    #[error("can't lay the EFI system partition out")]
    Esp(#[source] FatError),
}

impl Classified for PlanError {
    fn kind(&self) -> Kind {
        match self {
            PlanError::Layout(_) => Kind::Profile,
            PlanError::RootTooLarge { .. } | PlanError::Esp(_) => Kind::Policy,
            PlanError::TreeTooLarge { .. } | PlanError::BootCodeTooLarge { .. } | PlanError::Gpt(_) => Kind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            PlanError::RootTooLarge { root, .. } => vec![format!(
                "Set image.slot-size in the profile to {} or more (twice the root leaves room for upgrades), or drop files.",
                mebibytes(recommended_slot_size(*root))
            )],
            _ => Vec::new(),
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}

/// The least slot size that leaves a root room to grow: twice its size, in whole mebibytes.
pub fn recommended_slot_size(root_len: u64) -> u64 {
    (2 * root_len).next_multiple_of(1 << 20)
}

/// What a disk is planned from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The root's verity hash.
    pub root_hash: RootHash,
    /// Bytes of the squashfs.
    pub root_len: u64,
    /// Bytes of the hash tree with its superblock.
    pub hash_tree_len: u64,
    /// Bytes of a slot, from the profile.
    pub slot_size: u64,
    /// The time of the files on the EFI system partition, in seconds since 1970.
    pub epoch: i64,
    /// The files of the EFI system partition.
    pub esp_files: Vec<EspFile>,
    /// The code in front of the partition table, which a BIOS starts.
    pub boot_code: Arc<[u8]>,
    /// What that loads from the partition `bios`.
    pub boot_core: Arc<[u8]>,
}

/// Where the factory's root and its boot loader go: known before they are, since places follow from the slot's size alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootPlace {
    /// Bytes of the whole disk.
    pub disk_size: u64,
    /// Offset of GRUB's core image.
    pub boot_core: u64,
    /// Offset of the squashfs.
    pub root: u64,
    /// Offset of its hash tree.
    pub hash_tree: u64,
}

/// Places the root.
pub fn root_place(slot_size: u64) -> Result<RootPlace, PlanError> {
    // Any hash will do: it names partitions and moves none.
    let layout = DiskLayout::factory(slot_size, &RootHash([0; 32])).map_err(PlanError::Layout)?;
    let offset = |role| layout.partition(role).map_or(0, |partition| partition.offset);
    Ok(RootPlace {
        disk_size: layout.size,
        boot_core: offset(Role::Bios),
        root: offset(Role::Root(Slot::A)),
        hash_tree: offset(Role::RootVerity(Slot::A)),
    })
}

/// A disk image, planned completely.
#[derive(Debug, Clone)]
pub struct DiskPlan {
    /// Partitions with their places and UUIDs.
    pub layout: DiskLayout,
    /// Both copies of the partition table.
    pub gpt: gpt::Encoded,
    /// The EFI system partition, relative to its start.
    pub esp: Vec<Extent>,
    /// The files that `esp` names by index.
    pub esp_files: Vec<EspFile>,
    /// The code in front of the partition table.
    pub boot_code: Arc<[u8]>,
    /// What the partition `bios` begins with.
    pub boot_core: Arc<[u8]>,
    /// Bytes of the squashfs.
    pub root_len: u64,
    /// Bytes of the hash tree.
    pub hash_tree_len: u64,
}

/// Plans the disk.
pub fn plan(inputs: Inputs) -> Result<DiskPlan, PlanError> {
    let Inputs { root_hash, root_len, hash_tree_len, slot_size, epoch, esp_files, boot_code, boot_core } = inputs;
    let layout = DiskLayout::factory(slot_size, &root_hash).map_err(PlanError::Layout)?;
    if root_len > slot_size {
        return Err(PlanError::RootTooLarge { root: root_len, slot: slot_size });
    }
    let tree_partition = layout.partition(Role::RootVerity(Slot::A)).map_or(0, |partition| partition.size);
    if hash_tree_len > tree_partition {
        return Err(PlanError::TreeTooLarge { tree: hash_tree_len, partition: tree_partition });
    }
    let room = layout.partition(Role::Bios).map_or(0, |partition| partition.size);
    if boot_code.len() > BOOT_CODE_ROOM || boot_core.len() as u64 > room {
        return Err(PlanError::BootCodeTooLarge { code: boot_code.len(), core: boot_core.len() });
    }
    let gpt = layout.gpt(gpt::SectorSize::B512).encode().map_err(PlanError::Gpt)?;
    let esp = match layout.partition(Role::Esp) {
        None => Vec::new(),
        Some(partition) => {
            let (serial, _, _, _) = partition.uuid.as_fields();
            let volume = Volume { size: partition.size, disk_offset: partition.offset, serial, label: "KMIMAGE-ESP", epoch };
            let list: Vec<FileAt<'_>> =
                esp_files.iter().map(|file| FileAt { path: &file.path, len: file.bytes.len() as u64 }).collect();
            layout::lay_out(&volume, &list).map_err(PlanError::Esp)?
        }
    };
    Ok(DiskPlan { layout, gpt, esp, esp_files, boot_code, boot_core, root_len, hash_tree_len })
}

impl DiskPlan {
    /// A warning for the operator if the slot is smaller than twice the root.
    pub fn tight_slot(&self) -> Option<String> {
        let slot = self.layout.partition(Role::Root(Slot::A))?.size;
        let recommended = recommended_slot_size(self.root_len);
        (slot < recommended).then(|| {
            format!(
                "the root image fills {} of image.slot-size = {}: an upgrade that grows may not fit; {} would leave room",
                mebibytes(self.root_len),
                mebibytes(slot),
                mebibytes(recommended)
            )
        })
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
