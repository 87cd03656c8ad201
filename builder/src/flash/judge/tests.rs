use super::super::facts::tests::machine;
use super::*;
use kmimage_contract::gpt::{SectorSize, Table};
use uuid::Uuid;

/// An image of `mib` MiB with an empty table.
fn image(mib: u64) -> Image {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.raw");
    let encoded = Table::new(Uuid::from_u128(1), SectorSize::B512, mib * 2048, Vec::new()).encode().unwrap();
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(mib << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &encoded.primary, 0).unwrap();
    Image::open(&path).unwrap()
}

#[test]
fn what_may_not_be_overwritten_is_refused() {
    let machine = machine();
    let image = image(977);
    let table = [
        ("sdb", ""),
        ("sdb1", "/dev/sdb1 is partition 1 of /dev/sdb: an image holds a whole disk"),
        ("nvme0n1p2", "/dev/nvme0n1p2 is partition 2 of /dev/nvme0n1: an image holds a whole disk"),
        ("mmcblk0", ""),
        ("vdb", ""),
        // Through a partition, LUKS and LVM.
        ("nvme0n1", "/dev/nvme0n1 is the disk that this system runs from: /dev/mapper/vg-swap is its swap"),
        ("sdh", "/dev/sdh is the disk that this system runs from: /dev/sdh1 is its swap"),
        ("sdc", "/dev/sdc is mounted: /media/x y"),
        ("sdf", "/dev/sdf is mounted: /data"),
        ("sda", "/dev/sda is in use by /dev/md0"),
        ("sdd", "/dev/sdd is read-only"),
        ("sde", "/dev/sde holds no medium"),
        ("sdg", "/dev/sdg has sectors of 4096 bytes, and the image's partition table counts in sectors of 512"),
        ("sr0", "/dev/sr0 is no disk, stick or memory card"),
        ("dm-1", "/dev/dm-1 is no disk, stick or memory card"),
        ("md0", "/dev/md0 is no disk, stick or memory card"),
        ("zram0", "/dev/zram0 is no disk, stick or memory card"),
        ("loop2", "/dev/loop2 is no disk, stick or memory card"),
        ("loop0", "/dev/loop0 has 1024000000 bytes, the image 1024458752: 458752 bytes too small"),
        ("loop1", ""),
    ];
    for (name, expect) in table {
        let verdict = device_for(&machine, &machine.devices[name], &image);
        let text = verdict.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert_eq!(text, expect, "{name}");
        assert!(verdict.err().is_none_or(|refusal| !refusal.remedy().is_empty()), "{name}");
    }
}

#[test]
fn the_disk_under_the_root_is_refused_whatever_lies_between() {
    let mut machine = machine();
    machine.swaps.clear();
    let verdict = |machine: &Machine, name: &str| device(machine, &machine.devices[name]).unwrap_err().to_string();
    let expect = "/dev/nvme0n1 is the disk that this system runs from: /dev/mapper/vg-root is mounted at /";
    assert_eq!(verdict(&machine, "nvme0n1"), expect);
    // Opened, but not mounted.
    machine.mounts.clear();
    let expect = "/dev/nvme0n1 is in use by /dev/mapper/luks-root, /dev/mapper/vg-root, /dev/mapper/vg-swap";
    assert_eq!(verdict(&machine, "nvme0n1"), expect);
    // A live system: the root is a file on the stick, by way of a loop device.
    let mount = |name: &str, point: &str| (name.to_owned(), PathBuf::from(point));
    machine.mounts = vec![mount("sdc1", "/media/x y"), mount("loop0", "/")];
    assert_eq!(verdict(&machine, "sdc"), "/dev/sdc is the disk that this system runs from: /dev/loop0 is mounted at /");
    for point in ["/boot", "/boot/efi", "/efi", "/usr", "/var/lib", "/home"] {
        machine.mounts = vec![mount("sdb1", point)];
        let expect = format!("/dev/sdb is the disk that this system runs from: /dev/sdb1 is mounted at {point}");
        assert_eq!(verdict(&machine, "sdb"), expect);
    }
    for point in ["/usrlocal", "/home/me/stick", "/var/mnt"] {
        machine.mounts = vec![mount("sdb1", point)];
        assert_eq!(verdict(&machine, "sdb"), format!("/dev/sdb is mounted: {point}"));
    }
}

#[test]
fn a_device_is_named_by_the_best_it_has() {
    let machine = machine();
    let of = |name: &str| Identity::of(&machine.devices[name]);
    assert_eq!(of("sdb"), Identity::Serial("4C530001".into()));
    assert_eq!(of("sdc"), Identity::ById("usb-Flash_0-0:0".into()));
    assert_eq!(of("loop1"), Identity::BackingFile("/srv/disk.raw".into()));
    assert_eq!(of("vdb"), Identity::Size(2_048_000_000));
    assert!(of("sdb").is(" 4C530001\n") && !of("sdb").is("4c530001") && !of("sdb").is("") && of("vdb").is("2048000000"));
}
