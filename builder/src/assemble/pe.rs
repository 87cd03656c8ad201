//! Portable Executable headers: reading them from foreign bytes, and adding sections to an image.
//!
//! Only what a unified kernel image needs: PE32+ for x86-64, section headers, appended data. Relocations, imports and
//! signatures are never touched; an image that is already signed is refused, for its signature could not hold any more.
//! Format: Microsoft's "PE Format". Every read is bounds-checked: the bytes may be anything.

use serde::Serialize;

const SECTION_HEADER: usize = 40;
const MACHINE_AMD64: u16 = 0x8664;
const MAGIC_PE32_PLUS: u16 = 0x20b;

/// Section flags: initialised data, readable.
pub const READ_DATA: u32 = 0x4000_0040;
/// Section flags: code, readable. What `ukify` gives `.linux`, for kernels that are executed in place.
pub const READ_CODE: u32 = 0x4000_0020;

/// Why bytes are not a PE image that this module can work on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PeError {
    /// No "MZ", no "PE", or another kind than PE32+.
    #[error("not a PE32+ image: {0}")]
    NotPe(&'static str),
    /// It is made for another processor.
    #[error("PE image is for machine {0:#06x}, not x86-64 (0x8664)")]
    Machine(u16),
    /// A header or a section points outside the file.
    #[error("PE image is damaged: {0}")]
    Damaged(&'static str),
    /// The header area has no room for more section headers.
    #[error("PE headers have no room for {wanted} more sections ({free} bytes free, {needed} needed)")]
    NoRoom {
        /// Sections to add.
        wanted: usize,
        /// Bytes left between the section table and the first section.
        free: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// It carries a signature, which appending would break.
    #[error("PE image is signed: sections can't be added without breaking its signature")]
    Signed,
    /// It has a section of that name already.
    #[error("PE image already has a section {0}")]
    Duplicate(String),
    /// A field of 32 bits overflows.
    #[error("PE image would be larger than 4 GiB")]
    TooLarge,
}

/// One section header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Name, without its padding; at most eight bytes.
    pub name: String,
    /// Size in memory, bytes.
    pub virtual_size: u32,
    /// Address in memory, relative to the image's base.
    pub virtual_address: u32,
    /// Size in the file, bytes.
    pub raw_size: u32,
    /// Offset in the file.
    pub raw_offset: u32,
    /// Flags (`IMAGE_SCN_*`).
    pub characteristics: u32,
}

/// What the headers of a PE32+ image say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// Offset of the optional header.
    optional: usize,
    /// Offset of the section table.
    table: usize,
    /// Alignment of sections in memory.
    pub section_alignment: u32,
    /// Alignment of sections in the file.
    pub file_alignment: u32,
    /// Bytes of memory that the loaded image takes.
    pub size_of_image: u32,
    /// Bytes of all headers, rounded up.
    pub size_of_headers: u32,
    /// The checksum field.
    pub checksum: u32,
    /// What it runs under (10 = EFI application).
    pub subsystem: u16,
    /// Offset and size of the attribute certificate table; 0, 0 = not signed.
    pub certificates: (u32, u32),
    /// Sections, in file order.
    pub sections: Vec<Section>,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl Headers {
    /// Reads the headers of a PE32+ image for x86-64; `bytes` may end anywhere after the section table.
    pub fn parse(bytes: &[u8]) -> Result<Self, PeError> {
        if bytes.get(..2) != Some(b"MZ") {
            return Err(PeError::NotPe("it does not begin with MZ"));
        }
        let pe = u32_at(bytes, 0x3c).ok_or(PeError::NotPe("it is too short"))? as usize;
        let signature = pe.checked_add(4).and_then(|end| bytes.get(pe..end));
        if signature != Some(b"PE\0\0") {
            return Err(PeError::NotPe("it has no PE signature"));
        }
        let short = || PeError::Damaged("its headers are cut off");
        let coff = pe + 4;
        let machine = u16_at(bytes, coff).ok_or_else(short)?;
        if machine != MACHINE_AMD64 {
            return Err(PeError::Machine(machine));
        }
        let count = usize::from(u16_at(bytes, coff + 2).ok_or_else(short)?);
        let optional = coff + 20;
        let optional_size = usize::from(u16_at(bytes, coff + 16).ok_or_else(short)?);
        if u16_at(bytes, optional).ok_or_else(short)? != MAGIC_PE32_PLUS {
            return Err(PeError::NotPe("its optional header is not PE32+"));
        }
        if optional_size < 112 {
            return Err(PeError::Damaged("its optional header is too short"));
        }
        let field = |offset: usize| u32_at(bytes, optional + offset).ok_or_else(short);
        let table = optional + optional_size;
        let directories = field(108)?;
        let certificates =
            if directories > 4 && optional_size >= 112 + 5 * 8 { (field(112 + 32)?, field(112 + 36)?) } else { (0, 0) };
        let mut sections = Vec::with_capacity(count.min(96));
        for index in 0..count {
            let at = table + index * SECTION_HEADER;
            let header = bytes.get(at..at + SECTION_HEADER).ok_or_else(short)?;
            let value = |offset: usize| u32_at(header, offset).ok_or_else(short);
            let name: Vec<u8> = header.iter().take(8).copied().take_while(|&byte| byte != 0).collect();
            sections.push(Section {
                name: String::from_utf8_lossy(&name).into_owned(),
                virtual_size: value(8)?,
                virtual_address: value(12)?,
                raw_size: value(16)?,
                raw_offset: value(20)?,
                characteristics: value(36)?,
            });
        }
        Ok(Self {
            optional,
            table,
            section_alignment: field(32)?,
            file_alignment: field(36)?,
            size_of_image: field(56)?,
            size_of_headers: field(60)?,
            checksum: field(64)?,
            subsystem: u16_at(bytes, optional + 68).ok_or_else(short)?,
            certificates,
            sections,
        })
    }

    /// The section of that name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }
}

/// A section to add.
#[derive(Debug, Clone, Copy)]
pub struct NewSection<'a> {
    /// At most eight bytes.
    pub name: &'a str,
    /// What it holds.
    pub data: &'a [u8],
    /// Bytes of memory that it needs, if more than the data.
    pub virtual_size: u32,
    /// Flags.
    pub characteristics: u32,
}

