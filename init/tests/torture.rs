//! Services that misbehave, against the real supervisor as process 1 of a PID namespace of its own: without a virtual machine, so it
//! can be done often. With root there are control groups (cgroup2) as on a machine; without, what leaves its process group lives on
//! until the namespace ends, and only a machine (qemu-tests) shows that it doesn't.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]
#![allow(clippy::print_stdout, reason = "figures for docs/reliability.md")]

use kmimage_init::services::cgroups::Cgroups;
use kmimage_init::services::{Readiness, Restart, State, Supervisor, Unit};
use kmimage_sys::process::{self, Tell};
use kmimage_sys::{mount, poll};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Says to the second process that it is the one inside.
const INSIDE: &str = "KMIMAGE_TORTURE_INSIDE";
/// The pauses that the services have.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));
/// How much later than its pause a service may be back on a loaded host.
const SLACK: Duration = Duration::from_millis(1500);

#[test]
#[expect(clippy::disallowed_methods, reason = "the test in its own namespaces")]
fn tools_services_that_misbehave_are_kept_in_order() {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let root = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() == 0;
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount", "--mount-proc", "--kill-child"]);
    if !root {
        unshare.args(["--user", "--map-root-user"]);
    }
    let status = unshare
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inside_as_process_1", "--nocapture", "--test-threads=1"])
        .env(INSIDE, if root { "cgroups" } else { "alone" })
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// What [`tools_services_that_misbehave_are_kept_in_order`] starts again; by itself it is nothing.
#[test]
fn inside_as_process_1() {
    let Ok(how) = std::env::var(INSIDE) else { return };
    assert_eq!(process::own_id(), 1);
    let cgroups = Hierarchy::mount(how == "cgroups");
    let mut bench = Bench::new(cgroups.open());
    bench.torture(cgroups.root.is_some());
    bench.ends_in_order();
    drop(bench);
    drop(cgroups);
}

/// A part of the control groups for this test alone.
struct Hierarchy {
    root: Option<PathBuf>,
}

impl Hierarchy {
    fn mount(wanted: bool) -> Self {
        if !wanted {
            return Self { root: None };
        }
        let at = std::env::temp_dir().join(format!("kmimage-torture-{}", std::process::id()));
        fs::create_dir_all(&at).unwrap();
        mount::mount("cgroup2", &at, "cgroup2", mount::Restrictions::default(), "").unwrap();
        let root = at.join("kmimage-torture");
        fs::create_dir_all(&root).unwrap();
        Self { root: Some(root) }
    }

    fn open(&self) -> Option<Cgroups> {
        self.root.as_deref().map(|root| Cgroups::open(root).unwrap())
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        let Some(root) = &self.root else { return };
        fs::write(root.parent().unwrap().join("cgroup.procs"), "0").unwrap();
        let remove = |path: &Path| {
            for entry in fs::read_dir(path).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
                fs::remove_dir(entry.path()).unwrap();
            }
            fs::remove_dir(path).unwrap();
        };
        remove(&root.join("services"));
        remove(root);
    }
}

fn shell(words: &str) -> Unit {
    let restart = Restart { minimum: PAUSE.0, maximum: PAUSE.1, healthy_after: Duration::from_secs(3600) };
    Unit {
        environment: vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())],
        restart,
        stop_within: Duration::from_millis(300),
        ..Unit::lasting("/bin/sh", &["-c", words])
    }
}

/// The services, each a way to misbehave.
fn services(marks: &Path) -> BTreeMap<String, Unit> {
    let socket = marks.join("never");
    let list = [
        ("well", shell("exec sleep 100000")),
        ("exits", shell("exit 3")),
        ("stubborn", shell("trap '' TERM HUP INT; while :; do sleep 1; done")),
        ("daemons", shell("setsid sleep 200001 & setsid sleep 200001 & exec sleep 100000")),
        ("flood", shell("exec yes flooding the log with a line that is not very short")),
        ("endless-line", shell("exec cat /dev/zero")),
        ("hungry", shell("ulimit -v 60000; exec tail /dev/zero")),
        ("never-ready", Unit { readiness: Readiness::Socket(socket), ..shell("exec sleep 100000") }),
        ("no-program", Unit { path: "/no/such/program".into(), ..shell("") }),
        ("needs-it", Unit { needs: vec!["well".to_owned()], ..shell("exec sleep 100000") }),
    ];
    list.into_iter().map(|(name, unit)| (name.to_owned(), unit)).collect()
}

struct Bench {
    supervisor: Supervisor,
    /// The longest that a single turn took.
    longest_turn: Duration,
}

impl Bench {
    fn new(cgroups: Option<Cgroups>) -> Self {
        let mut supervisor = Supervisor::new(cgroups);
        supervisor.want(services(&std::env::temp_dir()));
        Self { supervisor, longest_turn: Duration::ZERO }
    }

