//! The first river on one screen: profile -> lock -> packages -> tree -> root image -> boot image -> disk.
//!
//! [`build`] is the whole of it; each stage below takes what the one before it gave. How a stage works is in the room that it calls.

mod bios;
mod identity;
mod image;
mod lock;
mod medium_config;

pub use image::Format;
pub use lock::{Locked, Update, obtain, resolve};
pub use medium_config::MediumConfigError;

use crate::compose::content::Content;
use crate::compose::deb::DebError;
use crate::compose::facts::Facts;
use crate::compose::overlay::{self, ReadOverlay};
use crate::compose::tree::Tree;
use crate::compose::{self, Composed, check, derive, image_store};
use crate::container_image::ContainerImage;
use crate::embedded_init::EmbeddedInit;
use crate::emit::artifacts::{self, Names, Staging};
use crate::emit::stale::{Record, Seal};
use crate::failure::{Classified, Failure, Kind};
use crate::fetch::{Options, Session};
use crate::hash::Sha256Digest;
use crate::profile::{self, Library, Profile};
use crate::report::{Event, Reporter};
use crate::resolve::packages::PackagesError;
use crate::store::Store;
use identity::{Identity, Wish};
use image::{Emitted, Packages};
use kmimage_contract::cmdline::CmdlineError;
use kmimage_contract::manifest;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What to build.
#[derive(Debug)]
pub struct Request<'a> {
    /// Where profiles and overlays are.
    pub library: &'a Library,
    /// The profile's name.
    pub profile: &'a str,
    /// The folder that the artefacts become.
    pub output: &'a Path,
    /// The disk formats.
    pub formats: &'a BTreeSet<Format>,
    /// A machine config to put on the ISO.
    pub config: Option<&'a Path>,
    /// The lock file.
    pub lock: &'a Path,
    /// Refuse to make or change the lock.
    pub locked: bool,
    /// IMAGE_VERSION, if not the workspace's.
    pub image_version: Option<&'a str>,
    /// zstd level of the root image, if not the profile's.
    pub level: Option<i32>,
    /// SOURCE_DATE_EPOCH, if not the lock's date.
    pub epoch: Option<u32>,
    /// Threads.
    pub jobs: usize,
    /// How to fetch.
    pub fetch: &'a Options,
    /// A digest of the running program: another kmimage builds anew.
    pub builder: &'a str,
    /// Another init than the one that kmimage carries: for tests of one that is made to fail.
    pub init: Option<&'a Path>,
}

/// An image that stands in its folder.
#[derive(Debug)]
pub struct Built {
    /// The folder.
    pub directory: PathBuf,
    /// What the files are called.
    pub names: Names,
    /// False: it stood already, and nothing was written.
    pub fresh: bool,
}

/// The image's tree, derived and checked, with what was found on the way to it.
#[derive(Debug)]
pub struct FinishedTree {
    /// Every path of the image.
    pub tree: Tree,
    boot: compose::shape::BootInputs,
    container_images: Vec<manifest::ContainerImage>,
}

/// Builds an image, or finds it standing.
pub fn build(request: &Request<'_>, store: &Store, report: Reporter<'_>) -> Result<Built, Failure> {
    let profile = profile::load(request.library, request.profile)?;
    // A folder that will be refused is refused before anything is downloaded.
    artifacts::check_output(request.output)?;
    let medium_config = medium_config::read(request, &profile)?;
    let locked = lock::obtain(&profile, request.lock, request.locked, request.fetch, store, report)?;
    let identity = identity(request, &profile, &locked)?;
    let brought = Brought::read(&profile)?;
    let key = key(request, &profile, &locked, &identity, &brought, medium_config.as_deref());
    if let Some(directory) = standing(request, store, &key)? {
        report(Event::Stage(format!("{} is up to date", directory.display())));
        return Ok(Built { directory, names: identity.names, fresh: false });
    }
    let staging = Staging::begin(request.output, report)?;
    let finished = finished_tree(&profile, &locked, brought, &identity, request.fetch, store, report)?;
    let root = image::root_image(&finished.tree, &profile, &identity, request.formats, &staging, store, report)?;
    let boot = image::boot_image(&finished.tree, &profile, &identity, &finished.boot, &root, report)?;
    let packages = Packages { root: &locked.packages, boot: &locked.boot };
    let Emitted { directory, seals } = image::emit(
        &finished,
        &profile,
        &identity,
        &packages,
        &root,
        boot,
        request.formats,
        medium_config.as_deref(),
        staging,
        report,
    )?;
    remember(&directory, seals, store, &key, request.jobs)?;
    Ok(Built { directory, names: identity.names, fresh: true })
}

