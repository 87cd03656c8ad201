//! The way down: end what runs, write out what is not written, let go of the disks, power off or restart.

use crate::failure::{self, within};
use crate::storage::seed;
use crate::{facts, watchdog};
use kmimage_contract::paths;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::process::{self, End as Ending};
use kmimage_sys::{mount, power};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long processes may take to end when asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long writing out may take: a disk that takes nothing must not keep the machine on.
const WRITING: Duration = Duration::from_secs(10);
/// How long unmounting may take, for the same reason.
const RELEASING: Duration = Duration::from_secs(10);
/// How often it is looked whether they have.
const ROUND: Duration = Duration::from_millis(20);

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    PowerOff,
    Restart,
}

impl End {
    /// The state that is said when it begins.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::PowerOff => "powering-off",
            Self::Restart => "restarting",
        }
    }

    fn now(self) -> std::io::Result<()> {
        match self {
            Self::PowerOff => power::power_off(),
            Self::Restart => power::restart(),
        }
    }
}

/// Makes sure that the run ends even if the way down doesn't: after `limit` the kernel is told to, whatever is left.
pub(super) fn end_at_last(end: End, limit: Duration) {
    let last_resort = move || {
        std::thread::sleep(limit);
        kernel_log::write(Level::Warning, "kmimage-init: the way down took too long and ends here");
        let _ = end.now();
        let _ = power::restart();
    };
    if let Err(error) = std::thread::Builder::new().stack_size(64 << 10).spawn(last_resort) {
        kernel_log::write(Level::Warning, &format!("kmimage-init: nobody watches the way down: {error}"));
    }
}

/// How long [`finish`] may take.
pub(super) const FINISH: Duration = Duration::from_secs(75);

/// Ends the run once the services have ended; never returns.
pub(super) fn finish(end: End) -> ! {
    end_processes();
    watchdog::feed();
    // The next boot begins with what the kernel has gathered in this one.
    let _ = within(WRITING, || drop(seed::keep(Path::new(paths::STATE))));
    write_out();
    watchdog::feed();
    if within(RELEASING, release_disks).is_none() {
        kernel_log::write(Level::Warning, "kmimage-init: a disk could not be let go in time");
    }
    watchdog::feed();
    write_out();
    match end.now() {
        Err(error) => failure::stop("shutdown", &error),
        Ok(()) => failure::stop("shutdown", &std::io::Error::other("the kernel did not end the run")),
    }
}

/// Writes out what is not written, as far as that can be done in time. The kernel has no bound for it, so a thread waits.
fn write_out() {
    if within(WRITING, power::sync).is_none() {
        let message = format!("kmimage-init: writing out took longer than {} s and goes unfinished", WRITING.as_secs());
        kernel_log::write(Level::Warning, &message);
    }
}

/// Asks every process to end, then ends those that didn't.
fn end_processes() {
    for (ending, patience) in [(Ending::Ask, PATIENCE), (Ending::Force, PATIENCE)] {
        // Kernel threads take no signals and don't count.
        if !process::end_all(ending).unwrap_or(false) {
            return;
        }
        let end = Instant::now() + patience;
        while Instant::now() < end {
            while let Ok(Some(_)) = process::reap() {}
            if !others_run() {
                return;
            }
            watchdog::feed();
            std::thread::sleep(ROUND);
        }
    }
}

/// Whether a process but this one is there that is no kernel thread (those have no command line).
fn others_run() -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    entries.flatten().any(|entry| {
        let id: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        id.is_some_and(|id| id != process::own_id())
            && std::fs::read(entry.path().join("cmdline")).is_ok_and(|cmdline| !cmdline.is_empty())
    })
}

/// Unmounts file systems on disks, the last one first; one that is busy is made read-only. The root is read-only anyway.
fn release_disks() {
    let mounts = facts::mounts::read().unwrap_or_default();
    let on_disk = mounts.iter().rev().filter(|mount| mount.source.starts_with("/dev/") && mount.target != Path::new("/"));
    for target in on_disk.map(|mount| PathBuf::from(&mount.target)) {
        if mount::unmount(&target).is_err() {
            let _ = mount::remount_read_only(&target);
            let _ = mount::detach(&target);
        }
    }
}
