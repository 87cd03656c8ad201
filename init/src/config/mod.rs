//! The child `config`: finds the machine's config, puts it in force, and goes on watching for a better one.
//!
//! ```text
//! sources (command line, NoCloud, SMBIOS, fw_cfg, ESP) -> findings -> choose -> /run/kmimage/config and `state` -> state lines
//! ```
//! `sources`, `seed` and `volume` read what anyone who can plug in a disk writes, which is why this is a child: a fault here can't end
//! process 1. `choose` decides, purely. It applies nothing: process 1 reads the files that it puts in force. It expects `state` to be
//! mounted (or given up) and the devices of the machine's start to be there when it is started; what comes later is a hot-plug.
//!
//! What it says on its standard output, each when it changes:
//! ```text
//! config result=taken source=<source> sha256=<digest>       a config is in force (`stored=no`: `state` could not keep it)
//! config result=none                                        no source has one (`platform=<source>`: but there is platform data)
//! config result=waiting source=<source> reason=<text>       a URL doesn't answer yet: it may need the network's defaults
//! config result=refused source=<source> error=<text>        maintenance mode, until a good one comes
//! config result=ignored source=<source> ...                 another config, not taken, and why
//! ```
//! A source is `url:URL`, `partition:UUID:/PATH`, `nocloud:/dev/NAME`, `nocloud:URL`, `smbios`, `fw_cfg`, `esp` or `state`.

mod candidate;
pub mod choose;
mod events;
pub mod fetch;
pub mod location;
pub mod platform;
pub mod remote;
pub mod seed;
pub mod smbios;
pub mod sources;
pub mod store;
pub mod volume;
mod watch;

use crate::{facts, failure};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// The name that process 1 starts it by.
pub const APPLET: &str = "config";

/// Runs the child; it ends only by an error or a signal.
pub fn run(_arguments: &[String]) -> ExitCode {
    let role = facts::release::read().ok().map(|release| release.role);
    let error = match watch::Watch::new(Path::new("/"), facts::efi::loader_partition(), role).and_then(watch::Watch::run) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    log(&failure::chain(&error));
    ExitCode::FAILURE
}

/// For the log: standard error, a line or several. Nobody may be listening.
fn log(text: &str) {
    let _ = writeln!(std::io::stderr(), "kmimage-init config: {text}");
}
