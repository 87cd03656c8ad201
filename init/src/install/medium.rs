//! The medium that this machine was started from: the device under the verified root, with its own partition table. It may be a CD, for
//! which the kernel has no partitions; so everything is read from the whole device.

use super::act::InstallError;
use super::window::Window;
use crate::config::volume::Volume;
use crate::facts::{self, block, read_text};
use kmimage_contract::disk_layout::{Slot, medium};
use kmimage_contract::gpt::{self, SectorSize};
use kmimage_contract::verity::{VerityParams, partition_uuids};
use kmimage_contract::{RootHash, disk_layout};
use kmimage_sys::device_mapper::DeviceNumber;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use uuid::Uuid;

/// A place on the medium, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub start: u64,
    pub len: u64,
}

/// The medium.
#[derive(Debug)]
pub(super) struct Medium {
    /// Its name in /dev.
    pub disk: String,
    /// The whole device.
    pub device: File,
    /// The verified root.
    pub root: File,
    /// What names the root.
    pub root_hash: RootHash,
    /// How the root is verified.
    pub params: VerityParams,
    /// The PARTUUID of its ESP.
    pub esp_uuid: Uuid,
    /// Its ESP.
    pub esp: Place,
    /// Its hash tree.
    pub tree: Place,
}

impl Medium {
    /// The file system of its ESP.
    pub(super) fn volume(&self) -> Result<Volume<Window<'_>>, InstallError> {
        let window = Window::new(&self.device, self.esp.start, self.esp.len);
        Volume::open(window)?.ok_or(InstallError::NoFileSystem)
    }
}

/// Seconds since 1970, for the times of files.
pub(super) fn now() -> i64 {
    i64::try_from(kmimage_sys::clock::wall().as_secs()).unwrap_or(0)
}

/// Finds the medium. `None`: the root is not from one.
pub(super) fn find() -> Result<Option<Medium>, InstallError> {
    let root_hash =
        facts::cmdline::read().map_err(InstallError::Cmdline)?.boot_parameters().map_err(InstallError::Parameters)?.root_hash;
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| InstallError::Medium { what, source }
    };
    let number = DeviceNumber::from_stat(std::fs::metadata("/").map_err(io("/"))?.dev());
    let Some(mapping) = block::read_one(number) else { return Ok(None) };
    let Some(disk) = disk_under(&mapping.name) else { return Ok(None) };
    let device = File::open(Path::new("/dev").join(&disk)).map_err(io(&disk))?;
    let root = File::open(Path::new("/dev").join(&mapping.name)).map_err(io(&mapping.name))?;
    let size =
        read_text(&Path::new("/sys/class/block").join(&disk).join("size")).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let Some(size) = size.and_then(|sectors| sectors.checked_mul(512)) else { return Ok(None) };
    open(disk, device, size, root, root_hash)
}

/// The medium on a device of this size; `None`: it is none.
pub(super) fn open(
    disk: String,
    device: File,
    size: u64,
    root: File,
    root_hash: RootHash,
) -> Result<Option<Medium>, InstallError> {
    // A medium's table counts sectors of 512 bytes wherever it lies.
    let Ok(found) = gpt::read(&mut Window::new(&device, 0, size), size, SectorSize::B512) else { return Ok(None) };
    let table = found.table;
    if !medium::is_medium(&table, &root_hash) {
        return Ok(None);
    }
    let esp_uuid = medium::esp_uuid(&root_hash);
    let uuids = partition_uuids(&root_hash);
    let place = |uuid: Uuid| {
        let entry = table.partition(uuid)?;
        Some(Place { start: entry.first_lba.checked_mul(512)?, len: (entry.last_lba + 1 - entry.first_lba).checked_mul(512)? })
    };
    let (Some(esp), Some(tree)) = (place(esp_uuid), place(uuids.verity)) else { return Ok(None) };
    let mut superblock = [0; kmimage_contract::verity::SUPERBLOCK_SIZE];
    let what = "the medium's hash tree".to_owned();
    device.read_exact_at(&mut superblock, tree.start).map_err(|source| InstallError::Medium { what, source })?;
    let params = VerityParams::parse_superblock(&superblock).map_err(InstallError::Superblock)?;
    let block = u64::from(params.data_block_size);
    if block != disk_layout::VERITY_BLOCK || params.hash_block_size != params.data_block_size {
        return Err(InstallError::BlockSize(params.data_block_size, params.hash_block_size));
    }
    Ok(Some(Medium { disk, device, root, root_hash, params, esp_uuid, esp, tree }))
}

/// The disk with the partition under a mapped device; on a CD that is a mapping, too.
fn disk_under(mapping: &str) -> Option<String> {
    let slaves = Path::new("/sys/class/block").join(mapping).join("slaves");
    let under = std::fs::read_dir(slaves).ok()?.flatten().next()?.file_name();
    block::read_named(under.to_str()?)?.disk
}

/// The slot that a medium's root goes to.
pub(super) const SLOT: Slot = Slot::A;
