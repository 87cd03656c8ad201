//! Block devices: disks and partitions, as sysfs and the disks' partition tables show them.
//!
//! A partition that stage 1 has mapped, because the kernel has none on such a disk (a CD), is one like any other.

use super::{FactError, read_text};
use crate::failure;
use kmimage_contract::disk_layout::medium;
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
    read_link(&Path::new(NUMBERS).join(number.to_string()))
}

/// The device of a name, if it is there. No disk but its own is looked at.
pub fn read_named(name: &str) -> Option<BlockDevice> {
    read_link(&Path::new(CLASS).join(name))
}

fn read_link(link: &Path) -> Option<BlockDevice> {
    let (mut device, place) = read_device(link)?;
    if let Some((found, _)) = device.disk.as_deref().and_then(read_table) {
        name_partition(&mut device, place.as_ref(), &found.table);
    }
    Some(device)
}

/// The device-mapper UUID of a mapped partition. kpartx' form, by which others know such a device for a partition.
pub fn mapping_uuid(number: u32, uuid: Uuid) -> String {
    format!("part{number}-kmimage-{uuid}")
}

fn parse_mapping(text: &str) -> Option<Place> {
    let (number, uuid) = text.trim().strip_prefix("part")?.split_once("-kmimage-")?;
    Some(Place::Mapped { number: number.parse().ok()?, uuid: uuid.parse().ok()? })
}

/// Where a partition is on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// By the kernel.
    Kernel {
        number: u32,
        /// In sectors of 512 bytes.
        start: u64,
    },
    /// By stage 1.
    Mapped { number: u32, uuid: Uuid },
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
    let (mut device, place) = parse(&target, &text("uevent")?, &text("size")?, &text("start").unwrap_or_default())?;
    let mapping = text("dm/uuid").as_deref().and_then(parse_mapping);
    if mapping.is_some() {
        device.disk = std::fs::read_dir(link.join("slaves")).ok()?.flatten().next()?.file_name().into_string().ok();
    }
    Some((device, place.or(mapping)))
}

/// Takes together what sysfs says of one device: where its link leads, its `uevent`, `size` and `start`.
fn parse(target: &Path, uevent: &str, size: &str, start: &str) -> Option<(BlockDevice, Option<Place>)> {
    let value = |key: &str| uevent.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let parent = || target.parent()?.file_name()?.to_str().map(str::to_owned);
    let place = || Some(Place::Kernel { number: value("PARTN")?.parse().ok()?, start: start.trim().parse().ok()? });
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
    let say = |error: &dyn std::error::Error| {
        kernel_log::write(Level::Debug, &format!("kmimage-init: {disk}: {}", failure::chain(error)));
    };
    // Opened first: of a CD the kernel knows size and sectors from then on.
    let mut file = File::open(Path::new("/dev").join(disk)).inspect_err(|error| say(error)).ok()?;
    let bytes = number(&facts.join("size"))?.checked_mul(512)?;
    medium::sector_sizes(number(&facts.join("queue/logical_block_size"))?).find_map(|sector_size| {
        let found = gpt::read(&mut file, bytes, sector_size).inspect_err(|error| say(error)).ok()?;
        Some((found, bytes))
    })
}

/// Gives a partition its name, if the table has it where the kernel has it.
fn name_partition(device: &mut BlockDevice, place: Option<&Place>, table: &gpt::Table) {
    let per_sector = table.sector_size.bytes() / 512;
    let is_it = |entry: &&gpt::Partition| match place {
        None => false,
        Some(Place::Kernel { number, start }) => {
            entry.number == *number && entry.first_lba.checked_mul(per_sector) == Some(*start)
        }
        // Where it is was taken from this table, if the medium is still the same.
        Some(Place::Mapped { number, uuid }) => entry.number == *number && entry.uuid == *uuid,
    };
    if let Some(entry) = table.partitions.iter().find(is_it) {
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
        assert_eq!(place, Some(Place::Kernel { number: 3, start: 1_052_672 }));
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
            name_partition(&mut moved, Some(&Place::Kernel { number: 3, start: 1 }), &layout.gpt(sector_size));
            assert_eq!(moved, expect);
            name_partition(&mut moved, place.as_ref(), &layout.gpt(sector_size));
            let uuid = Some(uuid::uuid!("00010203-0405-0607-0809-0a0b0c0d0e0f"));
            assert_eq!(moved, BlockDevice { uuid, label: "root-a".to_owned(), ..expect.clone() });
        }
    }

    #[test]
    fn a_mapped_partition_is_named_by_the_mediums_table() {
        let hash = RootHash(std::array::from_fn(|index| index as u8));
        let table = DiskLayout::medium(&hash, 1 << 20, 36 << 20, 4096, 4096).gpt(gpt::SectorSize::B512);
        let target = Path::new("../../devices/virtual/block/dm-1");
        let (device, _) = parse(target, "MAJOR=252\nMINOR=1\nDEVNAME=dm-1\nDEVTYPE=disk\n", "8\n", "").unwrap();
        let uuid = uuid::uuid!("00010203-0405-0607-0809-0a0b0c0d0e0f");
        let named = |number: u32, uuid: Uuid| {
            let mut device = BlockDevice { disk: Some("sr0".to_owned()), ..device.clone() };
            name_partition(&mut device, parse_mapping(&format!("{}\n", mapping_uuid(number, uuid))).as_ref(), &table);
            (device.uuid, device.label)
        };
        assert_eq!(named(3, uuid), (Some(uuid), "root-a".to_owned()));
        // Another medium lies there by now.
        assert_eq!(named(3, Uuid::nil()), (None, String::new()));
        assert_eq!(named(2, uuid), (None, String::new()));
        for other in ["", "CRYPT-VERITY-0-root", "part3-mpath-x", "partx-kmimage-00010203-0405-0607-0809-0a0b0c0d0e0f"] {
            assert_eq!(parse_mapping(other), None);
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
