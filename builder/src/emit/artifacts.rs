//! The output folder as a set: built beside its place, swapped in by one rename (see `swap`), so that two versions never mix.
//!
//! The folder that a user names must be new, empty, or hold only what its own SHA256SUMS names; anything else is refused and left
//! untouched. A build works in a sibling folder (`.NAME.kmimage-NUMBER`) that it holds a lock on; what a killed build left behind
//! has no lock any more and is removed by the next one. Only files that builds make are ever removed: another one that got between
//! stays in a folder `NAME.kept-NUMBER`, and a warning names it.

mod error;
mod names;
#[cfg(test)]
mod tests;

pub use error::ArtifactsError;
pub use names::Names;

pub(super) use error::at;
pub(super) use names::RAW;

use super::{sparse, swap};
use crate::hash::Sha256Digest;
use crate::report::{Event, Reporter};
use crate::unbuffered;
use kmimage_contract::manifest::Artefact;
use rustix::fs::{FlockOperation, OFlags, flock};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The list of the set's files with their SHA-256, in the format of `sha256sum`.
pub const SHA256SUMS: &str = "SHA256SUMS";

/// A set of artefacts in the making. Dropped without [`Staging::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Staging {
    destination: PathBuf,
    directory: PathBuf,
    _lock: File,
    /// Files that are on the disk already.
    flushed: Mutex<BTreeSet<String>>,
    published: bool,
}

impl Staging {
    /// Checks the user's folder, removes what killed builds left beside it, and makes a folder to build in.
    pub fn begin(output: &Path, report: Reporter<'_>) -> Result<Self, ArtifactsError> {
        let destination = check_output(output)?;
        let (parent, prefix) = parent_and_prefix(&destination)?;
        at("create", parent, fs_err::create_dir_all(parent))?;
        tell_kept(&destination, swap::remove_leftovers(parent, &prefix, &destination)?, report);
        for number in 0.. {
            let directory = parent.join(format!("{prefix}{number}"));
            match fs_err::create_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                result => at("create", &directory, result)?,
            }
            // Another build that cleans up may have taken it for a leftover before the lock was on.
            if let Ok(lock) = File::open(&directory)
                && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
                && swap::is_same(&lock, &directory)
            {
                return Ok(Self { destination, directory, _lock: lock, flushed: Mutex::default(), published: false });
            }
        }
        Err(ArtifactsError::NoName(destination))
    }

    /// The folder to build in; everything in it becomes the set.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a file of the set is while it is built.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Creates a file of the set, to write and to read again.
    pub fn create(&self, name: &str) -> Result<File, ArtifactsError> {
        let path = self.path(name);
        at("create", &path, File::options().read(true).write(true).create_new(true).open(&path))
    }

    /// The file of this name in the set that will be replaced.
    pub fn replaces(&self, name: &str) -> Option<File> {
        File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(self.destination.join(name)).ok()
    }

    /// Writes a file of the set that is in memory.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ArtifactsError> {
        at("write", &self.path(name), unbuffered::write(&self.create(name)?, bytes, 0))
    }

    /// Size and SHA-256 of a finished file of the set. It is flushed to the disk meanwhile, so that [`Staging::publish`] has no need to
    /// wait.
    pub fn digest(&self, name: &str) -> Result<Artefact, ArtifactsError> {
        let path = self.path(name);
        let file = at("open", &path, File::open(&path))?;
        let size = at("read", &path, file.metadata())?.len();
        let (digest, flushed) = std::thread::scope(|scope| {
            let flush = scope.spawn(|| file.sync_all());
            let digest = sparse::sha256(&file);
            (digest, flush.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        at("flush", &path, flushed)?;
        self.mark_flushed(name);
        Ok(Artefact { size, sha256: at("read", &path, digest)?.to_string() })
    }

    /// Flushes a finished file of the set to the disk.
    pub fn flush(&self, name: &str) -> Result<(), ArtifactsError> {
        let path = self.path(name);
        at("flush", &path, File::open(&path).and_then(|file| file.sync_all()))?;
        self.mark_flushed(name);
        Ok(())
    }

    /// Says that a file of the set is on the disk already.
    pub fn mark_flushed(&self, name: &str) {
        self.flushed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    /// Writes SHA256SUMS, flushes everything to the disk and puts the set in its place; the set that was there is removed.
    /// `artefacts` must name every file of the set.
    pub fn publish(mut self, artefacts: &BTreeMap<String, Artefact>, report: Reporter<'_>) -> Result<PathBuf, ArtifactsError> {
        self.write(SHA256SUMS, sums(artefacts).as_bytes())?;
        let flushed = std::mem::take(&mut self.flushed).into_inner().unwrap_or_else(PoisonError::into_inner);
        for name in artefacts.keys().map(String::as_str).filter(|name| !flushed.contains(*name)).chain([SHA256SUMS]) {
            self.flush(name)?;
        }
        at("flush", &self.directory, File::open(&self.directory).and_then(|file| file.sync_all()))?;

        // The user may have put something there meanwhile.
        check_ours(&self.destination)?;
        let old = swap::put_in_place(&self.directory, &self.destination)?;
        self.published = true;
        let parent = self.destination.parent().unwrap_or(Path::new("."));
        at("flush", parent, File::open(parent).and_then(|file| file.sync_all()))?;
        if let Some(old) = old {
            tell_kept(&self.destination, swap::remove_set(&old, &self.destination)?, report);
        }
        Ok(self.destination.clone())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be said here; the next build removes what stays.
            let _ = fs_err::remove_dir_all(&self.directory);
        }
    }
}

/// Refuses an output folder that [`Staging::begin`] would refuse. Nothing is changed. Returns its absolute place.
pub fn check_output(output: &Path) -> Result<PathBuf, ArtifactsError> {
    let destination = settle(output)?;
    parent_and_prefix(&destination)?;
    if swap::is_mount_point(&destination)? {
        return Err(ArtifactsError::MountPoint(destination));
    }
    check_ours(&destination)?;
    Ok(destination)
}

fn tell_kept(destination: &Path, kept: impl IntoIterator<Item = PathBuf>, report: Reporter<'_>) {
    for kept in kept {
        report(Event::Warning(format!(
            "{} holds files that got into {} during a build and are not of its set; take what you need and remove it",
            kept.display(),
            destination.display()
        )));
    }
}

/// The absolute place of the output folder; a symbolic link to a folder is followed, so that it stays a link.
fn settle(output: &Path) -> Result<PathBuf, ArtifactsError> {
    match fs_err::canonicalize(output) {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if output.file_name().is_none() || fs_err::symlink_metadata(output).is_ok() {
                return Err(ArtifactsError::NotADirectory(output.to_owned()));
            }
            at("find", output, std::path::absolute(output))
        }
        Err(error) => at("find", output, Err(error)),
    }
}

fn parent_and_prefix(destination: &Path) -> Result<(&Path, String), ArtifactsError> {
    match (destination.parent(), destination.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, format!(".{}.kmimage-", name.to_string_lossy()))),
        _ => Err(ArtifactsError::NoName(destination.to_owned())),
    }
}

