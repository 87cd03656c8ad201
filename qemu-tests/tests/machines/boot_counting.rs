//! Boot counting with records written by hand: a slot on trial that got ready is blessed, in both records and on the disk at once. The
//! ESP is written and read by mtools, dosfstools and grub-editenv.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_contract::disk_layout::Slot;
use kmimage_qemu_tests::disk::{Partition, extract, partitions};
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{artefact, base};
use kmimage_qemu_tests::output::Mark;
use kmimage_qemu_tests::vm::BOOT;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A raw disk of the test's own.
struct Disk {
    folder: TempDir,
    path: PathBuf,
    esp: Partition,
}

impl Disk {
    fn of(image: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        run(program("cp").arg("--sparse=always").arg(image).arg(&path));
        let esp = partitions(&path).into_iter().find(|partition| partition.name == "esp").unwrap();
        Self { folder, path, esp }
    }

    fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn mtools(&self, tool: &str, arguments: &[&str]) -> String {
        let volume = format!("{}@@{}", self.path.display(), self.esp.offset);
        run(program(tool).env("MTOOLS_SKIP_CHECK", "1").arg("-i").arg(volume).args(arguments))
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let from = self.scratch("from");
        fs_err::write(&from, bytes).unwrap();
        self.mtools("mcopy", &["-o", from.to_str().unwrap(), &format!("::{path}")]);
    }

    fn read(&self, path: &str) -> Vec<u8> {
        let to = self.scratch("to");
        self.mtools("mcopy", &["-n", "-o", &format!("::{path}"), to.to_str().unwrap()]);
        fs_err::read(to).unwrap()
    }

    /// Gives slot A's entry another name.
    fn rename_entry_a(&self, to: &str) {
        self.mtools("mren", &["::loader/entries/kmimage-a.conf", to]);
    }

    /// The names of the entries, after the checker has found nothing.
    fn entries(&self) -> Vec<String> {
        let volume = extract(&self.path, &self.esp, &self.scratch("esp"));
        run(program("fsck.fat").arg("-n").arg(&volume));
        let listing = self.mtools("mdir", &["-b", "::loader/entries"]);
        let mut names: Vec<String> =
            listing.lines().filter_map(|line| line.trim().rsplit_once('/')).map(|(_, name)| name.to_owned()).collect();
        names.sort();
        names
    }

    fn guest(&self) -> Guest<'_> {
        Guest::of(&self.path).disk_file(&self.path).user_network()
    }
}

#[test]
fn vm_boot_counting_blesses_the_slot_that_got_ready_in_both_records() {
    let disk = Disk::of(&artefact(base(), ".raw"));
    disk.rename_entry_a("kmimage-a+3.conf");
    let block = disk.scratch("slots.env");
    run(program("grub-editenv").arg(&block).arg("create"));
    run(program("grub-editenv").arg(&block).args(["set", "good=b", "next=a", "left=2", "other=kept"]));
    for folder in ["::boot", "::boot/grub"] {
        // They may be there.
        let volume = format!("{}@@{}", disk.path.display(), disk.esp.offset);
        let _ = program("mmd").arg("-D").arg("s").arg("-i").arg(volume).arg(folder).status();
    }
    disk.put("boot/grub/slots.env", &fs_err::read(&block).unwrap());

    let mut vm = disk.guest().start();
    assert_eq!(vm.ready().slot, Slot::A);
    let blessed = vm.state_after(Mark::default(), "blessed", BOOT, |_| true);
    assert_eq!((blessed.get("slot"), blessed.get("wrote")), (Some("a"), Some("uefi,grub")), "{blessed}");
    // No clean end: what was blessed is on the disk.
    drop(vm);
    assert_eq!(disk.entries(), ["kmimage-a.conf"]);
    fs_err::write(&block, disk.read("boot/grub/slots.env")).unwrap();
    let listing = run(program("grub-editenv").arg(&block).arg("list"));
    let mut variables: Vec<&str> = listing.lines().collect();
    variables.sort_unstable();
    assert_eq!(variables, ["good=a", "other=kept"]);

    vm = disk.guest().start();
    assert_eq!(vm.ready().slot, Slot::A);
    let blessed = vm.state_after(Mark::default(), "blessed", BOOT, |_| true);
    assert_eq!(blessed.get("wrote"), Some("nothing"), "{blessed}");
}
