//! Why a profile, or the library that it is looked up in, could not be used.

use super::values;
use crate::failure::{Classified, Kind, io_kind};
use kmimage_contract::toml_document::DocumentError;
use std::path::PathBuf;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Nobody has a profile of this name.
    #[error("there is no profile `{name}`; there are: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// All that exist.
        known: Vec<String>,
        /// The one most like it.
        nearest: Option<String>,
    },
    /// A profile (or a document that belongs to it) is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A file or folder of the library could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Classified for ProfileError {
    fn kind(&self) -> Kind {
        match self {
            ProfileError::Unknown { .. } | ProfileError::Document(_) => Kind::Profile,
            ProfileError::Read { source, .. } => io_kind(source),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            ProfileError::Unknown { nearest: Some(nearest), .. } => vec![format!("Did you mean `{nearest}`?")],
            ProfileError::Unknown { name, nearest: None, .. } if values::name(name).is_err() => {
                vec!["A profile's name has lower-case letters, digits and `-`, 64 at most; see `kmimage profiles`.".into()]
            }
            ProfileError::Unknown { name, nearest: None, .. } => {
                vec![format!("Write ./profiles/{name}.toml, or see `kmimage profiles`.")]
            }
            ProfileError::Document(_) | ProfileError::Read { .. } => Vec::new(),
        }
    }
}
