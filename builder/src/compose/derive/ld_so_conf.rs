//! ld.so.conf: the directories that ldconfig searches, in its order.

use super::{DeriveError, path, text_at};
use crate::compose::tree::{Kind, Tree, TreePath};
use crate::profile::PathGlob;

/// Where ld.so looks without a cache, and ldconfig after the configured directories (Debian's glibc, amd64).
const BUILT_IN: [&str; 4] = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"];

/// ldconfig's own limit.
const NESTING_LIMIT: usize = 10;

/// Where ld.so looks last.
pub(crate) fn library_defaults() -> Vec<TreePath> {
    BUILT_IN.iter().filter_map(|directory| TreePath::new(directory).ok()).collect()
}

/// The directories as written and as they resolve in the tree; a directory that is reached twice counts where it comes first, one that
/// is not there not at all.
pub(crate) fn library_directories(tree: &Tree) -> Result<Vec<(String, TreePath)>, DeriveError> {
    let mut written = Vec::new();
    read_conf(tree, &path("/etc/ld.so.conf")?, 0, &mut written)?;
    written.extend(BUILT_IN.map(str::to_owned));
    let mut found: Vec<(String, TreePath)> = Vec::new();
    for directory in written {
        let Ok(at) = TreePath::new(&directory) else { continue };
        let Some(at) = tree.resolve(&at) else { continue };
        let is_directory = matches!(tree.get(&at).map(|entry| &entry.kind), Some(Kind::Directory));
        if is_directory && found.iter().all(|(_, known)| *known != at) {
            found.push((directory, at));
        }
    }
    Ok(found)
}

fn read_conf(tree: &Tree, conf: &TreePath, depth: usize, directories: &mut Vec<String>) -> Result<(), DeriveError> {
    if depth > NESTING_LIMIT {
        return Err(DeriveError::Include { path: conf.clone() });
    }
    for line in text_at(tree, conf)?.unwrap_or_default().lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.split_once([' ', '\t']) {
            Some(("include", patterns)) => {
                for pattern in patterns.split_ascii_whitespace() {
                    for included in included(tree, conf, pattern) {
                        read_conf(tree, &included, depth + 1, directories)?;
                    }
                }
            }
            Some(("hwcap", _)) => {}
            _ if line.is_empty() => {}
            _ => {
                let directory = line.split('=').next().unwrap_or(line).trim_end_matches('/');
                directories.push(if directory.is_empty() { "/".to_owned() } else { directory.to_owned() });
            }
        }
    }
    Ok(())
}

/// The files that an `include` pattern matches, by name; a relative one counts from the including file.
fn included(tree: &Tree, conf: &TreePath, pattern: &str) -> Vec<TreePath> {
    let pattern = if pattern.starts_with('/') {
        pattern.to_owned()
    } else {
        format!("{}/{pattern}", conf.parent().unwrap_or_else(TreePath::root))
    };
    let Ok(glob) = PathGlob::new(&pattern) else { return Vec::new() };
    let found = tree.iter().filter(|(path, entry)| !matches!(entry.kind, Kind::Directory) && glob.matches(path.as_bytes()));
    found.map(|(path, _)| path.clone()).collect()
}
