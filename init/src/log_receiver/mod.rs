//! The child `log`: sends the units' logs, the kernel's among them, to a receiver, a message of RFC 5424 each.
//!
//! ```text
//! /var/log/UNIT.log -> lines -> message -> backlog (bounded) -> sender (TCP or UDP)
//! ```
//! While the receiver is away the backlog holds the latest lines; how many were lost is sent first when it is back. Over TCP messages are
//! octet-counted (RFC 6587); over UDP each is a datagram (RFC 5426). It says:
//! ```text
//! log receiver=<receiver> state=connected
//! log receiver=<receiver> state=waiting reason=<text>
//! log receiver=none
//! ```
//! What it doesn't do: TLS (a receiver beyond the node's own network is for an agent of the cluster), and remembering what it sent: when
//! it is started it begins with the end of each log, 64 KiB.

mod backlog;
mod files;
mod message;
mod sender;
mod watch;

use backlog::Backlog;
use kmimage_contract::machine_config::LogReceiver;
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use serde::Deserialize;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

/// The applet's name.
pub const APPLET: &str = "log";

/// Where process 1's child `log-files` writes.
const FOLDER: &str = "/var/log";

/// The form of [`paths::LOG`].
#[derive(Debug, Default, Deserialize)]
struct Desired {
    #[serde(default)]
    receiver: Option<String>,
}

/// Runs the child; it ends only by an error or a signal. SIGHUP: read [`paths::LOG`] again.
pub(crate) fn run(_arguments: &[String]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let error = match runtime.and_then(|runtime| runtime.block_on(ship(Path::new(paths::LOG), Path::new(FOLDER)))) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let _ = writeln!(io::stderr(), "log: {error}");
    ExitCode::FAILURE
}

async fn ship(desired: &Path, folder: &Path) -> io::Result<Infallible> {
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        let receiver = read(desired);
        let tasks: Vec<JoinHandle<()>> = match receiver {
            None => {
                say(&StateLine::new("log").with("receiver", "none"));
                Vec::new()
            }
            Some(receiver) => {
                let backlog = Arc::new(Backlog::default());
                vec![
                    tokio::spawn(watch::folder(folder.to_owned(), Arc::clone(&backlog))),
                    tokio::spawn(sender::send(receiver, backlog)),
                ]
            }
        };
        let _ = hangup.recv().await;
        tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The receiver that is wanted. A file that makes no sense is process 1's mistake: it is said, and nothing is sent.
fn read(path: &Path) -> Option<LogReceiver> {
    let bytes = std::fs::read(path).ok()?;
    let desired = serde_json::from_slice::<Desired>(&bytes).map_err(|error| error.to_string());
    let receiver = desired.and_then(|desired| desired.receiver.map(|text| text.parse()).transpose());
    receiver.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "log: {}: {error}", path.display());
        None
    })
}

/// To process 1.
fn say(line: &StateLine) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
