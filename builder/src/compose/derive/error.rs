//! Why a step can't be done.

use crate::compose::tree::{BadPath, TreePath};
use crate::failure::{Classified, Kind, io_kind};
use std::io;

/// Why a step can't be done.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// A path named by a package's file or script can't be in an image.
    #[error("{path}: no path of an image")]
    Path {
        /// The path as written.
        path: String,
        /// What is wrong with it.
        source: BadPath,
    },
    /// A file of the tree can't be read where it is kept.
    #[error("can't read the content of {path}")]
    Read {
        /// The path in the image.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// A text file is absurdly long.
    #[error("{path} is longer than 16 MiB")]
    TooLong {
        /// The path in the image.
        path: TreePath,
    },
    /// An overlay brings a file that only kmimage can write.
    #[error("overlay {overlay} brings {path}, which kmimage writes itself")]
    OverlayOwns {
        /// The path in the image.
        path: TreePath,
        /// The overlay.
        overlay: String,
    },
    /// A line of passwd, group or a sysusers.d file says what can't be done.
    #[error("{path}, line {line}: {problem}")]
    Accounts {
        /// The file in the image.
        path: TreePath,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Two files of one kernel are the same module.
    #[error("kernel module {name} is there twice: {first} and {second}")]
    TwoModules {
        /// The module's name.
        name: String,
        /// One file.
        first: TreePath,
        /// The other.
        second: TreePath,
    },
    /// Kernel modules that need each other: none can be loaded.
    #[error("kernel modules need each other in a circle: {0}")]
    ModuleCircle(String),
    /// `include` in ld.so.conf goes round.
    #[error("{path}: `include` nests deeper than ldconfig allows")]
    Include {
        /// The file in the image.
        path: TreePath,
    },
}

impl Classified for DeriveError {
    fn kind(&self) -> Kind {
        match self {
            DeriveError::Read { source, .. } => io_kind(source),
            DeriveError::OverlayOwns { .. } | DeriveError::Accounts { .. } | DeriveError::Include { .. } => Kind::Profile,
            DeriveError::Path { .. }
            | DeriveError::TooLong { .. }
            | DeriveError::TwoModules { .. }
            | DeriveError::ModuleCircle(_) => Kind::Policy,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            DeriveError::OverlayOwns { path, overlay } => vec![format!("Take {path} out of the overlay {overlay}.")],
            DeriveError::TwoModules { first, second, .. } => {
                vec![format!("Drop one of them by `drop` in the profile: {first} or {second}.")]
            }
            _ => Vec::new(),
        }
    }
}
