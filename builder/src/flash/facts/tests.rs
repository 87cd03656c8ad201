//! A recorded machine: files of sysfs, /proc and udev's database as they look on real ones, and what is read out of them.

use super::*;
use std::os::unix::fs::symlink;

/// Below `/sys/devices`: a device, and its files.
const DEVICES: &str = "\
pci0000:00/0000:00:1d.0/nvme/nvme0/nvme0n1 dev=259:0 size=2000409264 device/model=Samsung_990 device/serial=S6Z2NJ0 queue/logical_block_size=512
pci0000:00/0000:00:1d.0/nvme/nvme0/nvme0n1/nvme0n1p1 dev=259:1 size=1048576 partition=1 uevent=PARTNAME=EFI
pci0000:00/0000:00:1d.0/nvme/nvme0/nvme0n1/nvme0n1p2 dev=259:2 size=1999000000 partition=2
virtual/block/dm-0 dev=253:0 size=1998000000 dm/name=luks-root slaves/nvme0n1p2/x=
virtual/block/dm-1 dev=253:1 size=1900000000 dm/name=vg-root slaves/dm-0/x=
virtual/block/dm-2 dev=253:2 size=98000000 dm/name=vg-swap slaves/dm-0/x=
pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda dev=8:0 size=4000000 device/vendor=ATA device/model=WDC_WD40 device/vpd_pg80=....WD-1
pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda/sda1 dev=8:1 size=3990000 partition=1
virtual/block/md0 dev=9:0 size=3990000 slaves/sda1/x=
pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0/block/sdb dev=8:16 size=60062500 removable=1 device/vendor=SanDisk device/model=Ultra
pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0/block/sdb/sdb1 dev=8:17 size=60060000 partition=1 uevent=PARTNAME=main
pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/host7/target7:0:0/7:0:0:0/block/sdc dev=8:32 size=2000000 removable=1 device/model=Flash
pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/host7/target7:0:0/7:0:0:0/block/sdc/sdc1 dev=8:33 size=1990000 partition=1
pci0000:00/0000:00:14.0/usb1/1-4/1-4:1.0/host8/target8:0:0/8:0:0:0/block/sdd dev=8:48 size=2000000 removable=1 ro=1 device/model=Locked
pci0000:00/0000:00:14.0/usb1/1-5/1-5:1.0/host9/target9:0:0/9:0:0:0/block/sde dev=8:64 size=0 removable=1 device/model=Reader
pci0000:00/0000:00:17.0/ata2/host1/target1:0:0/1:0:0:0/block/sdf dev=8:80 size=4000000 device/model=Home
pci0000:00/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0/block/sdg dev=8:96 size=4000000 device/model=4Kn queue/logical_block_size=4096
pci0000:00/0000:00:17.0/ata4/host3/target3:0:0/3:0:0:0/block/sdh dev=8:112 size=4000000 device/model=Swap
pci0000:00/0000:00:17.0/ata4/host3/target3:0:0/3:0:0:0/block/sdh/sdh1 dev=8:113 size=3990000 partition=1
pci0000:00/0000:00:17.0/ata5/host4/target4:0:0/4:0:0:0/block/sr0 dev=11:0 size=2097151 removable=1 device/model=DVD
pci0000:00/0000:00:1a.0/mmc_host/mmc0/mmc0:0001/block/mmcblk0 dev=179:0 size=30000000 device/name=SD32G device/serial=0x1a2b
pci0000:00/0000:00:02.0/virtio1/block/vdb dev=254:16 size=4000000 device/vendor=0x1af4
virtual/block/loop0 dev=7:0 size=2000000 loop/backing_file=/media/x_y/disk.raw
virtual/block/loop1 dev=7:1 size=4000000 loop/backing_file=/srv/disk.raw
virtual/block/loop2 dev=7:2 size=0
virtual/block/zram0 dev=252:0 size=8000
";

