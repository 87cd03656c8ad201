//! Following paths in the image as the kernel would: through links, with `..`, and knowing where a path comes to an end.

use super::{Kind, Tree, TreePath};

/// As many links as the kernel follows (MAXSYMLINKS).
const LINKS_LIMIT: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// To this entry, which is no link.
    To(TreePath),
    /// Nowhere: this is not in the image.
    Missing(TreePath),
    /// Round and round.
    Circle,
}

impl Tree {
    /// Follows symbolic links inside the image (every component, absolute targets from the image's root, `..` at the root stays
    /// there, as in a chroot). None: dangling, or more than 40 links.
    pub fn resolve(&self, path: &TreePath) -> Option<TreePath> {
        match self.follow(&TreePath::root(), path.as_bytes()) {
            Lead::To(at) => Some(at),
            Lead::Missing(_) | Lead::Circle => None,
        }
    }

    /// As [`Tree::resolve`], of a path as it is written somewhere: absolute, or relative to `directory`.
    pub fn follow(&self, directory: &TreePath, path: &[u8]) -> Lead {
        let mut at = if path.starts_with(b"/") { TreePath::root() } else { directory.clone() };
        let mut pending: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(component) = pending.pop() {
            if component == b".." {
                at = at.parent().unwrap_or_else(TreePath::root);
                continue;
            }
            let Ok(next) = at.join(&component) else { return Lead::Missing(at) };
            match self.get(&next).map(|entry| &entry.kind) {
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

    /// As [`Tree::follow`], only where it leads to a regular file.
    pub fn follow_to_file(&self, directory: &TreePath, path: &[u8]) -> Option<TreePath> {
        match self.follow(directory, path) {
            Lead::To(at) if matches!(self.get(&at)?.kind, Kind::File(_)) => Some(at),
            _ => None,
        }
    }
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Origin};
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
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
