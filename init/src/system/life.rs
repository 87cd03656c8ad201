//! The loop of process 1: from the first child to the end of the run.

mod speech;

use super::boot::{Boot, Config, Effect, Found, Standing};
use super::budget::Budget;
use super::power_keys::PowerKeys;
use super::shutdown::{self, End};
use super::{SystemError, proof};
use crate::console::Consoles;
use crate::install::APPLET as INSTALL;
use crate::reconcile::{self, APPLET as APPLY, WITH_CONFIG};
use crate::services::{Additions, GENERATION, Heard, Stage, State, Supervisor, Unit, built_in, image_services, is_there};
use crate::{failure, watchdog};
use kmimage_contract::release::Release;
use kmimage_contract::state_line::{Ready, StateLine};
use kmimage_contract::{RootHash, paths};
use kmimage_sys::poll;
use kmimage_sys::signals::{Signal, Signals};
use kmimage_sys::uevent::{Received, UeventSocket};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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
    /// What children read, as it was when they were told last.
    inputs: BTreeMap<&'static str, String>,
    /// The name that the network has for the machine, and whether nobody else has one.
    name: (Option<String>, bool),
    /// Where the machine stands, since when, and whether that has been said.
    standing: Option<(Standing, Instant, bool)>,
    /// Where the config was from when the machine said last that it is ready.
    ready_with: Option<String>,
    /// What each unit may still say on the consoles.
    budgets: BTreeMap<String, Budget>,
    /// The end that is on its way.
    ending: Option<End>,
}

impl Life {
    pub(super) fn new(release: Release, root_hash: RootHash, consoles: Consoles, supervisor: Supervisor) -> Self {
        let boot = Boot::new(&release.role, is_there).joining(Path::new(paths::KUBELET).exists());
        Self {
            release,
            root_hash,
            consoles,
            supervisor,
            boot,
            stages: vec![Stage::Facts],
            services: BTreeMap::new(),
            inputs: BTreeMap::new(),
            name: (None, false),
            standing: None,
            ready_with: None,
            budgets: BTreeMap::new(),
            ending: None,
        }
    }

    /// A watchdog runs as soon as there is one.
    fn look_for_watchdog(&mut self) {
        if let Some(line) = watchdog::look() {
            self.say(&line);
        }
    }

