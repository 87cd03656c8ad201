//! Inodes and directory listings as bytes.

use super::error::Error;
use super::format::{DIRECTORY_RUN, InodeRef, METADATA_SIZE, NO_FRAGMENT, NO_XATTR, inode};
use super::metadata::{Compressor, MetadataWriter};
use super::plan::{Body, Plan, PlannedInode};
use super::stream::StoredBlock;
use crate::compose::tree::Kind;

/// The inode table and the directory table, complete.
pub(super) struct Inodes {
    pub(super) inode_table: Vec<u8>,
    pub(super) directory_table: Vec<u8>,
    /// Where each inode is, by number less one; the root is the last.
    pub(super) places: Vec<InodeRef>,
}

/// Encodes all inodes and listings. `blocks` is where the data blocks went, in the plan's order.
pub(super) fn encode(plan: &Plan, blocks: &[StoredBlock], time: u32, level: i32) -> Result<Inodes, Error> {
    let (mut inode_compressor, mut directory_compressor) = (Compressor::new(level)?, Compressor::new(level)?);
    let mut inodes = MetadataWriter::new(&mut inode_compressor);
    let mut listings = MetadataWriter::new(&mut directory_compressor);
    let mut places: Vec<InodeRef> = Vec::with_capacity(plan.inodes.len());
    for (planned, number) in plan.inodes.iter().zip(1u32..) {
        let place = inodes.position()?;
        let head = Head { planned, time, number };
        let bytes = match (&planned.body, &planned.entry.kind) {
            (Body::Directory { parent, children }, _) => {
                let listing = Listing::write(children, plan, &places, &mut listings)?;
                head.directory(*parent, &listing)?
            }
            (Body::File(content), _) => head.file(plan, *content, blocks)?,
            (Body::Other, kind) => head.other(kind),
        };
        inodes.write(&bytes)?;
        places.push(place);
    }
    Ok(Inodes { inode_table: inodes.finish()?.0, directory_table: listings.finish()?.0, places })
}

/// Appends little-endian fields.
trait Put {
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
}

impl Put for Vec<u8> {
    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
}

/// What all inodes begin with.
struct Head<'a> {
    planned: &'a PlannedInode<'a>,
    time: u32,
    number: u32,
}

impl Head<'_> {
    fn begin(&self, kind: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.u16(kind);
        bytes.u16(self.planned.entry.mode & 0o7777);
        bytes.u16(self.planned.uid);
        bytes.u16(self.planned.gid);
        bytes.u32(self.time);
        bytes.u32(self.number);
        bytes
    }

    fn directory(&self, parent: u32, listing: &Listing) -> Result<Vec<u8>, Error> {
        // Three more than there are bytes: the kernel counts `.` and `..`, which are not stored.
        let size = listing.len.checked_add(3).ok_or(Error::TooMany { what: "entries in one directory" })?;
        let too_many = || Error::TooMany { what: "entries in one directory" };
        if let (Ok(short), true, None) = (u16::try_from(size), listing.index.is_empty(), self.planned.xattr) {
            let mut bytes = self.begin(inode::DIRECTORY);
            bytes.u32(listing.place.block);
            bytes.u32(self.planned.links);
            bytes.u16(short);
            bytes.u16(listing.place.offset);
            bytes.u32(parent);
            return Ok(bytes);
        }
        let mut bytes = self.begin(inode::DIRECTORY + inode::EXTENDED);
        bytes.u32(self.planned.links);
        bytes.u32(size);
        bytes.u32(listing.place.block);
        bytes.u32(parent);
        bytes.u16(u16::try_from(listing.index.len()).map_err(|_| too_many())?);
        bytes.u16(listing.place.offset);
        bytes.u32(self.planned.xattr.unwrap_or(NO_XATTR));
        for mark in &listing.index {
            bytes.u32(mark.offset);
            bytes.u32(mark.block);
            bytes.u32(mark.name.len() as u32 - 1);
            bytes.extend_from_slice(mark.name);
        }
        Ok(bytes)
    }

    fn file(&self, plan: &Plan, content: Option<usize>, blocks: &[StoredBlock]) -> Result<Vec<u8>, Error> {
        let content = content.and_then(|content| plan.contents.get(content));
        let size = content.map_or(0, |content| content.len);
        let own = content.map_or(&[][..], |content| &blocks[content.blocks.clone()]);
        let start = own.iter().find(|block| block.word != 0).map_or(0, |block| block.at);
        let holes = content.map_or(0, |content| {
            let holes = content.blocks.clone().zip(own).filter(|(_, block)| block.word == 0);
            holes.map(|(index, _)| plan.blocks[index].len as u64).sum()
        });
        let (fragment, offset) = content.and_then(|content| content.fragment).unwrap_or((NO_FRAGMENT, 0));
        let plain = self.planned.links == 1 && self.planned.xattr.is_none() && holes == 0;
        let mut bytes = match (u32::try_from(start), u32::try_from(size)) {
            (Ok(start), Ok(size)) if plain => {
                let mut bytes = self.begin(inode::FILE);
                bytes.u32(start);
                bytes.u32(fragment);
                bytes.u32(offset);
                bytes.u32(size);
                bytes
            }
            _ => {
                let mut bytes = self.begin(inode::FILE + inode::EXTENDED);
                bytes.u64(start);
                bytes.u64(size);
                bytes.u64(holes);
                bytes.u32(self.planned.links);
                bytes.u32(fragment);
                bytes.u32(offset);
                bytes.u32(self.planned.xattr.unwrap_or(NO_XATTR));
                bytes
            }
        };
        own.iter().for_each(|block| bytes.u32(block.word));
        Ok(bytes)
    }

    fn other(&self, kind: &Kind) -> Vec<u8> {
        let extended = if self.planned.xattr.is_some() { inode::EXTENDED } else { 0 };
        let mut bytes = self.begin(basic_type(kind) + extended);
        bytes.u32(self.planned.links);
        match kind {
            Kind::Symlink(target) => {
                bytes.u32(target.len() as u32);
                bytes.extend_from_slice(target);
            }
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                // The kernel's 32-bit form (new_encode_dev): minor's low byte, major, the rest of minor.
                bytes.u32(minor & 0xff | major << 8 | (minor & !0xff) << 12);
            }
            _ => {}
        }
        if let Some(xattr) = self.planned.xattr {
            bytes.u32(xattr);
        }
        bytes
    }
}