/// The tree that a build would pack, for `kmimage why`.
pub fn tree(request: &Request<'_>, store: &Store, report: Reporter<'_>) -> Result<(Profile, Locked, Tree), Failure> {
    let profile = profile::load(request.library, request.profile)?;
    let locked = lock::obtain(&profile, request.lock, request.locked, request.fetch, store, report)?;
    let identity = identity(request, &profile, &locked)?;
    let finished = finished_tree(&profile, &locked, Brought::read(&profile)?, &identity, request.fetch, store, report)?;
    Ok((profile, locked, finished.tree))
}

/// Packages -> tree: fetched, composed, derived, checked.
fn finished_tree(
    profile: &Profile,
    locked: &Locked,
    brought: Brought,
    identity: &Identity,
    options: &Options,
    store: &Store,
    report: Reporter<'_>,
) -> Result<FinishedTree, Failure> {
    report(Event::Stage(format!("fetching {} packages", locked.packages.len() + locked.boot.len())));
    let session = Session::new(options.clone(), &profile.repositories, store, report)?;
    let wanted: Vec<_> = locked.packages.iter().chain(&locked.boot).cloned().collect();
    let mut packages = session.packages(&wanted, &|package| locked.profile.date_of(&package.repository))?;
    let boot_packages = packages.split_off(locked.packages.len());

    report(Event::Stage("composing the tree".into()));
    let Brought { overlays, images } = brought;
    let inputs =
        compose::Inputs { profile, packages: &packages, boot_packages: &boot_packages, overlays, init: identity.init.clone() };
    let Composed { tree, boot, mut facts, statistics } = compose::compose(inputs, store, identity.jobs, report)?;
    report(Event::Note(statistics.to_string()));
    facts.gather_more(&tree, Some(store), identity.jobs)?;

    report(Event::Stage("deriving and checking".into()));
    let alternatives = lock::ledger(profile, &packages)?.alternatives;
    let mut tree = derive::all(
        tree,
        derive::Inputs { facts: &facts, init: &identity.init, release: &identity.release, alternatives: &alternatives },
    )?;
    check(&tree, &facts, profile, report)?;
    // The rules above are for what runs on the host; what containers bring is theirs.
    let container_images = image_store::lay(&mut tree, &images, store, identity.jobs, report)?;
    Ok(FinishedTree { tree, boot, container_images })
}

fn check(tree: &Tree, facts: &Facts, profile: &Profile, report: Reporter<'_>) -> Result<(), Failure> {
    let outcome = check::check(tree, facts, profile)?;
    outcome.into_iter().for_each(|note| report(Event::Note(note)));
    Ok(())
}

fn identity(request: &Request<'_>, profile: &Profile, locked: &Locked) -> Result<Identity, Failure> {
    // A lock's date before 1970 or after 2106 is no date of a package.
    let date = u32::try_from(locked.profile.date.as_second()).unwrap_or_default();
    let wish = Wish {
        image_version: request.image_version,
        level: request.level,
        epoch: request.epoch.unwrap_or(date),
        jobs: request.jobs,
    };
    let identity = Identity::new(profile, &wish, &EmbeddedInit::get())?;
    match request.init {
        None => Ok(identity),
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|source| InitError { path: path.to_owned(), source })?;
            Ok(identity.with_init(Content::from_bytes(bytes)))
        }
    }
}

/// What a profile brings along beside packages, read once: what was looked at for the build's identity is what goes into the image.
struct Brought {
    overlays: Vec<ReadOverlay>,
    images: Vec<ContainerImage>,
}

impl Brought {
    fn read(profile: &Profile) -> Result<Self, Failure> {
        Ok(Self {
            overlays: profile.overlays.iter().map(overlay::read).collect::<Result<_, _>>()?,
            images: profile.container_images.iter().map(ContainerImage::of_profile).collect::<Result<_, _>>()?,
        })
    }

    /// Of each of them a digest, in the profile's order.
    fn digests(&self) -> Vec<Sha256Digest> {
        let overlays = self.overlays.iter().map(ReadOverlay::digest);
        overlays.chain(self.images.iter().map(ContainerImage::digest)).collect()
    }
}

