//! The service machine: what has happened and the time go in, what is to be done comes out. Pure; it knows no process and no file.
//!
//! A unit waits for its needs, is started, proves itself ready, runs; its end leads through a pause to the next start. Whatever a
//! program left behind in its control group is killed before it is started again. Stopping goes against the order of needs and is
//! bounded: asked first, killed then.

use super::unit::{Kind, Readiness, Unit};
use kmimage_sys::process::{Exit, Tell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two looks whether a unit is ready: begins with the first, doubles up to the second.
const PROBES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long killed processes may take to go; one that hangs in the kernel for ever must not keep its unit from a new start.
const CLEARING: Duration = Duration::from_secs(5);

/// All units with their states. Times are counted from any fixed moment that doesn't jump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    units: BTreeMap<String, Entry>,
    conditions: BTreeSet<String>,
    shutting_down: bool,
}

/// One unit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    unit: Unit,
    /// Whether it is to run; what isn't is stopped and then forgotten.
    wanted: bool,
    /// What it is to become once it has stopped.
    next: Option<Unit>,
    state: State,
    /// Starts after the first.
    restarts: u32,
    started_before: bool,
    /// Failures in a row.
    failures: u32,
    /// Why it is where it is; empty where the state says all.
    reason: String,
}

/// Where a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started: its needs don't hold yet.
    Waiting,
    /// About to run: the answer to [`Action::Start`] is due.
    Launching,
    /// It runs and has not proved itself ready.
    Starting {
        /// Its process.
        pid: u32,
        /// Since when.
        since: Duration,
        /// When to look again whether it is ready.
        probe_at: Duration,
        /// The pause between this look and the next.
        pause: Duration,
        /// Whether those who need it have waited long enough.
        late: bool,
    },
    /// It runs and does its work.
    Running {
        /// Its process.
        pid: u32,
        /// Since when it runs.
        since: Duration,
    },
    /// It was to be done once, and is.
    Done,
    /// It failed and is started again then.
    BackOff {
        /// When.
        until: Duration,
    },
    /// It was asked to end.
    Stopping {
        /// Its process.
        pid: u32,
        /// When it is killed.
        kill_at: Duration,
    },
    /// It was killed.
    Killed {
        /// Its process.
        pid: u32,
    },
    /// Its process has ended; what that left behind is killed.
    Clearing {
        /// What comes then.
        then: After,
        /// When to go on even so.
        until: Duration,
    },
    /// It doesn't run and isn't to.
    Stopped,
}

/// What follows when nothing of a unit runs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It is done.
    Done,
    /// It is started again then.
    BackOff {
        /// When.
        until: Duration,
    },
    /// It stays where it is, or becomes what it is to become.
    Stopped,
}

impl State {
    /// The state's word on state lines.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Launching | Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Done => "done",
            Self::BackOff { .. } => "back-off",
            Self::Stopping { .. } | Self::Killed { .. } => "stopping",
            Self::Clearing { then, .. } => match then {
                After::Done => "done",
                After::BackOff { .. } => "back-off",
                After::Stopped => "stopping",
            },
            Self::Stopped => "stopped",
        }
    }

    /// The process, where there is one.
    pub fn pid(&self) -> Option<u32> {
        match *self {
            Self::Starting { pid, .. } | Self::Running { pid, .. } | Self::Stopping { pid, .. } | Self::Killed { pid } => {
                Some(pid)
            }
            _ => None,
        }
    }

    /// Whether nothing of the unit runs.
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::Waiting | Self::Done | Self::BackOff { .. } | Self::Stopped)
    }
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// These units are wanted, and no others.
    Units(BTreeMap<String, Unit>),
    /// A condition holds, or doesn't any more.
    Condition {
        /// Its name.
        name: String,
        /// Whether it holds.
        holds: bool,
    },
    /// A unit's program was started.
    Started {
        /// Which.
        unit: String,
        /// As which process.
        pid: u32,
    },
    /// A unit's program could not be started.
    NotStarted {
        /// Which.
        unit: String,
        /// Why not.
        error: String,
    },
    /// A unit's process has ended.
    Ended {
        /// Which.
        unit: String,
        /// As which process.
        pid: u32,
        /// How.
        exit: Exit,
        /// Whether the kernel ended something of it for want of memory.
        out_of_memory: bool,
    },
    /// Nothing of a unit runs any more.
    Empty {
        /// Which.
        unit: String,
    },
    /// The answer to [`Action::Probe`].
    Probed {
        /// Which.
        unit: String,
        /// The process that was looked at.
        pid: u32,
        /// Whether it is ready.
        ready: bool,
    },
    /// A unit is to read its input again.
    Reload {
        /// Which.
        unit: String,
    },
    /// The machine goes down: everything is stopped, and nothing started any more.
    ShutDown,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a unit's program; [`Event::Started`] or [`Event::NotStarted`] is the answer.
    Start {
        /// Which.
        unit: String,
    },
    /// Tell a unit's process something.
    Tell {
        /// Its process.
        pid: u32,
        /// What.
        what: Tell,
    },
    /// Kill everything that belongs to a unit; [`Event::Empty`] is the answer, once it has gone.
    KillAll {
        /// Which.
        unit: String,
    },
    /// Look whether a unit is ready; [`Event::Probed`] is the answer.
    Probe {
        /// Which.
        unit: String,
        /// Its process.
        pid: u32,
    },
}

