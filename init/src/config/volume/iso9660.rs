//! ISO 9660 (ECMA-119), read only, with the two extensions that seeds are made with: Rock Ridge (IEEE P1282) and Joliet.
//!
//! Names come from Rock Ridge where the volume has it, else from Joliet, else they are ISO 9660's own, compared without regard to
//! case. Not supported: several extents per file (files of 4 GiB), interleaving, blocks of another size than 2048 bytes.

mod susp;
#[cfg(test)]
mod tests;

use super::{VolumeError, read_at, u16_at, u32_at};
use std::io::{Read, Seek};

/// Bytes in a block.
const BLOCK: u64 = 2048;
/// Where the volume descriptors begin.
const FIRST_DESCRIPTOR: u64 = 16;
/// No volume has so many descriptors.
const DESCRIPTORS: u64 = 32;
/// The longest folder that is read, in bytes: some 10,000 names.
const FOLDER: u64 = 1 << 20;
/// How many folders are looked into on the way to one file, over all links.
const STEPS: usize = 32;

/// The volume descriptors that count.
#[derive(Debug)]
pub(super) struct Descriptors {
    primary: Vec<u8>,
    joliet: Option<Vec<u8>>,
}

/// A volume.
#[derive(Debug)]
pub struct Iso<R> {
    source: R,
    label: String,
    root: Entry,
    joliet: Option<Vec<u8>>,
    /// `None`: not known yet.
    names: Option<Names>,
}

/// Where names come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Rock Ridge, and how many bytes of each system use area belong to somebody else.
    RockRidge(usize),
    Joliet,
    Plain,
}

/// A file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    block: u32,
    size: u32,
    folder: bool,
    /// Of a symbolic link: where it leads.
    link: Option<String>,
    /// Stored in a way that isn't read here.
    odd: bool,
}

/// The volume descriptors. `None`: this is no ISO 9660 volume.
pub(super) fn find(source: &mut (impl Read + Seek)) -> Result<Option<Descriptors>, VolumeError> {
    let mut primary = None;
    let mut joliet = None;
    for block in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + DESCRIPTORS {
        let bytes = match read_at(source, block * BLOCK, BLOCK as usize) {
            Ok(bytes) => bytes,
            // A device that is too short, or of another kind; or a volume that is cut off, which is seen when a file is read.
            Err(_) => break,
        };
        match (bytes.first(), bytes.get(1..6)) {
            (Some(1), Some(b"CD001")) => primary = primary.or(Some(bytes)),
            // Levels 1 to 3 of UCS-2.
            (Some(2), Some(b"CD001")) if matches!(bytes.get(88..91), Some(b"%/@" | b"%/C" | b"%/E")) => {
                joliet = joliet.or(Some(bytes));
            }
            (Some(255), Some(b"CD001")) => break,
            (_, Some(b"CD001")) => {}
            _ if primary.is_none() => return Ok(None),
            _ => return Err(VolumeError::Damaged("its volume descriptors have no end")),
        }
    }
    Ok(primary.map(|primary| Descriptors { primary, joliet }))
}

impl<R: Read + Seek> Iso<R> {
    /// The volume behind these descriptors.
    pub(super) fn new(source: R, descriptors: Descriptors) -> Result<Self, VolumeError> {
        let Descriptors { primary, joliet } = descriptors;
        if u16_at(&primary, 128) != Some(BLOCK as u16) {
            return Err(VolumeError::Damaged("its blocks don't have 2048 bytes"));
        }
        let label = String::from_utf8_lossy(primary.get(40..72).unwrap_or_default()).trim_end_matches([' ', '\0']).to_owned();
        // Nothing behind the descriptors is read yet: a volume that is cut off is still known by its label.
        Ok(Self { source, label, root: root(&primary)?, joliet, names: None })
    }

    /// Finds out where names come from, and so which root counts.
    fn names(&mut self) -> Result<Names, VolumeError> {
        if let Some(names) = self.names {
            return Ok(names);
        }
        let names = if let Some(skip) = self.rock_ridge()? {
            Names::RockRidge(skip)
        } else if let Some(joliet) = self.joliet.take() {
            self.root = root(&joliet)?;
            Names::Joliet
        } else {
            Names::Plain
        };
        self.names = Some(names);
        Ok(names)
    }

