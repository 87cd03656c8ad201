//! Handing over: a machine that was started from a medium whose system is installed on its disk goes on to that disk, so that it runs from
//! there also where the medium stays first in the boot order, or where the firmware can't reach the disk.
//!
//! The disk's kernel is started from this one (kexec). It is the slot that the disk's boot loader would boot, and the try is counted as the loader
//! would. It is the same on every firmware: going by UEFI's `BootNext` would wear the firmware's memory with every start, and a
//! firmware without a driver for the disk would come back to the medium for ever.
//!
//! Nothing of the medium's own root is mounted yet, no config was read, and nothing runs that would have to be ended.

use super::drivers::{Drivers, Reach};
use super::find::{Root, drain};
use crate::console::Consoles;
use crate::esp::{Esp, EspError};
use crate::facts::block;
use crate::install::{self, Damaged, Installation};
use kmimage_contract::cmdline::{BootParameters, Purpose};
use kmimage_contract::disk_layout::medium;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::uevent::UeventSocket;
use kmimage_sys::{kexec, poll, power};
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long no device may have come for the disks to count as complete: some SCSI controllers reset their bus for three seconds first.
const QUIET: Duration = Duration::from_secs(5);
/// The longest wait for disks.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a machine can't go on to its disk. It doesn't run from the medium then: with the disk's config it would be a second machine of the
/// same name.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// Any of them could be meant.
    #[error("the disks {0} have an installation of this medium each: let the one that is meant come first in the boot order")]
    Several(String),
    /// The kernel doesn't tell about devices.
    #[error("listening for devices")]
    Devices(#[source] io::Error),
    /// The disk's boot files.
    #[error("the installation on {disk} does not start (`Live` in the medium's menu runs the medium's system)")]
    Files {
        /// The disk.
        disk: String,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kernel refuses to start another one.
    #[error(
        "this kernel does not start that of {disk} (under Secure Boot it takes signed ones only): let the disk come first in the boot order"
    )]
    Kexec {
        /// The disk.
        disk: String,
        /// Why.
        source: io::Error,
    },
}

/// Whether this boot, from the medium with this root, is to hand over if it can: a person who has chosen something else gets that.
pub(super) fn is_wanted(parameters: &BootParameters) -> bool {
    parameters.purpose == Purpose::Usual && parameters.esp == Some(medium::esp_uuid(&parameters.root_hash))
}

/// Hands over; returns if there is no installation of this medium.
pub(super) fn hand_over(
    root: &Root,
    parameters: &BootParameters,
    drivers: &mut Drivers,
    events: &UeventSocket,
    consoles: &mut Consoles,
) -> Result<(), HandOverError> {
    let medium = root.data.disk.as_deref().unwrap_or_default();
    let Some(Installation { disk, esp }) = find(medium, medium::esp_uuid(&parameters.root_hash), drivers, events)? else {
        return Ok(());
    };
    let files = |source: EspError| HandOverError::Files { disk: disk.clone(), source: source.into() };
    let devices = block::read().map_err(|error| files(error.into()))?;
    let partition = devices.iter().find(|device| device.uuid == Some(esp) && device.disk.as_ref() == Some(&disk));
    let next = partition.ok_or(EspError::Absent).and_then(|partition| Esp::of(partition).next_boot()).map_err(files)?;
    consoles.say(&StateLine::new("hand-over").with("disk", &disk).with("slot", next.slot));
    let command_line = format!("{} kmimage.esp={esp}", next.command_line);
    let loaded = kexec::load(&next.kernel, &next.initramfs, &command_line).and_then(|()| power::kexec());
    loaded.map_err(|source| HandOverError::Kexec { disk, source })
}

/// Waits for an installation of this medium, or until no disk has come for a while.
fn find(
    medium: &str,
    esp: uuid::Uuid,
    drivers: &mut Drivers,
    events: &UeventSocket,
) -> Result<Option<Installation>, HandOverError> {
    let begin = Instant::now();
    let mut last = begin;
    loop {
        drivers.look(Reach::All);
        let damaged = |Damaged { disk, why }| HandOverError::Files { disk, source: why.into() };
        let mut found = install::installations(esp, medium).map_err(damaged)?;
        if found.len() > 1 {
            let names: Vec<String> = found.into_iter().map(|installation| installation.disk).collect();
            return Err(HandOverError::Several(names.join(" and ")));
        }
        if let Some(installation) = found.pop() {
            return Ok(Some(installation));
        }
        loop {
            if last.elapsed() >= QUIET || begin.elapsed() >= PATIENCE {
                return Ok(None);
            }
            poll::readable(&[events.as_fd()], Some(QUIET.saturating_sub(last.elapsed()))).map_err(HandOverError::Devices)?;
            if drain(events).map_err(HandOverError::Devices)? {
                last = Instant::now();
                break;
            }
        }
    }
}
