//! An overlay's files as entries, and their place over the packages.
//!
//! Every file is read and hashed anew in each build: neither size nor time of modification is believed. Of the host's files only
//! names and bytes count, neither mode nor owner, so that an overlay is the same in every working copy; what differs from root:root,
//! 0644 and 0755 for directories is in overlay.toml.

mod error;
mod read;

pub use error::OverlayError;

use super::content::Content;
use super::tree::{Entry, Kind, Origin, Tree, TreePath};
use crate::hash::Sha256Digest;
use crate::profile::{Overlay, OverlayManifest, OverlayPlace};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An overlay, read: what it lays over the tree.
#[derive(Debug)]
pub struct ReadOverlay {
    name: Arc<str>,
    entries: BTreeMap<TreePath, Entry>,
    /// Directories whose mode or owner overlay.toml gives; the others leave what is there as it is.
    changed: Vec<TreePath>,
}

/// Reads one overlay.
pub fn read(overlay: &Overlay) -> Result<ReadOverlay, OverlayError> {
    let (manifest, files) = match &overlay.place {
        OverlayPlace::Directory(folder) => read::directory(&overlay.name, folder)?,
        OverlayPlace::Embedded(files) => read::embedded(&overlay.name, files)?,
    };
    build(&overlay.name, &manifest, files)
}

/// Puts names, bytes and overlay.toml together.
fn build(name: &str, manifest: &OverlayManifest, files: BTreeMap<String, Content>) -> Result<ReadOverlay, OverlayError> {
    let fault = |path: &str, fault: &str| OverlayError::Fault { overlay: name.into(), path: path.into(), fault: fault.into() };
    let place = |path: &str| TreePath::new(path).map_err(|error| fault(path, &error.to_string()));
    let origin = Origin::Overlay(name.into());
    let mut tree = Tree::default();
    for (path, content) in files {
        let elf = is_elf(&content).map_err(|source| OverlayError::Read { path: path.clone().into(), source })?;
        if elf != manifest.executables.contains_key(&path) {
            return Err(match elf {
                true => OverlayError::Executable { overlay: name.into(), path },
                false => fault(&path, "overlay.toml says that it is an executable, and it is no ELF file"),
            });
        }
        tree.insert(place(&path)?, Entry::file(content, 0o644, origin.clone()));
    }
    if let Some(path) = manifest.executables.keys().find(|path| place(path).is_ok_and(|path| tree.get(&path).is_none())) {
        return Err(fault(path, "overlay.toml names it as an executable, and it is not in rootfs"));
    }
    for path in &manifest.directories {
        if tree.under(&place(path)?).next().is_some() {
            return Err(fault(path, "overlay.toml names it as a directory that holds no file, and rootfs has something there"));
        }
    }
    for path in &manifest.directories {
        tree.insert(place(path)?, Entry::directory(origin.clone()));
    }
    for (path, target) in &manifest.links {
        let at = place(path)?;
        if tree.under(&at).next().is_some() {
            return Err(fault(path, "overlay.toml names it as a link, and the overlay has something else there"));
        }
        if super::merge::climbs(&at, target.as_bytes()) {
            return Err(fault(path, "a symlink climbing above `/`"));
        }
        tree.insert(at, Entry::symlink(target, origin.clone()));
    }
    let mut entries: BTreeMap<TreePath, Entry> = tree.iter().map(|(path, entry)| (path.clone(), entry.clone())).collect();
    let mut changed = Vec::new();
    for rule in &manifest.files {
        let mut used = false;
        for (path, entry) in entries.iter_mut().filter(|(path, _)| rule.path.matches(path.as_bytes())) {
            match &entry.kind {
                Kind::Symlink(_) => continue,
                Kind::Directory if rule.capabilities.is_some() => continue,
                Kind::Directory => changed.push(path.clone()),
                _ => {}
            }
            used = true;
            entry.mode = rule.mode.unwrap_or(entry.mode);
            entry.uid = rule.uid.unwrap_or(entry.uid);
            entry.gid = rule.gid.unwrap_or(entry.gid);
            if let Some(bits) = rule.capabilities {
                entry.xattrs.insert(b"security.capability".to_vec(), capability_attribute(bits));
            }
        }
        if !used {
            return Err(fault(rule.path.as_str(), "overlay.toml changes it, and nothing in the overlay is like that"));
        }
    }
    Ok(ReadOverlay { name: name.into(), entries, changed })
}

impl ReadOverlay {
    /// Lays the overlay over a tree. A file replaces a file or a link; a directory joins a directory, whose mode and owner stay
    /// unless overlay.toml changes them; nothing goes below a link.
    pub fn apply(self, tree: &mut Tree) -> Result<(), OverlayError> {
        let fault = |path: &TreePath, fault: String| OverlayError::Fault {
            overlay: self.name.to_string(),
            path: path.to_string(),
            fault,
        };
        for (path, entry) in self.entries {
            if let Some(parent) = path.parent()
                && let Some(there) = tree.get(&parent).filter(|there| !matches!(there.kind, Kind::Directory))
            {
                return Err(fault(&path, format!("it would lie below {parent}, which is no directory ({})", there.origin)));
            }
            match tree.get_mut(&path) {
                None => tree.insert(path, entry),
                Some(there) => match (&there.kind, &entry.kind) {
                    (Kind::Directory, Kind::Directory) => {
                        if self.changed.contains(&path) {
                            (there.mode, there.uid, there.gid) = (entry.mode, entry.uid, entry.gid);
                        }
                    }
                    (Kind::Directory, _) | (_, Kind::Directory) => {
                        let text = format!("{} has it, too, and only one of the two is a directory", there.origin);
                        return Err(fault(&path, text));
                    }
                    _ => *there = entry,
                },
            }
        }
        Ok(())
    }

    /// SHA-256 over all that the overlay brings: two overlays with one digest give one tree.
    pub fn digest(&self) -> Sha256Digest {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for (path, entry) in &self.entries {
            part(path.as_bytes());
            part(format!("{:o} {} {} {}", entry.mode, entry.uid, entry.gid, self.changed.contains(path)).as_bytes());
            match &entry.kind {
                Kind::File(content) => part(&content.sha256().0),
                Kind::Symlink(target) => part(target),
                kind => part(format!("{kind:?}").as_bytes()),
            }
            for (name, value) in &entry.xattrs {
                part(name);
                part(value);
            }
        }
        Sha256Digest(hasher.finalize().into())
    }
}

fn is_elf(content: &Content) -> std::io::Result<bool> {
    if content.len() < 4 {
        return Ok(false);
    }
    let mut magic = [0; 4];
    content.read_exact_at(&mut magic, 0)?;
    Ok(magic == *b"\x7fELF")
}

/// `struct vfs_cap_data`, revision 2 (linux/capability.h): effective flag, then permitted and inheritable, low and high words.
fn capability_attribute(permitted: u64) -> Vec<u8> {
    const VFS_CAP_REVISION_2: u32 = 0x0200_0000;
    const VFS_CAP_FLAGS_EFFECTIVE: u32 = 1;
    let words = [VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, permitted as u32, 0, (permitted >> 32) as u32, 0];
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests;
