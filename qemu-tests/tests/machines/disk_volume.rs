//! A further disk that a config names: made a file system once, kept by the next boot; one that holds somebody's data is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_contract::state_line::StateLine;
use kmimage_qemu_tests::guest::{Guest, WritableDisk};
use kmimage_qemu_tests::image::{self, artefact};
use kmimage_qemu_tests::vm::{BOOT, Vm};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const CONFIG: &str = r#"
version = 1
[[volume]]
name = "data"
disk = "virtio-data0"
path = "/var/mnt/data"
"#;
const GIB: u64 = 1 << 30;
/// In seconds since 1970.
const YEAR_2020: i64 = 1_577_836_800;

/// A machine whose clock has lost its battery: it starts in the year 2000.
fn start(disk: &WritableDisk, data: &Path, config: &Path) -> Vm {
    let guest = Guest::test().disk(disk).data_disk(data, "data0").fw_cfg("opt/org.kmimage/config", config).user_network();
    guest.option("-rtc", "base=2000-01-01").start()
}

/// The UUID of the ext4 on a disk (at 0x68 of the superblock, which is at 1024).
fn uuid_of(disk: &Path) -> String {
    let mut bytes = [0; 16];
    File::open(disk).unwrap().read_exact_at(&mut bytes, 1024 + 0x68).unwrap();
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]).join("-")
}

/// Whether the console has said this of the volume.
fn said(vm: &Vm, state: &str) -> bool {
    let of_volume =
        |line: &StateLine| line.state() == "volume" && line.get("name") == Some("data") && line.get("state") == Some(state);
    vm.console().lines().filter_map(StateLine::find).any(|line| of_volume(&line))
}

#[test]
fn vm_a_further_disk_is_made_once_and_a_foreign_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (config, data) = (folder.path().join("config.toml"), folder.path().join("data.raw"));
    std::fs::write(&config, CONFIG).unwrap();
    File::create(&data).unwrap().set_len(GIB).unwrap();
    let disk = WritableDisk::of(&artefact(image::test(), ".qcow2"), None);
    for boot in 0..2 {
        let mut vm = start(&disk, &data, &config);
        vm.ready();
        assert!(said(&vm, "mounted"), "{}", vm.console());
        assert_eq!(said(&vm, "making"), boot == 0, "{}", vm.console());
        {
            let mut probe = vm.probe();
            let mount = probe.mount("/var/mnt/data").unwrap();
            assert!(mount.kind == "ext4" && mount.has("nosuid") && mount.has("nodev"), "{mount:?}");
            assert!(probe.space("/var/mnt/data").total > GIB / 10 * 9);
            // Its links are those of the file system that was made while the machine ran.
            let (uuid, disk) = (uuid_of(&data), probe.read_link("/dev/disk/by-id/virtio-data0"));
            let links = [format!("/dev/disk/by-uuid/{uuid}"), "/dev/disk/by-label/data".to_owned()];
            probe.until("its links in /dev/disk", BOOT, |probe| {
                links.iter().all(|link| probe.exists(link) && probe.read_link(link) == disk).then_some(())
            });
            // No clock is before the image: all its files have its date.
            let (image, now) = (probe.stat("/usr/lib/os-release").unwrap().mtime, probe.clock());
            assert!(now.as_secs() as i64 >= image && image > YEAR_2020, "{now:?}, {image}");
            if boot == 0 {
                probe.write("/var/mnt/data/witness", b"kept");
            }
            assert_eq!(probe.read("/var/mnt/data/witness"), "kept");
        }
        vm.power_off();
        vm.assert_no_crash();
    }

    // Another disk of the same name, with one byte of somebody's in its last sector.
    let foreign = folder.path().join("foreign.raw");
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&foreign).unwrap();
    file.set_len(GIB).unwrap();
    file.write_all_at(b"precious", GIB - 512).unwrap();
    let fresh = WritableDisk::of(&artefact(image::test(), ".qcow2"), None);
    let vm = start(&fresh, &foreign, &config);
    let line = vm.wait_for("a word on the volume", BOOT, |line| {
        StateLine::find(line).filter(|line| line.state() == "storage-failed" && line.get("what") == Some("volume-data"))
    });
    assert_eq!(line.get("cause"), Some("the partition holds data that kmimage has not made"));
    assert!(!said(&vm, "making"), "{}", vm.console());
    drop(vm);
    let (mut begin, mut end) = ([0; 4096], [0; 8]);
    file.read_exact_at(&mut begin, 0).unwrap();
    file.read_exact_at(&mut end, GIB - 512).unwrap();
    assert_eq!((begin.iter().any(|&byte| byte != 0), &end), (false, b"precious"));
}
