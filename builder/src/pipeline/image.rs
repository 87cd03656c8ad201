//! Tree -> root image -> boot image -> disk: the last three stages, joined by what each gives the next.

use super::PipelineError;
use super::identity::Identity;
use crate::assemble::block_cache::{self, BlockCache};
use crate::assemble::squashfs::{self, Target};
use crate::assemble::verity::{self, HashTree, VerityError};
use crate::assemble::{initramfs, initramfs_modules, uki};
use crate::compose::shape::BootInputs;
use crate::compose::tree::Tree;
use crate::emit::artifacts::{ArtifactsError, Names, Staging, artefact_of};
use crate::emit::esp::boot_files;
use crate::emit::plan::{self, DiskPlan};
use crate::emit::{files_tsv, manifest, qcow2, raw, spdx};
use crate::failure::Failure;
use crate::lock::LockedPackage;
use crate::profile::Profile;
use crate::report::{Event, Reporter};
use crate::store::{Store, parallel};
use kmimage_contract::cmdline::{Cmdline, Parameter};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A format that a disk is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Format {
    /// The bytes of a disk, sparse: for `dd`, USB sticks, any hypervisor.
    Raw,
    /// QEMU's and Proxmox's format, sparse.
    Qcow2,
}

/// zstd level of the initramfs: nearly all of it is modules that xz has packed already.
const INITRAMFS_LEVEL: i32 = 9;

/// The root as it lies on a disk: squashfs and hash tree.
pub(super) struct RootImage {
    file: File,
    len: u64,
    hash_tree: HashTree,
    tree_file: File,
}

/// What firmware starts.
pub(super) struct BootImage {
    uki: Vec<u8>,
    kernel_release: String,
    loader: Vec<u8>,
}

/// Packs the tree into `staging`, both cores busy, hashing what is written on the way.
pub(super) fn root_image(
    tree: &Tree,
    profile: &Profile,
    identity: &Identity,
    staging: &Staging,
    store: &Store,
    report: Reporter<'_>,
) -> Result<RootImage, Failure> {
    report(Event::Stage(format!("packing the root image (zstd level {})", identity.level)));
    let names = &identity.names;
    let file = staging.create(&names.root())?;
    let options = squashfs::Options {
        level: identity.level,
        block_size: profile.image.block_size,
        epoch: identity.epoch,
        jobs: identity.jobs,
        salt: Some(verity::salt(&identity.release.image_id, &identity.release.version)),
    };
    let cache = BlockCache::open(store.directory().join(block_cache::FOLDER))?;
    let target = Target { file: &file, offset: 0, room: Some(profile.image.slot_size) };
    let summary = squashfs::write(tree, &options, Some(&cache), target, report).map_err(|error| match error {
        squashfs::Error::Write { source, .. } => Failure::from(cannot_write(staging, &names.root(), source)),
        other => other.into(),
    })?;
    let leaves = match summary.leaves {
        Some(leaves) => leaves,
        None => verity::hash_file(
            &file,
            0,
            summary.len,
            verity::salt(&identity.release.image_id, &identity.release.version),
            identity.jobs,
        )?,
    };
    let hash_tree = HashTree::new(leaves)?;
    let tree_file = tempfile::tempfile_in(staging.directory()).map_err(|source| ArtifactsError::Io {
        step: "create",
        path: staging.directory().to_path_buf(),
        source,
    })?;
    hash_tree.write(&tree_file, 0).map_err(|error| match error {
        // It has no name, and its disk is full: the folder is what the reader knows.
        VerityError::Write(source) => {
            Failure::from(ArtifactsError::Io { step: "write into", path: staging.directory().to_path_buf(), source })
        }
        other => other.into(),
    })?;
    Ok(RootImage { file, len: summary.len, hash_tree, tree_file })
}

/// Makes initramfs and UKI; the command line carries the root hash and no slot.
pub(super) fn boot_image(
    tree: &Tree,
    profile: &Profile,
    identity: &Identity,
    inputs: &BootInputs,
    root: &RootImage,
    report: Reporter<'_>,
) -> Result<BootImage, Failure> {
    report(Event::Stage(format!("making the boot image (kernel {})", inputs.release)));
    let modules = initramfs_modules::in_load_order(tree, &inputs.release, &profile.kernel.initramfs)?;
    let initramfs = initramfs::build(&initramfs::Inputs { init: &identity.init, modules: &modules, level: INITRAMFS_LEVEL })?;
    let cmdline = command_line(profile, root)?;
    let read = |content: &crate::compose::content::Content| content.to_vec().map_err(PipelineError::Read);
    let uki = uki::build(&uki::Inputs {
        stub: &read(&inputs.stub)?,
        os_release: identity.release.render().as_bytes(),
        cmdline: &cmdline,
        release: &inputs.release,
        initramfs: &initramfs,
        kernel: &read(&inputs.kernel)?,
    })?;
    check_size(profile, uki.len() as u64)?;
    Ok(BootImage { uki, kernel_release: inputs.release.clone(), loader: read(&inputs.loader)? })
}

fn check_size(profile: &Profile, size: u64) -> Result<(), PipelineError> {
    match profile.image.boot_image_limit {
        Some(limit) if size > limit => Err(PipelineError::BootImageTooLarge { profile: profile.name.clone(), size, limit }),
        _ => Ok(()),
    }
}

