//! Wiping an installation: its partition table, and the begins of its file systems, so that whatever comes next finds an empty disk.

use super::act::{Device, InstallError, Target, write_zeros};
use super::content::LOOKED_AT;
use super::disks::Disk;
use super::medium::Place;
use crate::facts::block;
use std::path::Path;

/// Wipes a disk that has an installation.
pub(super) fn reset(disk: &Disk) -> Result<(), InstallError> {
    let open = |source| InstallError::Open { disk: disk.name.clone(), source };
    let (found, size) = block::read_table(&disk.name).ok_or(InstallError::Plan("the installation has gone"))?;
    let bytes = found.table.sector_size.bytes();
    let partitions = found.table.partitions.iter().map(|entry| Place {
        start: entry.first_lba.saturating_mul(bytes),
        len: (entry.last_lba + 1 - entry.first_lba).saturating_mul(bytes),
    });
    let device = Device::open(&Path::new("/dev").join(&disk.name)).map_err(open)?;
    wipe(&device, size, &partitions.collect::<Vec<_>>()).map_err(|source| InstallError::Disk { step: "wiping", source })
}

/// Begins with what makes the disk one that boots; the partition table's other copy goes last, so that what was cut off is found again.
fn wipe(target: &impl Target, size: u64, partitions: &[Place]) -> std::io::Result<()> {
    for partition in partitions {
        let length = partition.len.min(LOOKED_AT);
        write_zeros(target, Place { start: partition.start, len: length })?;
        write_zeros(target, Place { start: partition.start + partition.len - length, len: length })?;
    }
    target.flush()?;
    let length = size.min(LOOKED_AT);
    write_zeros(target, Place { start: size - length, len: length })?;
    target.flush()?;
    write_zeros(target, Place { start: 0, len: length })?;
    target.flush()
}
