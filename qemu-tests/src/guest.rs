//! A machine for a test, described before it starts: what is plugged in, what the platform tells it, which network it is on.
//!
//! ```no_run
//! use kmimage_qemu_tests::{guest::{Guest, WritableDisk}, image, netns::Netns};
//! let lan = Netns::new();
//! lan.bridge("br0", &["10.77.0.1/24"]);
//! lan.tap("tap0", "br0");
//! let disk = WritableDisk::of(&image::artefact(image::test(), ".qcow2"), Some(20));
//! let vm = Guest::test().disk(&disk).tap(&lan, "tap0", "52:54:00:00:00:01").cdrom("seed.iso".as_ref()).agent().start();
//! vm.ready();
//! assert_eq!(vm.probe().read("/etc/hostname"), "node-1\n");
//! ```

use crate::foreign::{program, run};
use crate::image;
use crate::netns::Netns;
use crate::replay;
use crate::vm::{Sockets, Vm};
use kmimage::run::machine::{Accelerator, Bios, Chipset, Disk, DiskBus, DiskFormat};
use kmimage::run::qemu::{self, Request};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A machine that is not started yet: q35, one processor, 512 MiB, its disk on virtio, no network.
#[must_use]
pub struct Guest<'a> {
    request: Request,
    netns: Option<&'a Netns>,
    user_network: bool,
    probe: bool,
    agent: bool,
    accelerator: Option<Accelerator>,
    further: Vec<OsString>,
    raw: Option<PathBuf>,
    record: Option<PathBuf>,
    disk_serial: Option<&'a str>,
    cards: usize,
    disks: usize,
    cds: usize,
}

impl<'a> Guest<'a> {
    /// With this disk, of which nothing is changed.
    pub fn of(image: &Path) -> Self {
        let request = Request {
            image: Some(image.to_owned()),
            cdrom: None,
            bios: Bios::Ovmf,
            memory_mib: 512,
            cpus: 1,
            chipset: Chipset::Q35,
            bus: DiskBus::Virtio,
            persistent: false,
        };
        let (netns, accelerator, further) = (None, None, Vec::new());
        Self {
            request,
            netns,
            user_network: false,
            probe: false,
            agent: false,
            accelerator,
            further,
            raw: None,
            record: None,
            disk_serial: None,
            cards: 0,
            disks: 0,
            cds: 0,
        }
    }

    /// With the qcow2 of the image `test`, and the port that its probe speaks on.
    pub fn test() -> Self {
        Self { probe: true, ..Self::of(&image::artefact(image::test(), ".qcow2")) }
    }

    /// With a disk that keeps what is written.
    pub fn disk(mut self, disk: &WritableDisk) -> Self {
        self.request.image = Some(disk.path());
        self.request.persistent = true;
        self
    }

    /// With a disk of the test's own, raw or qcow2, that keeps what is written.
    pub fn disk_file(mut self, disk: &Path) -> Self {
        self.request.image = Some(disk.to_owned());
        self.request.persistent = true;
        self
    }

    /// With a raw disk that keeps what is written, and a record of every write and flush; see [`crate::replay`].
    pub fn recorded(mut self, disk: &Path, record: &Path) -> Self {
        self.record = Some(record.to_owned());
        self.raw_disk(disk)
    }

    /// With a raw disk that keeps what is written, on which there may be anything: nothing, or what a power cut has left.
    pub fn raw_disk(mut self, disk: &Path) -> Self {
        self.request.image = None;
        self.raw = Some(disk.to_owned());
        self
    }

    /// With this serial number of its disk.
    pub fn disk_serial(mut self, serial: &'a str) -> Self {
        self.disk_serial = Some(serial);
        self
    }

    /// With so much memory.
    pub fn memory(mut self, mib: u32) -> Self {
        self.request.memory_mib = mib;
        self
    }

