//! What this machine's block devices are and who uses them, as the kernel and udev say it: a pure parse beside a read.
//!
//! Read from sysfs, `/proc` and udev's database below a root that tests choose; nothing here needs root's rights or opens a device. What
//! the medium says of itself (labels, models, serial numbers) is made printable, because it ends up on a terminal.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What a device hangs on, as its place in sysfs says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// USB: sticks, card readers, boxes with disks.
    Usb,
    /// A card in a reader of its own.
    Mmc,
    /// NVM Express.
    Nvme,
    /// SATA or IDE.
    Ata,
    /// A virtual machine's.
    Virtio,
    /// Any other SCSI.
    Scsi,
    /// A file as a device.
    Loop,
    /// Made by the kernel out of others, or of memory.
    Virtual,
}

impl Bus {
    /// By a path below `/sys/devices`.
    fn of(path: &Path) -> Self {
        let path = path.to_string_lossy();
        let table = [
            ("/virtual/block/loop", Bus::Loop),
            ("/virtual/block/", Bus::Virtual),
            ("/usb", Bus::Usb),
            ("/mmc_host/", Bus::Mmc),
            ("/nvme", Bus::Nvme),
            ("/ata", Bus::Ata),
            ("/virtio", Bus::Virtio),
        ];
        table.into_iter().find(|(part, _)| path.contains(part)).map_or(Bus::Scsi, |(_, bus)| bus)
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Bus::Usb => "USB",
            Bus::Mmc => "memory card",
            Bus::Nvme => "NVMe",
            Bus::Ata => "SATA",
            Bus::Virtio => "virtio",
            Bus::Scsi => "SCSI",
            Bus::Loop => "loop",
            Bus::Virtual => "virtual",
        }
    }
}

/// A block device: a disk, a partition, or something made out of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The kernel's name: `sdb`, `nvme0n1p2`.
    pub name: String,
    /// Major and minor number.
    pub number: (u32, u32),
    /// In bytes.
    pub size: u64,
    /// Bytes per logical sector; 512 where the kernel doesn't say.
    pub sector_size: u64,
    /// Writing is refused by the kernel.
    pub read_only: bool,
    /// The medium can be taken out.
    pub removable: bool,
    /// What it hangs on.
    pub bus: Bus,
    /// True for real hardware: it has a driver's device.
    pub is_hardware: bool,
    /// Number of a partition, and the disk that it is on.
    pub partition: Option<(u32, String)>,
    /// Devices that this one is made of (device-mapper, md).
    pub made_of: BTreeSet<String>,
    /// The file behind a loop device.
    pub backing_file: Option<PathBuf>,
    /// Maker and model.
    pub model: Option<String>,
    /// Serial number, as lsblk prints it.
    pub serial: Option<String>,
    /// Names below /dev/disk/by-id, without that folder.
    pub by_id: Vec<String>,
    /// Name in the partition table.
    pub partition_name: Option<String>,
    /// Kind of the file system, by udev.
    pub file_system: Option<String>,
    /// Label of the file system, by udev.
    pub label: Option<String>,
    /// What device-mapper calls it.
    pub mapped_name: Option<String>,
}

impl Device {
    /// Where its node is.
    pub fn path(&self) -> PathBuf {
        // The kernel writes `!` for the `/` of names such as cciss/c0d0.
        Path::new("/dev").join(self.name.replace('!', "/"))
    }
}

/// Block devices by name, and who uses them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Every device by its kernel's name.
    pub devices: BTreeMap<String, Device>,
    /// Device and mount point, of every file system that lies on one.
    pub mounts: Vec<(String, PathBuf)>,
    /// Devices that are swap.
    pub swaps: Vec<String>,
}

