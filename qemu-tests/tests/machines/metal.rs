//! What bare metal wants more: microcode before the initramfs, firmware in the root; and what memory that costs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::{Guest, WritableDisk};
use kmimage_qemu_tests::image::{artefact, metal};

/// Intel's updates one behind the other: header version 1, then, at byte 32, the length of the whole update, where 0 stands for 2048
/// (Intel's manual, volume 3, "Microcode Update"). Returns how many there are.
fn intel_updates(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while !bytes.is_empty() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(word(0), 1, "update {count} has no header");
        let length = if word(32) == 0 { 2048 } else { word(32) as usize };
        let sum = (0..length).step_by(4).fold(0_u32, |sum, at| sum.wrapping_add(word(at)));
        assert_eq!(sum, 0, "the checksum of update {count}");
        bytes = &bytes[length..];
        count += 1;
    }
    count
}

#[test]
fn vm_microcode_and_firmware_are_where_the_kernel_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let initramfs = folder.path().join("initramfs");
    let uki = artefact(metal(), ".efi");
    run(program("objcopy").args(["-O", "binary", "--only-section=.initrd"]).arg(&uki).arg(&initramfs));
    // cpio reads the first archive, which is the microcode's, and makes folders that it has not.
    let archive = fs_err::File::open(&initramfs).unwrap();
    let mut cpio = program("cpio");
    run(cpio.args(["--quiet", "--extract", "--make-directories"]).current_dir(folder.path()).stdin(archive.into_file()));
    let intel = fs_err::read(folder.path().join("kernel/x86/microcode/GenuineIntel.bin")).unwrap();
    assert!(intel_updates(&intel) > 50);
    let amd = fs_err::read(folder.path().join("kernel/x86/microcode/AuthenticAMD.bin")).unwrap();
    assert!(amd.starts_with(b"DMA\0"), "{:?}", amd.get(..16));

    let disk = WritableDisk::of(&artefact(metal(), ".qcow2"), None);
    // docs/hardware.md names this much memory.
    let mut vm = Guest::of(&disk.path()).disk(&disk).with_probe().user_network().memory(320).start();
    vm.ready();
    assert!(vm.probe().exists("/usr/lib/firmware/rtl_nic/rtl8168g-2.fw"));
    vm.power_off();
    vm.assert_no_crash();
}