    /// With so many processors.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.request.cpus = cpus;
        self
    }

    /// On this chipset, with its disk on this bus.
    pub fn on(mut self, chipset: Chipset, bus: DiskBus) -> Self {
        self.request.chipset = chipset;
        self.request.bus = bus;
        self
    }

    /// With SeaBIOS instead of OVMF.
    pub fn bios(mut self) -> Self {
        self.request.bios = Bios::Seabios;
        self
    }

    /// Without a disk, from a CD (IDE, on q35 SATA).
    pub fn from_cd(medium: &Path) -> Self {
        let mut guest = Self::of(medium);
        (guest.request.image, guest.request.cdrom) = (None, Some(medium.to_owned()));
        guest
    }

    /// With a CD to boot from where the disk can't be (IDE, on q35 SATA).
    pub fn boot_cd(mut self, medium: &Path) -> Self {
        self.request.cdrom = Some(medium.to_owned());
        self
    }

    /// With a network card on QEMU's own user network: DHCP and DNS by QEMU, the host is 10.0.2.2.
    pub fn user_network(mut self) -> Self {
        self.user_network = true;
        self
    }

    /// With a virtio network card on a tap that [`Netns::tap`] made; the machine runs in that namespace.
    pub fn tap(self, netns: &'a Netns, tap: &str, mac: &str) -> Self {
        self.card(netns, tap, mac, "virtio-net-pci")
    }

    /// As [`Guest::tap`], with a network card of another kind: `e1000e`, `vmxnet3`.
    pub fn card(mut self, netns: &'a Netns, tap: &str, mac: &str, driver: &str) -> Self {
        let number = self.cards;
        self.cards += 1;
        self.netns = Some(netns);
        self.option("-netdev", format!("tap,id=card{number},ifname={tap},script=no,downscript=no"))
            .option("-device", format!("{driver},id=card{number},netdev=card{number},mac={mac},romfile="))
    }

    /// In a network namespace without a network card of its own yet: for one that is plugged in later.
    pub fn inside(mut self, netns: &'a Netns) -> Self {
        self.netns = Some(netns);
        self
    }

    /// With a CD in a drive, as Proxmox attaches a cloud-init volume. The drives are called `cd0`, `cd1`.
    pub fn cdrom(self, image: &Path) -> Self {
        let drive = format!("if=none,id=cd-medium{},media=cdrom,readonly=on,format=raw,file=", self.cds);
        let number = self.cds;
        self.option("-drive", joined(&drive, image)).cd_drive(&format!(",drive=cd-medium{number}"))
    }

    /// With an empty CD drive, for [`Vm::insert`].
    pub fn empty_cdrom(self) -> Self {
        self.cd_drive("")
    }

    fn cd_drive(mut self, medium: &str) -> Self {
        let number = self.cds;
        self.cds += 1;
        let bus = match self.request.chipset {
            // The first port is the disk's, if it is SATA.
            Chipset::Q35 => format!(",bus=ide.{}", number + 1),
            Chipset::Pc => String::new(),
        };
        self.option("-device", format!("ide-cd,id=cd{number}{bus}{medium}"))
    }

    /// With a further disk on virtio: raw, or qcow2 by its ending; its id below /dev/disk/by-id is `virtio-SERIAL`.
    pub fn data_disk(mut self, image: &Path, serial: &str) -> Self {
        let number = self.disks;
        self.disks += 1;
        let format = if image.extension().is_some_and(|ending| ending == "qcow2") { "qcow2" } else { "raw" };
        self.option("-drive", joined(&format!("if=none,id=data{number},format={format},file="), image))
            .option("-device", format!("virtio-blk-pci,id=data-disk{number},drive=data{number},serial={serial}"))
    }

    /// With two free slots that something can be plugged into while it runs.
    pub fn hot_slots(mut self) -> Self {
        if self.request.chipset == Chipset::Q35 {
            for number in 0..2 {
                let slot = 0x18 + number;
                self = self.option("-device", format!("pcie-root-port,id=hot{number},chassis={},addr={slot:#x}", number + 1));
            }
        }
        self
    }

    /// With the guest agent's port.
    pub fn agent(mut self) -> Self {
        self.agent = true;
        self
    }

    /// With the probe's port, in an image of the test's own that has the overlay `probe`.
    pub fn with_probe(mut self) -> Self {
        self.probe = true;
        self
    }

    /// With a string in SMBIOS' table of type 11: `kmimage.config=...`.
    pub fn oem_string(self, text: &str) -> Self {
        self.option("-smbios", format!("type=11,value={}", text.replace(',', ",,")))
    }

    /// With a string in SMBIOS' table of type 11, which a file holds: for long ones.
    pub fn oem_string_file(self, file: &Path) -> Self {
        self.option("-smbios", joined("type=11,path=", file))
    }

    /// With more words on the kernel's command line, as systemd's boot stub takes them where Secure Boot is off.
    pub fn on_command_line(self, words: &str) -> Self {
        self.oem_string(&format!("io.systemd.stub.kernel-cmdline-extra={words}"))
    }

    /// With this serial number of the system: `ds=nocloud;...`.
    pub fn system_serial(self, text: &str) -> Self {
        self.option("-smbios", format!("type=1,serial={}", text.replace(',', ",,")))
    }

    /// With this product UUID.
    pub fn uuid(self, uuid: &str) -> Self {
        self.option("-uuid", uuid)
    }

    /// With a file of QEMU's fw_cfg: `opt/org.kmimage/config`.
    pub fn fw_cfg(self, name: &str, file: &Path) -> Self {
        self.option("-fw_cfg", joined(&format!("name={name},file="), file))
    }

    /// With a watchdog (`i6300esb`); a bite resets the machine.
    pub fn watchdog(self, model: &str) -> Self {
        self.option("-device", model)
    }

    /// With processors that do exactly one instruction every 2 ns and never sleep, so that time in the machine does not depend on the
    /// host's load. Always in software.
    pub fn counted(mut self) -> Self {
        self.accelerator = Some(Accelerator::Tcg);
        self.option("-icount", "shift=1,sleep=off")
    }

    /// With an option of QEMU's own.
    pub fn option(mut self, option: &str, value: impl Into<OsString>) -> Self {
        self.further.extend([option.into(), value.into()]);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When the host lacks QEMU or OVMF, or QEMU does not like the machine.
    pub fn start(self) -> Vm {
        let mut prepared = qemu::prepare(&self.request).unwrap_or_else(|error| panic!("{error}"));
        let sockets = Sockets::in_folder(prepared.folder());
        let machine = &mut prepared.machine;
        if let Some(file) = &self.raw {
            let (file, bus) = (file.clone(), self.request.bus);
            machine.disk = Some(Disk { file, format: DiskFormat::Raw, bus, snapshot: false });
        }
        machine.qmp = Some(sockets.qmp.clone());
        machine.user_network = self.user_network;
        machine.accelerator = self.accelerator.unwrap_or(machine.accelerator);
        let ports = [
            (self.probe, "probe", kmimage_probe::PORT, &sockets.probe),
            (self.agent, "agent", "org.qemu.guest_agent.0", &sockets.agent),
        ];
        let mut further = Vec::new();
        if ports.iter().any(|(wanted, ..)| *wanted) {
            further.extend(["-device".into(), "virtio-serial-pci".into()]);
        }
        for (_, id, name, socket) in ports.iter().filter(|(wanted, ..)| *wanted) {
            let chardev = joined(&format!("socket,id={id},server=on,wait=off,path="), socket);
            further.extend([
                "-chardev".into(),
                chardev,
                "-device".into(),
                format!("virtserialport,chardev={id},name={name}").into(),
            ]);
        }
        machine.further = self.further;
        machine.further.extend(further);
        let mut command = match self.netns {
            Some(netns) => netns.program(&prepared.qemu),
            None => program(&prepared.qemu),
        };
        let drive = self.record.map(|record| replay::drive(self.raw.as_deref().expect("a disk to record"), &record));
        command.args(prepared.machine.arguments().into_iter().map(|argument| {
            let text = argument.to_string_lossy().into_owned();
            match (&drive, self.disk_serial) {
                (Some(drive), _) if text.starts_with("if=none,id=disk0,") => drive.clone(),
                (_, Some(serial)) if text.contains(",drive=disk0,") => format!("{text},serial={serial}").into(),
                _ => argument,
            }
        }));
        Vm::spawn(command, prepared, sockets)
    }
}

