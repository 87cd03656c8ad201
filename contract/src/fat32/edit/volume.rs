//! What the boot sector says, and reading: clusters, chains, files.

use super::directory::{Directory, Node};
use super::{EditError, Listed, ReadAt};
use crate::fat32::names;

/// The bits of a table's entry that name a cluster.
pub(super) const CLUSTER_BITS: u32 = 0x0fff_ffff;
/// Entries from here on end a chain.
pub(super) const END_OF_CHAIN: u32 = 0x0fff_fff8;
/// The most directories above a file.
const DEPTH: usize = 32;

/// An existing FAT32 volume. It holds no state of the volume but its geometry: every call reads anew.
pub struct Fat32<'a> {
    read: &'a ReadAt<'a>,
    pub(super) geometry: Geometry,
}

/// Where everything is, in bytes from the volume's start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) sector: u64,
    pub(super) cluster: u64,
    /// The first table.
    pub(super) table: u64,
    pub(super) table_len: u64,
    pub(super) tables: u64,
    /// The only table in use, where they are not kept alike.
    pub(super) active: Option<u64>,
    pub(super) data: u64,
    /// Clusters are numbered from 2; this is the number behind the last.
    pub(super) end: u32,
    pub(super) root: u32,
    pub(super) info: Option<u64>,
}

impl Geometry {
    fn parse(sector: &[u8; 512], size: u64) -> Result<Self, EditError> {
        let u8_at = |at: usize| u64::from(sector.get(at).copied().unwrap_or(0));
        let u16_at = |at: usize| u8_at(at) | u8_at(at + 1) << 8;
        let u32_at = |at: usize| u16_at(at) | u16_at(at + 2) << 16;
        let foreign = |what| Err(EditError::NotFat32(what));
        if u16_at(510) != 0xaa55 {
            return foreign("its first sector has no signature");
        }
        let (bytes, per_cluster) = (u16_at(11), u8_at(13));
        if !matches!(bytes, 512 | 1024 | 2048 | 4096) || !per_cluster.is_power_of_two() {
            return foreign("its sector or cluster size is not valid");
        }
        let (reserved, tables, table_sectors) = (u16_at(14), u8_at(16), u32_at(36));
        // mkfs.fat counts the sectors of a small volume in FAT16's field.
        let total = if u16_at(19) == 0 { u32_at(32) } else { u16_at(19) };
        if u16_at(17) != 0 || u16_at(22) != 0 || table_sectors == 0 || reserved == 0 {
            return foreign("its first sector describes another kind of FAT");
        }
        let damaged = |what| Err(EditError::Damaged(what));
        if !matches!(tables, 1 | 2) || total.saturating_mul(bytes) > size {
            return damaged("it is larger than its partition, or has no tables");
        }
        let data = reserved + tables * table_sectors;
        let clusters = total.saturating_sub(data) / per_cluster;
        let described = (table_sectors * bytes / 4).saturating_sub(2);
        // The numbers from 0x0ffffff5 on mean something else.
        let end = u32::try_from(clusters + 2).ok().filter(|end| *end <= 0x0fff_fff5 && clusters > 0 && clusters <= described);
        let Some(end) = end else { return damaged("its tables do not describe its clusters") };
        let root = u32_at(44) as u32 & CLUSTER_BITS;
        if !(2..end).contains(&root) {
            return damaged("its root directory is nowhere");
        }
        let flags = u16_at(40);
        let active = (flags & 0x80 != 0).then_some(flags & 0xf);
        if active.is_some_and(|active| active >= tables) {
            return damaged("the table that is in use is not there");
        }
        Ok(Self {
            sector: bytes,
            cluster: per_cluster * bytes,
            table: reserved * bytes,
            table_len: table_sectors * bytes,
            tables,
            active,
            data: data * bytes,
            end,
            root,
            info: Some(u16_at(48)).filter(|info| (1..reserved).contains(info)).map(|info| info * bytes),
        })
    }

    /// Where a cluster begins.
    pub(super) fn offset(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster.saturating_sub(2)) * self.cluster
    }

    /// Where the table that is read has a cluster's entry.
    pub(super) fn entry(&self, cluster: u32) -> u64 {
        self.table + self.active.unwrap_or(0) * self.table_len + u64::from(cluster) * 4
    }

    pub(super) fn clusters_for(&self, len: u64) -> u64 {
        len.div_ceil(self.cluster)
    }
}

impl<'a> Fat32<'a> {
    /// Opens the volume of `size` bytes that `read` reads.
    pub fn open(read: &'a ReadAt<'a>, size: u64) -> Result<Self, EditError> {
        let mut sector = [0; 512];
        read(0, &mut sector).map_err(|source| EditError::Read { offset: 0, source })?;
        Ok(Self { read, geometry: Geometry::parse(&sector, size)? })
    }

