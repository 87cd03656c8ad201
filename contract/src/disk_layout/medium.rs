//! The layout of an install medium (the ISO): the ESP, slot A's root and its hash tree, under the numbers that they have on a disk, and
//! neither `state` nor `var`: nothing is kept on a medium.
//!
//! Its GPT counts sectors of 512 bytes wherever it lies. On a stick that is the kernel's table, too; on a CD (sectors of 2048 bytes)
//! the kernel has none and whoever wants its partitions reads the table himself ([`sector_sizes`]).

use super::{ALIGNMENT, DiskLayout, PlacedPartition, READ_ONLY, Role, Slot, VERITY_BLOCK, derived_uuid};
use crate::gpt::{self, SectorSize};
use crate::verity::{self, RootHash};
use uuid::Uuid;

/// The UUID of the ESP of every medium with this root. A disk that was installed from one has another.
pub fn esp_uuid(root_hash: &RootHash) -> Uuid {
    derived_uuid(root_hash, "iso-esp")
}

/// Whether a table is that of a medium with this root: by its ESP and by what it lacks, whatever a command line says.
pub fn is_medium(table: &gpt::Table, root_hash: &RootHash) -> bool {
    let has = |role: Role| table.partitions.iter().any(|entry| entry.type_guid == role.type_guid() && entry.name == role.name());
    let esp = table.partition(esp_uuid(root_hash));
    esp.is_some_and(|esp| esp.type_guid == Role::Esp.type_guid()) && !has(Role::State) && !has(Role::Var)
}

/// The sector sizes that the table of a device with sectors of `bytes` may count in, the likelier first: its own, and that of a medium.
pub fn sector_sizes(bytes: u64) -> impl Iterator<Item = SectorSize> {
    let own = SectorSize::of(bytes);
    own.into_iter().chain(Some(SectorSize::B512).filter(|size| own != Some(*size)))
}

impl DiskLayout {
    /// The layout of a medium: its ESP begins at `esp_at`, behind what is not in a partition (a multiple of [`ALIGNMENT`]) and has
    /// `esp_size` bytes (one, too); then the root and its hash tree of so many bytes. All UUIDs follow from the root hash.
    pub fn medium(root_hash: &RootHash, esp_at: u64, esp_size: u64, root_len: u64, hash_tree_len: u64) -> Self {
        let root_uuids = verity::partition_uuids(root_hash);
        let rows = [
            (2, Role::Esp, esp_uuid(root_hash), 0, esp_size),
            (3, Role::Root(Slot::A), root_uuids.root, READ_ONLY, root_len),
            (4, Role::RootVerity(Slot::A), root_uuids.verity, READ_ONLY, hash_tree_len),
        ];
        let mut end = esp_at;
        let partitions = rows.map(|(number, role, uuid, attributes, len)| {
            let (offset, size) = (end.next_multiple_of(ALIGNMENT), len.next_multiple_of(VERITY_BLOCK));
            end = offset.saturating_add(size);
            PlacedPartition { role, number, label: role.name(), uuid, attributes, offset, size }
        });
        // Behind the last partition a whole unit is left: of the end of a CD that was burnt in one track, drives can't read the last blocks.
        let size = end.next_multiple_of(ALIGNMENT).saturating_add(ALIGNMENT);
        Self { disk_guid: derived_uuid(root_hash, "iso"), partitions: partitions.to_vec(), size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> RootHash {
        RootHash(std::array::from_fn(|index| index as u8))
    }

    #[test]
    fn a_mediums_layout_is_this_table() {
        let layout = DiskLayout::medium(&hash(), ALIGNMENT, 36 * ALIGNMENT, 5 * ALIGNMENT + 1, 4096);
        let rows: Vec<String> = layout
            .partitions
            .iter()
            .map(|p| format!("{} {} {}+{} {:x} {}", p.number, p.label, p.offset, p.size, p.attributes >> 56, p.uuid))
            .collect();
        let expect = "\
2 esp 1048576+37748736 0 8c3a8c51-4daa-8e01-9122-7772d1ffbf23
3 root-a 38797312+5246976 10 00010203-0405-0607-0809-0a0b0c0d0e0f
4 root-a-verity 45088768+4096 10 10111213-1415-1617-1819-1a1b1c1d1e1f";
        assert_eq!(rows.join("\n"), expect);
        assert_eq!(layout.size, 45 << 20);
        layout.gpt(SectorSize::B512).encode().unwrap();
    }

    #[test]
    fn a_medium_is_known_by_its_layout() {
        let table = |layout: DiskLayout| layout.gpt(SectorSize::B512);
        let medium = DiskLayout::medium(&hash(), ALIGNMENT, 36 * ALIGNMENT, 4096, 4096);
        assert!(is_medium(&table(medium.clone()), &hash()));
        assert!(!is_medium(&table(medium.clone()), &RootHash([1; 32])));
        let mut disk = DiskLayout::factory(256 * ALIGNMENT, &hash()).unwrap();
        assert!(!is_medium(&table(disk.clone()), &hash()));
        // A disk whose table lacks what it should have is damaged, and no medium; nor is one with a medium's ESP.
        disk.partitions.truncate(6);
        assert!(!is_medium(&table(disk.clone()), &hash()));
        let mut disk = DiskLayout::factory(256 * ALIGNMENT, &hash()).unwrap();
        disk.partitions[1].uuid = esp_uuid(&hash());
        assert!(!is_medium(&table(disk), &hash()));
    }

    #[test]
    fn a_cds_table_is_looked_for_where_a_sticks_is() {
        let sizes = |bytes: u64| sector_sizes(bytes).collect::<Vec<_>>();
        assert_eq!(sizes(512), [SectorSize::B512]);
        assert_eq!(sizes(2048), [SectorSize::B512]);
        assert_eq!(sizes(4096), [SectorSize::B4096, SectorSize::B512]);
    }
}
