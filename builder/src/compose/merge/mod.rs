//! Unpacked packages -> one tree, as dpkg would lay them out, and the refusal of everything that dpkg or its scripts would have to
//! be trusted with.
//!
//! Pure, and independent of the order in which packages come: `base-files` counts as unpacked first, the others by name. Owners, modes
//! (set-uid ones, too: `check` judges them), hard links and extended attributes are kept as packages have them.

mod members;
mod replaces;
mod rule;

pub use rule::{MergeError, Refusal};

use super::tree::{Entry, Kind, Origin, Tree, TreePath};
use super::unpack::Unpacked;
use members::{Placed, members};
pub(crate) use members::{climbs, is_attribute};
use replaces::Replaces;
use std::collections::BTreeMap;

/// Directories that are links into /usr on a merged-/usr system; a path below one is the same path below /usr, and packages may
/// use either.
const USR_LINKS: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// What came of merging.
#[derive(Debug)]
pub struct Merged {
    /// Every package's members.
    pub tree: Tree,
    /// What is worth a word: directories that packages disagree about.
    pub notes: Vec<String>,
}

struct Slot {
    package: usize,
    member: String,
    entry: Entry,
}

/// Lays packages over one another.
pub fn merge(packages: &[Unpacked]) -> Result<Merged, MergeError> {
    let mut packages: Vec<&Unpacked> = packages.iter().collect();
    packages.sort_by_key(|package| (&*package.name != "base-files", package.name.clone()));
    let replaces = packages.iter().map(|package| Replaces::of(package)).collect::<Result<Vec<_>, _>>()?;
    let mut slots: BTreeMap<TreePath, Slot> = BTreeMap::new();
    let mut notes = Vec::new();
    let mut links = 0;
    for (at, package) in packages.iter().enumerate() {
        for Placed { path, member, entry } in members(package, &mut links)? {
            let refused = |rule| MergeError::refused(package, &member, rule);
            if let Some(there) = slots.get(&path) {
                let other = packages[there.package];
                match (&there.entry.kind, &entry.kind) {
                    (Kind::Directory, Kind::Directory) => {
                        notes.extend(disagreement(&path, &there.entry, &entry));
                        continue;
                    }
                    (Kind::Directory, _) | (_, Kind::Directory) => {
                        return Err(refused(Refusal::DirectoryOrNot { other: text(other) }));
                    }
                    _ => {}
                }
                match (replaces[at].covers(other), replaces[there.package].covers(package)) {
                    (true, false) => {}
                    (false, true) => continue,
                    (false, false) => return Err(refused(Refusal::Shared { other: text(other) })),
                    (true, true) => return Err(refused(Refusal::ReplaceEachOther { other: text(other) })),
                }
            }
            slots.insert(path, Slot { package: at, member, entry });
        }
    }
    let refused = |slot: &Slot, rule| MergeError::refused(packages[slot.package], &slot.member, rule);
    for (path, slot) in &slots {
        let mut above = path.parent();
        while let Some(parent) = above {
            match slots.get(&parent).map(|there| (&there.entry.kind, packages[there.package])) {
                Some((Kind::Directory, _)) => break,
                Some((Kind::Symlink(target), other)) => {
                    let target = String::from_utf8_lossy(target).into_owned();
                    return Err(refused(slot, Refusal::BelowSymlink { link: parent, target, other: text(other) }));
                }
                Some((_, other)) => return Err(refused(slot, Refusal::BelowFile { file: parent, other: text(other) })),
                None => above = parent.parent(),
            }
        }
    }
    let mut tree = Tree::new();
    for (path, slot) in slots {
        tree.insert(path, slot.entry);
    }
    link_into_usr(&mut tree);
    super::links::renumber(&mut tree);
    Ok(Merged { tree, notes })
}

fn text(package: &Unpacked) -> String {
    format!("{} {}", package.name, package.version)
}

/// The first package's directory stays, as with dpkg; that they disagree is worth a note.
fn disagreement(path: &TreePath, kept: &Entry, other: &Entry) -> Option<String> {
    let text = |entry: &Entry| format!("{:04o} {}:{} ({})", entry.mode, entry.uid, entry.gid, entry.origin);
    let same = (kept.mode, kept.uid, kept.gid, &kept.xattrs) == (other.mode, other.uid, other.gid, &other.xattrs);
    (!same).then(|| format!("{path} is {}, not {}", text(kept), text(other)))
}

/// Makes the links into /usr that no package brought, so that every path that programs have compiled in works.
fn link_into_usr(tree: &mut Tree) {
    for name in USR_LINKS {
        let paths = (TreePath::new(name), TreePath::new(format!("usr/{name}")));
        let (Ok(link), Ok(directory)) = paths else { continue };
        if tree.get(&link).is_none() {
            tree.insert(link, Entry::symlink(format!("usr/{name}"), Origin::Kmimage));
        }
        if tree.get(&directory).is_none() {
            tree.insert(directory, Entry::directory(Origin::Kmimage));
        }
    }
}

#[cfg(test)]
mod tests;
