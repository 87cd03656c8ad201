//! Block devices: disks and partitions, as sysfs and the disks' partition tables show them.

use super::{FactError, read_text};
use crate::failure;
use kmimage_contract::gpt;
use kmimage_sys::device_mapper::DeviceNumber;
use kmimage_sys::kernel_log::{self, Level};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use uuid::Uuid;

/// A disk or a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Its name in /dev.
    pub name: String,
    /// Its device number.
    pub number: DeviceNumber,
    /// Of a partition: the name of the disk that it is on.
    pub disk: Option<String>,
    /// Of a partition in a GPT: its UUID.
    pub uuid: Option<Uuid>,
    /// Of a partition in a GPT: its name; empty where there is none.
    pub label: String,
    /// Its length in sectors of 512 bytes, whatever the disk's sectors are.
    pub sectors: u64,
}

/// All block devices that the kernel knows now, in the order of their names. Devices that go away while we look are left out.
///
/// The kernel tells where partitions are; what they are called is read from the disks' own tables (before Linux 6.14 or so sysfs has
/// no partition UUIDs).
pub fn read() -> Result<Vec<BlockDevice>, FactError> {
    let mut found = read_sysfs()?;
    let disks: BTreeSet<String> = found.iter().filter_map(|(device, _)| device.disk.clone()).collect();
    for disk in disks {
        let Some((found_table, _)) = read_table(&disk) else { continue };
        for (device, place) in found.iter_mut().filter(|(device, _)| device.disk.as_ref() == Some(&disk)) {
            name_partition(device, place.as_ref(), &found_table.table);
        }
    }
    let mut devices: Vec<BlockDevice> = found.into_iter().map(|(device, _)| device).collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(devices)
}

/// The device of a number, if it is there. No disk but its own is looked at.
pub fn read_one(number: DeviceNumber) -> Option<BlockDevice> {
    let (mut device, place) = read_device(&Path::new(NUMBERS).join(number.to_string()))?;
    if let Some((found, _)) = device.disk.as_deref().and_then(read_table) {
        name_partition(&mut device, place.as_ref(), &found.table);
    }
    Some(device)
}

/// Where a partition is on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    number: u32,
    /// In sectors of 512 bytes.
    start: u64,
}

/// Links to all block devices by name.
const CLASS: &str = "/sys/class/block";
/// Links to all block devices by number.
const NUMBERS: &str = "/sys/dev/block";

