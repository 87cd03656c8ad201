//! What can be wrong with an overlay.

use crate::failure::{Classified, Kind, io_kind};
use crate::profile::ProfileError;
use std::io;
use std::path::PathBuf;

/// An overlay cannot be laid over the tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// A file of the overlay cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The host's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// overlay.toml is wrong.
    #[error(transparent)]
    Manifest(#[from] ProfileError),
    /// A path of the overlay is wrong.
    #[error("overlay {overlay}: {path}: {fault}")]
    Fault {
        /// The overlay's name.
        overlay: String,
        /// The path in the image.
        path: String,
        /// What is wrong.
        fault: String,
    },
    /// A program that is in no package.
    #[error("overlay {overlay}: {path}: an ELF executable, which overlay.toml does not name")]
    Executable {
        /// The overlay's name.
        overlay: String,
        /// The path in the image.
        path: String,
    },
    /// A symbolic link among the files.
    #[error("overlay {overlay}: {path}: a symlink; an overlay has its links in overlay.toml")]
    Link {
        /// The overlay's name.
        overlay: String,
        /// The path in the image.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// An empty directory among the files.
    #[error("overlay {overlay}: {path}: a directory that holds no file; an overlay has these in overlay.toml")]
    EmptyDirectory {
        /// The overlay's name.
        overlay: String,
        /// The path in the image.
        path: String,
    },
}

impl Classified for OverlayError {
    fn kind(&self) -> Kind {
        match self {
            OverlayError::Read { source, .. } => io_kind(source),
            OverlayError::Manifest(error) => error.kind(),
            OverlayError::Executable { .. } => Kind::Policy,
            _ => Kind::Profile,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            OverlayError::Manifest(error) => error.hints(),
            OverlayError::Executable { path, .. } => vec![
                "Programs come from packages, which are signed and locked; use one if there is one.".to_string(),
                format!("Else name it in overlay.toml: [[executable]] path = {path:?}, reason = \"...\"."),
            ],
            OverlayError::Link { path, target, .. } => {
                vec![format!("Remove it and write in overlay.toml: [[link]] path = {path:?}, target = {target:?}.")]
            }
            OverlayError::EmptyDirectory { path, .. } => {
                vec![format!("Remove it, or write in overlay.toml: [[directory]] path = {path:?}.")]
            }
            _ => Vec::new(),
        }
    }
}
