//! init's child `install`: on a machine that was started from an install medium, it writes the system to a disk, or wipes one that was
//! installed.
//!
//! ```text
//! facts (disks, medium) -> choose -> plan -> act -> a line, and the end of the run
//! ```
//! `choose` and `plan` are pure. Nothing is written before every check has passed. From the first write on the disk is nobody's: its first
//! sector is zero, so no firmware and no kernel sees a partition table on it, and a mark says that it is unfinished work, which another
//! run takes as an empty disk. The first sector is written last, when everything else has been read back, verified and flushed: it is
//! one sector, so a power cut leaves either nothing that could boot, or a disk that does.
//!
//! What goes to the disk is read through the medium's verified root; the hash tree is judged by the root hash, which the command line
//! names. The boot loader's files are as trustworthy as the medium that they started this machine from.
//!
//! # Limits
//!
//! Disks with sectors of 4096 bytes are refused by name: the ESP's file system is laid out in 512-byte sectors. A disk on which a stack
//! of others lies (RAID, LVM) is never a target. A disk that says "flushed" and has not is not detected.

mod act;
mod choose;
mod content;
mod disks;
mod esp;
mod medium;
mod plan;
mod reset;
mod verify;
mod window;

pub use choose::{Needs, Refusal, choose};
pub use content::Content;
pub use disks::Disk;
pub(crate) use disks::{Damaged, Installation, installations};

use crate::{facts, failure};
use act::InstallError;
use kmimage_contract::cmdline::Purpose;
use kmimage_contract::disk_layout::DiskLayout;
use kmimage_contract::disk_selector::DiskSelector;
use kmimage_contract::machine_config::{AfterInstall, Install};
use kmimage_contract::paths;
use kmimage_contract::release::Release;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::random;
use medium::Medium;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use uuid::Uuid;

/// The name that process 1 starts it by.
pub const APPLET: &str = "install";
/// The state of its lines.
const STATE: &str = "install";
/// How long disks have to stay as they are before one is chosen, and how often it is looked again after a refusal: a disk behind a slow
/// controller may come late.
const ROUND: Duration = Duration::from_secs(3);

/// What is to be done, as JSON in [`paths::INSTALL`]; `null`: nothing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Wipe the installation that there is, instead of making one.
    pub reset: bool,
    /// The target; without any condition the only disk.
    pub disk: DiskSelector,
    /// The serial number or by-id name of the disk that may lose what is on it.
    pub wipe: Option<String>,
    /// What follows.
    pub after: AfterInstall,
}

impl Wish {
    /// What the command line and the config come to; the command line says what a person has chosen just now.
    pub fn of(purpose: &Purpose, install: Option<&Install>) -> Option<Self> {
        let config = install.cloned();
        let wish = |Install { disk, wipe, after }| Self { reset: false, disk, wipe, after };
        match purpose {
            Purpose::Live => None,
            Purpose::Usual => config.map(wish),
            Purpose::Install(None) => Some(wish(config.unwrap_or_default())),
            Purpose::Install(Some(disk)) => Some(wish(Install { disk: disk.clone(), ..config.unwrap_or_default() })),
            Purpose::Reset => Some(Self { reset: true, ..wish(Install::default()) }),
        }
    }
}

/// The applet. It ends when there is nothing to do for it, when it is done, or when it has failed; after a refusal it looks again.
pub fn run(words: &[String]) -> ExitCode {
    if !words.is_empty() {
        return ExitCode::from(2);
    }
    let mut say = |line: StateLine| {
        let mut output = std::io::stdout();
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    };
    let text = std::fs::read(Path::new(paths::INSTALL)).unwrap_or_default();
    let Ok(Some(wish)) = serde_json::from_slice::<Option<Wish>>(&text) else { return ExitCode::SUCCESS };
    match medium::find() {
        Ok(Some(medium)) => {
            if let Err(error) = carry_out(&wish, &medium, &mut say) {
                let cause = failure::chain(&error);
                say(StateLine::new("install-failed").with("what", STATE).with("cause", cause).with("remedy", error.remedy()));
            }
        }
        Ok(None) => say(StateLine::new(STATE).with("medium", "no")),
        Err(error) => {
            let cause = failure::chain(&error);
            say(StateLine::new("install-failed").with("what", STATE).with("cause", cause).with("remedy", error.remedy()));
        }
    }
    ExitCode::SUCCESS
}

/// Waits until the wish can be carried out, and does it.
fn carry_out(wish: &Wish, medium: &Medium, say: &mut dyn FnMut(StateLine)) -> Result<(), InstallError> {
    let release = facts::release::read().map_err(InstallError::Release)?;
    let least_size = DiskLayout::least_size(release.slot_size).map_err(InstallError::Layout)?;
    let needs = Needs { least_size, medium: &medium.disk, esp: medium.esp_uuid };
    let mut said = String::new();
    let mut before: Option<String> = None;
    loop {
        let disks = disks::read();
        let chosen = if wish.reset { choose::installed(&disks, &needs) } else { choose(&disks, wish, &needs) };
        match chosen {
            // The same twice: a disk that makes the match ambiguous may be on its way.
            Ok(disk) if before.as_deref() == Some(disk.name.as_str()) => {
                if wish.reset {
                    reset::reset(disk)?;
                    say(StateLine::new(STATE).with("reset", &disk.name).with("serial", disk.identity.serial.trim()));
                } else {
                    install(disk, medium, &release, say)?;
                }
                let action = if wish.after == AfterInstall::PowerOff { "power-off" } else { "reboot" };
                let reason = if wish.reset { "reset" } else { "installed" };
                say(StateLine::new("request").with("action", action).with("reason", reason));
                return Ok(());
            }
            Ok(disk) => before = Some(disk.name.clone()),
            Err(refusal) => {
                before = None;
                let text = refusal.to_string();
                if text != said {
                    say(StateLine::new(STATE).with("result", "refused").with("reason", &text));
                    said = text;
                }
            }
        }
        std::thread::sleep(ROUND);
    }
}

fn install(disk: &Disk, medium: &Medium, release: &Release, say: &mut dyn FnMut(StateLine)) -> Result<(), InstallError> {
    let mut volume = medium.volume()?;
    let config = match std::fs::read(Path::new(paths::MACHINE_CONFIG)) {
        Ok(config) => Some(config),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(InstallError::Config(source)),
    };
    let files = esp::files(&mut volume, release, medium.esp_uuid, config)?;
    let plan = plan::plan(disk.identity.size, release.slot_size, medium, &files, fresh, medium::now())?;
    let target = act::Device::open(&Path::new("/dev").join(&disk.name))
        .map_err(|source| InstallError::Open { disk: disk.name.clone(), source })?;
    say(StateLine::new(STATE)
        .with("disk", &disk.name)
        .with("serial", disk.identity.serial.trim())
        .with("model", disk.identity.model.trim()));
    act::act(&target, medium, &mut volume, &plan, &files, say)?;
    say(StateLine::new("installed")
        .with("disk", &disk.name)
        .with("serial", disk.identity.serial.trim())
        .with("esp", plan.esp_uuid));
    Ok(())
}

/// A random UUID.
fn fresh() -> Result<Uuid, InstallError> {
    let bytes = random::bytes().map_err(InstallError::Random)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests;
