//! What maintainer scripts would have done, as steps in Rust: a step a file, each a function of the tree (and of what is known of its
//! files), each held in a `tools_` test against the program that it replaces.
//!
//! Steps read the merged and shaped tree with its overlays, and add entries of the origin `Origin::Derive(step)`. What an overlay
//! brings stays as it is where it is configuration (a CA bundle, passwd, modules.dep, ...), and is refused where only kmimage can know
//! the content (os-release, ld.so.cache, init).

pub mod alternatives;
pub mod ca_certificates;
mod error;
pub mod kernel_modules;
pub mod ld_so_cache;
mod ld_so_conf;
pub mod os_release;
pub mod skeleton;
pub mod users;

pub use error::DeriveError;
pub(crate) use ld_so_cache::library_cache;
pub(crate) use ld_so_conf::{library_defaults, library_directories};

use super::content::Content;
use super::facts::Facts;
use super::tree::{Entry, Kind, Origin, Tree, TreePath};
use kmimage_contract::release::Release;

/// What the steps need beside the tree.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What is known of the tree's files.
    pub facts: &'a Facts,
    /// The init binary.
    pub init: &'a Content,
    /// What the image is.
    pub release: &'a Release,
    /// What maintainer scripts would have told update-alternatives, in the order of packages.
    pub alternatives: &'a [alternatives::Alternative],
}

/// Every step, in order: directories first, what others read before what reads it, the library cache last.
pub fn all(mut tree: Tree, inputs: Inputs<'_>) -> Result<Tree, DeriveError> {
    skeleton::derive(&mut tree, inputs.init)?;
    os_release::derive(&mut tree, inputs.release)?;
    users::derive(&mut tree)?;
    alternatives::derive(&mut tree, inputs.alternatives)?;
    ca_certificates::derive(&mut tree)?;
    kernel_modules::derive(&mut tree, inputs.facts)?;
    ld_so_cache::derive(&mut tree, inputs.facts)?;
    Ok(tree)
}

/// No text that a step reads is longer: modules.order, a sysusers.d file, a certificate.
const TEXT_LIMIT: u64 = 16 << 20;

fn path(text: &str) -> Result<TreePath, DeriveError> {
    TreePath::new(text).map_err(|source| DeriveError::Path { path: text.to_owned(), source })
}

/// Puts configuration that an overlay may bring itself: what it brings stays.
fn put_unless_overlaid(tree: &mut Tree, path: TreePath, entry: Entry) {
    if !matches!(tree.get(&path).map(|entry| &entry.origin), Some(Origin::Overlay(_))) {
        tree.insert(path, entry);
    }
}

/// Puts what only kmimage can know; an overlay that brings it is wrong.
fn put_own(tree: &mut Tree, path: TreePath, entry: Entry) -> Result<(), DeriveError> {
    if let Some(Origin::Overlay(overlay)) = tree.get(&path).map(|entry| &entry.origin) {
        return Err(DeriveError::OverlayOwns { path, overlay: overlay.to_string() });
    }
    tree.insert(path, entry);
    Ok(())
}

/// The bytes of the regular file at `path`, symbolic links followed; none if there is none.
fn read(tree: &Tree, path: &TreePath) -> Result<Option<Vec<u8>>, DeriveError> {
    let Some(Kind::File(content)) = tree.resolve(path).and_then(|path| tree.get(&path)).map(|entry| &entry.kind) else {
        return Ok(None);
    };
    if content.len() > TEXT_LIMIT {
        return Err(DeriveError::TooLong { path: path.clone() });
    }
    content.to_vec().map(Some).map_err(|source| DeriveError::Read { path: path.clone(), source })
}

/// As [`read`], a text; bytes that are no UTF-8 are replaced.
pub(crate) fn text_at(tree: &Tree, path: &TreePath) -> Result<Option<String>, DeriveError> {
    Ok(read(tree, path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The regular files directly or anywhere below a directory, by path, whose names end in `suffix`.
fn files_below<'a>(tree: &'a Tree, directory: &'a TreePath, suffix: &'a [u8]) -> impl Iterator<Item = &'a TreePath> {
    tree.under(directory)
        .filter(move |(path, entry)| matches!(entry.kind, Kind::File(_)) && path.name().ends_with(suffix))
        .map(|(path, _)| path)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
