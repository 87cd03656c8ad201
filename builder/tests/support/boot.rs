//! Small EFI programs, a kernel that could be one, and GRUB's files for a BIOS. None of them could run.

use std::collections::BTreeMap;

/// A small PE32+ image: `.text` and `.sbat`, headers of 0x600 bytes as systemd-stub has them.
pub fn efi_program(headers_size: u32) -> Vec<u8> {
    let mut image = vec![0; headers_size as usize + 0x400];
    image[..2].copy_from_slice(b"MZ");
    image[0x3c] = 0x80;
    image[0x80..0x84].copy_from_slice(b"PE\0\0");
    let coff = 0x84;
    image[coff..coff + 2].copy_from_slice(&0x8664u16.to_le_bytes());
    image[coff + 2] = 2;
    image[coff + 16..coff + 20].copy_from_slice(&[0xf0, 0, 0x2e, 2]);
    let optional = coff + 20;
    let mut set = |at: usize, value: u32| image[optional + at..optional + at + 4].copy_from_slice(&value.to_le_bytes());
    set(0, 0x20b);
    set(4, 0x200);
    set(8, 0x200);
    set(16, 0x1000);
    set(32, 0x1000);
    set(36, 0x200);
    set(56, 0x3000);
    set(60, headers_size);
    set(68, 10);
    set(108, 16);
    let table = optional + 0xf0;
    for (index, (name, address, flags)) in
        [(".text", 0x1000u32, 0x6000_0020u32), (".sbat", 0x2000, 0x4000_0040)].into_iter().enumerate()
    {
        let at = table + index * 40;
        image[at..at + name.len()].copy_from_slice(name.as_bytes());
        for (field, value) in [(8, 0x20), (12, address), (16, 0x200), (20, headers_size + index as u32 * 0x200), (36, flags)] {
            image[at + field..at + field + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    image
}

/// A kernel as far as a UKI cares: an EFI program whose setup header says its release.
pub fn kernel(release: &str) -> Vec<u8> {
    let mut kernel = efi_program(0x600);
    kernel.resize(0x4000, 3);
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x20e..0x210].copy_from_slice(&0x3000u16.to_le_bytes());
    let text = format!("{release} (debian-kernel@lists.debian.org) #1 SMP\0");
    kernel[0x3200..0x3200 + text.len()].copy_from_slice(text.as_bytes());
    kernel
}

/// GRUB's kernel as far as a core image cares: an ELF program for i386 with eight bytes of code, `KERNEL..`, at GRUB's address. Its
/// second section header, the code's, begins at 92; the code is at 172.
pub fn grub_kernel() -> Vec<u8> {
    let mut elf = b"\x7fELF\x01\x01\x01".to_vec();
    elf.resize(16, 0);
    let half = |elf: &mut Vec<u8>, value: u16| elf.extend_from_slice(&value.to_le_bytes());
    let word = |elf: &mut Vec<u8>, value: u32| elf.extend_from_slice(&value.to_le_bytes());
    half(&mut elf, 2);
    half(&mut elf, 3);
    [1, 0x9000, 0, 52, 0].iter().for_each(|value| word(&mut elf, *value));
    [52, 32, 0, 40, 3, 2].iter().for_each(|value| half(&mut elf, *value));
    // No section; .text; the names.
    [0; 10].iter().for_each(|value| word(&mut elf, *value));
    [1, 1, 7, 0x9000, 172, 8, 0, 0, 1, 0].iter().for_each(|value| word(&mut elf, *value));
    [1, 3, 0, 0, 180, 8, 0, 0, 1, 0].iter().for_each(|value| word(&mut elf, *value));
    elf.extend_from_slice(b"KERNEL..\0.text\0\0");
    elf
}

/// GRUB's files as small as they can be, with these modules.
pub fn grub_files(modules: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let mut boot = vec![0x33; 512];
    boot[0x66..0x68].copy_from_slice(&[0xeb, 0x05]);
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut disk_boot = vec![0x11; 512];
    disk_boot[510..].copy_from_slice(&[0x20, 0x08]);
    let needs: String = modules.iter().map(|name| format!("{name}:\n")).collect();
    let images: [(&str, Vec<u8>); 7] = [
        ("boot.img", boot.clone()),
        ("boot_hybrid.img", boot),
        ("cdboot.img", vec![0x44; 2048]),
        ("diskboot.img", disk_boot),
        ("kernel.img", grub_kernel()),
        ("lzma_decompress.img", vec![0x22; 0x20]),
        ("moddep.lst", needs.into_bytes()),
    ];
    let modules = modules.iter().map(|name| (format!("{name}.mod"), b"module".to_vec()));
    images.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).chain(modules).collect()
}
