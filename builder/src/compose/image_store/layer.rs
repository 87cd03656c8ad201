//! A layer's members as entries of its own directory, as overlayfs is to see them.
//!
//! What a layer takes away it says by names (`.wh.NAME`, and `.wh..wh..opq` for all of a directory). containers/storage makes character
//! devices of them, which an image of ours has none of; the kernel knows an empty file with the attribute `trusted.overlay.whiteout` in
//! a directory marked `x` as well (Documentation/filesystems/overlayfs.rst; Linux 6.8). So layers keep their digests and are shared, and
//! no layer is merged into another.

use crate::compose::content::Content;
use crate::compose::deb::tar::MemberKind;
use crate::compose::merge::is_attribute;
use crate::compose::tree::{BadPath, Entry, Kind, Origin, Tree, TreePath};
use crate::compose::unpack::{UnpackedLayer, UnpackedMember};
use std::collections::BTreeMap;

/// Begins the name of what a layer takes away.
const WHITEOUT: &[u8] = b".wh.";
/// Stands for all that lower layers have in a directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Begins the names that aufs kept for itself.
const OF_AUFS: &[u8] = b".wh..wh.";
/// Overlayfs' own attributes: a layer that brought some could reach into others.
const OF_OVERLAYFS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
const OPAQUE_ATTRIBUTE: &[u8] = b"trusted.overlay.opaque";
const WHITEOUT_ATTRIBUTE: &[u8] = b"trusted.overlay.whiteout";

/// The directories of all layers so far, as an overlay of them shows them: what a layer says nothing of stays as it is below.
pub(super) type Directories = BTreeMap<TreePath, Entry>;

/// A member that an image may not have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// As the layer has it.
    pub(super) path: String,
    /// What is wrong with it, as an apposition.
    pub(super) what: String,
}

/// Lays one layer out. `lower` is what lies below it (none for the lowest) and becomes what lies below the next one. `links` counts
/// inodes that have several paths, over all layers.
pub(super) fn entries(
    layer: &UnpackedLayer,
    origin: &Origin,
    lower: &mut Option<Directories>,
    links: &mut u32,
) -> Result<Tree, Refused> {
    let mut making = Making { tree: Tree::default(), origin, lower: lower.as_ref(), links };
    let (mut opaque, mut hidden) = (Vec::new(), Vec::new());
    for member in layer.members.iter() {
        let refused = |what: String| Refused { path: String::from_utf8_lossy(&member.path).into_owned(), what };
        let path = TreePath::new(&member.path).map_err(|error| refused(format!("whose {error}")))?;
        let directory = path.parent().unwrap_or_else(TreePath::root);
        match path.name() {
            OPAQUE if directory.is_root() && making.lower.is_some() => {
                return Err(refused("which hides the whole of the layers below".to_owned()));
            }
            OPAQUE => opaque.push(directory),
            name if name.starts_with(OF_AUFS) => {}
            name => match name.strip_prefix(WHITEOUT) {
                Some(b"" | b"." | b"..") => return Err(refused("which takes nothing away".to_owned())),
                Some(name) => hidden.push(directory.join(name).map_err(|error| refused(format!("whose {error}")))?),
                None => making.put(layer, member, path).map_err(refused)?,
            },
        }
    }
    making.parents(&TreePath::root()).map_err(|what| Refused { path: "/".to_owned(), what })?;
    if making.lower.is_some() {
        for path in &opaque {
            making.hide_all(path).map_err(|what| Refused { path: path.to_string(), what })?;
        }
        for path in &hidden {
            making.hide(path).map_err(|what| Refused { path: path.to_string(), what })?;
        }
    }
    let tree = making.tree;
    *lower = Some(above(lower.take().unwrap_or_default(), &tree, &opaque, &hidden));
    Ok(tree)
}

struct Making<'a> {
    tree: Tree,
    origin: &'a Origin,
    lower: Option<&'a Directories>,
    links: &'a mut u32,
}

