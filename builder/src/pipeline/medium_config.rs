//! The machine config that a build puts on the ISO (`--config`): judged as a machine would, and refused if it has secrets, for an artefact is
//! something that many can read.

use super::Request;
use crate::failure::{Classified, Kind, io_kind};
use crate::pipeline::Format;
use crate::profile::Profile;
use kmimage_contract::machine_config::{self, MachineConfigError};
use std::io;
use std::path::PathBuf;

/// Why a config is not put on the ISO.
#[derive(Debug, thiserror::Error)]
pub enum MediumConfigError {
    /// There is no ISO to put it on.
    #[error("--config is for the ISO, and --format has none")]
    NoIso,
    /// It can't be read.
    #[error("reading the machine config {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A machine would refuse it.
    #[error(transparent)]
    Config(#[from] MachineConfigError),
    /// It holds what not everybody may know.
    #[error("{} has secrets, and an ISO is for many eyes: {}", path.display(), keys.join(", "))]
    Secrets {
        /// Which file.
        path: PathBuf,
        /// The keys whose values are, or may be, secrets.
        keys: Vec<String>,
    },
}

impl Classified for MediumConfigError {
    fn kind(&self) -> Kind {
        match self {
            MediumConfigError::NoIso => Kind::Usage,
            MediumConfigError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::Usage,
            MediumConfigError::Read { source, .. } => io_kind(source),
            MediumConfigError::Config(_) => Kind::Profile,
            MediumConfigError::Secrets { .. } => Kind::Policy,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            MediumConfigError::NoIso => vec!["Add --format iso.".to_owned()],
            MediumConfigError::Secrets { .. } => vec![
                "Put such a config on the machine's own disk (`kmimage flash --config` with a raw image: it erases it there once it has it), or give it \
                 from outside (docs/config-sources.md)."
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// The document, if there is to be one.
pub(super) fn read(request: &Request<'_>, profile: &Profile) -> Result<Option<Vec<u8>>, MediumConfigError> {
    let Some(path) = request.config else { return Ok(None) };
    if !request.formats.contains(&Format::Iso) {
        return Err(MediumConfigError::NoIso);
    }
    let bytes = std::fs::read(path).map_err(|source| MediumConfigError::Read { path: path.to_owned(), source })?;
    let config = machine_config::parse(&path.to_string_lossy(), &bytes, Some(&profile.role))?;
    match config.secret_keys() {
        keys if keys.is_empty() => Ok(Some(bytes)),
        keys => Err(MediumConfigError::Secrets { path: path.to_owned(), keys }),
    }
}
