//! One copy of a partition table: a header sector and its entry array.

use super::{ENTRIES, ENTRY_SIZE, HEADER_SIZE, NAME_UNITS, Partition, SectorSize, Table};
use uuid::Uuid;

const SIGNATURE: &[u8; 8] = b"EFI PART";

/// What is wrong with a copy of a partition table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The sector does not begin with `EFI PART`.
    #[error("there is no GPT header (the signature is missing)")]
    NoSignature,
    /// Not revision 1.0.
    #[error("GPT revision {0:#010x} is not supported (only 0x00010000)")]
    Revision(u32),
    /// A header size below 92 bytes or above a sector.
    #[error("the GPT header's size of {0} bytes is out of range")]
    HeaderSize(u32),
    /// The header was changed or damaged.
    #[error("the GPT header's checksum is wrong")]
    HeaderChecksum,
    /// The header lies elsewhere than it says.
    #[error("the GPT header of sector {found} says that it lies in sector {says}")]
    Misplaced {
        /// Where it was read.
        found: u64,
        /// Where it claims to be.
        says: u64,
    },
    /// Entries that are not 128 bytes times a power of two, or larger than a sector.
    #[error("GPT entries of {0} bytes are not supported")]
    EntrySize(u32),
    /// No entries, or more than 4096.
    #[error("{0} GPT entries are not supported (1 to 4096)")]
    EntryCount(u32),
    /// The entry array lies outside of the disk, or over what it must not.
    #[error("the GPT entry array at sector {0} is out of place")]
    ArrayPlace(u64),
    /// The entry array was changed or damaged.
    #[error("the GPT entry array's checksum is wrong")]
    ArrayChecksum,
    /// The range for partitions is empty, leaves the disk, or covers the table itself.
    #[error("the GPT's usable sectors {first} to {last} are not a range of this disk")]
    UsableRange {
        /// First usable sector.
        first: u64,
        /// Last usable sector.
        last: u64,
    },
    /// A partition that ends before it begins or leaves the usable sectors.
    #[error("partition {number} (sectors {first} to {last}) is not within the usable sectors")]
    PartitionRange {
        /// Its number.
        number: u32,
        /// First sector.
        first: u64,
        /// Last sector.
        last: u64,
    },
    /// Two partitions share sectors.
    #[error("partitions {0} and {1} overlap")]
    Overlap(u32, u32),
    /// Two partitions have the same UUID.
    #[error("partitions {0} and {1} have the same UUID")]
    SameUuid(u32, u32),
    /// A partition whose number is not in the array, or is given twice.
    #[error("partition number {0} is out of range or given twice")]
    Number(u32),
    /// A partition with the type that marks an unused entry.
    #[error("partition {0} has no type")]
    NoType(u32),
    /// A name that does not fit.
    #[error("the name of partition {0} is longer than 36 UTF-16 code units")]
    NameLength(u32),
}

/// What a header says, checked as far as it can be without the entry array.
#[derive(Debug)]
pub(super) struct Header {
    disk_guid: Uuid,
    first_usable: u64,
    last_usable: u64,
    pub(super) alternate_lba: u64,
    pub(super) array_lba: u64,
    pub(super) array_bytes: usize,
    entry_size: usize,
    array_crc: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn guid_at(bytes: &[u8], at: usize) -> Uuid {
    bytes.get(at..at + 16).and_then(|b| b.try_into().ok()).map_or(Uuid::nil(), Uuid::from_bytes_le)
}

/// Reads the header in `sector`, which was read from sector `lba` of a disk of `disk_sectors`.
pub(super) fn parse_header(sector: &[u8], lba: u64, disk_sectors: u64, size: SectorSize) -> Result<Header, Fault> {
    if !sector.starts_with(SIGNATURE) {
        return Err(Fault::NoSignature);
    }
    let revision = u32_at(sector, 8);
    if revision != 0x0001_0000 {
        return Err(Fault::Revision(revision));
    }
    let header_size = u32_at(sector, 12);
    let header = sector.get(..header_size as usize).filter(|header| header.len() >= HEADER_SIZE);
    let Some(header) = header else { return Err(Fault::HeaderSize(header_size)) };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..16]);
    crc.update(&[0; 4]);
    crc.update(&header[20..]);
    if crc.finalize() != u32_at(header, 16) {
        return Err(Fault::HeaderChecksum);
    }
    let says = u64_at(header, 24);
    if says != lba {
        return Err(Fault::Misplaced { found: lba, says });
    }
    let (entries, entry_size) = (u32_at(header, 80), u32_at(header, 84));
    if !(1..=4096).contains(&entries) {
        return Err(Fault::EntryCount(entries));
    }
    if !(128..=512).contains(&entry_size) || !entry_size.is_power_of_two() {
        return Err(Fault::EntrySize(entry_size));
    }
    let (first_usable, last_usable) = (u64_at(header, 40), u64_at(header, 48));
    if first_usable > last_usable
        || first_usable < 2
        || last_usable >= disk_sectors
        || (first_usable..=last_usable).contains(&lba)
    {
        return Err(Fault::UsableRange { first: first_usable, last: last_usable });
    }
    let array_lba = u64_at(header, 72);
    let array_bytes = entries as usize * entry_size as usize;
    let array_end = array_lba.checked_add((array_bytes as u64).div_ceil(size.bytes())).filter(|&end| end <= disk_sectors);
    let outside = array_end.is_some_and(|end| end <= first_usable || array_lba > last_usable);
    if array_lba < 2 || !outside {
        return Err(Fault::ArrayPlace(array_lba));
    }
    Ok(Header {
        disk_guid: guid_at(header, 56),
        first_usable,
        last_usable,
        alternate_lba: u64_at(header, 32),
        array_lba,
        array_bytes,
        entry_size: entry_size as usize,
        array_crc: u32_at(header, 88),
    })
}

