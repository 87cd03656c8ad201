//! Reads what a squashfs holds: superblock, level, and every path with its type, mode, owner and size. For `kmimage show` and `diff`.
//!
//! Pure over bytes or a file; bounded in memory and time whatever the bytes say, and without panics. Deliberately not here: file
//! contents, attributes, other compressions than zstd (`unsquashfs` and the kernel read those).

mod metadata;

use super::format::{DIRECTORY_RUN, InodeRef, METADATA_SIZE, SUPERBLOCK_SIZE, Superblock, SuperblockError, ZSTD, flag, inode};
use metadata::{MetadataBlock, Source};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::rc::Rc;

/// As many paths are listed at most.
const MOST_PATHS: usize = 4_000_000;
/// The longest path that Linux knows.
const LONGEST_PATH: usize = 4095;

/// Why a squashfs can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The superblock is not one of squashfs 4.0.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    /// Another compression than zstd.
    #[error("squashfs compression {0} is not supported (only zstd, 6)")]
    Compression(u16),
    /// The bytes can't be read.
    #[error("failed to read the squashfs at byte {at}")]
    Read {
        /// Offset in the squashfs.
        at: u64,
        /// Why.
        source: io::Error,
    },
    /// A table or inode that contradicts the format.
    #[error("the squashfs is damaged: {what} at byte {at}")]
    Damaged {
        /// Offset in the squashfs of the metadata block.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// More than a listing may hold.
    #[error("the squashfs has too many {0} to list")]
    TooMany(&'static str),
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Absolute path; the root is `/`.
    pub path: Vec<u8>,
    /// Type.
    pub kind: NodeKind,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file, else 0.
    pub size: u64,
    /// Hard links to the inode.
    pub links: u32,
    /// Inode number: equal for hard links.
    pub inode: u32,
}

/// An open squashfs.
pub struct Image<'a> {
    source: Source<'a>,
    superblock: Superblock,
    level: Option<i32>,
    ids: Vec<u32>,
    blocks: HashMap<u64, Rc<MetadataBlock>>,
}

