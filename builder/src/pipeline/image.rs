//! Tree -> root image -> boot image -> disk: the last three stages, joined by what each gives the next.

use super::identity::Identity;
use super::{FinishedTree, PipelineError, bios};
use crate::assemble::block_cache::{self, BlockCache};
use crate::assemble::squashfs::{self, Target};
use crate::assemble::verity::{self, HashTree, VerityError};
use crate::assemble::{initramfs, initramfs_modules, microcode, uki};
use crate::compose::content::Content;
use crate::compose::shape::BootInputs;
use crate::compose::tree::Tree;
use crate::emit::artifacts::{ArtifactsError, Names, Staging, artefact_of};
use crate::emit::copies::{self, Copied, CopyError, Wanted};
use crate::emit::esp::boot_files::{self, EspFile};
use crate::emit::medium::plan::{MediumError, MediumPlan};
use crate::emit::medium::{self, menu};
use crate::emit::plan::{self, RootPlace};
use crate::emit::stale::{self, Seal};
use crate::emit::{files_tsv, manifest, raw, spdx};
use crate::failure::Failure;
use crate::lock::LockedPackage;
use crate::parallel;
use crate::profile::Profile;
use crate::report::{Event, Reporter};
use crate::store::Store;
use kmimage_contract::boot_records::uefi;
use kmimage_contract::cmdline::{Cmdline, Parameter};
use kmimage_contract::disk_layout::Slot;
use kmimage_contract::manifest::{Artefact, ContainerImage};
use kmimage_contract::verity::RootHash;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A format that an image is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Format {
    /// The bytes of a disk, sparse: for `dd`, USB sticks, any hypervisor.
    Raw,
    /// QEMU's and Proxmox's format, sparse.
    Qcow2,
    /// The medium that machines are started live and installed from: a CD, and on a USB stick a disk.
    Iso,
}

/// zstd level of the initramfs: 19 would make it a tenth smaller, and take 20 times as long.
const INITRAMFS_LEVEL: i32 = 9;

/// The root in its place on the raw disk: squashfs and hash tree, and nothing around them yet.
pub(super) struct RootImage {
    disk: File,
    place: RootPlace,
    len: u64,
    hash_tree: HashTree,
}

/// A finished set in its folder.
pub(super) struct Emitted {
    /// The folder.
    pub(super) directory: PathBuf,
    /// What its big files hold.
    pub(super) seals: BTreeMap<String, Seal>,
}

/// What firmware starts.
pub(super) struct BootImage {
    files: boot_files::Boot,
    grub: bios::Grub,
    kernel_release: String,
}

/// Packs the tree into its slot on the raw disk, both cores busy, hashing what is written on the way. The qcow2 is made from that disk,
/// too: where nobody asked for it, it is a file without a name.
pub(super) fn root_image(
    tree: &Tree,
    profile: &Profile,
    identity: &Identity,
    formats: &BTreeSet<Format>,
    staging: &Staging,
    store: &Store,
    report: Reporter<'_>,
) -> Result<RootImage, Failure> {
    report(Event::Stage(format!("packing the root image (zstd level {})", identity.level)));
    let name = identity.names.raw();
    let io = |source| Failure::from(cannot_write(staging, &name, source));
    let slot_size = profile.image.slot_size;
    let place = plan::root_place(slot_size)?;
    let disk = if formats.contains(&Format::Raw) {
        staging.create(&name)?
    } else {
        tempfile::tempfile_in(staging.directory()).map_err(io)?
    };
    raw::begin(&place, &disk).map_err(io)?;
    let salt = verity::salt(&identity.release.image_id, &identity.release.version);
    let options = squashfs::Options {
        level: identity.level,
        block_size: profile.image.block_size,
        epoch: identity.epoch,
        jobs: identity.jobs,
        salt: Some(salt),
    };
    let cache = BlockCache::open(store.directory().join(block_cache::FOLDER))?;
    let replaced = staging.replaces(&name);
    let target = Target { file: &disk, offset: place.root, room: Some(slot_size), replaces: replaced.as_ref() };
    let summary = squashfs::write(tree, &options, Some(&cache), target, report).map_err(|error| match error {
        squashfs::Error::Write { source, .. } => io(source),
        other => other.into(),
    })?;
    let leaves = match summary.leaves {
        Some(leaves) => leaves,
        None => verity::hash_file(&disk, place.root, summary.len, salt, identity.jobs)?,
    };
    let hash_tree = HashTree::new(leaves)?;
    hash_tree.write(&disk, place.hash_tree).map_err(|error| match error {
        VerityError::Write(source) => io(source),
        other => other.into(),
    })?;
    Ok(RootImage { disk, place, len: summary.len, hash_tree })
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
    let mut initramfs = microcode::archive(&inputs.microcode)?;
    initramfs.extend(initramfs::build(&initramfs::Inputs { init: &identity.init, modules: &modules, level: INITRAMFS_LEVEL })?);
    let (cmdline, profiles) = command_lines(profile, &root.hash_tree.root_hash())?;
    let read = |content: &Content| content.to_vec().map_err(PipelineError::Read);
    let kernel = read(&inputs.kernel)?;
    let uki = uki::build(&uki::Inputs {
        stub: &read(&inputs.stub)?,
        os_release: identity.release.render().as_bytes(),
        cmdline: &cmdline,
        release: &inputs.release,
        initramfs: &initramfs,
        kernel: &kernel,
        profiles: &profiles,
    })?;
    check_size(profile, uki.len() as u64)?;
    let grub = bios::Grub::read(inputs)?;
    let bios::OnDisk { boot_code: grub_boot, core: grub_core } = grub.for_disk(root.place.boot_core)?;
    let files = boot_files::Boot {
        uki: uki.into(),
        kernel: kernel.into(),
        initramfs: initramfs.into(),
        cmdline,
        loader: read(&inputs.loader)?.into(),
        grub_boot,
        grub_core,
    };
    Ok(BootImage { files, grub, kernel_release: inputs.release.clone() })
}