fn command_line(profile: &Profile, root: &RootImage) -> Result<String, PipelineError> {
    let mut cmdline = Cmdline::parse(&profile.kernel.cmdline.join(" "));
    let text = Parameter::value("roothash", &root.hash_tree.root_hash().to_string()).and_then(|parameter| {
        cmdline.parameters.insert(0, parameter);
        cmdline.render()
    });
    text.map_err(|source| PipelineError::CommandLine { profile: profile.name.clone(), source })
}

/// Writes disks and descriptions into `staging`, and puts the set in its place.
#[expect(clippy::too_many_arguments, reason = "the last stage is where everything meets")]
pub(super) fn emit(
    tree: &Tree,
    profile: &Profile,
    identity: &Identity,
    packages: &Packages<'_>,
    root: &RootImage,
    boot: BootImage,
    formats: &BTreeSet<Format>,
    staging: Staging,
    report: Reporter<'_>,
) -> Result<PathBuf, Failure> {
    report(Event::Stage("writing the disk".into()));
    let names = &identity.names;
    let uki: Arc<[u8]> = boot.uki.into();
    let plan = plan::plan(plan::Inputs {
        root_hash: root.hash_tree.root_hash(),
        root_len: root.len,
        hash_tree_len: root.hash_tree.len(),
        slot_size: profile.image.slot_size,
        epoch: i64::from(identity.epoch),
        esp_files: boot_files::factory(&profile.role, &identity.release.version, &boot.loader.into(), &uki),
    })?;
    if let Some(warning) = plan.tight_slot() {
        report(Event::Warning(warning));
    }
    let raw = raw_disk(&plan, root, names, formats, &staging)?;

    report(Event::Stage("writing and hashing the artefacts".into()));
    // The longest first: the raw disk is a gigabyte of mostly nothing, and SHA-256, which cannot be split, has to see all of it. The
    // other threads write and hash the rest meanwhile.
    let sources = [
        (names.raw(), Source::Disk(Format::Raw)),
        (names.qcow2(), Source::Disk(Format::Qcow2)),
        (names.root(), Source::Written),
        (names.uki(), Source::Uki),
        (names.files(), Source::Files),
        (names.spdx(), Source::Spdx),
    ];
    let sources: Vec<_> =
        sources.into_iter().filter(|(_, source)| !matches!(source, Source::Disk(format) if !formats.contains(format))).collect();
    let made = parallel::each(&sources, identity.jobs, |(name, source), _| -> Result<_, Failure> {
        match source {
            Source::Written | Source::Disk(Format::Raw) => {}
            Source::Disk(Format::Qcow2) => {
                let file = staging.create(name)?;
                qcow2::write(&raw, &file).map_err(|source| cannot_write(&staging, name, source))?;
            }
            Source::Uki => staging.write(name, &uki)?,
            Source::Files => staging.write(name, files_tsv::render(tree).as_bytes())?,
            Source::Spdx => staging.write(name, sbom(identity, packages)?.as_bytes())?,
        }
        Ok((name.clone(), staging.digest(name)?))
    })?;
    let mut artefacts: BTreeMap<_, _> = made.into_iter().collect();
    let manifest = manifest::fill(manifest::Facts {
        profile: &profile.name,
        role: &profile.role,
        image_version: &identity.release.version,
        epoch: u64::from(identity.epoch),
        kernel: &boot.kernel_release,
        packages: &packages.root.iter().collect::<Vec<_>>(),
        boot_packages: &packages.boot.iter().collect::<Vec<_>>(),
        init: identity.init_facts(),
        root_hash: root.hash_tree.root_hash(),
        verity: root.hash_tree.params(),
        plan: &plan,
        artefacts: artefacts.clone(),
    });
    let text = manifest::encode(&manifest).map_err(PipelineError::Json)?;
    staging.write(&names.manifest(), text.as_bytes())?;
    artefacts.insert(names.manifest(), artefact_of(text.as_bytes()));
    Ok(staging.publish(&artefacts, report)?)
}

/// The packages of an image, as locked.
pub(super) struct Packages<'a> {
    /// Those in the root.
    pub(super) root: &'a [LockedPackage],
    /// Those that lent boot files.
    pub(super) boot: &'a [LockedPackage],
}

/// Where an artefact comes from.
enum Source {
    /// It was written by an earlier step.
    Written,
    Disk(Format),
    Uki,
    Files,
    Spdx,
}

fn sbom(identity: &Identity, packages: &Packages<'_>) -> Result<String, PipelineError> {
    spdx::render(&spdx::Facts {
        image_id: &identity.release.image_id,
        image_version: &identity.release.version,
        epoch: i64::from(identity.epoch),
        packages: &packages.root.iter().chain(packages.boot).collect::<Vec<_>>(),
        crates: &identity.crates,
    })
    .map_err(PipelineError::Json)
}

fn cannot_write(staging: &Staging, name: &str, source: io::Error) -> ArtifactsError {
    ArtifactsError::Io { step: "write", path: staging.path(name), source }
}

/// Writes the raw disk, which the qcow2 is made from; where nobody asked for it, it is a file without a name.
fn raw_disk(
    plan: &DiskPlan,
    root: &RootImage,
    names: &Names,
    formats: &BTreeSet<Format>,
    staging: &Staging,
) -> Result<File, ArtifactsError> {
    let io = |source| cannot_write(staging, &names.raw(), source);
    let disk = if formats.contains(&Format::Raw) {
        staging.create(&names.raw())?
    } else {
        tempfile::tempfile_in(staging.directory()).map_err(io)?
    };
    raw::write(plan, &raw::Parts { root: &root.file, hash_tree: &root.tree_file }, &disk).map_err(io)?;
    Ok(disk)
}
