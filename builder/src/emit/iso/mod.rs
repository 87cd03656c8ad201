//! ISO 9660 volumes (ECMA-119) with Rock Ridge and Joliet, as one value: a tree goes in, bytes come out.
//!
//! Every block's place follows from the tree alone, and the only clock is the caller's: same tree, same bytes. A file may lie elsewhere
//! ([`Node::Elsewhere`]): in a partition of a hybrid medium, whose other half (a GPT over the same bytes) is [`medium`](super::medium)'s.
//! Limits: files below 4 GiB, names up to 100 bytes, all owned by root.

mod blocks;
pub mod el_torito;
mod names;
mod records;
#[cfg(test)]
mod tests;

use el_torito::Boot;
use jiff::Timestamp;
use records::{Names, descriptor, directory, path_table, terminator};
use std::collections::BTreeMap;

/// Bytes in a block.
pub const BLOCK: usize = 2048;
/// Blocks before the volume descriptors, left to boot sectors.
const SYSTEM_AREA: u32 = 16;
/// The longest name, in bytes: its Rock Ridge entry must fit beside the others in one record.
const NAME: usize = 100;

/// A folder's content by name.
pub type Folder = BTreeMap<String, Node>;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file and its content.
    File(Vec<u8>),
    /// A file whose content is not written here.
    Elsewhere(Place),
    /// A folder.
    Folder(Folder),
}

/// Where a file lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Its first block.
    pub block: u32,
    /// Its length in bytes.
    pub length: u32,
}

/// A volume to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its label: up to 32 characters; up to 16 are seen by those who read Joliet's.
    pub label: String,
    /// The time of everything in it.
    pub time: Timestamp,
    /// What is in it.
    pub root: Folder,
    /// What makes machines start from it. The volume is then longer than what is written here.
    pub boot: Option<Boot>,
}

/// Why a volume can't be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsoError {
    /// A label that readers would not find again.
    #[error("`{0}` is no label for an ISO 9660 volume: up to 32 letters, digits and `_`, `-`, `.`")]
    Label(String),
    /// A name that one of the three kinds of names can't have.
    #[error("`{0}` can't be the name of a file on an ISO 9660 volume")]
    Name(String),
    /// More than a volume holds.
    #[error("{0} is too large for an ISO 9660 volume")]
    TooLarge(String),
    /// A boot image that is not a file of the volume.
    #[error("{0} is to be booted, but is no file of the volume")]
    NoBootImage(String),
}

/// A finished volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// All of it but what lies elsewhere; whole blocks.
    pub bytes: Vec<u8>,
    places: BTreeMap<String, Place>,
}

impl Image {
    /// Where a file lies, by its path without a leading `/`.
    pub fn place_of(&self, path: &str) -> Option<Place> {
        self.places.get(path).copied()
    }
}

/// A file or folder of the plan. Folders are numbered in the order of the path table: the root is 0.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    name: &'a str,
    /// The name that plain ISO 9660 has, unique in its folder.
    plain: String,
    kind: EntryKind,
}

#[derive(Debug, Clone, Copy)]
enum EntryKind {
    /// By its place in the list of files.
    File(usize),
    /// By its number.
    Folder(usize),
}

/// A folder of the plan.
#[derive(Debug)]
struct PlannedFolder<'a> {
    /// Its parent's number; the root's is its own.
    parent: usize,
    name: &'a str,
    plain: String,
    entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct PlannedFile<'a> {
    path: String,
    content: Content<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    Bytes(&'a [u8]),
    Elsewhere(Place),
}

/// Where everything lies.
#[derive(Debug)]
pub(super) struct Places {
    folders: Vec<Place>,
    joliet_folders: Vec<Place>,
    files: Vec<Place>,
}

