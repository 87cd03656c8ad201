//! Folders changing places: a finished set comes in, the one before it goes, and nothing that is not ours is ever removed.
//!
//! One `renameat2` exchanges the two folders, so that every moment shows one set, whole. A file system that can't exchange (NFS, some
//! of FUSE) gets two renames: for the moment between them there is no set, and a power cut then leaves the old one, whole, under the
//! name that [`aside`] chose.

use super::artifacts::{ArtifactsError, Names, SHA256SUMS, at, owned_names};
use crate::parallel;
use rustix::fs::{AtFlags, CWD, FlockOperation, RenameFlags, StatxAttributes, StatxFlags, flock, renameat_with, statx};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Renames a folder, as `renameat2` does; a parameter, for file systems that can do less than those of a test machine.
type Rename = fn(&Path, &Path, RenameFlags) -> Result<(), Errno>;

/// Puts the folder `new` in the place of `destination`. Returns where the folder is now that was there.
pub(super) fn put_in_place(new: &Path, destination: &Path) -> Result<Option<PathBuf>, ArtifactsError> {
    put_in_place_by(|from, to, flags| renameat_with(CWD, from, CWD, to, flags), new, destination)
}

fn put_in_place_by(rename: Rename, new: &Path, destination: &Path) -> Result<Option<PathBuf>, ArtifactsError> {
    match rename(new, destination, RenameFlags::EXCHANGE) {
        Ok(()) => return Ok(Some(new.to_owned())),
        Err(Errno::NOENT) => {}
        Err(error) if is_unsupported(error) => {
            let Some(old) = aside(destination, destination)? else {
                return create(rename, new, destination).map(|()| None);
            };
            return match create(rename, new, destination) {
                Ok(()) => Ok(Some(old)),
                // Over an empty folder at most, so that what came meanwhile stays.
                Err(error) => match fs_err::rename(&old, destination) {
                    Ok(()) => Err(error),
                    Err(source) => Err(ArtifactsError::Aside { destination: destination.to_owned(), old, source }),
                },
            };
        }
        Err(error) => return at("replace", destination, Err(error.into())),
    }
    create(rename, new, destination).map(|()| None)
}

/// Renames `new` to a place where nothing is. Something that came meanwhile is an error.
fn create(rename: Rename, new: &Path, destination: &Path) -> Result<(), ArtifactsError> {
    let renamed = match rename(new, destination, RenameFlags::NOREPLACE) {
        // A folder replaces an empty folder only.
        Err(error) if is_unsupported(error) => rename(new, destination, RenameFlags::empty()),
        result => result,
    };
    at("create", destination, renamed.map_err(io::Error::from))
}

/// The file system knows `rename` without flags only.
fn is_unsupported(error: Errno) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP].contains(&error)
}

/// Renames a folder to `DESTINATION.kept-NUMBER`, which no build ever touches. `None`: the folder is gone.
fn aside(folder: &Path, destination: &Path) -> Result<Option<PathBuf>, ArtifactsError> {
    let name = destination.file_name().unwrap_or_default().to_string_lossy();
    for number in 0..u32::MAX {
        let kept = destination.with_file_name(format!("{name}.kept-{number}"));
        // Made first, so that the rename can't replace anything but this empty folder.
        match fs_err::create_dir(&kept) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            result => at("create", &kept, result)?,
        }
        let Err(error) = fs_err::rename(folder, &kept) else { return Ok(Some(kept)) };
        at("remove", &kept, fs_err::remove_dir(&kept))?;
        return if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { at("move away", folder, Err(error)) };
    }
    Err(ArtifactsError::NoName(destination.to_owned()))
}

/// Removes the folder of a set that was replaced. Anything that is not of the set stays, in a folder that is returned.
pub(super) fn remove_set(folder: &Path, destination: &Path) -> Result<Option<PathBuf>, ArtifactsError> {
    remove_names(folder, &owned_names(folder)?.unwrap_or_default(), destination)
}

