//! Processes: replace this one, reap the dead, end the living.

use rustix::process::{Pid, Signal, WaitOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

/// This process' number.
pub fn own_id() -> u32 {
    std::process::id()
}

/// Replaces this process by a program without arguments and with an environment of its own. Returns only on failure.
/// Signals are unblocked and have their default effect in the new program.
#[expect(clippy::disallowed_methods, reason = "nothing is started beside us: the process becomes the program")]
pub fn become_program(path: &Path, environment: &[(&str, &str)]) -> io::Error {
    std::process::Command::new(path).env_clear().envs(environment.iter().copied()).exec()
}

/// Takes note of one child's end, if one has ended; orphans are children of process 1. `None`: none has.
pub fn reap() -> io::Result<Option<u32>> {
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(ended) => Ok(ended.map(|(pid, _)| pid.as_raw_nonzero().get().unsigned_abs())),
        Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How to ask for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGTERM: in order.
    Ask,
    /// SIGKILL: now.
    Force,
}

/// Sends a signal to every process but process 1 and the caller. `false`: there is no other.
pub fn end_all(end: End) -> io::Result<bool> {
    let signal = match end {
        End::Ask => Signal::TERM,
        End::Force => Signal::KILL,
    };
    // kill(-1, ...) is the whole machine; rustix says it as the "group" of process 1.
    match rustix::process::kill_process_group(Pid::INIT, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Sets the file mode creation mask: exactly the modes that are asked for.
pub fn clear_umask() {
    rustix::process::umask(rustix::fs::Mode::empty());
}
