//! The virtual machine to boot, as a value, and the QEMU arguments that make it. Pure.

use std::ffi::OsString;
use std::path::PathBuf;

/// QEMU's machine type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Chipset {
    /// Q35: PCI Express, what Proxmox uses for OVMF and passthrough.
    Q35,
    /// i440FX: Proxmox's default.
    #[value(alias = "i440fx")]
    Pc,
}

/// How the disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DiskBus {
    /// virtio-blk.
    Virtio,
    /// virtio-scsi.
    Scsi,
    /// AHCI.
    Sata,
    /// NVMe.
    Nvme,
}

/// The format of a disk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU's own format, version 3.
    Qcow2,
}

/// How the processor is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's own virtualisation.
    Kvm,
    /// QEMU's translator: works everywhere, about ten times slower.
    Tcg,
}

/// UEFI firmware files: code, and the template of its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Read-only code flash (`OVMF_CODE_4M.fd`).
    pub code: PathBuf,
    /// A variable store that this machine may write (a copy of `OVMF_VARS_4M.fd`).
    pub variables: PathBuf,
}

/// One virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Machine type.
    pub chipset: Chipset,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub cpus: u32,
    /// Processor emulation.
    pub accelerator: Accelerator,
    /// UEFI firmware.
    pub firmware: Firmware,
    /// The disk to boot from.
    pub disk: PathBuf,
    /// Its format.
    pub format: DiskFormat,
    /// Its controller.
    pub bus: DiskBus,
    /// Writes go to a temporary overlay; the file stays as it is.
    pub snapshot: bool,
    /// Where the first serial port goes, as a QEMU character device ("stdio", "file:/tmp/x").
    pub serial: String,
    /// A unix socket for QMP, if wanted.
    pub qmp: Option<PathBuf>,
    /// Whether it has a network card on QEMU's own user network.
    pub user_network: bool,
    /// Further arguments, as QEMU wants them.
    pub further: Vec<OsString>,
}

impl Machine {
    /// The arguments of `qemu-system-x86_64` for this machine. No display; of itself no network but QEMU's own user mode.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Arguments::default();
        let machine = match self.chipset {
            Chipset::Q35 => "q35",
            Chipset::Pc => "pc",
        };
        let accelerator = match self.accelerator {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        };
        let processor = match self.accelerator {
            Accelerator::Kvm => "host",
            Accelerator::Tcg => "max",
        };
        arguments.pair("-machine", format!("{machine},accel={accelerator}"));
        arguments.pair("-cpu", processor);
        arguments.pair("-m", self.memory_mib.to_string());
        arguments.pair("-smp", self.cpus.to_string());
        arguments.pair("-nodefaults", "");
        arguments.pair("-display", "none");
        arguments.pair("-vga", "std");
        arguments.pair("-serial", &self.serial);
        arguments.pair("-drive", file("if=pflash,format=raw,readonly=on,unit=0", &self.firmware.code));
        arguments.pair("-drive", file("if=pflash,format=raw,unit=1", &self.firmware.variables));
        let format = match self.format {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        };
        let snapshot = if self.snapshot { "on" } else { "off" };
        arguments.pair("-drive", file(&format!("if=none,id=disk0,format={format},snapshot={snapshot}"), &self.disk));
        for device in self.disk_devices() {
            arguments.pair("-device", device);
        }
        if self.user_network {
            arguments.pair("-netdev", "user,id=net0");
            arguments.pair("-device", "virtio-net-pci,netdev=net0,romfile=");
        }
        arguments.pair("-device", "virtio-rng-pci");
        if let Some(socket) = &self.qmp {
            arguments.pair("-qmp", joined("unix:", socket, ",server=on,wait=off"));
        }
        arguments.0.extend_from_slice(&self.further);
        arguments.0
    }

    /// Puts a CD into a drive of its own: a NoCloud seed.
    pub fn insert_seed(&mut self, image: &std::path::Path) {
        let mut arguments = Arguments::default();
        arguments.pair("-drive", file("if=none,id=seed,media=cdrom,readonly=on,format=raw", image));
        arguments.pair("-device", "ide-cd,drive=seed");
        self.further.extend(arguments.0);
    }

    /// Has the guest agent's port lead to a unix socket, which QEMU makes.
    pub fn offer_agent(&mut self, socket: &std::path::Path) {
        let mut arguments = Arguments::default();
        arguments.pair("-chardev", joined("socket,id=agent,server=on,wait=off,path=", socket, ""));
        arguments.pair("-device", "virtio-serial-pci");
        arguments.pair("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0");
        self.further.extend(arguments.0);
    }

    fn disk_devices(&self) -> Vec<&'static str> {
        match (self.bus, self.chipset) {
            (DiskBus::Virtio, _) => vec!["virtio-blk-pci,drive=disk0,bootindex=1"],
            (DiskBus::Scsi, _) => vec!["virtio-scsi-pci,id=scsi0", "scsi-hd,bus=scsi0.0,drive=disk0,bootindex=1"],
            // Q35 has an AHCI controller of its own; i440FX is given one.
            (DiskBus::Sata, Chipset::Q35) => vec!["ide-hd,bus=ide.0,drive=disk0,bootindex=1"],
            (DiskBus::Sata, Chipset::Pc) => vec!["ahci,id=ahci0", "ide-hd,bus=ahci0.0,drive=disk0,bootindex=1"],
            (DiskBus::Nvme, _) => vec!["nvme,drive=disk0,serial=kmimage,bootindex=1"],
        }
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    /// An option and its value; an option without one is given "".
    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.push(option.into());
        let value = value.into();
        if !value.is_empty() {
            self.0.push(value);
        }
    }
}

