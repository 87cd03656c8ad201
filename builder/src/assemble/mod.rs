//! tree -> root image -> boot image.

pub mod initramfs;
pub mod pe;
pub mod uki;
