//! The log of a boot on `state`, `log/boot-N`: what the machine said of itself and what the kernel warned of. For people who ask why the boots
//! before this one failed, though `var` may be lost.

use super::Record;
use kmimage_contract::state_line::StateLine;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The folder of the logs, on `state`.
const FOLDER: &str = "log";
/// How many boots' logs are kept.
const KEPT: usize = 10;
/// How long the log of one boot gets, in bytes; what comes later is left out.
const LONGEST: u64 = 256 << 10;
/// The most harmless level of the kernel's own records that are kept: warnings.
const LEVEL: u8 = 4;
/// State lines after which the medium must have everything: what comes next may be the end.
const TURNS: [&str; 7] = ["failed", "maintenance", "power-off", "ready", "reboot", "storage-failed", "waiting"];

/// The log of this boot.
#[derive(Debug)]
pub(super) struct BootLog {
    file: File,
    room: u64,
}

impl BootLog {
    /// Begins a log and removes the oldest ones; or goes on with the newest, after `again` in the same boot.
    pub(super) fn open(state: &Path, again: bool) -> io::Result<Self> {
        let folder = state.join(FOLDER);
        let mut numbers: Vec<u64> = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_prefix("boot-")?.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let number = match numbers.last() {
            Some(last) if again => *last,
            Some(last) => last.saturating_add(1),
            None => 0,
        };
        let others = numbers.iter().filter(|known| **known != number).count();
        for old in numbers.iter().take(others.saturating_sub(KEPT - 1)) {
            fs::remove_file(folder.join(format!("boot-{old}")))?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(format!("boot-{number}")))?;
        let room = LONGEST.saturating_sub(file.metadata()?.len());
        Ok(Self { file, room })
    }

    /// Adds a record, if it is worth keeping and there is room.
    pub(super) fn add(&mut self, record: &Record) -> io::Result<()> {
        let state_line = StateLine::find(&record.text);
        if state_line.is_none() && record.level > LEVEL {
            return Ok(());
        }
        let line = format!("{record}\n");
        self.room = self.room.saturating_sub(line.len() as u64);
        if self.room == 0 {
            return Ok(());
        }
        self.file.write_all(line.as_bytes())?;
        if state_line.is_some_and(|line| TURNS.contains(&line.state())) { self.file.sync_all() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(level: u8, text: &str) -> Record {
        Record { level, sequence: 1, time: 2_000_000, text: text.to_owned() }
    }

    #[test]
    fn logs_are_bounded_in_number_and_length() {
        let state = std::env::temp_dir().join(format!("kmimage-boot-log-{}", std::process::id()));
        fs::create_dir_all(state.join(FOLDER)).unwrap();
        let names = || {
            let mut names: Vec<String> = fs::read_dir(state.join(FOLDER))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        for _ in 0..KEPT + 3 {
            BootLog::open(&state, false).unwrap().add(&record(7, "kmimage: ready role=base")).unwrap();
        }
        let mut log = BootLog::open(&state, true).unwrap();
        log.add(&record(6, "NET: Registered protocol")).unwrap();
        log.add(&record(4, "a disk is slow")).unwrap();
        log.add(&record(7, "kmimage: failed step=panic")).unwrap();
        assert_eq!(
            (names().len(), names().contains(&"boot-12".to_owned()), names().contains(&"boot-2".to_owned())),
            (KEPT, true, false)
        );
        let text = fs::read_to_string(state.join("log/boot-12")).unwrap();
        let expect = [
            "2.000000 debug: kmimage: ready role=base",
            "2.000000 warning: a disk is slow",
            "2.000000 debug: kmimage: failed step=panic",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expect);

        for _ in 0..300 {
            log.add(&record(3, &"x".repeat(1023))).unwrap();
        }
        assert!(fs::metadata(state.join("log/boot-12")).unwrap().len() < LONGEST);
        // A log that is full stays so when the child is started again.
        BootLog::open(&state, true).unwrap().add(&record(3, &"x".repeat(1023))).unwrap();
        assert!(fs::metadata(state.join("log/boot-12")).unwrap().len() < LONGEST);
        fs::remove_dir_all(&state).unwrap();
    }
}
