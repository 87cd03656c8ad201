//! Processes: replace this one, reap the dead, end the living.

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

/// This process' number.
pub fn own_id() -> u32 {
    std::process::id()
}

/// Replaces this process by a program without arguments and with an environment of its own. Returns only on failure.
/// Signals that this process blocks stay blocked in the new program.
#[expect(clippy::disallowed_methods, reason = "nothing is started beside us: the process becomes the program")]
pub fn become_program(path: &Path, environment: &[(&str, &str)]) -> io::Error {
    std::process::Command::new(path).env_clear().envs(environment.iter().copied()).exec()
}

/// Keeps in memory what this process has used once, its program's text included: what others need is not taken from it. Programs that
/// it starts are not meant.
pub fn stay_in_memory() -> io::Result<()> {
    use rustix::mm::{MlockAllFlags, mlockall};
    Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?)
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended by itself and well.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Takes note of one child's end, if one has ended; orphans are children of process 1. `None`: none has.
pub fn reap() -> io::Result<Option<(u32, Exit)>> {
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(ended) => Ok(ended.map(|(pid, status)| (pid.as_raw_nonzero().get().unsigned_abs(), exit(status)))),
        Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn exit(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (_, Some(signal)) => Exit::Signal(signal),
        (code, None) => Exit::Code(code.unwrap_or(-1)),
    }
}

/// What a process can be told by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// SIGHUP: read your input again.
    Reload,
    /// SIGTERM: end in order.
    End,
    /// SIGKILL: end now.
    Die,
}

impl Tell {
    fn signal(self) -> Signal {
        match self {
            Self::Reload => Signal::HUP,
            Self::End => Signal::TERM,
            Self::Die => Signal::KILL,
        }
    }
}

/// Tells one of our children something. It must not have been reaped: its number may be another's then.
pub fn tell(pid: u32, what: Tell) -> io::Result<()> {
    Ok(rustix::process::kill_process(to_pid(pid)?, what.signal())?)
}

/// Tells every process of the group that a child leads something. `false`: the group has nobody left.
pub fn tell_group(leader: u32, what: Tell) -> io::Result<bool> {
    match rustix::process::kill_process_group(to_pid(leader)?, what.signal()) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Never 0 or 1: as receivers of a signal these are the own group, and everybody.
fn to_pid(pid: u32) -> io::Result<Pid> {
    let number = i32::try_from(pid).ok().filter(|&number| number > 1);
    number.and_then(Pid::from_raw).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
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
