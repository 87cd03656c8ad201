//! What can be wrong with an output folder.

use crate::failure::{Classified, Kind, io_kind};
use std::io;
use std::path::{Path, PathBuf};

/// Why an output folder is not written.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactsError {
    /// The user's folder holds something that is not ours.
    #[error("{} holds {name}, which its SHA256SUMS does not name; nothing was changed", .directory.display())]
    Foreign {
        /// The folder.
        directory: PathBuf,
        /// The first file, by name, that is not ours.
        name: String,
    },
    /// Something is at the place that is no folder.
    #[error("{} is not a folder; nothing was changed", .0.display())]
    NotADirectory(PathBuf),
    /// Something is mounted on the user's folder, so that it can't be swapped.
    #[error("{} is a mount point, which can't be replaced by a finished set; nothing was changed", .0.display())]
    MountPoint(PathBuf),
    /// The file system can't exchange folders, and something else came where the set belongs.
    #[error("something else came to {}; what was there before is now {}", .destination.display(), .old.display())]
    Aside {
        /// The user's folder.
        destination: PathBuf,
        /// Where the folder is that was there.
        old: PathBuf,
        /// Why it did not go back.
        source: io::Error,
    },
    /// The path has no last component (`/`, `..`).
    #[error("{} can't be an output folder", .0.display())]
    NoName(PathBuf),
    /// A version that can't be in a file name.
    #[error(
        "`{0}` can't be an image version: only letters, digits and . _ + ~ - are allowed, and it begins with a letter or digit"
    )]
    Version(String),
    /// A step failed.
    #[error("can't {step} {}", .path.display())]
    Io {
        /// What was tried ("create").
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl Classified for ArtifactsError {
    fn kind(&self) -> Kind {
        match self {
            ArtifactsError::Foreign { .. } | ArtifactsError::NotADirectory(_) | ArtifactsError::NoName(_) => Kind::Usage,
            ArtifactsError::MountPoint(_) | ArtifactsError::Version(_) => Kind::Usage,
            ArtifactsError::Aside { .. } => Kind::Host,
            ArtifactsError::Io { source, .. } => io_kind(source),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            ArtifactsError::Foreign { .. } | ArtifactsError::NotADirectory(_) => {
                vec!["Name another folder with --output, or move what is there away.".to_owned()]
            }
            ArtifactsError::MountPoint(folder) => {
                vec![format!("Name a folder below it, as --output {}.", folder.join("image").display())]
            }
            ArtifactsError::Aside { .. } => {
                vec![
                    "Look at both folders, remove the one you don't need, and build again; no two builds at once there."
                        .to_owned(),
                ]
            }
            ArtifactsError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                vec!["Free some space, or name a folder on another disk with --output.".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

pub(in crate::emit) fn at<T>(step: &'static str, path: &Path, result: io::Result<T>) -> Result<T, ArtifactsError> {
    result.map_err(|source| ArtifactsError::Io { step, path: path.to_owned(), source })
}