fn basic_type(kind: &Kind) -> u16 {
    match kind {
        Kind::Directory => inode::DIRECTORY,
        Kind::File(_) => inode::FILE,
        Kind::Symlink(_) => inode::SYMLINK,
        Kind::BlockDevice { .. } => inode::BLOCK_DEVICE,
        Kind::CharDevice { .. } => inode::CHAR_DEVICE,
        Kind::Fifo => inode::FIFO,
    }
}

/// Where a directory's listing went.
struct Listing<'a> {
    place: InodeRef,
    len: u32,
    /// Headers to begin a search at, one in every 8 KiB of a long listing.
    index: Vec<Mark<'a>>,
}

struct Mark<'a> {
    /// Offset in the listing.
    offset: u32,
    /// Start of the metadata block that holds the header.
    block: u32,
    /// The first name behind the header.
    name: &'a [u8],
}

impl<'a> Listing<'a> {
    fn write(children: &[(&'a [u8], u32)], plan: &Plan, places: &[InodeRef], out: &mut MetadataWriter) -> Result<Self, Error> {
        let mut listing = Listing { place: out.position()?, len: 0, index: Vec::new() };
        let mut rest = children;
        let mut since_mark = 0;
        while let Some(((first_name, first), _)) = rest.split_first() {
            let first_place = places[*first as usize - 1];
            let mut run = Vec::new();
            let mut count = 0u32;
            for (name, number) in rest.iter().take(DIRECTORY_RUN) {
                let place = places[*number as usize - 1];
                let delta = i16::try_from(i64::from(*number) - i64::from(*first));
                let Ok(delta) = delta else { break };
                // A run ends before it outgrows 8 KiB, so that there is a header to begin a search at in each.
                if place.block != first_place.block || (count > 0 && since_mark + run.len() + name.len() + 20 > METADATA_SIZE) {
                    break;
                }
                run.u16(place.offset);
                run.extend_from_slice(&delta.to_le_bytes());
                run.u16(basic_type(&plan.inodes[*number as usize - 1].entry.kind));
                run.u16(name.len() as u16 - 1);
                run.extend_from_slice(name);
                count += 1;
            }
            if since_mark + run.len() + 12 > METADATA_SIZE {
                listing.index.push(Mark { offset: listing.len, block: out.position()?.block, name: first_name });
                since_mark = 0;
            }
            let mut header = Vec::with_capacity(12);
            header.u32(count - 1);
            header.u32(first_place.block);
            header.u32(*first);
            out.write(&header)?;
            out.write(&run)?;
            let len = header.len() + run.len();
            since_mark += len;
            listing.len = listing.len.checked_add(len as u32).ok_or(Error::TooMany { what: "entries in one directory" })?;
            rest = &rest[count as usize..];
        }
        Ok(listing)
    }
}