fn key(
    request: &Request<'_>,
    profile: &Profile,
    locked: &Locked,
    identity: &Identity,
    brought: &Brought,
    medium_config: Option<&[u8]>,
) -> String {
    let mut formats: Vec<String> = request.formats.iter().map(|format| format!("{format:?}")).collect();
    formats.extend(medium_config.map(|config| format!("Config {}", Sha256Digest::of(config))));
    let formats: Vec<&str> = formats.iter().map(String::as_str).collect();
    let packages: Vec<_> = locked.packages.iter().chain(&locked.boot).cloned().collect();
    identity.key(profile, &packages, &brought.digests(), &formats, request.builder)
}

/// Where the store remembers what a folder held.
const RECORDS: &str = "builds";

/// The output folder, if it holds exactly what a build with this key left there.
fn standing(request: &Request<'_>, store: &Store, key: &str) -> Result<Option<PathBuf>, Failure> {
    let Ok(directory) = fs_err::canonicalize(request.output) else { return Ok(None) };
    let record = store.cached(RECORDS, &directory.to_string_lossy())?;
    let record = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    Ok(record.filter(|record| record.is_current(&directory, key, request.jobs)).map(|_| directory))
}

fn remember(directory: &Path, seals: BTreeMap<String, Seal>, store: &Store, key: &str, jobs: usize) -> Result<(), Failure> {
    let record = Record::of(directory, key, seals, jobs).map_err(PipelineError::Read)?;
    let bytes = serde_json::to_vec(&record).map_err(PipelineError::Json)?;
    let directory = fs_err::canonicalize(directory).map_err(PipelineError::Read)?;
    Ok(store.put_cached(RECORDS, &directory.to_string_lossy(), &bytes)?)
}

/// What goes wrong between stages.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// `--locked`, and the lock does not answer the profile.
    #[error("{} {} {profile}", lock.display(), if *stale { "was made for other wishes of profile" } else { "does not lock profile" })]
    NotLocked {
        /// The profile.
        profile: String,
        /// The lock file.
        lock: PathBuf,
        /// It has the profile, but the profile asks for something else now.
        stale: bool,
    },
    /// A lock that was just made does not answer.
    #[error("the new lock of {profile} does not answer the profile that it was made for")]
    NoLock {
        /// The profile.
        profile: String,
    },
    /// A signed index is not what an index is.
    #[error("repository {repository}: {index}")]
    Index {
        /// The repository.
        repository: String,
        /// Which of its indexes.
        index: String,
        /// What is wrong.
        source: PackagesError,
    },
    /// The kernel's command line cannot be written.
    #[error("the kernel command line of profile {profile}")]
    CommandLine {
        /// The profile.
        profile: String,
        /// Why not.
        source: CmdlineError,
    },
    /// The boot image is larger than the profile lets it be.
    #[error("the boot image has {size} bytes, but image.boot-image-limit of profile {profile} is {limit} ({} KiB)", limit >> 10)]
    BootImageTooLarge {
        /// The profile.
        profile: String,
        /// The boot image's bytes.
        size: u64,
        /// The profile's limit in bytes.
        limit: u64,
    },
    /// A package cannot be read.
    #[error("package {package}")]
    Deb {
        /// Its name.
        package: String,
        /// What is wrong.
        source: DebError,
    },
    /// A file that kmimage keeps cannot be read.
    #[error("cannot read what was built")]
    Read(#[source] io::Error),
    /// A value has no JSON form.
    #[error("cannot write JSON")]
    Json(#[source] serde_json::Error),
}

impl Classified for PipelineError {
    fn kind(&self) -> Kind {
        match self {
            PipelineError::NotLocked { .. } | PipelineError::CommandLine { .. } => Kind::Profile,
            PipelineError::Index { .. } => Kind::Trust,
            PipelineError::BootImageTooLarge { .. } => Kind::Policy,
            PipelineError::Deb { source, .. } => source.kind(),
            PipelineError::Read(source) => crate::failure::io_kind(source),
            PipelineError::NoLock { .. } | PipelineError::Json(_) => Kind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            PipelineError::NotLocked { profile, .. } => {
                vec![format!("Run `kmimage lock --profile {profile}`, or build without --locked.")]
            }
            PipelineError::BootImageTooLarge { .. } => {
                vec!["Let the initramfs have fewer drivers (`[kernel.initramfs]`), or raise the limit and with it the memory that a \
                    machine needs to boot."
                    .to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// An init given on the command line can't be read.
#[derive(Debug, thiserror::Error)]
#[error("reading the init {}", path.display())]
struct InitError {
    path: PathBuf,
    source: io::Error,
}

impl Classified for InitError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}
