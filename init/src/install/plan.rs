//! Where everything goes: pure, from sizes and identities to places on the disk.

use super::act::InstallError;
use super::esp::EspFile;
use super::medium::{Medium, Place, SLOT};
use super::verify;
use kmimage_contract::disk_layout::{ALIGNMENT, DiskLayout, PlacedPartition, Role, Slot};
use kmimage_contract::fat32::layout::{self, Extent, FileAt, Volume};
use kmimage_contract::gpt::{Encoded, SectorSize};
use uuid::Uuid;

/// An installation, in places. All of them are in bytes from the disk's begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The disk's size.
    pub size: u64,
    /// Both copies of its partition table.
    pub gpt: Encoded,
    /// The PARTUUID of its ESP.
    pub esp_uuid: Uuid,
    /// Where its ESP begins.
    pub esp: u64,
    /// What the ESP holds, by place in it; files by their number in the list.
    pub esp_extents: Vec<Extent>,
    /// Where GRUB's core image goes, and its room.
    pub bios: Place,
    /// Where the root goes, and its length.
    pub root: Place,
    /// Where the hash tree goes, and its length.
    pub tree: Place,
    /// What has to read as zero: the begins and ends of what earlier systems may have left where ours look.
    pub zeros: Vec<Place>,
}

/// Plans an installation of the medium on a disk of `disk_size` bytes with sectors of 512. `epoch` is the time of the ESP's files.
pub(super) fn plan(
    disk_size: u64,
    slot_size: u64,
    medium: &Medium,
    files: &[EspFile],
    mut fresh: impl FnMut() -> Result<Uuid, InstallError>,
    epoch: i64,
) -> Result<Plan, InstallError> {
    let layout = DiskLayout::installed(slot_size, &medium.root_hash, disk_size, &mut fresh)?;
    let serial = fresh()?.as_fields().0;
    let at = |role: Role| layout.partition(role).ok_or(InstallError::Plan("a partition is missing"));
    let (esp, bios) = (at(Role::Esp)?, at(Role::Bios)?);
    let volume = Volume { size: esp.size, disk_offset: esp.offset, serial, label: "KMIMAGE-ESP", epoch };
    let list: Vec<FileAt<'_>> = files.iter().map(|file| FileAt { path: &file.path, len: file.len }).collect();
    let esp_extents = layout::lay_out(&volume, &list).map_err(InstallError::Esp)?;
    let whole = |partition: &PlacedPartition, len: u64, what: &'static str| {
        if len > partition.size {
            return Err(InstallError::Plan(what));
        }
        Ok(Place { start: partition.offset, len })
    };
    let root = whole(at(Role::Root(SLOT))?, medium.params.data_size(), "the root is larger than a slot")?;
    let tree_len = verify::tree_size(medium.params.data_blocks);
    let tree = whole(at(Role::RootVerity(SLOT))?, tree_len, "the hash tree is larger than its partition")?;
    if tree_len > medium.tree.len {
        return Err(InstallError::Plan("the medium's hash tree is too short"));
    }
    let mut zeros = Vec::new();
    for role in [Role::State, Role::Var, Role::Root(Slot::B), Role::RootVerity(Slot::B)] {
        let partition = at(role)?;
        let last = partition.offset + partition.size - ALIGNMENT;
        zeros.push(Place { start: partition.offset, len: ALIGNMENT });
        // `state` has its ledger there; an old one would be taken for this machine's.
        zeros.extend((last > partition.offset).then_some(Place { start: last, len: ALIGNMENT }));
    }
    Ok(Plan {
        size: disk_size,
        gpt: layout.gpt(SectorSize::B512).encode().map_err(InstallError::Table)?,
        esp_uuid: esp.uuid,
        esp: esp.offset,
        esp_extents,
        bios: Place { start: bios.offset, len: bios.size },
        root,
        tree,
        zeros,
    })
}
