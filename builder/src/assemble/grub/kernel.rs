//! GRUB's kernel as it lies in memory, out of the ELF program kernel.img.
//!
//! It is linked to a fixed address, so there is nothing to relocate: sections of code and data are copied to their places. Zeroed
//! memory (`.bss`) follows, and is the kernel's own to clear.

use super::{GrubError, LINK_ADDRESS};
use object::LittleEndian;
use object::elf::{EM_386, ET_EXEC, SHF_ALLOC, SHT_NOBITS, SHT_PROGBITS};
use object::read::elf::{ElfFile32, FileHeader as _, SectionHeader as _};

const NAME: &str = "kernel.img";

/// Code, data and zeroed memory end below this address (`grub-mkimage` refuses more).
const MEMORY_END: u32 = 0x68000;

/// The kernel's code and data, from [`LINK_ADDRESS`] on.
pub(super) fn flat(bytes: &[u8]) -> Result<Vec<u8>, GrubError> {
    let damaged = |fault| GrubError::Damaged { name: NAME, fault };
    let file = ElfFile32::<LittleEndian>::parse(bytes).map_err(|_| damaged("it is no 32-bit ELF file"))?;
    let header = file.elf_header();
    if header.e_machine(LittleEndian) != EM_386 || header.e_type(LittleEndian) != ET_EXEC {
        return Err(damaged("it is no program for i386"));
    }
    let mut image = Vec::new();
    for section in file.elf_section_table().iter() {
        let kind = section.sh_type(LittleEndian);
        if !section.sh_flags(LittleEndian).contains(SHF_ALLOC) || !matches!(kind, SHT_PROGBITS | SHT_NOBITS) {
            continue;
        }
        let (start, len) = (section.sh_addr(LittleEndian), section.sh_size(LittleEndian));
        let end = start.checked_add(len).filter(|end| *end <= MEMORY_END && start >= LINK_ADDRESS);
        let end = end.ok_or_else(|| damaged("a section lies outside of the memory that a BIOS leaves"))?;
        if kind == SHT_NOBITS {
            continue;
        }
        let data = section.data(LittleEndian, bytes).map_err(|_| damaged("a section lies outside of the file"))?;
        let (start, end) = ((start - LINK_ADDRESS) as usize, (end - LINK_ADDRESS) as usize);
        if image.len() < end {
            image.resize(end, 0);
        }
        super::patch(&mut image, start, data);
    }
    if image.is_empty() { Err(damaged("it has no code")) } else { Ok(image) }
}
