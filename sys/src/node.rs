//! Device nodes.

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::io;
use std::path::Path;

/// Makes a device node with exactly this mode, as far as the file mode creation mask lets it.
pub fn make(path: &Path, block: bool, major: u32, minor: u32, mode: u32) -> io::Result<()> {
    let kind = if block { FileType::BlockDevice } else { FileType::CharacterDevice };
    Ok(mknodat(CWD, path, kind, Mode::from_bits_truncate(mode), makedev(major, minor))?)
}
