//! The hands of the service machine: starts, signals, reads and reaps what the machine says, and tells it what happened.

mod telling;

use super::cgroups::Cgroups;
use super::logs::Logs;
use super::machine::{Action, Event, Machine, State};
use super::probe;
use super::stream::Stream;
use super::unit::{Readiness, Unit};
use kmimage_contract::state_line::StateLine;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::process::{self, Exit, Tell};
use kmimage_sys::spawn::{self, Program};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The unit that writes logs to disk: it gets every line on its standard input.
pub const LOG_FILES: &str = "log-files";

/// How long a program that looks whether a unit is ready may take.
const PROBE: Duration = Duration::from_secs(5);
/// How long a unit's end may take beyond what it is given to end by itself.
const STOPPED: Duration = Duration::from_secs(8);
/// How often it is looked at whether log lines are taken again, and whether what was killed is gone.
const ROUND: Duration = Duration::from_millis(100);

/// Runs units.
#[derive(Debug)]
pub struct Supervisor {
    machine: Machine,
    begin: Instant,
    children: BTreeMap<u32, Child>,
    streams: Vec<(Source, Stream)>,
    cgroups: Option<Cgroups>,
    /// How often the kernel had ended something for want of memory when the unit was started last.
    memory_kills: BTreeMap<String, u64>,
    logs: Logs,
    heard: Vec<Heard>,
    /// The latest line about each unit.
    told: BTreeMap<String, StateLine>,
}

/// What process 1 should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A built-in unit says something about its work.
    Line {
        /// Which.
        unit: String,
        /// What.
        line: StateLine,
    },
    /// A unit's own state has changed: a line `service`.
    Service {
        /// Which.
        unit: String,
        /// Its state.
        line: StateLine,
    },
}

#[derive(Debug)]
enum Child {
    /// A unit's main process.
    Main { unit: String },
    /// A look whether a unit is ready.
    Probe { unit: String, main: u32, until: Duration },
}

#[derive(Debug)]
struct Source {
    unit: String,
    pid: u32,
    /// Whether lines are state lines for process 1.
    speaks: bool,
}

