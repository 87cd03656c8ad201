//! The tables behind the directories: fragments, export, ids, extended attributes.

use super::error::Error;
use super::format::{InodeRef, METADATA_SIZE};
use super::metadata::{Compressor, MetadataWriter};
use crate::compose::tree::TreePath;
use std::collections::{BTreeMap, HashMap};

/// User and group ids, by order of first use.
#[derive(Default)]
pub(super) struct Ids {
    ids: Vec<u32>,
    index: HashMap<u32, u16>,
}

impl Ids {
    /// The index of an id. None: the table is full.
    pub(super) fn index(&mut self, id: u32) -> Option<u16> {
        if let Some(&index) = self.index.get(&id) {
            return Some(index);
        }
        let index = u16::try_from(self.ids.len()).ok().filter(|&index| index < u16::MAX)?;
        self.ids.push(id);
        self.index.insert(id, index);
        Some(index)
    }

    pub(super) fn len(&self) -> u16 {
        self.ids.len() as u16
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.ids.iter().flat_map(|id| id.to_le_bytes()).collect()
    }
}

/// Sets of extended attributes, by order of first use.
#[derive(Default)]
pub(super) struct Xattrs {
    /// Per set: how many, and the encoded names and values.
    sets: Vec<(u32, Vec<u8>)>,
    index: HashMap<BTreeMap<Vec<u8>, Vec<u8>>, u32>,
}

/// An attribute that can't be stored.
pub(super) struct BadXattr {
    name: Vec<u8>,
    reason: &'static str,
}

impl BadXattr {
    pub(super) fn at(self, path: &TreePath) -> Error {
        Error::Xattr { path: path.clone(), name: String::from_utf8_lossy(&self.name).into_owned(), reason: self.reason }
    }
}

impl Xattrs {
    /// The index of a set of attributes; none for the empty set.
    pub(super) fn index(&mut self, set: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Option<u32>, BadXattr> {
        if set.is_empty() {
            return Ok(None);
        }
        if let Some(&index) = self.index.get(set) {
            return Ok(Some(index));
        }
        let mut bytes = Vec::new();
        for (name, value) in set {
            let bad = |reason| BadXattr { name: name.clone(), reason };
            let prefixes: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
            let kind = prefixes.iter().position(|prefix| name.starts_with(prefix) && name.len() > prefix.len());
            let kind = kind.ok_or_else(|| bad("it knows user., trusted. and security. only"))?;
            let rest = &name[prefixes[kind].len()..];
            if name.len() > 255 || name.contains(&0) {
                return Err(bad("the name is too long or holds a NUL byte"));
            }
            if value.len() > 65536 {
                return Err(bad("the value is longer than 64 KiB"));
            }
            bytes.extend_from_slice(&(kind as u16).to_le_bytes());
            bytes.extend_from_slice(&(rest.len() as u16).to_le_bytes());
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value);
        }
        let index = self.sets.len() as u32;
        self.sets.push((set.len() as u32, bytes));
        self.index.insert(set.clone(), index);
        Ok(Some(index))
    }

    /// The whole attribute table as it lies at `at`, and the offset of its index. None: there are no attributes.
    pub(super) fn encode(&self, compressor: &mut Compressor, at: u64) -> Result<Option<(Vec<u8>, u64)>, Error> {
        if self.sets.is_empty() {
            return Ok(None);
        }
        let mut values = MetadataWriter::new(compressor);
        let mut lookup = Vec::with_capacity(self.sets.len() * 16);
        for (count, bytes) in &self.sets {
            let InodeRef { block, offset } = values.position()?;
            lookup.extend_from_slice(&InodeRef { block, offset }.to_u64().to_le_bytes());
            lookup.extend_from_slice(&count.to_le_bytes());
            lookup.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            values.write(bytes)?;
        }
        let (mut table, _) = values.finish()?;
        let mut entries = MetadataWriter::new(compressor);
        entries.write(&lookup)?;
        let (entries, starts) = entries.finish()?;
        let entries_at = at + table.len() as u64;
        table.extend_from_slice(&entries);
        let index_at = at + table.len() as u64;
        table.extend_from_slice(&at.to_le_bytes());
        table.extend_from_slice(&(self.sets.len() as u32).to_le_bytes());
        table.extend_from_slice(&0u32.to_le_bytes());
        for start in starts {
            table.extend_from_slice(&(entries_at + start).to_le_bytes());
        }
        Ok(Some((table, index_at)))
    }
}

/// A plain table (fragments, export, ids) as it lies at `at`, and the offset of its index: the blocks, then where each starts.
pub(super) fn table(compressor: &mut Compressor, at: u64, bytes: &[u8]) -> Result<(Vec<u8>, u64), Error> {
    let mut writer = MetadataWriter::new(compressor);
    writer.write(bytes)?;
    let (mut table, starts) = writer.finish()?;
    debug_assert_eq!(starts.len(), bytes.len().div_ceil(METADATA_SIZE));
    let index_at = at + table.len() as u64;
    for start in starts {
        table.extend_from_slice(&(at + start).to_le_bytes());
    }
    Ok((table, index_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_end_before_the_field_does() {
        let mut ids = Ids::default();
        for id in 0..65535 {
            assert_eq!(ids.index(id * 3), Some(id as u16));
        }
        assert_eq!(ids.index(0), Some(0));
        assert_eq!(ids.index(1), None);
    }

    #[test]
    fn foreign_attributes_are_refused() {
        let check = |name: &[u8], value: usize, expect: &str| {
            let set = BTreeMap::from([(name.to_vec(), vec![0; value])]);
            let error = Xattrs::default().index(&set).err().map(|error| error.at(&TreePath::root()).to_string());
            assert_eq!(error.unwrap_or_default(), expect);
        };
        check(b"security.capability", 20, "");
        check(
            b"system.posix_acl_access",
            4,
            "/ has the extended attribute \"system.posix_acl_access\", which squashfs can't hold (it knows user., trusted. and security. only)",
        );
        check(
            b"user.",
            4,
            "/ has the extended attribute \"user.\", which squashfs can't hold (it knows user., trusted. and security. only)",
        );
        check(
            b"user.a",
            65537,
            "/ has the extended attribute \"user.a\", which squashfs can't hold (the value is longer than 64 KiB)",
        );
    }
}
