//! Which of the kernel's modules stay: first by path, as the profile says, then with everything that those need.
//!
//! What a module needs is in its own bytes, which must be decompressed; so only modules that stay are looked at, and they stay
//! decompressed ([`unpacked`]). The outcome is kept in the store by the modules' digests and the choice, so that a build with the same
//! kernel and the same choice decodes nothing.

use super::ShapeError;
use super::unpacked::{self, Place};
use crate::compose::facts::{Facts, ModuleName, is_module_name};
use crate::compose::tree::{Entry, Kind, Tree, TreePath};
use crate::profile::ModuleSelection;
use crate::store::{Pack, Store};
use kmimage_contract::paths;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The kind under which the store keeps choices.
const KIND: &str = "kernel-modules";

/// A choice as the store keeps it, beside the pack of its modules.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    /// Paths of modules that stay because others need them.
    needed: Vec<String>,
    /// Where the modules that were packed lie in the pack.
    places: Vec<Place>,
    pack_len: u64,
}

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

/// Takes the modules that go out of `tree`, with directories that hold nothing any more, and unpacks the others. `facts` takes what was found out.
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
    let (Chosen { needed, places, .. }, pack) = match known(store, &key)? {
        Some(known) => known,
        None => {
            let (pack, mut chosen) = store.put_pack(KIND, &key, |pack| -> Result<_, ShapeError> {
                let mut places = Vec::new();
                let needed = closure(tree, &stay, &out, |modules| unpacked::unpack(modules, facts, jobs, pack, &mut places))?;
                Ok(Chosen { needed: needed.iter().map(TreePath::to_string).collect(), places, pack_len: 0 })
            })?;
            chosen.pack_len = pack.len;
            store.put_cached(KIND, &key, &serde_json::to_vec(&chosen).unwrap_or_default())?;
            (chosen, pack)
        }
    };
    let needed: BTreeSet<TreePath> = needed.iter().filter_map(|path| TreePath::new(path).ok()).collect();
    for path in &needed {
        if let Some(entry) = out.remove(path) {
            tree.insert(path.clone(), entry);
        }
    }
    prune(tree, &base, out.keys());
    unpacked::place(tree, &places, pack);
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

/// What the store knows of this choice.
fn known(store: &Store, key: &str) -> Result<Option<(Chosen, Pack)>, ShapeError> {
    let chosen = store.cached(KIND, key)?.and_then(|bytes| serde_json::from_slice::<Chosen>(&bytes).ok());
    let Some(chosen) = chosen else { return Ok(None) };
    let pack = store.pack(KIND, key)?.filter(|pack| pack.len == chosen.pack_len);
    Ok(pack.map(|pack| (chosen, pack)))
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
    format!("format 2 {}", hasher.finalize().to_hex())
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
