//! The lasting names of disks and partitions: /dev/disk/by-{id,path,uuid,label,partuuid,partlabel}, as udev's rules give them. Pure.
//!
//! Kubernetes storage drivers and machine configs name disks so. By id known are virtio, NVMe, SCSI (its own identifiers, page 0x83), ATA
//! (page 0x89) and USB; by path PCI, virtio, NVMe, ATA, SCSI, USB and VMBus. A disk on Fibre Channel, iSCSI or a SAS expander has
//! no name by path. /run/udev is not made: it is udev's own.

use super::scsi_names;
use super::superblock::Identity;
use std::collections::BTreeSet;

/// What there is to know of a disk or partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its name in /dev.
    pub name: String,
    /// Its number on its disk; none: it is a disk.
    pub partition: Option<u32>,
    /// Of a partition in a GPT: its UUID.
    pub partition_uuid: String,
    /// Of a partition in a GPT: its name.
    pub partition_label: String,
    /// What the file system on it calls itself.
    pub file_system: Identity,
    /// The disk (of a partition: the one it is on).
    pub disk: Disk,
}

/// What there is to know of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// Its name in /dev.
    pub name: String,
    /// virtio's and NVMe's serial number.
    pub serial: String,
    /// NVMe's and SCSI's model.
    pub model: String,
    /// SCSI's vendor.
    pub vendor: String,
    /// NVMe's world-wide name.
    pub wwid: String,
    /// NVMe's namespace.
    pub namespace: String,
    /// SCSI's device identification page (0x83).
    pub page83: Vec<u8>,
    /// SCSI's ATA information page (0x89).
    pub page89: Vec<u8>,
    /// The serial number of the USB device that it is.
    pub usb_serial: String,
    /// The devices from the disk upwards: subsystem and name. Of an ATA port the name is its number at its controller; of a SCSI device
    /// the host's number is counted from its controller's first.
    pub chain: Vec<(String, String)>,
}

/// All names of a device, relative to /dev/disk.
pub fn names(facts: &Facts) -> BTreeSet<String> {
    let part = facts.partition.map_or_else(String::new, |number| format!("-part{number}"));
    let by_id = ids(&facts.disk).into_iter().map(|id| format!("by-id/{}{part}", plain(&id)));
    let by_path = path(&facts.disk).into_iter().map(|path| format!("by-path/{}{part}", plain(&path)));
    let own = [
        ("by-uuid", &facts.file_system.uuid),
        ("by-label", &facts.file_system.label),
        ("by-partuuid", &facts.partition_uuid),
        ("by-partlabel", &facts.partition_label),
    ];
    let own = own.into_iter().filter(|(_, name)| !name.is_empty()).map(|(folder, name)| format!("{folder}/{}", encoded(name)));
    // A label may be anything, also a name that every folder has already.
    by_id.chain(by_path).chain(own).filter(|name| !name.ends_with("/.") && !name.ends_with("/..")).collect()
}

fn ids(disk: &Disk) -> Vec<String> {
    let mut ids = Vec::new();
    if disk.name.starts_with("vd") && !disk.serial.is_empty() {
        ids.push(format!("virtio-{}", disk.serial));
    } else if disk.name.starts_with("nvme") {
        if !disk.wwid.is_empty() {
            ids.push(format!("nvme-{}", disk.wwid));
        }
        if !disk.model.is_empty() && !disk.serial.is_empty() {
            let id = format!("nvme-{}_{}", replaced(&disk.model), replaced(&disk.serial));
            ids.extend((!disk.namespace.is_empty()).then(|| format!("{id}_{}", disk.namespace)));
            ids.push(id);
        }
    } else if disk.name.starts_with("sd") || disk.name.starts_with("sr") {
        let ata = scsi_names::ata(&disk.page89);
        let identifier = scsi_names::identifier(&disk.page83, &disk.vendor, &disk.model);
        ids.extend(scsi_names::world_wide(&disk.page83).map(|name| format!("wwn-0x{name}")));
        if !disk.usb_serial.is_empty() {
            let unit = disk.chain.iter().find(|(subsystem, _)| subsystem == "scsi").map(|(_, name)| name.rsplit(':').take(2));
            let unit = unit.map(|unit| unit.collect::<Vec<_>>()).unwrap_or_default();
            let unit = if let [lun, target] = unit[..] { format!("-{target}:{lun}") } else { String::new() };
            let words = [&disk.vendor, &disk.model, &disk.usb_serial].map(|word| replaced(word)).join("_");
            ids.push(format!("usb-{words}{unit}"));
        } else if let Some(ata) = ata {
            ids.push(format!("ata-{}", replaced(&ata)));
        } else if let Some(identifier) = identifier {
            ids.push(format!("scsi-{}", replaced(&identifier)));
        }
    }
    ids
}

