//! The sources of a config, each looked at where the kernel shows it: nothing here decides which one counts.
//!
//! All paths are below a root, which is `/` on a machine.

use super::choose::Kind;
use super::location::Location;
use super::seed::{self, Files, Seed};
use super::smbios::{self, NoCloud};
use super::volume::{Volume, VolumeError};
use crate::facts::block::BlockDevice;
use crate::failure;
use kmimage_contract::cmdline::BootParameters;
use kmimage_contract::fat32::edit::begins_erased;
use kmimage_contract::machine_config::MAX_SIZE;
use kmimage_contract::paths::ESP_MACHINE_CONFIG;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The label of a NoCloud volume, in either case.
const SEED_LABEL: &str = "cidata";
/// The label of OpenStack's config drive, which Proxmox makes for `citype: configdrive2`.
const CONFIG_DRIVE_LABEL: &str = "config-2";
/// Where QEMU's fw_cfg has a config.
const FW_CFG: &str = "sys/firmware/qemu_fw_cfg/by_name/opt/org.kmimage/config/raw";
/// Block devices that carry nothing of their own, by what their names begin with.
const DERIVED: [&str; 4] = ["dm-", "loop", "ram", "zram"];
/// The longest file that is read from a source.
const LIMIT: u64 = MAX_SIZE as u64;

/// What was found in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind of source.
    pub kind: Kind,
    /// The source, as in state lines: `nocloud:/dev/sr0`.
    pub source: String,
    /// What errors call the document.
    pub document: String,
    /// What it says, or why it is refused in one line.
    pub content: Result<Seed, String>,
}

/// What a look at a source gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Something.
    Found(Box<Finding>),
    /// Nothing, and what was looked for.
    Absent(String),
}

/// What is to be fetched before it can be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The kind of source.
    pub kind: Kind,
    /// The source, as in state lines.
    pub source: String,
    /// A document, or the seed whose files lie beside each other.
    pub is_seed: bool,
    /// Where.
    pub url: super::location::Url,
    /// What SMBIOS said beside.
    pub smbios: NoCloud,
}

/// A source, or something to fetch first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// It could be looked at.
    Look(Look),
    /// It has to be fetched.
    Remote(Remote),
}

impl Finding {
    fn new(kind: Kind, source: impl Into<String>, document: impl Into<String>, content: Result<Seed, String>) -> Self {
        Self { kind, source: source.into(), document: document.into(), content }
    }

    fn plain(kind: Kind, source: impl Into<String>, document: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self::new(kind, source, document, Ok(Seed { document: Some(bytes), ..Seed::default() }))
    }
}

impl From<Finding> for Look {
    fn from(finding: Finding) -> Self {
        Self::Found(Box::new(finding))
    }
}

/// `kmimage.config=` on the command line.
pub fn command_line(root: &Path, parameters: &BootParameters, devices: &[BlockDevice]) -> Named {
    let Some(text) = &parameters.config else {
        return Named::Look(Look::Absent("no kmimage.config= on the command line".into()));
    };
    match Location::parse(text) {
        Ok(Location::Url(url)) => Named::Remote(remote(Kind::CommandLine, format!("url:{url}"), url)),
        Ok(Location::Partition { uuid, path }) => {
            let source = format!("partition:{uuid}:/{path}");
            let content = partition(root, uuid, &path, devices);
            let found = |bytes| Seed { document: Some(bytes), ..Seed::default() };
            Named::Look(Finding::new(Kind::CommandLine, source, path, content.map(found)).into())
        }
        Err(error) => Named::Look(Finding::new(Kind::CommandLine, "cmdline", "kmimage.config=", Err(error.to_string())).into()),
    }
}

fn remote(kind: Kind, source: String, url: super::location::Url) -> Remote {
    Remote { kind, source, is_seed: false, url, smbios: NoCloud::default() }
}

/// A file on the partition that the command line names. That there is none is an error: it was asked for.
fn partition(root: &Path, uuid: Uuid, path: &str, devices: &[BlockDevice]) -> Result<Vec<u8>, String> {
    let Some(device) = devices.iter().find(|device| device.uuid == Some(uuid)) else {
        return Err(format!("there is no partition with the UUID {uuid}"));
    };
    match read_file(&device_path(root, &device.name), path) {
        Ok(Some(Some(bytes))) => Ok(bytes),
        Ok(Some(None)) => Err(format!("/dev/{} has no file /{path}", device.name)),
        Ok(None) => Err(format!("/dev/{} has neither FAT nor ISO 9660", device.name)),
        Err(error) => Err(error),
    }
}

/// A NoCloud volume on a device. `None`: the device has none.
pub fn volume(root: &Path, name: &str) -> Option<Look> {
    if DERIVED.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    let mut volume = Volume::open(File::open(device_path(root, name)).ok()?).ok().flatten()?;
    if volume.label().eq_ignore_ascii_case(CONFIG_DRIVE_LABEL) {
        return Some(Look::Absent(format!(
            "/dev/{name} is a config drive of OpenStack's kind, which is not read: make it `citype: nocloud`"
        )));
    }
    if !volume.label().eq_ignore_ascii_case(SEED_LABEL) {
        return None;
    }
    let files = files(&mut volume).map_err(|error| failure::chain(&error));
    let content = files.and_then(|files| seed::read(&files, LIMIT).map_err(|error| error.to_string()));
    Some(Finding::new(Kind::NoCloud, format!("nocloud:/dev/{name}"), "user-data", content).into())
}

