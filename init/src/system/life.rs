//! The loop of process 1: from the first child to the end of the run.

use super::boot::{Boot, Config, Effect, Found, Standing};
use super::power_keys::PowerKeys;
use super::shutdown::{self, End};
use super::{SystemError, proof};
use crate::console::Consoles;
use crate::services::{Heard, Stage, Supervisor, Unit, built_in, image_services, is_there};
use crate::watchdog;
use kmimage_contract::release::Release;
use kmimage_contract::state_line::{Ready, StateLine};
use kmimage_contract::{RootHash, paths};
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::signals::{Signal, Signals};
use kmimage_sys::uevent::{Received, UeventSocket};
use kmimage_sys::{clock, poll};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the machine may wait for one thing before it says so.
const BOUND: Duration = Duration::from_secs(30);
/// How many announcements of devices are read in one turn.
const AT_ONCE: usize = 256;

/// Process 1, as long as it lives.
pub(super) struct Life {
    release: Release,
    root_hash: RootHash,
    consoles: Consoles,
    supervisor: Supervisor,
    boot: Boot,
    /// Which built-in children are wanted.
    stages: Vec<Stage>,
    /// The services of the image and the config.
    services: BTreeMap<String, Unit>,
    /// Where the machine stands, since when, and whether that has been said.
    standing: Option<(Standing, Instant, bool)>,
    was_ready: bool,
    /// The end that is on its way.
    ending: Option<End>,
}

impl Life {
    pub(super) fn new(release: Release, root_hash: RootHash, consoles: Consoles, supervisor: Supervisor) -> Self {
        let boot = Boot::new(&release.role, is_there);
        Self {
            release,
            root_hash,
            consoles,
            supervisor,
            boot,
            stages: vec![Stage::Facts],
            services: BTreeMap::new(),
            standing: None,
            was_ready: false,
            ending: None,
        }
    }

    /// A watchdog runs as soon as there is one.
    fn look_for_watchdog(&mut self) {
        if let Some(line) = watchdog::look() {
            self.consoles.say(&line);
        }
    }

    /// Starts the first children. Others follow as soon as what they need is known.
    pub(super) fn begin(&mut self) {
        self.look_for_watchdog();
        self.want();
        // Without a child that looks for one there is no config, and that is known at once.
        if self.boot.config != Config::Unknown {
            self.configure();
        }
    }

    /// Lives until the run ends.
    pub(super) fn live(
        &mut self,
        mut signals: Signals,
        events: &UeventSocket,
        mut keys: PowerKeys,
    ) -> Result<Infallible, SystemError> {
        loop {
            self.turn()?;
            self.wait(&signals, events, &keys).map_err(SystemError::Events)?;
            while let Some(signal) = signals.take().map_err(SystemError::Events)? {
                match signal {
                    // Every turn looks for children that have ended.
                    Signal::Child => {}
                    Signal::Interrupt => self.end(End::Restart, "ctrl-alt-del"),
                    Signal::Terminate => self.end(End::PowerOff, "signal"),
                }
            }
            let came = device_came(events).map_err(SystemError::Events)?;
            if keys.pressed() {
                self.end(End::PowerOff, "power-button");
            }
            // Only now: `pressed` lets go of a button that has gone, and one that came back under its name is a new one.
            if came {
                keys.look();
                self.look_for_watchdog();
            }
        }
    }