/// Reads the entry array (`header.array_bytes` long) and checks the whole table.
pub(super) fn parse_array(header: &Header, array: &[u8], disk_sectors: u64, sector_size: SectorSize) -> Result<Table, Fault> {
    if crc32fast::hash(array) != header.array_crc {
        return Err(Fault::ArrayChecksum);
    }
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(array.chunks_exact(header.entry_size)) {
        let type_guid = guid_at(entry, 0);
        if type_guid.is_nil() {
            continue;
        }
        let name = entry.get(56..56 + 2 * NAME_UNITS).unwrap_or_default();
        let units: Vec<u16> =
            name.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).take_while(|&unit| unit != 0).collect();
        partitions.push(Partition {
            number,
            type_guid,
            uuid: guid_at(entry, 16),
            first_lba: u64_at(entry, 32),
            last_lba: u64_at(entry, 40),
            attributes: u64_at(entry, 48),
            name: String::from_utf16_lossy(&units),
        });
    }
    let (first_usable, last_usable) = (header.first_usable, header.last_usable);
    let table = Table { disk_guid: header.disk_guid, sector_size, disk_sectors, first_usable, last_usable, partitions };
    check(&table, (header.array_bytes / header.entry_size) as u32)?;
    Ok(table)
}

/// What must hold for every table, read or about to be written.
pub(super) fn check(table: &Table, entries: u32) -> Result<(), Fault> {
    let mut previous_number = 0;
    for partition in &table.partitions {
        let &Partition { number, first_lba: first, last_lba: last, .. } = partition;
        if number <= previous_number || number > entries {
            return Err(Fault::Number(number));
        }
        previous_number = number;
        if partition.type_guid.is_nil() {
            return Err(Fault::NoType(number));
        }
        if first > last || first < table.first_usable || last > table.last_usable {
            return Err(Fault::PartitionRange { number, first, last });
        }
    }
    let mut by_place: Vec<&Partition> = table.partitions.iter().collect();
    by_place.sort_by_key(|partition| partition.first_lba);
    if let Some(pair) = by_place.windows(2).find(|pair| pair[0].last_lba >= pair[1].first_lba) {
        return Err(Fault::Overlap(pair[0].number, pair[1].number));
    }
    by_place.sort_by_key(|partition| (partition.uuid, partition.number));
    if let Some(pair) = by_place.windows(2).find(|pair| pair[0].uuid == pair[1].uuid) {
        return Err(Fault::SameUuid(pair[0].number, pair[1].number));
    }
    Ok(())
}

/// The entry array, filled up to whole sectors.
pub(super) fn encode_array(table: &Table) -> Result<Vec<u8>, Fault> {
    let mut array = vec![0; (table.sector_size.array_sectors() * table.sector_size.bytes()) as usize];
    for partition in &table.partitions {
        let slot = (partition.number as usize).checked_sub(1).and_then(|index| array.chunks_exact_mut(ENTRY_SIZE).nth(index));
        let Some(entry) = slot else { return Err(Fault::Number(partition.number)) };
        let units: Vec<u8> = partition.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        if units.len() > 2 * NAME_UNITS {
            return Err(Fault::NameLength(partition.number));
        }
        entry[0..16].copy_from_slice(&partition.type_guid.to_bytes_le());
        entry[16..32].copy_from_slice(&partition.uuid.to_bytes_le());
        entry[32..40].copy_from_slice(&partition.first_lba.to_le_bytes());
        entry[40..48].copy_from_slice(&partition.last_lba.to_le_bytes());
        entry[48..56].copy_from_slice(&partition.attributes.to_le_bytes());
        entry[56..56 + units.len()].copy_from_slice(&units);
    }
    Ok(array)
}

/// A header sector.
pub(super) fn encode_header(table: &Table, own_lba: u64, alternate_lba: u64, array_lba: u64, array: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(table.sector_size.bytes() as usize);
    header.extend_from_slice(SIGNATURE);
    header.extend_from_slice(&0x0001_0000u32.to_le_bytes());
    header.extend_from_slice(&(HEADER_SIZE as u32).to_le_bytes());
    header.extend_from_slice(&[0; 8]); // its checksum (below) and a reserved field
    for value in [own_lba, alternate_lba, table.first_usable, table.last_usable] {
        header.extend_from_slice(&value.to_le_bytes());
    }
    header.extend_from_slice(&table.disk_guid.to_bytes_le());
    header.extend_from_slice(&array_lba.to_le_bytes());
    header.extend_from_slice(&ENTRIES.to_le_bytes());
    header.extend_from_slice(&(ENTRY_SIZE as u32).to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&array[..ENTRIES as usize * ENTRY_SIZE]).to_le_bytes());
    let crc = crc32fast::hash(&header);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    header.resize(table.sector_size.bytes() as usize, 0);
    header
}

/// The sector that tells old tools that the disk is in use: one partition of type 0xEE over all of it.
pub(super) fn protective_mbr(table: &Table) -> Vec<u8> {
    let mut mbr = vec![0; table.sector_size.bytes() as usize];
    let sectors = u32::try_from(table.disk_sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    mbr[446..462].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]);
    mbr[458..462].copy_from_slice(&sectors.to_le_bytes());
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    mbr
}
