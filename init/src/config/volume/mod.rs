//! Small file systems that carry a config, read in user space straight from a block device: ISO 9660 and FAT.
//!
//! Nothing here mounts, writes, or trusts a byte: whoever can plug in a disk writes them. Every loop is bounded by what a file system
//! of a seed or an ESP can need, every offset is checked, and a reader never asks for more memory than its caller's limit allows.

pub mod fat;
pub mod iso9660;

use std::io::{self, Read, Seek, SeekFrom};

/// A volume of a kind that is read here.
#[derive(Debug)]
pub enum Volume<R> {
    /// ISO 9660, with or without Rock Ridge or Joliet.
    Iso(iso9660::Iso<R>),
    /// FAT12, FAT16 or FAT32.
    Fat(fat::Fat<R>),
}

/// Why a volume, or a file of it, can't be read.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Something that the volume names lies behind its end.
    #[error("the volume is truncated: it names byte {offset}, which it doesn't have")]
    Truncated {
        /// Where reading began.
        offset: u64,
    },
    /// The device failed.
    #[error("reading the volume at byte {offset}")]
    Read {
        /// Where reading began.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A structure of the file system that can't be right.
    #[error("the volume is damaged: {0}")]
    Damaged(&'static str),
    /// A file of more bytes than its reader takes.
    #[error("{path} has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// Which one.
        path: String,
        /// How long it is.
        size: u64,
        /// How long it may be.
        limit: u64,
    },
    /// Something that these readers don't do.
    #[error("{path}: {what} is not supported")]
    Unsupported {
        /// Which file.
        path: String,
        /// What it needs.
        what: &'static str,
    },
}

impl<R: Read + Seek> Volume<R> {
    /// Looks at what begins a device. `None`: it holds neither kind.
    pub fn open(mut source: R) -> Result<Option<Self>, VolumeError> {
        // An ISO 9660 volume may begin with anything, also with a boot sector that looks like FAT's: so it is asked for first.
        if let Some(descriptors) = iso9660::find(&mut source)? {
            return Ok(Some(Self::Iso(iso9660::Iso::new(source, descriptors)?)));
        }
        let geometry = fat::find(&mut source)?;
        Ok(geometry.map(|geometry| Self::Fat(fat::Fat::new(source, geometry))))
    }

    /// The volume's label, without the padding.
    pub fn label(&self) -> &str {
        match self {
            Self::Iso(iso) => iso.label(),
            Self::Fat(fat) => fat.label(),
        }
    }

    /// The content of a file by its path (parts joined by `/`). `None`: there is no such file.
    pub fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        match self {
            Self::Iso(iso) => iso.read(path, limit),
            Self::Fat(fat) => fat.read(path, limit),
        }
    }
}

/// Reads exactly this many bytes from this place.
fn read_at(source: &mut (impl Read + Seek), offset: u64, length: usize) -> Result<Vec<u8>, VolumeError> {
    let mut bytes = Vec::new();
    source.seek(SeekFrom::Start(offset)).map_err(|source| VolumeError::Read { offset, source })?;
    // Grows as bytes come: what a volume claims is no reason to hold memory for it.
    let read = source.take(length as u64).read_to_end(&mut bytes).map_err(|source| VolumeError::Read { offset, source })?;
    if read == length { Ok(bytes) } else { Err(VolumeError::Truncated { offset }) }
}

/// The little-endian number at an offset. `None`: the bytes end before.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// The little-endian number at an offset. `None`: the bytes end before.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
