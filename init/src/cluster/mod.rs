//! The child `cluster`: joins the machine to its cluster, once, and says how it does there from then on.
//!
//! ```text
//! /run/kmimage/cluster.json ─> discovery ─> join ─> files that kubelet joins by ─> (kubelet gets its certificate) ─> watch
//!                              which cluster,  versions, kubelet's         place          machine says what comes next
//!                              really?         settings, the name
//! ```
//! It does what `kubeadm join` does for a worker, without kubeadm: cluster-info by a pinned authority and a signature (or a kubeconfig), the
//! cluster's kubelet-config, a bootstrap kubeconfig, and the clean-up after. A machine that has joined never does so again: it renders kubelet's
//! files from what it kept on `state`, for which it needs nobody. Whatever fails is named with its remedy and tried again.
//!
//! What it says on its standard output, each when it changes:
//! ```text
//! cluster state=joining step=discovery|version|kubelet-config|name     on its way
//! cluster state=refused cause=<word> message=<text> remedy=<text>      that failed; it is tried again
//! cluster kubelet=configured                                           kubelet has all that it reads
//! cluster state=joined                                                 kubelet has its certificate
//! cluster changed=<keys> message=<text>                                the config names another cluster than the one that was joined
//! cluster node=ready|not-ready|missing|unknown [waiting=cni] [reason=<text>] crio=up|down healthz=up|down
//! ```
//! What it doesn't do: it starts no program but `kubelet --version`, joins no control plane, takes no `kubeadm-flags.env`, and fetches the
//! cluster's kubelet-config only when it joins, as kubeadm does.

mod api;
mod arguments;
mod discovery;
pub mod input;
mod join;
mod kubelet_config;
mod machine;
mod node;
mod own;
mod place;
mod record;
pub mod refusal;
mod signature;
#[cfg(test)]
mod stand_in;
mod watch;

pub use discovery::fuzz as fuzz_cluster_info;

use input::Input;
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::clock;
use kubelet_config::Layers;
use machine::{Machine, Task};
use own::Own;
use place::Place;
use record::Record;
use refusal::Refusal;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use watch::Watch;

/// The applet's name.
pub(crate) const APPLET: &str = "cluster";

/// How long to wait where there is nothing to do: until SIGHUP.
const IDLE: Duration = Duration::from_secs(3600);

/// Runs the child; it ends only by an error or a signal. SIGHUP: what it is to do has changed.
pub(crate) fn run(_arguments: &[String]) -> ExitCode {
    kmimage_sys::process::clear_umask();
    let error = match keep() {
        Ok(never) => match never {},
        Err(error) => error,
    };
    log(&error.to_string());
    ExitCode::FAILURE
}

fn keep() -> io::Result<Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut hangup = runtime.block_on(async { signal(SignalKind::hangup()) })?;
    let mut child = Child::new(Place::new(Path::new("/")));
    loop {
        // Outside of the runtime: all of it blocks.
        let pause = child.step();
        let changed = runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(pause) => false,
                _ = hangup.recv() => true,
            }
        });
        if changed {
            child.read_input();
        }
    }
}

/// Who joins, and watches.
struct Child {
    place: Place,
    input: Option<Input>,
    machine: Machine,
    record: Option<Record>,
    watch: Watch,
    /// The step that was said last.
    step: String,
}

impl Child {
    fn new(place: Place) -> Self {
        let record = place.joined();
        let machine = Machine::new(record.is_some());
        let mut child = Self { place, input: None, machine, record, watch: Watch::default(), step: String::new() };
        child.read_input();
        child
    }

    /// Reads what it is to do; the same as before changes nothing.
    fn read_input(&mut self) {
        let read = self.place.read_input().map_err(|error| error.to_string()).and_then(|text| input::read(&text));
        let input = read.unwrap_or_else(|error| {
            log(&format!("{}: {error}", paths::CLUSTER));
            None
        });
        if input != self.input {
            self.input = input;
            self.machine.new_input();
        }
    }

