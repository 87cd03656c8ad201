//! How boots ended, kept on `state`: how many in a row never became ready, which a failing machine's pause between attempts is taken from, and
//! why the last one ended badly, which the next one tells.
//!
//! A boot counts as failed, and as cut off, from its start until it is proven and ended in order. So one that hangs, or whose kernel dies,
//! counts without saying so itself.

use kmimage_contract::paths;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// The number of boots in a row that never became ready, on `state`.
const COUNT: &str = "failed-boots";
/// There while a boot runs, on `state`.
const RUNNING: &str = "boot-running";
/// What a failing process 1 wrote before it restarted the machine, on `state`.
const LAST_WORDS: &str = "last-words";
/// Why a boot ended badly last, on `state`: for people, kept until the next such end.
const LAST_FAILURE: &str = "last-failure";
/// That this boot was counted: a child that is started again counts no second one. In memory.
const COUNTED: &str = "/run/kmimage/boot-counted";
/// The longest reason, in bytes.
const LONGEST: usize = 4096;
/// What is said of a boot that left no words.
const WITHOUT_A_WORD: &str = "it ended without a word: process 1 or the kernel hung or died, or the power was cut";

/// What is known of the boots before this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// How many in a row never became ready; at least 1 if the last one ended badly.
    pub failed: u32,
    /// Why the last one ended badly, if it did.
    pub reason: Option<String>,
}

/// Counts this boot, unless that was done; returns what was before it, which is also left for process 1 in memory: what that needs in a
/// failure must not wait for a disk.
pub fn begin(state: &Path) -> io::Result<Option<History>> {
    if Path::new(COUNTED).exists() {
        return Ok(None);
    }
    let history = count(state)?;
    fs::write(Path::new(paths::FAILED_BOOTS), history.failed.to_string())?;
    fs::write(Path::new(COUNTED), "")?;
    Ok(Some(history))
}

fn count(state: &Path) -> io::Result<History> {
    let text = |name: &str| fs::read_to_string(state.join(name)).ok().map(|text| text.trim().to_owned());
    let never_ready: u32 = text(COUNT).and_then(|text| text.parse().ok()).unwrap_or(0);
    let words = text(LAST_WORDS).filter(|words| !words.is_empty());
    let cut_off = state.join(RUNNING).exists();
    let reason = words.or_else(|| cut_off.then(|| WITHOUT_A_WORD.to_owned()));
    if let Some(reason) = &reason {
        keep(&state.join(LAST_FAILURE), reason)?;
    }
    keep(&state.join(RUNNING), "")?;
    keep(&state.join(COUNT), &never_ready.saturating_add(1).to_string())?;
    remove(&state.join(LAST_WORDS))?;
    Ok(History { failed: never_ready.max(u32::from(reason.is_some())), reason })
}

/// This boot became ready.
pub fn proven(state: &Path) -> io::Result<()> {
    keep(&state.join(COUNT), "0")
}

/// This boot ends in order.
pub fn ended(state: &Path) -> io::Result<()> {
    keep(&state.join(COUNT), "0")?;
    remove(&state.join(RUNNING))
}

/// Keeps why this boot fails. It waits for the medium: whoever must not be held calls it from a thread.
pub fn keep_last_words(state: &Path, reason: &str) -> io::Result<()> {
    let end = (0..=reason.len().min(LONGEST)).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or(0);
    keep(&state.join(LAST_WORDS), reason.get(..end).unwrap_or_default())
}

/// Writes a file so that after a power cut it is the old one or the new one.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    flush_folder(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => flush_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn flush_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_told_by_the_next_boot() {
        let state = std::env::temp_dir().join(format!("kmimage-boots-{}", std::process::id()));
        fs::create_dir_all(&state).unwrap();
        let next = || {
            let history = count(&state).unwrap();
            (history.failed, history.reason.unwrap_or_default())
        };
        let bad = |text: &str| text.to_owned();
        assert_eq!(next(), (0, String::new()));
        // Cut off before it was ready, again and again.
        assert_eq!(next(), (1, bad(WITHOUT_A_WORD)));
        assert_eq!(next(), (2, bad(WITHOUT_A_WORD)));
        keep_last_words(&state, "step=panic").unwrap();
        assert_eq!(next(), (3, bad("step=panic")));
        // Ready, then cut off.
        proven(&state).unwrap();
        assert_eq!(next(), (1, bad(WITHOUT_A_WORD)));
        proven(&state).unwrap();
        keep_last_words(&state, "step=system").unwrap();
        assert_eq!(next(), (1, bad("step=system")));
        // In order, whether it was ready or not.
        ended(&state).unwrap();
        assert_eq!(next(), (0, String::new()));
        proven(&state).unwrap();
        ended(&state).unwrap();
        ended(&state).unwrap();
        assert_eq!(next(), (0, String::new()));
        assert_eq!(fs::read_to_string(state.join(LAST_FAILURE)).unwrap(), "step=system\n");
        fs::write(state.join(COUNT), "many").unwrap();
        keep_last_words(&state, &"ä".repeat(LONGEST)).unwrap();
        let (failed, reason) = next();
        assert_eq!((failed, reason.len()), (1, LONGEST));
        fs::remove_dir_all(&state).unwrap();
    }
}