/// `options,file=PATH`; a comma in a path is doubled, as QEMU's option parser wants it.
fn file(options: &str, path: &std::path::Path) -> OsString {
    joined(&format!("{options},file="), path, "")
}

fn joined(before: &str, path: &std::path::Path, after: &str) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut value = before.as_bytes().to_vec();
    for &byte in path.as_os_str().as_bytes() {
        value.push(byte);
        if byte == b',' {
            value.push(b',');
        }
    }
    value.extend_from_slice(after.as_bytes());
    OsString::from_vec(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            chipset: Chipset::Q35,
            memory_mib: 512,
            cpus: 2,
            accelerator: Accelerator::Tcg,
            firmware: Firmware { code: "/fw/code".into(), variables: "/tmp/vars".into() },
            disk: "/images/a,b.raw".into(),
            format: DiskFormat::Raw,
            bus: DiskBus::Virtio,
            snapshot: true,
            serial: "stdio".into(),
            qmp: None,
            user_network: true,
            further: Vec::new(),
        }
    }

    fn text(machine: &Machine) -> String {
        machine.arguments().join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn a_comma_in_a_path_is_doubled() {
        assert!(text(&machine()).contains("snapshot=on,file=/images/a,,b.raw "));
    }

    #[test]
    fn a_seed_and_an_agent_are_further_devices() {
        let mut machine = machine();
        machine.insert_seed("/a,b.iso".as_ref());
        machine.offer_agent("/run/x".as_ref());
        let text = text(&machine);
        assert!(text.contains("media=cdrom,readonly=on,format=raw,file=/a,,b.iso -device ide-cd,drive=seed"), "{text}");
        assert!(text.contains("path=/run/x -device virtio-serial-pci -device virtserialport,chardev=agent,"), "{text}");
    }

    #[test]
    fn every_bus_names_the_disk_once() {
        for chipset in [Chipset::Q35, Chipset::Pc] {
            for bus in [DiskBus::Virtio, DiskBus::Scsi, DiskBus::Sata, DiskBus::Nvme] {
                let text = text(&Machine { chipset, bus, ..machine() });
                assert_eq!(text.matches("drive=disk0").count(), 1, "{text}");
            }
        }
    }
}