/// The rest, by path.
const FILES: [(&str, &str); 8] = [
    ("sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/idVendor", "0781"),
    ("sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/serial", "4C530001\n"),
    (
        "proc/self/mountinfo",
        "27 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw\n28 27 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n\
         29 27 8:33 / /media/x\\040y rw - vfat /dev/sdc1 rw\n30 27 0:55 / /data rw - btrfs /dev/sdf rw\n\
         31 27 0:20 / /proc rw - proc proc rw\n",
    ),
    // A mount that only process 1 sees: of a namespace above.
    ("proc/1/mountinfo", "27 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw\n"),
    ("proc/swaps", "Filename Type Size Used Priority\n/dev/mapper/vg-swap partition 1 0 -2\n/dev/sdh1 partition 1 0 -3\n"),
    ("run/udev/data/b8:17", "E:ID_FS_TYPE=vfat\nE:ID_FS_LABEL=HOLIDAY\n"),
    ("run/udev/data/b8:32", "S:disk/by-id/usb-Flash_0-0:0\nS:disk/by-id/usb-Generic_Flash_Disk_0-0:0\n"),
    ("run/udev/data/b254:16", ""),
];

/// Writes the recorded machine below a folder, and reads it.
pub(crate) fn machine() -> Machine {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &[u8]| {
        let path = root.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    fs_err::create_dir_all(root.path().join("sys/class/block")).unwrap();
    for line in DEVICES.lines() {
        let mut words = line.split(' ');
        let place = words.next().unwrap();
        let name = place.rsplit('/').next().unwrap();
        symlink(format!("../../devices/{place}"), root.path().join("sys/class/block").join(name)).unwrap();
        for (file, text) in words.map(|word| word.split_once('=').unwrap()) {
            let text = text.replace('_', " ");
            let text = if file.ends_with("vpd_pg80") { format!("\0\u{0}\0\u{4}{}", &text[4..]) } else { format!("{text}\n") };
            write(&format!("sys/devices/{place}/{file}"), text.as_bytes());
        }
    }
    for (path, text) in FILES {
        write(path, text.as_bytes());
    }
    Machine::read(root.path()).unwrap()
}

#[test]
fn a_machine_is_read_as_it_is() {
    let machine = machine();
    let of = |name: &str| machine.devices.get(name).unwrap_or_else(|| panic!("no {name}"));
    let stick = of("sdb");
    assert_eq!(stick.number, (8, 16));
    assert_eq!((stick.size, stick.removable, stick.bus, stick.is_hardware), (60_062_500 * 512, true, Bus::Usb, true));
    assert_eq!((stick.model.as_deref(), stick.serial.as_deref()), (Some("SanDisk Ultra"), Some("4C530001")));
    let parts = machine.partitions("sdb");
    let [(1, part)] = parts.as_slice() else { panic!("{parts:?}") };
    let names = [&part.partition_name, &part.file_system, &part.label].map(|name| name.as_deref().unwrap_or("-"));
    assert_eq!(names, ["main", "vfat", "HOLIDAY"]);
    assert_eq!(of("sdc").by_id, ["usb-Flash_0-0:0", "usb-Generic_Flash_Disk_0-0:0"]);
    let serials = ["nvme0n1", "sda", "mmcblk0", "vdb"].map(|name| of(name).serial.as_deref().unwrap_or("-"));
    assert_eq!(serials, ["S6Z2NJ0", "WD-1", "0x1a2b", "-"]);
    let buses = ["nvme0n1", "sda", "mmcblk0", "vdb", "loop0", "dm-0"].map(|name| of(name).bus);
    assert_eq!(buses, [Bus::Nvme, Bus::Ata, Bus::Mmc, Bus::Virtio, Bus::Loop, Bus::Virtual]);
    assert_eq!((of("sdg").sector_size, of("vdb").model.clone(), of("mmcblk0").model.as_deref()), (4096, None, Some("SD32G")));
    let mounts: Vec<(&str, &str)> = machine.mounts.iter().map(|(name, point)| (name.as_str(), point.to_str().unwrap())).collect();
    assert_eq!(mounts, [("dm-1", "/"), ("nvme0n1p1", "/boot/efi"), ("sdc1", "/media/x y"), ("sdf", "/data")]);
    assert_eq!(machine.swaps, ["dm-2", "sdh1"]);
    assert_eq!(of("loop0").backing_file.as_deref(), Some(Path::new("/media/x y/disk.raw")));
}

#[test]
fn this_machine_can_be_read() {
    let machine = Machine::read(Path::new("/")).unwrap();
    for (name, device) in &machine.devices {
        assert_eq!(*name, device.name);
    }
    assert!(Machine::read(Path::new("/nonexistent")).is_err());
}
