//! The directories and links that every image has, whatever its packages bring: mount points, the links of a merged /usr, init.
//!
//! Init itself comes from kmimage, not from a package. An empty /etc/machine-id (mode 0444) is what systemd's machine-id(5) has for an
//! image that many machines boot: uninitialised, a place for init to bind the machine's own over. No hostname is set: it is the
//! machine's, not the image's.

use super::{DeriveError, path, put_own, put_unless_overlaid};
use crate::compose::content::Content;
use crate::compose::tree::{Entry, Kind, Origin, Tree};
use kmimage_contract::paths;

const STEP: Origin = Origin::Derive("skeleton");

/// Directories beside contract's mount points, with their modes.
const DIRECTORIES: [(&str, u16); 10] = [
    ("/etc", 0o755),
    ("/root", 0o700),
    ("/usr/bin", 0o755),
    ("/usr/lib", 0o755),
    ("/usr/lib64", 0o755),
    ("/usr/sbin", 0o755),
    ("/var/cache", 0o755),
    ("/var/lib", 0o755),
    ("/var/log", 0o755),
    ("/var/tmp", 0o1777),
];

/// Modes of mount points that are not 0755: what is there until something is mounted over it.
const MOUNT_POINT_MODES: [(&str, u16); 3] = [("/proc", 0o555), ("/sys", 0o555), ("/tmp", 0o1777)];

/// Links, with their targets.
const LINKS: [(&str, &str); 7] = [
    ("/bin", "usr/bin"),
    ("/lib", "usr/lib"),
    ("/lib64", "usr/lib64"),
    ("/sbin", "usr/sbin"),
    ("/etc/mtab", "../proc/self/mounts"),
    ("/var/run", "/run"),
    ("/var/lock", "/run/lock"),
];

/// Adds what is missing; init replaces whatever /sbin/init a package brings.
pub fn derive(tree: &mut Tree, init: &Content) -> Result<(), DeriveError> {
    let mount_points = paths::MOUNT_POINTS.iter().map(|directory| {
        let mode = MOUNT_POINT_MODES.iter().find(|(name, _)| name == directory).map_or(0o755, |(_, mode)| *mode);
        (*directory, mode)
    });
    for (directory, mode) in mount_points.chain(DIRECTORIES) {
        let directory = path(directory)?;
        if tree.get(&directory).is_none() {
            tree.insert(directory, Entry::new(Kind::Directory, mode, STEP));
        }
    }
    for (link, target) in LINKS {
        let link = path(link)?;
        if tree.get(&link).is_none() {
            tree.insert(link, Entry::symlink(target, STEP));
        }
    }
    put_unless_overlaid(tree, path("/etc/machine-id")?, Entry::file(Content::from_bytes([]), 0o444, STEP));
    put_own(tree, path(paths::INIT)?, Entry::file(init.clone(), 0o755, Origin::Kmimage))?;
    for link in [paths::SBIN_INIT, paths::SBIN_MODPROBE] {
        put_own(tree, path(link)?, Entry::symlink(relative_to_usr_sbin(paths::INIT), Origin::Kmimage))?;
    }
    Ok(())
}

fn relative_to_usr_sbin(target: &str) -> String {
    target.strip_prefix("/usr/").map_or_else(|| target.to_owned(), |rest| format!("../{rest}"))
}
