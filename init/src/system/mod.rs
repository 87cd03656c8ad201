//! Process 1 in the root: it mounts what a system needs, starts its children, makes the machine what its config says, and waits.
//!
//! One loop over signals, the kernel's announcements of devices, power buttons and what children write. Nothing in it blocks: what
//! could hang (a disk, a name to look up) is done by a child. `boot` decides where the machine stands, `services` what runs.

mod boot;
mod budget;
mod clock;
mod life;
mod mounts;
mod power_keys;
mod proof;
mod shutdown;
mod sysctl;

pub use mounts::{MOUNTS, Row};

use crate::console::Consoles;
use crate::facts::{self, FactError};
use crate::failure;
use crate::services::Supervisor;
use crate::services::cgroups::Cgroups;
use kmimage_contract::cmdline::{BootParameters, CmdlineError};
use kmimage_contract::state_line::StateLine;
use kmimage_sys::device_mapper::DeviceMapperError;
use kmimage_sys::signals::Signals;
use kmimage_sys::uevent::UeventSocket;
use kmimage_sys::{mount, power, process};
use life::Life;
use power_keys::PowerKeys;
use std::io;
use std::path::{Path, PathBuf};

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

/// Where the control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Runs process 1 until the machine goes off.
pub fn run() -> ! {
    match serve() {
        Ok(never) => match never {},
        Err(error) => failure::stop("system", &error),
    }
}

fn serve() -> Result<std::convert::Infallible, SystemError> {
    process::clear_umask();
    // Without it a machine whose memory has run out is slower to help, no more.
    let _ = process::stay_in_memory();
    mounts::mount_all()?;
    let signals = Signals::open().map_err(SystemError::Events)?;
    let events = UeventSocket::open().map_err(SystemError::Events)?;
    // Without the kernel's consent Ctrl-Alt-Del restarts at once, as ever.
    let _ = power::own_ctrl_alt_del();
    let cmdline = facts::cmdline::read()?;
    sysctl::set_defaults(&cmdline);
    let mut consoles = Consoles::new(&cmdline.consoles()).with_page();
    if let Some(line) = clock::floor() {
        consoles.say(&line);
    }
    let parameters = cmdline.boot_parameters()?;
    name_ignored(&parameters, &mut consoles);
    let release = facts::release::read()?;
    let supervisor = Supervisor::new(cgroups(&mut consoles));
    let mut life = Life::new(release, parameters.root_hash, consoles, supervisor);
    life.begin();
    let mut keys = PowerKeys::default();
    keys.look();
    life.live(signals, &events, keys)
}

/// The control groups. A kernel that refuses them runs services without bounds, which is said.
fn cgroups(consoles: &mut Consoles) -> Option<Cgroups> {
    let opened = Cgroups::open(Path::new(CGROUPS));
    if let Err(error) = &opened {
        consoles.say(&StateLine::new("odd").with("what", "control groups").with("message", error));
    }
    opened.ok()
}

/// Nothing on the command line is passed over in silence if it is kmimage's.
fn name_ignored(parameters: &BootParameters, consoles: &mut Consoles) {
    for key in &parameters.unknown {
        consoles.say(&StateLine::new("ignored").with("parameter", key).with("reason", "unknown parameter"));
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
