//! GRUB for machines with a BIOS: core image and boot sectors of the platform i386-pc, composed from the files of grub-pc-bin.
//!
//! What `grub-mkimage -O i386-pc` and `-O i386-pc-eltorito` make, and of `grub-install` the few bytes that say where things lie.
//! After GRUB's util/mkimage.c and util/setup.c; the layout is that of include/grub/offsets.h and include/grub/i386/pc/boot.h.
//! Not done: other platforms, a memory disk, signatures, Reed-Solomon codes (grub-install puts them behind a core image that other
//! systems' programs may write into; ours has a partition of its own).
//!
//! ```text
//! sector 0    boot.img: 440 bytes of code, in front of the protective MBR; loads one sector, the first of
//! core image  diskboot.img (one sector; loads the rest by a block list) | lzma_decompress.img | LZMA(kernel, modules, config, prefix)
//! on a CD     cdboot.img (four sectors; El Torito's boot image) | core image
//! ```

mod boot_sector;
mod core_image;
mod kernel;
mod modules;

#[cfg(test)]
mod tests;

pub use boot_sector::{BOOT_CODE_LEN, boot_code, hybrid_boot_code};
pub use core_image::{Core, CoreImage, Target, core_image};

use crate::failure::{Classified, Kind};
use std::collections::BTreeMap;
use std::io;

/// Bytes of a sector as a BIOS counts them.
pub const SECTOR: usize = 512;

/// Where GRUB's kernel is linked to (GRUB_KERNEL_I386_PC_LINK_ADDR).
const LINK_ADDRESS: u32 = 0x9000;

/// Why there is no core image or boot sector.
#[derive(Debug, thiserror::Error)]
pub enum GrubError {
    /// A file that every grub-pc-bin has is not there.
    #[error("there is no {0} among GRUB's files")]
    Missing(String),
    /// A file is not what its name says.
    #[error("GRUB's {name} is not usable: {fault}")]
    Damaged {
        /// The file.
        name: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// It would not fit below the memory that belongs to the BIOS.
    #[error("GRUB's {what} has {size} bytes; {limit} are the most")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its bytes.
        size: usize,
        /// The most that works.
        limit: usize,
    },
    /// The encoder fails.
    #[error("can't compress GRUB's core image")]
    Compress(#[source] io::Error),
}

impl Classified for GrubError {
    fn kind(&self) -> Kind {
        match self {
            GrubError::Compress(_) => Kind::Internal,
            _ => Kind::Policy,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            GrubError::Missing(_) | GrubError::Damaged { .. } => {
                vec![
                    "They are those of the package grub-pc-bin (2.12 is known to work), named in the profile's [boot] packages."
                        .into(),
                ]
            }
            _ => Vec::new(),
        }
    }
}

/// The files of the platform by name: images, modules, `moddep.lst`.
#[derive(Debug, Clone, Default)]
pub struct GrubFiles(BTreeMap<String, Vec<u8>>);

impl GrubFiles {
    /// Files by name.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self(files)
    }

    /// True for what a core image can be made of: nothing else of the folder needs to be read.
    pub fn wants(name: &str) -> bool {
        let known =
            ["boot.img", "boot_hybrid.img", "cdboot.img", "diskboot.img", "kernel.img", "lzma_decompress.img", "moddep.lst"];
        known.contains(&name) || name.ends_with(".mod")
    }

    fn get(&self, name: &str) -> Result<&[u8], GrubError> {
        self.0.get(name).map(Vec::as_slice).ok_or_else(|| GrubError::Missing(name.to_owned()))
    }

    /// A file that has to have `len` bytes exactly.
    fn sized(&self, name: &'static str, len: usize) -> Result<&[u8], GrubError> {
        let bytes = self.get(name)?;
        if bytes.len() == len {
            Ok(bytes)
        } else {
            Err(GrubError::Damaged { name, fault: "it has another size than the boot code expects" })
        }
    }
}

/// Overwrites the bytes from `offset` on, which are inside of `image`.
fn patch(image: &mut [u8], offset: usize, bytes: &[u8]) {
    if let Some(place) = image.get_mut(offset..offset + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
