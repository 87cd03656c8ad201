//! Process 1 in the root: mounts, the word `ready`, then waiting for something to do.
//!
//! It starts no services and writes to no disk yet. Everything that it waits for is one of three descriptors: signals, the kernel's
//! announcements of devices, and power buttons.

mod image_services;
mod mounts;
mod power_keys;
mod proof;
mod shutdown;

pub use mounts::{MOUNTS, Row};

use crate::console::Consoles;
use crate::facts::{self, FactError};
use crate::failure;
use kmimage_contract::cmdline::{BootParameters, CmdlineError};
use kmimage_contract::state_line::{Ready, StateLine};
use kmimage_contract::{RootHash, paths};
use kmimage_sys::device_mapper::DeviceMapperError;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::module;
use kmimage_sys::signals::{Signal, Signals};
use kmimage_sys::uevent::{Received, UeventSocket};
use kmimage_sys::{mount, poll, power, process};
use power_keys::PowerKeys;
use shutdown::{End, shut_down};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

/// Modules of the root that process 1 itself needs: Debian's kernel has the power button and its events as modules.
const MODULES: [&str; 3] = ["button", "evdev", "virtio_console"];

/// Why the system can't go on.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// A file system that the system can't be without.
    #[error("mounting {kind} on {target} ({reason})")]
    Mount {
        /// Of what kind.
        kind: &'static str,
        /// Where.
        target: &'static str,
        /// What it is for.
        reason: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Something that the kernel or the image should say could not be read.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// The command line doesn't say which root this is.
    #[error(transparent)]
    Cmdline(#[from] CmdlineError),
    /// A descriptor that process 1 waits for.
    #[error("waiting for events")]
    Events(#[source] io::Error),
    /// device-mapper doesn't say what the root is.
    #[error(transparent)]
    DeviceMapper(#[from] DeviceMapperError),
    /// The root's own metadata.
    #[error("reading {}", .0.display())]
    Root(PathBuf, #[source] io::Error),
    /// What is mounted on `/` is not what the command line's root hash names.
    #[error("the root is not the verified one: {0}")]
    NotVerified(String),
    /// The root is verified, but the partition under it is no slot.
    #[error("the root's partition has the name `{0}`, which is no slot")]
    NoSlot(String),
}

/// Runs process 1 until the machine goes off.
pub fn run() -> ! {
    match serve() {
        Ok(never) => match never {},
        Err(error) => failure::stop("system", &error),
    }
}

fn serve() -> Result<std::convert::Infallible, SystemError> {
    process::clear_umask();
    mounts::mount_all()?;
    let mut signals = Signals::open().map_err(SystemError::Events)?;
    let events = UeventSocket::open().map_err(SystemError::Events)?;
    // Without the kernel's consent Ctrl-Alt-Del restarts at once, as ever.
    let _ = power::own_ctrl_alt_del();
    let cmdline = facts::cmdline::read()?;
    let mut consoles = Consoles::new(&cmdline.consoles());
    let parameters = cmdline.boot_parameters()?;
    name_ignored(&parameters, &mut consoles);
    load_modules();
    let mut keys = PowerKeys::default();
    keys.look();
    image_services::start_all();
    consoles.say(&ready(&parameters.root_hash)?.line());
    loop {
        let descriptors: Vec<BorrowedFd<'_>> = [signals.as_fd(), events.as_fd()].into_iter().chain(keys.descriptors()).collect();
        poll::readable(&descriptors, None).map_err(SystemError::Events)?;
        let mut end = None;
        while let Some(signal) = signals.take().map_err(SystemError::Events)? {
            match signal {
                Signal::Child => reap_all().map_err(SystemError::Events)?,
                Signal::Interrupt => end = Some((End::Restart, "ctrl-alt-del")),
            }
        }
        let came = device_came(&events).map_err(SystemError::Events)?;
        if keys.pressed() {
            end = Some((End::PowerOff, "power-button"));
        }
        // Only now: `pressed` lets go of a button that has gone, and one that came back under its name is a new one.
        if came {
            keys.look();
        }
        if let Some((end, reason)) = end {
            shut_down(end, reason, &mut consoles);
        }
    }
}

/// What is said once everything is there: and only if the kernel says that the root is the verified one.
fn ready(root_hash: &RootHash) -> Result<Ready, SystemError> {
    let release = facts::release::read()?;
    let slot = proof::slot_of_verified_root(root_hash)?;
    Ok(Ready { role: release.role, version: release.version, slot, root_hash: *root_hash })
}

/// Nothing on the command line is passed over in silence if it is kmimage's.
fn name_ignored(parameters: &BootParameters, consoles: &mut Consoles) {
    let config = parameters.config.iter().map(|_| ("kmimage.config", "this release reads no machine config"));
    let unknown = parameters.unknown.iter().map(|key| (key.as_str(), "unknown parameter"));
    for (key, reason) in config.chain(unknown) {
        consoles.say(&StateLine::new("ignored").with("parameter", key).with("reason", reason));
    }
}

/// Loads what process 1 needs from the root. Without them the power button does nothing, which is no reason not to run.
fn load_modules() {
    let folder = paths::modules(&module::kernel_release());
    let folder = Path::new(&folder);
    let modules_dep = match facts::read_text(&folder.join("modules.dep")) {
        Ok(text) => text,
        Err(error) => return kernel_log::write(Level::Warning, &format!("kmimage-init: {}", failure::chain(&error))),
    };
    let dependencies = facts::modules::Dependencies::parse(&modules_dep);
    for name in MODULES {
        for path in dependencies.load_order(name).unwrap_or_default() {
            if let Err(error) = module::load(&folder.join(path)) {
                kernel_log::write(Level::Warning, &format!("kmimage-init: loading {path}: {error}"));
            }
        }
    }
}

fn reap_all() -> io::Result<()> {
    while process::reap()?.is_some() {}
    Ok(())
}

/// Reads all announcements; whether one could be about a new power button.
fn device_came(events: &UeventSocket) -> io::Result<bool> {
    let mut came = false;
    loop {
        match events.receive()? {
            Received::Event(event) => came |= event.get("SUBSYSTEM") == "input" && event.get("ACTION") == "add",
            Received::Lost => came = true,
            Received::Nothing => return Ok(came),
        }
    }
}

/// Mounts one row of the table.
fn mount_row(row: &Row) -> io::Result<()> {
    let target = Path::new(row.target);
    if !target.is_dir() {
        std::fs::create_dir(target)?;
    }
    mount::mount(row.kind, target, row.kind, row.restrictions, row.options)
}
