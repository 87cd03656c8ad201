//! The life of a disk: made at the first boot, kept by the second, grown, cloned, damaged, torn out of a running machine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_contract::state_line::StateLine;
use kmimage_qemu_tests::disk::partitions;
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::{Guest, WritableDisk};
use kmimage_qemu_tests::image::{self, artefact};
use kmimage_qemu_tests::vm::{BOOT, Vm};
use std::path::{Path, PathBuf};

const FIRST: &str = "11111111-1111-4111-8111-111111111111";
const SECOND: &str = "22222222-2222-4222-8222-222222222222";
const GIB: u64 = 1 << 30;
const MACHINE_ID: &str = "/run/kmimage/state/machine-id";

fn image() -> PathBuf {
    artefact(image::test(), ".qcow2")
}

fn start(disk: &WritableDisk, uuid: &str) -> Vm {
    Guest::test().disk(disk).uuid(uuid).user_network().start()
}

/// What the console has said under a word.
fn said(vm: &Vm, state: &str) -> Vec<String> {
    let console = vm.console();
    console.lines().filter_map(StateLine::find).filter(|line| line.state() == state).map(|line| line.to_string()).collect()
}

/// The disk as raw bytes, for others to judge.
fn raw(disk: &WritableDisk, to: &Path) -> PathBuf {
    let raw = to.join("disk.raw");
    run(program("qemu-img").args(["convert", "-O", "raw"]).arg(disk.path()).arg(&raw));
    raw
}

/// A partition's file system, as e2fsprogs name it inside a disk.
fn inside(raw: &Path, name: &str) -> String {
    let found = partitions(raw).into_iter().find(|partition| partition.name == name);
    let offset = found.unwrap_or_else(|| panic!("no partition {name}")).offset;
    format!("{}?offset={offset}", raw.display())
}

/// A disk again, from raw bytes.
fn disk_of(raw: &Path) -> WritableDisk {
    WritableDisk::of(raw, None)
}