/// `before` and a path, whose commas are doubled, as QEMU's option parser wants it.
fn joined(before: &str, path: &Path) -> OsString {
    format!("{before}{}", path.to_str().expect("a path in UTF-8").replace(',', ",,")).into()
}

/// A disk that starts as an image and keeps what a machine writes, for the next boot.
pub struct WritableDisk {
    folder: TempDir,
}

impl WritableDisk {
    /// A qcow2 over an image, which stays as it is; as large as it, or of so many GiB.
    ///
    /// # Panics
    /// When qemu-img can't make it.
    pub fn of(image: &Path, gib: Option<u32>) -> Self {
        let disk = Self { folder: tempfile::tempdir().expect("a folder") };
        let format = if image.extension().is_some_and(|ending| ending == "qcow2") { "qcow2" } else { "raw" };
        let mut create = program("qemu-img");
        create.args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]).arg(image).arg(disk.path());
        create.args(gib.map(|gib| format!("{gib}G")));
        run(&mut create);
        disk
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk.qcow2")
    }

    /// Another disk with the same content: what a hypervisor's clone makes.
    ///
    /// # Panics
    /// When it can't be copied.
    pub fn copy(&self) -> Self {
        let copy = Self { folder: tempfile::tempdir().expect("a folder") };
        fs_err::copy(self.path(), copy.path()).expect("a copy");
        copy
    }
}
