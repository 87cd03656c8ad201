//! `kmimage diff`: what differs between two images. Pure, over what `contents` read of them.
//!
//! Packages and artefacts are known from a manifest (an output folder, a `.json`), files from a `.files.tsv` or from the root
//! image itself. What one side does not say is not compared, and the result says so.

mod contents;
mod text;

pub use contents::{Contents, read};

use super::ShowError;
use super::listing::FileFacts;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What differs between two images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Facts of the image as a whole that differ, by name.
    pub image: BTreeMap<&'static str, Change<String>>,
    /// Packages that differ, by name; none if a side names no packages.
    pub packages: Option<BTreeMap<String, Change<String>>>,
    /// Container images that differ, by name, with their manifests' digests; none if a side names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_images: Option<BTreeMap<String, Change<String>>>,
    /// Files that differ, by path (escaped as in `.files.tsv`); none if a side lists no files.
    pub files: Option<BTreeMap<String, FileChange>>,
    /// True if files of the same size were told apart by their SHA-256.
    pub contents_compared: bool,
    /// Sizes in bytes that differ: of artefacts by their ending, and of the files in the root together.
    pub sizes: BTreeMap<String, Change<u64>>,
}

/// Before and after; none: not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// In the first image.
    pub from: Option<T>,
    /// In the second.
    pub to: Option<T>,
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Bytes before and after; none: not there, or no regular file.
    pub size: Change<u64>,
    /// What differs: empty for a path that only one image has.
    pub what: Vec<String>,
    /// Who brought it, in the image that has it, the second before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// True if only the second image has it.
    pub added: bool,
    /// True if only the first image has it.
    pub removed: bool,
}

/// Compares two images: each an output folder, a manifest, a root image, or a disk image.
pub fn compare(first: &Path, second: &Path) -> Result<Diff, ShowError> {
    Ok(diff(&read(first)?, &read(second)?))
}

/// Compares what was read of two images.
pub fn diff(first: &Contents, second: &Contents) -> Diff {
    let both = |a: bool, b: bool| a && b;
    let listed = |from: &Option<BTreeMap<String, String>>, to: &Option<BTreeMap<String, String>>| match (from, to) {
        (Some(from), Some(to)) => Some(changes(from, to)),
        _ => None,
    };
    let files = match (&first.files, &second.files) {
        (Some(from), Some(to)) => Some(file_changes(from, to)),
        _ => None,
    };
    Diff {
        image: first
            .image
            .iter()
            .filter_map(|(name, from)| {
                let to = second.image.get(name)?;
                (from != to).then(|| (*name, Change { from: Some(from.clone()), to: Some(to.clone()) }))
            })
            .collect(),
        packages: listed(&first.packages, &second.packages),
        container_images: listed(&first.container_images, &second.container_images),
        files,
        contents_compared: both(first.hashed, second.hashed),
        sizes: changes(&first.sizes(), &second.sizes()),
    }
}

impl Diff {
    /// True if nothing that was compared differs.
    pub fn is_empty(&self) -> bool {
        self.image.is_empty()
            && self.packages.as_ref().is_none_or(BTreeMap::is_empty)
            && self.container_images.as_ref().is_none_or(BTreeMap::is_empty)
            && self.files.as_ref().is_none_or(BTreeMap::is_empty)
            && self.sizes.is_empty()
    }
}

fn changes<T: Clone + PartialEq>(from: &BTreeMap<String, T>, to: &BTreeMap<String, T>) -> BTreeMap<String, Change<T>> {
    let names = from.keys().chain(to.keys());
    let rows = names.filter(|name| from.get(*name) != to.get(*name));
    rows.map(|name| (name.clone(), Change { from: from.get(name).cloned(), to: to.get(name).cloned() })).collect()
}

fn file_changes(from: &BTreeMap<String, FileFacts>, to: &BTreeMap<String, FileFacts>) -> BTreeMap<String, FileChange> {
    let mut changes = BTreeMap::new();
    for path in from.keys().chain(to.keys()) {
        let (a, b) = (from.get(path), to.get(path));
        let what = match (a, b) {
            (Some(a), Some(b)) => differences(a, b),
            _ => Vec::new(),
        };
        if a.is_some() && b.is_some() && what.is_empty() {
            continue;
        }
        let size = Change { from: a.and_then(|facts| facts.size), to: b.and_then(|facts| facts.size) };
        let origin = b.and_then(|facts| facts.origin.clone()).or_else(|| a.and_then(|facts| facts.origin.clone()));
        changes.insert(path.clone(), FileChange { size, what, origin, added: a.is_none(), removed: b.is_none() });
    }
    changes
}

/// What differs between two files at one path; a fact that one side does not know is no difference.
fn differences(a: &FileFacts, b: &FileFacts) -> Vec<String> {
    let mut what = Vec::new();
    if a.kind != b.kind {
        what.push(format!("type {} -> {}", a.kind, b.kind));
        return what;
    }
    let known = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
    if a.size != b.size || known(&a.content, &b.content) {
        what.push(if a.kind == 'f' { "content".to_owned() } else { "target".to_owned() });
    }
    if a.mode != b.mode {
        what.push(format!("mode {:04o} -> {:04o}", a.mode, b.mode));
    }
    if a.owner != b.owner {
        what.push(format!("owner {} -> {}", a.owner, b.owner));
    }
    if known(&a.attributes, &b.attributes) {
        what.push("attributes".to_owned());
    }
    what
}

#[cfg(test)]
mod tests;
