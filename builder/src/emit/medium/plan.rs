//! The medium as a value: the volume's own structures and the partition table in the first mebibyte, the ESP, and where root and hash tree
//! are copied to. Pure; everything follows from the root hash, the files and the sizes.

use super::files;
use crate::assemble::grub::{self, CoreImage, GrubError, GrubFiles};
use crate::emit::copies::Part;
use crate::emit::esp::boot_files::EspFile;
use crate::emit::iso::el_torito::{self, Boot, BootEntry};
use crate::emit::iso::{self, BLOCK, Folder, IsoError, Node, Place, Volume};
use crate::failure::{Classified, Kind};
use jiff::Timestamp;
use kmimage_contract::disk_layout::{ALIGNMENT, DiskLayout, Role, Slot};
use kmimage_contract::fat32::layout::{self, Data, Extent, FatError, FileAt};
use kmimage_contract::gpt;
use kmimage_contract::verity::RootHash;
use std::ops::Range;

/// Where the ESP begins: before it is what is in no partition.
const ESP_AT: u64 = ALIGNMENT;
/// Bytes that the ESP has beyond its files: for a machine config and for what a loader notes.
const ROOM: u64 = 4 << 20;
/// The smallest ESP: with less, firmware would take it for FAT16.
const LEAST_ESP: u64 = 36 << 20;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// The ESP can't hold its files.
    #[error("can't lay the medium's EFI system partition out")]
    Esp(#[source] FatError),
    /// The volume can't be written.
    #[error("can't lay the medium's ISO 9660 volume out")]
    Iso(#[source] IsoError),
    /// The volume's own structures don't fit before the first partition.
    #[error("the medium's ISO 9660 structures have {0} bytes, there is room for {ESP_AT}")]
    Head(usize),
    /// The partition table can't describe the layout.
    #[error("the partition table can't describe the medium")]
    Gpt(#[source] gpt::Fault),
    /// GRUB's boot code can't be made.
    #[error(transparent)]
    Grub(#[from] GrubError),
}

impl Classified for MediumError {
    fn kind(&self) -> Kind {
        match self {
            // A file of 4 GiB, or files that two names stand for: what is in an image is the profile's.
            MediumError::Esp(_) | MediumError::Iso(IsoError::TooLarge(_)) => Kind::Policy,
            MediumError::Iso(_) | MediumError::Head(_) | MediumError::Gpt(_) => Kind::Internal,
            MediumError::Grub(error) => error.kind(),
        }
    }
}

/// What a medium is planned from.
#[derive(Debug, Clone)]
pub struct Inputs<'a> {
    /// The root's verity hash.
    pub root_hash: RootHash,
    /// Where the squashfs lies on the raw disk.
    pub root: Range<u64>,
    /// Where the hash tree with its superblock lies there.
    pub hash_tree: Range<u64>,
    /// The volume's label; what a label can't have becomes `_`.
    pub label: String,
    /// The time of all files, in seconds since 1970.
    pub epoch: i64,
    /// The files of the ESP.
    pub esp_files: Vec<EspFile>,
    /// What starts machines without UEFI.
    pub bios: Option<Bios<'a>>,
}

/// GRUB for machines without UEFI: one core image for CD and stick.
#[derive(Debug, Clone)]
pub struct Bios<'a> {
    /// The core image of a CD.
    pub core: CoreImage,
    /// The files that the boot code of a stick is made of.
    pub files: &'a GrubFiles,
}

/// Where the core image is on the volume.
const CORE: &str = "boot/grub/eltorito.img";

/// A medium, planned completely.
#[derive(Debug, Clone)]
pub struct MediumPlan {
    /// Partitions with their places and UUIDs.
    pub layout: DiskLayout,
    /// What is before the ESP.
    head: Vec<u8>,
    /// The ESP, relative to its start, and the files that it names by index.
    esp: Vec<Extent>,
    esp_files: Vec<EspFile>,
    backup: gpt::Encoded,
    parts: Vec<Part>,
}

/// Plans the medium.
pub fn plan(inputs: Inputs<'_>) -> Result<MediumPlan, MediumError> {
    let Inputs { root_hash, root, hash_tree, label, epoch, esp_files, bios } = inputs;
    let len = |range: &Range<u64>| range.end - range.start;
    let layout = DiskLayout::medium(&root_hash, ESP_AT, esp_size(&esp_files), len(&root), len(&hash_tree));
    let partition = |role| layout.partition(role).map_or(0..0, |found| found.offset..found.offset + found.size);
    let esp_place = partition(Role::Esp);
    let esp = lay_esp_out(&layout, &esp_files, epoch)?;
    let parts = vec![
        Part { to: partition(Role::Root(Slot::A)).start, from: root.clone() },
        Part { to: partition(Role::RootVerity(Slot::A)).start, from: hash_tree.clone() },
    ];

    let mut tree = Folder::new();
    for extent in &esp {
        let Data::File(index) = extent.data else { continue };
        if let Some(file) = esp_files.get(index).filter(|file| files::is_shown(&file.path)) {
            let place = place(esp_place.start + extent.offset, file.bytes.len() as u64, &file.path)?;
            insert(&mut tree, &file.path, Node::Elsewhere(place));
        }
    }
    for (part, path) in parts.iter().zip(["kmimage/root.squashfs", "kmimage/root.verity"]) {
        insert(&mut tree, path, Node::Elsewhere(place(part.to, len(&part.from), path)?));
    }
    if let Some(bios) = &bios {
        insert(&mut tree, CORE, Node::File(bios.core.bytes().to_vec()));
    }
    let block = |bytes: u64| u32::try_from(bytes / BLOCK as u64).map_err(|_| too_large("the medium"));
    let mut entries: Vec<BootEntry> = bios.iter().map(|_| BootEntry::Bios(CORE.to_owned())).collect();
    entries.push(BootEntry::Efi(block(esp_place.start)?));
    let volume = Volume {
        label: iso_label(&label),
        time: Timestamp::from_second(epoch).unwrap_or_default(),
        root: tree,
        boot: Some(Boot { blocks: block(layout.size)?, entries }),
    };
    let image = iso::write(&volume).map_err(MediumError::Iso)?;
    if image.bytes.len() as u64 > ESP_AT {
        return Err(MediumError::Head(image.bytes.len()));
    }
    let table = layout.gpt(gpt::SectorSize::B512).encode().map_err(MediumError::Gpt)?;
    let core_place = image.place_of(CORE);
    let mut head = image.bytes;
    // The system area, sixteen blocks that ISO 9660 leaves to others, has room for all of it.
    head.splice(..table.primary.len(), table.primary.iter().copied());
    if let Some(Bios { core, files }) = bios {
        let at = core_place.map_or(0, |place| place.block);
        let sector = u64::from(at) * (BLOCK / grub::SECTOR) as u64;
        let mut core = core.at(sector);
        // What the image is loaded by on a CD, and by what a stick's boot code finds it.
        el_torito::put_boot_info_table(&mut core, at);
        let from = at as usize * BLOCK;
        head.splice(from..from + core.len(), core);
        head.splice(..grub::BOOT_CODE_LEN, grub::hybrid_boot_code(files, sector)?);
        head.splice(ACTIVE_AT..ACTIVE_AT + ACTIVE.len(), ACTIVE);
    }
    Ok(MediumPlan { layout, head, esp, esp_files, backup: table, parts })
}

/// The MBR's second record, behind the one that protects the GPT: no partition (type 0), but marked active, without which some BIOSes
/// don't start a stick. UEFI and Linux look at the first record only.
const ACTIVE_AT: usize = 446 + 16;
const ACTIVE: [u8; 16] = [0x80, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0];

fn lay_esp_out(disk: &DiskLayout, files: &[EspFile], epoch: i64) -> Result<Vec<Extent>, MediumError> {
    let Some(partition) = disk.partition(Role::Esp) else { return Ok(Vec::new()) };
    let (serial, _, _, _) = partition.uuid.as_fields();
    let list: Vec<FileAt<'_>> = files.iter().map(|file| FileAt { path: &file.path, len: file.bytes.len() as u64 }).collect();
    let volume = layout::Volume { size: partition.size, disk_offset: partition.offset, serial, label: "KMIMAGE-ESP", epoch };
    layout::lay_out(&volume, &list).map_err(MediumError::Esp)
}

/// The ESP's size for its files: their clusters, tables, and [`ROOM`].
fn esp_size(files: &[EspFile]) -> u64 {
    let files: u64 = files.iter().map(|file| (file.bytes.len() as u64).next_multiple_of(4096) + 4096).sum();
    let content = files + ROOM;
    // Two tables with four bytes for each cluster of 512 are a sixty-fourth.
    (content + content / 32).next_multiple_of(ALIGNMENT).max(LEAST_ESP)
}

fn place(offset: u64, length: u64, path: &str) -> Result<Place, MediumError> {
    let block = u32::try_from(offset / BLOCK as u64).map_err(|_| too_large(path))?;
    Ok(Place { block, length: u32::try_from(length).map_err(|_| too_large(path))? })
}

fn too_large(what: &str) -> MediumError {
    MediumError::Iso(IsoError::TooLarge(what.to_owned()))
}

fn insert(tree: &mut Folder, path: &str, node: Node) {
    let mut folder = tree;
    let (parents, name) = path.rsplit_once('/').map_or((None, path), |(parents, name)| (Some(parents), name));
    for parent in parents.into_iter().flat_map(|parents| parents.split('/')) {
        let Node::Folder(inner) = folder.entry(parent.to_owned()).or_insert_with(|| Node::Folder(Folder::new())) else { return };
        folder = inner;
    }
    folder.insert(name.to_owned(), node);
}

/// Capitals, digits and `_`, at most 32: what a label of plain ISO 9660 has.
fn iso_label(text: &str) -> String {
    text.chars().take(32).map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

impl MediumPlan {
    /// Bytes of the whole medium.
    pub fn size(&self) -> u64 {
        self.layout.size
    }

    /// What is not copied from the disk and lies before what is: offsets, ascending, and bytes. Between them are zeros.
    pub fn before_the_root(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let esp = self.layout.partition(Role::Esp).map_or(0, |partition| partition.offset);
        let extents = self.esp.iter().map(move |extent| {
            let bytes: &[u8] = match &extent.data {
                Data::Bytes(bytes) => bytes,
                Data::File(index) => self.esp_files.get(*index).map_or(&[], |file| &file.bytes),
            };
            (esp + extent.offset, bytes)
        });
        std::iter::once((0, self.head.as_slice())).chain(extents)
    }

    /// What is copied from the disk, and where to, ascending.
    pub(in crate::emit) fn parts(&self) -> Vec<Part> {
        self.parts.clone()
    }

    /// What comes last: the backup of the partition table.
    pub fn behind_the_root(&self) -> (u64, &[u8]) {
        (self.backup.backup_offset, &self.backup.backup)
    }
}

#[cfg(test)]
mod tests;
