//! `drop`: paths that do not enter the image.

use super::licences;
use crate::compose::tree::{Kind, Tree, TreePath};
use crate::profile::Drop;

/// Takes out what the patterns match, with all below a directory that matches; licences stay. Returns how many entries went and how
/// many bytes their files had; a pattern that matches nothing is noted.
pub(super) fn apply(tree: &mut Tree, drops: &[Drop], licences: &str, notes: &mut Vec<String>) -> (usize, u64) {
    let licences = TreePath::new(licences).ok();
    let stays = |path: &TreePath| licences.as_ref().is_some_and(|licences| licences::holds(path, licences));
    let mut used = vec![false; drops.len()];
    let mut doomed: Vec<TreePath> = Vec::new();
    let mut bytes = 0;
    // The directory that matched last; what it holds comes right behind it.
    let mut below: Option<TreePath> = None;
    for (path, entry) in tree.iter() {
        let covered = below.as_ref().is_some_and(|directory| path.is_under(directory));
        let mut matched = false;
        for (drop, used) in drops.iter().zip(&mut used) {
            // Below a directory that goes, a pattern is only asked whether it is of any use at all.
            if (!covered || !*used) && drop.glob.matches(path.as_bytes()) {
                (matched, *used) = (true, true);
            }
        }
        if !covered && !matched {
            continue;
        }
        if !covered {
            below = Some(path.clone());
        }
        if !stays(path) && !path.is_root() {
            if let Kind::File(content) = &entry.kind {
                bytes += content.len();
            }
            doomed.push(path.clone());
        }
    }
    let count = doomed.len();
    // What stays below a directory keeps that directory, so nothing that stays is taken along here.
    for path in &doomed {
        tree.remove(path);
    }
    let unused = drops.iter().zip(used).filter(|(_, used)| !used);
    notes.extend(unused.map(|(drop, _)| format!("drop {} matches nothing", drop.glob)));
    (count, bytes)
}