#[test]
fn vm_a_disk_grows_twice_and_its_clone_is_another_machine() {
    let disk = WritableDisk::of(&image(), Some(4));
    let mut vm = start(&disk, FIRST);
    vm.ready();
    let id = {
        let mut probe = vm.probe();
        let (state, var) = (probe.mount("/run/kmimage/state").unwrap(), probe.mount("/var").unwrap());
        assert_eq!((state.kind.as_str(), var.kind.as_str()), ("ext4", "ext4"));
        for option in ["nosuid", "nodev"] {
            assert!(state.has(option) && var.has(option), "{option}: {state:?} {var:?}");
        }
        assert!(state.has("noexec") && !var.has("noexec"));
        assert_eq!(probe.read_link("/var/run"), "/run");
        assert!(probe.space("/var").total > 2 * GIB, "{:?}", probe.space("/var"));
        assert_eq!(probe.read("/run/kmimage/state/product-uuid").trim(), FIRST);
        probe.write("/var/lib/witness", b"first boot");
        probe.read(MACHINE_ID)
    };
    assert!(id.len() == 33 && id.trim().bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    vm.power_off();
    vm.assert_no_crash();

    run(program("qemu-img").arg("resize").arg("-q").arg(disk.path()).arg("20G"));
    let mut vm = start(&disk, FIRST);
    vm.ready();
    {
        let mut probe = vm.probe();
        assert_eq!((probe.read(MACHINE_ID), probe.read("/var/lib/witness").as_str()), (id.clone(), "first boot"));
        let size = probe.read("/sys/class/block/vda8/size").trim().parse::<u64>().unwrap() * 512;
        let space = probe.space("/var");
        assert!(size > 18 * GIB && size.is_multiple_of(1 << 20), "{size}");
        assert!(space.total > size / 10 * 9 && space.total < size, "{space:?} of {size}");
    }
    vm.power_off();
    vm.assert_no_crash();
    let folder = tempfile::tempdir().unwrap();
    let judged = raw(&disk, folder.path());
    let text = run(program("sgdisk").arg("--verify").arg(&judged));
    assert!(text.contains("No problems found"), "{text}");
    for name in ["state", "var"] {
        run(program("e2fsck").arg("-fn").arg(inside(&judged, name)));
    }

    let clone = disk.copy();
    let mut vm = start(&clone, SECOND);
    vm.ready();
    {
        let mut probe = vm.probe();
        let other = probe.read(MACHINE_ID);
        assert!(other != id && other.len() == 33, "{other}");
        assert_eq!(probe.read("/run/kmimage/state/product-uuid").trim(), SECOND);
        assert_eq!(probe.read("/var/lib/witness"), "first boot");
    }
    vm.power_off();
    vm.assert_no_crash();
}

/// A disk that was booted once, with a witness on var, and the machine torn from it or powered off.
fn lived(tear: bool) -> (WritableDisk, String) {
    let disk = WritableDisk::of(&image(), None);
    let mut vm = start(&disk, FIRST);
    vm.ready();
    let id = {
        let mut probe = vm.probe();
        probe.write("/var/lib/witness", b"here");
        let id = probe.read(MACHINE_ID);
        if tear {
            // A file that is flushed: on the medium in part by the journal alone, which has to be replayed.
            let made = probe.run(&["/usr/sbin/mke2fs", "-q", "-F", "/var/lib/flushed", "1M"]);
            assert_eq!(made.code, Some(0), "{made:?}");
        }
        id
    };
    if !tear {
        vm.power_off();
    }
    drop(vm);
    (disk, id)
}

#[test]
fn vm_a_journal_left_dirty_is_replayed() {
    let (disk, id) = lived(true);
    let folder = tempfile::tempdir().unwrap();
    let judged = raw(&disk, folder.path());
    for name in ["state", "var"] {
        let text = run(program("dumpe2fs").arg("-h").arg(inside(&judged, name)));
        assert!(text.contains("needs_recovery"), "the journal of {name} is not dirty:\n{text}");
    }
    let mut vm = start(&disk, FIRST);
    vm.ready();
    {
        let mut probe = vm.probe();
        assert_eq!(probe.read(MACHINE_ID), id);
        let judged = probe.run(&["/usr/sbin/e2fsck", "-fn", "/var/lib/flushed"]);
        assert_eq!(judged.code, Some(0), "{judged:?}");
    }
    assert_eq!(said(&vm, "storage").iter().filter(|line| line.ends_with("=checking")).count(), 2, "{}", vm.console());
    vm.power_off();
    vm.assert_no_crash();
}

#[test]
fn vm_an_inode_table_that_is_damaged_is_mended_or_named() {
    let (disk, id) = lived(false);
    let folder = tempfile::tempdir().unwrap();
    let harmed = raw(&disk, folder.path());
    let var = inside(&harmed, "var");
    let uuid = uuid_of(&var);
    // The block with the inodes of the first folders.
    let text = run(program("debugfs").args(["-R", "imap lib"]).arg(&var));
    let block = text.split("located at block ").nth(1).and_then(|rest| rest.split([',', ' ', '\n']).next()).unwrap().to_owned();
    run(program("debugfs").args(["-w", "-R", &format!("zap_block -p 0x5a {block}")]).arg(&var));
    drop(disk);

    let disk = disk_of(&harmed);
    let vm = start(&disk, FIRST);
    let mended_or_named = |line: &StateLine| match line.state() {
        "storage" => line.get("var") == Some("mended"),
        "storage-failed" => line.get("what") == Some("var") && line.get("cause").is_some() && line.get("remedy").is_some(),
        _ => false,
    };
    let line = vm.wait_for("a word on var", BOOT, |line| StateLine::find(line).filter(mended_or_named));
    // State is sound whatever var is.
    assert_eq!(vm.probe().read(MACHINE_ID), id);
    if line.state() == "storage-failed" {
        assert_eq!(said(&vm, "ready"), Vec::<String>::new());
    }
    drop(vm);
    let after = tempfile::tempdir().unwrap();
    assert_eq!(uuid_of(&inside(&raw(&disk, after.path()), "var")), uuid, "var was made anew");
}

fn uuid_of(file_system: &str) -> String {
    let text = run(program("dumpe2fs").arg("-h").arg(file_system));
    text.lines().find_map(|line| line.strip_prefix("Filesystem UUID:")).unwrap().trim().to_owned()
}

#[test]
fn vm_a_var_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = WritableDisk::of(&image(), None);
    let cut = raw(&whole, folder.path());
    run(program("sgdisk").arg("--delete=8").arg(&cut));
    let vm = start(&disk_of(&cut), FIRST);
    let line = vm.wait_for("a word on var", BOOT, |line| {
        StateLine::find(line).filter(|line| line.state() == "storage-failed" && line.get("what") == Some("var"))
    });
    assert_eq!(line.get("cause"), Some("the boot disk has no such partition"));
    assert_eq!(said(&vm, "ready"), Vec::<String>::new());
    // State is mounted all the same.
    vm.wait_for("state to be mounted", BOOT, |line| {
        StateLine::find(line).filter(|line| line.state() == "storage" && line.get("state") == Some("mounted"))
    });
    assert_eq!(vm.probe().mount("/run/kmimage/state").unwrap().kind, "ext4");
}

#[test]
fn vm_a_var_that_is_full_is_named_and_boots() {
    let (disk, id) = lived(false);
    let folder = tempfile::tempdir().unwrap();
    let full = raw(&disk, folder.path());
    let fill = folder.path().join("fill");
    std::fs::write(&fill, vec![0x5a; 80 << 20]).unwrap();
    // debugfs writes as much as there is room for.
    let _ = program("debugfs").args(["-w", "-R", &format!("write {} fill", fill.display())]).arg(inside(&full, "var")).output();
    let _ = program("e2fsck").arg("-fy").arg(inside(&full, "var")).output();
    drop(disk);
    let mut vm = start(&disk_of(&full), FIRST);
    vm.ready();
    assert_eq!(vm.probe().read(MACHINE_ID), id);
    let log = vm.probe().space("/var");
    assert!(log.available < log.total / 50, "{log:?}");
    assert!(said(&vm, "storage-full").iter().any(|line| line.contains("what=var")), "{}", vm.console());
    vm.power_off();
    vm.assert_no_crash();
}
