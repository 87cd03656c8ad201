//! Tree -> what goes where: inodes in the order they are written, file contents cut into blocks. Pure; reads no file.
//!
//! Every block is known by the digests of the contents in it before a byte is read: that is what the block cache is asked for.

use super::error::Error;
use super::fragments::Fragments;
use super::tables::{Ids, Xattrs};
use crate::compose::content::Content;
use crate::compose::tree::{Entry, Kind, Tree, TreePath};
use crate::hash::Sha256Digest;
use std::collections::{BTreeMap, HashMap};

/// A file from this many bytes on has a block of its own, however large blocks are. Whoever reads a file out of a fragment block unpacks
/// all of that; for the kernel's modules, each read once and rarely with its neighbours, it would be most of the work.
const OWN_BLOCK: u64 = 32 << 10;

/// Everything the writer needs, in the order it needs it.
pub(super) struct Plan<'a> {
    /// Inodes as they are written: a directory after all that it holds, the root last.
    pub(super) inodes: Vec<PlannedInode<'a>>,
    /// File contents, each once.
    pub(super) contents: Vec<PlannedContent>,
    /// Data and fragment blocks as they are written.
    pub(super) blocks: Vec<Block<'a>>,
    /// How many of the blocks are fragments.
    pub(super) fragments: u32,
    pub(super) ids: Ids,
    pub(super) xattrs: Xattrs,
    /// Bytes of file content before compression, duplicates counted once.
    pub(super) bytes: u64,
}

/// One inode. Its number is its place in [`Plan::inodes`] plus one.
pub(super) struct PlannedInode<'a> {
    pub(super) entry: &'a Entry,
    pub(super) links: u32,
    /// Index into the id table, for user and group.
    pub(super) uid: u16,
    pub(super) gid: u16,
    /// Index into the attribute table.
    pub(super) xattr: Option<u32>,
    pub(super) body: Body<'a>,
}

/// What differs by kind.
pub(super) enum Body<'a> {
    /// A directory: its parent's inode number, its children by name, in the order of the names' bytes.
    Directory { parent: u32, children: Vec<(&'a [u8], u32)> },
    /// A file: an index into [`Plan::contents`]; none for an empty one.
    File(Option<usize>),
    /// Anything else: `entry` says all.
    Other,
}

/// Where a content's bytes are.
pub(super) struct PlannedContent {
    pub(super) len: u64,
    /// The blocks of its own, as indices into [`Plan::blocks`].
    pub(super) blocks: std::ops::Range<usize>,
    /// Number of the fragment block it is in, and its offset there.
    pub(super) fragment: Option<(u32, u32)>,
}

/// One block before compression.
pub(super) struct Block<'a> {
    /// What it holds, one after the other. A data block has one piece.
    pub(super) pieces: Vec<Piece<'a>>,
    /// Bytes in all.
    pub(super) len: usize,
    /// A fragment block is never stored as a hole.
    pub(super) is_fragment: bool,
}

/// A range of a content.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) content: &'a Content,
    pub(super) at: u64,
    pub(super) len: usize,
    /// One path that has this content, for messages.
    pub(super) path: &'a TreePath,
}

/// A directory on the way down: what is left to do in it.
struct Open<'a> {
    path: &'a TreePath,
    entry: &'a Entry,
    subdirectories: std::vec::IntoIter<&'a TreePath>,
    files: Vec<(&'a TreePath, &'a Entry)>,
    /// Inode numbers of the subdirectories that are done.
    done: BTreeMap<&'a [u8], u32>,
}

