//! The disk layout, version 1: eight partitions, the same on every disk image, and where each one lies.
//!
//! A partition is found by type and UUID or name, never by its number; the numbers are fixed all the same, so that a person can
//! read a disk. What a factory image's UUIDs are is derived from its root hash ([`derived_uuid`]): the same root image makes the
//! same disk. An installer gives its target fresh ones instead. A [`medium`] that is installed from has three of the eight.

pub mod medium;

use crate::gpt;
use crate::verity::{self, RootHash};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use uuid::{Builder, Uuid, uuid};

/// The layout's version, written into the image manifest. A disk of another version can't be upgraded in place.
pub const VERSION: u32 = 1;

/// One mebibyte: every partition begins at a multiple of it and has a multiple of it as its size.
pub const ALIGNMENT: u64 = 1 << 20;

/// The label of a slot that holds nothing; systemd's tools (sysupdate, dissect) know it.
pub const EMPTY_LABEL: &str = "_empty";

/// The GPT attribute "read-only" of the Discoverable Partitions Specification.
pub const READ_ONLY: u64 = 1 << 60;

/// The GPT attribute "grow the file system" of the Discoverable Partitions Specification.
pub const GROW_FILE_SYSTEM: u64 = 1 << 59;

/// The block size of the hash tree and of the data under it, in bytes.
pub const VERITY_BLOCK: u64 = 4096;

/// One of the two places for a root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The factory's.
    A,
    /// Empty until the first upgrade.
    B,
}

impl Slot {
    /// Both, in order.
    pub const ALL: [Slot; 2] = [Slot::A, Slot::B];

    /// The slot's letter, as in `slot=a`.
    pub fn letter(self) -> char {
        match self {
            Slot::A => 'a',
            Slot::B => 'b',
        }
    }

    /// The label of the slot's root partition while it holds something.
    pub fn root_label(self) -> &'static str {
        match self {
            Slot::A => "root-a",
            Slot::B => "root-b",
        }
    }

    /// The label of the slot's verity partition while it holds something.
    pub fn verity_label(self) -> &'static str {
        match self {
            Slot::A => "root-a-verity",
            Slot::B => "root-b-verity",
        }
    }

    /// The slot whose root partition carries this label.
    pub fn of_root_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.root_label() == label)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}

/// A text that is neither `a` nor `b`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a slot (a or b)")]
pub struct NotASlot(pub String);

impl FromStr for Slot {
    type Err = NotASlot;

    fn from_str(text: &str) -> Result<Self, NotASlot> {
        match text {
            "a" => Ok(Slot::A),
            "b" => Ok(Slot::B),
            _ => Err(NotASlot(text.to_owned())),
        }
    }
}

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The second stage of the BIOS boot loader.
    Bios,
    /// The EFI system partition, FAT32: boot loaders, kernels, boot counters.
    Esp,
    /// A slot's squashfs.
    Root(Slot),
    /// A slot's hash tree.
    RootVerity(Slot),
    /// Identity of the machine, ext4, made at first boot.
    State,
    /// Everything else that is written, ext4, made at first boot, grows to the end of the disk.
    Var,
}

impl Role {
    /// All partitions in their order on the disk; partition numbers count from 1 in this order.
    pub const ALL: [Role; 8] = [
        Role::Bios,
        Role::Esp,
        Role::Root(Slot::A),
        Role::RootVerity(Slot::A),
        Role::Root(Slot::B),
        Role::RootVerity(Slot::B),
        Role::State,
        Role::Var,
    ];

    /// The partition's name: its label, except while a slot is empty ([`EMPTY_LABEL`]).
    pub fn name(self) -> &'static str {
        match self {
            Role::Bios => "bios",
            Role::Esp => "esp",
            Role::Root(slot) => slot.root_label(),
            Role::RootVerity(slot) => slot.verity_label(),
            Role::State => "state",
            Role::Var => "var",
        }
    }

    /// The partition's GPT type (UEFI, GRUB, and the Discoverable Partitions Specification for amd64).
    pub fn type_guid(self) -> Uuid {
        match self {
            Role::Bios => uuid!("21686148-6449-6e6f-744e-656564454649"),
            Role::Esp => uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
            Role::Root(_) => uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
            Role::RootVerity(_) => uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"),
            Role::State => uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4"),
            Role::Var => uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d"),
        }
    }

    /// The partition's size in a factory image whose slots have `slot_size` bytes.
    fn factory_size(self, slot_size: u64) -> u64 {
        match self {
            Role::Bios => ALIGNMENT,
            Role::Esp => 512 * ALIGNMENT,
            Role::Root(_) => slot_size,
            Role::RootVerity(_) => verity_partition_size(slot_size),
            Role::State => 128 * ALIGNMENT,
            Role::Var => 64 * ALIGNMENT,
        }
    }

    /// The partition's GPT attributes in a factory image.
    fn factory_attributes(self) -> u64 {
        match self {
            Role::Root(Slot::A) | Role::RootVerity(Slot::A) => READ_ONLY,
            Role::Var => GROW_FILE_SYSTEM,
            _ => 0,
        }
    }
}

