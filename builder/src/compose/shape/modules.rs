//! Which of the kernel's modules stay: first by path, as the profile says, then with everything that those need.
//!
//! What a module needs is in its own bytes, which must be decompressed; so only modules that stay are looked at. The outcome is kept
//! in the store by the modules' digests and the choice, so that a build with the same kernel and the same choice decodes nothing.

use super::ShapeError;
use crate::compose::facts::{Fact, Facts, FactsError, ModuleName, is_module_name};
use crate::compose::tree::{Entry, Kind, Tree, TreePath};
use crate::profile::ModuleSelection;
use crate::store::Store;
use kmimage_contract::paths;
use std::collections::{BTreeMap, BTreeSet};

/// The kind under which the store keeps choices.
const KIND: &str = "kernel-modules";

/// How many modules stayed and went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModuleCounts {
    /// Modules in the root.
    pub kept: usize,
    /// Of these: dropped by path, but needed by one that stays.
    pub needed: usize,
    /// Modules that went.
    pub dropped: usize,
}

/// Takes the modules that go out of `tree`, with directories that hold nothing any more. `facts` takes what was found out.
pub(super) fn select(
    tree: &mut Tree,
    release: &str,
    selection: &ModuleSelection,
    facts: &mut Facts,
    store: &Store,
    jobs: usize,
    notes: &mut Vec<String>,
) -> Result<ModuleCounts, ShapeError> {
    let base = paths::modules(release);
    let base = TreePath::new(&base).map_err(|fault| ShapeError::Path { path: base, fault })?;
    let modules: Vec<TreePath> = tree
        .under(&base)
        .filter(|(path, entry)| matches!(entry.kind, Kind::File(_)) && is_module_name(path.name()))
        .map(|(path, _)| path.clone())
        .collect();
    unused(&modules, &base, selection, notes);
    let (stay, go): (Vec<TreePath>, Vec<TreePath>) =
        modules.into_iter().partition(|path| selection.keeps(&relative(path, &base)));
    let mut out = BTreeMap::new();
    for path in go {
        if let Some(entry) = tree.get(&path).cloned() {
            tree.remove(&path);
            out.insert(path, entry);
        }
    }
    let key = key(tree, &stay, &out);
    let cached = store.cached(KIND, &key)?.and_then(|bytes| serde_json::from_slice::<Vec<String>>(&bytes).ok());
    let needed: BTreeSet<TreePath> = match cached {
        Some(paths) => paths.iter().filter_map(|path| TreePath::new(path).ok()).collect(),
        None => {
            let needed = closure(tree, &stay, &out, |modules| depends(modules, facts, jobs))?;
            let paths: Vec<String> = needed.iter().map(TreePath::to_string).collect();
            store.put_cached(KIND, &key, &serde_json::to_vec(&paths).unwrap_or_default())?;
            needed
        }
    };
    for path in &needed {
        if let Some(entry) = out.remove(path) {
            tree.insert(path.clone(), entry);
        }
    }
    prune(tree, &base, out.keys());
    Ok(ModuleCounts { kept: stay.len() + needed.len(), needed: needed.len(), dropped: out.len() })
}

/// The paths of `out` that `stay`, or a path already found, needs. `depends` says what each module of a tree needs, by name.
fn closure<E>(
    tree: &Tree,
    stay: &[TreePath],
    out: &BTreeMap<TreePath, Entry>,
    mut depends: impl FnMut(&Tree) -> Result<BTreeSet<String>, E>,
) -> Result<BTreeSet<TreePath>, E> {
    let mut by_name: BTreeMap<String, Vec<&TreePath>> = BTreeMap::new();
    for path in out.keys() {
        if let Some(name) = ModuleName::of(path) {
            by_name.entry(name.name).or_default().push(path);
        }
    }
    let mut frontier = Tree::new();
    for path in stay {
        if let Some(entry) = tree.get(path) {
            frontier.insert(path.clone(), entry.clone());
        }
    }
    let mut needed = BTreeSet::new();
    loop {
        let mut next = Tree::new();
        for name in depends(&frontier)? {
            for path in by_name.remove(&name).unwrap_or_default() {
                if let Some(entry) = out.get(path) {
                    next.insert(path.clone(), entry.clone());
                    needed.insert(path.clone());
                }
            }
        }
        if next.len() == 1 {
            return Ok(needed);
        }
        frontier = next;
    }
}

/// What the modules of a tree need. A module that cannot be read needs nothing here; `check` refuses it.
fn depends(modules: &Tree, facts: &mut Facts, jobs: usize) -> Result<BTreeSet<String>, FactsError> {
    facts.gather_more(modules, None, jobs)?;
    let names = facts.over(modules).filter_map(|(_, fact)| match fact {
        Fact::Module(module) => Some(module.depends.iter().cloned()),
        _ => None,
    });
    Ok(names.flatten().collect())
}

/// Names everything that the outcome depends on.
fn key(tree: &Tree, stay: &[TreePath], out: &BTreeMap<TreePath, Entry>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut put = |stays: u8, path: &TreePath, entry: Option<&Entry>| {
        hasher.update(&[stays]);
        hasher.update(path.as_bytes());
        if let Some(Entry { kind: Kind::File(content), .. }) = entry {
            hasher.update(&[0]);
            hasher.update(&content.sha256().0);
        }
    };
    stay.iter().for_each(|path| put(1, path, tree.get(path)));
    out.iter().for_each(|(path, entry)| put(0, path, Some(entry)));
    format!("format 1 {}", hasher.finalize().to_hex())
}

/// Directories that the choice has emptied go, too.
fn prune<'a>(tree: &mut Tree, base: &TreePath, out: impl Iterator<Item = &'a TreePath>) {
    let mut candidates: BTreeSet<TreePath> = out.filter_map(TreePath::parent).collect();
    while let Some(directory) = candidates.pop_last() {
        if directory == *base || !directory.is_under(base) || tree.under(&directory).count() != 1 {
            continue;
        }
        tree.remove(&directory);
        candidates.extend(directory.parent());
    }
}

/// What of the choice matches no module: likely a slip, or a kernel that has changed.
fn unused(modules: &[TreePath], base: &TreePath, selection: &ModuleSelection, notes: &mut Vec<String>) {
    let modules: Vec<String> = modules.iter().map(|path| relative(path, base)).collect();
    for drop in &selection.drop {
        let (directory, file) = (format!("{}/", drop.path), format!("{}.ko", drop.path));
        if !modules.iter().any(|module| module.starts_with(&directory) || module.starts_with(&file)) {
            notes.push(format!("the kernel has no module {}, which the profile drops", drop.path));
        }
    }
    for glob in selection.keep.iter().filter(|glob| !modules.iter().any(|module| glob.matches(module))) {
        notes.push(format!("the kernel has no modules like {glob}, which the profile keeps"));
    }
}

/// A module's path below its kernel's directory.
fn relative(path: &TreePath, base: &TreePath) -> String {
    let below = path.as_bytes().get(base.as_bytes().len() + 1..).unwrap_or_default();
    String::from_utf8_lossy(below).into_owned()
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
