//! The image's partition table, made to fit the device that it is written to. Pure.
//!
//! A backup table belongs into a disk's last sector; copied as it is, it would lie in the middle, and firmware and tools complain. A disk
//! image's `var` grows at the same time, as it would at the first boot: init takes the place of the backup for the end of the disk, so a
//! backup moved alone would keep `var` small for ever. An ISO's partitions stay as they are.

use kmimage_contract::disk_layout::{ALIGNMENT, Role};
use kmimage_contract::gpt::{Found, Table, Write};

/// Where a primary's entry array belongs.
const HOME: u64 = 2;

/// What to lay over the image. Nothing for a table of an unusual kind (the array elsewhere, or of another length), which is left alone.
///
/// `record` is the image's first sector.
pub(super) fn fitted(found: &Found, record: &[u8], device_size: u64) -> Vec<Write> {
    let old = &found.table;
    let sector = old.sector_size.bytes();
    let sectors = device_size / sector;
    let array_sectors = (128 * 128u64).div_ceil(sector);
    if found.array != (HOME..HOME + array_sectors) || sectors <= old.disk_sectors {
        return Vec::new();
    }
    let var = old.partitions.iter().max_by_key(|partition| partition.last_lba);
    let var = var.filter(|partition| partition.type_guid == Role::Var.type_guid());
    let grown = var.and_then(|var| old.grow_last(&found.array, var.uuid, sectors, ALIGNMENT / sector).ok().flatten());
    let table = match grown {
        Some(growth) => growth.table,
        None => {
            let fresh = Table::new(old.disk_guid, old.sector_size, sectors, old.partitions.clone());
            Table { first_usable: old.first_usable.max(fresh.first_usable), ..fresh }
        }
    };
    let Ok(encoded) = table.encode() else { return Vec::new() };
    // The first sector keeps its boot code and, on an ISO, its records.
    let primary = encoded.primary.get(sector as usize..).unwrap_or_default().to_vec();
    let mut writes =
        vec![Write { offset: sector, bytes: primary }, Write { offset: encoded.backup_offset, bytes: encoded.backup }];
    writes.extend(protective(record, sectors));
    writes
}

/// The size in a record that protects the whole disk, and is the only one.
fn protective(record: &[u8], sectors: u64) -> Option<Write> {
    const FIRST: usize = 446;
    let (first, others) = record.get(FIRST..FIRST + 64)?.split_at(16);
    let is_protective = first.get(4) == Some(&0xee) && first.get(8..12) == Some(&[1, 0, 0, 0]);
    if !is_protective || others.iter().any(|&byte| byte != 0) {
        return None;
    }
    let size = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    Some(Write { offset: FIRST as u64 + 12, bytes: size.to_le_bytes().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::gpt::{self, Copy, Partition, SectorSize};
    use std::io::Cursor;
    use uuid::Uuid;

    const MIB: u64 = 1 << 20;

    /// A disk of 8 MiB with a record of its own in the first sector, and one partition of 2 MiB.
    fn image(type_guid: Uuid, size: SectorSize) -> Vec<u8> {
        let per_mib = MIB / size.bytes();
        let partition = Partition {
            number: 1,
            type_guid,
            uuid: Uuid::from_u128(9),
            first_lba: per_mib,
            last_lba: 3 * per_mib - 1,
            attributes: 0,
            name: "var".into(),
        };
        let encoded = Table::new(Uuid::from_u128(1), size, 8 * per_mib, vec![partition]).encode().unwrap();
        let mut disk = vec![0; 8 << 20];
        disk[..encoded.primary.len()].copy_from_slice(&encoded.primary);
        disk[encoded.backup_offset as usize..].copy_from_slice(&encoded.backup);
        disk[..440].fill(0xcc);
        disk
    }

    fn flashed(image: &[u8], size: SectorSize, device: u64) -> Vec<u8> {
        let found = gpt::read(&mut Cursor::new(image), image.len() as u64, size).unwrap();
        let mut disk = image.to_vec();
        disk.resize(device as usize, 0);
        for write in fitted(&found, &image[..512], device) {
            disk[write.offset as usize..][..write.bytes.len()].copy_from_slice(&write.bytes);
        }
        disk
    }

    #[test]
    fn both_copies_fit_the_device_and_var_has_grown() {
        for size in [SectorSize::B512, SectorSize::B4096] {
            for (type_guid, end) in [(Role::Var.type_guid(), 19), (Role::Esp.type_guid(), 3)] {
                let disk = flashed(&image(type_guid, size), size, 20 * MIB + 4096);
                let read = |disk: &[u8]| gpt::read(&mut Cursor::new(disk), disk.len() as u64, size).unwrap();
                let found = read(&disk);
                assert_eq!(found.copy, Copy::Primary);
                assert_eq!(found.table.disk_sectors, disk.len() as u64 / size.bytes());
                // The backup takes more than the 4 KiB behind 20 MiB; `var` ends at a whole MiB.
                assert_eq!((found.table.partitions[0].last_lba + 1) * size.bytes() / MIB, end, "{size:?}");
                let mut torn = disk.clone();
                torn[size.bytes() as usize..][..8].fill(0);
                assert!(matches!(read(&torn).copy, Copy::Backup(_)));
                assert!(disk[..440].iter().all(|&byte| byte == 0xcc));
                let sectors = u32::from_le_bytes(disk[458..462].try_into().unwrap());
                assert_eq!(u64::from(sectors), found.table.disk_sectors - 1);
            }
        }
    }

    #[test]
    fn what_fits_already_or_is_unusual_is_left_alone() {
        let size = SectorSize::B512;
        let image = image(Role::Var.type_guid(), size);
        assert!(flashed(&image, size, 8 * MIB) == image);
        let mut found = gpt::read(&mut Cursor::new(&image), 8 * MIB, size).unwrap();
        found.array = 4..36;
        assert_eq!(fitted(&found, &image[..512], 20 * MIB), []);
        // An ISO's own records stay.
        let mut hybrid = image;
        hybrid[466] = 0x80;
        let disk = flashed(&hybrid, size, 20 * MIB);
        assert!(disk[..512] == hybrid[..512]);
    }
}
