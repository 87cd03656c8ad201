//! The kernel's log, /dev/kmsg: where init's own words outlive the console.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Write as _;

/// How much a line matters; the kernel shows those below its console log level on the consoles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something is odd.
    Warning = 4,
    /// For those who read the log; not shown on consoles by default.
    Debug = 7,
}

/// Writes a line to the kernel's log, cut to what a record takes. Best effort: before /dev is mounted there is none.
pub fn write(level: Level, line: &str) {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(log) = rustix::fs::open("/dev/kmsg", flags, Mode::empty()) else { return };
    let line: String = line.chars().take(800).collect();
    // Facility 3, "system daemons"; the record ends with the write.
    let record = format!("<{}>{}\n", 3 << 3 | level as u8, line.replace('\n', " "));
    let _ = File::from(log).write_all(record.as_bytes());
}
