//! Decoding what kmimage emits, to text and JSON: `kmimage show` and the goldens of the tests.
//!
//! What a file is, is told by its content. Decoders never panic and never trust a length; what is damaged inside a disk is shown
//! as such, next to what is not.

pub mod diff;
pub mod disk;
pub mod esp;
pub mod fat;
pub mod listing;
pub mod qcow2;
pub mod source;
pub mod text;
pub mod uki;

use crate::assemble::squashfs::Superblock;
use crate::emit::artifacts::SHA256SUMS;
use crate::failure::{Classified, Kind, io_kind};
use kmimage_contract::manifest::Manifest;
use kmimage_contract::verity::VerityParams;
use listing::FileFacts;
use serde::Serialize;
use source::{FileSource, Source, read_some};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A manifest larger than this is none.
const MOST_MANIFEST: u64 = 16 << 20;

/// Why a file can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// It can't be opened or read.
    #[error("can't read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It is nothing that kmimage emits.
    #[error("{} is nothing that kmimage makes: no disk image, UKI, root image, hash tree or manifest", .0.display())]
    Unknown(PathBuf),
    /// It looks like one of ours, but can't be decoded.
    #[error("{} looks like {what}, but can't be decoded", .path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        what: &'static str,
        /// Why it can't be.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A folder without exactly one manifest.
    #[error("{} holds {found} image manifests, not one", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// How many manifests it holds.
        found: usize,
    },
}

impl Classified for ShowError {
    fn kind(&self) -> Kind {
        match self {
            // The file that was asked for, not one of the host.
            ShowError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::Usage,
            ShowError::Read { source, .. } => io_kind(source),
            _ => Kind::Usage,
        }
    }
}

/// A decoded file.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Shown {
    /// A disk image, raw or qcow2.
    Disk(disk::Disk),
    /// An EFI system partition.
    Esp(esp::Esp),
    /// A unified kernel image, or another PE image.
    Uki(uki::Uki),
    /// A squashfs.
    Squashfs(Squashfs),
    /// A hash tree with its superblock.
    Verity(Verity),
    /// An image manifest.
    Manifest(Box<Manifest>),
    /// Something inside a disk that can't be decoded.
    Damaged {
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        fault: String,
    },
}

/// What a squashfs' superblock says.
#[derive(Debug, Serialize)]
pub struct Squashfs {
    /// Bytes, without padding.
    pub size: u64,
    /// Bytes per data block.
    pub block_size: u32,
    /// Name of the compression.
    pub compression: String,
    /// Seconds since 1970.
    pub time: u32,
    /// Files, directories and all else.
    pub inodes: u32,
    /// Fragment blocks.
    pub fragments: u32,
    /// Every path (escaped as in `.files.tsv`), if the file shown is the squashfs itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, FileFacts>>,
}

/// What a hash tree's superblock says.
#[derive(Debug, Serialize)]
pub struct Verity {
    /// The superblock's UUID.
    pub uuid: uuid::Uuid,
    /// The salt, in hexadecimal.
    pub salt: String,
    /// Bytes per data block.
    pub data_block_size: u32,
    /// Bytes per hash block.
    pub hash_block_size: u32,
    /// Blocks of verified data.
    pub data_blocks: u64,
}

type Boxed = Box<dyn Error + Send + Sync>;

/// Decodes a file, or the manifest in an output folder.
pub fn decode(path: &Path) -> Result<Shown, ShowError> {
    let read = |source| ShowError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.is_dir() {
        return Ok(Shown::Manifest(Box::new(folder_manifest(path)?.1)));
    }
    let file = FileSource::new(File::open(path).map_err(read)?).map_err(read)?;
    let (what, decoder) = recognise(&file).map_err(read)?.ok_or_else(|| ShowError::Unknown(path.to_owned()))?;
    let undecodable = |source| ShowError::Decode { path: path.to_owned(), what, source };
    let mut shown = decoder(&file).map_err(undecodable)?;
    if let Shown::Squashfs(squashfs) = &mut shown {
        squashfs.files = Some(listing::of_squashfs(file.file(), 0).map_err(|error| undecodable(error.into()))?);
    }
    Ok(shown)
}