impl Supervisor {
    /// A supervisor without units. Without control groups units are killed by their process group only.
    pub fn new(cgroups: Option<Cgroups>) -> Self {
        Self {
            machine: Machine::default(),
            begin: Instant::now(),
            children: BTreeMap::new(),
            streams: Vec::new(),
            cgroups,
            memory_kills: BTreeMap::new(),
            logs: Logs::default(),
            heard: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// From now on these units are to run, and no others.
    pub fn want(&mut self, units: BTreeMap<String, Unit>) {
        self.step(Event::Units(units));
    }

    /// A condition holds, or doesn't any more.
    pub fn set_condition(&mut self, name: &str, holds: bool) {
        self.step(Event::Condition { name: name.to_owned(), holds });
    }

    /// A unit is to read its input again.
    pub fn reload(&mut self, unit: &str) {
        self.step(Event::Reload { unit: unit.to_owned() });
    }

    /// Everything is to end.
    pub fn shut_down(&mut self) {
        self.step(Event::ShutDown);
    }

    /// How long it can take until nothing runs any more, once everything is to end.
    pub fn longest_stop(&self) -> Duration {
        let stops = self.machine.names().filter_map(|name| self.machine.unit(name)).map(|unit| unit.stop_within + STOPPED);
        stops.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Whether nothing runs any more.
    pub fn is_at_rest(&self) -> bool {
        self.machine.is_at_rest()
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Puts a line of process 1's own into a log.
    pub fn log(&mut self, name: &str, line: &str) {
        self.logs.add(name, line);
    }

    /// The latest lines that a unit has written, the oldest first.
    pub fn recent_log(&self, unit: &str) -> impl Iterator<Item = &str> {
        self.logs.recent(unit)
    }

    /// The latest state line of every unit.
    pub fn lines(&self) -> impl Iterator<Item = &StateLine> {
        self.told.values()
    }

    /// What to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.iter().filter_map(|(_, stream)| stream.descriptor())
    }

    /// How long to wait at most. `None`: until something happens.
    pub fn patience(&self) -> Option<Duration> {
        let now = self.now();
        let clearing = self.machine.names().any(|name| matches!(self.machine.state(name), Some(State::Clearing { .. })));
        let round = (clearing || self.logs.is_waiting()).then(|| now + ROUND);
        let probes = self.children.values().filter_map(|child| match child {
            Child::Probe { until, .. } => Some(*until),
            Child::Main { .. } => None,
        });
        let streams = self.streams.iter().filter_map(|(_, stream)| stream.deadline());
        let deadline = self.machine.deadline().into_iter().chain(round).chain(probes).chain(streams).min();
        deadline.map(|deadline| deadline.saturating_sub(now))
    }

    /// One turn: reads what was written, reaps what has ended, does what is due. Returns what process 1 should know. Takes a bounded
    /// time, whatever the units do.
    pub fn turn(&mut self) -> io::Result<Vec<Heard>> {
        self.read_streams();
        while let Some((pid, exit)) = process::reap()? {
            self.ended(pid, exit);
        }
        self.look_for_empty();
        self.end_late_probes();
        self.step(Event::Tick);
        self.logs.flush();
        Ok(std::mem::take(&mut self.heard))
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn step(&mut self, event: Event) {
        let now = self.now();
        let mut actions = self.machine.step(event, now);
        // An action has an answer that may lead to further actions. What has changed is told before what follows from it; of a unit that
        // is being started, only what comes of that.
        while !actions.is_empty() {
            let starting = |name: &str| actions.iter().any(|action| matches!(action, Action::Start { unit } if unit == name));
            let names = self.machine.names().filter(|name| !starting(name)).map(str::to_owned).collect();
            self.tell_changes(names);
            let answers: Vec<Event> = actions.drain(..).filter_map(|action| self.act(action)).collect();
            actions = answers.into_iter().flat_map(|answer| self.machine.step(answer, now)).collect();
        }
        self.tell_changes(self.machine.names().map(str::to_owned).collect());
        self.tell_removals();
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Start { unit } => Some(match self.start(&unit) {
                Ok(pid) => Event::Started { unit, pid },
                Err(error) => Event::NotStarted { error: error.to_string(), unit },
            }),
            Action::Tell { pid, what } => {
                // The process is ours until it is reaped; one that has just ended takes no signal, and that is all right.
                let _ = process::tell(pid, what);
                None
            }
            Action::KillAll { unit } => {
                self.kill_all(&unit);
                None
            }
            Action::Probe { unit, pid } => self.probe(unit, pid),
        }
    }

    fn start(&mut self, name: &str) -> io::Result<u32> {
        let unit = self.machine.unit(name).ok_or(io::ErrorKind::NotFound)?.clone();
        let cgroup = self.cgroups.as_ref().map(|cgroups| cgroups.make(name, &unit.memory)).transpose()?;
        let kills = self.cgroups.as_ref().map_or(0, |cgroups| cgroups.memory_kills(name));
        let input = name == LOG_FILES;
        let started = spawn::start(&Program { input, ..program(&unit, cgroup) })?;
        let now = self.now();
        let source = |speaks| Source { unit: name.to_owned(), pid: started.pid, speaks };
        self.streams.extend(started.output.map(|pipe| (source(unit.built_in), Stream::new(pipe, now))));
        self.streams.extend(started.errors.map(|pipe| (source(false), Stream::new(pipe, now))));
        if input {
            self.logs.write_to(started.input);
        }
        self.memory_kills.insert(name.to_owned(), kills);
        self.children.insert(started.pid, Child::Main { unit: name.to_owned() });
        Ok(started.pid)
    }

    /// Kills a unit's group; without one, what is left of its process group.
    fn kill_all(&mut self, unit: &str) {
        let killed = match &self.cgroups {
            Some(cgroups) => cgroups.kill(unit),
            None => match self.machine.state(unit).and_then(|state| state.pid()) {
                Some(pid) => process::tell_group(pid, Tell::Die).map(drop),
                None => Ok(()),
            },
        };
        if let Err(error) = killed {
            kernel_log::write(Level::Warning, &format!("kmimage-init: killing the service {unit}: {error}"));
        }
    }

    /// Looks whether a unit is ready: at once, or through a program whose end is the answer.
    fn probe(&mut self, unit: String, pid: u32) -> Option<Event> {
        let running = self.children.values().any(|child| matches!(child, Child::Probe { main, .. } if *main == pid));
        let readiness = self.machine.unit(&unit).map(|unit| unit.readiness.clone())?;
        let answer = match readiness {
            Readiness::Socket(path) => Some(probe::takes_connections(&path)),
            Readiness::Http { .. } | Readiness::Exec(_) if running => None,
            Readiness::Http { .. } | Readiness::Exec(_) => match self.start_probe(&unit, pid, &readiness) {
                Ok(()) => None,
                Err(_) => Some(false),
            },
            Readiness::Started | Readiness::Condition(_) => None,
        };
        answer.map(|ready| Event::Probed { unit, pid, ready })
    }

    fn start_probe(&mut self, name: &str, main: u32, readiness: &Readiness) -> io::Result<()> {
        let unit = self.machine.unit(name).ok_or(io::ErrorKind::NotFound)?.clone();
        let cgroup = self.cgroups.as_ref().map(|cgroups| cgroups.make(name, &unit.memory)).transpose()?;
        let (path, arguments) = probe::command(readiness).ok_or(io::ErrorKind::InvalidInput)?;
        let started = spawn::start(&Program { path, arguments, quiet: true, ..program(&unit, cgroup) })?;
        self.children.insert(started.pid, Child::Probe { unit: name.to_owned(), main, until: self.now() + PROBE });
        Ok(())
    }

    fn end_late_probes(&mut self) {
        let now = self.now();
        for (pid, child) in &self.children {
            if matches!(child, Child::Probe { until, .. } if now >= *until) {
                let _ = process::tell(*pid, Tell::Die);
            }
        }
    }

    fn read_streams(&mut self) {
        let now = self.now();
        let mut streams = std::mem::take(&mut self.streams);
        streams.retain_mut(|(source, stream)| {
            let (lines, more) = stream.read(now);
            lines.into_iter().for_each(|line| self.line(source, &line));
            more
        });
        self.streams = streams;
    }

    /// Reads what an ended process has left in its pipes: a child's last word comes before its end.
    fn read_rest(&mut self, pid: u32) {
        let now = self.now();
        let mut streams = std::mem::take(&mut self.streams);
        streams.retain_mut(|(source, stream)| {
            // A pipe holds 64 KiB, unless somebody still writes to it.
            for _ in 0..if source.pid == pid { 8 } else { 0 } {
                let (lines, more) = stream.read(now);
                lines.into_iter().for_each(|line| self.line(source, &line));
                if !more {
                    return false;
                }
            }
            true
        });
        self.streams = streams;
    }

    fn line(&mut self, source: &Source, line: &str) {
        if source.speaks
            && let Ok(line) = StateLine::parse(line)
        {
            self.heard.push(Heard::Line { unit: source.unit.clone(), line });
        } else {
            self.logs.add(&source.unit, line);
        }
    }

    fn ended(&mut self, pid: u32, exit: Exit) {
        match self.children.remove(&pid) {
            // An orphan of some unit: nobody waits for it.
            None => {}
            Some(Child::Probe { unit, main, .. }) => {
                self.step(Event::Probed { unit, pid: main, ready: exit.is_success() });
            }
            Some(Child::Main { unit }) => {
                self.read_rest(pid);
                let kills = self.cgroups.as_ref().map_or(0, |cgroups| cgroups.memory_kills(&unit));
                let out_of_memory = kills > self.memory_kills.get(&unit).copied().unwrap_or(0);
                if self.cgroups.is_none() {
                    // The group's leader is reaped, but as long as the group has members its number is nobody else's.
                    let _ = process::tell_group(pid, Tell::Die);
                }
                self.step(Event::Ended { unit, pid, exit, out_of_memory });
            }
        }
    }

    fn look_for_empty(&mut self) {
        let clearing = |name: &&str| matches!(self.machine.state(name), Some(State::Clearing { .. }));
        let is_empty = |name: &&str| self.cgroups.as_ref().is_none_or(|cgroups| cgroups.is_empty(name));
        let empty: Vec<String> = self.machine.names().filter(clearing).filter(is_empty).map(str::to_owned).collect();
        for unit in empty {
            self.step(Event::Empty { unit });
        }
    }
}

fn program(unit: &Unit, cgroup: Option<PathBuf>) -> Program {
    Program {
        arguments: unit.arguments.clone(),
        environment: unit.environment.clone(),
        cgroup,
        oom_score: unit.oom_score,
        capabilities: unit.capabilities,
        no_new_privileges: unit.no_new_privileges,
        ..Program::new(&unit.path)
    }
}
