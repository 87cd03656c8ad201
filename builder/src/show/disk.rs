//! A disk image as a value: the partition table, and what each partition holds.

use super::qcow2::Qcow2;
use super::source::{Source, Stream, Window, read_some};
use super::{Boxed, Shown, recognise_part};
use kmimage_contract::disk_layout::Role;
use kmimage_contract::gpt::{self, Copy, SectorSize};
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// A disk image.
#[derive(Debug, Serialize)]
pub struct Disk {
    /// `raw`, `qcow2`, or `iso` for what is a CD, too.
    pub format: &'static str,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes per sector that the table counts in.
    pub sector_size: u64,
    /// The GPT's disk GUID.
    pub disk_guid: Uuid,
    /// What is wrong with the primary table, if the backup had to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_table_fault: Option<String>,
    /// The partitions in the order of their numbers.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Debug, Serialize)]
pub struct Partition {
    /// Its number.
    pub number: u32,
    /// Its GPT name.
    pub label: String,
    /// Its GPT type.
    #[serde(rename = "type")]
    pub type_guid: Uuid,
    /// The type in words, if kmimage uses it.
    pub type_name: Option<&'static str>,
    /// Its UUID.
    pub uuid: Uuid,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// GPT attributes, in hexadecimal in JSON (whose numbers many readers round to 53 bits).
    #[serde(serialize_with = "hexadecimal")]
    pub attributes: u64,
    /// What it holds; none for what begins with zeros or is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Shown>,
}

fn hexadecimal<S: Serializer>(bits: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{bits:#x}"))
}

pub(super) fn decode_raw(source: &dyn Source) -> Result<Shown, Boxed> {
    // ISO 9660's first descriptor.
    let is_cd = read_some(source, 0x8001, 5)? == b"CD001";
    Ok(Shown::Disk(read(if is_cd { "iso" } else { "raw" }, source)?))
}

pub(super) fn decode_qcow2(source: &dyn Source) -> Result<Shown, Boxed> {
    let disk = Qcow2::open(source)?;
    Ok(Shown::Disk(read("qcow2", &disk)?))
}

/// Reads the table with sectors of 512 bytes, else of 4096.
fn read(format: &'static str, disk: &dyn Source) -> Result<Disk, Boxed> {
    let table = |sector_size| gpt::read(&mut Stream::new(disk), disk.size(), sector_size);
    let found = match table(SectorSize::B512) {
        Ok(found) => found,
        Err(error) => table(SectorSize::B4096).map_err(|_| error)?,
    };
    let sector_size = found.table.sector_size.bytes();
    let mut partitions = Vec::new();
    for partition in &found.table.partitions {
        let offset = partition.first_lba.saturating_mul(sector_size);
        let sectors = partition.last_lba.saturating_sub(partition.first_lba).saturating_add(1);
        let size = sectors.saturating_mul(sector_size);
        let window = Window::new(disk, offset, size);
        let content = recognise_part(&read_some(&window, 0, 512)?)
            .map(|(what, decode)| decode(&window).unwrap_or_else(|error| Shown::Damaged { what, fault: error.to_string() }));
        partitions.push(Partition {
            number: partition.number,
            label: partition.name.clone(),
            type_guid: partition.type_guid,
            type_name: type_name(partition.type_guid),
            uuid: partition.uuid,
            offset,
            size,
            attributes: partition.attributes,
            content,
        });
    }
    Ok(Disk {
        format,
        size: disk.size(),
        sector_size,
        disk_guid: found.table.disk_guid,
        primary_table_fault: match found.copy {
            Copy::Primary => None,
            Copy::Backup(fault) => Some(fault.to_string()),
        },
        partitions,
    })
}

/// Offset and size of every partition that holds a root image, in order.
pub(super) fn root_partitions(disk: &Disk) -> impl Iterator<Item = (u64, u64)> {
    let roots = disk.partitions.iter().filter(|partition| matches!(partition.content, Some(Shown::Squashfs(_))));
    roots.map(|partition| (partition.offset, partition.size))
}

fn type_name(type_guid: Uuid) -> Option<&'static str> {
    let role = Role::ALL.into_iter().find(|role| role.type_guid() == type_guid)?;
    Some(match role {
        Role::Bios => "BIOS boot",
        Role::Esp => "EFI system",
        Role::Root(_) => "root, x86-64",
        Role::RootVerity(_) => "root verity, x86-64",
        Role::State => "Linux data",
        Role::Var => "variable data",
    })
}