/// The manifest of an output folder, and its path.
pub fn folder_manifest(directory: &Path) -> Result<(PathBuf, Manifest), ShowError> {
    let read = |source| ShowError::Read { path: directory.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".json") && !name.ends_with(".spdx.json") && name != SHA256SUMS {
            found.push(path);
        }
    }
    match found.as_slice() {
        [path] => match decode(path)? {
            Shown::Manifest(manifest) => Ok((path.clone(), *manifest)),
            _ => Err(ShowError::Unknown(path.clone())),
        },
        _ => Err(ShowError::Folder { path: directory.to_owned(), found: found.len() }),
    }
}

type Decoder = fn(&dyn Source) -> Result<Shown, Boxed>;

/// What the bytes look like, and what decodes them.
fn recognise(source: &dyn Source) -> io::Result<Option<(&'static str, Decoder)>> {
    let head = read_some(source, 0, 4096 + 8)?;
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    Ok(if at(0, qcow2::MAGIC) {
        Some(("a qcow2 disk image", disk::decode_qcow2 as Decoder))
    } else if at(512, b"EFI PART") || at(4096, b"EFI PART") {
        Some(("a raw disk image", disk::decode_raw))
    } else {
        recognise_part(&head)
    })
}

/// As `recognise`, for what may also be a partition.
fn recognise_part(head: &[u8]) -> Option<(&'static str, Decoder)> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    if at(0, b"hsqs") {
        Some(("a squashfs", squashfs))
    } else if at(0, b"verity\0\0") {
        Some(("a hash tree", verity))
    } else if at(0, b"MZ") {
        Some(("a unified kernel image", uki::decode))
    } else if at(82, b"FAT32") {
        Some(("an EFI system partition", esp::decode))
    } else if head.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        Some(("an image manifest", manifest))
    } else {
        None
    }
}

fn squashfs(source: &dyn Source) -> Result<Shown, Boxed> {
    let superblock = Superblock::parse(&read_some(source, 0, 96)?)?;
    let names = ["gzip", "lzma", "lzo", "xz", "lz4", "zstd"];
    let name = usize::from(superblock.compression).checked_sub(1).and_then(|index| names.get(index));
    Ok(Shown::Squashfs(Squashfs {
        size: superblock.bytes_used,
        block_size: superblock.block_size,
        compression: name.map_or_else(|| superblock.compression.to_string(), |name| (*name).to_owned()),
        time: superblock.time,
        inodes: superblock.inodes,
        fragments: superblock.fragments,
        files: None,
    }))
}

fn verity(source: &dyn Source) -> Result<Shown, Boxed> {
    let params = VerityParams::parse_superblock(&read_some(source, 0, 512)?)?;
    Ok(Shown::Verity(Verity {
        uuid: params.uuid,
        salt: params.salt_hex(),
        data_block_size: params.data_block_size,
        hash_block_size: params.hash_block_size,
        data_blocks: params.data_blocks,
    }))
}

fn manifest(source: &dyn Source) -> Result<Shown, Boxed> {
    if source.size() > MOST_MANIFEST {
        return Err("it is larger than 16 MiB".into());
    }
    let text = read_some(source, 0, MOST_MANIFEST)?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| match serde_json::from_slice::<serde_json::Value>(&text) {
            Ok(value) if value.get("spdxVersion").is_some() => Boxed::from("it is an SBOM; the manifest ends in -amd64.json"),
            _ => error.into(),
        })?;
    manifest.check_format()?;
    Ok(Shown::Manifest(Box::new(manifest)))
}

#[cfg(test)]
mod tests;
