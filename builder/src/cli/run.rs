//! `kmimage run`.

use super::Outcome;
use super::build::{self, BuildOptions};
use crate::emit::artifacts::Names;
use crate::report::{Event, Reporter};
use crate::run::machine::{Bios, Chipset, DiskBus};
use crate::run::qemu::{self, Request};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// What `kmimage run` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage run --profile base                      build if stale, boot, console on this terminal (Ctrl-A X ends it)
  kmimage run --profile base --until-ready        the same, but end as soon as the machine says that it is ready
  kmimage run out/base/*.qcow2 --disk nvme        boot a file, its disk on NVMe
  kmimage run --profile base --bios seabios --machine pc --disk lsi
                                                  boot as Proxmox does by default
  kmimage run --profile base --seed node-1.iso    boot with the config that `kmimage config seed` wrote

Writes of the machine are thrown away unless --persistent is given.")]
pub struct Arguments {
    /// A raw or qcow2 image; without one, the profile's.
    #[arg(conflicts_with = "profile", required_unless_present_any = ["profile", "cdrom"])]
    image: Option<PathBuf>,
    /// Build this profile first, if its image is missing or stale.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Memory in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=1 << 20))]
    memory: u32,
    /// Virtual processors.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: u32,
    /// The firmware.
    #[arg(long, value_enum, default_value_t = Bios::Ovmf)]
    bios: Bios,
    /// QEMU's machine type.
    #[arg(long, value_enum, default_value_t = Chipset::Q35)]
    machine: Chipset,
    /// How the disk is attached.
    #[arg(long, value_enum, default_value_t = DiskBus::Virtio)]
    disk: DiskBus,
    /// A CD in a drive (IDE, on Q35 SATA), booted where the disk can't be.
    #[arg(long, value_name = "FILE")]
    cdrom: Option<PathBuf>,
    /// Keep what the machine writes to its disk.
    #[arg(long)]
    persistent: bool,
    /// A NoCloud volume in a CD drive, such as `kmimage config seed` writes: the machine's config.
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Where the guest agent's port leads: a unix socket that QEMU makes.
    #[arg(long, value_name = "SOCKET")]
    agent: Option<PathBuf>,
    /// End successfully as soon as the machine says that it is ready, or fail after so long [default: 300].
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "300")]
    until_ready: Option<u64>,
    #[command(flatten)]
    build: BuildOptions,
}

/// Boots an image.
pub fn main(arguments: &Arguments, report: Reporter<'_>) -> Outcome {
    let image = match (&arguments.image, &arguments.profile) {
        (Some(image), _) => Some(image.clone()),
        (None, Some(profile)) => {
            let built = build::build(profile, &arguments.build, report)?;
            Some(built.directory.join(disk(&built.names, &built.directory)))
        }
        (None, None) => None,
    };
    let request = Request {
        image,
        cdrom: arguments.cdrom.clone(),
        bios: arguments.bios,
        memory_mib: arguments.memory,
        cpus: arguments.cpus,
        chipset: arguments.machine,
        bus: arguments.disk,
        persistent: arguments.persistent,
    };
    let mut prepared = qemu::prepare(&request)?;
    if let Some(seed) = &arguments.seed {
        prepared.machine.insert_seed(seed);
    }
    if let Some(socket) = &arguments.agent {
        prepared.machine.offer_agent(socket);
    }
    // One of the two is there: the command line asks for it.
    let booted =
        request.image.as_ref().or(request.cdrom.as_ref()).map_or_else(Default::default, |file| file.display().to_string());
    report(Event::Stage(format!("booting {booted} with {}", prepared.accelerator)));
    if let Some(seconds) = arguments.until_ready {
        qemu::until_ready(&prepared, Duration::from_secs(seconds), &mut std::io::stdout().lock())?;
        report(Event::Stage("ready".into()));
        return Ok(());
    }
    report(Event::Note("the machine's console follows; Ctrl-A X ends it".into()));
    Ok(qemu::attach(prepared)?)
}

/// The disk of a build: qcow2 if it was made, else raw.
fn disk(names: &Names, directory: &std::path::Path) -> String {
    let qcow2 = names.qcow2();
    if directory.join(&qcow2).exists() { qcow2 } else { names.raw() }
}
