//! Packages' tree -> the image's tree: what the profile drops, moves and changes, each in a file of its own.
//!
//! The order is fixed by [`shape`]: the boot inputs are found, licences collected, modules chosen, paths dropped, then moved.
//! Modes come last, after the overlays (`compose` calls [`modes::apply`]). Nothing here knows a package by name.

pub mod boot;
mod drops;
mod error;
mod licences;
mod microcode;
pub mod modes;
pub mod modules;
mod moves;
mod unpacked;

pub use boot::BootInputs;
pub use error::ShapeError;
pub use microcode::{Microcode, Vendor};

use super::facts::Facts;
use super::tree::Tree;
use super::unpack::Unpacked;
use crate::profile::Profile;
use crate::store::Store;

/// What shaping did, beside changing the tree.
#[derive(Debug)]
pub struct Shaped {
    /// Kernel, stub and loaders, handed apart from the root.
    pub boot: BootInputs,
    /// How many kernel modules stayed and went.
    pub modules: modules::ModuleCounts,
    /// How many entries the profile's `drop` took out, and how many bytes of files.
    pub dropped: (usize, u64),
    /// What is worth a word: patterns that match nothing, packages without a licence.
    pub notes: Vec<String>,
}

/// Shapes the root. `boot` is the tree of the boot packages; `facts` takes what choosing modules found out about them.
pub fn shape(
    tree: &mut Tree,
    boot: &Tree,
    packages: &[Unpacked],
    profile: &Profile,
    facts: &mut Facts,
    store: &Store,
    jobs: usize,
) -> Result<Shaped, ShapeError> {
    let mut notes = Vec::new();
    let boot = boot::find(tree, boot)?;
    licences::collect(tree, packages, &profile.licences, &mut notes)?;
    let modules = modules::select(tree, &boot.release, &profile.kernel.modules, facts, store, jobs, &mut notes)?;
    let dropped = drops::apply(tree, &profile.drops, &profile.licences, &mut notes);
    boot::clear(tree);
    moves::apply(tree, &profile.moves)?;
    Ok(Shaped { boot, modules, dropped, notes })
}

#[cfg(test)]
mod tests;
