//! What can go wrong while a squashfs is written.

use crate::assemble::block_cache::CacheError;
use crate::compose::tree::TreePath;
use crate::failure::{Classified, Kind, io_kind};
use std::io;

/// Why no squashfs was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A block size that the format has not.
    #[error("squashfs block size {0} is not a power of two from 4096 to 1048576")]
    BlockSize(u32),
    /// A compression level that zstd in squashfs has not.
    #[error("zstd level {0} is not from 1 to 22")]
    Level(i32),
    /// A tree without its root directory.
    #[error("the tree has no root directory")]
    NoRoot,
    /// A path whose parent is missing or no directory.
    #[error("{path} is not in a directory")]
    NotInADirectory {
        /// The path.
        path: TreePath,
    },
    /// Hard links to one inode that differ in content, mode, owner or attributes.
    #[error("{path} is a hard link to a file that differs from it")]
    UnequalLinks {
        /// The second of the two.
        path: TreePath,
    },
    /// A device number that Linux has not.
    #[error("{path} has the device number {major}:{minor}, beyond 4095:1048575")]
    Device {
        /// The device node.
        path: TreePath,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// An extended attribute that squashfs cannot hold.
    #[error("{path} has the extended attribute {name:?}, which squashfs can't hold ({reason})")]
    Xattr {
        /// The path that has it.
        path: TreePath,
        /// Full name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More different owners than the format can hold.
    #[error("the tree has more than 65535 different user and group ids")]
    TooManyIds,
    /// A count beyond the format's fields.
    #[error("the tree has too many {what} for squashfs")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
    },
    /// The image is longer than the room it was given.
    #[error("the root image does not fit into its slot of {room} bytes ({} MiB)", room >> 20)]
    DoesNotFit {
        /// Bytes that there are.
        room: u64,
    },
    /// A file's bytes could not be read.
    #[error("failed to read the content of {path}")]
    Read {
        /// The path in the image.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// The image could not be written.
    #[error("failed to write the squashfs at byte {at} of the output")]
    Write {
        /// Offset in the output file.
        at: u64,
        /// Why.
        source: io::Error,
    },
    /// zstd refused; a bug or no memory.
    #[error("zstd failed: {0}")]
    Compress(&'static str),
    /// The block cache could not be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A worker thread died.
    #[error("a thread of the squashfs writer failed")]
    Thread,
}

impl Classified for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::BlockSize(_) | Error::Level(_) => Kind::Profile,
            Error::NoRoot | Error::Compress(_) | Error::Thread => Kind::Internal,
            Error::Read { source, .. } | Error::Write { source, .. } => io_kind(source),
            Error::Cache(error) => error.kind(),
            _ => Kind::Policy,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Error::DoesNotFit { .. } => {
                vec![
                    "Drop packages or files, raise the compression level, or make the slot larger: `slot-size` of [image] in the profile."
                        .into(),
                ]
            }
            Error::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                vec!["Free space on the file system of the output folder.".into()]
            }
            Error::Cache(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