impl Machine {
    /// Reads what there is below `root`, which is `/` outside of tests.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut devices = BTreeMap::new();
        for entry in fs_err::read_dir(root.join("sys/class/block"))? {
            let entry = entry?;
            // A device may go while we look.
            if let Some(device) = read_device(root, &entry.file_name().to_string_lossy(), &entry.path()) {
                devices.insert(device.name.clone(), device);
            }
        }
        let mut machine = Self { devices, mounts: Vec::new(), swaps: Vec::new() };
        // Process 1 sees what a container doesn't; it may not be ours to look at.
        for process in ["self", "1"] {
            let mounts = std::fs::read_to_string(root.join("proc").join(process).join("mountinfo"));
            for mount in mounts.iter().flat_map(|text| text::mounts(text)) {
                if let Some(name) = machine.of_mount(root, &mount) {
                    machine.mounts.push((name, mount.point));
                }
            }
        }
        machine.mounts.sort();
        machine.mounts.dedup();
        let swaps = std::fs::read_to_string(root.join("proc/swaps")).unwrap_or_default();
        machine.swaps = text::swaps(&swaps).iter().filter_map(|path| machine.of_path(root, path)).collect();
        Ok(machine)
    }

    /// The device with this number.
    pub fn by_number(&self, number: (u32, u32)) -> Option<&Device> {
        self.devices.values().find(|device| device.number == number)
    }

    /// The partitions of a disk, in order.
    pub fn partitions(&self, disk: &str) -> Vec<(u32, &Device)> {
        let is_on = |device: &&Device| device.partition.as_ref().is_some_and(|(_, on)| on == disk);
        let mut found: Vec<(u32, &Device)> = self
            .devices
            .values()
            .filter(is_on)
            .filter_map(|device| device.partition.as_ref().map(|(number, _)| (*number, device)))
            .collect();
        found.sort_by_key(|(number, _)| *number);
        found
    }

    /// The device that a mount lies on. btrfs has a number of no device's: there, the source counts.
    fn of_mount(&self, root: &Path, mount: &text::Mount) -> Option<String> {
        let by_number = self.by_number(mount.number).map(|device| device.name.clone());
        by_number.or_else(|| mount.source.as_deref().and_then(|source| self.of_path(root, source)))
    }

    /// The device behind a path such as `/dev/mapper/root`.
    fn of_path(&self, root: &Path, path: &Path) -> Option<String> {
        let below = path.strip_prefix("/dev").ok()?;
        let name = below.to_string_lossy().replace('/', "!");
        if self.devices.contains_key(&name) {
            return Some(name);
        }
        let mapped = below.strip_prefix("mapper").ok().map(|name| name.to_string_lossy().into_owned());
        let is_mapped = |device: &&Device| mapped.is_some() && device.mapped_name == mapped;
        if let Some(device) = self.devices.values().find(is_mapped) {
            return Some(device.name.clone());
        }
        let real = std::fs::canonicalize(root.join("dev").join(below)).ok()?;
        let name = real.file_name()?.to_string_lossy().into_owned();
        self.devices.contains_key(&name).then_some(name)
    }
}

/// What sysfs and udev say of one device; none for one that has gone.
fn read_device(root: &Path, name: &str, link: &Path) -> Option<Device> {
    let folder = std::fs::canonicalize(link).ok()?;
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).ok().map(|text| text::printable(text.trim()));
    let number_in = |file: &str| read(file).and_then(|text| text.parse::<u64>().ok());
    let (major, minor) = text::number(&read("dev")?)?;
    let parent = |folder: &Path| folder.parent()?.file_name().map(|name| name.to_string_lossy().into_owned());
    let partition = number_in("partition").and_then(|number| Some((u32::try_from(number).ok()?, parent(&folder)?)));
    let udev = std::fs::read_to_string(root.join(format!("run/udev/data/b{major}:{minor}")));
    let udev = text::udev(&udev.unwrap_or_default());
    let made_of = std::fs::read_dir(folder.join("slaves")).into_iter().flatten().flatten();
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let whole = if partition.is_some() { folder.parent()?.to_path_buf() } else { folder.clone() };
    let sector_size = std::fs::read_to_string(whole.join("queue/logical_block_size"));
    let serial = || {
        let inquired = || text::unit_serial(&std::fs::read(folder.join("device/vpd_pg80")).ok()?);
        let of_usb = || text::printable(std::fs::read_to_string(usb_device(root, &folder)?.join("serial")).ok()?.trim()).into();
        filled(read("serial")).or_else(|| filled(read("device/serial"))).or_else(of_usb).or_else(inquired)
    };
    Some(Device {
        name: name.to_owned(),
        number: (major, minor),
        size: number_in("size")?.checked_mul(512)?,
        sector_size: sector_size.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(512),
        read_only: number_in("ro") == Some(1),
        removable: number_in("removable") == Some(1),
        bus: Bus::of(&folder),
        is_hardware: folder.join("device").exists(),
        made_of: made_of.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
        backing_file: filled(read("loop/backing_file")).map(PathBuf::from),
        model: filled(Some(
            [read("device/vendor"), read("device/model"), read("device/name")]
                .into_iter()
                .flatten()
                // virtio's is a number.
                .filter(|text| !text.is_empty() && !text.starts_with("0x"))
                .collect::<Vec<_>>()
                .join(" "),
        )),
        serial: if partition.is_none() { filled(udev.serial).or_else(serial) } else { None },
        by_id: udev.by_id,
        partition_name: std::fs::read_to_string(folder.join("uevent")).ok().and_then(|text| text::partition_name(&text)),
        file_system: filled(udev.file_system),
        label: filled(udev.label),
        mapped_name: filled(read("dm/name")),
        partition,
    })
}

/// The USB device that a block device belongs to: the nearest folder above with a vendor's id.
fn usb_device(root: &Path, folder: &Path) -> Option<PathBuf> {
    let top = std::fs::canonicalize(root).ok()?;
    let mut above = folder.ancestors().take_while(|above| above.starts_with(&top));
    above.find(|above| above.join("idVendor").exists()).map(Path::to_path_buf)
}

#[cfg(test)]
pub(crate) mod tests;
