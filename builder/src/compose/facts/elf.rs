//! ELF headers, as far as loading a program or a library goes (System V ABI, gABI chapters 4 and 5; little-endian, 64 bits).
//!
//! Only headers and the strings that they name are read, in small pieces, so that a program of 100 MB costs no more than a small one;
//! its constants are searched once for the marks of known programs (`known_programs`). Sections are never looked at: a stripped file
//! may have none. Of 32-bit and big-endian files only class and machine are told.

use super::{Problem, bytes_at, known_programs};
use crate::compose::content::Content;
use serde::{Deserialize, Serialize};

/// `EM_X86_64`, the only machine that an image runs on.
pub const MACHINE_X86_64: u16 = 62;

/// More than any linker writes; what claims more is not an ELF file that loads.
const SEGMENTS_LIMIT: u16 = 512;
const DYNAMIC_LIMIT: u64 = 1 << 20;
/// PATH_MAX: no name that ld.so opens is longer.
const STRING_LIMIT: u64 = 4096;

/// What an ELF file is and what it asks of the image it runs in. Names are as written; bytes that are no UTF-8 are replaced, and such
/// a name resolves nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elf {
    /// 32 or 64 (`EI_CLASS`).
    pub class: u8,
    /// The machine (`e_machine`); [`MACHINE_X86_64`] is ours.
    pub machine: u16,
    /// What kind of object it is.
    pub kind: ElfKind,
    /// The dynamic loader that the kernel starts (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// True if there is a dynamic section.
    pub dynamic: bool,
    /// Shared libraries that must be loaded with it, in order (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// The name under which others need it (`DT_SONAME`).
    pub soname: Option<String>,
    /// `DT_RPATH`: searched first, for this file and for those that it loads.
    pub rpath: Option<String>,
    /// `DT_RUNPATH`: searched for this file's own needs only; where it is, `rpath` has no effect.
    pub runpath: Option<String>,
    /// Names of the known programs whose marks its bytes carry (see [`super::families`]).
    pub known_programs: Vec<String>,
}

/// What kind of object an ELF file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElfKind {
    /// A program (`ET_EXEC`, or `ET_DYN` with an interpreter or marked as a position-independent program).
    Executable,
    /// A shared library.
    SharedLibrary,
    /// An object for a linker or a loader of its own (BPF, GRUB's modules).
    Relocatable,
    /// A core dump or something unknown.
    Other,
}

impl Elf {
    /// True for a program that needs neither loader nor library.
    pub fn is_static(&self) -> bool {
        self.kind == ElfKind::Executable && self.interpreter.is_none() && self.needed.is_empty()
    }
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    len: u64,
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PF_X: u32 = 1;
const PF_W: u32 = 2;

const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;

pub(super) fn read(content: &Content) -> Result<Elf, Problem> {
    let ident = bytes_at(content, 0, 20, "the ELF header")?;
    let (class, little) = match (ident.get(4), ident.get(5)) {
        (Some(1), Some(1)) => (32, true),
        (Some(1), Some(2)) => (32, false),
        (Some(2), Some(1)) => (64, true),
        (Some(2), Some(2)) => (64, false),
        _ => return Err(Problem::Damaged("it is of no known ELF class or byte order".into())),
    };
    let half = |at: usize| {
        let bytes = ident.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    };
    let (object, machine) = (half(16), half(18));
    let mut elf = Elf {
        class,
        machine,
        kind: match object {
            1 => ElfKind::Relocatable,
            2 => ElfKind::Executable,
            3 => ElfKind::SharedLibrary,
            _ => ElfKind::Other,
        },
        interpreter: None,
        dynamic: false,
        needed: Vec::new(),
        soname: None,
        rpath: None,
        runpath: None,
        known_programs: Vec::new(),
    };
    if class != 64 || !little || !matches!(elf.kind, ElfKind::Executable | ElfKind::SharedLibrary) {
        return Ok(elf);
    }
    let segments = segments(content)?;
    if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_INTERP) {
        if segment.len > STRING_LIMIT {
            return Err(Problem::Damaged("its interpreter's name is too long".into()));
        }
        elf.interpreter = Some(text(&bytes_at(content, segment.offset, segment.len, "its interpreter's name")?));
        elf.kind = ElfKind::Executable;
    }
    if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) {
        read_dynamic(content, &segments, segment, &mut elf)?;
    }
    elf.known_programs = known_programs::search(content, &constants(&segments)).map_err(Problem::Read)?;
    Ok(elf)
}

