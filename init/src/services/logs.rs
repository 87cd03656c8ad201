//! The logs of units: the latest lines of each in memory, and everything on its way to the child that writes it to disk.
//!
//! Process 1 touches no disk for a log: it hands lines to `log-files` through a pipe and never waits for it. While that child is not
//! there (before `var` is) or slow, lines are kept up to a bound; what goes beyond it is counted and said.

use kmimage_sys::spawn::Pipe;
use std::collections::{BTreeMap, VecDeque};

/// How many bytes of each unit's latest lines are kept.
const KEPT: usize = 8 << 10;
/// How many bytes wait for the child at most.
const WAITING: usize = 128 << 10;

/// The logs.
#[derive(Debug, Default)]
pub(super) struct Logs {
    recent: BTreeMap<String, Recent>,
    waiting: VecDeque<u8>,
    lost: u64,
    writer: Option<Pipe>,
}

#[derive(Debug, Default)]
struct Recent {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Logs {
    /// Takes a line of a unit.
    pub(super) fn add(&mut self, unit: &str, line: &str) {
        let recent = self.recent.entry(unit.to_owned()).or_default();
        recent.bytes += line.len();
        recent.lines.push_back(line.to_owned());
        while recent.bytes > KEPT && recent.lines.len() > 1 {
            recent.bytes -= recent.lines.pop_front().map_or(0, |line| line.len());
        }
        let record = record(unit, line);
        if self.waiting.len() + record.len() > WAITING {
            self.lost += 1;
        } else {
            self.waiting.extend(record.bytes());
        }
    }

    /// The latest lines of a unit, the oldest first.
    pub(super) fn recent(&self, unit: &str) -> impl Iterator<Item = &str> {
        self.recent.get(unit).into_iter().flat_map(|recent| recent.lines.iter().map(String::as_str))
    }

    /// Forgets a unit that is no more.
    pub(super) fn forget(&mut self, unit: &str) {
        self.recent.remove(unit);
    }

    /// Where lines go from now on.
    pub(super) fn write_to(&mut self, writer: Option<Pipe>) {
        self.writer = writer;
    }

    /// Whether something waits and somebody is there who takes it.
    pub(super) fn is_waiting(&self) -> bool {
        self.writer.is_some() && !self.waiting.is_empty()
    }

    /// Hands on as much as is taken now.
    pub(super) fn flush(&mut self) {
        let Some(writer) = &self.writer else { return };
        while !self.waiting.is_empty() {
            let (first, _) = self.waiting.as_slices();
            match writer.write(first) {
                Ok(Some(written @ 1..)) => drop(self.waiting.drain(..written)),
                Ok(_) => return,
                // The child has ended; the next one goes on where a record begins.
                Err(_) => {
                    self.writer = None;
                    while self.waiting.front().is_some_and(|&byte| byte != b'\n') {
                        self.waiting.pop_front();
                    }
                    self.waiting.pop_front();
                    return;
                }
            }
        }
        // A flood is over: its memory goes back.
        self.waiting.shrink_to(4096);
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            self.waiting
                .extend(record("init", &format!("{lost} lines of services were lost: the disk was too slow for them")).bytes());
        }
    }
}

/// A line as it goes to the child: the unit, a space, the text.
fn record(unit: &str, line: &str) -> String {
    format!("{unit} {}\n", line.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_latest_lines_stay() {
        let mut logs = Logs::default();
        for number in 0..100_000 {
            logs.add("flood", &format!("line {number}"));
        }
        logs.add("calm", "one");
        let recent: Vec<&str> = logs.recent("flood").collect();
        assert_eq!(recent.last(), Some(&"line 99999"));
        assert!(recent.iter().map(|line| line.len()).sum::<usize>() <= KEPT && recent.len() > 500);
        assert_eq!(logs.recent("calm").collect::<Vec<_>>(), ["one"]);
        assert!(logs.waiting.len() <= WAITING && logs.lost > 90_000);
        // A line longer than everything that is kept is kept itself.
        logs.add("flood", &"x".repeat(KEPT * 2));
        assert_eq!(logs.recent("flood").count(), 1);
        logs.forget("flood");
        assert_eq!(logs.recent("flood").count(), 0);
    }
}
