//! The child `kernel`: what the kernel says, kept. It follows /dev/kmsg and writes every record to its standard error, which process 1
//! puts into a bounded ring and hands on to /var/log/kernel.log and the log's receiver, like any unit's.
//!
//! It also does what has to be done once for a boot's history, as soon as `state` is there: it counts boots that never became ready
//! ([`boots`]), says why the last one ended badly, keeps what the machine says of itself (`boot_log`), and moves what a crashed kernel left
//! with the firmware (pstore) to `state`.

mod boot_log;
pub mod boots;
mod pstore;
mod record;

pub use record::{LEVELS, Record};

use crate::facts;
use boot_log::BootLog;
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::kernel_log::{KernelLog, Read};
use kmimage_sys::poll;
use kmimage_sys::signals::{Signal, Signals};
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

/// The number of the last record that was written: a child that is started again goes on there.
const PLACE: &str = "/run/kmimage/kernel-log";

/// Runs the child until it is asked to end.
pub fn run(_: &[String]) -> ExitCode {
    let state = Path::new(paths::STATE);
    let state = facts::mounts::read().is_ok_and(|mounts| mounts.iter().any(|mount| mount.target == state)).then_some(state);
    if let Some(state) = state {
        tell_history(state);
    }
    match follow(state) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "following the kernel's log: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tell_history(state: &Path) {
    let mut out = io::stdout();
    match boots::begin(state) {
        Ok(Some(history)) if history.failed > 0 => {
            let line = StateLine::new("boot").with("failed-before", history.failed);
            let line = history.reason.iter().fold(line, |line, reason| line.with("last-failure", reason));
            let _ = writeln!(out, "{line}");
        }
        Ok(_) => {}
        Err(error) => drop(writeln!(io::stderr(), "counting this boot on state: {error}")),
    }
    match pstore::collect(Path::new(pstore::FOLDER), &state.join("pstore")) {
        Ok(0) => {}
        Ok(count) => {
            drop(writeln!(out, "{}", StateLine::new("boot").with("crash-records", count).with("kept-in", "state/pstore")))
        }
        Err(error) => drop(writeln!(io::stderr(), "keeping crash records: {error}")),
    }
}

/// Follows the log until the end is asked for.
fn follow(state: Option<&Path>) -> io::Result<()> {
    let mut signals = Signals::open()?;
    let mut log = KernelLog::open()?;
    let mut last = std::fs::read_to_string(Path::new(PLACE)).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let mut boot_log = state.and_then(|state| match BootLog::open(state, last.is_some()) {
        Ok(log) => Some(log),
        Err(error) => {
            note(Err(error));
            None
        }
    });
    let mut proven = false;
    let mut out = BufWriter::new(io::stderr());
    loop {
        match log.read()? {
            Read::Record(bytes) => {
                let record = Record::parse(&bytes).filter(|record| last.is_none_or(|last| record.sequence > last));
                if let Some(record) = record {
                    last = Some(record.sequence);
                    writeln!(out, "{record}")?;
                    // A disk that can't take it won't take the rest either: that is said once.
                    if let Some(Err(error)) = boot_log.as_mut().map(|log| log.add(&record)) {
                        boot_log = None;
                        note(Err(error));
                    }
                }
                continue;
            }
            Read::Overwritten => {
                writeln!(out, "(the kernel's buffer was full; records are lost)")?;
                continue;
            }
            Read::Nothing => out.flush()?,
        }
        if let Some(last) = last {
            let _ = std::fs::write(Path::new(PLACE), last.to_string());
        }
        // What process 1 says is in the kernel's log: `ready` wakes us.
        if !proven && Path::new(paths::READY).exists() {
            proven = true;
            note(state.map_or(Ok(()), boots::proven));
        }
        poll::readable(&[log.as_fd(), signals.as_fd()], None)?;
        while let Some(signal) = signals.take()? {
            if signal == Signal::Terminate {
                note(state.map_or(Ok(()), boots::ended));
                return Ok(());
            }
        }
    }
}

fn note(result: io::Result<()>) {
    if let Err(error) = result {
        let _ = writeln!(io::stderr(), "keeping on state how this boot does: {error}");
    }
}