fn read_sysfs() -> Result<Vec<(BlockDevice, Option<Place>)>, FactError> {
    let class = Path::new(CLASS);
    let fail = |source| FactError::Read { path: class.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(class).map_err(fail)? {
        found.extend(read_device(&entry.map_err(fail)?.path()));
    }
    Ok(found)
}

/// Reads what sysfs says of the device that a link is to. `None`: it is not there, or has gone meanwhile.
fn read_device(link: &Path) -> Option<(BlockDevice, Option<Place>)> {
    let target = std::fs::read_link(link).ok()?;
    let text = |name: &str| read_text(&link.join(name)).ok();
    parse(&target, &text("uevent")?, &text("size")?, &text("start").unwrap_or_default())
}

/// Takes together what sysfs says of one device: where its link leads, its `uevent`, `size` and `start`.
fn parse(target: &Path, uevent: &str, size: &str, start: &str) -> Option<(BlockDevice, Option<Place>)> {
    let value = |key: &str| uevent.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let parent = || target.parent()?.file_name()?.to_str().map(str::to_owned);
    let place = || Some(Place { number: value("PARTN")?.parse().ok()?, start: start.trim().parse().ok()? });
    let device = BlockDevice {
        name: value("DEVNAME")?.to_owned(),
        number: DeviceNumber { major: value("MAJOR")?.parse().ok()?, minor: value("MINOR")?.parse().ok()? },
        disk: if value("DEVTYPE") == Some("partition") { Some(parent()?) } else { None },
        uuid: None,
        label: String::new(),
        sectors: size.trim().parse().ok()?,
    };
    Some((device, place()))
}

/// The partition table of a disk and the disk's size in bytes. `None`: it has no table that is valid, or can't be read; then nothing
/// on it is ours.
pub fn read_table(disk: &str) -> Option<(gpt::Found, u64)> {
    let facts = Path::new(CLASS).join(disk);
    let number = |path: &Path| read_text(path).ok()?.trim().parse::<u64>().ok();
    let sector_size = gpt::SectorSize::of(number(&facts.join("queue/logical_block_size"))?)?;
    let bytes = number(&facts.join("size"))?.checked_mul(512)?;
    let found = File::open(Path::new("/dev").join(disk)).map_err(gpt::ReadError::from);
    match found.and_then(|mut file| gpt::read(&mut file, bytes, sector_size)) {
        Ok(found) => Some((found, bytes)),
        Err(error) => {
            kernel_log::write(Level::Debug, &format!("kmimage-init: {disk}: {}", failure::chain(&error)));
            None
        }
    }
}

/// Gives a partition its name, if the table has it where the kernel has it.
fn name_partition(device: &mut BlockDevice, place: Option<&Place>, table: &gpt::Table) {
    let per_sector = table.sector_size.bytes() / 512;
    let entry = place.and_then(|place| {
        let same_place = |entry: &&gpt::Partition| entry.first_lba.checked_mul(per_sector) == Some(place.start);
        table.partitions.iter().find(|entry| entry.number == place.number).filter(same_place)
    });
    if let Some(entry) = entry {
        device.uuid = Some(entry.uuid);
        device.label.clone_from(&entry.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::RootHash;
    use kmimage_contract::disk_layout::DiskLayout;

    #[test]
    fn a_partition_is_read_from_sysfs_and_the_disks_table() {
        let target = Path::new("../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda3");
        let uevent = "MAJOR=254\nMINOR=3\nDEVNAME=vda3\nDEVTYPE=partition\nDISKSEQ=9\nPARTN=3\nPARTNAME=root-a\n";
        let (device, place) = parse(target, uevent, "524288\n", "1052672\n").unwrap();
        assert_eq!(place, Some(Place { number: 3, start: 1_052_672 }));
        let expect = BlockDevice {
            name: "vda3".to_owned(),
            number: DeviceNumber { major: 254, minor: 3 },
            disk: Some("vda".to_owned()),
            uuid: None,
            label: String::new(),
            sectors: 524_288,
        };
        assert_eq!(device, expect);

        let layout = DiskLayout::factory(256 << 20, &RootHash(std::array::from_fn(|index| index as u8))).unwrap();
        for sector_size in [gpt::SectorSize::B512, gpt::SectorSize::B4096] {
            let mut moved = device.clone();
            name_partition(&mut moved, Some(&Place { number: 3, start: 1 }), &layout.gpt(sector_size));
            assert_eq!(moved, expect);
            name_partition(&mut moved, place.as_ref(), &layout.gpt(sector_size));
            let uuid = Some(uuid::uuid!("00010203-0405-0607-0809-0a0b0c0d0e0f"));
            assert_eq!(moved, BlockDevice { uuid, label: "root-a".to_owned(), ..expect.clone() });
        }
    }

    #[test]
    fn disks_and_odd_devices_are_read_too() {
        let target = Path::new("../../devices/virtual/block/loop0");
        let (disk, place) = parse(target, "MAJOR=7\nMINOR=0\nDEVNAME=loop0\nDEVTYPE=disk\n", "0\n", "").unwrap();
        assert_eq!((disk.disk, place), (None, None));
        assert_eq!(parse(target, "MAJOR=7\n", "0", ""), None);
        assert_eq!(parse(target, "MAJOR=7\nMINOR=0\nDEVNAME=loop0\n", "many", ""), None);
    }

    #[test]
    fn a_number_finds_what_the_list_has() {
        // Whatever the machine has; a number that no device has finds none.
        for device in read().unwrap_or_default() {
            let found = read_one(device.number);
            assert_eq!(found.map(|found| (found.name, found.disk)), Some((device.name, device.disk)));
        }
        assert_eq!(read_one(DeviceNumber { major: 4095, minor: 1_048_575 }), None);
    }
}
