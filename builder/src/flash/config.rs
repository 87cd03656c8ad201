//! A machine config onto the EFI system partition of what is written: laid over the image, so that it is written and read back with it.
//!
//! Bare metal has no cloud to hand a config over; init reads it from there. It lies there readable until a machine that keeps it has taken
//! it. The image file itself stays as it is.

use super::image::Image;
use crate::failure::{Classified, Kind, io_kind};
use crate::show::source::{Source as _, Window};
use kmimage_contract::disk_layout::Role;
use kmimage_contract::fat32::edit::{EditError, Fat32};
use kmimage_contract::gpt::Write;
use kmimage_contract::machine_config::{self, MachineConfig, MachineConfigError};
use kmimage_contract::paths::ESP_MACHINE_CONFIG;
use std::io;
use std::path::PathBuf;

/// Why a config can't be on the device.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The document can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The document is refused.
    #[error(transparent)]
    Refused(#[from] MachineConfigError),
    /// The image has no place for it.
    #[error("{} has no EFI system partition, where a machine config would go", .0.display())]
    NoEsp(PathBuf),
    /// The partition can't be changed.
    #[error("the EFI system partition of {} can't take a machine config", .path.display())]
    Esp {
        /// The image.
        path: PathBuf,
        /// Why.
        source: EditError,
    },
}

impl Classified for ConfigError {
    fn kind(&self) -> Kind {
        match self {
            ConfigError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::Usage,
            ConfigError::Read { source, .. } => io_kind(source),
            ConfigError::Refused(_) => Kind::Profile,
            ConfigError::NoEsp(_) => Kind::Usage,
            ConfigError::Esp { .. } => Kind::Policy,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            ConfigError::NoEsp(_) => vec!["Flash an image that `kmimage build` made, or leave --config away.".into()],
            _ => Vec::new(),
        }
    }
}

/// Judges a document as the machine will; `name` is what errors call it.
pub fn judge(name: &str, document: &[u8]) -> Result<MachineConfig, ConfigError> {
    Ok(machine_config::parse(name, document, None)?)
}

/// Whether a machine that runs from this image keeps its config elsewhere, and erases it on the ESP then. One that runs from an install
/// medium keeps nothing.
pub fn is_kept(image: &Image) -> bool {
    let partitions = image.table().map(|found| found.table.partitions.as_slice()).unwrap_or_default();
    partitions.iter().any(|partition| partition.type_guid == Role::State.type_guid() && partition.name == Role::State.name())
}

/// What to lay over the image. `epoch` is the file's time, in seconds since 1970.
pub fn placed(image: &Image, document: &[u8], epoch: i64) -> Result<Vec<Write>, ConfigError> {
    let table = image.table().map(|found| &found.table);
    let esp = table.and_then(|table| {
        let esp = table.partitions.iter().find(|partition| partition.type_guid == Role::Esp.type_guid())?;
        Some((esp, table.sector_size.bytes()))
    });
    let (esp, sector) = esp.ok_or_else(|| ConfigError::NoEsp(image.path().to_owned()))?;
    // A table that was read keeps these in bounds.
    let (offset, size) = (esp.first_lba * sector, (esp.last_lba + 1 - esp.first_lba) * sector);
    let window = Window::new(image.source(), offset, size);
    let read = |at: u64, buffer: &mut [u8]| window.read_at(buffer, at);
    let plan = Fat32::open(&read, window.size()).and_then(|volume| volume.put(ESP_MACHINE_CONFIG, document, epoch));
    let plan = plan.map_err(|source| ConfigError::Esp { path: image.path().to_owned(), source })?;
    let writes = plan.steps.into_iter().flatten();
    Ok(writes.map(|write| Write { offset: offset + write.offset, bytes: write.bytes.into_owned() }).collect())
}
