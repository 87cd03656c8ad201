//! May this device be overwritten with this image? Pure: facts and the image's size in, a go or a [`Refusal`] out.
//!
//! Nothing overrides a refusal: each has a way out that makes the device free first. What is in use is looked for upwards from the disk,
//! through partitions, device-mapper, md and loop devices. What this can't see (another mount namespace, members of a ZFS pool) the kernel's
//! exclusive claim stops when the device is opened.

use super::facts::{Device, Machine};
use super::image::Image;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a device is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A partition was named.
    #[error("{} is partition {number} of {}: an image holds a whole disk", .path.display(), .disk.display())]
    Partition {
        /// The partition.
        path: PathBuf,
        /// Its number.
        number: u32,
        /// The disk that it is on.
        disk: PathBuf,
    },
    /// A CD drive, a mapping, memory.
    #[error("{} is no disk, stick or memory card", .0.display())]
    NoDisk(PathBuf),
    /// A card reader without a card.
    #[error("{} holds no medium", .0.display())]
    NoMedium(PathBuf),
    /// This system runs from it.
    #[error("{} is the disk that this system runs from: {how}", .path.display())]
    RunningSystem {
        /// The disk.
        path: PathBuf,
        /// What of it is in use.
        how: String,
    },
    /// Something of it is mounted.
    #[error("{} is mounted: {}", .path.display(), list(.points))]
    Mounted {
        /// The disk.
        path: PathBuf,
        /// Where.
        points: Vec<PathBuf>,
    },
    /// Something is made out of it: LUKS, LVM, RAID.
    #[error("{} is in use by {}", .path.display(), .by.join(", "))]
    Held {
        /// The disk.
        path: PathBuf,
        /// What holds it.
        by: Vec<String>,
    },
    /// The kernel refuses writes.
    #[error("{} is read-only", .0.display())]
    ReadOnly(PathBuf),
    /// The image doesn't fit.
    #[error("{} has {device} bytes, the image {image}: {} bytes too small", .path.display(), .image.saturating_sub(*.device))]
    TooSmall {
        /// The disk.
        path: PathBuf,
        /// Its size in bytes.
        device: u64,
        /// The image's.
        image: u64,
    },
    /// The image's partition table counts in other sectors.
    #[error("{} has sectors of {device} bytes, and the image's partition table counts in sectors of {image}", .path.display())]
    SectorSize {
        /// The disk.
        path: PathBuf,
        /// Its logical sectors' size.
        device: u64,
        /// What the image was made for.
        image: u64,
    },
}

fn list(points: &[PathBuf]) -> String {
    points.iter().map(|point| point.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Refusal {
    /// What can be done about it.
    pub fn remedy(&self) -> String {
        match self {
            Refusal::Partition { disk, .. } => format!("Name the disk, if you mean it: {}.", disk.display()),
            Refusal::NoDisk(_) => "`kmimage flash --list` shows what can be written.".into(),
            Refusal::NoMedium(_) => "Put a medium in.".into(),
            Refusal::RunningSystem { .. } => "`kmimage flash --list` shows other disks; this one is never written.".into(),
            Refusal::Mounted { points, .. } => format!("Unmount it first: `umount {}`.", points_quoted(points)),
            Refusal::Held { .. } => {
                "Close what uses it first (cryptsetup close, vgchange --activate n, mdadm --stop, losetup --detach).".into()
            }
            Refusal::ReadOnly(_) => "Look for a switch on it; a stick that has become read-only by itself is worn out.".into(),
            Refusal::TooSmall { .. } => "Take a larger one.".into(),
            Refusal::SectorSize { .. } => "Take a device with such sectors; nothing would find partitions on this one.".into(),
        }
    }
}

fn points_quoted(points: &[PathBuf]) -> String {
    points.iter().map(|point| format!("'{}'", point.display())).collect::<Vec<_>>().join(" ")
}

/// What a person names a device by, so that it can't be mistaken for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Its serial number.
    Serial(String),
    /// Without one: its shortest name below /dev/disk/by-id.
    ById(String),
    /// A loop device: the file behind it.
    BackingFile(String),
    /// With none of these: its size in bytes.
    Size(u64),
}

impl Identity {
    /// The best that a device has.
    pub fn of(device: &Device) -> Self {
        let by_id = || device.by_id.first().cloned().map(Identity::ById);
        let file = || device.backing_file.as_ref().map(|file| Identity::BackingFile(file.display().to_string()));
        device.serial.clone().map(Identity::Serial).or_else(by_id).or_else(file).unwrap_or(Identity::Size(device.size))
    }

    /// The words for a question.
    pub fn what(&self) -> &'static str {
        match self {
            Identity::Serial(_) => "serial number",
            Identity::ById(_) => "name in /dev/disk/by-id (it has no serial number)",
            Identity::BackingFile(_) => "file behind it (a loop device has no serial number)",
            Identity::Size(_) => "size in bytes (it has no serial number)",
        }
    }

    /// True if this is what was typed.
    pub fn is(&self, typed: &str) -> bool {
        typed.trim() == self.to_string()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Serial(text) | Identity::ById(text) | Identity::BackingFile(text) => f.write_str(text),
            Identity::Size(bytes) => write!(f, "{bytes}"),
        }
    }
}