impl Making<'_> {
    /// A member in its place; a later one takes the place of an earlier one, as with tar.
    fn put(&mut self, layer: &UnpackedLayer, member: &UnpackedMember, path: TreePath) -> Result<(), String> {
        let entry = self.entry(layer, member)?;
        self.parents(&path)?;
        let both = |there: &Entry| matches!((&there.kind, &entry.kind), (Kind::Directory, Kind::Directory));
        if !self.tree.get(&path).is_some_and(both) {
            self.tree.remove(&path);
        }
        self.tree.insert(path, entry);
        Ok(())
    }

    fn entry(&mut self, layer: &UnpackedLayer, member: &UnpackedMember) -> Result<Entry, String> {
        let kind = match &member.kind {
            MemberKind::Directory => Kind::Directory,
            MemberKind::Symlink(target) if target.contains(&0) || target.len() > 4095 => {
                return Err("a symbolic link to what no path can be".to_owned());
            }
            MemberKind::Symlink(target) => Kind::Symlink(target.as_slice().into()),
            MemberKind::Fifo => Kind::Fifo,
            MemberKind::CharDevice | MemberKind::BlockDevice => return Err("a device node, and an image has none".to_owned()),
            MemberKind::HardLink(target) => return self.link(target),
            MemberKind::File => Kind::File(layer.content(member).ok_or("a file without data")?),
        };
        let of_overlayfs = |name: &Vec<u8>| OF_OVERLAYFS.iter().any(|prefix| name.starts_with(prefix));
        if let Some((name, _)) = member.xattrs.iter().find(|(name, value)| of_overlayfs(name) || !is_attribute(name, value)) {
            return Err(format!("whose extended attribute {} can't be kept", String::from_utf8_lossy(name)));
        }
        Ok(Entry {
            mode: if matches!(kind, Kind::Symlink(_)) { 0o777 } else { member.mode },
            kind,
            uid: member.uid,
            gid: member.gid,
            xattrs: member.xattrs.clone(),
            link: None,
            origin: self.origin.clone(),
        })
    }

    /// Another path of a file of the same layer.
    fn link(&mut self, target: &[u8]) -> Result<Entry, String> {
        let none = || format!("a hard link to {}, which is no earlier file of the layer", String::from_utf8_lossy(target));
        let path = TreePath::new(target).map_err(|_| none())?;
        let original = self.tree.get_mut(&path).filter(|entry| matches!(entry.kind, Kind::File(_))).ok_or_else(none)?;
        if original.link.is_none() {
            original.link = Some(*self.links);
            *self.links += 1;
        }
        Ok(original.clone())
    }

    /// The directories above a path that the layer did not bring: as they are below.
    fn parents(&mut self, path: &TreePath) -> Result<(), String> {
        let mut missing = Vec::new();
        let mut next = if path.is_root() { Some(path.clone()) } else { path.parent() };
        while let Some(directory) = next {
            match self.tree.get(&directory).map(|entry| &entry.kind) {
                Some(Kind::Directory) => break,
                Some(_) => return Err(format!("which lies below {directory}, which is no directory")),
                None => {
                    next = directory.parent();
                    missing.push(directory);
                }
            }
        }
        for directory in missing.into_iter().rev() {
            let below = self.lower.and_then(|lower| lower.get(&directory)).cloned();
            let entry = below.map(|entry| Entry { origin: self.origin.clone(), ..entry });
            self.tree.insert(directory, entry.unwrap_or_else(|| Entry::directory(self.origin.clone())));
        }
        Ok(())
    }

    /// Hides what lower layers have in a directory.
    fn hide_all(&mut self, directory: &TreePath) -> Result<(), String> {
        // Made with its parents by what would lie in it.
        self.parents(&directory.join("-").map_err(|error: BadPath| format!("whose {error}"))?)?;
        if let Some(entry) = self.tree.get_mut(directory) {
            entry.xattrs.insert(OPAQUE_ATTRIBUTE.to_vec(), b"y".to_vec());
        }
        Ok(())
    }

    /// Hides one path of lower layers. What the layer itself has there stays; a directory of its own begins empty.
    fn hide(&mut self, path: &TreePath) -> Result<(), String> {
        match self.tree.get(path).map(|entry| &entry.kind) {
            Some(Kind::Directory) => return self.hide_all(path),
            Some(_) => return Ok(()),
            None => {}
        }
        self.parents(path)?;
        let directory = path.parent().unwrap_or_else(TreePath::root);
        let hides_all = |entry: &Entry| entry.xattrs.get(OPAQUE_ATTRIBUTE).is_some_and(|value| value == b"y");
        if self.tree.get(&directory).is_some_and(hides_all) {
            return Ok(());
        }
        let mut whiteout = Entry::file(Content::from_bytes([]), 0o644, self.origin.clone());
        whiteout.xattrs.insert(WHITEOUT_ATTRIBUTE.to_vec(), Vec::new());
        self.tree.insert(path.clone(), whiteout);
        // The layer's root says that there is such a thing at all, the directory that it is here.
        for marked in [&TreePath::root(), &directory] {
            if let Some(entry) = self.tree.get_mut(marked) {
                entry.xattrs.insert(OPAQUE_ATTRIBUTE.to_vec(), b"x".to_vec());
            }
        }
        Ok(())
    }
}

/// The directories with one more layer on top.
fn above(mut lower: Directories, layer: &Tree, opaque: &[TreePath], hidden: &[TreePath]) -> Directories {
    for path in opaque {
        lower.retain(|known, _| known == path || !known.is_under(path));
    }
    for path in hidden {
        lower.retain(|known, _| !known.is_under(path));
    }
    for (path, entry) in layer.iter() {
        match entry.kind {
            Kind::Directory => {
                let mut entry = entry.clone();
                entry.xattrs.remove(OPAQUE_ATTRIBUTE);
                lower.insert(path.clone(), entry);
            }
            _ if lower.contains_key(path) => lower.retain(|known, _| !known.is_under(path)),
            _ => {}
        }
    }
    lower
}