    /// Starts the first children. Others follow as soon as what they need is known.
    pub(super) fn begin(&mut self) {
        self.look_for_watchdog();
        self.services = self.read_services();
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
        crate::fault::strike(self.ready_with.is_some()).map_err(SystemError::Events)?;
        for heard in self.supervisor.turn().map_err(SystemError::Events)? {
            match heard {
                Heard::Line { unit, line } => self.hear(&unit, &line),
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

    fn hear(&mut self, unit: &str, line: &StateLine) {
        self.say_within_budget(unit, line);
        let before = self.boot.clone();
        let effects = self.boot.hear(line);
        self.say_phases(&before);
        for effect in effects {
            match effect {
                // Who installs keeps back whatever waits for the config: services, the cluster.
                Effect::Condition("applied", true) if self.boot.installs() => {}
                Effect::Condition(name, holds) => {
                    self.supervisor.set_condition(name, holds);
                    if (name, holds) == ("applied", true) {
                        self.etc_has_changed();
                    }
                }
                Effect::ServicesChanged => {
                    self.services = self.read_services();
                    self.want();
                }
                Effect::Configure => self.configure(),
                Effect::InputsWritten { nameless } => {
                    self.name.1 = nameless;
                    self.take_name();
                    self.inputs_written();
                }
                Effect::NameFromNetwork(name) => {
                    self.name.0 = Some(name);
                    self.take_name();
                }
                Effect::NothingToInstall => {
                    self.inputs_written();
                    if self.boot.applied == Found::Good {
                        self.supervisor.set_condition("applied", true);
                        self.etc_has_changed();
                    }
                }
                Effect::NetworkFirst => self.add_stage(Stage::Network),
                Effect::End { restart, reason } => self.end(if restart { End::Restart } else { End::PowerOff }, &reason),
            }
        }
    }

    /// Has the machine made what its config says. What children read is written first, and they start then.
    fn configure(&mut self) {
        if is_there(APPLY) {
            self.add_stage(Stage::Apply);
        } else {
            self.boot.applied = Found::Good;
        }
        self.want();
    }

    /// What children read is there: those that read something else than before read it again.
    fn inputs_written(&mut self) {
        let children = [
            ("network", paths::NETWORK),
            ("time", paths::TIME),
            ("log", paths::LOG),
            ("cluster", paths::CLUSTER),
            ("", paths::INSTALL),
            ("", paths::VOLUMES),
            ("", paths::UNITS),
            ("", paths::PROXIES),
        ];
        let mut changed = Vec::new();
        for (child, path) in children {
            let text = std::fs::read_to_string(Path::new(path)).unwrap_or_default();
            if self.inputs.get(path) != Some(&text) {
                self.inputs.insert(path, text);
                changed.push(child);
            }
        }
        let given = |path: &str, none: &str| self.inputs.get(path).is_some_and(|text| !text.is_empty() && !text.contains(none));
        let said = |path: &str| self.inputs.get(path).is_some_and(|text| !matches!(text.trim(), "" | "null"));
        let (cluster, install) = (said(paths::CLUSTER), said(paths::INSTALL));
        let cluster = self.boot.cluster_is_named(cluster);
        let install = self.boot.install_is_wanted(install);
        let stages = [
            (Stage::Network, true),
            (Stage::Cluster, cluster),
            (Stage::Applied, true),
            (Stage::Log, given(paths::LOG, "\"receiver\":null")),
            (Stage::Install, install),
            // A disk that is to be a volume could be the one that is installed on.
            (Stage::Volumes, given(paths::VOLUMES, "[]") && !install),
        ];
        for (stage, wanted) in stages {
            self.stages.retain(|known| *known != stage);
            self.stages.extend(wanted.then_some(stage));
        }
        self.services = self.read_services();
        // One that doesn't run yet reads it anyway when it starts.
        for child in changed.into_iter().filter(|child| !child.is_empty()) {
            self.supervisor.reload(child);
        }
        self.want();
    }

    /// The image's services and the config's. Whoever has a name first keeps it.
    fn read_services(&mut self) -> BTreeMap<String, Unit> {
        let mut services = image_services(&self.additions()).unwrap_or_else(|error| {
            self.say(&StateLine::new("odd").with("what", "the image's services").with("message", failure::chain(&error)));
            BTreeMap::new()
        });
        let text = self.inputs.get(paths::UNITS).map_or("{}", String::as_str);
        let own: BTreeMap<String, Unit> = serde_json::from_str(text).unwrap_or_else(|error| {
            self.say(&StateLine::new("odd").with("what", paths::UNITS).with("message", error));
            BTreeMap::new()
        });
        for (name, unit) in own {
            match services.entry(name) {
                Entry::Vacant(free) => drop(free.insert(unit)),
                Entry::Occupied(taken) => {
                    let line = StateLine::new("ignored").with("service", taken.key());
                    self.say(&line.with("reason", "the image has a service of this name"));
                }
            }
        }
        services
    }

    /// What this machine's config means for the image's services.
    fn additions(&self) -> Additions {
        let proxies = self.inputs.get(paths::PROXIES).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        // Who waits for the config waits for the disks that it names.
        let volumes = self.stages.contains(&Stage::Volumes).then(|| "volumes".to_owned());
        Additions { with_applied: volumes.into_iter().collect(), proxies }
    }

    /// Tells those services that read /etc anew while they run. One that isn't ready may not listen to signals yet.
    fn etc_has_changed(&mut self) {
        let machine = self.supervisor.machine();
        let listens = |name: &str| matches!(machine.state(name), Some(State::Running { .. }));
        let reloading = self.services.iter().filter(|(name, unit)| unit.reloads && listens(name));
        for name in reloading.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.supervisor.reload(&name);
        }
    }

    /// Takes the network's name for the machine, if nobody else has one.
    fn take_name(&mut self) {
        if let (Some(name), true) = &self.name
            && let Err(error) = reconcile::set_hostname(name)
        {
            let line = StateLine::new("odd").with("what", "hostname").with("message", failure::chain(&error));
            self.say(&line);
        }
    }

    fn add_stage(&mut self, stage: Stage) {
        if !self.stages.contains(&stage) {
            self.stages.push(stage);
            self.want();
        }
    }

    fn want(&mut self) {
        let mut units = built_in(&self.stages);
        if let Some(apply) = units.get_mut(APPLY) {
            apply.environment.push((GENERATION.to_owned(), self.boot.generation.to_string()));
            let with_config = matches!(self.boot.config, Config::Taken { .. });
            apply.arguments.extend(with_config.then(|| WITH_CONFIG.to_owned()));
        }
        if let Some(volumes) = units.get_mut("volumes") {
            volumes.environment.push((GENERATION.to_owned(), self.inputs.get(paths::VOLUMES).cloned().unwrap_or_default()));
        }
        if let Some(install) = units.get_mut(INSTALL) {
            install.environment.push((GENERATION.to_owned(), self.inputs.get(paths::INSTALL).cloned().unwrap_or_default()));
        }
        units.extend(self.services.clone());
        self.supervisor.want(units);
    }

    /// Looks where the machine stands, and says what is new about that.
    fn judge(&mut self) -> Result<(), SystemError> {
        let machine = self.supervisor.machine();
        // A further disk that the config names is part of what the machine is for.
        let volumes = self.stages.contains(&Stage::Volumes).then_some("volumes");
        let wanted = self.services.keys().map(String::as_str).chain(volumes);
        let unready: Vec<&str> = wanted.filter(|name| !machine.holds(name)).collect();
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
        let (mut said_now, mut stages) = (None, Vec::new());
        match standing {
            Standing::Waiting { .. } if since.elapsed() < BOUND => return Ok(()),
            Standing::Waiting { what, detail } => {
                let line = StateLine::new("waiting").with("for", what);
                said_now = Some(if detail.is_empty() { line } else { line.with("reason", &detail) });
            }
            Standing::Maintenance { reason } => said_now = Some(StateLine::new("maintenance").with("reason", reason)),
            Standing::Ready if self.ready_with.as_deref() == Some(self.boot.config_source()) => {}
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
                // For children: this boot is proven.
                let _ = std::fs::write(Path::new(paths::READY), format!("{line}\n"));
                said_now = Some(line);
                self.ready_with = Some(self.boot.config_source().to_owned());
                stages.push(Stage::Ready);
                if matches!(self.boot.config, Config::Taken { .. }) {
                    stages.push(Stage::ReadyWithConfig);
                }
            }
        }
        *said = true;
        if let Some(line) = said_now {
            self.say(&line);
        }
        stages.into_iter().for_each(|stage| self.add_stage(stage));
        Ok(())
    }

    /// Begins the way down, once.
    fn end(&mut self, end: End, reason: &str) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(end);
        self.say(&StateLine::new(end.word()).with("reason", reason));
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
