//! tree -> root image -> boot image.

pub mod block_cache;
pub mod grub;
pub mod initramfs;
pub mod initramfs_modules;
pub mod microcode;
pub mod pe;
pub mod squashfs;
pub mod uki;
pub mod verity;
