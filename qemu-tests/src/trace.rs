//! Where a boot spends its time: the kernel's log, in which every state line has the kernel's time, cut into phases.

use crate::guest::{Guest, WritableDisk};
use crate::image::{artefact, test};
use kmimage_contract::state_line::{Ready, StateLine};
use std::fmt;
use std::time::Duration;

/// What the kernel says right before stage 1's first instruction.
const STAGE_1: &str = "Run /init as init process";

/// One boot, from the kernel's start to `ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// From the kernel's start to stage 1.
    pub kernel: Duration,
    /// What was said since, with the time since stage 1's first instruction. The last is `ready`.
    pub marks: Vec<(Duration, String)>,
}

impl Trace {
    /// From a kernel's log. None: there is no stage 1 or no `ready` in it.
    pub fn of(log: &[(Duration, String)]) -> Option<Self> {
        let (kernel, _) = log.iter().find(|(_, text)| text.contains(STAGE_1))?;
        let said =
            log.iter().filter(|(at, _)| at >= kernel).filter_map(|(at, text)| Some((*at - *kernel, StateLine::find(text)?)));
        let mut marks = Vec::new();
        for (at, line) in said {
            let ready = line.state() == Ready::STATE;
            marks.push((at, words(&line)));
            if ready {
                return Some(Self { kernel: *kernel, marks });
            }
        }
        None
    }

    /// From stage 1's first instruction to `ready`.
    pub fn init(&self) -> Duration {
        self.marks.last().map_or(Duration::ZERO, |(at, _)| *at)
    }

    /// What init takes for each second that the kernel took before it.
    pub fn ratio(&self) -> f64 {
        self.init().as_secs_f64() / self.kernel.as_secs_f64()
    }

    /// The second boot of a disk with the image `test`, with DHCP by QEMU's own user network, in counted instructions: the same
    /// on a loaded host.
    ///
    /// # Panics
    /// When it doesn't come to `ready`.
    pub fn measure() -> Self {
        Self::second_boot(&booted_once())
    }

    /// As [`Trace::measure`], of a disk that has been booted before.
    ///
    /// # Panics
    /// When it doesn't come to `ready`.
    pub fn second_boot(disk: &WritableDisk) -> Self {
        let log = Self::log_of_second_boot(disk);
        Self::of(&log).unwrap_or_else(|| panic!("no trace in the kernel's log: {log:#?}"))
    }

    /// The kernel's log of [`Trace::second_boot`].
    ///
    /// # Panics
    /// As it does.
    pub fn log_of_second_boot(disk: &WritableDisk) -> Vec<(Duration, String)> {
        let vm = Guest::test().disk(disk).user_network().counted().start();
        vm.ready();
        vm.probe().kernel_log()
    }
}

/// A disk with the image `test` that has been booted, and switched off in order.
///
/// # Panics
/// When it doesn't come to `ready`.
pub fn booted_once() -> WritableDisk {
    let disk = WritableDisk::of(&artefact(test(), ".qcow2"), None);
    let mut first = Guest::test().disk(&disk).user_network().start();
    first.ready();
    first.power_off();
    disk
}

/// A state line for a table: the state and its first two facts.
fn words(line: &StateLine) -> String {
    let text = line.to_string();
    let mut words = text.split(' ').skip(1).take(3).collect::<Vec<_>>();
    if line.state() == Ready::STATE {
        words.truncate(1);
    }
    words.join(" ")
}

/// The table of docs/performance.md.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        writeln!(f, "| what is said | ms since stage 1's first instruction | since the line before |\n|---|---|---|")?;
        let mut before = Duration::ZERO;
        for (at, what) in &self.marks {
            writeln!(f, "| `{what}` | {:.1} | {:.1} |", milliseconds(*at), milliseconds(*at - before))?;
            before = *at;
        }
        writeln!(
            f,
            "\nKernel start to /init: {:.0} ms; stage 1's first instruction to `ready`: {:.0} ms; ratio {:.3} (target: at most 0.4)",
            milliseconds(self.kernel),
            milliseconds(self.init()),
            self.ratio()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_begins_with_stage_1_and_ends_with_ready() {
        let at = Duration::from_millis;
        let line = |ms, text: &str| (at(ms), text.to_owned());
        let mut log = vec![
            line(0, "Linux version 6.12"),
            line(2000, "Run /init as init process"),
            line(2100, "kmimage: phase name=drivers"),
            line(2200, "squashfs: something"),
            line(2500, "kmimage: ready role=base version=0.1.0"),
            line(2600, "kmimage: network late=yes"),
        ];
        let trace = Trace::of(&log).unwrap();
        assert_eq!(trace.marks, [(at(100), "phase name=drivers".to_owned()), (at(500), "ready".to_owned())]);
        assert!((trace.ratio() - 0.25).abs() < 1e-9);
        assert!(trace.to_string().contains("| `ready` | 500.0 | 400.0 |"), "{trace}");
        log.truncate(4);
        assert_eq!(Trace::of(&log), None);
    }
}