    /// Lets it live until something is so. `None`: it was not, in time.
    fn until<T>(&mut self, limit: Duration, mut look: impl FnMut(&Supervisor) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        loop {
            let begin = Instant::now();
            self.supervisor.turn().unwrap();
            self.longest_turn = self.longest_turn.max(begin.elapsed());
            if let Some(found) = look(&self.supervisor) {
                return Some(found);
            }
            if Instant::now() >= end {
                return None;
            }
            // A child's end wakes nobody here, as there is no signalfd in a test's thread.
            let patience = self.supervisor.patience().unwrap_or(Duration::MAX).min(Duration::from_millis(5));
            let descriptors: Vec<_> = self.supervisor.descriptors().collect();
            poll::readable(&descriptors, Some(patience)).unwrap();
        }
    }

    fn pid(supervisor: &Supervisor, name: &str) -> Option<u32> {
        match supervisor.machine().state(name)? {
            State::Running { pid, .. } | State::Starting { pid, .. } => Some(pid),
            _ => None,
        }
    }

    fn torture(&mut self, with_cgroups: bool) {
        let times = if std::env::var("KMIMAGE_SOAK").is_ok_and(|value| value == "1") { 100 } else { 8 };
        // Everything is allocated that will be, the floods have reached their bounds.
        self.until(Duration::from_secs(2), |_| None::<()>);
        let before = memory_kib();
        let mut slowest = Duration::ZERO;
        for _ in 0..times {
            for name in ["well", "stubborn", "daemons", "flood", "endless-line", "never-ready", "needs-it"] {
                let old = self.until(SLACK + PAUSE.1, |supervisor| Self::pid(supervisor, name));
                let old = old.unwrap_or_else(|| panic!("{name} does not run"));
                process::tell(old, Tell::Die).unwrap();
                let begin = Instant::now();
                let new = self.until(PAUSE.1 + SLACK, |supervisor| Self::pid(supervisor, name).filter(|pid| *pid != old));
                assert!(new.is_some(), "{name} is not back in {:?}", PAUSE.1 + SLACK);
                slowest = slowest.max(begin.elapsed());
            }
        }
        let restarts = |name: &str| self.supervisor.machine().restarts(name);
        assert!(restarts("exits") > times && restarts("hungry") > 0, "they restart by themselves");
        assert_eq!((restarts("no-program"), self.supervisor.machine().state("no-program").unwrap().word()), (0, "back-off"));
        assert_eq!(self.supervisor.machine().state("never-ready").unwrap().word(), "starting");
        let daemons = || processes().into_iter().filter(|process| process.command.contains("200001")).count();
        if with_cgroups {
            // Two of the current run; of all the earlier ones none is left.
            let two = self.until(Duration::from_secs(5), |_| (daemons() == 2).then_some(()));
            assert!(two.is_some(), "{} daemons", daemons());
        }
        let clean = self.until(Duration::from_secs(5), |_| processes().iter().all(|process| !process.zombie).then_some(()));
        assert!(clean.is_some(), "zombies stay: {:?}", processes());
        let after = memory_kib();
        println!(
            "torture: {times} x 7 kills, slowest return {slowest:?} (pause up to {:?}), longest turn {:?}, memory {before} -> {after} KiB, \
             exits restarted {} times",
            PAUSE.1,
            self.longest_turn,
            self.supervisor.machine().restarts("exits"),
        );
        assert!(after < before + 512, "process 1 grew from {before} to {after} KiB");
        assert!(self.supervisor.recent_log("flood").next().is_some_and(|line| line.starts_with("flooding")));
    }

    /// Everything ends, what needs others before these, and what doesn't want to is killed.
    fn ends_in_order(&mut self) {
        let begin = Instant::now();
        self.supervisor.shut_down();
        let first = self.until(Duration::from_secs(10), |supervisor| {
            let at_rest = |name: &str| supervisor.machine().state(name).is_none_or(|state| state.is_at_rest());
            (at_rest("needs-it") || at_rest("well")).then(|| at_rest("needs-it"))
        });
        assert_eq!(first, Some(true), "who needs another ends before it");
        let end = self.until(Duration::from_secs(10), |supervisor| supervisor.is_at_rest().then_some(()));
        assert!(end.is_some(), "it does not end");
        println!("torture: everything ended in {:?}", begin.elapsed());
        let left = processes().into_iter().filter(|process| process.pid != 1 && !process.command.contains("200001"));
        assert_eq!(left.count(), 0);
    }
}

/// What process 1 takes of memory, in KiB.
fn memory_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    value.split_whitespace().next().unwrap().parse().unwrap()
}

#[derive(Debug)]
struct Process {
    pid: u32,
    zombie: bool,
    command: String,
}

/// All processes of the namespace.
fn processes() -> Vec<Process> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(status) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let command = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).unwrap_or_default()).replace('\0', " ");
        let zombie = status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
        found.push(Process { pid, zombie, command });
    }
    found
}
