//! The links in /dev/disk: which device each name leads to, and keeping them so.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What devices want, and what is made.
#[derive(Debug)]
pub(super) struct DiskLinks {
    root: PathBuf,
    /// Names by device.
    wanted: BTreeMap<String, BTreeSet<String>>,
    /// The device that each name leads to.
    made: BTreeMap<String, String>,
}

impl DiskLinks {
    /// Links below a folder (/dev/disk).
    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), wanted: BTreeMap::new(), made: BTreeMap::new() }
    }

    /// Gives a device these names; none: it is gone. A link that can't be made is tried again at the next change.
    pub(super) fn set(&mut self, device: &str, names: BTreeSet<String>) -> io::Result<()> {
        if names.is_empty() {
            self.wanted.remove(device);
        } else {
            self.wanted.insert(device.to_owned(), names);
        }
        let settled = settle(&self.wanted, &self.made);
        let mut result = Ok(());
        let gone: Vec<String> = self.made.keys().filter(|name| !settled.contains_key(*name)).cloned().collect();
        for name in gone {
            let _ = std::fs::remove_file(self.root.join(&name));
            self.made.remove(&name);
        }
        for (name, device) in settled {
            if self.made.get(&name) == Some(&device) {
                continue;
            }
            match self.link(&name, &device) {
                Ok(()) => {
                    self.made.insert(name, device);
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn link(&self, name: &str, device: &str) -> io::Result<()> {
        let path = self.root.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Beside, then in its place: the name is never missing while it moves from one device to another.
        let beside = path.with_file_name(format!(".{device}.new"));
        let _ = std::fs::remove_file(&beside);
        symlink(Path::new("../..").join(device), &beside)?;
        std::fs::rename(&beside, &path)
    }
}

/// Which device each name leads to: the one that has it, as long as it wants it; else the first by name that does. So a disk that comes
/// later never takes a name away.
fn settle(wanted: &BTreeMap<String, BTreeSet<String>>, made: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut settled = BTreeMap::new();
    for (device, names) in wanted {
        for name in names {
            let owner = made.get(name).filter(|owner| wanted.get(*owner).is_some_and(|names| names.contains(name)));
            settled.entry(name.clone()).or_insert_with(|| owner.unwrap_or(device).clone());
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_one_device_and_move_when_it_goes() {
        let root = std::env::temp_dir().join(format!("kmimage-disk-links-{}", std::process::id()));
        let mut links = DiskLinks::below(&root);
        let mut set =
            |device: &str, names: &[&str]| links.set(device, names.iter().map(|&name| name.to_owned()).collect()).unwrap();
        let target = |name: &str| std::fs::read_link(root.join(name)).ok().map(|path| path.to_str().unwrap().to_owned());
        set("vdb", &["by-label/data", "by-id/virtio-b"]);
        set("vda", &["by-label/data"]);
        assert_eq!(target("by-label/data").as_deref(), Some("../../vdb"));
        assert_eq!(target("by-id/virtio-b").as_deref(), Some("../../vdb"));
        set("vdb", &["by-id/virtio-b"]);
        assert_eq!(target("by-label/data").as_deref(), Some("../../vda"));
        set("vdb", &[]);
        set("vda", &[]);
        assert_eq!((target("by-label/data"), target("by-id/virtio-b")), (None, None));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
