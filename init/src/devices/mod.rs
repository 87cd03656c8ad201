//! The child `devices`: drivers for what there is, names for disks and network interfaces, and the same for what comes and goes later.
//!
//! At first every device that the kernel knows gets its driver (coldplug by modalias: only what has a device is loaded), disks and network
//! side by side; then, when the machine is ready or 5 s later, the rest; afterwards the kernel's announcements are followed. Interfaces are named by systemd's scheme (unless
//! `net.ifnames=0`), disks get their links in /dev/disk, processors and memory that are plugged in are switched on. Nobody waits for all of
//! it; who needs a device by name waits for that name.
//!
//! It says `devices coldplug=done modules=N ms=N` (networks and disks), `devices rest=done ..`, and `devices added=NAME kind=interface|disk ..`, `devices removed=NAME kind=..`.
//! Stage 1 takes the first disk with the root that it finds. When all disks are there, it is looked again whether another one could be
//! meant: then it says `devices root-twice="vda and sda"` and no more.
//! Firmware is the kernel's own matter: it finds /lib/firmware by itself. There is no udev and no database of it in /run/udev.

mod coldplug;
mod disk_links;
mod disk_names;
mod disks;
mod empty_sata;
mod interface_names;
mod interfaces;
mod scsi_names;
mod static_nodes;
mod superblock;

pub(crate) use disks::identities as disks;

pub use disk_names::{Disk, Facts, names as disk_names};
pub use interface_names::{Interface, PciFunction, Place, Slot, wanted_name};
pub use superblock::{Identity, identify};

use crate::facts::{self, block, efi};
use crate::failure::chain;
use crate::modules::{Loader, Outcome};
use crate::stage1::{Search, Wanted, search};
use coldplug::Coldplug;
use disk_links::DiskLinks;
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::folder_watch::FolderWatch;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::uevent::{Received, Uevent, UeventSocket};
use kmimage_sys::{poll, process};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The first word of everything that this child says.
const STATE: &str = "devices";

