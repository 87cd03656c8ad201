//! What the machine says of itself: on the consoles, in the kernel's log, in init's own.

use super::Life;
use crate::system::boot::{Boot, Found};
use crate::system::budget::Budget;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::clock;
use kmimage_sys::kernel_log::{self, Level};
use std::time::Instant;

impl Life {
    /// Says which parts of the machine have become what they should be, or failed.
    pub(super) fn say_phases(&mut self, before: &Boot) {
        let now = self.boot.clone();
        let parts = [
            ("state", &before.state, &now.state),
            ("var", &before.var, &now.var),
            ("configuration", &before.applied, &now.applied),
            ("network", &before.network, &now.network),
        ];
        for (name, before, now) in parts {
            let result = match now {
                Found::Good => "done",
                Found::Failed(_) => "failed",
                Found::Unknown(_) => continue,
            };
            if before != now {
                let line = StateLine::new("phase").with("name", name).with("result", result);
                let line = line.with("at", format!("{:.3}", clock::since_boot().as_secs_f64()));
                self.say(&line);
            }
        }
    }

    /// What services do is said; of the built-in children only what is wrong with them.
    pub(super) fn say_service(&mut self, unit: &str, line: &StateLine) {
        let built_in = self.supervisor.machine().unit(unit).is_none_or(|unit| unit.built_in);
        if !built_in || line.get("state") == Some("back-off") {
            self.say_within_budget(unit, line);
        } else {
            kernel_log::write(Level::Debug, &line.to_string());
        }
    }

    /// Says what a unit has to say, or what is to be said of it, as long as it isn't too much.
    pub(super) fn say_within_budget(&mut self, unit: &str, line: &StateLine) {
        let now = Instant::now();
        let budget = self.budgets.entry(unit.to_owned()).or_insert_with(|| Budget::new(now));
        if budget.take(now) {
            self.say(line);
        } else {
            self.supervisor.log("init", &line.to_string());
        }
    }

    /// Says a line on the consoles and in init's own log.
    pub(super) fn say(&mut self, line: &StateLine) {
        self.consoles.say(line);
        self.supervisor.log("init", &line.to_string());
    }
}