    /// Does what is next; how long to wait before the one after.
    fn step(&mut self) -> Duration {
        let Some(input) = self.input.clone() else { return IDLE };
        let lines = match self.machine.task() {
            Task::Join => {
                let result = self.join(&input);
                self.machine.done(result, clock::since_boot())
            }
            Task::Configure => {
                let result = self.configure_joined(&input);
                self.machine.done(result, clock::since_boot())
            }
            Task::LookForCertificate => {
                let lines = self.machine.looked(self.place.is_certified(), clock::since_boot());
                if self.machine.task() == Task::Watch {
                    self.clean_up();
                }
                lines
            }
            Task::Watch => {
                let line = self.record.as_ref().and_then(|record| self.watch.look(&self.place, record));
                line.as_ref().into_iter().for_each(say);
                return self.watch.pause();
            }
        };
        lines.iter().for_each(say);
        self.machine.pause()
    }

    fn join(&mut self, input: &Input) -> Result<(), Refusal> {
        let own = Own::look()?;
        // An address that is missing is no reason to make a join that kubelet can't go on with.
        arguments::render(&own.node, &input.cluster, &own, "")?;
        let (first, said) = (self.machine.is_first_try(), &mut self.step);
        let mut step = |step: &str| {
            if first && said != step {
                step.clone_into(said);
                say(&StateLine::new("cluster").with("state", "joining").with("step", step));
            }
        };
        // A large program takes its time to say who it is; the cluster is asked meanwhile.
        let joined = std::thread::scope(|scope| {
            let kubelet = scope.spawn(|| own::kubelet_version(paths::KUBELET));
            let version = || {
                let died =
                    |_| Refusal::Machine { what: "asking kubelet for its version".to_owned(), why: "it failed".to_owned() };
                kubelet.join().map_err(died).flatten()
            };
            join::join(&input.cluster.discovery, &own, version, &mut step)
        })?;
        let authority: String = joined.access.authorities.iter().map(|certificate| certificate.pem.as_str()).collect();
        self.configure(&joined.record, input, &own)?;
        self.place.write_join(&joined.record, &authority, joined.access.render().reveal())?;
        self.record = Some(joined.record);
        Ok(())
    }

    /// A machine that has joined in an earlier boot: what the config says of another cluster is reported.
    fn configure_joined(&mut self, input: &Input) -> Result<(), Refusal> {
        let Some(record) = self.record.clone() else { return Ok(()) };
        let own = Own::look()?;
        self.configure(&record, input, &own)?;
        self.clean_up();
        let changed = record.changed(&input.cluster.discovery, &own.node);
        if !changed.is_empty() {
            let message = format!("this machine has joined {} as {}, and stays there", record.server, record.node);
            say(&StateLine::new("cluster").with("changed", changed.join(",")).with("message", message));
        }
        Ok(())
    }

    /// Writes what kubelet reads.
    fn configure(&self, record: &Record, input: &Input, own: &Own) -> Result<(), Refusal> {
        let (config, overrides) = kubelet_config::merge(&Layers {
            memory: own.memory,
            cluster: &record.kubelet_config,
            machine: &input.kubelet,
            provider_id: input.cluster.provider_id.as_deref(),
        });
        for each in overrides {
            log(&format!("kubelet's {}: {} by the {} ({} before)", each.key, each.now, each.by, each.was));
        }
        let text = format!("{config:#}\n");
        let arguments = arguments::render(&record.node, &input.cluster, own, &record::digest(text.as_bytes()))?;
        self.place.write_kubelet(&text, &arguments)
    }

    fn clean_up(&self) {
        if let Err(refusal) = self.place.forget_bootstrap() {
            log(&refusal.to_string());
        }
    }
}

/// To process 1.
fn say(line: &StateLine) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// For the log: standard error. Nobody may be listening.
fn log(text: &str) {
    let _ = writeln!(io::stderr(), "cluster: {text}");
}
