//! Leaving the initramfs: give its memory back, take the kernel's file systems along, make the root `/`, start its init.

use super::{Stage1Error, become_init};
use kmimage_contract::paths;
use kmimage_sys::mount;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What stage 1 mounted and the root needs.
const TAKEN_ALONG: [&str; 3] = ["dev", "proc", "sys"];

/// Enters the root; never returns but with an error.
pub(super) fn enter(new_root: &Path) -> Result<Infallible, Stage1Error> {
    let fail = |step: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| Stage1Error::Switch { step, path, source }
    };
    let root = Path::new("/");
    let device = std::fs::symlink_metadata(root).map_err(fail("reading", root))?.dev();
    // Before the moves: until then a failure finds the command line and the consoles.
    empty(root, device).map_err(fail("emptying", root))?;
    let take_along = TAKEN_ALONG.iter().try_for_each(|name| {
        let to = new_root.join(name);
        mount::move_mount(&root.join(name), &to).map_err(fail("moving a mount to", &to))
    });
    let switched = take_along.and_then(|()| mount::switch_root(new_root).map_err(fail("switching to", new_root)));
    if switched.is_err() {
        // To say so on the consoles takes /dev and /proc where they were.
        for name in TAKEN_ALONG {
            let _ = mount::move_mount(&new_root.join(name), &root.join(name));
        }
    }
    switched?;
    let error = become_init();
    Err(fail("starting", &PathBuf::from(paths::SBIN_INIT))(error))
}

/// Removes everything below a folder that is on this device: the initramfs' files are memory that nobody would ever free. Other file
/// systems are left alone. What can't be removed stays; the folder with the new root is one of these.
fn empty(folder: &Path, device: u64) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = std::fs::symlink_metadata(&path)?;
        if metadata.dev() != device {
            continue;
        }
        let _ = if metadata.is_dir() {
            empty(&path, device)?;
            std::fs::remove_dir(&path)
        } else {
            std::fs::remove_file(&path)
        };
    }
    Ok(())
}
