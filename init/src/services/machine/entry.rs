//! One unit of the machine: what it does when something happens to it, and by itself as time passes.

use super::{Action, After, Event, State};
use crate::services::unit::{Kind, Readiness, Unit};
use kmimage_sys::process::{Exit, Tell};
use std::time::Duration;

/// Between two looks whether a unit is ready: begins with the first, doubles up to the second.
const PROBES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long killed processes may take to go; one that hangs in the kernel for ever must not keep its unit from a new start.
const CLEARING: Duration = Duration::from_secs(5);

/// One unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) unit: Unit,
    /// Whether it is to run; what isn't is stopped and then forgotten.
    pub(super) wanted: bool,
    /// What it is to become once it has stopped.
    pub(super) next: Option<Unit>,
    pub(super) state: State,
    /// Starts after the first.
    pub(super) restarts: u32,
    started_before: bool,
    /// Failures in a row.
    failures: u32,
    /// Why it is where it is; empty where the state says all.
    pub(super) reason: String,
}

/// What a unit has to know of the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    pub(super) may_start: bool,
    pub(super) may_stop: bool,
    /// Whether the condition that its readiness is holds.
    pub(super) condition: bool,
}

impl Entry {
    pub(super) fn new(unit: Unit) -> Self {
        Self {
            unit,
            wanted: true,
            next: None,
            state: State::Waiting,
            restarts: 0,
            started_before: false,
            failures: 0,
            reason: String::new(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        // On what is about to stop nobody builds any more.
        if self.is_to_stop() {
            return false;
        }
        match self.state {
            State::Running { .. } => self.unit.kind == Kind::Lasting,
            State::Done => true,
            State::Clearing { then, .. } => then == After::Done,
            State::Starting { late, .. } => late,
            _ => false,
        }
    }

    fn is_to_stop(&self) -> bool {
        !self.wanted || self.next.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Starting { probe_at, since, late, .. } => {
                let late_at = self.unit.awaited.filter(|_| !late).map(|awaited| since + awaited);
                let probe_at = self.is_probed().then_some(probe_at);
                late_at.into_iter().chain(probe_at).min()
            }
            State::BackOff { until } | State::Clearing { until, .. } => Some(until),
            State::Stopping { kill_at, .. } => Some(kill_at),
            _ => None,
        }
    }

    fn is_probed(&self) -> bool {
        matches!(self.unit.readiness, Readiness::Socket(_) | Readiness::Http { .. } | Readiness::Exec(_))
    }

    /// Takes in what was heard of this unit. Answers that come too late, about another process or out of turn, change nothing.
    pub(super) fn happened(&mut self, event: &Event, now: Duration) -> Vec<Action> {
        match (event, self.state) {
            (Event::Started { pid, .. }, State::Launching) => {
                self.restarts += u32::from(self.started_before);
                self.started_before = true;
                let (pause, _) = PROBES;
                self.state = State::Starting { pid: *pid, since: now, probe_at: now, pause, late: false };
            }
            (Event::NotStarted { error, .. }, State::Launching) => {
                self.reason.clone_from(error);
                self.state = State::BackOff { until: self.next_start(Duration::ZERO, now) };
            }
            (Event::Probed { pid, ready, .. }, State::Starting { pid: own, since, .. }) if *pid == own && *ready => {
                self.state = State::Running { pid: own, since };
            }
            (Event::Ended { unit, pid, exit, out_of_memory }, state) if state.pid() == Some(*pid) => {
                let then = self.after(state, *exit, *out_of_memory, now);
                if self.unit.keeps_processes {
                    self.state = self.cleared(then);
                    return Vec::new();
                }
                self.state = State::Clearing { then, until: now + CLEARING };
                return vec![Action::KillAll { unit: unit.clone() }];
            }
            (Event::Empty { .. }, State::Clearing { then, .. }) => self.state = self.cleared(then),
            _ => {}
        }
        Vec::new()
    }

    /// What follows the end of the process.
    fn after(&mut self, state: State, exit: Exit, out_of_memory: bool, now: Duration) -> After {
        if matches!(state, State::Stopping { .. } | State::Killed { .. }) {
            return After::Stopped;
        }
        let succeeded = self.unit.kind == Kind::Once && exit.is_success();
        self.reason = match (succeeded, out_of_memory) {
            (true, _) => String::new(),
            (false, true) => format!("{exit}, out of memory"),
            (false, false) => exit.to_string(),
        };
        if succeeded {
            return After::Done;
        }
        let since = match state {
            State::Starting { since, .. } | State::Running { since, .. } => since,
            _ => now,
        };
        After::BackOff { until: self.next_start(now.saturating_sub(since), now) }
    }

    /// Counts a failure after a run of this length; when the next start is due.
    fn next_start(&mut self, ran: Duration, now: Duration) -> Duration {
        if ran >= self.unit.restart.healthy_after {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        now + self.unit.restart.pause(self.failures)
    }

    fn cleared(&mut self, then: After) -> State {
        match then {
            After::Done => State::Done,
            After::BackOff { until } => State::BackOff { until },
            After::Stopped => State::Stopped,
        }
    }

    pub(super) fn advance(&mut self, name: &str, now: Duration, around: Around, actions: &mut Vec<Action>) {
        let to_stop = self.is_to_stop();
        match self.state {
            State::Waiting | State::BackOff { .. } | State::Done if to_stop => self.state = State::Stopped,
            State::Waiting if around.may_start => {
                self.state = State::Launching;
                actions.push(Action::Start { unit: name.to_owned() });
            }
            State::BackOff { until } if now >= until => self.state = State::Waiting,
            State::Starting { pid, .. } | State::Running { pid, .. } if to_stop && around.may_stop => {
                self.reason.clear();
                self.state = State::Stopping { pid, kill_at: now + self.unit.stop_within };
                actions.push(Action::Tell { pid, what: Tell::End });
            }
            State::Starting { pid, since, .. } if self.is_ready_by_itself(around) => {
                self.state = State::Running { pid, since };
            }
            State::Starting { pid, since, probe_at, pause, late } => {
                let late = late || self.unit.awaited.is_some_and(|awaited| now >= since + awaited);
                let (mut probe_at, mut pause) = (probe_at, pause);
                if self.is_probed() && now >= probe_at {
                    probe_at = now + pause;
                    pause = (pause * 2).min(PROBES.1);
                    actions.push(Action::Probe { unit: name.to_owned(), pid });
                }
                self.state = State::Starting { pid, since, probe_at, pause, late };
            }
            State::Stopping { pid, kill_at } if now >= kill_at => {
                self.state = State::Killed { pid };
                actions.push(if self.unit.keeps_processes {
                    Action::Tell { pid, what: Tell::Die }
                } else {
                    Action::KillAll { unit: name.to_owned() }
                });
            }
            State::Clearing { then, until } if now >= until => self.state = self.cleared(then),
            State::Stopped if self.wanted => {
                if let Some(next) = self.next.take() {
                    *self = Self::new(next);
                }
                self.state = State::Waiting;
            }
            _ => {}
        }
    }

    fn is_ready_by_itself(&self, around: Around) -> bool {
        match self.unit.readiness {
            Readiness::Started => true,
            Readiness::Condition(_) => around.condition,
            _ => false,
        }
    }
}
