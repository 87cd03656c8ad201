//! tree -> root image -> boot image.
