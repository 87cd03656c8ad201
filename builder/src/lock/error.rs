//! What can be wrong with a lock.

use super::LockedPackage;
use crate::failure::{Classified, Kind, io_kind};
use kmimage_contract::toml_document::DocumentError;
use std::io;
use std::path::PathBuf;

/// Why a lock cannot be read, written or changed.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be read.
    #[error("cannot read the lock {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the lock {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is not a lock.
    #[error(transparent)]
    Text(#[from] DocumentError),
    /// A repository offers other bytes under a version that another profile has locked.
    #[error(
        "{} {} of the repository `{}` is locked for the profile `{profile}`, and now the repository offers other bytes as that version",
        package.name, package.version, package.repository
    )]
    SameVersion {
        /// The package as it is offered now.
        package: Box<LockedPackage>,
        /// The profile that has it locked.
        profile: String,
    },
    /// A package to update that is not in the lock.
    #[error("the lock of the profile `{profile}` has no package `{name}`{}", nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    NotLocked {
        /// The name.
        name: String,
        /// The profile.
        profile: String,
        /// The most similar name there is.
        nearest: Option<String>,
    },
}

impl Classified for LockError {
    fn kind(&self) -> Kind {
        match self {
            LockError::Read { source, .. } | LockError::Write { source, .. } => io_kind(source),
            LockError::Text(_) | LockError::SameVersion { .. } => Kind::Profile,
            LockError::NotLocked { .. } => Kind::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            LockError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                vec!["Free some space, or name a lock on another disk with `--lock`.".to_owned()]
            }
            LockError::Read { .. } | LockError::Write { .. } => Vec::new(),
            LockError::Text(error) => {
                vec![format!("Take {} back from version control, or remove it and run `kmimage lock`.", error.file)]
            }
            LockError::SameVersion { package, profile } => vec![
                format!("Give the changed {} a version of its own.", package.name),
                format!("Or use another lock for one of the profiles (`--lock FILE`), or drop `{profile}` from this one."),
            ],
            LockError::NotLocked { .. } => vec!["`--update` takes packages of the lock; without a name it takes all.".to_owned()],
        }
    }
}