/// May the device be written with whatever image?
pub fn device(machine: &Machine, device: &Device) -> Result<(), Refusal> {
    let path = device.path();
    if let Some((number, disk)) = &device.partition {
        let disk = machine.devices.get(disk).map_or_else(|| Path::new("/dev").join(disk), Device::path);
        return Err(Refusal::Partition { path, number: *number, disk });
    }
    let is_disk = (device.is_hardware || device.backing_file.is_some()) && !device.name.starts_with("sr");
    if !is_disk {
        return Err(Refusal::NoDisk(path));
    }
    if device.size == 0 {
        return Err(Refusal::NoMedium(path));
    }
    in_use(machine, device)?;
    if device.read_only {
        return Err(Refusal::ReadOnly(path));
    }
    Ok(())
}

/// May it be written with this image?
pub fn device_for(machine: &Machine, device: &Device, image: &Image) -> Result<(), Refusal> {
    self::device(machine, device)?;
    let path = device.path();
    if image.size() > device.size {
        return Err(Refusal::TooSmall { path, device: device.size, image: image.size() });
    }
    match image.sector_size() {
        Some(size) if size != device.sector_size => Err(Refusal::SectorSize { path, device: device.sector_size, image: size }),
        _ => Ok(()),
    }
}

/// Refuses a disk of which something is used, however far up.
fn in_use(machine: &Machine, disk: &Device) -> Result<(), Refusal> {
    let path = disk.path();
    let above = above(machine, &disk.name);
    let called = |name: &str| match machine.devices.get(name) {
        Some(device) => match &device.mapped_name {
            Some(mapped) => format!("/dev/mapper/{mapped}"),
            None => device.path().display().to_string(),
        },
        None => name.to_owned(),
    };
    if let Some(name) = machine.swaps.iter().find(|name| above.contains(*name)) {
        return Err(Refusal::RunningSystem { path, how: format!("{} is its swap", called(name)) });
    }
    let mounts: Vec<&(String, PathBuf)> = machine.mounts.iter().filter(|(name, _)| above.contains(name)).collect();
    if let Some((name, point)) = mounts.iter().find(|(_, point)| is_of_system(point)) {
        return Err(Refusal::RunningSystem { path, how: format!("{} is mounted at {}", called(name), point.display()) });
    }
    if !mounts.is_empty() {
        let points: BTreeSet<PathBuf> = mounts.iter().map(|(_, point)| point.clone()).collect();
        return Err(Refusal::Mounted { path, points: points.into_iter().collect() });
    }
    let is_part = |name: &String| *name == disk.name || machine.partitions(&disk.name).iter().any(|(_, part)| part.name == *name);
    let by: Vec<String> = above.iter().filter(|name| !is_part(name)).map(|name| called(name)).collect();
    if by.is_empty() { Ok(()) } else { Err(Refusal::Held { path, by }) }
}

/// Mount points without which this system would not be there.
fn is_of_system(point: &Path) -> bool {
    const FOLDERS: [&str; 7] = ["/boot", "/efi", "/etc", "/nix", "/ostree", "/sysroot", "/usr"];
    // Sticks are mounted below these, too.
    const PLACES: [&str; 6] = ["/", "/home", "/var", "/var/lib", "/var/log", "/var/tmp"];
    PLACES.iter().any(|place| point == Path::new(place)) || FOLDERS.iter().any(|folder| point.starts_with(folder))
}

/// A device and all that is made out of it.
fn above(machine: &Machine, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([name.to_owned()]);
    loop {
        let rests_on_found = |device: &&Device| {
            !found.contains(&device.name)
                && (device.made_of.iter().any(|below| found.contains(below))
                    || device.partition.as_ref().is_some_and(|(_, disk)| found.contains(disk))
                    || file_is_on(machine, device).is_some_and(|below| found.contains(below)))
        };
        let more: Vec<String> = machine.devices.values().filter(rests_on_found).map(|device| device.name.clone()).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// The device that the file behind a loop device lies on: that of the deepest mount point above it.
fn file_is_on<'a>(machine: &'a Machine, device: &Device) -> Option<&'a String> {
    let file = device.backing_file.as_ref()?;
    let mounts = machine.mounts.iter().filter(|(_, point)| file.starts_with(point));
    mounts.max_by_key(|(_, point)| point.components().count()).map(|(name, _)| name)
}

#[cfg(test)]
mod tests;
