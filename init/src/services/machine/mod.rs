//! The service machine: what has happened and the time go in, what is to be done comes out. Pure; it knows no process and no file.
//!
//! A unit waits for its needs, is started, proves itself ready, runs; its end leads through a pause to the next start. Whatever a
//! program left behind in its control group is killed before it is started again. Stopping goes against the order of needs and is
//! bounded: asked first, killed then.

mod entry;
mod event;
mod state;
#[cfg(test)]
mod tests;

pub use event::{Action, Event};
pub use state::{After, State};

use super::unit::{Readiness, Unit};
use entry::{Around, Entry};
use kmimage_sys::process::Tell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// All units with their states. Times are counted from any fixed moment that doesn't jump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    units: BTreeMap<String, Entry>,
    conditions: BTreeSet<String>,
    shutting_down: bool,
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
    /// circle hold nobody up. A shutdown begins with those that are to stop first, and everybody else waits for them.
    fn may_stop(&self, name: &str) -> bool {
        let Some(own) = self.units.get(name) else { return true };
        if self.shutting_down {
            let first = |entry: &Entry| entry.unit.stops_first;
            if first(own) || self.units.values().any(|entry| first(entry) && !entry.state.is_at_rest()) {
                return first(own);
            }
        }
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
