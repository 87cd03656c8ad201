//! The boot disk and its partitions: the disk that carries the device under `/`, whatever it is called.

use super::StorageError;
use super::plan::What;
use crate::facts::{self, block, read_text};
use kmimage_contract::disk_layout::{Role, medium};
use kmimage_contract::gpt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The partition of `state` or `var`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its device.
    pub path: PathBuf,
    /// Its GPT UUID.
    pub uuid: Uuid,
    /// Its number.
    pub number: u32,
    /// Its first byte on the disk.
    pub start: u64,
    /// Its length in bytes.
    pub size: u64,
}

/// The boot disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootDisk {
    /// Its name in /dev, for messages.
    pub name: String,
    /// Its device.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its partition table.
    pub table: gpt::Found,
    /// `state`, if the table has it.
    pub state: Option<Partition>,
    /// `var`, if the table has it.
    pub var: Option<Partition>,
    /// It is a medium that machines are installed from: it has neither, and nothing is written to it.
    pub is_medium: bool,
}

impl BootDisk {
    /// The partition of one of the two.
    pub(super) fn partition(&self, what: What) -> Option<&Partition> {
        match what {
            What::State => self.state.as_ref(),
            What::Var => self.var.as_ref(),
        }
    }
}

/// Finds the disk under the verified root. Process 1 has proven what the root is; the kernel says what lies under it.
pub(super) fn find() -> Result<BootDisk, StorageError> {
    let root = std::fs::metadata("/").map_err(|source| StorageError::Root(source.to_string()))?;
    let number = kmimage_sys::device_mapper::DeviceNumber::from_stat(std::os::unix::fs::MetadataExt::dev(&root));
    let slaves = PathBuf::from(format!("/sys/dev/block/{number}/slaves"));
    let fail = |message: String| StorageError::Root(message);
    let entries = std::fs::read_dir(&slaves).map_err(|error| fail(format!("{}: {error}", slaves.display())))?;
    // Data and hash tree of a root are on one disk: stage 1 takes no others.
    let under = entries.flatten().next().ok_or_else(|| fail(format!("{} is empty", slaves.display())))?.file_name();
    let disk = under.to_str().and_then(block::read_named).and_then(|device| device.disk);
    read(&disk.ok_or_else(|| fail(format!("{} is not a partition", under.to_string_lossy())))?)
}

/// Reads a disk's table and finds our partitions in it: by type and name.
fn read(name: &str) -> Result<BootDisk, StorageError> {
    let (table, size) = block::read_table(name).ok_or_else(|| StorageError::NoTable(name.to_owned()))?;
    let named = |role: Role| {
        let entry =
            table.table.partitions.iter().find(|entry| entry.type_guid == role.type_guid() && entry.name == role.name())?;
        let bytes = table.table.sector_size.bytes();
        // The kernel's partition, and not only the table's: both must agree on where it begins.
        let (start, device) = device_of(name, entry.number)?;
        (start == entry.first_lba.checked_mul(bytes)?).then(|| Partition {
            path: Path::new("/dev").join(&device),
            uuid: entry.uuid,
            number: entry.number,
            start,
            size: device_size(&device).unwrap_or(0),
        })
    };
    let (state, var) = (named(Role::State), named(Role::Var));
    let root_hash = facts::cmdline::read().ok().and_then(|cmdline| Some(cmdline.boot_parameters().ok()?.root_hash));
    let is_medium = root_hash.is_some_and(|root_hash| medium::is_medium(&table.table, &root_hash));
    Ok(BootDisk { name: name.to_owned(), path: Path::new("/dev").join(name), size, state, var, is_medium, table })
}

/// The kernel's partition of a number: where it begins in bytes, and its name.
fn device_of(disk: &str, number: u32) -> Option<(u64, String)> {
    let folder = Path::new("/sys/class/block").join(disk);
    let value = |path: PathBuf| read_text(&path).ok()?.trim().parse::<u64>().ok();
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        let own = value(path.join("partition"))?;
        (own == u64::from(number))
            .then(|| Some((value(path.join("start"))?.checked_mul(512)?, entry.file_name().into_string().ok()?)))?
    })
}

/// The size of a disk or partition in bytes, as sysfs has it now.
pub(super) fn device_size(name: &str) -> Option<u64> {
    read_text(&Path::new("/sys/class/block").join(name).join("size")).ok()?.trim().parse::<u64>().ok()?.checked_mul(512)
}
