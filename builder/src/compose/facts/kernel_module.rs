//! Kernel modules: what `.modinfo` says.
//!
//! The module file may be compressed, as the kernel's own loader accepts it. Symbols are not looked at: `depends`, which modpost wrote
//! when the module was built, names the same modules as depmod finds by resolving them (a test holds the two against each other).

use super::{Fact, Problem};
use crate::compose::content::Content;
use crate::compose::tree::TreePath;
use crate::hash::Sha256Digest;
use kmimage_contract::{modules, paths};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Object, ObjectSection};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// No module of a distribution comes near; a small file that unpacks to more is hostile.
const UNPACKED_LIMIT: u64 = 256 << 20;

/// What a kernel module says of itself. Texts are as written, bytes that are no UTF-8 replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelModule {
    /// Its name, with `_` for `-`.
    pub name: String,
    /// The kernel that it was built for: release, then flags (`6.12.107+deb13-amd64 SMP preempt mod_unload modversions `).
    pub vermagic: String,
    /// The modules whose symbols it uses, by name, with `_` for `-`.
    pub depends: Vec<String>,
    /// Device and service identifiers that it answers to, in order.
    pub aliases: Vec<String>,
    /// What to load before and after it where present (`pre: a b post: c`), in order.
    pub softdeps: Vec<String>,
    /// Firmware files that it may ask for, relative to /usr/lib/firmware.
    pub firmware: Vec<String>,
}

impl KernelModule {
    /// The kernel release of `vermagic`: its first word.
    pub fn release(&self) -> &str {
        self.vermagic.split(' ').next().unwrap_or_default()
    }
}

/// True for the name of a kernel module file.
pub fn is_module_name(name: &[u8]) -> bool {
    [&b".ko"[..], b".ko.xz", b".ko.zst", b".ko.gz"].iter().any(|suffix| name.ends_with(suffix))
}

/// A module file's place: `/usr/lib/modules/RELEASE/FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleName {
    /// The kernel release that the directory is named after.
    pub release: String,
    /// The file's path below it (`kernel/fs/ext4/ext4.ko.xz`).
    pub file: String,
    /// The module's name as the file says it: without directories and suffixes, with `_` for `-`.
    pub name: String,
}

impl ModuleName {
    /// Takes a path apart; none if it is no module file below /usr/lib/modules (or /lib/modules).
    pub fn of(path: &TreePath) -> Option<Self> {
        let text = std::str::from_utf8(path.as_bytes()).ok()?;
        let below = text.strip_prefix(paths::MODULES).or_else(|| text.strip_prefix("/lib/modules"))?;
        let (release, file) = below.strip_prefix('/')?.split_once('/')?;
        if !is_module_name(file.as_bytes()) {
            return None;
        }
        Some(Self { release: release.to_owned(), file: file.to_owned(), name: modules::name(file) })
    }
}

/// A module as the kernel links it, and what it says of itself.
#[derive(Debug)]
pub struct UnpackedModule {
    /// Its bytes, if the file is packed; a file that isn't, or can't be unpacked, is what it is.
    pub bytes: Option<Vec<u8>>,
    /// The digest of these, or of the file.
    pub sha256: Sha256Digest,
    /// A module, or damaged.
    pub fact: Fact,
}

/// Unpacks a module's file and looks at it. An error: the file can't be read.
pub fn unpack_module(content: &Content) -> io::Result<UnpackedModule> {
    let look = |bytes: &[u8]| match parse(bytes) {
        Ok(module) => Ok(Fact::Module(module)),
        Err(Problem::Damaged(why)) => Ok(Fact::Damaged(why)),
        Err(Problem::Read(error)) => Err(error),
    };
    match unpack(content) {
        Ok((bytes, true)) => Ok(UnpackedModule { sha256: Sha256Digest::of(&bytes), fact: look(&bytes)?, bytes: Some(bytes) }),
        Ok((bytes, false)) => Ok(UnpackedModule { sha256: content.sha256(), fact: look(&bytes)?, bytes: None }),
        Err(Problem::Damaged(why)) => Ok(UnpackedModule { sha256: content.sha256(), fact: Fact::Damaged(why), bytes: None }),
        Err(Problem::Read(error)) => Err(error),
    }
}

pub(super) fn read(content: &Content) -> Result<Fact, Problem> {
    parse(&unpack(content)?.0).map(Fact::Module)
}

/// The module's own bytes, and whether the file had them packed.
fn unpack(content: &Content) -> Result<(Vec<u8>, bool), Problem> {
    let mut magic = [0; 6];
    let known = content.len().min(6) as usize;
    content.read_exact_at(&mut magic[..known], 0).map_err(Problem::Read)?;
    if content.len() > UNPACKED_LIMIT {
        return Err(Problem::Damaged("it is too big for a kernel module".into()));
    }
    if magic.starts_with(b"\x7fELF") {
        return Ok((content.to_vec().map_err(Problem::Read)?, false));
    }
    let packed = content.to_vec().map_err(Problem::Read)?;
    // Four to one is what modules come to; a wrong guess costs a copy.
    let mut bytes = Vec::with_capacity(packed.len().saturating_mul(5));
    let (format, result) = if magic.starts_with(b"\xfd7zXZ\0") {
        ("xz", liblzma::bufread::XzDecoder::new(&packed[..]).take(UNPACKED_LIMIT + 1).read_to_end(&mut bytes))
    } else if magic.starts_with(b"\x28\xb5\x2f\xfd") {
        let decoder = zstd::stream::read::Decoder::with_buffer(&packed[..]);
        ("zstd", decoder.and_then(|decoder| decoder.take(UNPACKED_LIMIT + 1).read_to_end(&mut bytes)))
    } else if magic.starts_with(b"\x1f\x8b") {
        ("gzip", flate2::bufread::GzDecoder::new(&packed[..]).take(UNPACKED_LIMIT + 1).read_to_end(&mut bytes))
    } else {
        return Err(Problem::Damaged("it is neither an ELF file nor one packed by xz, zstd or gzip".into()));
    };
    match result {
        Ok(_) if bytes.len() as u64 <= UNPACKED_LIMIT => Ok((bytes, true)),
        Ok(_) => Err(Problem::Damaged("it unpacks to more than any kernel module".into())),
        Err(_) => Err(Problem::Damaged(format!("it can't be unpacked ({format})"))),
    }
}

fn parse(bytes: &[u8]) -> Result<KernelModule, Problem> {
    let damaged = |why: &str| Problem::Damaged(why.to_owned());
    let file = ElfFile64::<object::LittleEndian>::parse(bytes).map_err(|_| damaged("it is no 64-bit ELF file"))?;
    if file.elf_header().e_type(object::LittleEndian) != object::elf::ET_REL {
        return Err(damaged("it is no relocatable ELF file"));
    }
    let section = file.section_by_name(".modinfo").ok_or_else(|| damaged("it has no .modinfo section"))?;
    let data = section.data().map_err(|_| damaged("its .modinfo section lies beyond the end of the file"))?;
    let mut module = KernelModule::default();
    for line in data.split(|&byte| byte == 0).filter(|line| !line.is_empty()) {
        let line = String::from_utf8_lossy(line);
        let Some((key, value)) = line.split_once('=') else { continue };
        match key {
            "name" => module.name = value.replace('-', "_"),
            "vermagic" => module.vermagic = value.to_owned(),
            "depends" => {
                module.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")))
            }
            "alias" => module.aliases.push(value.to_owned()),
            "softdep" => module.softdeps.push(value.to_owned()),
            "firmware" => module.firmware.push(value.to_owned()),
            _ => {}
        }
    }
    Ok(module)
}
