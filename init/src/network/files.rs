//! Files that others read while they are replaced: written beside, then renamed.

use std::io;
use std::path::Path;

/// Replaces a file's content at once. Its folder must be there.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, content)?;
    std::fs::rename(&beside, path)
}

/// Replaces it only where it differs, so that who watches it is not woken for nothing.
pub(crate) fn update(path: &Path, content: &[u8]) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|known| known == content) { Ok(()) } else { replace(path, content) }
}