    fn wait(&self, signals: &Signals, events: &UeventSocket, keys: &PowerKeys) -> io::Result<()> {
        let own: [BorrowedFd<'_>; 2] = [signals.as_fd(), events.as_fd()];
        let descriptors: Vec<BorrowedFd<'_>> =
            own.into_iter().chain(keys.descriptors()).chain(self.supervisor.descriptors()).collect();
        let bound =
            self.standing.as_ref().filter(|(_, _, said)| !said).map(|(_, since, _)| BOUND.saturating_sub(since.elapsed()));
        let patience = self.supervisor.patience().into_iter().chain(bound).chain(watchdog::patience()).min();
        poll::readable(&descriptors, patience).map(drop)
    }

    /// Everything that is due.
    fn turn(&mut self) -> Result<(), SystemError> {
        watchdog::feed();
        #[cfg(feature = "fault-injection")]
        crate::fault::strike(self.was_ready).map_err(SystemError::Events)?;
        for heard in self.supervisor.turn().map_err(SystemError::Events)? {
            match heard {
                Heard::Line { line, .. } => self.hear(&line),
                Heard::Service { unit, line } => self.say_service(&unit, &line),
            }
        }
        if let Some(end) = self.ending {
            if self.supervisor.is_at_rest() {
                shutdown::finish(end);
            }
            return Ok(());
        }
        self.judge()
    }

    fn hear(&mut self, line: &StateLine) {
        self.consoles.say(line);
        let before = self.boot.clone();
        let effects = self.boot.hear(line);
        self.say_phases(&before);
        for effect in effects {
            match effect {
                Effect::Condition(name, holds) => self.supervisor.set_condition(name, holds),
                Effect::Configure => self.configure(),
                Effect::NetworkFirst => self.start_network(),
                Effect::End { restart, reason } => self.end(if restart { End::Restart } else { End::PowerOff }, &reason),
            }
        }
    }

    /// Makes the machine what its config says.
    fn configure(&mut self) {
        let before = self.boot.clone();
        self.start_network();
        self.services = image_services();
        if !self.stages.contains(&Stage::Applied) {
            self.stages.push(Stage::Applied);
        }
        self.boot.applied = Found::Good;
        self.want();
        self.say_phases(&before);
    }

    fn start_network(&mut self) {
        if !self.stages.contains(&Stage::Network) {
            self.stages.push(Stage::Network);
            self.want();
        }
    }

    fn want(&mut self) {
        let mut units = built_in(&self.stages);
        units.extend(self.services.clone());
        self.supervisor.want(units);
    }

    /// Looks where the machine stands, and says what is new about that.
    fn judge(&mut self) -> Result<(), SystemError> {
        let machine = self.supervisor.machine();
        let unready: Vec<&str> = self.services.keys().map(String::as_str).filter(|name| !machine.holds(name)).collect();
        let standing = self.boot.standing(&unready);
        if self.standing.as_ref().is_none_or(|(known, _, _)| *known != standing) {
            let since = match &self.standing {
                // Only the detail is new: it goes on being the same wait.
                Some((Standing::Waiting { what: known, .. }, since, _)) if matches!(&standing, Standing::Waiting { what, .. } if what == known) => {
                    *since
                }
                _ => Instant::now(),
            };
            self.standing = Some((standing, since, false));
        }
        let Some((standing, since, said)) = &mut self.standing else { return Ok(()) };
        if *said {
            return Ok(());
        }
        match standing {
            Standing::Waiting { .. } if since.elapsed() < BOUND => return Ok(()),
            Standing::Waiting { what, detail } => {
                let line = StateLine::new("waiting").with("for", &what);
                self.consoles.say(&if detail.is_empty() { line } else { line.with("reason", &detail) });
            }
            Standing::Maintenance { reason } => self.consoles.say(&StateLine::new("maintenance").with("reason", &reason)),
            Standing::Ready if self.was_ready => {}
            Standing::Ready => {
                let slot = proof::slot_of_verified_root(&self.root_hash)?;
                let ready = Ready {
                    role: self.release.role.clone(),
                    version: self.release.version.clone(),
                    slot,
                    root_hash: self.root_hash,
                    config: self.boot.config_source().to_owned(),
                };
                let line = ready.line();
                // In memory: who has to know that this boot is proven looks there.
                let _ = std::fs::write(Path::new(paths::READY), format!("{line}\n"));
                self.consoles.say(&line);
                self.was_ready = true;
            }
        }
        *said = true;
        Ok(())
    }

    /// Says which parts of the machine have become what they should be, or failed.
    fn say_phases(&mut self, before: &Boot) {
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
                self.consoles.say(&line.with("at", format!("{:.3}", clock::since_boot().as_secs_f64())));
            }
        }
    }

    /// What services do is said; of the built-in children only what is wrong with them.
    fn say_service(&mut self, unit: &str, line: &StateLine) {
        let built_in = self.supervisor.machine().unit(unit).is_none_or(|unit| unit.built_in);
        if !built_in || line.get("state") == Some("back-off") {
            self.consoles.say(line);
        } else {
            kernel_log::write(Level::Debug, &line.to_string());
        }
    }

    /// Begins the way down, once.
    fn end(&mut self, end: End, reason: &str) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(end);
        self.consoles.say(&StateLine::new(end.word()).with("reason", reason));
        shutdown::end_at_last(end, self.supervisor.longest_stop() + shutdown::FINISH);
        self.supervisor.shut_down();
    }
}

/// Reads the announcements that are there, up to a bound; whether one could be about a new power button or watchdog.
fn device_came(events: &UeventSocket) -> io::Result<bool> {
    let mut came = false;
    for _ in 0..AT_ONCE {
        match events.receive()? {
            Received::Event(event) => {
                came |= matches!(event.get("SUBSYSTEM"), "input" | "watchdog") && event.get("ACTION") == "add"
            }
            Received::Lost => came = true,
            Received::Nothing => break,
        }
    }
    Ok(came)
}