impl<'a> Plan<'a> {
    /// Plans the image of `tree`. Subdirectories come before a directory's other children, so that those lie together.
    pub(super) fn new(tree: &'a Tree, block_size: u32) -> Result<Self, Error> {
        let mut children = children_of(tree)?;
        let mut planner = Planner::new(block_size);
        let root = tree.iter().next().filter(|(path, entry)| path.is_root() && matches!(entry.kind, Kind::Directory));
        let (path, entry) = root.ok_or(Error::NoRoot)?;
        let mut stack = vec![open(path, entry, &mut children, tree)];
        while let Some(top) = stack.last_mut() {
            if let Some(next) = top.subdirectories.next() {
                let entry = tree.get(next).ok_or(Error::NoRoot)?;
                stack.push(open(next, entry, &mut children, tree));
                continue;
            }
            let Some(done) = stack.pop() else { break };
            let (path, number) = (done.path, planner.close(done)?);
            if let Some(parent) = stack.last_mut() {
                parent.done.insert(path.name(), number);
            }
        }
        planner.finish()
    }
}

fn open<'a>(path: &'a TreePath, entry: &'a Entry, children: &mut Children<'a>, tree: &'a Tree) -> Open<'a> {
    let paths = children.remove(path).unwrap_or_default();
    let mut subdirectories = Vec::new();
    let mut files = Vec::new();
    for child in paths {
        match tree.get(child) {
            Some(entry) if !matches!(entry.kind, Kind::Directory) => files.push((child, entry)),
            _ => subdirectories.push(child),
        }
    }
    Open { path, entry, subdirectories: subdirectories.into_iter(), files, done: BTreeMap::new() }
}

type Children<'a> = HashMap<TreePath, Vec<&'a TreePath>>;

fn children_of(tree: &Tree) -> Result<Children<'_>, Error> {
    let mut children = Children::new();
    for (path, _) in tree.iter() {
        let Some(parent) = path.parent() else { continue };
        match tree.get(&parent) {
            Some(Entry { kind: Kind::Directory, .. }) => children.entry(parent).or_default().push(path),
            _ => return Err(Error::NotInADirectory { path: path.clone() }),
        }
    }
    Ok(children)
}

struct Planner<'a> {
    plan: Plan<'a>,
    block_size: usize,
    fragments: Fragments<'a>,
    by_digest: HashMap<(Sha256Digest, u64), usize>,
    by_link: HashMap<u32, (u32, &'a Entry)>,
    /// Inode numbers of directories, for those inside them to name.
    parents: Vec<(usize, Vec<u32>)>,
}

impl<'a> Planner<'a> {
    fn new(block_size: u32) -> Self {
        let plan = Plan {
            inodes: Vec::new(),
            contents: Vec::new(),
            blocks: Vec::new(),
            fragments: 0,
            ids: Ids::default(),
            xattrs: Xattrs::default(),
            bytes: 0,
        };
        Self {
            plan,
            block_size: block_size as usize,
            fragments: Fragments::new(block_size as usize),
            by_digest: HashMap::new(),
            by_link: HashMap::new(),
            parents: Vec::new(),
        }
    }

    /// Plans a directory whose subdirectories are planned: its other children, then itself.
    fn close(&mut self, directory: Open<'a>) -> Result<u32, Error> {
        let subdirectories: Vec<u32> = directory.done.values().copied().collect();
        let mut listing = directory.done;
        for (path, entry) in directory.files {
            let number = match entry.link {
                None => self.leaf(path, entry)?,
                Some(link) => match self.by_link.get(&link) {
                    Some(&(number, first)) => {
                        if !same_inode(first, entry) {
                            return Err(Error::UnequalLinks { path: path.clone() });
                        }
                        self.plan.inodes[number as usize - 1].links += 1;
                        number
                    }
                    None => {
                        let number = self.leaf(path, entry)?;
                        self.by_link.insert(link, (number, entry));
                        number
                    }
                },
            };
            listing.insert(path.name(), number);
        }
        let links = u32::try_from(subdirectories.len() + 2).map_err(|_| Error::TooMany { what: "directories" })?;
        let children = listing.into_iter().collect();
        let number = self.inode(directory.path, directory.entry, links, Body::Directory { parent: 0, children })?;
        self.parents.push((number as usize - 1, subdirectories));
        Ok(number)
    }

