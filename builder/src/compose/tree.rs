//! The image's root as a value: every path with its type, mode, owner, attributes, content and origin.
//!
//! A `Tree` never touches the host's file system: owners and device nodes need no root. Stages transform it; the squashfs writer
//! reads it. Paths are bytes, absolute, normal (no `.`, `..`, doubled or trailing slash); the root directory is `/`.

mod follow;
mod path;

pub use follow::Lead;
pub use path::{BadPath, TreePath};

use super::content::Content;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Who brought an entry into the tree; `kmimage why` and every policy error print it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A package, by name and version.
    Package {
        /// Binary package name.
        name: Arc<str>,
        /// Debian version.
        version: Arc<str>,
    },
    /// An overlay, by name.
    Overlay(Arc<str>),
    /// A derive step, by name.
    Derive(&'static str),
    /// A container image that the image brings along.
    Image {
        /// What it is asked for by.
        name: Arc<str>,
        /// Which of its layers, from 1; none for its manifest and config.
        layer: Option<u32>,
    },
    /// kmimage itself (its init, the skeleton directories).
    Kmimage,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Package { name, version } => write!(f, "package {name} {version}"),
            Origin::Overlay(name) => write!(f, "overlay {name}"),
            Origin::Derive(step) => write!(f, "derive {step}"),
            Origin::Image { name, layer: None } => write!(f, "image {name}"),
            Origin::Image { name, layer: Some(layer) } => write!(f, "image {name} layer {layer}"),
            Origin::Kmimage => f.write_str("kmimage"),
        }
    }
}

/// What an entry is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link, with its target as written.
    Symlink(Arc<[u8]>),
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
}

/// One path of the image.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Type and content.
    pub kind: Kind,
    /// Permission bits, with set-uid, set-gid and sticky (octal 7777 at most).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by full name (`security.capability`), raw values.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Entries with the same number are hard links to one inode: same kind, content, mode, owner, attributes.
    pub link: Option<u32>,
    /// Who brought it.
    pub origin: Origin,
}

impl Entry {
    /// A root-owned directory, mode 0755.
    pub fn directory(origin: Origin) -> Self {
        Self::new(Kind::Directory, 0o755, origin)
    }

    /// A root-owned file.
    pub fn file(content: Content, mode: u16, origin: Origin) -> Self {
        Self::new(Kind::File(content), mode, origin)
    }

    /// A root-owned symbolic link, mode 0777.
    pub fn symlink(target: impl AsRef<[u8]>, origin: Origin) -> Self {
        Self::new(Kind::Symlink(target.as_ref().into()), 0o777, origin)
    }

    /// A root-owned entry of any kind, without attributes or hard links.
    pub fn new(kind: Kind, mode: u16, origin: Origin) -> Self {
        Self { kind, mode, uid: 0, gid: 0, xattrs: BTreeMap::new(), link: None, origin }
    }
}

/// The image's root, complete: every directory of every path is an entry of its own.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    entries: BTreeMap<TreePath, Entry>,
}

impl Tree {
    /// A tree of the root directory alone.
    pub fn new() -> Self {
        let mut tree = Self::default();
        tree.entries.insert(TreePath::root(), Entry::directory(Origin::Kmimage));
        tree
    }

    /// Looks an exact path up (symbolic links are not followed; see `resolve`).
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// As [`Tree::get`], to change the entry. Hard links: see [`Tree::for_each_link`].
    pub fn get_mut(&mut self, path: &TreePath) -> Option<&mut Entry> {
        self.entries.get_mut(path)
    }

    /// Puts an entry at a path, replacing what is there; missing parent directories are made with the same origin.
    pub fn insert(&mut self, path: TreePath, entry: Entry) {
        let mut parent = path.parent();
        while let Some(directory) = parent {
            if self.entries.contains_key(&directory) {
                break;
            }
            parent = directory.parent();
            self.entries.insert(directory, Entry::directory(entry.origin.clone()));
        }
        self.entries.insert(path, entry);
    }

    /// Takes a path, and all below it, out. True if something was there.
    pub fn remove(&mut self, path: &TreePath) -> bool {
        let doomed: Vec<TreePath> = self.under(path).map(|(path, _)| path.clone()).collect();
        for path in &doomed {
            self.entries.remove(path);
        }
        !doomed.is_empty()
    }

    /// Every entry, a directory right before what it holds.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.entries.iter()
    }

    /// `path` and everything below it, in order.
    pub fn under<'a>(&'a self, path: &'a TreePath) -> impl Iterator<Item = (&'a TreePath, &'a Entry)> {
        self.entries.range(path.clone()..).take_while(move |(candidate, _)| candidate.is_under(path))
    }

    /// Calls `change` on the entry at `path` and on every other path that is the same inode.
    pub fn for_each_link(&mut self, path: &TreePath, mut change: impl FnMut(&mut Entry)) {
        let Some(link) = self.entries.get(path).map(|entry| entry.link) else { return };
        match link {
            None => {
                if let Some(entry) = self.entries.get_mut(path) {
                    change(entry);
                }
            }
            Some(_) => self.entries.values_mut().filter(|entry| entry.link == link).for_each(change),
        }
    }

    /// How many entries there are, the root included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True for a tree that was not even given its root.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    #[test]
    fn a_directory_is_followed_by_its_content() {
        let mut tree = Tree::new();
        for text in ["/a.b", "/a/z/q", "/a!", "/a/b"] {
            tree.insert(path(text), Entry::directory(Origin::Kmimage));
        }
        let order: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(order, ["/", "/a", "/a/b", "/a/z", "/a/z/q", "/a!", "/a.b"]);
        let below = path("/a");
        assert_eq!(tree.under(&below).count(), 4);
    }
}
