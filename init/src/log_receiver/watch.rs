//! Reading logs as they are written, into the backlog.

use super::backlog::Backlog;
use super::files::Files;
use super::message::{self, KernelRecord};
use kmimage_sys::clock;
use kmimage_sys::folder_watch::FolderWatch;
use kmimage_sys::kernel_log::{KernelLog, Read};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How long to wait before looking for a folder that isn't there yet.
const NO_FOLDER: Duration = Duration::from_secs(5);
/// How long lines are gathered after the first, so that each doesn't wake this process.
const GATHER: Duration = Duration::from_millis(100);

/// Something with a descriptor, as tokio wants it.
struct Watched<T>(T);

impl<T: AsFd> AsRawFd for Watched<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// The machine's name, as it is now.
pub(super) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Follows the kernel's log for ever.
pub(super) async fn kernel(log: KernelLog, backlog: Arc<Backlog>) {
    if let Err(error) = follow_kernel(log, &backlog).await {
        warn("the kernel's log", &error);
    }
}

async fn follow_kernel(log: KernelLog, backlog: &Backlog) -> io::Result<()> {
    let mut log = AsyncFd::with_interest(Watched(log), Interest::READABLE)?;
    loop {
        log.readable().await?.clear_ready();
        let booted = clock::wall().saturating_sub(clock::since_boot());
        let host = host();
        loop {
            match log.get_mut().0.read()? {
                Read::Record(bytes) => {
                    if let Some(record) = KernelRecord::parse(&bytes) {
                        backlog.push(record.render(booted, &host));
                    }
                }
                Read::Overwritten => backlog.lost(1),
                Read::Nothing => break,
            }
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Follows the files of a folder for ever; waits for it while it isn't there.
pub(super) async fn folder(folder: PathBuf, backlog: Arc<Backlog>) {
    let mut files = Files::default();
    loop {
        let error = match follow_folder(&folder, &mut files, &backlog).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if error.kind() != io::ErrorKind::NotFound {
            warn(&folder.display().to_string(), &error);
        }
        tokio::time::sleep(NO_FOLDER).await;
    }
}

async fn follow_folder(folder: &std::path::Path, files: &mut Files, backlog: &Backlog) -> io::Result<std::convert::Infallible> {
    let watch = AsyncFd::with_interest(Watched(FolderWatch::new(folder)?), Interest::READABLE)?;
    loop {
        loop {
            // First forget, then look: what comes in between is announced.
            watch.get_ref().0.forget()?;
            let (lines, more) = files.read(folder)?;
            let host = host();
            lines.iter().for_each(|(unit, line)| backlog.push(message::unit_line(unit, line, &host)));
            tokio::time::sleep(GATHER).await;
            if !more {
                break;
            }
        }
        watch.readable().await?.clear_ready();
    }
}

fn warn(what: &str, error: &io::Error) {
    let _ = writeln!(io::stderr(), "log: following {what}: {error}");
}