fn check_size(profile: &Profile, size: u64) -> Result<(), PipelineError> {
    match profile.image.boot_image_limit {
        Some(limit) if size > limit => Err(PipelineError::BootImageTooLarge { profile: profile.name.clone(), size, limit }),
        _ => Ok(()),
    }
}

/// The command line with the root hash, and those of the other things that the boot image can start.
fn command_lines(profile: &Profile, root_hash: &RootHash) -> Result<(String, Vec<uki::Profile>), PipelineError> {
    let mut cmdline = Cmdline::parse(&profile.kernel.cmdline.join(" "));
    let lines = Parameter::value("roothash", &root_hash.to_string()).and_then(|parameter| {
        cmdline.parameters.insert(0, parameter);
        Ok((bios::check_length(cmdline.render()?)?, menu::profiles(&cmdline, root_hash)?))
    });
    lines.map_err(|source| PipelineError::CommandLine { profile: profile.name.clone(), source })
}

/// Writes disks and descriptions into `staging`, and puts the set in its place.
#[expect(clippy::too_many_arguments, reason = "the last stage is where everything meets")]
pub(super) fn emit(
    finished: &FinishedTree,
    profile: &Profile,
    identity: &Identity,
    packages: &Packages<'_>,
    root: &RootImage,
    boot: BootImage,
    formats: &BTreeSet<Format>,
    medium_config: Option<&[u8]>,
    staging: Staging,
    report: Reporter<'_>,
) -> Result<Emitted, Failure> {
    report(Event::Stage("writing and hashing the artefacts".into()));
    let names = &identity.names;
    let boot_files = &boot.files;
    let esp_files = boot_files::factory(&profile.role, &identity.release.version, boot_files);
    let medium = match formats.contains(&Format::Iso) {
        true => Some(medium(profile, identity, root, &boot.grub, &esp_files, medium_config)?),
        false => None,
    };
    let plan = plan::plan(plan::Inputs {
        root_hash: root.hash_tree.root_hash(),
        root_len: root.len,
        hash_tree_len: root.hash_tree.len(),
        slot_size: profile.image.slot_size,
        epoch: i64::from(identity.epoch),
        esp_files,
        boot_code: Arc::clone(&boot_files.grub_boot),
        boot_core: Arc::clone(&boot_files.grub_core),
    })?;
    if let Some(warning) = plan.tight_slot() {
        report(Event::Warning(warning));
    }
    raw::finish(&plan, &root.disk).map_err(|source| cannot_write(&staging, &names.raw(), source))?;
    // The longest first: the raw disk is a gigabyte of mostly nothing, and SHA-256, which cannot be split, has to see all of it. The
    // other threads make the rest meanwhile.
    let has_raw = formats.contains(&Format::Raw);
    let sources = [Source::Raw, Source::Copies, Source::Uki, Source::Files, Source::Spdx];
    let sources: Vec<_> = sources.into_iter().filter(|source| has_raw || *source != Source::Raw).collect();
    let made = parallel::each(&sources, identity.jobs, |source, _| -> Result<Vec<Made>, Failure> {
        match source {
            Source::Raw => Ok(vec![(names.raw(), Some(staging.digest(&names.raw())?), None)]),
            Source::Copies => copies(names, root, formats, medium.as_ref(), &staging),
            Source::Uki => Ok(vec![in_memory(&staging, names.uki(), &boot_files.uki)?]),
            Source::Files => Ok(vec![in_memory(&staging, names.files(), files_tsv::render(&finished.tree).as_bytes())?]),
            Source::Spdx => {
                Ok(vec![in_memory(&staging, names.spdx(), sbom(identity, packages, &finished.container_images)?.as_bytes())?])
            }
        }
    })?;
    let (mut artefacts, mut seals) = (BTreeMap::new(), BTreeMap::new());
    for (name, artefact, seal) in made.into_iter().flatten() {
        seals.extend(seal.map(|seal| (name.clone(), seal)));
        artefacts.extend(artefact.map(|artefact| (name, artefact)));
    }
    let manifest = manifest::fill(manifest::Facts {
        profile: &profile.name,
        role: &profile.role,
        image_version: &identity.release.version,
        epoch: u64::from(identity.epoch),
        kernel: &boot.kernel_release,
        packages: &packages.root.iter().collect::<Vec<_>>(),
        boot_packages: &packages.boot.iter().collect::<Vec<_>>(),
        container_images: finished.container_images.clone(),
        init: identity.init_facts(),
        root_hash: root.hash_tree.root_hash(),
        verity: root.hash_tree.params(),
        plan: &plan,
        artefacts: artefacts.clone(),
    });
    let text = manifest::encode(&manifest).map_err(PipelineError::Json)?;
    staging.write(&names.manifest(), text.as_bytes())?;
    artefacts.insert(names.manifest(), artefact_of(text.as_bytes()));
    Ok(Emitted { directory: staging.publish(&artefacts, report)?, seals })
}

