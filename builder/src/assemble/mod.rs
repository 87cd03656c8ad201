//! tree -> root image -> boot image.

pub mod initramfs;
pub mod initramfs_modules;
pub mod pe;
pub mod uki;