/// The size of the verity partition for a slot: superblock and the hash tree of a full slot, rounded up to [`ALIGNMENT`].
pub fn verity_partition_size(slot_size: u64) -> u64 {
    let hashes_per_block = VERITY_BLOCK / 32;
    let mut level = slot_size.div_ceil(VERITY_BLOCK);
    let mut blocks = 1;
    while level > 1 {
        level = level.div_ceil(hashes_per_block);
        blocks += level;
    }
    (blocks * VERITY_BLOCK).next_multiple_of(ALIGNMENT)
}

/// A UUID that follows from a root hash and a name, for all that is not found by the root hash itself.
///
/// A version 8 UUID (RFC 9562): the first 128 bits of `SHA-256("kmimage/disk-layout/1\n" + root hash in hexadecimal + "\n" + name)`,
/// with the version and variant bits set. Changing this changes the bytes of every image.
pub fn derived_uuid(root_hash: &RootHash, name: &str) -> Uuid {
    let digest: [u8; 32] = Sha256::digest(format!("kmimage/disk-layout/{VERSION}\n{root_hash}\n{name}")).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// A partition with its place on the disk. Offsets and sizes are in bytes and multiples of [`ALIGNMENT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPartition {
    /// What it is for.
    pub role: Role,
    /// Its number, from 1.
    pub number: u32,
    /// Its GPT name: [`Role::name`], or [`EMPTY_LABEL`].
    pub label: &'static str,
    /// Its unique UUID.
    pub uuid: Uuid,
    /// Its GPT attributes.
    pub attributes: u64,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub size: u64,
}

/// A whole disk: the GPT's identity and its partitions in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLayout {
    /// The GPT's disk GUID.
    pub disk_guid: Uuid,
    /// In the order of [`Role::ALL`]: all eight of a disk, three of a [`medium`].
    pub partitions: Vec<PlacedPartition>,
    /// The disk's size in bytes, with the room of the backup GPT behind the last partition.
    pub size: u64,
}

/// Why there is no layout for a slot size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Not a multiple of 1 MiB, or none at all.
    #[error("a slot of {0} bytes is not a positive multiple of 1 MiB")]
    Unaligned(u64),
    /// More than 1 TiB.
    #[error("a slot of {0} bytes is too large (at most 1 TiB)")]
    TooLarge(u64),
    /// A disk that can't hold all partitions.
    #[error("the disk has {disk} bytes, {needed} are needed")]
    DiskTooSmall {
        /// Its size.
        disk: u64,
        /// The least size.
        needed: u64,
    },
}

impl DiskLayout {
    /// The layout of a factory image: slot A holds the root of this hash, slot B is empty, all UUIDs follow from the root hash.
    pub fn factory(slot_size: u64, root_hash: &RootHash) -> Result<Self, LayoutError> {
        if slot_size == 0 || !slot_size.is_multiple_of(ALIGNMENT) {
            return Err(LayoutError::Unaligned(slot_size));
        }
        if slot_size > 1 << 40 {
            return Err(LayoutError::TooLarge(slot_size));
        }
        let root_uuids = verity::partition_uuids(root_hash);
        let mut offset = ALIGNMENT;
        let mut partitions = Vec::with_capacity(Role::ALL.len());
        for (number, role) in (1..).zip(Role::ALL) {
            let size = role.factory_size(slot_size);
            let uuid = match role {
                Role::Root(Slot::A) => root_uuids.root,
                Role::RootVerity(Slot::A) => root_uuids.verity,
                _ => derived_uuid(root_hash, role.name()),
            };
            let label = match role {
                Role::Root(Slot::B) | Role::RootVerity(Slot::B) => EMPTY_LABEL,
                _ => role.name(),
            };
            partitions.push(PlacedPartition { role, number, label, uuid, attributes: role.factory_attributes(), offset, size });
            offset += size;
        }
        Ok(Self { disk_guid: derived_uuid(root_hash, "disk"), partitions, size: offset + ALIGNMENT })
    }

