//! The lock as a file: read whole, replaced whole.

use super::{Lock, LockError, decode, encode};
use crate::failure::innermost;
use crate::kept_file::{self, Durability};
use std::io::{self, Write};
use std::path::Path;

/// The lock in a file; `None` if there is no such file.
pub fn read(path: &Path) -> Result<Option<Lock>, LockError> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(decode(&path.display().to_string(), &bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LockError::Read { path: path.to_owned(), source }),
    }
}

/// Writes the lock unless the file says the same already; true if it was written. Whoever reads meanwhile sees the old or the new one.
pub fn write(path: &Path, lock: &Lock) -> Result<bool, LockError> {
    let text = encode(lock);
    let replace = || {
        match fs_err::read(path) {
            Ok(bytes) if bytes == text.as_bytes() => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // A lock that is a link into somewhere stays one.
        let target = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Less what the umask takes: a lock is shared by all who build.
        let mut beside = kept_file::begin(folder, ".kmimage.lock.", 0o666)?;
        beside.write_all(text.as_bytes())?;
        kept_file::settle(beside, &target, Durability::Synced)?;
        Ok(true)
    };
    replace().map_err(|source| LockError::Write { path: path.to_owned(), source: innermost(source) })
}
