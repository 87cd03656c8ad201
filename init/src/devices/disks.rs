//! Reading disks and partitions out of sysfs and their first bytes, for their names.

use super::disk_names::{self, Disk, Facts};
use super::scsi_names;
use super::superblock::{self, Identity};
use crate::facts::{block, read_text};
use kmimage_contract::disk_selector::{DiskIdentity, normal_wwn};
use kmimage_sys::device_mapper::DeviceNumber;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

const CLASS: &str = "/sys/class/block";

/// The names of all block devices that can have lasting names: no loop devices, no mapped ones, nothing empty.
pub(super) fn all() -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(CLASS)).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_lasting(name)).collect();
    names.sort();
    names
}

/// Whether a device of this name can have lasting names.
pub(super) fn is_lasting(name: &str) -> bool {
    ["vd", "sd", "sr", "nvme", "xvd", "mmcblk", "pmem", "nbd"].iter().any(|prefix| name.starts_with(prefix))
}

/// The disks that there are now, by their names in /dev, with what a person may know them by. CDs are none.
pub(crate) fn identities() -> Vec<(String, DiskIdentity)> {
    let disks = all().into_iter().filter(|name| !name.starts_with("sr")).filter_map(|name| read(&name));
    disks.filter(|facts| facts.partition.is_none()).map(|facts| (facts.name.clone(), identity_of(&facts))).collect()
}

fn identity_of(facts: &Facts) -> DiskIdentity {
    let Facts { disk, name, .. } = facts;
    let folder = Path::new(CLASS).join(name);
    // SCSI's unit serial number page: four bytes of header, then text.
    let page80 = std::fs::read(folder.join("device/vpd_pg80")).unwrap_or_default();
    let page80 = String::from_utf8_lossy(page80.get(4..).unwrap_or_default()).trim_matches([' ', '\0']).to_owned();
    let serial = [&disk.serial, &disk.usb_serial, &page80].into_iter().find(|text| !text.is_empty());
    let by_id = disk_names::names(facts).into_iter().filter_map(|name| Some(name.strip_prefix("by-id/")?.to_owned()));
    DiskIdentity {
        ids: by_id.collect(),
        serial: serial.cloned().unwrap_or_default(),
        wwn: normal_wwn(&scsi_names::world_wide(&disk.page83).unwrap_or_else(|| disk.wwid.clone())),
        model: disk.model.clone(),
        size: text(&folder.join("size")).parse::<u64>().unwrap_or(0).saturating_mul(512),
    }
}

/// Reads what there is to know of a device. `None`: it is gone.
pub(super) fn read(name: &str) -> Option<Facts> {
    let link = Path::new(CLASS).join(name);
    let folder = std::fs::canonicalize(&link).ok()?;
    let number: u64 = text(&folder.join("size")).parse().ok()?;
    let device = text(&folder.join("dev"));
    let (major, minor) = device.split_once(':')?;
    let device = block::read_one(DeviceNumber { major: major.parse().ok()?, minor: minor.parse().ok()? });
    let partition = text(&folder.join("partition")).parse().ok();
    let disk = if partition.is_some() { folder.parent()? } else { &folder };
    Some(Facts {
        name: name.to_owned(),
        partition,
        partition_uuid: device.as_ref().and_then(|device| device.uuid).map_or_else(String::new, |uuid| uuid.to_string()),
        partition_label: device.map(|device| device.label).unwrap_or_default(),
        // Nothing is read of a drive without a medium.
        file_system: if number > 0 { identity(name) } else { Identity::default() },
        disk: read_disk(disk),
    })
}

fn identity(name: &str) -> Identity {
    let mut start = Vec::new();
    let read =
        File::open(Path::new("/dev").join(name)).and_then(|file| file.take(superblock::LOOK as u64).read_to_end(&mut start));
    read.ok().and_then(|_| superblock::identify(&start)).unwrap_or_default()
}

fn read_disk(folder: &Path) -> Disk {
    let of_device = |name: &str| text(&folder.join("device").join(name));
    let own = |name: &str| text(&folder.join(name));
    let bytes = |name: &str| std::fs::read(folder.join("device").join(name)).unwrap_or_default();
    let first = |texts: [String; 2]| texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    Disk {
        name: folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        // virtio-blk has it at the disk, NVMe at the controller.
        serial: first([own("serial"), of_device("serial")]),
        model: of_device("model"),
        vendor: of_device("vendor"),
        wwid: own("wwid"),
        namespace: own("nsid"),
        page83: bytes("vpd_pg83"),
        page89: bytes("vpd_pg89"),
        usb_serial: usb_serial(folder),
        chain: chain(folder),
    }
}

fn usb_serial(folder: &Path) -> String {
    let device = folder.ancestors().find(|path| path.join("busnum").exists() && path.join("devnum").exists());
    device.map_or_else(String::new, |device| text(&device.join("serial")))
}

/// The devices from a disk upwards.
fn chain(folder: &Path) -> Vec<(String, String)> {
    let top = Path::new("/sys/devices");
    let begin = controller(folder).unwrap_or_else(|| folder.to_owned());
    let one = |path: &Path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let named = |subsystem: &str| Some((subsystem.to_owned(), name.clone()));
        if name.strip_prefix("ata").is_some_and(|digits| digits.parse::<u32>().is_ok()) {
            return Some(("ata_port".to_owned(), text(&path.join("ata_port").join(&name).join("port_no"))));
        }
        // What SCSI hangs on has no subsystem of its own.
        for (prefix, subsystem) in [("end_device-", "sas_port"), ("rport-", "fc_remote_ports"), ("session", "iscsi_session")] {
            if name.starts_with(prefix) {
                return named(subsystem);
            }
        }
        let subsystem = std::fs::read_link(path.join("subsystem")).ok()?;
        match subsystem.file_name()?.to_str()? {
            "scsi" => Some(("scsi".to_owned(), from_controller(path, &name).unwrap_or_else(|| name.clone()))),
            other => named(other),
        }
    };
    begin.ancestors().take_while(|path| path.starts_with(top) && *path != top).filter_map(one).collect()
}

/// Of an NVMe namespace that several controllers may share: the first of them.
fn controller(folder: &Path) -> Option<PathBuf> {
    let subsystem = folder.parent().filter(|_| folder.starts_with("/sys/devices/virtual/nvme-subsystem"))?;
    let mut controllers: Vec<PathBuf> = std::fs::read_dir(subsystem)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_str().and_then(|name| name.strip_prefix("nvme")?.parse::<u32>().ok()).is_some())
        .filter_map(|entry| std::fs::canonicalize(entry.path()).ok())
        .collect();
    controllers.sort();
    controllers.into_iter().next()
}

/// `2:0:1:0` with the host counted from the first of its controller: hosts are numbered as they come.
fn from_controller(device: &Path, name: &str) -> Option<String> {
    let (host, rest) = name.split_once(':')?;
    let host: u32 = host.parse().ok()?;
    let folder =
        device.ancestors().find(|path| path.file_name().is_some_and(|name| *name == *format!("host{host}")))?.parent()?;
    let hosts = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("host")?.parse::<u32>().ok());
    Some(format!("{}:{rest}", host - hosts.min()?.min(host)))
}

fn text(path: &Path) -> String {
    read_text(path).map_or_else(|_| String::new(), |text| text.trim().to_owned())
}
