//! The core image: GRUB's kernel with the modules that it needs to reach its configuration, compressed, behind what loads it.

use super::{GrubError, GrubFiles, LINK_ADDRESS, SECTOR, kernel, modules, patch};
use liblzma::stream::{Filters, LzmaOptions, PRESET_EXTREME, Stream};
use std::io::Read as _;

/// "gmim", the mark in front of the modules (struct grub_module_info32).
const MODULES_MAGIC: u32 = 0x676d_696d;
const MODULES_HEADER: usize = 12;
/// Kinds of things behind it (struct grub_module_header).
const KIND_MODULE: u32 = 0;
const KIND_CONFIG: u32 = 2;
const KIND_PREFIX: u32 = 3;

/// Where lzma_decompress.img keeps the two sizes.
const COMPRESSED_SIZE: usize = 0x08;
const UNCOMPRESSED_SIZE: usize = 0x0c;
/// The decompressor lies between 0x8200 and the kernel.
const DECOMPRESSOR_MAX: usize = 0xe00;

/// The last 12 bytes of diskboot.img: where the rest lies (u64), in how many sectors (u16), and which segment it goes to (u16).
const BLOCK_LIST: usize = SECTOR - 12;
const BLOCK_LIST_LEN: usize = SECTOR - 4;
const BLOCK_LIST_SEGMENT: usize = SECTOR - 2;
/// 0x8200, behind diskboot.img itself.
const SEGMENT: u16 = 0x820;

/// cdboot.img: the four sectors that firmware loads from a CD.
const CD_BOOT: usize = 2048;

/// The compressed image lies in memory from [`LINK_ADDRESS`] to here.
const MEMORY_END: usize = 0x78000;

/// liblzma keeps this much in sight; GRUB's decompressor sees everything that it has unpacked.
const DICTIONARY: u32 = 1 << 20;

/// What a core image is started by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A boot sector, on a disk: `i386-pc`.
    Disk,
    /// The firmware, as the boot image of a CD: `i386-pc-eltorito`.
    ElTorito,
}

/// What goes into a core image.
#[derive(Debug, Clone, Copy)]
pub struct Core<'a> {
    /// What it is started by.
    pub target: Target,
    /// Where it looks for its files: `(,gpt2)/boot/grub` is a folder on the second partition of the drive that it was started from.
    pub prefix: &'a str,
    /// Modules, by the names that moddep.lst has; what they need comes along.
    pub modules: &'a [&'a str],
    /// Commands that run before anything else, in the words of GRUB's rescue parser (no `if`); behind the last one GRUB enters its
    /// normal mode, and without a configuration there its shell.
    pub config: Option<&'a str>,
}

/// A core image that does not know yet where it lies: the same files give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreImage {
    target: Target,
    bytes: Vec<u8>,
}

impl CoreImage {
    /// The image as `grub-mkimage` makes it, in whole sectors.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The image to be written at sector `lba` (of 512 bytes) of a disk: its block list finds the rest of it there. A CD's image needs
    /// this only where the CD is a disk, too (what xorriso calls grub2-boot-info); its boot information table is the ISO's to fill.
    pub fn at(mut self, lba: u64) -> Vec<u8> {
        let boot = self.boot_sector();
        let rest = lba.saturating_add((boot / SECTOR) as u64 + 1);
        patch(&mut self.bytes, boot + BLOCK_LIST, &rest.to_le_bytes());
        self.bytes
    }

    /// Where diskboot.img is in the image, in bytes.
    pub(super) fn boot_sector(&self) -> usize {
        match self.target {
            Target::Disk => 0,
            Target::ElTorito => CD_BOOT,
        }
    }
}

