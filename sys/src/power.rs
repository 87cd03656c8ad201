//! The end of a run: power off, restart, another kernel, and who is asked when somebody presses Ctrl-Alt-Del.

use rustix::system::{RebootCommand, reboot};
use std::io;

/// Writes everything out that is not on disk yet.
pub fn sync() {
    rustix::fs::sync();
}

/// Powers the machine off, at once. Returns only if the kernel refuses.
pub fn power_off() -> io::Result<()> {
    Ok(reboot(RebootCommand::PowerOff)?)
}

/// Restarts the machine, at once. Returns only if the kernel refuses.
pub fn restart() -> io::Result<()> {
    Ok(reboot(RebootCommand::Restart)?)
}

/// Starts the kernel that [`crate::kexec::load`] has loaded, at once. Returns only if the kernel refuses.
pub fn kexec() -> io::Result<()> {
    Ok(reboot(RebootCommand::Kexec)?)
}

/// From now on Ctrl-Alt-Del sends SIGINT to process 1 instead of restarting the machine at once.
pub fn own_ctrl_alt_del() -> io::Result<()> {
    Ok(reboot(RebootCommand::CadOff)?)
}