    /// The layout of an installed disk of `disk_size` bytes: as a factory image's, with `var` up to the end, and with UUIDs of its own
    /// where nothing is found by the root hash. `fresh` makes a random UUID each time.
    pub fn installed<E: From<LayoutError>>(
        slot_size: u64,
        root_hash: &RootHash,
        disk_size: u64,
        mut fresh: impl FnMut() -> Result<Uuid, E>,
    ) -> Result<Self, E> {
        let mut layout = Self::factory(slot_size, root_hash)?;
        if disk_size < layout.size {
            return Err(LayoutError::DiskTooSmall { disk: disk_size, needed: layout.size }.into());
        }
        layout.disk_guid = fresh()?;
        for partition in &mut layout.partitions {
            if !matches!(partition.role, Role::Root(Slot::A) | Role::RootVerity(Slot::A)) {
                partition.uuid = fresh()?;
            }
            if partition.role == Role::Var {
                partition.size = disk_size / ALIGNMENT * ALIGNMENT - ALIGNMENT - partition.offset;
            }
        }
        layout.size = disk_size;
        Ok(layout)
    }

    /// The least size in bytes of a disk that can be installed on.
    pub fn least_size(slot_size: u64) -> Result<u64, LayoutError> {
        Self::factory(slot_size, &RootHash([0; 32])).map(|layout| layout.size)
    }

    /// Whether a table is one of this layout: all eight partitions at their numbers, by type, and by name where it is fixed.
    pub fn is_ours(table: &gpt::Table) -> bool {
        let slots = |role: Role| matches!(role, Role::Root(_) | Role::RootVerity(_));
        table.partitions.len() == Role::ALL.len()
            && (1..).zip(Role::ALL).zip(&table.partitions).all(|((number, role), partition)| {
                let named = partition.name == role.name() || slots(role) && partition.name == EMPTY_LABEL;
                partition.number == number && partition.type_guid == role.type_guid() && named
            })
    }

    /// The partition with this role.
    pub fn partition(&self, role: Role) -> Option<&PlacedPartition> {
        self.partitions.iter().find(|partition| partition.role == role)
    }

    /// The partition table that describes this layout on a disk with sectors of `sector_size` bytes.
    pub fn gpt(&self, sector_size: gpt::SectorSize) -> gpt::Table {
        let sectors = |bytes: u64| bytes / sector_size.bytes();
        let partitions = self.partitions.iter().map(|partition| gpt::Partition {
            number: partition.number,
            type_guid: partition.role.type_guid(),
            uuid: partition.uuid,
            first_lba: sectors(partition.offset),
            last_lba: sectors(partition.offset + partition.size) - 1,
            attributes: partition.attributes,
            name: partition.label.to_owned(),
        });
        gpt::Table::new(self.disk_guid, sector_size, sectors(self.size), partitions.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> RootHash {
        RootHash(std::array::from_fn(|index| index as u8))
    }

    fn layout() -> DiskLayout {
        DiskLayout::factory(256 * ALIGNMENT, &hash()).unwrap()
    }

    #[test]
    fn the_factory_layout_is_this_table() {
        let layout = layout();
        let lines: Vec<String> = layout
            .partitions
            .iter()
            .map(|p| {
                format!(
                    "{} {} {} {}+{} {:x} {}",
                    p.number,
                    p.label,
                    p.role.type_guid(),
                    p.offset >> 20,
                    p.size >> 20,
                    p.attributes >> 56,
                    p.uuid
                )
            })
            .collect();
        let expect = "\
1 bios 21686148-6449-6e6f-744e-656564454649 1+1 0 513fbe89-3cd7-8c7d-9a72-cc8dc68f5f08
2 esp c12a7328-f81f-11d2-ba4b-00a0c93ec93b 2+512 0 3bbe9711-95c1-82a9-aca6-51d6d1d2915e
3 root-a 4f68bce3-e8cd-4db1-96e7-fbcaf984b709 514+256 10 00010203-0405-0607-0809-0a0b0c0d0e0f
4 root-a-verity 2c7357ed-ebd2-46d9-aec1-23d437ec2bf5 770+3 10 10111213-1415-1617-1819-1a1b1c1d1e1f
5 _empty 4f68bce3-e8cd-4db1-96e7-fbcaf984b709 773+256 0 539d0295-8a78-89b8-95ac-5754082239f4
6 _empty 2c7357ed-ebd2-46d9-aec1-23d437ec2bf5 1029+3 0 50dfe352-598f-8e84-855b-4b6061f4964d
7 state 0fc63daf-8483-4772-8e79-3d69d8477de4 1032+128 0 816e67bb-d191-807d-bd15-dd3976e8f662
8 var 4d21b016-b534-45c2-a9fb-5c16e091fd2d 1160+64 8 a59acf3f-0728-82ab-9d19-9763194c0730";
        assert_eq!(lines.join("\n"), expect);
        assert_eq!(layout.size >> 20, 1225);
    }

    #[test]
    fn verity_partitions_hold_the_tree_of_a_full_slot() {
        // 65536 blocks: 512 + 4 + 1 hash blocks and the superblock.
        assert_eq!(verity_partition_size(256 << 20), 3 << 20);
        // 4 GiB: 8192 + 64 + 1 + 1 blocks are 32.26 MiB.
        assert_eq!(verity_partition_size(4 << 30), 33 << 20);
        assert_eq!(verity_partition_size(1 << 20), 1 << 20);
    }

    #[test]
    fn derived_uuids_are_version_8_and_differ_by_name_and_hash() {
        let hash = RootHash([0x5a; 32]);
        let uuid = derived_uuid(&hash, "disk");
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, uuid::Variant::RFC4122));
        assert_ne!(uuid, derived_uuid(&hash, "esp"));
        assert_ne!(uuid, derived_uuid(&RootHash([0x5b; 32]), "disk"));
    }