impl Machine {
    /// Takes an event in, and says what follows from it.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Units(units) => self.want(units),
            Event::Condition { name, holds: true } => {
                self.conditions.insert(name);
            }
            Event::Condition { name, holds: false } => {
                self.conditions.remove(&name);
            }
            Event::ShutDown => {
                self.shutting_down = true;
                self.units.values_mut().for_each(|entry| entry.wanted = false);
            }
            Event::Reload { unit } => {
                let pid = self.units.get(&unit).and_then(|entry| entry.state.pid());
                actions.extend(pid.map(|pid| Action::Tell { pid, what: Tell::Reload }));
            }
            Event::Started { ref unit, .. }
            | Event::NotStarted { ref unit, .. }
            | Event::Ended { ref unit, .. }
            | Event::Empty { ref unit }
            | Event::Probed { ref unit, .. } => {
                if let Some(entry) = self.units.get_mut(unit) {
                    actions.extend(entry.happened(&event, now));
                }
            }
        }
        self.advance(now, &mut actions);
        actions
    }

    /// When the machine wants to be asked again even if nothing happens. `None`: never.
    pub fn deadline(&self) -> Option<Duration> {
        self.units.values().filter_map(Entry::deadline).min()
    }

    /// The names of all units.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.units.keys().map(String::as_str)
    }

    /// A unit, as it runs now.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.units.get(name).map(|entry| &entry.unit)
    }

    /// A unit's state.
    pub fn state(&self, name: &str) -> Option<State> {
        self.units.get(name).map(|entry| entry.state)
    }

    /// How often a unit was started again.
    pub fn restarts(&self, name: &str) -> u32 {
        self.units.get(name).map_or(0, |entry| entry.restarts)
    }

    /// Why a unit is where it is; empty where its state says all.
    pub fn reason(&self, name: &str) -> String {
        let Some(entry) = self.units.get(name) else { return String::new() };
        if entry.state == State::Waiting {
            let missing: Vec<&str> = entry.unit.needs.iter().filter(|need| !self.holds(need)).map(String::as_str).collect();
            return missing.join(",");
        }
        entry.reason.clone()
    }

    /// Whether a condition holds, or a unit of this name is ready.
    pub fn holds(&self, need: &str) -> bool {
        self.conditions.contains(need) || self.units.get(need).is_some_and(Entry::is_ready)
    }

    /// Whether nothing runs any more.
    pub fn is_at_rest(&self) -> bool {
        self.units.values().all(|entry| entry.state.is_at_rest())
    }

    fn want(&mut self, units: BTreeMap<String, Unit>) {
        if self.shutting_down {
            return;
        }
        for (name, entry) in &mut self.units {
            entry.wanted = units.contains_key(name);
        }
        for (name, unit) in units {
            match self.units.get_mut(&name) {
                None => {
                    self.units.insert(name, Entry::new(unit));
                }
                Some(entry) if entry.unit == unit => entry.next = None,
                Some(entry) => entry.next = Some(unit),
            }
        }
    }

    /// Moves every unit as far as it can go. Each round moves at least one, and no unit moves in a circle without an event.
    fn advance(&mut self, now: Duration, actions: &mut Vec<Action>) {
        loop {
            let names: Vec<String> = self.units.keys().cloned().collect();
            let moved = names.iter().filter(|name| self.advance_one(name, now, actions)).count();
            self.units.retain(|_, entry| entry.wanted || entry.state != State::Stopped || self.shutting_down);
            if moved == 0 {
                return;
            }
        }
    }

    fn advance_one(&mut self, name: &str, now: Duration, actions: &mut Vec<Action>) -> bool {
        let may_start = self.units.get(name).is_some_and(|entry| entry.unit.needs.iter().all(|need| self.holds(need)));
        let may_stop = self.may_stop(name);
        let condition = self.units.get(name).is_some_and(|entry| match &entry.unit.readiness {
            Readiness::Condition(condition) => self.conditions.contains(condition),
            _ => false,
        });
        let Some(entry) = self.units.get_mut(name) else { return false };
        let before = entry.state;
        entry.advance(name, now, Around { may_start, may_stop, condition }, actions);
        entry.state != before
    }

    /// Whether a unit that isn't wanted may be stopped now: nothing that isn't wanted either still runs that needs it. Needs in a
    /// circle hold nobody up.
    fn may_stop(&self, name: &str) -> bool {
        let Some(own) = self.units.get(name) else { return true };
        let waits_for = |other: &str, entry: &Entry| {
            let above = entry.unit.needs.iter().any(|need| need == name) || own.unit.built_in && !entry.unit.built_in;
            other != name && above && !entry.wanted && !entry.state.is_at_rest() && !self.needs_through(name, other)
        };
        !self.units.iter().any(|(other, entry)| waits_for(other, entry))
    }

    /// Whether a unit needs another one, directly or through others.
    fn needs_through(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            let Some(entry) = self.units.get(name).filter(|_| seen.insert(name)) else { continue };
            if entry.unit.needs.iter().any(|need| need == to) {
                return true;
            }
            open.extend(entry.unit.needs.iter().map(String::as_str));
        }
        false
    }
}

/// What a unit has to know of the others.
#[derive(Debug, Clone, Copy)]
struct Around {
    may_start: bool,
    may_stop: bool,
    /// Whether the condition that its readiness is holds.
    condition: bool,
}

impl Entry {
    fn new(unit: Unit) -> Self {
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

    fn is_ready(&self) -> bool {
        match self.state {
            State::Running { .. } | State::Done => true,
            State::Clearing { then, .. } => then == After::Done,
            State::Starting { late, .. } => late,
            _ => false,
        }
    }

    fn is_to_stop(&self) -> bool {
        !self.wanted || self.next.is_some()
    }

    fn deadline(&self) -> Option<Duration> {
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
    fn happened(&mut self, event: &Event, now: Duration) -> Vec<Action> {
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

    fn advance(&mut self, name: &str, now: Duration, around: Around, actions: &mut Vec<Action>) {
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
                actions.push(Action::KillAll { unit: name.to_owned() });
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