fn round_up(value: u64, alignment: u32) -> Result<u32, PeError> {
    u32::try_from(value.next_multiple_of(u64::from(alignment))).map_err(|_| PeError::TooLarge)
}

/// `image` with `added` sections behind its own, in that order, its sizes and its checksum made right.
pub fn append(image: &[u8], added: &[NewSection<'_>]) -> Result<Vec<u8>, PeError> {
    let headers = Headers::parse(image)?;
    if headers.certificates != (0, 0) {
        return Err(PeError::Signed);
    }
    let (file_alignment, section_alignment) = (headers.file_alignment, headers.section_alignment);
    if !(file_alignment.is_power_of_two() && section_alignment.is_power_of_two()) {
        return Err(PeError::Damaged("its alignments are no powers of two"));
    }
    let mut raw_end = image.len() as u64;
    let mut virtual_end = u64::from(headers.size_of_headers);
    let mut first_raw = u64::from(headers.size_of_headers);
    for section in &headers.sections {
        let end = u64::from(section.raw_offset) + u64::from(section.raw_size);
        if end > image.len() as u64 {
            return Err(PeError::Damaged("a section lies outside the file"));
        }
        raw_end = raw_end.max(end);
        let size = section.virtual_size.max(section.raw_size);
        virtual_end = virtual_end.max(u64::from(section.virtual_address) + u64::from(size));
        if section.raw_size > 0 {
            first_raw = first_raw.min(u64::from(section.raw_offset));
        }
    }
    let table_end = headers.table + headers.sections.len() * SECTION_HEADER;
    let free = usize::try_from(first_raw).unwrap_or(usize::MAX).saturating_sub(table_end);
    let needed = added.len() * SECTION_HEADER;
    if needed > free || table_end + needed > image.len() {
        return Err(PeError::NoRoom { wanted: added.len(), free, needed });
    }

    let capacity = added.iter().map(|section| section.data.len() + file_alignment as usize).sum::<usize>();
    let mut out = Vec::with_capacity(image.len() + capacity);
    out.extend_from_slice(image);
    out.resize(round_up(raw_end, file_alignment)? as usize, 0);
    let mut table = Vec::with_capacity(needed);
    let (mut data_bytes, mut code_bytes) = (0u64, 0u64);
    for section in added {
        if headers.section(section.name).is_some() {
            return Err(PeError::Duplicate(section.name.to_owned()));
        }
        let len = u32::try_from(section.data.len()).map_err(|_| PeError::TooLarge)?;
        let address = round_up(virtual_end, section_alignment)?;
        let raw_offset = u32::try_from(out.len()).map_err(|_| PeError::TooLarge)?;
        let raw_size = round_up(u64::from(len), file_alignment)?;
        let virtual_size = section.virtual_size.max(len);
        let mut name = [0; 8];
        name.iter_mut().zip(section.name.bytes()).for_each(|(to, from)| *to = from);
        table.extend_from_slice(&name);
        for value in [virtual_size, address, raw_size, raw_offset, 0, 0, 0, section.characteristics] {
            table.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(section.data);
        out.resize(raw_offset as usize + raw_size as usize, 0);
        virtual_end = u64::from(address) + u64::from(virtual_size.max(raw_size));
        *(if section.characteristics & 0x20 == 0 { &mut data_bytes } else { &mut code_bytes }) += u64::from(raw_size);
    }
    put(&mut out, table_end, &table);
    let count = headers.sections.len() + added.len();
    let count = u16::try_from(count).map_err(|_| PeError::TooLarge)?;
    put(&mut out, headers.optional - 18, &count.to_le_bytes());
    add_u32(&mut out, headers.optional + 4, code_bytes)?;
    add_u32(&mut out, headers.optional + 8, data_bytes)?;
    put(&mut out, headers.optional + 56, &round_up(virtual_end, section_alignment)?.to_le_bytes());
    let sum = checksum(&out, headers.optional + 64)?;
    put(&mut out, headers.optional + 64, &sum.to_le_bytes());
    Ok(out)
}

/// Overwrites bytes that are known to be inside `out` (they were parsed from it).
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = out.get_mut(at..at + bytes.len()) {
        target.copy_from_slice(bytes);
    }
}

fn add_u32(out: &mut [u8], at: usize, more: u64) -> Result<(), PeError> {
    let now = u32_at(out, at).ok_or(PeError::Damaged("its headers are cut off"))?;
    let sum = u32::try_from(u64::from(now) + more).map_err(|_| PeError::TooLarge)?;
    put(out, at, &sum.to_le_bytes());
    Ok(())
}

/// The PE checksum: the file's 16-bit words summed with the carry added back, its own field taken as zero, plus the length.
fn checksum(bytes: &[u8], field: usize) -> Result<u32, PeError> {
    let mut sum: u64 = 0;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair.first().copied().unwrap_or(0)) | u64::from(pair.get(1).copied().unwrap_or(0)) << 8;
    }
    // The field's own words are taken out again; it lies on an even offset (the optional header is aligned to 8).
    if !field.is_multiple_of(2) {
        return Err(PeError::Damaged("its headers are not aligned"));
    }
    for at in [field, field + 2] {
        sum -= u64::from(u16_at(bytes, at).ok_or(PeError::Damaged("its headers are cut off"))?);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u32::try_from(sum + bytes.len() as u64).map_err(|_| PeError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::boot::efi_program as synthetic;

    fn section<'a>(name: &'a str, data: &'a [u8], virtual_size: u32) -> NewSection<'a> {
        NewSection { name, data, virtual_size, characteristics: READ_DATA }
    }

    #[test]
    fn sections_are_added_behind_the_others() {
        let image = synthetic(0x600);
        let out = append(&image, &[section(".osrel", b"ID=x\n", 0), section(".linux", &[7; 0x1234], 0x9000)]).unwrap();
        let headers = Headers::parse(&out).unwrap();
        let rows: Vec<String> = headers
            .sections
            .iter()
            .map(|s| format!("{} {:x} {:x} {:x} {:x}", s.name, s.virtual_size, s.virtual_address, s.raw_size, s.raw_offset))
            .collect();
        assert_eq!(
            rows,
            [".text 20 1000 200 600", ".sbat 20 2000 200 800", ".osrel 5 3000 200 a00", ".linux 9000 4000 1400 c00"]
        );
        assert_eq!(headers.size_of_image, 0xd000);
        assert_eq!(out.len(), 0x2000);
        assert_eq!(&out[0xa00..0xa05], b"ID=x\n");
        // The checksum is right when recomputing it gives what is written.
        assert_eq!(checksum(&out, headers.optional + 64), Ok(headers.checksum));
        assert_ne!(headers.checksum, 0);
        // Nothing else of the image changed.
        assert_eq!(&out[0x600..0xa00], &image[0x600..0xa00]);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let image = synthetic(0x200);
        let five = [".a", ".b", ".c", ".d", ".e"].map(|name| section(name, b"x", 0));
        assert_eq!(
            append(&image, &five).unwrap_err().to_string(),
            "PE headers have no room for 5 more sections (40 bytes free, 200 needed)"
        );
        let image = synthetic(0x600);
        assert_eq!(append(&image, &[section(".sbat", b"x", 0)]).unwrap_err().to_string(), "PE image already has a section .sbat");
        let mut signed = image.clone();
        signed[0x84 + 20 + 112 + 32] = 1;
        assert_eq!(append(&signed, &[]), Err(PeError::Signed));
        let mut other = image.clone();
        other[0x84..0x86].copy_from_slice(&0xaa64u16.to_le_bytes());
        assert_eq!(Headers::parse(&other).unwrap_err().to_string(), "PE image is for machine 0xaa64, not x86-64 (0x8664)");
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let image = synthetic(0x600);
        for len in 0..image.len().min(0x300) {
            let _ = Headers::parse(&image[..len]);
            let _ = append(&image[..len], &[section(".x", b"x", 0)]);
        }
        for at in 0..0x300 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut image = image.clone();
                image[at] = value;
                let _ = append(&image, &[section(".x", b"x", 0)]);
            }
        }
    }
}
