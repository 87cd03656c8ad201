//! What a boot leaves on `state` for the next one and for people: its log, why it failed, that it was ready.
//!
//! Everything waits for the medium, which a dying disk can hold for ever: whoever must not be held calls this from a thread or a child.

use super::lasting;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// How many boots' logs are kept.
pub const LOGS: usize = 10;
/// How long the log of one boot gets, in bytes; what comes later is left out.
pub const LOG_SIZE: u64 = 256 << 10;
/// How long a reason gets, in bytes.
const REASON: usize = 4096;
/// The folder of the logs.
const FOLDER: &str = "log";
/// The mark that the machine was ready with a config, relative to `state`.
pub(super) const READY: &str = "config/ready";
/// The file with the reason.
const LAST_FAILURE: &str = "last-failure";

/// The log of this boot: `log/boot-N`, N counting up.
#[derive(Debug)]
pub struct BootLog {
    file: File,
    room: u64,
}

impl BootLog {
    /// Begins a log and removes the oldest ones.
    pub fn begin(state: &Path) -> io::Result<Self> {
        let folder = state.join(FOLDER);
        let mut numbers: Vec<u64> = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_prefix("boot-")?.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let next = numbers.last().map_or(0, |last| last.saturating_add(1));
        let too_many = numbers.len().saturating_sub(LOGS - 1);
        for old in numbers.iter().take(too_many) {
            std::fs::remove_file(folder.join(format!("boot-{old}")))?;
        }
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(folder.join(format!("boot-{next}")))?;
        kmimage_sys::filesystem::flush_folder(&folder)?;
        Ok(Self { file, room: LOG_SIZE })
    }

    /// Adds a line and waits until the medium has it. Beyond [`LOG_SIZE`] nothing is added.
    pub fn add(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{}\n", line.trim_end());
        self.room = self.room.saturating_sub(line.len() as u64);
        if self.room == 0 {
            return Ok(());
        }
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }
}

/// Keeps why this boot failed.
pub fn failure(state: &Path, reason: &str) -> io::Result<()> {
    let end = (0..=reason.len().min(REASON)).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or(0);
    lasting::write(&state.join(LAST_FAILURE), reason.get(..end).unwrap_or_default().as_bytes())
}

/// Why an earlier boot failed. `None`: none has, since [`forget_failure`].
pub fn last_failure(state: &Path) -> Option<String> {
    let bytes = std::fs::read(state.join(LAST_FAILURE)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The machine does what it should again.
pub fn forget_failure(state: &Path) -> io::Result<()> {
    lasting::remove(&state.join(LAST_FAILURE))
}

/// Keeps that the machine was ready with a config: from now on the config on `state` outranks its sources.
pub fn mark_ready(state: &Path) -> io::Result<()> {
    if was_ready(state) { Ok(()) } else { lasting::write(&state.join(READY), b"") }
}

/// Whether it ever was.
pub fn was_ready(state: &Path) -> bool {
    state.join(READY).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_and_reasons_are_bounded() {
        let state = std::env::temp_dir().join(format!("kmimage-record-{}", std::process::id()));
        std::fs::create_dir_all(state.join(FOLDER)).unwrap();
        std::fs::create_dir_all(state.join("config")).unwrap();
        for boot in 0..LOGS + 3 {
            let mut log = BootLog::begin(&state).unwrap();
            log.add(&format!("boot {boot}\n")).unwrap();
        }
        let mut names: Vec<String> =
            std::fs::read_dir(state.join(FOLDER)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(
            (names.len(), names.contains(&"boot-12".to_owned()), names.contains(&"boot-2".to_owned())),
            (LOGS, true, false)
        );
        assert_eq!(std::fs::read_to_string(state.join("log/boot-12")).unwrap(), "boot 12\n");

        let mut log = BootLog::begin(&state).unwrap();
        for _ in 0..300 {
            log.add(&"x".repeat(1023)).unwrap();
        }
        assert!(std::fs::metadata(state.join("log/boot-13")).unwrap().len() < LOG_SIZE);

        assert_eq!(last_failure(&state), None);
        failure(&state, &"ä".repeat(REASON)).unwrap();
        assert_eq!(last_failure(&state), Some("ä".repeat(REASON / 2)));
        forget_failure(&state).unwrap();
        forget_failure(&state).unwrap();
        assert_eq!(last_failure(&state), None);

        assert_eq!(Path::new(kmimage_contract::paths::STATE).join(READY), Path::new(kmimage_contract::paths::READY_MARK));
        assert!(!was_ready(&state));
        mark_ready(&state).unwrap();
        assert!(was_ready(&state) && state.join("config/ready").exists());
        std::fs::remove_dir_all(&state).unwrap();
    }
}
