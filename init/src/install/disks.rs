//! The disks of this machine, and what an installer must know of each.

use super::content::{self, Content, LOOKED_AT};
use super::window::Window;
use crate::config::volume::Volume;
use crate::devices;
use crate::facts::{self, read_text};
use crate::failure;
use kmimage_contract::disk_layout::{DiskLayout, Role, medium};
use kmimage_contract::disk_selector::DiskIdentity;
use kmimage_contract::gpt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const CLASS: &str = "/sys/class/block";

/// Where an installed ESP says which medium it is from: the PARTUUID of that medium's ESP.
pub(super) const INSTALLED_FROM: &str = "kmimage/installed-from";

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its name in /dev.
    pub name: String,
    /// What selectors ask for.
    pub identity: DiskIdentity,
    /// Bytes of a logical sector.
    pub sector_size: u64,
    /// Whether it, or its medium, can be taken out.
    pub removable: bool,
    /// Whether it takes no writes.
    pub read_only: bool,
    /// Who uses it.
    pub held: Option<String>,
    /// What is on it.
    pub content: Content,
}

/// All disks, in the order of their names. CDs, loop devices and what is made of other disks are none.
pub(super) fn read() -> Vec<Disk> {
    let users = users();
    devices::disks().into_iter().filter_map(|(name, identity)| read_one(name, identity, &users)).collect()
}

fn read_one(name: String, identity: DiskIdentity, users: &[(PathBuf, &'static str)]) -> Option<Disk> {
    let folder = Path::new(CLASS).join(&name);
    let number = |file: &str| read_text(&folder.join(file)).ok()?.trim().parse::<u64>().ok();
    if identity.size == 0 {
        return None;
    }
    let (content, _) = look(&name, identity.size);
    Some(Disk {
        sector_size: sector_size(&name)?,
        removable: number("removable") == Some(1),
        read_only: number("ro") != Some(0),
        held: held(&name, &folder, users),
        content,
        identity,
        name,
    })
}

/// A disk with the finished installation of a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    /// Its name in /dev.
    pub disk: String,
    /// The PARTUUID of its own ESP.
    pub esp: Uuid,
}

/// An installation that may be of this medium: its disk's name in /dev, and why that can't be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub disk: String,
    pub why: String,
}

/// The finished installations of the medium with this ESP. `medium` is its name in /dev.
pub(crate) fn installations(esp: Uuid, medium: &str) -> Result<Vec<Installation>, Damaged> {
    let mut found = Vec::new();
    for (disk, identity) in devices::disks().into_iter().filter(|(name, identity)| name != medium && identity.size > 0) {
        let (content, table) = look(&disk, identity.size);
        let own = table.as_ref().and_then(own_esp).map(|entry| entry.uuid);
        match (content, own) {
            (Content::Damaged(why), _) => return Err(Damaged { disk, why }),
            (Content::Kmimage { installed_from: Some(from) }, Some(own)) if from == esp => {
                found.push(Installation { disk, esp: own });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Bytes of a logical sector.
fn sector_size(name: &str) -> Option<u64> {
    read_text(&Path::new(CLASS).join(name).join("queue/logical_block_size")).ok()?.trim().parse().ok()
}

/// What is on a disk of this size, and the table of its partitions.
fn look(name: &str, size: u64) -> (Content, Option<gpt::Table>) {
    match (File::open(Path::new("/dev").join(name)), sector_size(name)) {
        (Ok(file), Some(sector_size)) => look_at(&file, size, sector_size),
        (Err(error), _) => (Content::Unreadable(error.to_string()), None),
        (_, None) => (Content::Unreadable("it has gone".to_owned()), None),
    }
}

fn look_at(disk: &impl FileExt, size: u64, sector_size: u64) -> (Content, Option<gpt::Table>) {
    let length = size.min(LOOKED_AT);
    let read = |at: u64| {
        let mut bytes = vec![0; length as usize];
        disk.read_exact_at(&mut bytes, at).map(|()| bytes)
    };
    let table = medium::sector_sizes(sector_size)
        .find_map(|sector_size| gpt::read(&mut Window::new(disk, 0, size), size, sector_size).ok())
        .map(|found| found.table);
    let content = match (read(0).and_then(|begin| Ok((begin, read(size - length)?))), &table) {
        (Ok((begin, end)), _) => content::judge(&begin, &end, table.as_ref()),
        (Err(error), Some(table)) if DiskLayout::is_ours(table) => Content::Damaged(format!("it can't be read: {error}")),
        (Err(error), _) => Content::Unreadable(error.to_string()),
    };
    let content = match (content, &table) {
        (Content::Kmimage { .. }, Some(table)) => match installed_from(disk, table) {
            Ok(installed_from) => Content::Kmimage { installed_from },
            Err(why) => Content::Damaged(format!("its ESP can't be read: {why}")),
        },
        (content, _) => content,
    };
    (content, table)
}

impl Content {
    /// What is on a disk of `size` bytes in sectors of `sector_size`: by its begin, its end and its partition table, and where there is an
    /// installation, by its ESP.
    pub fn on(disk: &impl FileExt, size: u64, sector_size: u64) -> Self {
        look_at(disk, size, sector_size).0
    }
}

fn own_esp(table: &gpt::Table) -> Option<&gpt::Partition> {
    table.partitions.iter().find(|entry| entry.type_guid == Role::Esp.type_guid())
}

/// What the ESP of an installation says; `None`: it is from no medium. Or why it can't be read.
fn installed_from(disk: &impl FileExt, table: &gpt::Table) -> Result<Option<Uuid>, String> {
    let esp = own_esp(table).ok_or("it has none")?;
    let bytes = table.sector_size.bytes();
    let place = |lba: u64| lba.checked_mul(bytes).ok_or("it is nowhere");
    let window = Window::new(disk, place(esp.first_lba)?, place(esp.last_lba + 1 - esp.first_lba)?);
    let volume = Volume::open(window).map_err(|error| failure::chain(&error))?;
    let text = volume.ok_or("it holds no file system")?.read(INSTALLED_FROM, 64).map_err(|error| failure::chain(&error))?;
    Ok(text.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok()))
}

/// Devices that are mounted or swapped to.
fn users() -> Vec<(PathBuf, &'static str)> {
    let real = |source: &str| std::fs::canonicalize(source).ok().filter(|path| path.starts_with("/dev"));
    let mounts = facts::mounts::read().unwrap_or_default();
    let mounted = mounts.iter().filter_map(|mount| Some((real(&mount.source)?, "mounted")));
    let swaps = read_text(Path::new("/proc/swaps")).unwrap_or_default();
    let swapped = swaps.lines().skip(1).filter_map(|line| Some((real(line.split_whitespace().next()?)?, "used as swap")));
    mounted.chain(swapped).collect()
}

/// Who uses a disk or a partition of it.
fn held(disk: &str, folder: &Path, users: &[(PathBuf, &'static str)]) -> Option<String> {
    let partitions = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let partitions = partitions.filter(|entry| entry.path().join("partition").exists());
    let names = partitions.filter_map(|entry| entry.file_name().into_string().ok());
    for name in std::iter::once(disk.to_owned()).chain(names) {
        if let Some((_, how)) = users.iter().find(|(device, _)| *device == Path::new("/dev").join(&name)) {
            return Some(format!("{name} is {how}"));
        }
        let holders = std::fs::read_dir(Path::new(CLASS).join(&name).join("holders")).into_iter().flatten().flatten();
        if let Some(holder) = holders.filter_map(|entry| entry.file_name().into_string().ok()).next() {
            return Some(format!("{name} is part of {holder}"));
        }
    }
    None
}