    #[test]
    fn odd_slot_sizes_are_refused() {
        let check = |size: u64, expect: &str| {
            assert_eq!(DiskLayout::factory(size, &RootHash([0; 32])).unwrap_err().to_string(), expect);
        };
        check(0, "a slot of 0 bytes is not a positive multiple of 1 MiB");
        check(1_000_000, "a slot of 1000000 bytes is not a positive multiple of 1 MiB");
        check(2 << 40, "a slot of 2199023255552 bytes is too large (at most 1 TiB)");
    }

    #[test]
    fn the_layouts_gpt_is_valid_for_both_sector_sizes() {
        for sector_size in [gpt::SectorSize::B512, gpt::SectorSize::B4096] {
            let table = layout().gpt(sector_size);
            table.encode().unwrap();
        }
    }

    #[test]
    fn an_installed_disk_is_filled_and_has_uuids_of_its_own() {
        let mut next = 0;
        let mut fresh = || {
            next += 1;
            Ok::<_, LayoutError>(Uuid::from_u128(next))
        };
        let least = DiskLayout::least_size(256 * ALIGNMENT).unwrap();
        assert_eq!(least, layout().size);
        for odd in [0, 4096, ALIGNMENT + 512, 20 << 30] {
            let installed = DiskLayout::installed(256 * ALIGNMENT, &hash(), least + odd, &mut fresh).unwrap();
            let (var, factory) = (installed.partition(Role::Var).unwrap(), layout());
            assert_eq!(var.size, 64 * ALIGNMENT + odd / ALIGNMENT * ALIGNMENT);
            assert_eq!(installed.size, least + odd);
            let same: Vec<Role> = installed
                .partitions
                .iter()
                .zip(&factory.partitions)
                .filter(|(a, b)| a.uuid == b.uuid)
                .map(|(a, _)| a.role)
                .collect();
            assert_eq!(same, [Role::Root(Slot::A), Role::RootVerity(Slot::A)]);
            assert_ne!(installed.disk_guid, factory.disk_guid);
            for sector_size in [gpt::SectorSize::B512, gpt::SectorSize::B4096] {
                let table = installed.gpt(sector_size);
                // A size that is no multiple of the sectors is no disk's.
                if installed.size.is_multiple_of(sector_size.bytes()) {
                    table.encode().unwrap();
                }
                assert!(DiskLayout::is_ours(&table));
                let mut other = table.clone();
                other.partitions[6].name = "data".to_owned();
                assert!(!DiskLayout::is_ours(&other));
                other.partitions.truncate(6);
                assert!(!DiskLayout::is_ours(&other));
            }
        }
        let error = DiskLayout::installed(256 * ALIGNMENT, &hash(), least - 1, fresh).unwrap_err();
        assert_eq!(error.to_string(), format!("the disk has {} bytes, {least} are needed", least - 1));
    }

    #[test]
    fn slots_are_known_by_letter_and_label() {
        for slot in Slot::ALL {
            assert_eq!(slot.to_string().parse(), Ok(slot));
            assert_eq!(Slot::of_root_label(slot.root_label()), Some(slot));
        }
        assert_eq!("c".parse::<Slot>().unwrap_err().to_string(), "`c` is not a slot (a or b)");
        assert_eq!(Slot::of_root_label(EMPTY_LABEL), None);
    }
}
