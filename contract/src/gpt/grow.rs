//! Growing the last partition to the end of a disk that has become larger, without a moment in which the disk has no valid table.
//!
//! The kernel reads the primary copy alone (it looks at the backup only when told to by `gpt` on its command line), and the primary
//! is two places: a header sector, and an entry array that the header's checksum covers. Both can't be written at once. So the new
//! array goes beside the old one first, and then the header, one sector, points to it: a disk writes a sector whole or not at all.
//! In the same way the table then returns to where every tool expects it.

use super::copy::{encode_array, encode_header};
use super::{Fault, Partition, Table};
use std::ops::Range;
use uuid::Uuid;

/// Where a primary's entry array belongs: behind its header.
const HOME: u64 = 2;

/// Something to write; it has to be on the medium before the next one is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where, in bytes from the begin of the disk.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// A table for a larger disk, and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The table afterwards.
    pub table: Table,
    /// The partition that has grown, as it is then.
    pub partition: Partition,
    /// What to write, in this order, a flush after each.
    pub writes: Vec<Write>,
}

/// Why a table can't grow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrowError {
    /// The partition is not in the table.
    #[error("the table has no partition {0}")]
    NoPartition(Uuid),
    /// Another partition lies behind it.
    #[error("partition {0} lies behind the one to grow")]
    NotLast(u32),
    /// Between the table and the first partition there is no room for a second entry array, or the one that is there is none of ours.
    #[error("there is no room beside the entry array to write a new one, or it has not 128 entries")]
    NoRoom,
    /// The grown table would be invalid.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Table {
    /// How the partition with this UUID gets all room up to the end of a disk of `disk_sectors`, its end a multiple of `alignment`
    /// sectors. `array` is where the primary's entry array is now. `None`: there is nothing to do.
    ///
    /// A change that a power cut has stopped half-way, with the array beside its place, is ended by this, too.
    pub fn grow_last(
        &self,
        array: &Range<u64>,
        uuid: Uuid,
        disk_sectors: u64,
        alignment: u64,
    ) -> Result<Option<Growth>, GrowError> {
        let old = self.partition(uuid).ok_or(GrowError::NoPartition(uuid))?;
        if let Some(behind) = self.partitions.iter().find(|other| other.first_lba > old.last_lba) {
            return Err(GrowError::NotLast(behind.number));
        }
        let (first, second) = (HOME, HOME + self.sector_size.array_sectors());
        let mut table = Table::new(self.disk_guid, self.sector_size, disk_sectors, self.partitions.clone());
        let end = (table.last_usable.saturating_add(1) / alignment.max(1)).saturating_mul(alignment.max(1));
        let wins = disk_sectors > self.disk_sectors && end > old.last_lba.saturating_add(1);
        if !wins && array.start == first {
            return Ok(None);
        }
        let partition = Partition { last_lba: if wins { end - 1 } else { old.last_lba }, ..old.clone() };
        for known in &mut table.partitions {
            if known.number == partition.number {
                *known = partition.clone();
            }
        }
        // The array beside its place, for the time of the change; no partition may be there.
        let beside = Table { first_usable: second + self.sector_size.array_sectors(), ..table.clone() };
        let alike = array.end.checked_sub(array.start) == Some(second - first) && (array.start == first || array.start >= second);
        if !alike || self.partitions.iter().any(|partition| partition.first_lba < beside.first_usable) {
            return Err(GrowError::NoRoom);
        }
        let encoded = table.encode()?;
        let (bytes, last) = (encode_array(&table)?, disk_sectors.saturating_sub(1));
        let at = |lba: u64, bytes: Vec<u8>| Write { offset: lba * self.sector_size.bytes(), bytes };
        let mut writes = vec![Write { offset: encoded.backup_offset, bytes: encoded.backup }];
        if array.start == first {
            writes.push(at(second, bytes.clone()));
            writes.push(at(1, encode_header(&beside, 1, last, second, &bytes)));
        }
        writes.push(at(first, bytes.clone()));
        writes.push(at(1, encode_header(&table, 1, last, first, &bytes)));
        Ok(Some(Growth { table, partition, writes }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Copy, Found, SectorSize, read};
    use super::*;
    use std::io::Cursor;

    const STATE: Uuid = Uuid::from_u128(7);
    const VAR: Uuid = Uuid::from_u128(8);
    /// The size of the disk in bytes.
    const DISK: u64 = 4 << 20;

    /// The end of a factory image in small: two partitions of 1 MiB, and 1 MiB before and behind.
    fn table(size: SectorSize) -> Table {
        let per_mib = (1 << 20) / size.bytes();
        let partition = |number: u32, uuid: Uuid| Partition {
            number,
            type_guid: Uuid::from_u128(1),
            uuid,
            first_lba: per_mib * u64::from(number - 6),
            last_lba: per_mib * u64::from(number - 5) - 1,
            attributes: 0,
            name: String::new(),
        };
        Table::new(Uuid::from_u128(2), size, DISK / size.bytes(), vec![partition(7, STATE), partition(8, VAR)])
    }

    fn disk(table: &Table, bytes: u64) -> Vec<u8> {
        let encoded = table.encode().unwrap();
        let mut disk = vec![0; bytes as usize];
        disk[..encoded.primary.len()].copy_from_slice(&encoded.primary);
        disk[encoded.backup_offset as usize..][..encoded.backup.len()].copy_from_slice(&encoded.backup);
        disk
    }

    fn home(size: SectorSize) -> Range<u64> {
        HOME..HOME + size.array_sectors()
    }

    /// What the kernel would find: the primary alone.
    fn found(disk: &[u8], size: SectorSize) -> Found {
        let found = read(&mut Cursor::new(disk), disk.len() as u64, size).unwrap();
        assert_eq!(found.copy, Copy::Primary);
        found
    }

    /// Follows a growth write by write; every sector of a write may reach the medium alone, and before or after any other.
    fn follow(disk: &mut [u8], growth: &Growth, size: SectorSize) {
        let (before, after) = (found(disk, size).table.partitions, growth.table.partitions.clone());
        for write in &growth.writes {
            let sectors: Vec<usize> = (0..write.bytes.len() / size.bytes() as usize).collect();
            let reverse: Vec<usize> = sectors.iter().rev().copied().collect();
            for order in [reverse, sectors] {
                let mut torn = disk.to_vec();
                for sector in order {
                    let (from, length) = (sector * size.bytes() as usize, size.bytes() as usize);
                    torn[write.offset as usize + from..][..length].copy_from_slice(&write.bytes[from..from + length]);
                    let now = found(&torn, size).table.partitions;
                    assert!(now == before || now == after, "{now:?}");
                }
            }
            disk[write.offset as usize..][..write.bytes.len()].copy_from_slice(&write.bytes);
        }
    }

    #[test]
    fn at_every_moment_the_primary_is_the_old_table_or_the_new_one() {
        for size in [SectorSize::B512, SectorSize::B4096] {
            let (old, var, alignment) = (table(size), VAR, (1 << 20) / size.bytes());
            let larger = DISK + (3 << 20) + 4096;
            let sectors = larger / size.bytes();
            let growth = old.grow_last(&home(size), var, sectors, alignment).unwrap().unwrap();
            let mut disk = disk(&old, larger);
            let begin = disk.clone();
            follow(&mut disk, &growth, size);
            assert_eq!(found(&disk, size), Found { table: growth.table.clone(), copy: Copy::Primary, array: home(size) });
            let end = (growth.partition.last_lba + 1) * size.bytes();
            assert_eq!((end % (1 << 20), (larger - end) >> 20), (0, 1));
            assert_eq!(growth.table.grow_last(&home(size), var, sectors, alignment), Ok(None));
            // The backup alone says the same.
            disk[..8192].fill(0);
            let backup = read(&mut Cursor::new(&disk[..]), larger, size).unwrap();
            assert_eq!((matches!(backup.copy, Copy::Backup(_)), backup.table), (true, growth.table.clone()));

            // Stopped half-way, then again: on the same disk, and on one that has grown once more.
            for more in [0, 2 << 20] {
                let mut disk = begin.clone();
                for write in &growth.writes[..3] {
                    disk[write.offset as usize..][..write.bytes.len()].copy_from_slice(&write.bytes);
                }
                disk.resize(disk.len() + more, 0);
                let half = found(&disk, size);
                assert_ne!(half.array, home(size));
                let rest = half.table.grow_last(&half.array, var, disk.len() as u64 / size.bytes(), alignment).unwrap().unwrap();
                follow(&mut disk, &rest, size);
                let whole = found(&disk, size);
                assert_eq!((whole.array, whole.table), (home(size), rest.table));
                assert_eq!(rest.partition.last_lba, growth.partition.last_lba + more as u64 / size.bytes());
            }
        }
    }

    #[test]
    fn what_can_not_grow_is_named() {
        let table = table(SectorSize::B512);
        let larger = table.disk_sectors + 8192;
        assert_eq!(table.grow_last(&home(SectorSize::B512), VAR, table.disk_sectors, 2048), Ok(None));
        assert_eq!(table.grow_last(&home(SectorSize::B512), VAR, table.disk_sectors + 20, 2048), Ok(None));
        assert_eq!(table.grow_last(&home(SectorSize::B512), STATE, larger, 2048), Err(GrowError::NotLast(8)));
        assert_eq!(table.grow_last(&home(SectorSize::B512), Uuid::nil(), larger, 2048), Err(GrowError::NoPartition(Uuid::nil())));
        let mut tight = table.clone();
        tight.partitions[0].first_lba = 40;
        for odd in [2..66, 3..35, 34..67] {
            assert_eq!(table.grow_last(&odd, VAR, larger, 2048), Err(GrowError::NoRoom));
        }
        assert_eq!(tight.grow_last(&home(SectorSize::B512), VAR, larger, 2048), Err(GrowError::NoRoom));
        assert_eq!(table.grow_last(&home(SectorSize::B512), VAR, u64::MAX, 0).map(|growth| growth.is_some()), Ok(true));
    }
}