impl<'a> Image<'a> {
    /// Opens a squashfs in memory.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ReadError> {
        Self::open(Source::Bytes(bytes))
    }

    /// Opens the squashfs at `offset` of a file or disk.
    pub fn from_file(file: &'a File, offset: u64) -> Result<Self, ReadError> {
        Self::open(Source::File { file, offset })
    }

    fn open(source: Source<'a>) -> Result<Self, ReadError> {
        let mut head = [0; SUPERBLOCK_SIZE];
        source.read(&mut head, 0)?;
        let superblock = Superblock::parse(&head)?;
        if superblock.compression != ZSTD {
            return Err(ReadError::Compression(superblock.compression));
        }
        let mut image = Self { source, superblock, level: None, ids: Vec::new(), blocks: HashMap::new() };
        if image.superblock.flags & flag::COMPRESSOR_OPTIONS != 0 {
            let [a, b, c, d] = image.cursor(SUPERBLOCK_SIZE as u64, 0).array()?;
            image.level = Some(i32::from_le_bytes([a, b, c, d]));
        }
        let mut at = [0; 8];
        for index in 0..u64::from(image.superblock.ids).div_ceil((METADATA_SIZE / 4) as u64) {
            image.source.read(&mut at, image.superblock.id_table.saturating_add(index * 8))?;
            let count = usize::from(image.superblock.ids).min(image.ids.len() + METADATA_SIZE / 4) - image.ids.len();
            let mut cursor = image.cursor(u64::from_le_bytes(at), 0);
            let ids = (0..count).map(|_| cursor.u32()).collect::<Result<Vec<u32>, _>>()?;
            image.ids.extend(ids);
        }
        Ok(image)
    }

    /// The superblock.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The zstd level that the image says it was made with.
    pub fn level(&self) -> Option<i32> {
        self.level
    }

    /// Every path, a directory before what it holds, names in order.
    pub fn list(&mut self) -> Result<Vec<Node>, ReadError> {
        let mut nodes = Vec::new();
        let mut seen = BTreeSet::new();
        let mut pending = vec![(b"/".to_vec(), self.superblock.root)];
        while let Some((path, place)) = pending.pop() {
            let (node, listing) = self.node(path, place)?;
            if let Some(listing) = listing {
                if !seen.insert(place.to_u64()) {
                    return Err(self.damaged(place, "a directory that is in two places"));
                }
                let mut children = self.children(&node.path, listing)?;
                children.reverse();
                pending.append(&mut children);
            }
            nodes.push(node);
            if nodes.len() + pending.len() > MOST_PATHS {
                return Err(ReadError::TooMany("paths"));
            }
        }
        Ok(nodes)
    }

    fn damaged(&self, place: InodeRef, what: &'static str) -> ReadError {
        ReadError::Damaged { at: self.superblock.inode_table.saturating_add(place.block.into()), what }
    }

    fn id(&self, index: u16, place: InodeRef) -> Result<u32, ReadError> {
        self.ids.get(usize::from(index)).copied().ok_or_else(|| self.damaged(place, "an owner that is not in the id table"))
    }

    /// Reads an inode, and where its listing is if it is a directory.
    fn node(&mut self, path: Vec<u8>, place: InodeRef) -> Result<(Node, Option<Listing>), ReadError> {
        let mut cursor = self.cursor(self.superblock.inode_table.saturating_add(place.block.into()), place.offset.into());
        let (kind, mode, uid, gid) = (cursor.u16()?, cursor.u16()?, cursor.u16()?, cursor.u16()?);
        cursor.u32()?;
        let number = cursor.u32()?;
        let (mut size, mut links, mut listing) = (0, 1, None);
        let extended = kind > inode::EXTENDED;
        let kind = match if extended { kind - inode::EXTENDED } else { kind } {
            inode::DIRECTORY => {
                let (block, len, offset);
                if extended {
                    links = cursor.u32()?;
                    len = cursor.u32()?;
                    block = cursor.u32()?;
                    cursor.u32()?;
                    cursor.u16()?;
                    offset = cursor.u16()?;
                } else {
                    block = cursor.u32()?;
                    links = cursor.u32()?;
                    len = u32::from(cursor.u16()?);
                    offset = cursor.u16()?;
                }
                listing = Some(Listing { block, offset, len: len.saturating_sub(3) });
                NodeKind::Directory
            }
            inode::FILE if extended => {
                cursor.u64()?;
                size = cursor.u64()?;
                cursor.u64()?;
                links = cursor.u32()?;
                NodeKind::File
            }
            inode::FILE => {
                cursor.u32()?;
                cursor.u64()?;
                size = cursor.u32()?.into();
                NodeKind::File
            }
            inode::SYMLINK => {
                links = cursor.u32()?;
                let len = cursor.u32()? as usize;
                if len > 65_536 {
                    return Err(self.damaged(place, "a symbolic link that is too long"));
                }
                NodeKind::Symlink(cursor.bytes(len)?)
            }
            basic @ (inode::CHAR_DEVICE | inode::BLOCK_DEVICE) => {
                links = cursor.u32()?;
                let device = cursor.u32()?;
                let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
                match basic {
                    inode::CHAR_DEVICE => NodeKind::CharDevice { major, minor },
                    _ => NodeKind::BlockDevice { major, minor },
                }
            }
            basic @ (inode::FIFO | inode::SOCKET) => {
                links = cursor.u32()?;
                if basic == inode::FIFO { NodeKind::Fifo } else { NodeKind::Socket }
            }
            _ => return Err(self.damaged(place, "an inode of unknown type")),
        };
        let (uid, gid) = (self.id(uid, place)?, self.id(gid, place)?);
        Ok((Node { path, kind, mode: mode & 0o7777, uid, gid, size, links, inode: number }, listing))
    }

    fn children(&mut self, directory: &[u8], listing: Listing) -> Result<Vec<(Vec<u8>, InodeRef)>, ReadError> {
        let at = self.superblock.directory_table.saturating_add(listing.block.into());
        let damaged = |what| ReadError::Damaged { at, what };
        let mut children: Vec<(Vec<u8>, InodeRef)> = Vec::new();
        let mut cursor = self.cursor(at, listing.offset.into());
        let mut rest = listing.len;
        let mut spend = |bytes: u32| match rest.checked_sub(bytes) {
            Some(left) => {
                rest = left;
                Ok(left)
            }
            None => Err(damaged("a directory listing that is cut short")),
        };
        if listing.len == 0 {
            return Ok(children);
        }
        loop {
            let mut left = spend(12)?;
            let (count, block, _) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
            if count as usize >= DIRECTORY_RUN {
                return Err(damaged("a directory header with too many entries"));
            }
            for _ in 0..=count {
                spend(8)?;
                let (offset, _, _, len) = (cursor.u16()?, cursor.u16()?, cursor.u16()?, cursor.u16()?);
                let len = usize::from(len) + 1;
                left = spend(len as u32)?;
                let name = cursor.bytes(len)?;
                if name.contains(&b'/') || name.contains(&0) || name == b"." || name == b".." || len > 255 {
                    return Err(damaged("a name that no file can have"));
                }
                let mut path = if directory == b"/" { Vec::new() } else { directory.to_vec() };
                path.push(b'/');
                path.extend_from_slice(&name);
                if path.len() > LONGEST_PATH {
                    return Err(damaged("a path that is too long"));
                }
                if children.last().is_some_and(|(before, _)| *before >= path) {
                    return Err(damaged("a directory whose names are out of order"));
                }
                children.push((path, InodeRef { block, offset }));
            }
            if left == 0 {
                return Ok(children);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Listing {
    block: u32,
    offset: u16,
    len: u32,
}