    /// What is in a directory (`loader/entries`, or an empty path for the root), in the order in which it is stored. `None`: there
    /// is no such directory.
    pub fn list(&self, path: &str) -> Result<Option<Vec<Listed>>, EditError> {
        let mut cluster = self.geometry.root;
        for name in components(path)? {
            match self.directory(cluster)?.find(name) {
                None => return Ok(None),
                Some(node) if !node.directory => return Err(EditError::NotDirectory(path.to_owned())),
                Some(node) => cluster = node.first,
            }
        }
        let nodes = self.directory(cluster)?.nodes;
        Ok(Some(nodes.into_iter().map(|Node { name, directory, len, .. }| Listed { name, directory, len: len.into() }).collect()))
    }

    /// A file's content, if it has at most `most` bytes. `None`: there is no such file.
    pub fn read(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, EditError> {
        let Some((_, node)) = self.find(path)? else { return Ok(None) };
        if node.directory {
            return Err(EditError::Directory(path.to_owned()));
        }
        let len = u64::from(node.len);
        if len > most {
            return Err(EditError::TooLarge { path: path.to_owned(), len, most });
        }
        self.content(&node).map(Some)
    }

    pub(super) fn content(&self, node: &Node) -> Result<Vec<u8>, EditError> {
        let mut content = Vec::new();
        let mut left = u64::from(node.len);
        for (offset, len) in self.runs(&self.chain_of(node)?) {
            let part = len.min(left);
            content.extend(self.bytes(offset, part)?);
            left -= part;
        }
        Ok(content)
    }

    /// A file or directory and the directory that it is in.
    pub(super) fn find(&self, path: &str) -> Result<Option<(Directory, Node)>, EditError> {
        let names = components(path)?;
        let Some((last, above)) = names.split_last() else { return Ok(None) };
        let mut directory = self.directory(self.geometry.root)?;
        for name in above {
            match directory.find(name) {
                Some(node) if node.directory => directory = self.directory(node.first)?,
                _ => return Ok(None),
            }
        }
        let node = directory.find(last).cloned();
        Ok(node.map(|node| (directory, node)))
    }

    pub(super) fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>, EditError> {
        // A file has less than 4 GiB, and callers bound what they ask for.
        let mut bytes = vec![0; len as usize];
        (self.read)(offset, &mut bytes).map_err(|source| EditError::Read { offset, source })?;
        Ok(bytes)
    }

    /// The cluster after this one.
    fn next(&self, cluster: u32) -> Result<u32, EditError> {
        let offset = self.geometry.entry(cluster);
        let mut entry = [0; 4];
        (self.read)(offset, &mut entry).map_err(|source| EditError::Read { offset, source })?;
        Ok(u32::from_le_bytes(entry) & CLUSTER_BITS)
    }

    /// The clusters of a chain that has at most `most` of them.
    pub(super) fn chain(&self, first: u32, most: u64) -> Result<Vec<u32>, EditError> {
        let mut chain = Vec::new();
        let mut at = first;
        while at < END_OF_CHAIN {
            if !(2..self.geometry.end).contains(&at) {
                return Err(EditError::Damaged("a chain of clusters leaves it"));
            }
            if chain.len() as u64 >= most {
                return Err(EditError::Damaged("a chain of clusters is too long for what it holds"));
            }
            chain.push(at);
            at = self.next(at)?;
        }
        Ok(chain)
    }

    /// The clusters of a file: as many as its length asks for.
    pub(super) fn chain_of(&self, node: &Node) -> Result<Vec<u32>, EditError> {
        let count = self.geometry.clusters_for(node.len.into());
        if count == 0 {
            return Ok(Vec::new());
        }
        let chain = self.chain(node.first, count)?;
        if chain.len() as u64 != count {
            return Err(EditError::Damaged("a chain of clusters is too short for what it holds"));
        }
        Ok(chain)
    }

    /// Offsets and lengths of the pieces that clusters make up.
    pub(super) fn runs(&self, chain: &[u32]) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for cluster in chain {
            let offset = self.geometry.offset(*cluster);
            match runs.last_mut() {
                Some((start, len)) if *start + *len == offset => *len += self.geometry.cluster,
                _ => runs.push((offset, self.geometry.cluster)),
            }
        }
        runs
    }
}

/// The names of a path; it may begin with `/`. An empty path is the root.
pub(super) fn components(path: &str) -> Result<Vec<&str>, EditError> {
    let relative = path.strip_prefix('/').unwrap_or(path);
    let names: Vec<&str> = if relative.is_empty() { Vec::new() } else { relative.split('/').collect() };
    let name = |fault| EditError::Name { path: path.to_owned(), fault };
    match names.iter().find_map(|component| names::fault(component)) {
        Some(fault) => Err(name(fault)),
        None if names.len() > DEPTH => Err(name("it is too deep")),
        None => Ok(names),
    }
}
