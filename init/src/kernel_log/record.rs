//! A record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg). Pure.

use std::fmt;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// 0 (the system is unusable) to 7 (for debugging).
    pub level: u8,
    /// Its number since the start; they only grow.
    pub sequence: u64,
    /// Microseconds since the start.
    pub time: u64,
    /// What it says; further lines and the record's dictionary are left out.
    pub text: String,
}

/// The words for the levels, 0 to 7.
pub const LEVELS: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

impl Record {
    /// Reads `priority,sequence,time,flags;text`. `None`: it is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, text) = text.split_once(';')?;
        let mut fields = head.split(',');
        let (priority, sequence, time) = (fields.next()?, fields.next()?, fields.next()?);
        let priority: u32 = priority.parse().ok()?;
        Some(Self {
            level: (priority & 7) as u8,
            sequence: sequence.parse().ok()?,
            time: time.parse().ok()?,
            text: text.lines().next().unwrap_or_default().trim_end().to_owned(),
        })
    }
}

impl fmt::Display for Record {
    /// `12.000345 warning: text`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = LEVELS.get(usize::from(self.level)).copied().unwrap_or("debug");
        write!(f, "{}.{:06} {level}: {}", self.time / 1_000_000, self.time % 1_000_000, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_shown() {
        let check = |record: &[u8], expect: Option<&str>| {
            assert_eq!(Record::parse(record).map(|record| record.to_string()).as_deref(), expect)
        };
        check(b"6,339,5140900,-;NET: Registered protocol\n", Some("5.140900 info: NET: Registered protocol"));
        check(
            b"4,340,5690716,-,caller=T1;udevd[80]: starting\n SUBSYSTEM=acpi\n DEVICE=+acpi\n",
            Some("5.690716 warning: udevd[80]: starting"),
        );
        check(b"30,1,7,-;daemon; with a semicolon", Some("0.000007 info: daemon; with a semicolon"));
        check(b"31,1,7,-;", Some("0.000007 debug: "));
        for bad in [&b""[..], b"6", b"6,1,2", b"x,1,2,-;y", b"6,-1,2,-;y", b"\xff;\xff"] {
            check(bad, None);
        }
    }
}
