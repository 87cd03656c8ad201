//! The disks of this machine, and what an installer must know of each.

use super::content::{self, Content, LOOKED_AT};
use super::window::Window;
use crate::config::volume::Volume;
use crate::devices;
use crate::facts::{self, read_text};
use kmimage_contract::disk_layout::{Role, medium};
use kmimage_contract::disk_selector::DiskIdentity;
use kmimage_contract::gpt;
use std::fs::File;
use std::io;
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
    // One that can't be read can't be judged, and so is not written to.
    let content = look(&name, identity.size).map(|(content, _)| content);
    let content = content.unwrap_or_else(|error| Content::Foreign(format!("it can't be read: {error}")));
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

/// The finished installations of the medium with this ESP. `medium` is its name in /dev.
pub(crate) fn installations(esp: Uuid, medium: &str) -> Vec<Installation> {
    let of_this_medium = |(name, identity): (String, DiskIdentity)| {
        let (content, table) = look(&name, identity.size).ok()?;
        let ours = content == Content::Kmimage { installed_from: Some(esp) };
        let esp = own_esp(table.as_ref()?)?.uuid;
        ours.then_some(Installation { disk: name, esp })
    };
    let others = devices::disks().into_iter().filter(|(name, identity)| name != medium && identity.size > 0);
    others.filter_map(of_this_medium).collect()
}

/// Bytes of a logical sector.
fn sector_size(name: &str) -> Option<u64> {
    read_text(&Path::new(CLASS).join(name).join("queue/logical_block_size")).ok()?.trim().parse().ok()
}

/// What is on a disk of this size, and the table of its partitions.
fn look(name: &str, size: u64) -> io::Result<(Content, Option<gpt::Table>)> {
    let file = File::open(Path::new("/dev").join(name))?;
    look_at(&file, size, sector_size(name).ok_or(io::ErrorKind::NotFound)?)
}

fn look_at(disk: &impl FileExt, size: u64, sector_size: u64) -> io::Result<(Content, Option<gpt::Table>)> {
    let length = size.min(LOOKED_AT);
    let read = |at: u64| {
        let mut bytes = vec![0; length as usize];
        disk.read_exact_at(&mut bytes, at).map(|()| bytes)
    };
    let (begin, end) = (read(0)?, read(size - length)?);
    let table = medium::sector_sizes(sector_size)
        .find_map(|sector_size| gpt::read(&mut Window::new(disk, 0, size), size, sector_size).ok())
        .map(|found| found.table);
    let content = match (content::judge(&begin, &end, table.as_ref()), &table) {
        (Content::Kmimage { .. }, Some(table)) => Content::Kmimage { installed_from: installed_from(disk, table) },
        (content, _) => content,
    };
    Ok((content, table))
}

impl Content {
    /// What is on a disk of `size` bytes in sectors of `sector_size`: by its begin, its end and its partition table, and where there is an
    /// installation, by its ESP.
    ///
    /// # Errors
    /// When its begin or its end can't be read.
    pub fn on(disk: &impl FileExt, size: u64, sector_size: u64) -> io::Result<Self> {
        look_at(disk, size, sector_size).map(|(content, _)| content)
    }
}

fn own_esp(table: &gpt::Table) -> Option<&gpt::Partition> {
    table.partitions.iter().find(|entry| entry.type_guid == Role::Esp.type_guid())
}

/// What the ESP of an installation says.
fn installed_from(disk: &impl FileExt, table: &gpt::Table) -> Option<Uuid> {
    let esp = own_esp(table)?;
    let bytes = table.sector_size.bytes();
    let window = Window::new(disk, esp.first_lba.checked_mul(bytes)?, (esp.last_lba + 1 - esp.first_lba).checked_mul(bytes)?);
    let text = Volume::open(window).ok()??.read(INSTALLED_FROM, 64).ok()??;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
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
