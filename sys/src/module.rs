//! Loading kernel modules; the kernel itself decompresses `.ko.xz` and `.ko.zst`.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

/// linux/module.h: the file is compressed.
const COMPRESSED_FILE: i32 = 4;

/// What became of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// It is loaded now.
    Now,
    /// It was loaded before.
    Before,
    /// It found nothing to drive on this machine and left again (ENODEV), such as efivarfs without EFI.
    NotNeeded,
}

/// Loads a module from its file. Modules that it needs must be loaded already.
pub fn load(path: &Path) -> io::Result<Loaded> {
    load_with(path, "")
}

/// As [`load`], with parameters (`name=value`, separated by spaces; kernel/params.c).
pub fn load_with(path: &Path, parameters: &str) -> io::Result<Loaded> {
    let parameters = CString::new(parameters)?;
    let file = File::open(path)?;
    let compressed = path.extension().is_some_and(|extension| extension != "ko");
    match rustix::system::finit_module(&file, &parameters, if compressed { COMPRESSED_FILE } else { 0 }) {
        Ok(()) => Ok(Loaded::Now),
        Err(rustix::io::Errno::EXIST) => Ok(Loaded::Before),
        Err(rustix::io::Errno::NODEV) => Ok(Loaded::NotNeeded),
        Err(error) => Err(error.into()),
    }
}

/// The running kernel's release: the name of its folder of modules.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}
