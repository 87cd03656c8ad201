//! The steps from packages to the tree, in order.

use super::content::Content;
use super::facts::Facts;
use super::overlay::ReadOverlay;
use super::shape::modules::ModuleCounts;
use super::shape::{self, BootInputs, modes};
use super::tree::{Entry, Origin, Tree, TreePath};
use super::{links, merge, unpack};
use crate::failure::Failure;
use crate::fetch::FetchedPackage;
use crate::profile::Profile;
use crate::report::{Event, Reporter};
use crate::store::Store;
use kmimage_contract::paths::{INIT, SBIN_INIT};
use std::fmt;

/// What a tree is composed of.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// What to make.
    pub profile: &'a Profile,
    /// The root's packages.
    pub packages: &'a [FetchedPackage],
    /// The boot packages, which never enter the root.
    pub boot_packages: &'a [FetchedPackage],
    /// The profile's overlays, read once: what was looked at for the build's identity is what is laid over the tree.
    pub overlays: Vec<ReadOverlay>,
    /// The static init binary.
    pub init: Content,
}

/// The tree as packages, profile and overlays make it, and what goes beside it.
#[derive(Debug)]
pub struct Composed {
    /// The root: every path is the profile's, a package's, an overlay's or kmimage's; derived files are not there yet.
    pub tree: Tree,
    /// Kernel, stub, loaders.
    pub boot: BootInputs,
    /// What is known already of the tree's files (the kernel's modules, if they had to be looked at): go on with
    /// [`Facts::gather_more`], so that nothing is decoded twice.
    pub facts: Facts,
    /// Figures for the summary.
    pub statistics: Statistics,
}

/// Figures for the summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packages in the root.
    pub packages: usize,
    /// Kernel modules that stayed and went.
    pub modules: ModuleCounts,
    /// Entries that the profile's `drop` took out.
    pub dropped_entries: usize,
    /// Bytes of files among them.
    pub dropped_bytes: u64,
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packages, modules, dropped_entries, dropped_bytes } = self;
        let mib = dropped_bytes.div_ceil(1 << 20);
        let all = modules.kept + modules.dropped;
        write!(f, "{packages} packages, {} of {all} kernel modules, {dropped_entries} paths ({mib} MiB) dropped", modules.kept)
    }
}

/// Composes the tree. `report` is told of progress, and of what the profile asks for in vain.
pub fn compose(inputs: Inputs<'_>, store: &Store, jobs: usize, report: Reporter<'_>) -> Result<Composed, Failure> {
    let profile = inputs.profile;
    let all: Vec<FetchedPackage> = inputs.packages.iter().chain(inputs.boot_packages).cloned().collect();
    let mut packages = unpack::unpack(store, &all, jobs, report)?;
    let boot_packages = packages.split_off(inputs.packages.len());

    let merge::Merged { mut tree, notes } = merge::merge(&packages)?;
    let boot = merge::merge(&boot_packages)?.tree;
    notes.into_iter().for_each(|note| report(Event::Note(note)));

    let mut facts = Facts::default();
    let shaped = shape::shape(&mut tree, &boot, &packages, profile, &mut facts, store, jobs)?;
    shaped.notes.into_iter().for_each(|note| report(Event::Note(note)));

    place_init(&mut tree, &inputs.init);
    for overlay in inputs.overlays {
        overlay.apply(&mut tree)?;
    }
    modes::apply(&mut tree, &profile.modes)?;
    links::renumber(&mut tree);
    let (dropped_entries, dropped_bytes) = shaped.dropped;
    let statistics = Statistics { packages: packages.len(), modules: shaped.modules, dropped_entries, dropped_bytes };
    Ok(Composed { tree, boot: shaped.boot, facts, statistics })
}

/// The init and its link, so that an overlay's would be seen to clash. (What else every image has is the derive step `skeleton`'s.)
fn place_init(tree: &mut Tree, init: &Content) {
    let link = format!("..{}", INIT.strip_prefix("/usr").unwrap_or(INIT));
    let entries = [(INIT, Entry::file(init.clone(), 0o755, Origin::Kmimage)), (SBIN_INIT, Entry::symlink(link, Origin::Kmimage))];
    for (path, entry) in entries {
        // The contract's paths are sane.
        if let Ok(path) = TreePath::new(path) {
            tree.insert(path, entry);
        }
    }
}
