//! Block devices: disks and partitions as sysfs shows them.

use super::{FactError, read_text};
use kmimage_sys::device_mapper::DeviceNumber;
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
pub fn read() -> Result<Vec<BlockDevice>, FactError> {
    let class = Path::new("/sys/class/block");
    let mut devices = Vec::new();
    let fail = |source| FactError::Read { path: class.to_owned(), source };
    for entry in std::fs::read_dir(class).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let Ok(target) = std::fs::read_link(&path) else { continue };
        let (Ok(uevent), Ok(size)) = (read_text(&path.join("uevent")), read_text(&path.join("size"))) else { continue };
        devices.extend(parse(&target, &uevent, &size));
    }
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(devices)
}

/// The device of a number, if it is there.
pub fn read_one(number: DeviceNumber) -> Result<Option<BlockDevice>, FactError> {
    Ok(read()?.into_iter().find(|device| device.number == number))
}

/// Takes together what sysfs says of one device: where its link in /sys/class/block leads, its `uevent` and its `size`.
fn parse(target: &Path, uevent: &str, size: &str) -> Option<BlockDevice> {
    let value = |key: &str| uevent.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let parent = || target.parent()?.file_name()?.to_str().map(str::to_owned);
    Some(BlockDevice {
        name: value("DEVNAME")?.to_owned(),
        number: DeviceNumber { major: value("MAJOR")?.parse().ok()?, minor: value("MINOR")?.parse().ok()? },
        disk: if value("DEVTYPE") == Some("partition") { Some(parent()?) } else { None },
        uuid: value("PARTUUID").and_then(|uuid| uuid.parse().ok()),
        label: value("PARTNAME").unwrap_or_default().to_owned(),
        sectors: size.trim().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_read_from_its_parts() {
        let target = Path::new("../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda3");
        let uevent = "MAJOR=254\nMINOR=3\nDEVNAME=vda3\nDEVTYPE=partition\nDISKSEQ=9\nPARTN=3\nPARTNAME=root-a\n\
                      PARTUUID=4a1c2b3d-4e5f-6071-8293-a4b5c6d7e8f9\n";
        let device = parse(target, uevent, "524288\n").unwrap();
        assert_eq!(
            device,
            BlockDevice {
                name: "vda3".to_owned(),
                number: DeviceNumber { major: 254, minor: 3 },
                disk: Some("vda".to_owned()),
                uuid: Some(uuid::uuid!("4a1c2b3d-4e5f-6071-8293-a4b5c6d7e8f9")),
                label: "root-a".to_owned(),
                sectors: 524_288,
            }
        );
    }

    #[test]
    fn disks_and_odd_devices_are_read_too() {
        let target = Path::new("../../devices/virtual/block/loop0");
        let disk = parse(target, "MAJOR=7\nMINOR=0\nDEVNAME=loop0\nDEVTYPE=disk\n", "0\n").unwrap();
        assert_eq!((disk.disk, disk.uuid, disk.label.as_str()), (None, None, ""));
        // A partition of an MBR: the UUID is no UUID.
        let mbr = "MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\nPARTUUID=1234abcd-01\n";
        assert_eq!(parse(Path::new("x/sda/sda1"), mbr, "1").unwrap().uuid, None);
        assert_eq!(parse(target, "MAJOR=7\n", "0"), None);
        assert_eq!(parse(target, "MAJOR=7\nMINOR=0\nDEVNAME=loop0\n", "many"), None);
    }
}
