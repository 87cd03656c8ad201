//! Starts QEMU: the one place in the builder where another program runs.

use super::host::{self, HostError};
use super::machine::{Accelerator, Bios, Chipset, Disk, DiskBus, DiskFormat, Firmware, Machine};
use crate::failure::{Classified, Kind};
use kmimage_contract::state_line::{Ready, StateLine};
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What went wrong with a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The host lacks something.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A file of the run could not be used.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is neither raw nor qcow2.
    #[error("{}: not a disk image (raw with a GPT, or qcow2)", .0.display())]
    NotAnImage(PathBuf),
    /// QEMU ended with an error.
    #[error("{} ended with {status}", host::QEMU)]
    Qemu {
        /// Its exit status.
        status: std::process::ExitStatus,
    },
    /// The time is over.
    #[error("the machine was not ready in {} s", .0.as_secs())]
    NotReady(Duration),
    /// The machine ended before it was ready.
    #[error("the machine ended before it said that it is ready")]
    NeverReady,
}

impl Classified for RunError {
    fn kind(&self) -> Kind {
        match self {
            RunError::Host(error) => error.kind(),
            RunError::Io { .. } | RunError::Qemu { .. } => Kind::Host,
            RunError::NotAnImage(_) => Kind::Usage,
            RunError::NotReady(_) | RunError::NeverReady => Kind::Policy,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            RunError::Host(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// What to boot and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// A raw or qcow2 image as the machine's disk.
    pub image: Option<PathBuf>,
    /// A CD.
    pub cdrom: Option<PathBuf>,
    /// Firmware.
    pub bios: Bios,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub cpus: u32,
    /// Machine type.
    pub chipset: Chipset,
    /// Disk controller.
    pub bus: DiskBus,
    /// Write to the image itself.
    pub persistent: bool,
}

/// A machine that is ready to be started; its firmware variables live in a folder that goes with it.
#[derive(Debug)]
pub struct Prepared {
    /// The machine, to be changed (serial port, QMP) before it starts.
    pub machine: Machine,
    /// QEMU's path.
    pub qemu: PathBuf,
    /// Which accelerator was taken and why, for the operator.
    pub accelerator: String,
    folder: TempDir,
}

impl Prepared {
    /// A folder for this machine's own files (firmware variables, sockets); removed on drop.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// QEMU with this machine's arguments, not yet started.
    #[expect(clippy::disallowed_methods, reason = "this is the room that may")]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.qemu);
        command.args(self.machine.arguments());
        command
    }
}

/// Finds what the host offers and plans the machine.
pub fn prepare(request: &Request) -> Result<Prepared, RunError> {
    let qemu = host::qemu(&std::env::var_os("PATH").unwrap_or_default())?;
    let folder = tempfile::Builder::new()
        .prefix("kmimage-run-")
        .tempdir()
        .map_err(|source| RunError::Io { path: std::env::temp_dir(), source })?;
    let firmware = match request.bios {
        Bios::Seabios => Firmware::Seabios,
        Bios::Ovmf => ovmf(folder.path())?,
    };
    let disk = match &request.image {
        None => None,
        Some(image) => {
            let (format, snapshot) = (disk_format(image)?, !request.persistent);
            Some(Disk { file: image.clone(), format, bus: request.bus, snapshot })
        }
    };
    let cpuinfo = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kvm = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").map(drop);
    let (accelerator, reason) = host::accelerator(&cpuinfo, kvm);
    let machine = Machine {
        chipset: request.chipset,
        memory_mib: request.memory_mib,
        cpus: request.cpus,
        accelerator,
        firmware,
        disk,
        cdrom: request.cdrom.clone(),
        serial: "stdio".into(),
        qmp: None,
        user_network: true,
        further: Vec::new(),
    };
    Ok(Prepared { machine, qemu, accelerator: reason, folder })
}

/// OVMF with a variable store of this machine's own, in its folder.
fn ovmf(folder: &Path) -> Result<Firmware, RunError> {
    let (code, template) = host::firmware(Path::new("/"))?;
    let variables = folder.join("variables.fd");
    fs_err::read(&template)
        .and_then(|bytes| fs_err::write(&variables, bytes))
        .map_err(|source| RunError::Io { path: variables.clone(), source })?;
    Ok(Firmware::Ovmf { code, variables })
}

/// Tells raw and qcow2 apart by content.
pub fn disk_format(image: &Path) -> Result<DiskFormat, RunError> {
    let io = |source| RunError::Io { path: image.to_path_buf(), source };
    let mut start = Vec::new();
    fs_err::File::open(image).map_err(io)?.take(520).read_to_end(&mut start).map_err(io)?;
    if start.starts_with(b"QFI\xfb") {
        Ok(DiskFormat::Qcow2)
    } else if start.get(512..520) == Some(b"EFI PART") {
        Ok(DiskFormat::Raw)
    } else {
        Err(RunError::NotAnImage(image.to_path_buf()))
    }
}

/// Runs the machine with its serial console on this terminal until it powers off. Ctrl-A X ends it.
pub fn attach(mut prepared: Prepared) -> Result<(), RunError> {
    prepared.machine.serial = "mon:stdio".into();
    let status = prepared.command().status().map_err(|source| RunError::Io { path: prepared.qemu.clone(), source })?;
    if status.success() { Ok(()) } else { Err(RunError::Qemu { status }) }
}

/// Runs the machine and copies its console to `console` until it says that it is ready, then ends it; gives up after `limit`.
pub fn until_ready(prepared: &Prepared, limit: Duration, console: &mut dyn io::Write) -> Result<(), RunError> {
    let io = |source| RunError::Io { path: prepared.qemu.clone(), source };
    let mut child =
        prepared.command().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().map_err(io)?;
    let lines = lines(child.stdout.take());
    let start = Instant::now();
    loop {
        match lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
            Ok(line) => {
                console.write_all(&line).and_then(|()| console.flush()).map_err(io)?;
                if StateLine::find(&String::from_utf8_lossy(&line)).is_some_and(|line| line.state() == Ready::STATE) {
                    child.kill().map_err(io)?;
                    child.wait().map_err(io)?;
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                child.kill().map_err(io)?;
                child.wait().map_err(io)?;
                return Err(RunError::NotReady(limit));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.wait().map_err(io)?;
                return Err(if status.success() { RunError::NeverReady } else { RunError::Qemu { status } });
            }
        }
    }
}

/// The lines of a machine's console as they come; the channel closes with the console.
fn lines(output: Option<ChildStdout>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(output) = output {
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(output.read_until(b'\n', &mut line), Ok(1..)) && sender.send(std::mem::take(&mut line)).is_ok() {}
        });
    }
    receiver
}

/// The accelerator's name, for tests and messages.
impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        })
    }
}
