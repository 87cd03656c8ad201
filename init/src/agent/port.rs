//! The virtio port: found by its name, read while the hypervisor listens, waited for while there is none.

use super::command::{self, Command, Shutdown};
use super::facts::Facts;
use super::frame::Frames;
use super::interfaces;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::poll;
use kmimage_sys::uevent::{Received, UeventSocket};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name that QEMU gives the agent's port.
const NAME: &str = "org.qemu.guest_agent.0";

/// Where the kernel lists virtio ports.
const PORTS: &str = "sys/class/virtio-ports";

/// How long to wait while nobody has the port open on the other side: reading it then returns at once.
const NOBODY: Duration = Duration::from_millis(500);

/// Serves the port for as long as the machine runs.
pub(super) fn serve() -> io::Result<Infallible> {
    let events = UeventSocket::open()?;
    loop {
        match find(Path::new("/")) {
            Some(path) => {
                let mut port = File::options().read(true).write(true).open(&path)?;
                say(&StateLine::new("agent").with("port", path.display()));
                let error = converse(&mut port);
                // The port went away, which is no fault of anybody's; a new one is announced.
                let _ = writeln!(io::stderr(), "agent: {}: {error}", path.display());
            }
            None => wait_for_ports(&events)?,
        }
    }
}

/// The port's device.
fn find(root: &Path) -> Option<PathBuf> {
    let ports = std::fs::read_dir(root.join(PORTS)).ok()?;
    let named =
        |entry: &std::fs::DirEntry| std::fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim_end() == NAME);
    let port = ports.flatten().find(named)?;
    let device = root.join("dev").join(port.file_name());
    device.exists().then_some(device)
}

/// Waits until a port is announced. It is named a moment after.
fn wait_for_ports(events: &UeventSocket) -> io::Result<()> {
    loop {
        poll::readable(&[events.as_fd()], None)?;
        let mut came = false;
        loop {
            match events.receive()? {
                Received::Event(event) => came |= event.get("SUBSYSTEM") == "virtio-ports",
                Received::Lost => came = true,
                Received::Nothing => break,
            }
        }
        if came {
            return Ok(());
        }
    }
}

/// Answers until the port fails.
fn converse(port: &mut File) -> io::Error {
    let mut frames = Frames::default();
    let mut buffer = [0; 4096];
    loop {
        match port.read(&mut buffer) {
            Ok(0) => std::thread::sleep(NOBODY),
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                if let Err(error) = answer_all(&mut frames, bytes, port, Path::new("/"), &mut say) {
                    return error;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error,
        }
    }
}

/// Answers every command that these bytes complete; what process 1 is to do is said to `request`.
pub(super) fn answer_all(
    frames: &mut Frames,
    bytes: &[u8],
    port: &mut impl Write,
    root: &Path,
    request: &mut impl FnMut(&StateLine),
) -> io::Result<()> {
    for frame in bytes.iter().filter_map(|byte| frames.push(*byte)) {
        match command::parse(&frame) {
            Err(refusal) => port.write_all(refusal.render().as_bytes())?,
            Ok(Command::Shutdown(how)) => request(&end(how)),
            Ok(command) => port.write_all(&answer(&command, root))?,
        }
    }
    Ok(())
}

fn end(how: Shutdown) -> StateLine {
    let action = match how {
        Shutdown::PowerOff => "power-off",
        Shutdown::Reboot => "reboot",
    };
    StateLine::new("request").with("action", action).with("reason", "guest-agent")
}

fn answer(command: &Command, root: &Path) -> Vec<u8> {
    let facts = Facts { root };
    let value: Value = match command {
        Command::Sync(id) | Command::SyncDelimited(id) => id.clone(),
        Command::Ping | Command::Shutdown(_) => json!({}),
        Command::Info => command::info(),
        Command::OsInfo => facts.os_info(),
        Command::HostName => facts.host_name(),
        Command::Interfaces => match interfaces::links() {
            Ok(links) => interfaces::render(&links),
            Err(error) => {
                let error =
                    json!({ "error": { "class": "GenericError", "desc": format!("asking the kernel for links: {error}") } });
                return format!("{error}\n").into_bytes();
            }
        },
        Command::Time => Facts::time(),
        Command::TimeZone => json!({ "zone": "UTC", "offset": 0 }),
        Command::Users => json!([]),
    };
    let mut bytes = Vec::new();
    if matches!(command, Command::SyncDelimited(_)) {
        bytes.push(0xff);
    }
    bytes.extend(command::success(&value).into_bytes());
    bytes
}

/// To process 1.
fn say(line: &StateLine) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