/// The packages of an image, as locked.
pub(super) struct Packages<'a> {
    /// Those in the root.
    pub(super) root: &'a [LockedPackage],
    /// Those that lent boot files.
    pub(super) boot: &'a [LockedPackage],
}

/// Where artefacts come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The raw disk is written already; it is hashed.
    Raw,
    /// Root image, qcow2 and ISO are copied out of the raw disk, whose seal is taken on the way.
    Copies,
    Uki,
    Files,
    Spdx,
}

/// A file of the set by name, with what the manifest says of it and what the next build knows it by, as far as its source knows.
type Made = (String, Option<Artefact>, Option<Seal>);

/// Plans the medium: the disk's boot files with a menu in the place of its entry, and the root.
fn medium(
    profile: &Profile,
    identity: &Identity,
    root: &RootImage,
    grub: &bios::Grub,
    disk: &[EspFile],
    config: Option<&[u8]>,
) -> Result<MediumPlan, MediumError> {
    let version = &identity.release.version;
    let efi = uefi::uki_path(Slot::A);
    medium::plan::plan(medium::plan::Inputs {
        root_hash: root.hash_tree.root_hash(),
        root: root.place.root..root.place.root + root.len,
        hash_tree: root.place.hash_tree..root.place.hash_tree + root.hash_tree.len(),
        label: format!("{} {version}", identity.release.image_id),
        epoch: i64::from(identity.epoch),
        esp_files: medium::files::of_disk(disk, &profile.role, version, efi, config),
        bios: Some(grub.for_medium()?),
    })
}

fn copies(
    names: &Names,
    root: &RootImage,
    formats: &BTreeSet<Format>,
    medium: Option<&MediumPlan>,
    staging: &Staging,
) -> Result<Vec<Made>, Failure> {
    let root_file = staging.create(&names.root())?;
    let qcow2_file = if formats.contains(&Format::Qcow2) { Some(staging.create(&names.qcow2())?) } else { None };
    let iso_file = if medium.is_some() { Some(staging.create(&names.iso())?) } else { None };
    let wanted = Wanted {
        disk: &root.disk,
        root_at: root.place.root..root.place.root + root.len,
        root: &root_file,
        qcow2: qcow2_file.as_ref(),
        iso: iso_file.as_ref().zip(medium),
    };
    let copies = copies::make(&wanted).map_err(|error| match error {
        CopyError::Disk(source) => cannot_write(staging, &names.raw(), source),
        CopyError::Root(source) => cannot_write(staging, &names.root(), source),
        CopyError::Qcow2(source) => cannot_write(staging, &names.qcow2(), source),
        CopyError::Iso(source) => cannot_write(staging, &names.iso(), source),
    })?;
    let made = |name: String, copied: Copied| {
        staging.mark_flushed(&name);
        (name, Some(Artefact { size: copied.size, sha256: copied.sha256.to_string() }), Some(copied.seal))
    };
    let mut all = vec![made(names.root(), copies.root)];
    all.extend(copies.qcow2.map(|qcow2| made(names.qcow2(), qcow2)));
    all.extend(copies.iso.map(|iso| made(names.iso(), iso)));
    if formats.contains(&Format::Raw) {
        all.push((names.raw(), None, Some(copies.disk)));
    }
    Ok(all)
}

fn in_memory(staging: &Staging, name: String, bytes: &[u8]) -> Result<Made, Failure> {
    staging.write(&name, bytes)?;
    staging.flush(&name)?;
    Ok((name, Some(artefact_of(bytes)), Some(stale::seal_of(bytes))))
}

fn sbom(identity: &Identity, packages: &Packages<'_>, images: &[ContainerImage]) -> Result<String, PipelineError> {
    spdx::render(&spdx::Facts {
        image_id: &identity.release.image_id,
        image_version: &identity.release.version,
        epoch: i64::from(identity.epoch),
        packages: &packages.root.iter().chain(packages.boot).collect::<Vec<_>>(),
        images,
        crates: &identity.crates,
    })
    .map_err(PipelineError::Json)
}

fn cannot_write(staging: &Staging, name: &str, source: io::Error) -> ArtifactsError {
    ArtifactsError::Io { step: "write", path: staging.path(name), source }
}
