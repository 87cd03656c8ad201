//! Following paths in the image as the kernel would: through links, with `..`, and knowing where a path comes to an end.

use crate::compose::tree::{Kind, Tree, TreePath};

/// As many links as the kernel follows (MAXSYMLINKS).
const LINKS_LIMIT: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lead {
    /// To this entry, which is no link.
    To(TreePath),
    /// Nowhere: this is not in the image.
    Missing(TreePath),
    /// Round and round.
    Circle,
}

/// Follows `path` (absolute, or relative to `directory`).
pub(super) fn follow(tree: &Tree, directory: &TreePath, path: &[u8]) -> Lead {
    let mut at = if path.starts_with(b"/") { TreePath::root() } else { directory.clone() };
    let mut pending: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
    let mut links = 0;
    while let Some(component) = pending.pop() {
        if component == b".." {
            at = at.parent().unwrap_or_else(TreePath::root);
            continue;
        }
        let Ok(next) = at.join(&component) else { return Lead::Missing(at) };
        match tree.get(&next).map(|entry| &entry.kind) {
            None => return Lead::Missing(next),
            Some(Kind::Symlink(target)) => {
                links += 1;
                if links > LINKS_LIMIT {
                    return Lead::Circle;
                }
                if target.starts_with(b"/") {
                    at = TreePath::root();
                }
                pending.extend(components(target).rev().map(<[u8]>::to_vec));
            }
            Some(_) => at = next,
        }
    }
    Lead::To(at)
}

/// As [`follow`], only where it leads to a regular file.
pub(super) fn file(tree: &Tree, directory: &TreePath, path: &[u8]) -> Option<TreePath> {
    match follow(tree, directory, path) {
        Lead::To(at) if matches!(tree.get(&at)?.kind, Kind::File(_)) => Some(at),
        _ => None,
    }
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}
