//! What is told of units: a line for each change.

use super::{Heard, Supervisor};
use crate::services::machine::{Machine, State};
use kmimage_contract::state_line::StateLine;

impl Supervisor {
    pub(super) fn tell_changes(&mut self, names: Vec<String>) {
        for name in names {
            let line = service_line(&self.machine, &name);
            if self.told.get(&name) != Some(&line) {
                self.told.insert(name.clone(), line.clone());
                self.heard.push(Heard::Service { unit: name, line });
            }
        }
    }

    pub(super) fn tell_removals(&mut self) {
        let gone: Vec<String> = self.told.keys().filter(|name| self.machine.state(name).is_none()).cloned().collect();
        for name in gone {
            self.told.remove(&name);
            self.logs.forget(&name);
            self.memory_kills.remove(&name);
            if let Some(cgroups) = &self.cgroups {
                cgroups.remove(&name);
            }
            let line = StateLine::new("service").with("name", &name).with("state", "removed");
            self.heard.push(Heard::Service { unit: name, line });
        }
    }
}

/// What is said about a unit: `service name=.. state=.. pid=.. restarts=.. reason=..`, without what there is nothing to say of.
fn service_line(machine: &Machine, name: &str) -> StateLine {
    let Some(state) = machine.state(name) else { return StateLine::new("service").with("name", name) };
    let mut line = StateLine::new("service").with("name", name).with("state", state.word());
    if let Some(pid) = state.pid() {
        line = line.with("pid", pid);
    }
    if machine.restarts(name) > 0 {
        line = line.with("restarts", machine.restarts(name));
    }
    match (state, machine.reason(name)) {
        (_, reason) if reason.is_empty() => line,
        (State::Waiting, needs) => line.with("for", needs),
        (_, reason) => line.with("reason", reason),
    }
}
