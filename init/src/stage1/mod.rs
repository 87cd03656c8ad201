//! Stage 1, in the initramfs: from the kernel's start to the verified root. A straight line without configuration of its own.
//!
//! It reads the command line and nothing else that a user could write; whatever goes wrong ends the boot by name.

mod drivers;
mod find;
mod hand_over;
mod media;
mod switch;
mod verity;

pub use find::{Root, Search, Wanted, search};

use crate::console::Consoles;
use crate::facts::{self, FactError, efi};
use crate::failure;
use drivers::Drivers;
use kmimage_contract::cmdline::CmdlineError;
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_contract::verity::SuperblockError;
use kmimage_sys::device_mapper::DeviceMapperError;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::mount::{self, Restrictions};
use kmimage_sys::process;
use kmimage_sys::uevent::UeventSocket;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no root to go on with.
#[derive(Debug, thiserror::Error)]
pub enum Stage1Error {
    /// A file system could not be mounted.
    #[error("mounting {kind} on {}", target.display())]
    Mount {
        /// Of what kind.
        kind: &'static str,
        /// Where.
        target: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something that the kernel should say could not be read.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// The command line doesn't say what to boot.
    #[error(transparent)]
    Cmdline(#[from] CmdlineError),
    /// The kernel doesn't tell about devices.
    #[error("listening for devices")]
    Devices(#[source] io::Error),
    /// The root did not appear.
    #[error("waited {seconds} s for {missing}")]
    Missing {
        /// What is still missing.
        missing: String,
        /// How long we waited.
        seconds: u64,
    },
    /// Two disks carry the root, and nothing says which one booted.
    #[error(
        "two disks carry the root of this boot, {first} and {second}, and no boot loader says which one is meant: remove one"
    )]
    Doubled {
        /// A disk.
        first: String,
        /// Another one.
        second: String,
    },
    /// The disk that has the medium's system does not start.
    #[error(transparent)]
    HandOver(#[from] hand_over::HandOverError),
    /// A partition could not be read.
    #[error("reading {device}")]
    Read {
        /// Its device.
        device: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The verity partition doesn't hold what it should.
    #[error("{device}")]
    Superblock {
        /// Its device.
        device: PathBuf,
        /// What is wrong.
        source: SuperblockError,
    },
    /// The hash tree covers more than there is.
    #[error("the hash tree covers {tree} bytes, the root partition has {partition}")]
    Size {
        /// Bytes that are verified.
        tree: u64,
        /// Bytes that there are.
        partition: u64,
    },
    /// The verified device could not be made.
    #[error(transparent)]
    DeviceMapper(#[from] DeviceMapperError),
    /// The device of the verified root has no node.
    #[error("device-mapper's device {0} has no node in /dev")]
    NoNode(String),
    /// The way into the root failed.
    #[error("{step} {}", path.display())]
    Switch {
        /// What was tried.
        step: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Where the root is mounted before it becomes `/`.
const NEW_ROOT: &str = "/sysroot";

/// Runs stage 1 and becomes the root's init.
pub fn run() -> ! {
    match boot() {
        Ok(never) => match never {},
        Err(error) => failure::stop("stage1", &error),
    }
}

fn boot() -> Result<Infallible, Stage1Error> {
    process::clear_umask();
    mount_kernel_file_systems()?;
    phase("drivers");
    let cmdline = facts::cmdline::read()?;
    let parameters = cmdline.boot_parameters()?;
    let mut consoles = Consoles::new(&cmdline.consoles());
    let events = UeventSocket::open().map_err(Stage1Error::Devices)?;
    let mut drivers = Drivers::open()?;
    mount_efivarfs();
    let wanted = Wanted { root_hash: parameters.root_hash, esp: parameters.esp.or_else(efi::loader_partition) };
    let root = find::wait(&wanted, &mut drivers, &events, &mut consoles)?;
    if hand_over::is_wanted(&parameters) {
        phase("hand-over");
        hand_over::hand_over(&root, &parameters, &mut drivers, &events, &mut consoles)?;
    }
    phase("verity");
    let device = verity::open(&root, &wanted.root_hash)?;
    let new_root = Path::new(NEW_ROOT);
    phase("root");
    mount_on(&device, new_root, "squashfs", Restrictions { read_only: true, no_dev: true, ..Restrictions::default() })?;
    switch::enter(new_root)
}

/// Marks the beginning of a phase in the kernel's log, with its clock: what `cargo xtask bench boot` reads. No console shows it.
fn phase(name: &str) {
    kernel_log::write(Level::Debug, &StateLine::new("phase").with("name", name).to_string());
}

/// The three that everything else reads. The initramfs brings no folders for them.
fn mount_kernel_file_systems() -> Result<(), Stage1Error> {
    let data_only = Restrictions { no_suid: true, no_dev: true, no_exec: true, read_only: false };
    mount_on("proc", Path::new("/proc"), "proc", data_only)?;
    mount_on("sysfs", Path::new("/sys"), "sysfs", data_only)?;
    mount_on("devtmpfs", Path::new("/dev"), "devtmpfs", Restrictions { no_dev: false, ..data_only })
}

fn mount_on(source: &str, target: &Path, kind: &'static str, restrictions: Restrictions) -> Result<(), Stage1Error> {
    let fail = |source| Stage1Error::Mount { kind, target: target.to_owned(), source };
    std::fs::create_dir_all(target).map_err(fail)?;
    mount::mount(source, target, kind, restrictions, "").map_err(fail)
}

/// Only for the boot loader's word on where it came from; without EFI there is nothing to mount.
fn mount_efivarfs() {
    let target = Path::new(efi::EFIVARS);
    if target.is_dir() {
        let restrictions = Restrictions { read_only: true, no_suid: true, no_dev: true, no_exec: true };
        if let Err(error) = mount::mount("efivarfs", target, "efivarfs", restrictions, "") {
            kernel_log::write(Level::Warning, &format!("kmimage-init: mounting efivarfs: {error}"));
        }
    }
}

/// Says what stage 1 waits for.
fn waiting(missing: &str) -> StateLine {
    StateLine::new("waiting").with("for", missing)
}

/// Called by the switch when nothing is left to do but to go on.
fn become_init() -> io::Error {
    process::become_program(Path::new(paths::SBIN_INIT), &[("PATH", "/usr/sbin:/usr/bin")])
}
