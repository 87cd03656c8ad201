//! Further disks that a config names: made a file system once, checked and mounted.
//!
//! The rule is that of `state` and `var`, with the ledger on `state` as the first witness and the superblock as the second. A disk on
//! which anything is that kmimage has not made is refused and stays as it is.

use super::content::{self, Content};
use super::disk::device_size;
use super::doing::failed;
use super::plan::{Refusal, decide_volume};
use super::tools::{self, Checked, Shape, ToolError};
use super::{StorageError, disk, ledger};
use kmimage_contract::ledger::Phase;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::mount::{self, Restrictions};
use kmimage_sys::{filesystem, random};
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What to mount, as JSON: a list of [`Wanted`].
pub const INPUT: &str = "/run/kmimage/volumes.json";
/// Where disks are found by what they are.
const BY_ID: &str = "/dev/disk/by-id";
/// How long a disk may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked.
const ROUND: Duration = Duration::from_millis(100);

/// A volume, as process 1 hands it over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its name: the file system's label.
    pub name: String,
    /// The disk: a name in /dev/disk/by-id.
    pub disk: String,
    /// Where it is mounted, below /var.
    pub path: PathBuf,
}

/// What to do with a volume's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It was made.
    Use,
    /// It is made now.
    Make,
    /// It is not touched.
    Refuse(Refusal),
}

/// Why a volume is not mounted.
#[derive(Debug, thiserror::Error)]
enum VolumeError {
    #[error("no disk /dev/disk/by-id/{disk} has appeared in {seconds} s")]
    Missing { disk: String, seconds: u64 },
    #[error("{0}")]
    Refused(Refusal),
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerFault),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("{}", .0.display())]
    Io(PathBuf, #[source] io::Error),
}

impl VolumeError {
    fn remedy(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "attach the disk, or correct the volume's `disk` in the machine config",
            Self::Refused(refusal) => refusal.remedy(),
            Self::Tool(ToolError::Failed { program: "e2fsck", .. }) => {
                "nothing was changed; run e2fsck -f on the disk from another system"
            }
            _ => "look at the disk: cabling, the host's storage, its health",
        }
    }
}

/// Mounts all volumes of the list; each that fails is said by name. `Ok(false)`: one has.
pub fn mount_all(scratch: &Path, say: &mut dyn FnMut(StateLine)) -> Result<bool, StorageError> {
    let fail = |message: String| StorageError::Input { path: INPUT.into(), message };
    let text = std::fs::read(INPUT).map_err(|error| fail(error.to_string()))?;
    let wanted: Vec<Wanted> = serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
    let end = Instant::now() + PATIENCE;
    let mut good = true;
    for volume in &wanted {
        match mount_one(volume, end, scratch, say) {
            Ok(line) => say(line),
            Err(error) => {
                good = false;
                say(failed(&format!("volume-{}", volume.name), &error, error.remedy()));
            }
        }
    }
    Ok(good)
}

fn mount_one(volume: &Wanted, end: Instant, scratch: &Path, say: &mut dyn FnMut(StateLine)) -> Result<StateLine, VolumeError> {
    let link = Path::new(BY_ID).join(&volume.disk);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| VolumeError::Io(path, source)
    };
    let device =
        wait_for(&link, end).ok_or_else(|| VolumeError::Missing { disk: volume.disk.clone(), seconds: PATIENCE.as_secs() })?;
    let line = |state: &str| StateLine::new("volume").with("name", &volume.name).with("state", state);
    let mounted = crate::facts::mounts::read().unwrap_or_default().iter().any(|mount| mount.target == volume.path);
    if !mounted {
        prepare(volume, &device, scratch, &mut |state| say(line(state)))?;
        std::fs::create_dir_all(&volume.path).map_err(io(&volume.path))?;
        let restrictions = Restrictions { no_suid: true, no_dev: true, ..Restrictions::default() };
        let mount = || mount::mount(&device.to_string_lossy(), &volume.path, "ext4", restrictions, "errors=remount-ro");
        if mount().is_err() {
            tools::check(&device, true, scratch)?;
            mount().map_err(io(&volume.path))?;
        }
    }
    grow(&device, &volume.path);
    let usage = filesystem::usage(&volume.path).map_err(io(&volume.path))?;
    Ok(line("mounted").with("path", volume.path.display()).with("size", usage.size).with("free", usage.free))
}

/// The device, once its link is there. `None`: it has not come in time.
fn wait_for(link: &Path, end: Instant) -> Option<PathBuf> {
    loop {
        if let Ok(device) = std::fs::canonicalize(link) {
            return Some(device);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(ROUND);
    }
}

/// Makes the file system if that may be done, checks it if it must be.
fn prepare(volume: &Wanted, device: &Path, scratch: &Path, say: &mut dyn FnMut(&str)) -> Result<(), VolumeError> {
    let io = |source| VolumeError::Io(device.to_owned(), source);
    let found = content::read(device).map_err(io)?;
    let state = disk::find().ok().and_then(|disk| disk.state);
    let mut ledger = state.as_ref().and_then(|state| ledger::read(&state.path, state.size).ok().flatten());
    let name = format!("volume:{}", volume.disk);
    let phase = ledger.as_ref().and_then(|ledger| ledger.entry(&name)).map(|entry| entry.phase);
    match (decide_volume(phase, &found, state.is_some()), state) {
        (Decision::Refuse(refusal), _) => Err(VolumeError::Refused(refusal)),
        (Decision::Make, None) => Err(VolumeError::Refused(Refusal::NoLedger)),
        (Decision::Make, Some(state)) => {
            say("making");
            let bytes = random::bytes().map_err(|source| VolumeError::Io("/dev/random".into(), source))?;
            let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
            ledger = Some(ledger::note(&state.path, state.size, ledger, &name, Phase::Making, uuid)?);
            let size = Shape::size_in(size_of(device), false);
            tools::make(device, &Shape { label: &volume.name, uuid, block: tools::BLOCK, size }, scratch)?;
            OpenOptions::new().write(true).open(device).and_then(|file| file.sync_all()).map_err(io)?;
            ledger::note(&state.path, state.size, ledger, &name, Phase::Made, uuid)?;
            Ok(())
        }
        (Decision::Use, _) => {
            if !found.is_clean() {
                say("checking");
                if let (Checked::Mended, _) = tools::check(device, false, scratch)? {
                    say("mended");
                }
            }
            Ok(())
        }
    }
}

/// Fills a disk that has become larger. One that can't be filled is used as it is.
fn grow(device: &Path, target: &Path) {
    if let Ok(Content::Ext4(superblock)) = content::read(device) {
        let blocks = size_of(device) / superblock.block_size;
        if blocks > superblock.blocks {
            let _ = filesystem::grow_ext4(target, blocks);
        }
    }
}

fn size_of(device: &Path) -> u64 {
    device.file_name().and_then(|name| device_size(&name.to_string_lossy())).unwrap_or(0)
}
