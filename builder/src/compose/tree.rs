//! The image's root as a value: every path with its type, mode, owner, attributes, content and origin.
//!
//! A `Tree` never touches the host's file system: owners and device nodes need no root. Stages transform it; the squashfs writer
//! reads it. Paths are bytes, absolute, normal (no `.`, `..`, doubled or trailing slash); the root directory is `/`.

use super::content::Content;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// An absolute, normal path in the image, as bytes. Ordered so that a directory comes right before what it holds.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TreePath(Arc<[u8]>);

/// A path that cannot be in an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPath {
    /// It climbs above the root, or would after `..` is taken.
    #[error("path climbs above /")]
    Climbs,
    /// It holds a NUL byte.
    #[error("path holds a NUL byte")]
    Nul,
    /// A component longer than 255 bytes, or a path longer than 4095.
    #[error("path is too long")]
    TooLong,
}

impl TreePath {
    /// The root directory.
    pub fn root() -> Self {
        Self(Arc::from(&b"/"[..]))
    }

    /// Normalises `path` ("./usr//bin/" -> "/usr/bin"). A `..` component is refused, even where it would stay inside.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let path = path.as_ref();
        if path.contains(&0) {
            return Err(BadPath::Nul);
        }
        let mut normal = Vec::with_capacity(path.len() + 1);
        for component in path.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(BadPath::Climbs),
                _ if component.len() > 255 => return Err(BadPath::TooLong),
                _ => {
                    normal.push(b'/');
                    normal.extend_from_slice(component);
                }
            }
        }
        if normal.len() > 4095 {
            return Err(BadPath::TooLong);
        }
        if normal.is_empty() {
            normal.push(b'/');
        }
        Ok(Self(normal.into()))
    }

    /// The path as bytes, beginning with `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for `/`.
    pub fn is_root(&self) -> bool {
        &*self.0 == b"/"
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        let cut = self.0.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        &self.0[cut..]
    }

    /// The directory that holds this path; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(0) | None => Some(Self::root()),
            Some(at) => Some(Self(self.0[..at].into())),
        }
    }

    /// This path with one or more components added (normalised as in [`TreePath::new`]).
    pub fn join(&self, rest: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let mut path = self.0.to_vec();
        path.push(b'/');
        path.extend_from_slice(rest.as_ref());
        Self::new(path)
    }

    /// True if `self` is `directory` or lies below it.
    pub fn is_under(&self, directory: &TreePath) -> bool {
        directory.is_root() || (self.0.starts_with(&directory.0) && matches!(self.0.get(directory.0.len()), None | Some(b'/')))
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // By component: "/a/b" sorts before "/a.b", so that a directory's content follows it at once.
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        let at = common_prefix(&self.0, &other.0);
        self.0.get(at).map(key).cmp(&other.0.get(at).map(key))
    }
}

/// How many bytes two strings have in common at their start. Paths share long beginnings: sixteen at a time are passed over.
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let (one_steps, other_steps) = (one.as_chunks::<16>().0, other.as_chunks::<16>().0);
    let passed = 16 * one_steps.iter().zip(other_steps).take_while(|(one, other)| one == other).count();
    let (one, other) = (one.get(passed..).unwrap_or_default(), other.get(passed..).unwrap_or_default());
    passed + one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

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
    /// kmimage itself (its init, the skeleton directories).
    Kmimage,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Package { name, version } => write!(f, "package {name} {version}"),
            Origin::Overlay(name) => write!(f, "overlay {name}"),
            Origin::Derive(step) => write!(f, "derive {step}"),
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

    /// Follows symbolic links inside the image (every component, absolute targets from the image's root, `..` at the root stays
    /// there, as in a chroot). None: dangling, or more than 40 links.
    pub fn resolve(&self, path: &TreePath) -> Option<TreePath> {
        let mut pending: Vec<Vec<u8>> = components(path.as_bytes()).rev().map(<[u8]>::to_vec).collect();
        let mut at = TreePath::root();
        let mut links = 0;
        while let Some(component) = pending.pop() {
            if component == b".." {
                at = at.parent().unwrap_or_else(TreePath::root);
                continue;
            }
            let next = at.join(&component).ok()?;
            match &self.entries.get(&next)?.kind {
                Kind::Symlink(target) => {
                    links += 1;
                    if links > 40 {
                        return None;
                    }
                    if target.starts_with(b"/") {
                        at = TreePath::root();
                    }
                    pending.extend(components(target).rev().map(<[u8]>::to_vec));
                }
                _ => at = next,
            }
        }
        Some(at)
    }
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    #[test]
    fn paths_are_normal() {
        assert_eq!(path("./usr//bin/").as_bytes(), b"/usr/bin");
        assert_eq!(path("").as_bytes(), b"/");
        assert_eq!(TreePath::new("usr/../etc"), Err(BadPath::Climbs));
        assert_eq!(TreePath::new("a\0b"), Err(BadPath::Nul));
        assert_eq!(path("/usr/bin").name(), b"bin");
        assert_eq!(path("/usr").parent(), Some(TreePath::root()));
        assert!(path("/usr/bin").is_under(&path("/usr")));
        assert!(!path("/usrbin").is_under(&path("/usr")));
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

    #[test]
    fn order_is_by_component_wherever_the_difference_is() {
        let by_component =
            |one: &TreePath, other: &TreePath| one.as_bytes().split(|b| *b == b'/').cmp(other.as_bytes().split(|b| *b == b'/'));
        for shared in 0..40 {
            let directory = "x".repeat(shared);
            let texts = ["", "a", "a/b", "a/b/c", "a!", "a.b", "ab", "b", "a/bb", "a\u{ff}"]
                .map(|end| path(&format!("/{directory}{end}")));
            for (one, other) in texts.iter().flat_map(|one| texts.iter().map(move |other| (one, other))) {
                let expected =
                    if one.is_root() || other.is_root() { other.is_root().cmp(&one.is_root()) } else { by_component(one, other) };
                assert_eq!(one.cmp(other), expected, "{one} {other}");
            }
        }
    }

    #[test]
    fn links_are_followed_inside_the_image() {
        let mut tree = Tree::new();
        tree.insert(path("/bin"), Entry::symlink("usr/bin", Origin::Kmimage));
        tree.insert(path("/usr/bin/sh"), Entry::directory(Origin::Kmimage));
        tree.insert(path("/up"), Entry::symlink("../../usr", Origin::Kmimage));
        tree.insert(path("/loop"), Entry::symlink("/loop", Origin::Kmimage));
        assert_eq!(tree.resolve(&path("/bin/sh")), Some(path("/usr/bin/sh")));
        assert_eq!(tree.resolve(&path("/up/bin")), Some(path("/usr/bin")));
        assert_eq!(tree.resolve(&path("/loop")), None);
        assert_eq!(tree.resolve(&path("/none")), None);
    }
}
