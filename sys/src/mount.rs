//! Mounting, moving and unmounting file systems.

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CString;
use std::io;
use std::path::Path;

/// What a mount forbids; all false forbids nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restrictions {
    /// No writing.
    pub read_only: bool,
    /// No set-user-ID programs and file capabilities.
    pub no_suid: bool,
    /// No device nodes.
    pub no_dev: bool,
    /// No programs.
    pub no_exec: bool,
}

impl Restrictions {
    fn flags(self) -> MountFlags {
        let mut flags = MountFlags::empty();
        flags.set(MountFlags::RDONLY, self.read_only);
        flags.set(MountFlags::NOSUID, self.no_suid);
        flags.set(MountFlags::NODEV, self.no_dev);
        flags.set(MountFlags::NOEXEC, self.no_exec);
        flags
    }
}

/// Mounts a file system of `kind` from `source` (a device, or just a name) on `target`; `options` are the file system's own.
pub fn mount(source: &str, target: &Path, kind: &str, restrictions: Restrictions, options: &str) -> io::Result<()> {
    let options = CString::new(options)?;
    let options = (!options.is_empty()).then_some(options.as_c_str());
    Ok(rustix::mount::mount(source, target, kind, restrictions.flags(), options)?)
}

/// Shows the folder `source` at `target`, too, with the restrictions of its mount.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind(source, target)?)
}

/// Moves the mount at `from` to `to`.
pub fn move_mount(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_move(from, to)?)
}

/// Lets mounts below `target`, and those to come, be seen in mount namespaces made from this one.
pub fn make_shared(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_change(target, MountPropagationFlags::SHARED | MountPropagationFlags::REC)?)
}

/// Unmounts what is mounted last at `target`; busy file systems go when their last user does.
pub fn detach(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::DETACH)?)
}

/// Unmounts what is mounted last at `target`, refused while it is in use.
pub fn unmount(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::NOFOLLOW)?)
}

/// Makes what is mounted at `target` read-only and writes out what it holds.
pub fn remount_read_only(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_remount(target, MountFlags::RDONLY, c"")?)
}

/// Makes the mount at `new_root` the root of this process and of all that it starts; its working directory becomes `/`.
/// The old root stays below, unreachable: empty it before.
pub fn switch_root(new_root: &Path) -> io::Result<()> {
    rustix::process::chdir(new_root)?;
    rustix::mount::mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}
