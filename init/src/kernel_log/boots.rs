//! How many boots in a row never became ready, counted on `state`: what a failing machine's pause between attempts is taken from, and what
//! the next boot says of the last one's failure.
//!
//! A boot counts as failed from its start until it is proven. So one that hangs, or whose kernel dies, counts without saying so itself.

use kmimage_contract::paths;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// The file with the number, on `state`.
const COUNT: &str = "failed-boots";
/// The file with the reason of the last failure, on `state`.
pub const REASON: &str = "last-failure";
/// The longest reason, in bytes.
const LONGEST: usize = 4096;

/// What is known of the boots before this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// How many in a row never became ready.
    pub failed: u32,
    /// Why the last one that could say so failed.
    pub reason: Option<String>,
}

/// Counts this boot; returns what was before it, which is also left for process 1 (in memory: what it needs in a failure must not wait
/// for a disk).
pub fn begin(state: &Path) -> io::Result<History> {
    let failed: u32 = fs::read_to_string(state.join(COUNT)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let reason = fs::read_to_string(state.join(REASON)).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let _ = fs::write(Path::new(paths::FAILED_BOOTS), failed.to_string());
    // A child that is started again in the same boot counts no second one.
    if !Path::new(paths::READY).exists() && !Path::new(COUNTED).exists() {
        keep(&state.join(COUNT), &failed.saturating_add(1).to_string())?;
        let _ = fs::write(Path::new(COUNTED), "");
    }
    Ok(History { failed, reason })
}

/// That this boot was counted.
const COUNTED: &str = "/run/kmimage/boot-counted";

/// This boot became ready.
pub fn proven(state: &Path) -> io::Result<()> {
    keep(&state.join(COUNT), "0")?;
    match fs::remove_file(state.join(REASON)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Keeps why this boot fails. It waits for the medium: whoever must not be held calls it from a thread.
pub fn keep_reason(state: &Path, reason: &str) -> io::Result<()> {
    let end = (0..=reason.len().min(LONGEST)).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or(0);
    keep(&state.join(REASON), reason.get(..end).unwrap_or_default())
}

/// Writes a file so that after a power cut it is the old one or the new one.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_up_until_a_boot_is_proven() {
        let state = std::env::temp_dir().join(format!("kmimage-boots-{}", std::process::id()));
        fs::create_dir_all(&state).unwrap();
        assert_eq!(begin(&state).unwrap(), History { failed: 0, reason: None });
        keep(&state.join(COUNT), "2").unwrap();
        keep_reason(&state, &"ä".repeat(LONGEST)).unwrap();
        let history = begin(&state).unwrap();
        assert_eq!((history.failed, history.reason.map(|reason| reason.len())), (2, Some(LONGEST)));
        proven(&state).unwrap();
        proven(&state).unwrap();
        assert_eq!(fs::read_to_string(state.join(COUNT)).unwrap(), "0\n");
        assert_eq!(begin(&state).unwrap().reason, None);
        fs::write(state.join(COUNT), "many").unwrap();
        assert_eq!(begin(&state).unwrap().failed, 0);
        fs::remove_dir_all(&state).unwrap();
    }
}