/// Removes `names`, and the folder if it is empty then. Another build that removes the same is no error.
fn remove_names(folder: &Path, names: &BTreeSet<String>, destination: &Path) -> Result<Option<PathBuf>, ArtifactsError> {
    // The list goes last: a removal that is cut short can be finished by it.
    let files: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != SHA256SUMS).collect();
    let remove = |name: &str| {
        let path = folder.join(name);
        match fs_err::remove_file(&path) {
            // A folder is none of ours, whatever its name.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => Ok(()),
            result => at("remove", &path, result),
        }
    };
    // A disk image takes as long as its blocks are many; the files don't wait for one another.
    parallel::map(&files, 4, |name| remove(name)).into_iter().collect::<Result<(), _>>()?;
    remove(SHA256SUMS)?;
    match fs_err::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => aside(folder, destination),
        result => at("remove", folder, result).map(|()| None),
    }
}

/// Removes sibling folders (`prefix` and a number) of builds that are no more; a folder whose lock is held belongs to a build at work.
/// Returns the folders that now hold what was in them and is not ours.
pub(super) fn remove_leftovers(parent: &Path, prefix: &str, destination: &Path) -> Result<Vec<PathBuf>, ArtifactsError> {
    let mut kept = Vec::new();
    for entry in at("read", parent, fs_err::read_dir(parent))? {
        let entry = at("read", parent, entry)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(prefix));
        if number.is_none_or(|number| number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit())) {
            continue;
        }
        let path = entry.path();
        let Ok(lock) = File::open(&path) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && is_same(&lock, &path) {
            let names = match owned_names(&path)? {
                Some(names) => names,
                // Killed before its list was written: the files that builds make.
                None => built_names(&path)?,
            };
            kept.extend(remove_names(&path, &names, destination)?);
        }
    }
    Ok(kept)
}

fn built_names(folder: &Path) -> Result<BTreeSet<String>, ArtifactsError> {
    let mut names = BTreeSet::new();
    let entries = match fs_err::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
        result => at("read", folder, result)?,
    };
    for entry in entries {
        let name = at("read", folder, entry)?.file_name();
        names.extend(name.to_str().filter(|name| Names::is_built(name)).map(str::to_owned));
    }
    Ok(names)
}