fn files(volume: &mut Volume<File>) -> Result<Files, VolumeError> {
    Ok(Files {
        user_data: volume.read("user-data", LIMIT)?,
        meta_data: volume.read("meta-data", LIMIT)?,
        network_config: volume.read("network-config", LIMIT)?,
        vendor_data: volume.read("vendor-data", LIMIT)?,
    })
}

/// What SMBIOS has: a seed by the system's serial number, and a config in an OEM string.
pub fn smbios(root: &Path) -> [Named; 2] {
    let table = match read_limited(&root.join(smbios::TABLE), smbios::TABLE_BYTES) {
        Ok(table) => table,
        Err(error) => {
            let absent = || Named::Look(Look::Absent(format!("no SMBIOS table ({error})")));
            return [absent(), absent()];
        }
    };
    let seed = smbios::serial(&table).and_then(|serial| smbios::no_cloud(&serial));
    let seed =
        seed.map_or_else(|| Named::Look(Look::Absent("the serial number doesn't begin with ds=nocloud".into())), by_serial);
    [seed, by_string(&table)]
}

fn by_serial(found: NoCloud) -> Named {
    let Some(text) = &found.seed_from else {
        return Named::Look(Finding::new(Kind::NoCloud, "nocloud:smbios", "serial number", Ok(serial_seed(&found))).into());
    };
    match super::location::Url::parse(text) {
        Ok(url) => Named::Remote(Remote { is_seed: true, smbios: found, ..remote(Kind::NoCloud, format!("nocloud:{url}"), url) }),
        Err(error) => Named::Look(
            Finding::new(Kind::NoCloud, "nocloud:smbios", "serial number", Err(format!("serial number: {error}"))).into(),
        ),
    }
}

/// What a serial number says by itself.
pub fn serial_seed(found: &NoCloud) -> Seed {
    let mut seed = Seed::default();
    seed.platform.hostname.clone_from(&found.hostname);
    seed.platform.instance_id.clone_from(&found.instance_id);
    seed.notes.extend(found.unknown.iter().map(|key| format!("serial number: `{key}` is ignored")));
    seed
}

fn by_string(table: &[u8]) -> Named {
    let Some(value) = smbios::config(table) else {
        return Named::Look(Look::Absent("no OEM string begins with kmimage.config=".into()));
    };
    let url = std::str::from_utf8(&value)
        .ok()
        .map(str::trim)
        .filter(|text| text.starts_with("http://") || text.starts_with("https://"));
    match url.map(super::location::Url::parse) {
        Some(Ok(url)) => Named::Remote(remote(Kind::Smbios, format!("smbios:{url}"), url)),
        Some(Err(error)) => Named::Look(Finding::new(Kind::Smbios, "smbios", "OEM string", Err(error.to_string())).into()),
        None => Named::Look(Finding::plain(Kind::Smbios, "smbios", "OEM string", value).into()),
    }
}

/// QEMU's fw_cfg.
pub fn fw_cfg(root: &Path) -> Look {
    match read_limited(&root.join(FW_CFG), LIMIT) {
        Ok(bytes) => Finding::plain(Kind::FwCfg, "fw_cfg", "opt/org.kmimage/config", bytes).into(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Look::Absent("no opt/org.kmimage/config in fw_cfg".into()),
        Err(error) => Finding::new(Kind::FwCfg, "fw_cfg", "opt/org.kmimage/config", Err(error.to_string())).into(),
    }
}

/// The boot disk's ESP: that of the boot loader, else that of the disk with the root. A document that was adopted is erased there
/// ([`crate::esp`]); what a power cut leaves of it is none.
pub fn esp(root: &Path, parameters: &BootParameters, loader: Option<Uuid>, devices: &[BlockDevice]) -> Look {
    let Some(esp) = crate::esp::device(parameters, loader, devices) else {
        return Look::Absent("no ESP on the boot disk".into());
    };
    match read_file(&device_path(root, &esp.name), ESP_MACHINE_CONFIG) {
        Ok(Some(Some(bytes))) if begins_erased(&bytes) => {
            Look::Absent(format!("/{ESP_MACHINE_CONFIG} on the ESP, /dev/{}, is erased in part", esp.name))
        }
        Ok(Some(Some(bytes))) => Finding::plain(Kind::Esp, "esp", ESP_MACHINE_CONFIG, bytes).into(),
        Ok(Some(None)) => Look::Absent(format!("no /{ESP_MACHINE_CONFIG} on the ESP, /dev/{}", esp.name)),
        Ok(None) => Look::Absent(format!("the ESP, /dev/{}, has no FAT", esp.name)),
        Err(error) => Finding::new(Kind::Esp, "esp", ESP_MACHINE_CONFIG, Err(error)).into(),
    }
}

/// A file of the volume on a device. The outer `None`: there is no volume; the inner one: there is no such file.
fn read_file(device: &Path, path: &str) -> Result<Option<Option<Vec<u8>>>, String> {
    let file = File::open(device).map_err(|error| format!("opening {}: {error}", device.display()))?;
    let Some(mut volume) = Volume::open(file).map_err(|error| failure::chain(&error))? else { return Ok(None) };
    volume.read(path, LIMIT).map(Some).map_err(|error| failure::chain(&error))
}

fn device_path(root: &Path, name: &str) -> PathBuf {
    root.join("dev").join(name)
}

/// A file of at most so many bytes; a longer one is an error.
fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}