    /// The volume's label, without the padding.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The content of a file; links are followed. `None`: there is no such file.
    pub fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        let names = self.names()?;
        let mut wanted: Vec<String> = parts(path).rev().collect();
        let mut folders = vec![self.root.clone()];
        let mut steps = 0;
        while let Some(name) = wanted.pop() {
            steps += 1;
            if steps > STEPS {
                return Err(VolumeError::Unsupported { path: path.to_owned(), what: "a path of so many links and folders" });
            }
            if name == ".." {
                if folders.len() > 1 {
                    folders.pop();
                }
                continue;
            }
            let Some(folder) = folders.last() else { return Ok(None) };
            let (block, size) = (folder.block, folder.size);
            let is_named = |entry: &Entry| match names {
                Names::Plain => entry.name.eq_ignore_ascii_case(&name),
                Names::RockRidge(_) | Names::Joliet => entry.name == name,
            };
            let Some(entry) = self.folder(names, block, size)?.into_iter().find(is_named) else { return Ok(None) };
            if let Some(target) = &entry.link {
                if target.starts_with('/') {
                    folders.truncate(1);
                }
                wanted.extend(parts(target).rev());
            } else if entry.folder {
                folders.push(entry);
            } else if !wanted.is_empty() {
                return Ok(None);
            } else {
                return self.content(&entry, path, limit).map(Some);
            }
        }
        Ok(None)
    }

    fn content(&mut self, entry: &Entry, path: &str, limit: u64) -> Result<Vec<u8>, VolumeError> {
        if entry.odd {
            return Err(VolumeError::Unsupported { path: path.to_owned(), what: "a file in several pieces" });
        }
        let size = u64::from(entry.size);
        if size > limit {
            return Err(VolumeError::TooLarge { path: path.to_owned(), size, limit });
        }
        read_at(&mut self.source, u64::from(entry.block) * BLOCK, entry.size as usize)
    }

    /// Whether the volume has Rock Ridge: the first record of its root says so, and how many bytes to skip.
    fn rock_ridge(&mut self) -> Result<Option<usize>, VolumeError> {
        let first = read_at(&mut self.source, u64::from(self.root.block) * BLOCK, BLOCK as usize)?;
        Ok(record(&first).and_then(|record| susp::skip(system_use(record))))
    }

    /// What is in a folder, without itself and its parent.
    fn folder(&mut self, names: Names, block: u32, size: u32) -> Result<Vec<Entry>, VolumeError> {
        if u64::from(size) > FOLDER {
            return Err(VolumeError::Damaged("a folder of more than 1 MiB"));
        }
        let bytes = read_at(&mut self.source, u64::from(block) * BLOCK, size as usize)?;
        let mut entries = Vec::new();
        // A record never crosses the end of a block; what is left there is zero.
        for block in bytes.chunks(BLOCK as usize) {
            let mut rest = block;
            while let Some(record) = record(rest) {
                entries.extend(self.entry(names, record)?);
                rest = rest.get(record.len()..).unwrap_or_default();
            }
        }
        Ok(entries)
    }

    /// A record as an entry; `None` for a folder's own and its parent's.
    fn entry(&mut self, names: Names, record: &[u8]) -> Result<Option<Entry>, VolumeError> {
        let mut entry = parse(record).ok_or(VolumeError::Damaged("a record of a folder"))?;
        let raw = name_bytes(record);
        if matches!(raw, [0] | [1]) {
            return Ok(None);
        }
        entry.name = match names {
            Names::Joliet => ucs2(raw),
            Names::Plain | Names::RockRidge(_) => String::from_utf8_lossy(raw).into_owned(),
        };
        if names != Names::Joliet || entry.name.ends_with(";1") {
            let plain = entry.name.split(';').next().unwrap_or_default();
            entry.name = plain.strip_suffix('.').unwrap_or(plain).to_owned();
        }
        if let Names::RockRidge(skip) = names {
            let area = system_use(record).get(skip..).unwrap_or_default().to_vec();
            let alternate = susp::read(&mut self.source, area)?;
            if let Some(name) = alternate.name {
                entry.name = name;
            }
            entry.link = alternate.link;
        }
        Ok(Some(entry))
    }
}

/// The parts of a path that mean something.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned)
}

/// The root folder that a descriptor names.
fn root(descriptor: &[u8]) -> Result<Entry, VolumeError> {
    let root = descriptor.get(156..190).and_then(parse).filter(|entry| entry.folder);
    root.ok_or(VolumeError::Damaged("the record of its root"))
}

/// The record at the beginning of some bytes. `None`: there is none, or it doesn't fit.
fn record(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*bytes.first()?);
    bytes.get(..length).filter(|record| record.len() >= 34)
}

fn name_bytes(record: &[u8]) -> &[u8] {
    let length = record.get(32).map_or(0, |length| usize::from(*length));
    record.get(33..33 + length).unwrap_or_default()
}

/// What follows the name, which is padded to an even place.
fn system_use(record: &[u8]) -> &[u8] {
    let length = record.get(32).map_or(0, |length| usize::from(*length));
    record.get(33 + length + (length + 1) % 2..).unwrap_or_default()
}

fn parse(record: &[u8]) -> Option<Entry> {
    let flags = *record.get(25)?;
    Some(Entry {
        name: String::new(),
        block: u32_at(record, 2)?,
        size: u32_at(record, 10)?,
        folder: flags & 2 != 0,
        link: None,
        // Several extents, an interleaved file, or attributes before the content.
        odd: flags & 0x80 != 0 || *record.get(26)? != 0 || *record.get(1)? != 0,
    })
}

/// Big-endian UCS-2.
fn ucs2(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]])).collect();
    String::from_utf16_lossy(&units)
}
