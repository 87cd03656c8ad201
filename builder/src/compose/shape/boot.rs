//! The inputs of the boot image: the kernel out of the root's packages, stub and loaders out of the boot packages.

use super::ShapeError;
use super::microcode::{self, Microcode};
use crate::compose::content::Content;
use crate::compose::tree::{Kind, Tree, TreePath};
use std::collections::BTreeMap;

/// Where systemd-boot-efi has systemd-stub for x86-64.
const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
/// Where systemd-boot-efi has systemd-boot for x86-64.
const LOADER: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
/// Where grub-pc-bin has what GRUB for a BIOS is composed of.
const GRUB: &str = "/usr/lib/grub/i386-pc";

/// What a boot image is made of, beside the initramfs and the command line.
#[derive(Debug, Clone)]
pub struct BootInputs {
    /// The kernel, a bzImage with an EFI stub.
    pub kernel: Content,
    /// systemd-stub, `linuxx64.efi.stub`.
    pub stub: Content,
    /// systemd-boot, `systemd-bootx64.efi`.
    pub loader: Content,
    /// Processors' microcode, where the boot packages have any.
    pub microcode: Vec<Microcode>,
    /// GRUB's images, modules and lists for i386-pc, by file name.
    pub grub: BTreeMap<String, Content>,
    /// The kernel's release (`uname -r`), by the kernel's file name.
    pub release: String,
}

/// Finds the kernel in the root's packages, stub and loader in the boot packages.
pub(super) fn find(tree: &Tree, boot: &Tree) -> Result<BootInputs, ShapeError> {
    let Ok(directory) = TreePath::new("/boot") else { return Err(ShapeError::NoKernel) };
    let mut kernels = Vec::new();
    for (path, entry) in tree.under(&directory) {
        let name = String::from_utf8_lossy(path.name()).into_owned();
        if let (Some(release), Kind::File(content)) = (name.strip_prefix("vmlinuz-"), &entry.kind) {
            kernels.push((release.to_string(), content.clone()));
        }
    }
    let (release, kernel) = match kernels.len() {
        1 => kernels.remove(0),
        0 => return Err(ShapeError::NoKernel),
        _ => return Err(ShapeError::SeveralKernels(kernels.into_iter().map(|(release, _)| release).collect())),
    };
    let file = |what, path| match TreePath::new(path).ok().and_then(|path| boot.get(&path)).map(|entry| &entry.kind) {
        Some(Kind::File(content)) => Ok(content.clone()),
        _ => Err(ShapeError::NoBootFile { what, path }),
    };
    let (stub, loader) = (file("the EFI stub", STUB)?, file("the boot loader", LOADER)?);
    let grub = folder(boot, GRUB);
    if grub.is_empty() {
        return Err(ShapeError::NoBootFile { what: "the boot loader for a BIOS", path: GRUB });
    }
    Ok(BootInputs { kernel, stub, loader, grub, microcode: microcode::find(boot), release })
}

/// The files right in a folder, by name.
fn folder(tree: &Tree, path: &str) -> BTreeMap<String, Content> {
    let Ok(path) = TreePath::new(path) else { return BTreeMap::new() };
    let files = tree.under(&path).filter(|(file, _)| file.parent().as_ref() == Some(&path));
    files
        .filter_map(|(file, entry)| match &entry.kind {
            Kind::File(content) => Some((String::from_utf8_lossy(file.name()).into_owned(), content.clone())),
            _ => None,
        })
        .collect()
}

/// Takes everything but the kernel's configuration out of /boot.
pub(super) fn clear(tree: &mut Tree) {
    let Ok(directory) = TreePath::new("/boot") else { return };
    let stays = |path: &TreePath| {
        *path == directory || (path.parent().as_ref() == Some(&directory) && path.name().starts_with(b"config-"))
    };
    let doomed: Vec<TreePath> = tree.under(&directory).map(|(path, _)| path).filter(|path| !stays(path)).cloned().collect();
    for path in doomed {
        tree.remove(&path);
    }
}
