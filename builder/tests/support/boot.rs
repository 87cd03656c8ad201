//! Small EFI programs, and a kernel that could be one.

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
