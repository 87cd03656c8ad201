//! Reading a table from a disk, or from anything that seeks: the primary copy, else the backup.

use super::copy::{Fault, parse_array, parse_header};
use super::{SectorSize, Table};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// Which copy a table was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// The one at the beginning of the disk.
    Primary,
    /// The one at the end, because the primary has this fault.
    Backup(Fault),
}

/// A valid table and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The table.
    pub table: Table,
    /// Which copy it is.
    pub copy: Copy,
    /// The sectors of its entry array.
    pub array: Range<u64>,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Neither copy is valid.
    #[error("no valid partition table: {primary}; the backup: {backup}")]
    Invalid {
        /// The primary copy's fault.
        primary: Fault,
        /// The backup's fault.
        backup: Fault,
    },
    /// The disk is too small for a table, or no whole number of sectors long.
    #[error("a disk of {0} bytes can't hold a partition table")]
    DiskSize(u64),
    /// The disk could not be read.
    #[error("reading the partition table")]
    Read(#[from] io::Error),
}

/// Reads the table of a disk of `disk_bytes`: the primary copy, or the backup in the last sector when the primary is not valid.
pub fn read(disk: &mut (impl Read + Seek), disk_bytes: u64, sector_size: SectorSize) -> Result<Found, ReadError> {
    let sectors = disk_bytes / sector_size.bytes();
    if !disk_bytes.is_multiple_of(sector_size.bytes()) || sectors < 3 {
        return Err(ReadError::DiskSize(disk_bytes));
    }
    let primary = match read_copy(disk, 1, sectors, sector_size)? {
        Ok((table, array)) => return Ok(Found { table, copy: Copy::Primary, array }),
        Err(fault) => fault,
    };
    match read_copy(disk, sectors - 1, sectors, sector_size)? {
        Ok((table, array)) => Ok(Found { table, copy: Copy::Backup(primary), array }),
        Err(backup) => Err(ReadError::Invalid { primary, backup }),
    }
}

/// Reads the copy whose header lies in sector `lba`; also returns where its entry array is.
fn read_copy(
    disk: &mut (impl Read + Seek),
    lba: u64,
    disk_sectors: u64,
    sector_size: SectorSize,
) -> io::Result<Result<(Table, Range<u64>), Fault>> {
    let mut sector = vec![0; sector_size.bytes() as usize];
    read_at(disk, lba * sector_size.bytes(), &mut sector)?;
    let header = match parse_header(&sector, lba, disk_sectors, sector_size) {
        Ok(header) => header,
        Err(fault) => return Ok(Err(fault)),
    };
    // An image that was copied to a larger disk has its backup in the middle: then the table's own end is the disk's.
    let table_sectors = if lba == 1 { header.alternate_lba.saturating_add(1).min(disk_sectors) } else { disk_sectors };
    let mut array = vec![0; header.array_bytes];
    read_at(disk, header.array_lba * sector_size.bytes(), &mut array)?;
    let place = header.array_lba..header.array_lba + (header.array_bytes as u64).div_ceil(sector_size.bytes());
    Ok(parse_array(&header, &array, table_sectors, sector_size).map(|table| (table, place)))
}

fn read_at(disk: &mut (impl Read + Seek), offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    disk.seek(SeekFrom::Start(offset))?;
    disk.read_exact(buffer)
}
