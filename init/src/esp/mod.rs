//! The boot disk's EFI system partition: found, and what its boot records say. Never mounted; `contract` reads and plans.
//!
//! Its files are read through the partition's device. Writing is whole sectors that `contract::fat32::edit` has planned, one after the
//! other: before process 1 by `next_boot`, then by one child alone, `bless`. It makes the slot that proved itself the good one, and erases
//! the machine config that was adopted.

mod adopted;
mod bless;
mod next_boot;
mod records;
#[cfg(test)]
mod testing;

pub(crate) use bless::{APPLET, run};

use crate::facts::block::{self, BlockDevice};
use crate::facts::{cmdline, efi};
use kmimage_contract::Slot;
use kmimage_contract::cmdline::BootParameters;
use kmimage_contract::disk_layout::Role;
use kmimage_contract::fat32::edit::{EditError, Fat32, Plan};
use kmimage_contract::verity::partition_uuids;
use records::{Firmware, Records};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Why the ESP can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EspError {
    /// This boot's own command line or disks.
    #[error("what this boot is from can't be told")]
    Facts(#[from] crate::facts::FactError),
    /// The command line is not an image's.
    #[error("the kernel command line")]
    Cmdline(#[from] kmimage_contract::cmdline::CmdlineError),
    /// What the machine keeps itself.
    #[error("the machine config on state")]
    Kept(#[source] io::Error),
    /// No such partition.
    #[error("the boot disk has no EFI system partition")]
    Absent,
    /// Its device.
    #[error("the EFI system partition {}", path.display())]
    Device {
        /// Its path.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Its file system.
    #[error("the EFI system partition {}", path.display())]
    Volume {
        /// Its path.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: EditError,
    },
    /// No records, or no slot in them.
    #[error("the EFI system partition {} has no boot records for this firmware", .0.display())]
    NoRecords(PathBuf),
    /// A slot that is not whole.
    #[error("the EFI system partition {} has no {file}", path.display())]
    Missing {
        /// Its path.
        path: PathBuf,
        /// The file.
        file: String,
    },
}

/// The ESP of the boot: the one that the loader names, else that of the disk with the root.
pub(crate) fn device<'d>(
    parameters: &BootParameters,
    loader: Option<Uuid>,
    devices: &'d [BlockDevice],
) -> Option<&'d BlockDevice> {
    let by_uuid = |uuid: Uuid| devices.iter().find(|device| device.uuid == Some(uuid));
    match parameters.esp.or(loader) {
        Some(uuid) => by_uuid(uuid),
        None => by_uuid(partition_uuids(&parameters.root_hash).root).and_then(|slot| {
            let on_disk = |device: &&BlockDevice| device.disk.is_some() && device.disk == slot.disk;
            devices.iter().filter(on_disk).find(|device| device.label == Role::Esp.name())
        }),
    }
}

/// The ESP of this boot, or of a disk that it hands over to.
pub(crate) struct Esp {
    path: PathBuf,
    size: u64,
    /// The slot that the root of this boot is in, by the partition's name, if it is on the same disk.
    slot: Option<Slot>,
}

impl Esp {
    fn find() -> Result<Self, EspError> {
        let parameters = cmdline::read()?.boot_parameters()?;
        let devices = block::read()?;
        let device = device(&parameters, efi::loader_partition(), &devices).ok_or(EspError::Absent)?;
        let root = partition_uuids(&parameters.root_hash).root;
        let slot = devices.iter().find(|other| other.uuid == Some(root) && other.disk == device.disk);
        Ok(Self {
            path: Path::new("/dev").join(&device.name),
            size: device.sectors.saturating_mul(512),
            slot: slot.and_then(|slot| Slot::of_root_label(&slot.label)),
        })
    }

    /// A disk's.
    pub(crate) fn of(partition: &BlockDevice) -> Self {
        let path = Path::new("/dev").join(&partition.name);
        Self { path, size: partition.sectors.saturating_mul(512), slot: None }
    }

    fn open(&self, write: bool) -> Result<File, EspError> {
        File::options().read(true).write(write).open(&self.path).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> EspError {
        EspError::Device { path: self.path.clone(), source }
    }

    /// Does something with the file system that `file` holds.
    fn with<T>(&self, file: &File, what: impl FnOnce(&Fat32<'_>) -> Result<T, EditError>) -> Result<T, EspError> {
        let read = |offset: u64, bytes: &mut [u8]| file.read_exact_at(bytes, offset);
        let fail = |source| EspError::Volume { path: self.path.clone(), source };
        Fat32::open(&read, self.size).and_then(|fat| what(&fat)).map_err(fail)
    }

    /// Plans a change of the file system and writes it, flushed step by step.
    fn change(&self, file: &File, plan: impl FnOnce(&Fat32<'_>) -> Result<Plan<'static>, EditError>) -> Result<(), EspError> {
        let written = self.with(file, plan)?.carry_out(|offset, bytes| file.write_all_at(bytes, offset), || file.sync_data());
        written.map_err(|source| self.failed(source))
    }
}

/// Whether the boot loader comes to another slot, a good one, when this one fails again and again. It reads the disk, which may hold
/// for ever.
pub(crate) fn falls_back() -> bool {
    let look = || {
        let esp = Esp::find()?;
        let file = esp.open(false)?;
        let records = esp.with(&file, Records::read)?.of(Firmware::of_this_machine());
        Ok::<_, EspError>(esp.slot.and_then(|slot| records?.fallback_from(slot)))
    };
    matches!(look(), Ok(Some(_)))
}