/// True if `path` is (still) the folder that was opened.
pub(super) fn is_same(open: &File, path: &Path) -> bool {
    match (open.metadata(), fs_err::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// True for a folder that can't be renamed or replaced, as something is mounted on it (or it is the top of a btrfs subvolume).
pub(super) fn is_mount_point(folder: &Path) -> Result<bool, ArtifactsError> {
    let here = match fs_err::metadata(folder) {
        Ok(here) => here,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return at("find", folder, Err(error)),
    };
    let Some(parent) = folder.parent().filter(|_| here.is_dir()) else { return Ok(false) };
    if at("find", parent, fs_err::metadata(parent))?.dev() != here.dev() {
        return Ok(true);
    }
    // A bind mount can be of the same device; kernels before 5.8 can't tell.
    Ok(statx(CWD, folder, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|known| (known.stx_attributes & known.stx_attributes_mask).contains(StatxAttributes::MOUNT_ROOT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Classified;

    fn folder(path: PathBuf, files: &[&str]) -> PathBuf {
        fs_err::create_dir(&path).unwrap();
        files.iter().for_each(|name| fs_err::write(path.join(name), name).unwrap());
        path
    }

    fn listing(root: &Path) -> Vec<String> {
        let mut rows = Vec::new();
        for entry in fs_err::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                rows.extend(listing(&path).iter().map(|below| format!("{name}/{below}")));
            }
            rows.push(name);
        }
        rows.sort();
        rows
    }

    /// A file system like NFS: no flags.
    fn plain(from: &Path, to: &Path, flags: RenameFlags) -> Result<(), Errno> {
        if flags == RenameFlags::EXCHANGE && !to.exists() {
            return Err(Errno::NOENT);
        }
        if flags.is_empty() { renameat_with(CWD, from, CWD, to, flags) } else { Err(Errno::INVAL) }
    }

    #[test]
    fn a_file_system_without_exchange_gets_two_renames() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let destination = root.join("base");
        let new = folder(root.join("new"), &["one"]);
        assert_eq!(put_in_place_by(plain, &new, &destination).unwrap(), None);
        let new = folder(root.join("new"), &["two"]);
        assert_eq!(put_in_place_by(plain, &new, &destination).unwrap(), Some(root.join("base.kept-0")));
        assert_eq!(listing(root), ["base", "base.kept-0", "base.kept-0/one", "base/two"]);
        let old = root.join("base.kept-0");
        assert_eq!(remove_names(&old, &BTreeSet::from(["one".to_owned()]), &destination).unwrap(), None);
        assert_eq!(listing(root), ["base", "base/two"]);
    }

    #[test]
    fn a_set_that_does_not_come_in_leaves_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let destination = folder(root.join("base"), &["one"]);
        let broken: Rename = |_, _, flags| Err(if flags.is_empty() { Errno::IO } else { Errno::INVAL });
        let error = put_in_place_by(broken, &root.join("new"), &destination).unwrap_err();
        assert_eq!(error.to_string(), format!("can't create {}", destination.display()));
        assert_eq!(listing(root), ["base", "base/one"]);
        // Another build's set came between the two renames.
        let crossed: Rename = |_, to, flags| {
            if flags.is_empty() {
                folder(to.to_owned(), &["theirs"]);
                return Err(Errno::NOTEMPTY);
            }
            Err(Errno::INVAL)
        };
        let error = put_in_place_by(crossed, &root.join("new"), &destination).unwrap_err();
        assert_eq!(
            error.to_string().replace(root.to_str().unwrap(), "D"),
            "something else came to D/base; what was there before is now D/base.kept-0"
        );
        assert_eq!(error.hints().len(), 1);
        assert_eq!(listing(root), ["base", "base.kept-0", "base.kept-0/one", "base/theirs"]);
    }

    #[test]
    fn what_is_not_of_the_set_stays_when_the_set_goes() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let destination = folder(root.join("base"), &[]);
        folder(root.join("base.kept-0"), &["earlier"]);
        let old = folder(root.join(".base.kmimage-0"), &["a.raw", "thesis"]);
        fs_err::write(old.join(SHA256SUMS), "00  a.raw\n00  gone.raw\n00  b.raw\n").unwrap();
        fs_err::create_dir(old.join("b.raw")).unwrap();
        assert_eq!(remove_set(&old, &destination).unwrap(), Some(root.join("base.kept-1")));
        let expect = ["base", "base.kept-0", "base.kept-0/earlier", "base.kept-1", "base.kept-1/b.raw", "base.kept-1/thesis"];
        assert_eq!(listing(root), expect);
        assert_eq!(remove_leftovers(root, ".base.kmimage-", &destination).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(listing(root), expect);
        // Another build was faster.
        assert_eq!(remove_set(&old, &destination).unwrap(), None);
    }

    #[test]
    fn leftovers_go_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let destination = root.join("base");
        // Killed at work; killed while it removed the old set; the same, and a user's file in it.
        folder(root.join(".base.kmimage-0"), &["kmimage-base-1-amd64.raw", "kmimage-base-1-amd64.root.squashfs"]);
        let listed = folder(root.join(".base.kmimage-1"), &["x"]);
        fs_err::write(listed.join(SHA256SUMS), "00  x\n").unwrap();
        let foreign = folder(root.join(".base.kmimage-2"), &["kmimage-base-2-amd64.raw"]);
        fs_err::write(foreign.join(SHA256SUMS), "00  x\n").unwrap();
        assert_eq!(remove_leftovers(root, ".base.kmimage-", &destination).unwrap(), [root.join("base.kept-0")]);
        assert_eq!(listing(root), ["base.kept-0", "base.kept-0/kmimage-base-2-amd64.raw"]);
    }

    #[test]
    fn mount_points_are_told() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(directory.path()).unwrap());
        assert!(!is_mount_point(&directory.path().join("none")).unwrap());
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(!is_mount_point(Path::new("/proc/self/fdinfo")).unwrap());
    }
}
