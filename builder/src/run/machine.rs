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
    /// LSI 53C895A: Proxmox's default for SCSI disks. Debian's OVMF can't boot from it.
    Lsi,
    /// MegaRAID SAS 8708EM2. Debian's OVMF can't boot from it.
    Megasas,
    /// AHCI.
    Sata,
    /// NVMe.
    Nvme,
    /// USB mass storage: a stick.
    Usb,
}

/// What the machine starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Bios {
    /// UEFI.
    #[value(alias = "uefi")]
    Ovmf,
    /// A BIOS: Proxmox's default.
    Seabios,
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

/// The machine's firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// UEFI, in two flash files.
    Ovmf {
        /// Read-only code flash (`OVMF_CODE_4M.fd`).
        code: PathBuf,
        /// A variable store that this machine may write (a copy of `OVMF_VARS_4M.fd`).
        variables: PathBuf,
    },
    /// QEMU's own SeaBIOS.
    Seabios,
}

/// A disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file.
    pub file: PathBuf,
    /// Its format.
    pub format: DiskFormat,
    /// Its controller.
    pub bus: DiskBus,
    /// Writes go to a temporary overlay; the file stays as it is.
    pub snapshot: bool,
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
    /// Firmware.
    pub firmware: Firmware,
    /// The disk; the first thing to boot from.
    pub disk: Option<Disk>,
    /// A CD in a drive on the chipset's own controller (IDE, on Q35 SATA), booted where no disk can be.
    pub cdrom: Option<PathBuf>,
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
        if let Firmware::Ovmf { code, variables } = &self.firmware {
            arguments.pair("-drive", file("if=pflash,format=raw,readonly=on,unit=0", code));
            arguments.pair("-drive", file("if=pflash,format=raw,unit=1", variables));
        }
        if let Some(disk) = &self.disk {
            let format = match disk.format {
                DiskFormat::Raw => "raw",
                DiskFormat::Qcow2 => "qcow2",
            };
            let snapshot = if disk.snapshot { "on" } else { "off" };
            arguments.pair("-drive", file(&format!("if=none,id=disk0,format={format},snapshot={snapshot}"), &disk.file));
            for device in disk_devices(disk.bus, self.chipset) {
                arguments.pair("-device", *device);
            }
        }
        if let Some(medium) = &self.cdrom {
            arguments.pair("-drive", file("if=none,id=cdrom,media=cdrom,readonly=on,format=raw", medium));
            // The second channel of IDE, where Proxmox has its CD; the third port of SATA.
            arguments.pair("-device", if self.chipset == Chipset::Pc { CD_ON_IDE } else { CD_ON_SATA });
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
}

const CD_ON_IDE: &str = "ide-cd,bus=ide.1,drive=cdrom,bootindex=2";
const CD_ON_SATA: &str = "ide-cd,bus=ide.2,drive=cdrom,bootindex=2";

/// A disk and its controller; the disk is what firmware tries first.
fn disk_devices(bus: DiskBus, chipset: Chipset) -> &'static [&'static str] {
    match (bus, chipset) {
        (DiskBus::Virtio, _) => &["virtio-blk-pci,drive=disk0,bootindex=1"],
        (DiskBus::Scsi, _) => &["virtio-scsi-pci,id=scsi0", "scsi-hd,bus=scsi0.0,drive=disk0,bootindex=1"],
        (DiskBus::Lsi, _) => &["lsi53c895a,id=scsi0", "scsi-hd,bus=scsi0.0,drive=disk0,bootindex=1"],
        (DiskBus::Megasas, _) => &["megasas,id=scsi0", "scsi-hd,bus=scsi0.0,drive=disk0,bootindex=1"],
        // Q35 has an AHCI controller of its own; i440FX is given one.
        (DiskBus::Sata, Chipset::Q35) => &["ide-hd,bus=ide.0,drive=disk0,bootindex=1"],
        (DiskBus::Sata, Chipset::Pc) => &["ahci,id=ahci0", "ide-hd,bus=ahci0.0,drive=disk0,bootindex=1"],
        (DiskBus::Nvme, _) => &["nvme,drive=disk0,serial=kmimage,bootindex=1"],
        (DiskBus::Usb, _) => &["qemu-xhci,id=usb0", "usb-storage,bus=usb0.0,drive=disk0,bootindex=1"],
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

    fn disk(bus: DiskBus) -> Disk {
        Disk { file: "/images/a,b.raw".into(), format: DiskFormat::Raw, bus, snapshot: true }
    }

    fn machine() -> Machine {
        Machine {
            chipset: Chipset::Q35,
            memory_mib: 512,
            cpus: 2,
            accelerator: Accelerator::Tcg,
            firmware: Firmware::Ovmf { code: "/fw/code".into(), variables: "/tmp/vars".into() },
            disk: Some(disk(DiskBus::Virtio)),
            cdrom: None,
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
        use clap::ValueEnum as _;
        for chipset in [Chipset::Q35, Chipset::Pc] {
            for &bus in DiskBus::value_variants() {
                let text = text(&Machine { chipset, disk: Some(disk(bus)), ..machine() });
                assert_eq!(text.matches("drive=disk0").count(), 1, "{text}");
            }
        }
    }

    #[test]
    fn a_bios_has_no_flash_and_a_cd_comes_behind_the_disk() {
        let machine = Machine { firmware: Firmware::Seabios, cdrom: Some("/a,b.iso".into()), ..machine() };
        let text = text(&machine);
        assert!(!text.contains("pflash"), "{text}");
        assert!(text.contains("format=raw,file=/a,,b.iso -device ide-cd,bus=ide.2,drive=cdrom,bootindex=2"), "{text}");
    }
}
