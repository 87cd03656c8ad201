//! A unit: one program that process 1 runs, as data. Built-in children and a config's services are the same thing.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that decides how a program is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Whether it is to end or to last.
    pub kind: Kind,
    /// Whether it is part of init itself: those are stopped after everything else, and what they print on their standard output is
    /// state lines for process 1.
    pub built_in: bool,
    /// The program's file.
    pub path: PathBuf,
    /// What follows its name.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// What has to be before it is started: names of units that are ready, or of conditions that hold.
    pub needs: Vec<String>,
    /// How to see that it does its work.
    pub readiness: Readiness,
    /// How long others wait for its readiness; then they go on without. `None`: as long as it takes.
    pub awaited: Option<Duration>,
    /// When it is started again after its end.
    pub restart: Restart,
    /// How long it may take to end when asked; then it is killed.
    pub stop_within: Duration,
    /// What it may use, and what is kept for it.
    pub memory: Memory,
    /// How gladly the kernel ends it when memory runs out, -1000 to 1000.
    pub oom_score: i16,
    /// The capabilities that it may have, bit n for capability n. `None`: all.
    pub capabilities: Option<u64>,
    /// Whether set-user-ID programs and file capabilities give it nothing.
    pub no_new_privileges: bool,
    /// Whether it reads what lies in /etc anew when it gets SIGHUP.
    pub reloads: bool,
    /// Whether a shutdown begins with it, whoever needs it: the others run until it has ended.
    pub stops_first: bool,
    /// Whether what it has started goes on when it ends: its next run takes care of it. Else nothing of it is left.
    pub keeps_processes: bool,
}

/// What the end of a program means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It does one thing and ends with code 0; anything else is a failure, and it is tried again.
    Once,
    /// It runs as long as the machine does; every end is a failure.
    Lasting,
}

/// How to see that a unit does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// It was started.
    Started,
    /// The condition of this name holds.
    Condition(String),
    /// A unix socket at this path takes connections.
    Socket(PathBuf),
    /// GET is answered with a status from 200 to 399.
    Http {
        /// By whom.
        address: SocketAddr,
        /// Which path, with its query.
        path: String,
    },
    /// A program ends with code 0.
    Exec(Vec<String>),
}

/// When a unit is started again: after `minimum`, twice as long after each failure that follows, never more than `maximum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The first pause.
    pub minimum: Duration,
    /// The longest pause.
    pub maximum: Duration,
    /// A unit that ran this long begins with the first pause again.
    pub healthy_after: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self { minimum: Duration::from_millis(100), maximum: Duration::from_secs(30), healthy_after: Duration::from_secs(60) }
    }
}

impl Restart {
    /// The pause after this many failures in a row.
    pub fn pause(&self, failures: u32) -> Duration {
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.minimum.saturating_mul(doubled).min(self.maximum).max(self.minimum.min(self.maximum))
    }
}

/// A unit's memory in bytes, as the kernel's cgroup2 interface has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// `memory.min`: never taken away.
    pub min: Option<u64>,
    /// `memory.low`: taken away last.
    pub low: Option<u64>,
    /// `memory.max`: more than this ends it.
    pub max: Option<u64>,
}

impl Unit {
    /// A unit with the settings that most have: it lasts, is ready when started, restarts as `Restart` has it by default, and may take
    /// ten seconds to end.
    pub fn lasting(path: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        Self {
            kind: Kind::Lasting,
            built_in: false,
            path: path.into(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: Vec::new(),
            needs: Vec::new(),
            readiness: Readiness::Started,
            awaited: None,
            restart: Restart::default(),
            stop_within: Duration::from_secs(10),
            memory: Memory::default(),
            oom_score: 0,
            capabilities: None,
            no_new_privileges: false,
            reloads: false,
            stops_first: false,
            keeps_processes: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let check = |restart: Restart, expect: &[(u32, u64)]| {
            for &(failures, millis) in expect {
                assert_eq!(restart.pause(failures), Duration::from_millis(millis), "{failures} failures");
            }
        };
        check(
            Restart::default(),
            &[(0, 100), (1, 100), (2, 200), (3, 400), (9, 25_600), (10, 30_000), (33, 30_000), (u32::MAX, 30_000)],
        );
        let odd = Restart { minimum: Duration::from_secs(5), maximum: Duration::from_secs(1), ..Restart::default() };
        check(odd, &[(1, 1000), (7, 1000)]);
    }
}
