//! Hard links after a change of the tree.

use super::tree::{Tree, TreePath};
use std::collections::BTreeMap;

/// Numbers the inodes with several paths in the order of their first path; one that has a single path left is none.
pub(super) fn renumber(tree: &mut Tree) {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for link in tree.iter().filter_map(|(_, entry)| entry.link) {
        *counts.entry(link).or_default() += 1;
    }
    let paths: Vec<TreePath> = tree.iter().filter(|(_, entry)| entry.link.is_some()).map(|(path, _)| path.clone()).collect();
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    for path in paths {
        let Some(entry) = tree.get_mut(&path) else { continue };
        entry.link = entry.link.filter(|link| counts.get(link).is_some_and(|&count| count > 1)).map(|link| {
            let next = numbers.len() as u32;
            *numbers.entry(link).or_insert(next)
        });
    }
}
