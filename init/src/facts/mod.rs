//! What the kernel says about this machine: each fact as a pure `parse` beside a `read` that fetches the text.

pub mod aliases;
pub mod block;
pub mod cmdline;
pub mod efi;
pub mod ext4;
pub mod modules;
pub mod mounts;
pub mod release;
pub mod role;

use std::io;
use std::path::{Path, PathBuf};

/// A fact that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    /// A file that could not be read.
    #[error("reading {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that says something else than it should.
    #[error("{}: {message}", path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// Reads a file of text; bytes that are no UTF-8 are replaced.
pub(crate) fn read_text(path: &Path) -> Result<String, FactError> {
    let bytes = std::fs::read(path).map_err(|source| FactError::Read { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