/// Composes a core image.
pub fn core_image(files: &GrubFiles, core: &Core<'_>) -> Result<CoreImage, GrubError> {
    let payload = payload(files, core)?;
    let compressed = compress(&payload)?;
    let decompressor = files.get("lzma_decompress.img")?;
    if !(UNCOMPRESSED_SIZE + 4..=DECOMPRESSOR_MAX).contains(&decompressor.len()) {
        return Err(GrubError::Damaged { name: "lzma_decompress.img", fault: "it does not fit in its place in memory" });
    }
    let mut rest = decompressor.to_vec();
    patch(&mut rest, COMPRESSED_SIZE, &length(compressed.len()));
    patch(&mut rest, UNCOMPRESSED_SIZE, &length(payload.len()));
    rest.extend_from_slice(&compressed);
    let limit = MEMORY_END - LINK_ADDRESS as usize;
    if rest.len() > limit {
        return Err(GrubError::TooLarge { what: "core image", size: rest.len(), limit });
    }
    let mut bytes = match core.target {
        Target::Disk => Vec::new(),
        Target::ElTorito => files.sized("cdboot.img", CD_BOOT)?.to_vec(),
    };
    bytes.extend_from_slice(&disk_boot(files, rest.len().div_ceil(SECTOR))?);
    bytes.extend_from_slice(&rest);
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
    Ok(CoreImage { target: core.target, bytes })
}

/// diskboot.img with the number of sectors that it loads.
fn disk_boot(files: &GrubFiles, sectors: usize) -> Result<Vec<u8>, GrubError> {
    const NAME: &str = "diskboot.img";
    let mut image = files.sized(NAME, SECTOR)?.to_vec();
    if image.get(BLOCK_LIST_SEGMENT..) != Some(SEGMENT.to_le_bytes().as_slice()) {
        return Err(GrubError::Damaged { name: NAME, fault: "it does not end in a block list" });
    }
    let sectors = u16::try_from(sectors).unwrap_or(u16::MAX);
    patch(&mut image, BLOCK_LIST_LEN, &sectors.to_le_bytes());
    Ok(image)
}

/// The kernel as it lies in memory, and behind it the modules, the configuration and the prefix.
fn payload(files: &GrubFiles, core: &Core<'_>) -> Result<Vec<u8>, GrubError> {
    let mut things = Vec::new();
    for name in modules::closure(files, core.modules)? {
        thing(&mut things, KIND_MODULE, files.get(&format!("{name}.mod"))?, 0);
    }
    if let Some(config) = core.config {
        thing(&mut things, KIND_CONFIG, config.as_bytes(), 1);
    }
    thing(&mut things, KIND_PREFIX, core.prefix.as_bytes(), 1);

    let mut payload = kernel::flat(files.get("kernel.img")?)?;
    payload.extend_from_slice(&MODULES_MAGIC.to_le_bytes());
    payload.extend_from_slice(&length(MODULES_HEADER));
    payload.extend_from_slice(&length(MODULES_HEADER + things.len()));
    payload.extend_from_slice(&things);
    Ok(payload)
}

/// Appends a thing with its header, padded to four bytes with `zeros` at least.
fn thing(things: &mut Vec<u8>, kind: u32, bytes: &[u8], zeros: usize) {
    let padded = (bytes.len() + zeros).next_multiple_of(4);
    things.extend_from_slice(&kind.to_le_bytes());
    things.extend_from_slice(&length(padded + 8));
    things.extend_from_slice(bytes);
    things.resize(things.len() + padded - bytes.len(), 0);
}

/// A length as GRUB writes it; nothing here gets near 4 GiB, as the whole image is checked against a limit of half a megabyte.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// A raw LZMA1 stream with the parameters that GRUB's decompressor has built in. It ends with a marker that GRUB never reads, since it
/// stops at the uncompressed size.
fn compress(bytes: &[u8]) -> Result<Vec<u8>, GrubError> {
    let error = |error: liblzma::stream::Error| GrubError::Compress(error.into());
    let mut options = LzmaOptions::new_preset(9 | PRESET_EXTREME).map_err(error)?;
    options.dict_size(DICTIONARY).literal_context_bits(3).literal_position_bits(0).position_bits(2);
    let stream = Stream::new_raw_encoder(Filters::new().lzma1(&options)).map_err(error)?;
    let mut compressed = Vec::new();
    liblzma::read::XzEncoder::new_stream(bytes, stream).read_to_end(&mut compressed).map_err(GrubError::Compress)?;
    Ok(compressed)
}
