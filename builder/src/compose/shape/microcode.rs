//! Processors' microcode, out of the boot packages: Debian's intel-microcode and amd64-microcode have it where the kernel's own
//! firmware tree does.

use crate::compose::content::Content;
use crate::compose::tree::{Kind, Tree, TreePath};

/// Who makes the processors that some microcode is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// AMD.
    Amd,
    /// Intel.
    Intel,
}

impl Vendor {
    /// Where the kernel looks for it in the archive before the initramfs (Documentation/arch/x86/microcode.rst).
    pub fn path(self) -> &'static str {
        match self {
            Vendor::Amd => "kernel/x86/microcode/AuthenticAMD.bin",
            Vendor::Intel => "kernel/x86/microcode/GenuineIntel.bin",
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Vendor::Amd => "/usr/lib/firmware/amd-ucode",
            Vendor::Intel => "/usr/lib/firmware/intel-ucode",
        }
    }

    /// AMD's folder has signatures and a README beside the microcode; Intel's has files by family, model and stepping alone.
    fn is_microcode(self, name: &[u8]) -> bool {
        match self {
            Vendor::Amd => name.starts_with(b"microcode_amd") && name.ends_with(b".bin"),
            Vendor::Intel => true,
        }
    }
}

/// The microcode of one vendor.
#[derive(Debug, Clone)]
pub struct Microcode {
    /// Whose processors it is for.
    pub vendor: Vendor,
    /// Its files in the order of their names; the kernel takes them as one.
    pub files: Vec<Content>,
}

/// The microcode of the boot packages, as far as they have any.
pub(super) fn find(boot: &Tree) -> Vec<Microcode> {
    let of = |vendor: Vendor| {
        let directory = TreePath::new(vendor.directory()).ok()?;
        let files = boot.under(&directory).filter_map(|(path, entry)| match &entry.kind {
            Kind::File(content) if vendor.is_microcode(path.name()) => Some(content.clone()),
            _ => None,
        });
        let files: Vec<Content> = files.collect();
        (!files.is_empty()).then_some(Microcode { vendor, files })
    };
    [Vendor::Amd, Vendor::Intel].into_iter().filter_map(of).collect()
}
