//! The disk after an installation that nothing has cut off, judged by the tools of others.

use kmimage_contract::RootHash;
use kmimage_contract::disk_layout::{Role, Slot, medium};
use kmimage_qemu_tests::disk::{Partition, extract, partitions};
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::raw_disk::RawDisk;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MIB: usize = 1 << 20;

/// Fails unless it is a disk that boots: a valid table, the root with its hash tree, the ESP with all files that `image` has (a raw image
/// of the same build) and the two that are an installation's own, boot records that name slot A, GRUB, and `state` and `var` for which the
/// first boot makes file systems.
pub(super) fn judge(path: &Path, image: &Path, root_hash: &RootHash, config: &str) {
    let text = run(program("sgdisk").arg("--verify").arg(path));
    assert!(text.contains("No problems found"), "{text}");
    let (found, of_image) = (partitions(path), partitions(image));
    let names = |partitions: &[Partition]| partitions.iter().map(|partition| partition.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&of_image));
    let of = |role: Role| found.iter().find(|partition| partition.name == role.name()).unwrap();
    let file = File::open(path).unwrap();
    let bytes = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    let (var, size) = (of(Role::Var), file.metadata().unwrap().len());
    assert_eq!(var.offset + var.len + MIB as u64, size, "var ends before the backup of the table");
    for partition in [of(Role::State), var] {
        let ends = [bytes(partition.offset, MIB), bytes(partition.offset + partition.len - MIB as u64, MIB)];
        assert!(ends.concat().iter().all(|&byte| byte == 0), "{} is not empty", partition.name);
    }

    let disk = RawDisk::of(path);
    let root = extract(path, of(Role::Root(Slot::A)), &disk.scratch("root"));
    let tree = extract(path, of(Role::RootVerity(Slot::A)), &disk.scratch("tree"));
    run(program("veritysetup").arg("verify").arg(root).arg(tree).arg(root_hash.to_string()));

    let image = RawDisk::of(image);
    let mut expected = files(&image);
    for file in &expected {
        assert!(disk.read(file) == image.read(file), "{file} differs");
    }
    let medium = format!("{}\n", medium::esp_uuid(root_hash));
    // The first line is how a NoCloud volume says what it holds.
    let own = [("kmimage/installed-from", medium), ("kmimage/machine.toml", format!("#kmimage\n{config}"))];
    expected.extend(own.iter().map(|(path, _)| (*path).to_owned()));
    expected.sort();
    assert_eq!(files(&disk), expected);
    for (path, content) in own {
        assert_eq!(String::from_utf8_lossy(&disk.read(path)), content, "{path}");
    }
    assert_eq!(disk.entries(), ["kmimage-a.conf"]);
    assert_eq!(disk.grub_records(), ["good=a"]);
    assert_eq!(bytes(0, 440), disk.read("boot/grub/boot.img")[..440]);
    let core = disk.read("boot/grub/core.img");
    assert!(bytes(of(Role::Bios).offset, core.len()) == core, "GRUB's core image differs");
}

/// All files of the ESP, sorted.
fn files(disk: &RawDisk) -> Vec<String> {
    let listing = disk.mtools("mdir", &["-/", "-b", "::"]);
    let files = listing.lines().filter_map(|line| line.trim().strip_prefix("::/")).filter(|path| !path.ends_with('/'));
    let mut files: Vec<String> = files.map(str::to_owned).collect();
    files.sort();
    files
}