/// Writes a volume.
pub fn write(volume: &Volume) -> Result<Image, IsoError> {
    let label_is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if volume.label.is_empty() || volume.label.len() > 32 || !volume.label.chars().all(label_is_good) {
        return Err(IsoError::Label(volume.label.clone()));
    }
    let (folders, files) = plan(&volume.root)?;

    // Sizes first: those of folders and path tables don't depend on where anything lies. Descriptors: two, one that ends the list, and
    // El Torito's.
    let mut next = SYSTEM_AREA + 3 + u32::from(volume.boot.is_some());
    let mut take = |bytes: usize, what: &str| -> Result<Place, IsoError> {
        let too_large = || IsoError::TooLarge(what.to_owned());
        let length = u32::try_from(bytes).map_err(|_| too_large())?;
        let block = next;
        next = next.checked_add(length.div_ceil(BLOCK as u32)).ok_or_else(too_large)?;
        Ok(Place { block, length })
    };
    let catalogue = volume.boot.as_ref().map(|_| take(BLOCK, "the boot catalogue")).transpose()?;
    let nowhere = |count: usize| vec![Place::default(); count];
    let nowhere = Places { folders: nowhere(folders.len()), joliet_folders: nowhere(folders.len()), files: nowhere(files.len()) };
    let mut tables = Vec::new();
    for names in [Names::RockRidge, Names::Joliet] {
        let length = path_table(&folders, &nowhere, names, false).len();
        // The second of each pair has the other byte order.
        tables.push((names, take(length, "the path table")?, take(length, "the path table")?));
    }
    let mut place_folders = |names| {
        let lengths = (0..folders.len()).map(|number| directory(&folders, number, &nowhere, names, volume.time).len());
        lengths.map(|length| take(length, "a folder")).collect::<Result<Vec<_>, _>>()
    };
    let mut places =
        Places { folders: place_folders(Names::RockRidge)?, joliet_folders: place_folders(Names::Joliet)?, files: Vec::new() };
    for file in &files {
        places.files.push(match file.content {
            Content::Bytes(bytes) => take(bytes.len(), &file.path)?,
            Content::Elsewhere(place) => place,
        });
    }
    let by_path: BTreeMap<String, Place> =
        files.iter().zip(&places.files).map(|(file, place)| (file.path.clone(), *place)).collect();

    let mut image = blocks::Blocks::new(next);
    let blocks = volume.boot.as_ref().map_or(next, |boot| boot.blocks);
    let mut descriptors = SYSTEM_AREA..;
    let mut next_descriptor = || descriptors.next().unwrap_or(u32::MAX);
    for (names, little, big) in &tables {
        image.put(next_descriptor(), &descriptor(volume, *names, blocks, &places, *little, *big));
        image.put(little.block, &path_table(&folders, &places, *names, false));
        image.put(big.block, &path_table(&folders, &places, *names, true));
        for (number, place) in places.of(*names).iter().enumerate() {
            image.put(place.block, &directory(&folders, number, &places, *names, volume.time));
        }
        // El Torito's descriptor has to be the second one.
        if let (Names::RockRidge, Some(boot), Some(catalogue)) = (names, &volume.boot, catalogue) {
            image.put(next_descriptor(), &el_torito::descriptor(catalogue.block));
            image.put(catalogue.block, &boot.catalogue(&by_path)?);
        }
    }
    image.put(next_descriptor(), &terminator());
    for (file, place) in files.iter().zip(&places.files) {
        if let Content::Bytes(bytes) = file.content {
            image.put(place.block, bytes);
        }
    }
    Ok(Image { bytes: image.finish(), places: by_path })
}

impl Places {
    fn of(&self, names: Names) -> &[Place] {
        match names {
            Names::RockRidge => &self.folders,
            Names::Joliet => &self.joliet_folders,
        }
    }
}

/// All folders, level by level as the path table wants them, and all files.
fn plan(root: &Folder) -> Result<(Vec<PlannedFolder<'_>>, Vec<PlannedFile<'_>>), IsoError> {
    let mut folders = vec![PlannedFolder { parent: 0, name: "", plain: String::new(), entries: Vec::new() }];
    let mut contents = vec![(root, String::new())];
    let mut files = Vec::new();
    let mut number = 0;
    while let Some((content, path)) = contents.get(number).cloned() {
        for (name, plain) in names::plain(content)? {
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let kind = match content.get(name) {
                Some(Node::Folder(inner)) => {
                    contents.push((inner, path));
                    folders.push(PlannedFolder { parent: number, name, plain: plain.clone(), entries: Vec::new() });
                    EntryKind::Folder(folders.len() - 1)
                }
                Some(Node::File(bytes)) => {
                    files.push(PlannedFile { path, content: Content::Bytes(bytes) });
                    EntryKind::File(files.len() - 1)
                }
                Some(Node::Elsewhere(place)) => {
                    files.push(PlannedFile { path, content: Content::Elsewhere(*place) });
                    EntryKind::File(files.len() - 1)
                }
                None => continue,
            };
            if let Some(folder) = folders.get_mut(number) {
                folder.entries.push(Entry { name, plain, kind });
            }
        }
        number += 1;
    }
    Ok((folders, files))
}