    fn leaf(&mut self, path: &'a TreePath, entry: &'a Entry) -> Result<u32, Error> {
        let body = match &entry.kind {
            Kind::File(content) => Body::File(self.content(path, content)?),
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } if *major >= 1 << 12 || *minor >= 1 << 20 => {
                return Err(Error::Device { path: path.clone(), major: *major, minor: *minor });
            }
            _ => Body::Other,
        };
        self.inode(path, entry, 1, body)
    }

    fn inode(&mut self, path: &TreePath, entry: &'a Entry, links: u32, body: Body<'a>) -> Result<u32, Error> {
        let uid = self.plan.ids.index(entry.uid).ok_or(Error::TooManyIds)?;
        let gid = self.plan.ids.index(entry.gid).ok_or(Error::TooManyIds)?;
        let xattr = self.plan.xattrs.index(&entry.xattrs).map_err(|error| error.at(path))?;
        self.plan.inodes.push(PlannedInode { entry, links, uid, gid, xattr, body });
        u32::try_from(self.plan.inodes.len())
            .ok()
            .filter(|&number| number < u32::MAX)
            .ok_or(Error::TooMany { what: "files and directories" })
    }

    /// Plans a content, unless the same one is planned already.
    fn content(&mut self, path: &'a TreePath, content: &'a Content) -> Result<Option<usize>, Error> {
        if content.is_empty() {
            return Ok(None);
        }
        let index = self.plan.contents.len();
        match self.by_digest.entry((content.sha256(), content.len())) {
            std::collections::hash_map::Entry::Occupied(known) => return Ok(Some(*known.get())),
            std::collections::hash_map::Entry::Vacant(slot) => slot.insert(index),
        };
        self.plan.bytes += content.len();
        let first = self.plan.blocks.len();
        if content.len() < OWN_BLOCK.min(self.block_size as u64) {
            let piece = Piece { content, at: 0, len: content.len() as usize, path };
            self.plan.contents.push(PlannedContent { len: content.len(), blocks: first..first, fragment: None });
            self.fragments.add(index, piece, &mut self.plan);
            return Ok(Some(index));
        }
        let mut at = 0;
        while at < content.len() {
            let len = (content.len() - at).min(self.block_size as u64) as usize;
            self.plan.blocks.push(Block { pieces: vec![Piece { content, at, len, path }], len, is_fragment: false });
            at += len as u64;
        }
        let blocks = first..self.plan.blocks.len();
        self.plan.contents.push(PlannedContent { len: content.len(), blocks, fragment: None });
        Ok(Some(index))
    }

    fn finish(mut self) -> Result<Plan<'a>, Error> {
        self.fragments.finish(&mut self.plan);
        for (parent, subdirectories) in self.parents {
            for child in subdirectories {
                if let Body::Directory { parent: field, .. } = &mut self.plan.inodes[child as usize - 1].body {
                    *field = parent as u32 + 1;
                }
            }
        }
        // The root's parent is one more than there are inodes, as other writers have it.
        let above = self.plan.inodes.len() as u32 + 1;
        if let Some(PlannedInode { body: Body::Directory { parent, .. }, .. }) = self.plan.inodes.last_mut() {
            *parent = above;
        }
        Ok(self.plan)
    }
}

fn same_inode(a: &Entry, b: &Entry) -> bool {
    let same_kind = match (&a.kind, &b.kind) {
        (Kind::File(a), Kind::File(b)) => a.sha256() == b.sha256() && a.len() == b.len(),
        (Kind::Symlink(a), Kind::Symlink(b)) => a == b,
        (Kind::CharDevice { major, minor }, Kind::CharDevice { major: other_major, minor: other_minor })
        | (Kind::BlockDevice { major, minor }, Kind::BlockDevice { major: other_major, minor: other_minor }) => {
            (major, minor) == (other_major, other_minor)
        }
        (Kind::Fifo, Kind::Fifo) => true,
        _ => false,
    };
    same_kind && (a.mode, a.uid, a.gid) == (b.mode, b.uid, b.gid) && a.xattrs == b.xattrs
}
