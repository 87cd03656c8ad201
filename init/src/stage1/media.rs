//! Partitions of a medium that the kernel has none on: a CD (the kernel looks for none there), or a stick with sectors of 4096 bytes (the
//! table counts others). Its table is read here, and each partition mapped by device-mapper: from then on it is found, verified and read
//! as one of a disk. Nothing is copied, and nothing can be written.

use crate::facts::block::{self, BlockDevice};
use crate::failure;
use kmimage_contract::RootHash;
use kmimage_contract::disk_layout::medium;
use kmimage_contract::gpt;
use kmimage_sys::device_mapper::{DeviceMapper, DeviceMapperError};
use kmimage_sys::kernel_log::{self, Level};
use std::collections::BTreeSet;

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Media {
    /// Devices that need no second look: mapped, or without what is looked for.
    settled: BTreeSet<String>,
}

impl Media {
    /// Maps what there is of this root on devices that have no partitions. True: there are new ones. What can't be mapped is for the log:
    /// if it mattered, the wait for the root will say what is missing.
    pub(super) fn map(&mut self, devices: &[BlockDevice], root_hash: &RootHash) -> bool {
        let mut new = false;
        for device in candidates(devices) {
            if self.settled.contains(&device.name) {
                continue;
            }
            let table = block::read_table(&device.name).map(|(found, _)| found.table);
            // A drive may take its time with a disc, and is looked at again.
            if table.is_some() || !device.name.starts_with("sr") {
                self.settled.insert(device.name.clone());
            }
            let Some(table) = table.filter(|table| medium::is_medium(table, root_hash)) else { continue };
            match map_all(device, &table) {
                Ok(()) => new = true,
                Err(error) => {
                    let error = failure::chain(&error);
                    kernel_log::write(Level::Warning, &format!("kmimage-init: mapping {}'s partitions: {error}", device.name));
                }
            }
        }
        new
    }
}

/// Whole devices without partitions that a medium can be.
fn candidates(devices: &[BlockDevice]) -> impl Iterator<Item = &BlockDevice> {
    let has_partitions = |name: &str| devices.iter().any(|device| device.disk.as_deref() == Some(name));
    let made_of_others = |name: &str| ["dm-", "loop", "ram", "zram", "fd", "md"].iter().any(|prefix| name.starts_with(prefix));
    devices.iter().filter(move |device| {
        device.disk.is_none() && device.sectors > 0 && !made_of_others(&device.name) && !has_partitions(&device.name)
    })
}

fn map_all(disk: &BlockDevice, table: &gpt::Table) -> Result<(), DeviceMapperError> {
    let mapper = DeviceMapper::open()?;
    for partition in &table.partitions {
        let (start, length) = in_sectors_of_512(partition, table.sector_size);
        let name = format!("{}p{}", disk.name, partition.number);
        let uuid = block::mapping_uuid(partition.number, partition.uuid);
        mapper.create_read_only(&name, &uuid, length, "linear", &format!("{} {start}", disk.number))?;
    }
    Ok(())
}

/// Where a partition begins and how long it is, as device-mapper counts. The table is valid, so its numbers are a range.
fn in_sectors_of_512(partition: &gpt::Partition, size: gpt::SectorSize) -> (u64, u64) {
    let units = size.bytes() / 512;
    let length = partition.last_lba.saturating_sub(partition.first_lba).saturating_add(1);
    (partition.first_lba.saturating_mul(units), length.saturating_mul(units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_sys::device_mapper::DeviceNumber;

    #[test]
    fn only_whole_devices_without_partitions_are_looked_at() {
        let device = |name: &str, disk: Option<&str>, sectors: u64| BlockDevice {
            name: name.to_owned(),
            number: DeviceNumber { major: 11, minor: 0 },
            disk: disk.map(str::to_owned),
            uuid: None,
            label: String::new(),
            sectors,
        };
        let devices = [
            device("sda", None, 100),
            device("sda1", Some("sda"), 10),
            device("sdb", None, 100),
            device("sr0", None, 2_097_151),
            device("dm-0", Some("sr1"), 10),
            device("dm-1", None, 10),
            device("loop0", None, 0),
            device("sr1", None, 100),
            device("fd0", None, 8),
        ];
        assert_eq!(candidates(&devices).map(|device| device.name.as_str()).collect::<Vec<_>>(), ["sdb", "sr0"]);
    }

    #[test]
    fn device_mapper_counts_sectors_of_512() {
        let hash = RootHash(std::array::from_fn(|index| index as u8));
        let layout = kmimage_contract::disk_layout::DiskLayout::medium(&hash, 1 << 20, 36 << 20, 4096, 8192);
        for size in [gpt::SectorSize::B512, gpt::SectorSize::B4096] {
            let places: Vec<_> = layout.gpt(size).partitions.iter().map(|part| in_sectors_of_512(part, size)).collect();
            assert_eq!(places, [(2048, 73_728), (75_776, 8), (77_824, 16)]);
        }
    }
}
