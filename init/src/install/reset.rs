//! Wiping an installation: its partition table, and the begins of its file systems, so that whatever comes next finds an empty disk.

use super::act::{Device, InstallError, Target, clear, take_mark_away, write_zeros};
use super::content::{LOOKED_AT, MARK_AT, mark};
use super::disks::Disk;
use super::medium::Place;
use crate::facts::block;
use std::io;
use std::path::Path;

/// Wipes a disk that has an installation, or what is left of one.
pub(super) fn reset(disk: &Disk) -> Result<(), InstallError> {
    let open = |source| InstallError::Open { disk: disk.name.clone(), source };
    let table = block::read_table(&disk.name).map(|(found, _)| found.table);
    let partitions = table.iter().flat_map(|table| {
        let bytes = table.sector_size.bytes();
        table.partitions.iter().map(move |entry| Place {
            start: entry.first_lba.saturating_mul(bytes),
            len: (entry.last_lba + 1 - entry.first_lba).saturating_mul(bytes),
        })
    });
    let device = Device::open(&Path::new("/dev").join(&disk.name)).map_err(open)?;
    let wiped = wipe(&device, disk.identity.size, &partitions.collect::<Vec<_>>());
    wiped.map_err(|source| InstallError::Disk { step: "wiping", source })
}

/// Begins with what makes the disk one that boots. As long as the table is there it is an installation, and from the mark on unfinished work;
/// so whatever was cut off is found again.
pub(super) fn wipe(target: &impl Target, size: u64, partitions: &[Place]) -> io::Result<()> {
    for partition in partitions {
        let length = partition.len.min(LOOKED_AT);
        write_zeros(target, Place { start: partition.start, len: length })?;
        write_zeros(target, Place { start: partition.start + partition.len - length, len: length })?;
    }
    target.flush()?;
    target.write_at(&mark(), MARK_AT)?;
    target.flush()?;
    clear(target, size)?;
    take_mark_away(target)
}