fn segments(content: &Content) -> Result<Vec<Segment>, Problem> {
    let header = bytes_at(content, 0, 64, "the ELF header")?;
    let (table, size, count) = (word(&header, 32), half(&header, 54), half(&header, 56));
    if count > SEGMENTS_LIMIT || (count > 0 && size != 56) {
        return Err(Problem::Damaged("its table of segments is out of bounds".into()));
    }
    let table = bytes_at(content, table, u64::from(count) * 56, "its table of segments")?;
    Ok(table
        .chunks_exact(56)
        .map(|row| Segment {
            kind: word(row, 0) as u32,
            flags: (word(row, 0) >> 32) as u32,
            offset: word(row, 8),
            address: word(row, 16),
            len: word(row, 32),
        })
        .collect())
}

fn read_dynamic(content: &Content, segments: &[Segment], dynamic: &Segment, elf: &mut Elf) -> Result<(), Problem> {
    if dynamic.len == 0 {
        // `objcopy --only-keep-debug` leaves the header and takes the bytes.
        return Ok(());
    }
    if dynamic.len > DYNAMIC_LIMIT {
        return Err(Problem::Damaged("its dynamic section is too long".into()));
    }
    let table = bytes_at(content, dynamic.offset, dynamic.len, "its dynamic section")?;
    let rows: Vec<(u64, u64)> =
        table.chunks_exact(16).map(|row| (word(row, 0), word(row, 8))).take_while(|(tag, _)| *tag != 0).collect();
    elf.dynamic = true;
    let strings = rows.iter().find(|(tag, _)| *tag == DT_STRTAB).map(|(_, address)| *address);
    for (tag, value) in rows {
        let string = || -> Result<String, Problem> {
            let damaged = || Problem::Damaged("its dynamic section names a string outside the file".into());
            let address = strings.and_then(|strings| strings.checked_add(value)).ok_or_else(damaged)?;
            let at = file_offset(segments, address).ok_or_else(damaged)?;
            let len = content.len().checked_sub(at).ok_or_else(damaged)?.min(STRING_LIMIT);
            let bytes = bytes_at(content, at, len, "a string of its dynamic section")?;
            if !bytes.contains(&0) {
                return Err(Problem::Damaged("its dynamic section names a string without an end".into()));
            }
            Ok(text(&bytes))
        };
        match tag {
            DT_NEEDED => elf.needed.push(string()?),
            DT_SONAME => elf.soname = Some(string()?),
            DT_RPATH => elf.rpath = Some(string()?),
            DT_RUNPATH => elf.runpath = Some(string()?),
            DT_FLAGS_1 if value & DF_1_PIE != 0 => elf.kind = ElfKind::Executable,
            _ => {}
        }
    }
    Ok(())
}

/// Where the byte that is loaded at `address` lies in the file.
fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
        let within = address.checked_sub(segment.address)?;
        (within < segment.len).then(|| segment.offset.checked_add(within)).flatten()
    })
}

/// The parts of the file that hold string constants: the loaded parts that are not code, if the linker set them apart, else all.
fn constants(segments: &[Segment]) -> Vec<(u64, u64)> {
    let loaded = || segments.iter().filter(|segment| segment.kind == PT_LOAD);
    let apart = loaded().any(|segment| segment.flags & (PF_X | PF_W) == 0);
    loaded().filter(|segment| !apart || segment.flags & PF_X == 0).map(|segment| (segment.offset, segment.len)).collect()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes)
}

/// A NUL-terminated text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}