/// Where a disk is attached, from the host's controller on. `None`: behind something that has no lasting address.
fn path(disk: &Disk) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    let (mut transport, mut rooted, mut last) = (false, false, "");
    for (subsystem, name) in &disk.chain {
        // Of neighbours of one kind the first counts: bridges, hubs, hosts.
        if subsystem == last {
            continue;
        }
        let part = match subsystem.as_str() {
            "pci" => Some(format!("pci-{name}")),
            "vmbus" => Some(format!("vmbus-{}-lun-{}", name.replace('-', ""), lun(disk)?)),
            "nvme" if !disk.namespace.is_empty() => Some(format!("nvme-{}", disk.namespace)),
            "ata_port" => Some(format!("ata-{name}")),
            "scsi" if has(disk, "ata_port") || has(disk, "vmbus") => None,
            "scsi" if has(disk, "sas_port") || has(disk, "fc_remote_ports") || has(disk, "iscsi_session") => return None,
            "scsi" => Some(format!("scsi-{name}")),
            "usb" => Some(format!("usb-0:{}", name.split_once('-')?.1)),
            "virtio" => None,
            _ => continue,
        };
        last = subsystem;
        rooted |= matches!(subsystem.as_str(), "pci" | "vmbus");
        transport |= subsystem != "pci";
        parts.extend(part);
    }
    parts.reverse();
    (transport && rooted).then(|| parts.join("-"))
}

fn has(disk: &Disk, subsystem: &str) -> bool {
    disk.chain.iter().any(|(known, _)| known == subsystem)
}

fn lun(disk: &Disk) -> Option<&str> {
    disk.chain.iter().find(|(subsystem, _)| subsystem == "scsi")?.1.rsplit(':').next()
}

/// Without white space at the ends, `_` for each run of it within.
fn replaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join("_")
}

/// A name that is safe as the name of a file: what udev doesn't take becomes `_`.
fn plain(name: &str) -> String {
    name.chars().map(|c| if is_safe(c) { c } else { '_' }).collect()
}

