//! The life of a file that kmimage keeps: it comes into being whole, is marked when it is used, and may be gone already when it goes.
//!
//! A file is written beside its place, under a name that nobody looks for, and renamed when it is complete; dropped before that, it is
//! removed. So nobody ever sees half of one. Errors are plain `io::Error`s: what failed for whom is known where these are called.

use fs_err as fs;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// Whether a finished file must survive a power cut at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Flushed to the disk before it is renamed, and the rename, too.
    Synced,
    /// Left to the system: for data that carries its own seal, where a torn file merely counts as absent. (A build makes hundreds
    /// of these; flushing each would cost more than the work it saves.)
    Sealed,
}

/// A file in `folder`, which must be of the file system that it will stay on; its name begins with `prefix`, and the umask takes from
/// `mode` what it takes.
pub(crate) fn begin(folder: &Path, prefix: &str, mode: u32) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(prefix).permissions(Permissions::from_mode(mode)).tempfile_in(folder)
}

/// Gives a finished file its name, in the place of whatever had it.
pub(crate) fn settle(file: NamedTempFile, path: &Path, durability: Durability) -> io::Result<File> {
    if durability == Durability::Synced {
        file.as_file().sync_all()?;
    }
    let file = file.persist(path).map_err(|error| error.error)?;
    if durability == Durability::Synced {
        sync_folder_of(path)?;
    }
    Ok(file)
}

/// Makes a rename to `path` durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

/// Marks a file as used now, which whoever collects garbage goes by. Failing to is no error: what may not be written to is still good
/// to read from.
pub(crate) fn mark_used(file: &File) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(file, &Timestamps { last_access: now, last_modification: now });
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kept");
        let names = || fs::read_dir(directory.path()).unwrap().count();
        for (text, durability) in [("one", Durability::Sealed), ("two", Durability::Synced)] {
            let mut file = begin(directory.path(), ".beside-", 0o640).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert_ne!(fs::read(&path).unwrap_or_default(), text.as_bytes());
            settle(file, &path, durability).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names()), (text, 1));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
        drop(begin(directory.path(), ".beside-", 0o600).unwrap());
        assert_eq!(names(), 1);

        let file = fs::File::options().write(true).open(&path).unwrap().into_file();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        mark_used(&file);
        assert!(file.metadata().unwrap().modified().unwrap() > std::time::SystemTime::UNIX_EPOCH);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(names(), 0);
    }
}