/// Runs the child; ends only with a fault.
pub fn run(_: &[String]) -> ExitCode {
    match serve() {
        Ok(never) => match never {},
        Err(error) => {
            let _ = writeln!(io::stderr(), "devices: listening to the kernel: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<Infallible> {
    process::clear_umask();
    // Before the first look, so that nothing comes unnoticed between the two.
    let events = UeventSocket::open()?;
    let begin = Instant::now();
    let mut devices = Devices::new();
    static_nodes::make();
    online_new_memory();
    devices.look();
    let mut coldplug = Coldplug::default();
    let modules = coldplug.urgent(|| devices.look());
    match twins() {
        None => {
            say(&StateLine::new(STATE).with("coldplug", "done").with("modules", modules).with("ms", begin.elapsed().as_millis()))
        }
        // Nobody goes on without the word that all is there.
        Some((first, second)) => say(&StateLine::new(STATE).with("root-twice", format!("{first} and {second}"))),
    }
    let mut rest = Some(Rest::new());
    loop {
        if rest.as_ref().is_some_and(Rest::is_due) {
            rest = None;
            let modules = coldplug.rest() + stand_ins(coldplug.loader());
            devices.look();
            say(&StateLine::new(STATE).with("rest", "done").with("modules", modules).with("ms", begin.elapsed().as_millis()));
            // Its tables are a megabyte that nobody needs until something is plugged in.
            coldplug.forget_tables();
        }
        match events.receive()? {
            Received::Event(event) => devices.follow(&event, &mut coldplug),
            Received::Lost => {
                coldplug.rest();
                devices.look();
            }
            Received::Nothing => {
                let watch = rest.as_ref().and_then(|rest| rest.watch.as_ref());
                let descriptors: Vec<BorrowedFd<'_>> =
                    std::iter::once(events.as_fd()).chain(watch.map(FolderWatch::as_fd)).collect();
                poll::readable(&descriptors, rest.as_ref().map(Rest::patience))?;
                if let Some(watch) = watch {
                    watch.forget()?;
                }
            }
        }
    }
}

/// The drivers of what nobody waits for: their turn comes when the machine is ready, or soon if it isn't (the watchdog is among them).
#[derive(Debug)]
struct Rest {
    /// Where it shows that the machine is ready.
    watch: Option<FolderWatch>,
    latest: Instant,
}

/// How long they wait at most.
const LATEST: Duration = Duration::from_secs(5);

impl Rest {
    fn new() -> Self {
        let watch = Path::new(paths::READY).parent().and_then(|folder| FolderWatch::new(folder).ok());
        // Without it nothing would tell.
        let patience = if watch.is_some() { LATEST } else { Duration::ZERO };
        Self { watch, latest: Instant::now() + patience }
    }

    fn is_due(&self) -> bool {
        self.patience().is_zero() || Path::new(paths::READY).exists()
    }

    fn patience(&self) -> Duration {
        self.latest.saturating_duration_since(Instant::now())
    }
}

/// What has been seen and named.
#[derive(Debug)]
struct Devices {
    /// Whether interfaces get names.
    naming: bool,
    links: DiskLinks,
    /// Interfaces by their last names.
    interfaces: BTreeSet<String>,
    /// Disks and partitions; whether it is a disk.
    disks: BTreeMap<String, bool>,
}

impl Devices {
    fn new() -> Self {
        let cmdline = facts::cmdline::read().unwrap_or_default();
        let naming = !cmdline.values("net.ifnames").any(|value| value == "0");
        let links = DiskLinks::below(Path::new("/dev/disk"));
        Self { naming, links, interfaces: BTreeSet::new(), disks: BTreeMap::new() }
    }

    /// Looks at everything: what is new gets its names, what is gone loses them.
    fn look(&mut self) {
        let there = interfaces::physical();
        for gone in self.interfaces.clone().into_iter().filter(|name| !there.contains(name)) {
            self.interface_gone(&gone);
        }
        for name in there {
            self.interface_came(&name);
        }
        let there = disks::all();
        for gone in self.disks.clone().into_keys().filter(|name| !there.contains(name)) {
            self.disk_gone(&gone);
        }
        for name in there.iter().filter(|name| !self.disks.contains_key(*name)).cloned().collect::<Vec<_>>() {
            self.disk_changed(&name);
        }
    }

    fn follow(&mut self, event: &Uevent, coldplug: &mut Coldplug) {
        let (action, name) = (event.get("ACTION"), event.get("DEVPATH").rsplit('/').next().unwrap_or_default());
        if action == "add" && !event.get("MODALIAS").is_empty() {
            coldplug.plug(event.get("MODALIAS"));
        }
        match (event.get("SUBSYSTEM"), action) {
            ("net", "add") if interfaces::physical().iter().any(|known| known == name) => self.interface_came(name),
            ("net", "remove") => self.interface_gone(name),
            ("block", "add" | "change") if disks::is_lasting(name) => self.disk_changed(name),
            ("block", "remove") => self.disk_gone(name),
            ("cpu", "add") => switch_on(event.get("DEVPATH")),
            _ => {}
        }
    }

    fn interface_came(&mut self, name: &str) {
        if self.interfaces.contains(name) {
            return;
        }
        let mut line = StateLine::new(STATE);
        let named = if self.naming { interfaces::name(name) } else { interfaces::unnamed(name) };
        match named {
            Ok(named) => {
                line = line.with("added", &named.name).with("kind", "interface").with("mac", &named.address);
                if named.name != name {
                    line = line.with("was", name);
                }
                self.interfaces.insert(named.name);
            }
            Err(error) => {
                line = line.with("added", name).with("kind", "interface").with("unnamed", error);
                self.interfaces.insert(name.to_owned());
            }
        }
        say(&line);
    }

    fn interface_gone(&mut self, name: &str) {
        if self.interfaces.remove(name) {
            say(&StateLine::new(STATE).with("removed", name).with("kind", "interface"));
        }
    }

    fn disk_changed(&mut self, name: &str) {
        let Some(facts) = disks::read(name) else { return self.disk_gone(name) };
        let is_disk = facts.partition.is_none();
        if let Err(error) = self.links.set(name, disk_names::names(&facts)) {
            kernel_log::write(Level::Warning, &format!("kmimage-init: links of {name} in /dev/disk: {error}"));
        }
        if self.disks.insert(name.to_owned(), is_disk).is_none() && is_disk {
            say(&StateLine::new(STATE).with("added", name).with("kind", "disk"));
        }
    }

    fn disk_gone(&mut self, name: &str) {
        let _ = self.links.set(name, BTreeSet::new());
        // A partition goes with its disk, which is said once.
        if self.disks.remove(name) == Some(true) {
            say(&StateLine::new(STATE).with("removed", name).with("kind", "disk"));
        }
    }
}

/// Loads what no device asks for: a place in EFI's variables for the last words of a kernel, and a watchdog where there is none in hardware.
fn stand_ins(loader: &mut Loader) -> usize {
    let wanted = [("efi_pstore", Path::new("/sys/firmware/efi").exists()), ("softdog", !Path::new("/dev/watchdog0").exists())];
    let mut count = 0;
    for (name, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        match loader.load(name) {
            Ok(Outcome::Loaded(new)) => count += new,
            Ok(_) => {}
            Err(error) => kernel_log::write(Level::Warning, &format!("kmimage-init: {}", chain(&error))),
        }
    }
    count
}

/// Two disks of which each could be the one that this boot is from, by the rules by which stage 1 looks for it.
fn twins() -> Option<(String, String)> {
    let parameters = facts::cmdline::read().ok()?.boot_parameters().ok()?;
    let wanted = Wanted { root_hash: parameters.root_hash, esp: parameters.esp.or_else(efi::loader_partition) };
    match search(&block::read().ok()?, &wanted) {
        Search::Doubled(first, second) => Some((first, second)),
        Search::Found(_) | Search::Missing(_) => None,
    }
}

/// A processor that is plugged in is off until somebody switches it on. (Those that were off at boot stay so: `nosmt`, `maxcpus=`.)
fn switch_on(path: &str) {
    let file = Path::new("/sys").join(path.trim_start_matches('/')).join("online");
    if let Err(error) = std::fs::write(&file, "1") {
        kernel_log::write(Level::Warning, &format!("kmimage-init: {}: {error}", file.display()));
    }
}

/// Memory that is plugged in is used at once; without memory hot-plug there is no such switch.
fn online_new_memory() {
    let _ = std::fs::write(Path::new("/sys/devices/system/memory/auto_online_blocks"), "online");
}

/// Says a line to process 1, which reads this child's standard output.
fn say(line: &StateLine) {
    let _ = writeln!(io::stdout(), "{line}");
}
