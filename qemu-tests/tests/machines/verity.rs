//! A flipped byte is not served: the machine says so and restarts, and never says that it is ready.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Bios, Chipset, DiskBus};
use kmimage::run::qemu::Request;
use kmimage_contract::state_line::{Ready, StateLine};
use kmimage_qemu_tests::disk::{Partition, extract, partitions};
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::image::{artefact, base};
use kmimage_qemu_tests::vm::Vm;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

/// What every boot reads whole: PID 1.
const READ_BY_THE_BOOT: &str = "usr/lib/kmimage/init";
const BOOT: Duration = Duration::from_secs(180);

fn partition(image: &Path, name: &str) -> Partition {
    partitions(image).into_iter().find(|partition| partition.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// Flips one bit of a copy of the raw image, boots it, and sees the refusal.
fn refused(offset: u64, said: &str) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("flipped.raw");
    run(program("cp").args(["--sparse=always"]).arg(artefact(base(), ".raw")).arg(&image));
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&image).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();

    let request = Request {
        image: Some(image),
        cdrom: None,
        bios: Bios::Ovmf,
        memory_mib: 512,
        cpus: 1,
        chipset: Chipset::Q35,
        bus: DiskBus::Virtio,
        persistent: false,
    };
    let mut vm = Vm::start(&request, |_| {});
    vm.wait_for(said, BOOT, |line| line.contains(said).then_some(()));
    let reset = vm.qmp.event("RESET", Duration::from_secs(60)).expect("a reset, seen by QMP");
    assert_eq!(reset["data"]["guest"], true, "{reset}");
    let console = vm.console();
    let ready = console.lines().filter_map(StateLine::find).find(|line| line.state() == Ready::STATE);
    assert_eq!(ready, None, "{console}");
}

#[test]
fn vm_a_flipped_byte_of_a_file_restarts_the_machine() {
    let root = partition(&artefact(base(), ".raw"), "root-a");
    let folder = tempfile::tempdir().unwrap();
    let squashfs = artefact(base(), ".root.squashfs");
    let at = find_data(&squashfs, READ_BY_THE_BOOT, &folder.path().join("zeroed"));
    refused(root.offset + at, "data block");
}

#[test]
fn vm_a_flipped_byte_of_the_hash_tree_restarts_the_machine() {
    let image = artefact(base(), ".raw");
    let tree = partition(&image, "root-a-verity");
    // The superblock has a block of its own; the top of the tree, which every read goes through, is next.
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs_err::read(extract(&image, &tree, &folder.path().join("tree"))).unwrap();
    assert!(bytes.starts_with(b"verity\0\0"), "no superblock");
    refused(tree.offset + 4096, "metadata block");
}

/// An offset inside a file's data, told by unsquashfs: a block that, zeroed, changes what it reads.
fn find_data(squashfs: &Path, file: &str, scratch: &Path) -> u64 {
    let cat = |image: &Path| program("unsquashfs").arg("-cat").arg(image).arg(file).output().expect("unsquashfs");
    let whole = cat(squashfs);
    assert!(whole.status.success() && !whole.stdout.is_empty(), "unsquashfs does not read {file}");
    let len = fs_err::metadata(squashfs).unwrap().len();
    let harmed = |range: &Range<u64>| {
        fs_err::copy(squashfs, scratch).unwrap();
        let copy = std::fs::OpenOptions::new().write(true).open(scratch).unwrap();
        copy.write_all_at(&vec![0; (range.end - range.start) as usize], range.start).unwrap();
        let harmed = cat(scratch);
        !harmed.status.success() || harmed.stdout != whole.stdout
    };
    // In verity's blocks. The superblock and the tables at the end matter to every file; the data of one lies between.
    let mut blocks = 1..len * 9 / 10 / 4096;
    let bytes = |blocks: &Range<u64>| blocks.start * 4096..blocks.end * 4096;
    assert!(harmed(&bytes(&blocks)));
    while blocks.end - blocks.start > 1 {
        let middle = blocks.start.midpoint(blocks.end);
        let first = blocks.start..middle;
        blocks = if harmed(&bytes(&first)) { first } else { middle..blocks.end };
    }
    assert!(harmed(&bytes(&blocks)), "{file} is not in block {}", blocks.start);
    blocks.start * 4096 + 2048
}
