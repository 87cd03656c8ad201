//! The config on disk: what is in force under /run, and its copy on `state`, from which the next boots come.
//!
//! Files are written beside and renamed, and on `state` flushed with their folder: after a power cut there is the old one or the new.

use super::platform::Platform;
use crate::facts::{self, mounts::Mount};
use kmimage_contract::machine_config::{self, MachineConfig, MachineConfigError};
use kmimage_contract::paths;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where a config in force is from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Provenance {
    /// The source, as in state lines: `nocloud:/dev/sr0`.
    pub source: String,
    /// SHA-256 of the document, in hexadecimal.
    pub sha256: String,
}

/// A document with where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// As its author wrote it.
    pub document: Vec<u8>,
    /// Where it is from.
    pub provenance: Provenance,
}

/// The folders, below a root.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// The names within both folders.
const DOCUMENT: &str = "machine.toml";
const PROVENANCE: &str = "provenance.json";
const PLATFORM: &str = "platform.json";

impl Store {
    /// The one below this root, which is `/` on a machine.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where a path of the machine is.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn running(&self) -> PathBuf {
        self.at(paths::RUN).join("config")
    }

    fn kept(&self) -> PathBuf {
        self.at(paths::STATE_CONFIG)
    }

    /// Whether `state` is mounted: without it nothing is kept.
    pub fn has_state(&self) -> bool {
        self.has_state_on("")
    }

    /// The same for a `state` whose device has such a name.
    fn has_state_on(&self, device: &str) -> bool {
        let is_state = |mount: &Mount| mount.target == Path::new(paths::STATE) && mount.source.starts_with(device);
        // Below another root there are no mounts, and the folder is what counts.
        let mounted = || facts::mounts::read().is_ok_and(|mounts| mounts.iter().any(is_state));
        if self.root == Path::new("/") { mounted() } else { self.at(paths::STATE).is_dir() }
    }

    /// Whether the machine has once been ready with a config.
    pub fn is_marked(&self) -> bool {
        self.has_state() && self.at(paths::READY_MARK).exists()
    }

    /// The document on `state`. `None`: there is none.
    pub fn load(&self) -> io::Result<Option<Kept>> {
        if !self.has_state() {
            return Ok(None);
        }
        load(&self.kept())
    }

    /// The same where the next boot finds it: on a disk, which has it for certain when this returns.
    pub fn load_lasting(&self) -> io::Result<Option<Kept>> {
        // A machine that runs from a medium has its `state` in memory.
        if !self.has_state_on("/dev/") {
            return Ok(None);
        }
        let (kept, folder) = (self.load()?, self.kept());
        if kept.is_some() {
            File::open(folder.join(DOCUMENT))?.sync_all()?;
            File::open(folder)?.sync_all()?;
        }
        Ok(kept)
    }

    /// The platform data on `state`; what can't be read is none.
    pub fn load_platform(&self) -> Platform {
        let bytes = if self.has_state() { fs::read(self.kept().join(PLATFORM)).ok() } else { None };
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// The document that is in force, from an earlier run of this child.
    pub fn in_force(&self) -> Option<Kept> {
        load(&self.running()).ok().flatten()
    }

    /// Puts a document, or none, and platform data in force.
    pub fn put_in_force(&self, kept: Option<&Kept>, platform: &Platform) -> io::Result<()> {
        let folder = self.running();
        make_folder(&folder)?;
        write(&folder, PLATFORM, &json(platform)?, false)?;
        if let Some(kept) = kept {
            write(&folder, PROVENANCE, &json(&kept.provenance)?, false)?;
            write(&folder, DOCUMENT, &kept.document, false)?;
        }
        Ok(())
    }

    /// Keeps both on `state`. The document comes last: whoever finds it finds the rest.
    pub fn keep(&self, kept: Option<&Kept>, platform: &Platform) -> io::Result<()> {
        let folder = self.kept();
        make_folder(&folder)?;
        write(&folder, PLATFORM, &json(platform)?, true)?;
        if let Some(kept) = kept {
            write(&folder, PROVENANCE, &json(&kept.provenance)?, true)?;
            write(&folder, DOCUMENT, &kept.document, true)?;
        }
        Ok(())
    }
}

/// Judges a document; `name` is what errors call it.
pub fn judge(name: &str, document: &[u8], image_role: Option<&str>) -> Result<MachineConfig, MachineConfigError> {
    machine_config::parse(name, document, image_role)
}

fn load(folder: &Path) -> io::Result<Option<Kept>> {
    let file = match File::open(folder.join(DOCUMENT)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut document = Vec::new();
    file.take(machine_config::MAX_SIZE as u64 + 1).read_to_end(&mut document)?;
    // Where it is from is worth knowing, and nothing hangs on it.
    let provenance = fs::read(folder.join(PROVENANCE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(Some(Kept { document, provenance: provenance.unwrap_or_default() }))
}

fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(value)?)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a file that only root reads, beside its place, and moves it there.
fn write(folder: &Path, name: &str, bytes: &[u8], flush: bool) -> io::Result<()> {
    let beside = folder.join(format!(".{name}.new"));
    // Left by a crash, it could have other rights.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    if flush {
        file.sync_all()?;
    }
    fs::rename(&beside, folder.join(name))?;
    if flush { File::open(folder)?.sync_all() } else { Ok(()) }
}
