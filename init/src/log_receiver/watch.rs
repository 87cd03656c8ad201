//! Reading logs as they are written, into the backlog.

use super::backlog::Backlog;
use super::files::Files;
use super::message;
use kmimage_sys::folder_watch::FolderWatch;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// How long to wait before looking for a folder that isn't there yet.
const NO_FOLDER: Duration = Duration::from_secs(5);
/// How long lines are gathered after the first, so that each doesn't wake this process.
const GATHER: Duration = Duration::from_millis(100);

/// The machine's name, as it is now.
pub(super) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
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
    let watch = watched(FolderWatch::new(folder)?)?;
    loop {
        loop {
            // First forget, then look: what comes in between is announced.
            watch.get_ref().forget()?;
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

#[expect(deprecated, reason = "its successor is unsafe: it asks what this holds, that the descriptor stays the watch's own")]
fn watched(watch: FolderWatch) -> io::Result<AsyncFd<FolderWatch>> {
    AsyncFd::new(watch)
}

fn warn(what: &str, error: &io::Error) {
    let _ = writeln!(io::stderr(), "log: following {what}: {error}");
}