/// The names that a folder's SHA256SUMS holds, and itself; `None` if there is no such file.
pub(super) fn owned_names(directory: &Path) -> Result<Option<BTreeSet<String>>, ArtifactsError> {
    let path = directory.join(SHA256SUMS);
    match fs_err::read(&path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let names = text.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name.to_owned());
            // A name with a slash is none of ours: we write into the folder itself.
            Ok(Some(names.filter(|name| !name.contains('/')).chain([SHA256SUMS.to_owned()]).collect()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => at("read", &path, Err(error)),
    }
}

/// Refuses a folder that holds anything but a set of artefacts; one that does not exist is fine.
fn check_ours(directory: &Path) -> Result<(), ArtifactsError> {
    let entries = match fs_err::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(ArtifactsError::NotADirectory(directory.to_owned()));
        }
        Err(error) => return at("read", directory, Err(error)),
    };
    let owned = owned_names(directory)?.unwrap_or_default();
    let mut foreign = BTreeSet::new();
    for entry in entries {
        let entry = at("read", directory, entry)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = at("read", &entry.path(), entry.file_type())?.is_file();
        if !owned.contains(&name) || !is_file {
            foreign.insert(name);
        }
    }
    match foreign.pop_first() {
        None => Ok(()),
        Some(name) => Err(ArtifactsError::Foreign { directory: directory.to_owned(), name }),
    }
}

/// SHA256SUMS: a line for each file, in the order of the names.
fn sums(artefacts: &BTreeMap<String, Artefact>) -> String {
    artefacts.iter().map(|(name, artefact)| format!("{}  {name}\n", artefact.sha256)).collect()
}

/// The SHA-256 of small bytes as an artefact of the set.
pub fn artefact_of(bytes: &[u8]) -> Artefact {
    Artefact { size: bytes.len() as u64, sha256: Sha256Digest::of(bytes).to_string() }
}