/// A name that can be read back: what udev doesn't take becomes `\x` and two digits for each byte.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if is_safe(c) {
            text.push(c);
        } else {
            text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("\\x{byte:02x}")));
        }
    }
    text
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) || !c.is_ascii() && !c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(text: &str) -> Vec<(String, String)> {
        let one = |word: &str| word.split_once('=').map(|(subsystem, name)| (subsystem.to_owned(), name.to_owned()));
        text.split_ascii_whitespace().filter_map(one).collect()
    }

    #[track_caller]
    fn check(facts: &Facts, expect: &[&str]) {
        assert_eq!(names(facts).iter().map(String::as_str).collect::<Vec<_>>(), expect);
    }

    fn disk(name: &str, path: &str) -> Disk {
        Disk { name: name.to_owned(), chain: chain(path), ..Disk::default() }
    }

    #[test]
    fn a_virtio_disk_and_its_partition() {
        let disk = Disk { serial: "data0".to_owned(), ..disk("vda", "virtio=virtio1 pci=0000:00:04.0") };
        check(
            &Facts { name: "vda".to_owned(), disk: disk.clone(), ..Facts::default() },
            &["by-id/virtio-data0", "by-path/pci-0000:00:04.0"],
        );
        let partition = Facts {
            name: "vda7".to_owned(),
            partition: Some(7),
            partition_uuid: "1f".to_owned(),
            partition_label: "state".to_owned(),
            file_system: Identity { uuid: "2e".to_owned(), label: "my data/é".to_owned() },
            disk,
        };
        let expect = [
            "by-id/virtio-data0-part7",
            "by-label/my\\x20data\\x2fé",
            "by-partlabel/state",
            "by-partuuid/1f",
            "by-path/pci-0000:00:04.0-part7",
            "by-uuid/2e",
        ];
        check(&partition, &expect);
    }

    #[test]
    fn nvme_is_named_by_model_serial_and_namespace() {
        let disk = Disk {
            serial: "S4EVNX0  ".to_owned(),
            model: "Samsung SSD 970 ".to_owned(),
            wwid: "eui.0025385b".to_owned(),
            namespace: "1".to_owned(),
            ..disk("nvme0n1", "nvme=nvme0 pci=0000:01:00.0 pci=0000:00:1d.0")
        };
        let expect = [
            "by-id/nvme-Samsung_SSD_970_S4EVNX0",
            "by-id/nvme-Samsung_SSD_970_S4EVNX0_1",
            "by-id/nvme-eui.0025385b",
            "by-path/pci-0000:01:00.0-nvme-1",
        ];
        check(&Facts { disk, ..Facts::default() }, &expect);
    }

    #[test]
    fn scsi_ata_and_usb_disks() {
        // QEMU's scsi-hd with an id and no wwn, as Proxmox has it.
        let page83 = [&[0, 0x83, 0, 15, 2, 0, 0, 11][..], b"drive-scsi0"].concat();
        let scsi = Disk {
            vendor: "QEMU    ".to_owned(),
            model: "QEMU HARDDISK   ".to_owned(),
            page83,
            ..disk("sda", "scsi=0:0:0:0 scsi=target0:0:0 scsi=host2 virtio=virtio3 pci=0000:00:05.0")
        };
        let expect = ["by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi0", "by-path/pci-0000:00:05.0-scsi-0:0:0:0"];
        check(&Facts { disk: scsi.clone(), ..Facts::default() }, &expect);

        let usb = Disk {
            usb_serial: "4C53".to_owned(),
            vendor: "SanDisk ".to_owned(),
            model: "Ultra  Fit ".to_owned(),
            page83: vec![],
            ..disk("sdb", "scsi=0:0:0:0 scsi=host6 usb=1-2:1.0 usb=1-2 usb=usb1 pci=0000:00:14.0")
        };
        let expect = ["by-id/usb-SanDisk_Ultra_Fit_4C53-0:0", "by-path/pci-0000:00:14.0-usb-0:2:1.0-scsi-0:0:0:0"];
        check(&Facts { disk: usb, ..Facts::default() }, &expect);

        let mut ata =
            Disk { name: "sdc".to_owned(), chain: chain("scsi=0:0:0:0 scsi=host0 ata_port=3 pci=0000:00:1f.2"), ..scsi };
        ata.page89 = scsi_names::tests::page89("QEMU HARDDISK", "QM00005");
        let expect = ["by-id/ata-QEMU_HARDDISK_QM00005", "by-path/pci-0000:00:1f.2-ata-3"];
        check(&Facts { disk: ata, ..Facts::default() }, &expect);
        check(&Facts { disk: disk("sdd", "scsi=0:0:0:0 sas_port=port-0:0 pci=0000:00:01.0"), ..Facts::default() }, &[]);
        let vmbus = disk("sde", "scsi=0:0:0:2 scsi=host1 vmbus=f8b3781a-1e82-4818-a1c3-63d806ec15bb");
        check(&Facts { disk: vmbus, ..Facts::default() }, &["by-path/vmbus-f8b3781a1e824818a1c363d806ec15bb-lun-2"]);
    }

    #[test]
    fn a_disk_without_any_lasting_thing_has_no_names() {
        check(&Facts { disk: disk("loop0", ""), ..Facts::default() }, &[]);
        check(&Facts { disk: disk("vda", "platform=x"), ..Facts::default() }, &[]);
        let evil = Disk { serial: "../../x y".to_owned(), ..disk("vda", "") };
        check(&Facts { disk: evil, ..Facts::default() }, &["by-id/virtio-.._.._x_y"]);
        let label = Identity { label: "..".to_owned(), uuid: String::new() };
        check(&Facts { file_system: label, ..Facts::default() }, &[]);
    }
}
