//! GUID partition tables (UEFI specification, chapter 5): parse and encode, as pure functions over bytes.
//!
//! Encoding makes the protective MBR, both headers and both entry arrays of 128 entries. Reading trusts nothing: it checks
//! signatures, both CRCs, every bound and every overlap, names the first fault that it finds, and falls back to the backup at the
//! end of the disk. It does not mend anything; a table grows by an ordered list of writes
//! ([`Table::grow_last`]). It does not look at the MBR's records (a hybrid MBR is somebody else's wish).

mod copy;
mod grow;
mod read;

pub use copy::Fault;
pub use grow::{GrowError, Growth, Write};
pub use read::{Copy, Found, ReadError, read};

use uuid::Uuid;

/// How many entries an entry array of ours has; also the least that the specification allows.
pub const ENTRIES: u32 = 128;

/// How many bytes an entry of ours has.
const ENTRY_SIZE: usize = 128;

/// How many bytes a header of ours has; the rest of its sector is zero.
const HEADER_SIZE: usize = 92;

/// How many UTF-16 code units a partition's name can have.
pub const NAME_UNITS: usize = 36;

/// The size of a logical sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectorSize {
    /// 512 bytes: nearly every disk and every virtual one.
    B512,
    /// 4096 bytes: native 4K disks.
    B4096,
}

impl SectorSize {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        match self {
            SectorSize::B512 => 512,
            SectorSize::B4096 => 4096,
        }
    }

    /// The sector size of this many bytes, if it is one that disks have.
    pub fn of(bytes: u64) -> Option<Self> {
        [Self::B512, Self::B4096].into_iter().find(|size| size.bytes() == bytes)
    }

    /// Sectors that an entry array of ours takes.
    fn array_sectors(self) -> u64 {
        (u64::from(ENTRIES) * ENTRY_SIZE as u64).div_ceil(self.bytes())
    }
}

/// A partition, as its entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number: the entry's place in the array, counted from 1.
    pub number: u32,
    /// What it is for.
    pub type_guid: Uuid,
    /// What names it: Linux' PARTUUID.
    pub uuid: Uuid,
    /// Its first sector.
    pub first_lba: u64,
    /// Its last sector (part of it).
    pub last_lba: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// Its name, at most [`NAME_UNITS`] UTF-16 code units; unpaired surrogates have become U+FFFD.
    pub name: String,
}

/// A partition table, whichever copy it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's own GUID.
    pub disk_guid: Uuid,
    /// The sectors that all numbers here count.
    pub sector_size: SectorSize,
    /// The size of the disk in sectors: one more than where the backup header lies.
    pub disk_sectors: u64,
    /// The first sector that a partition may have.
    pub first_usable: u64,
    /// The last one.
    pub last_usable: u64,
    /// The partitions that are there, in the order of their numbers.
    pub partitions: Vec<Partition>,
}

/// The bytes of a partition table, to be written at both ends of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Protective MBR, header and entry array: goes to offset 0.
    pub primary: Vec<u8>,
    /// Entry array and header of the backup.
    pub backup: Vec<u8>,
    /// Where the backup goes, in bytes; it ends where the disk ends.
    pub backup_offset: u64,
}

impl Table {
    /// A table with room for [`ENTRIES`] entries at both ends, all between them usable. Nothing is checked before
    /// [`Table::encode`].
    pub fn new(disk_guid: Uuid, sector_size: SectorSize, disk_sectors: u64, partitions: Vec<Partition>) -> Self {
        let array = sector_size.array_sectors();
        let (first_usable, last_usable) = (2 + array, disk_sectors.saturating_sub(2 + array));
        Self { disk_guid, sector_size, disk_sectors, first_usable, last_usable, partitions }
    }

    /// The bytes of both copies.
    pub fn encode(&self) -> Result<Encoded, Fault> {
        let array_sectors = self.sector_size.array_sectors();
        let last = self.disk_sectors.saturating_sub(1);
        if self.first_usable > self.last_usable
            || self.first_usable < 2 + array_sectors
            || self.last_usable.saturating_add(1 + array_sectors) > last
        {
            return Err(Fault::UsableRange { first: self.first_usable, last: self.last_usable });
        }
        copy::check(self, ENTRIES)?;
        let array = copy::encode_array(self)?;
        let backup_array = last - array_sectors;
        let mut primary = copy::protective_mbr(self);
        primary.extend(copy::encode_header(self, 1, last, 2, &array));
        primary.extend_from_slice(&array);
        let mut backup = array;
        let header = copy::encode_header(self, last, 1, backup_array, &backup);
        backup.extend(header);
        Ok(Encoded { primary, backup, backup_offset: backup_array.saturating_mul(self.sector_size.bytes()) })
    }

    /// The partition with this UUID.
    pub fn partition(&self, uuid: Uuid) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.uuid == uuid)
    }
}

#[cfg(test)]
mod tests;
