//! Where profiles, overlays and keyrings are found.

use std::path::PathBuf;

/// Where an overlay's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlayPlace {
    /// A folder `overlays/NAME`, which holds `rootfs/` and perhaps `overlay.toml`.
    Directory(PathBuf),
    /// Files embedded in the binary, by path relative to the overlay's folder (`rootfs/etc/hosts`, `overlay.toml`), sorted.
    Embedded(&'static [EmbeddedFile]),
}

/// A file compiled into kmimage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedFile {
    /// Relative path.
    pub path: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}
