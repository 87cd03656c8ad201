//! Why packages cannot be shaped as the profile says.

use crate::compose::facts::FactsError;
use crate::compose::tree::{BadPath, TreePath};
use crate::failure::{Classified, Kind};
use crate::store::StoreError;

/// The profile and the packages do not fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// No kernel image.
    #[error("no package of the profile has a kernel (/boot/vmlinuz-*)")]
    NoKernel,
    /// More than one kernel image.
    #[error("the packages have more than one kernel: {}", .0.join(", "))]
    SeveralKernels(Vec<String>),
    /// No boot package has the stub or a loader.
    #[error("no boot package has {what} ({path})")]
    NoBootFile {
        /// `the EFI stub`, `the boot loader`.
        what: &'static str,
        /// Where it should be.
        path: &'static str,
    },
    /// A path of the profile that cannot be in an image.
    #[error("{path}: {fault}")]
    Path {
        /// The path as written.
        path: String,
        /// What is wrong with it.
        fault: BadPath,
    },
    /// A `move` that cannot be done.
    #[error("cannot move {from} to {to}: {fault}")]
    Move {
        /// As the profile says.
        from: String,
        /// As the profile says.
        to: String,
        /// Why not.
        fault: String,
    },
    /// A `mode` for a path that is not there.
    #[error("cannot change the mode of {path}: {fault}")]
    Mode {
        /// The path.
        path: String,
        /// Why not.
        fault: &'static str,
    },
    /// A file stands where a directory must be made.
    #[error("{path} must be a directory, but {origin} has something else there")]
    NotADirectory {
        /// The path.
        path: TreePath,
        /// Who brought it.
        origin: String,
    },
    /// Modules cannot be read.
    #[error("cannot choose the kernel's modules")]
    Facts(#[from] FactsError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classified for ShapeError {
    fn kind(&self) -> Kind {
        match self {
            ShapeError::Facts(error) => error.kind(),
            ShapeError::Store(error) => error.kind(),
            _ => Kind::Profile,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            ShapeError::NoKernel => vec!["Install linux-image-amd64, or name a linux-image package as [kernel] package.".into()],
            ShapeError::SeveralKernels(_) => vec!["Name exactly one linux-image package, as [kernel] package.".into()],
            ShapeError::NoBootFile { .. } => vec!["Name systemd-boot-efi and grub-pc-bin in [boot] packages.".into()],
            ShapeError::Facts(error) => error.hints(),
            ShapeError::Store(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
