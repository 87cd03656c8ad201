//! What can go wrong in the store.

use crate::failure::{Classified, Kind, innermost, io_kind};
use crate::hash::Sha256Digest;
use std::io;
use std::path::{Path, PathBuf};

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A stored download is not what its name says.
    #[error("{path} in the store is damaged: its sha256 is {found}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it hashes to.
        found: Sha256Digest,
    },
    /// Bytes handed in are not what was announced.
    #[error("expected sha256 {expected}, got {found}")]
    Mismatch {
        /// What was announced.
        expected: Sha256Digest,
        /// What came.
        found: Sha256Digest,
    },
    /// A remembered Release date that is no date.
    #[error("{path} in the store is damaged: it holds no date", path = path.display())]
    DamagedDate {
        /// The file.
        path: PathBuf,
    },
    /// The file system is full.
    #[error("no space left to write {path}{}", after(*.bytes), path = .path.display())]
    Full {
        /// The file being written.
        path: PathBuf,
        /// How many bytes it takes, as far as that is known.
        bytes: u64,
        /// The system's word.
        source: io::Error,
    },
    /// A lock could not be taken.
    #[error("cannot lock {path}", path = path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Garbage collection while a build runs.
    #[error("the store {directory} is in use by another kmimage", directory = directory.display())]
    InUse {
        /// The store.
        directory: PathBuf,
    },
    /// An export of what the store does not have.
    #[error("the store {directory} lacks {}", .names.join(", "), directory = .directory.display())]
    Missing {
        /// The store.
        directory: PathBuf,
        /// The files' names.
        names: Vec<String>,
    },
    /// An export over a file that is another one.
    #[error("{path} is there already, and is another file", path = .path.display())]
    Differs {
        /// The file.
        path: PathBuf,
    },
    /// An export of a file under a name that is none.
    #[error("`{name}` is not a file name")]
    BadName {
        /// The name.
        name: String,
    },
    /// Two different files that would be exported under one name.
    #[error("two packages have the file name {name}")]
    SameName {
        /// The name.
        name: String,
    },
    /// Any other failure of the file system; the message names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl StoreError {
    /// A failed write: a full disk gets its own error, which says how much was wanted.
    pub(crate) fn from_write(error: io::Error, path: &Path, bytes: u64) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { path: path.to_path_buf(), bytes, source: innermost(error) }
            }
            _ => StoreError::Io(error),
        }
    }
}

fn no_space() -> Vec<String> {
    vec![
        "Free some space; `kmimage cache gc` removes what no lock names and no build used lately.".into(),
        "Put the store on another file system: `--store DIR`, or KMIMAGE_STORE in the environment.".into(),
    ]
}

fn after(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!(" ({bytes} bytes)") }
}

impl Classified for StoreError {
    fn kind(&self) -> Kind {
        match self {
            StoreError::Damaged { .. } | StoreError::Mismatch { .. } | StoreError::DamagedDate { .. } => Kind::Trust,
            StoreError::Full { .. } | StoreError::Lock { .. } | StoreError::InUse { .. } => Kind::Host,
            StoreError::Missing { .. } => Kind::Unavailable,
            StoreError::Differs { .. } | StoreError::SameName { .. } => Kind::Usage,
            StoreError::BadName { .. } => Kind::Profile,
            StoreError::Io(error) => io_kind(error),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            StoreError::Damaged { .. } => vec![
                "`kmimage cache verify --repair` checks the whole store and removes what is damaged; the next build fetches it again."
                    .into(),
            ],
            StoreError::DamagedDate { path } => vec![format!(
                "Remove {}; kmimage then no longer knows the newest date it has seen of that repository.",
                path.display()
            )],
            StoreError::Full { .. } => no_space(),
            StoreError::Io(error) if error.kind() == io::ErrorKind::StorageFull => no_space(),
            StoreError::Missing { .. } => vec!["A build, or `kmimage lock`, of the profile brings them into the store.".into()],
            StoreError::Differs { .. } => vec!["Remove it, or export to an empty directory.".into()],
            StoreError::SameName { .. } => vec!["Export one profile at a time.".into()],
            StoreError::InUse { .. } => vec!["Wait until the other kmimage is done, then try again.".into()],
            _ => Vec::new(),
        }
    }
}
