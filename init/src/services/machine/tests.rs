//! The machine as tables of events, and against random ones.

mod random;

use super::*;
use crate::services::unit::{Kind, Restart};
use kmimage_sys::process::Exit;

const MS: Duration = Duration::from_millis(1);

/// A machine with a clock, spoken to in few words; what it wants done is kept as text.
struct Bench {
    machine: Machine,
    now: Duration,
    next_pid: u32,
    done: Vec<String>,
    /// Whether programs can be started.
    starts: bool,
}

fn unit(needs: &[&str]) -> Unit {
    Unit { needs: needs.iter().map(|&need| need.to_owned()).collect(), ..Unit::lasting("/x", &[]) }
}

fn once(needs: &[&str]) -> Unit {
    Unit { kind: Kind::Once, ..unit(needs) }
}

impl Bench {
    fn new(units: &[(&str, Unit)]) -> Self {
        let mut bench = Self { machine: Machine::default(), now: Duration::ZERO, next_pid: 100, done: Vec::new(), starts: true };
        bench.want(units);
        bench
    }

    fn want(&mut self, units: &[(&str, Unit)]) {
        self.step(Event::Units(units.iter().map(|(name, unit)| ((*name).to_owned(), unit.clone())).collect()));
    }

    /// Takes an event in, and answers what it leads to, as the supervisor does.
    fn step(&mut self, event: Event) {
        let mut actions = self.machine.step(event, self.now);
        while !actions.is_empty() {
            let mut answers = Vec::new();
            for action in actions.drain(..) {
                let text = match action {
                    Action::Start { unit } if self.starts => {
                        self.next_pid += 1;
                        answers.push(Event::Started { unit: unit.clone(), pid: self.next_pid });
                        format!("start {unit}")
                    }
                    Action::Start { unit } => {
                        answers.push(Event::NotStarted { unit: unit.clone(), error: "no such file".to_owned() });
                        format!("fail {unit}")
                    }
                    Action::Tell { pid, what } => format!("{what:?} {}", self.name(pid)),
                    Action::KillAll { unit } => format!("kill {unit}"),
                    Action::Probe { unit, .. } => format!("probe {unit}"),
                };
                self.done.push(text);
            }
            actions = answers.into_iter().flat_map(|answer| self.machine.step(answer, self.now)).collect();
        }
    }

    fn name(&self, pid: u32) -> String {
        let has = |name: &&str| self.machine.state(name).and_then(|state| state.pid()) == Some(pid);
        self.machine.names().find(has).unwrap_or("nobody").to_owned()
    }

    fn pid(&self, name: &str) -> u32 {
        self.machine.state(name).and_then(|state| state.pid()).unwrap_or(0)
    }

    fn wait(&mut self, millis: u32) {
        self.now += MS * millis;
        self.step(Event::Tick);
    }

    fn ends(&mut self, name: &str, exit: Exit) {
        let pid = self.pid(name);
        self.step(Event::Ended { unit: name.to_owned(), pid, exit, out_of_memory: false });
    }

    fn empty(&mut self, name: &str) {
        self.step(Event::Empty { unit: name.to_owned() });
    }

    /// Ends, with nothing left behind.
    fn dies(&mut self, name: &str, exit: Exit) {
        self.ends(name, exit);
        self.empty(name);
    }

    fn condition(&mut self, name: &str, holds: bool) {
        self.step(Event::Condition { name: name.to_owned(), holds });
    }

    fn probed(&mut self, name: &str, ready: bool) {
        let pid = self.pid(name);
        self.step(Event::Probed { unit: name.to_owned(), pid, ready });
    }

    #[track_caller]
    fn did(&mut self, expect: &[&str]) {
        assert_eq!(std::mem::take(&mut self.done), expect);
    }

    #[track_caller]
    fn is(&self, name: &str, word: &str) {
        assert_eq!(self.machine.state(name).map_or("unknown", |state| state.word()), word, "{name}");
    }
}

#[test]
fn units_start_when_their_needs_hold_and_not_before() {
    let mut bench = Bench::new(&[
        ("a", unit(&[])),
        ("b", unit(&["a", "network"])),
        ("c", unit(&["b"])),
        ("d", unit(&["nobody"])),
        ("e", once(&["a"])),
        ("f", unit(&["e"])),
    ]);
    bench.did(&["start a", "start e"]);
    bench.is("b", "waiting");
    assert_eq!(bench.machine.reason("b"), "network");
    assert_eq!(bench.machine.reason("c"), "b");
    bench.condition("network", true);
    bench.did(&["start b", "start c"]);
    // One that is to be done once is a need when it is done, not when it runs.
    bench.is("f", "waiting");
    bench.ends("e", Exit::Code(0));
    bench.did(&["kill e", "start f"]);
}

#[test]
fn a_failed_unit_comes_back_after_its_pause_and_the_pause_doubles() {
    let mut bench = Bench::new(&[("a", unit(&[]))]);
    bench.did(&["start a"]);
    for (failure, pause) in [(1, 100), (2, 200), (3, 400), (4, 800)] {
        bench.dies("a", Exit::Code(1));
        bench.is("a", "back-off");
        assert_eq!(bench.machine.reason("a"), "exit code 1");
        assert_eq!(bench.machine.deadline(), Some(bench.now + MS * pause));
        bench.wait(pause - 1);
        bench.did(&["kill a"]);
        bench.wait(1);
        bench.did(&["start a"]);
        assert_eq!(bench.machine.restarts("a"), failure);
    }
    // A minute of health, and the first pause counts again; a second less, and it doesn't.
    bench.wait(59_000);
    bench.dies("a", Exit::Signal(9));
    assert_eq!(bench.machine.deadline(), Some(bench.now + MS * 1600));
    bench.wait(1600);
    bench.wait(60_000);
    bench.dies("a", Exit::Signal(9));
    assert_eq!(bench.machine.deadline(), Some(bench.now + MS * 100));
    assert_eq!(bench.machine.reason("a"), "signal 9");
}

#[test]
fn the_pause_counts_from_the_end_and_not_from_when_the_rest_is_gone() {
    let mut bench = Bench::new(&[("a", unit(&[]))]);
    bench.ends("a", Exit::Code(1));
    bench.is("a", "back-off");
    bench.wait(90);
    bench.did(&["start a", "kill a"]);
    bench.empty("a");
    bench.wait(10);
    bench.did(&["start a"]);
    // What can't be killed keeps nobody from a new start for ever.
    bench.ends("a", Exit::Code(1));
    bench.wait(4_999);
    bench.did(&["kill a"]);
    bench.wait(1);
    bench.did(&["start a"]);
}

#[test]
fn what_is_done_once_is_done_and_what_fails_is_tried_again() {
    let mut bench = Bench::new(&[("a", once(&[])), ("b", unit(&["a"]))]);
    bench.dies("a", Exit::Code(1));
    bench.wait(100);
    bench.did(&["start a", "kill a", "start a"]);
    bench.ends("a", Exit::Code(0));
    // Its work is done as soon as it ends; what it left behind is nobody's need.
    bench.did(&["kill a", "start b"]);
    bench.empty("a");
    bench.is("a", "done");
    bench.wait(1_000_000);
    bench.did(&[]);
}

#[test]
fn a_program_that_cannot_be_started_is_tried_again() {
    let mut bench = Bench::new(&[]);
    bench.starts = false;
    bench.want(&[("a", unit(&[]))]);
    bench.is("a", "back-off");
    assert_eq!(bench.machine.reason("a"), "no such file");
    bench.wait(100);
    bench.wait(199);
    bench.did(&["fail a", "fail a"]);
    bench.starts = true;
    bench.wait(1);
    bench.did(&["start a"]);
    // It has not been a restart: it never ran.
    assert_eq!(bench.machine.restarts("a"), 0);
}

#[test]
fn readiness_is_asked_for_until_it_comes() {
    let probed = Unit { readiness: Readiness::Socket("/s".into()), ..unit(&[]) };
    let mut bench = Bench::new(&[("a", probed), ("b", unit(&["a"]))]);
    bench.did(&["start a", "probe a"]);
    for pause in [50, 100, 200, 400, 800, 1000, 1000] {
        bench.probed("a", false);
        bench.is("a", "starting");
        bench.wait(pause - 1);
        bench.did(&[]);
        bench.wait(1);
        bench.did(&["probe a"]);
    }
    // An answer about an earlier process counts for nothing.
    bench.step(Event::Probed { unit: "a".to_owned(), pid: 1, ready: true });
    bench.is("a", "starting");
    bench.probed("a", true);
    bench.is("a", "running");
    bench.did(&["start b"]);
}

#[test]
fn a_condition_is_readiness_and_others_wait_for_it_no_longer_than_said() {
    let time = Unit { readiness: Readiness::Condition("time".to_owned()), awaited: Some(MS * 30_000), ..unit(&[]) };
    let mut bench = Bench::new(&[("time", time), ("a", unit(&["time"]))]);
    bench.is("time", "starting");
    bench.wait(29_999);
    bench.did(&["start time"]);
    assert_eq!(bench.machine.deadline(), Some(MS * 30_000));
    bench.wait(1);
    bench.did(&["start a"]);
    bench.is("time", "starting");
    bench.condition("time", true);
    bench.is("time", "running");
}

#[test]
fn a_need_that_is_lost_stops_nobody_but_no_new_start_comes_before_it_is_back() {
    let mut bench = Bench::new(&[("a", unit(&["network"]))]);
    bench.condition("network", true);
    bench.condition("network", false);
    bench.is("a", "running");
    bench.dies("a", Exit::Code(1));
    bench.wait(100);
    bench.is("a", "waiting");
    bench.condition("network", true);
    bench.did(&["start a", "kill a", "start a"]);
}

#[test]
fn stopping_asks_first_and_kills_in_time() {
    let mut bench = Bench::new(&[("a", unit(&[])), ("b", unit(&[]))]);
    bench.want(&[]);
    bench.did(&["start a", "start b", "End a", "End b"]);
    bench.dies("b", Exit::Signal(15));
    bench.is("b", "unknown");
    bench.wait(9_999);
    bench.did(&["kill b"]);
    bench.wait(1);
    bench.did(&["kill a"]);
    bench.is("a", "stopping");
    bench.dies("a", Exit::Signal(9));
    bench.is("a", "unknown");
}

#[test]
fn stopping_goes_against_the_order_of_needs() {
    let built_in = Unit { built_in: true, ..unit(&[]) };
    let mut bench = Bench::new(&[("network", built_in), ("a", unit(&[])), ("b", unit(&["a"])), ("c", unit(&["b"]))]);
    bench.did(&["start a", "start network", "start b", "start c"]);
    bench.step(Event::ShutDown);
    for (name, next) in [("c", "b"), ("b", "a"), ("a", "network")] {
        bench.did(&[&format!("End {name}")]);
        bench.ends(name, Exit::Code(0));
        // Only when nothing of it is left.
        bench.did(&[&format!("kill {name}")]);
        bench.is(next, "running");
        bench.empty(name);
    }
    bench.did(&["End network"]);
    bench.dies("network", Exit::Code(0));
    assert!(bench.machine.is_at_rest());
    // Nothing starts any more.
    bench.want(&[("z", unit(&[]))]);
    bench.condition("x", true);
    bench.wait(1_000_000);
    bench.did(&["kill network"]);
}

#[test]
fn a_shutdown_begins_with_who_is_to_stop_first() {
    let first = Unit { stops_first: true, ..unit(&[]) };
    let mut bench = Bench::new(&[("login1", first), ("kubelet", unit(&["login1"])), ("other", unit(&[]))]);
    bench.did(&["start login1", "start other", "start kubelet"]);
    bench.step(Event::ShutDown);
    // Who needs it goes on: it is what the others are waited for with.
    bench.did(&["End login1"]);
    bench.is("kubelet", "running");
    // What ends by itself meanwhile is not started again.
    bench.dies("other", Exit::Code(0));
    bench.wait(1000);
    bench.did(&["kill other"]);
    bench.ends("login1", Exit::Code(0));
    bench.did(&["kill login1"]);
    bench.empty("login1");
    bench.did(&["End kubelet"]);
    // One that doesn't end in time is killed, and holds nobody up any longer.
    let first = Unit { stops_first: true, stop_within: MS * 500, ..unit(&[]) };
    let mut bench = Bench::new(&[("login1", first), ("kubelet", unit(&["login1"]))]);
    bench.step(Event::ShutDown);
    bench.wait(600);
    bench.dies("login1", Exit::Signal(9));
    bench.did(&["start login1", "start kubelet", "End login1", "kill login1", "kill login1", "End kubelet"]);
    // Outside a shutdown it is a unit as all others.
    let first = Unit { stops_first: true, ..unit(&[]) };
    let mut bench = Bench::new(&[("login1", first), ("kubelet", unit(&["login1"]))]);
    bench.want(&[]);
    bench.did(&["start login1", "start kubelet", "End kubelet"]);
}

#[test]
fn who_keeps_its_processes_ends_alone() {
    let keeper = Unit { keeps_processes: true, stop_within: MS * 500, ..unit(&[]) };
    let mut bench = Bench::new(&[("crio", keeper)]);
    bench.ends("crio", Exit::Signal(9));
    bench.wait(200);
    bench.did(&["start crio", "start crio"]);
    // Nor is anything else killed when it doesn't end in time.
    bench.want(&[]);
    bench.wait(600);
    bench.did(&["End crio", "Die crio"]);
    bench.ends("crio", Exit::Signal(9));
    bench.did(&[]);
    assert!(bench.machine.is_at_rest());
}

#[test]
fn needs_in_a_circle_do_not_hold_up_the_end() {
    let mut bench = Bench::new(&[("a", unit(&["go"])), ("b", unit(&["go", "a"]))]);
    bench.condition("go", true);
    bench.want(&[("a", unit(&["go", "b"])), ("b", unit(&["go", "a"]))]);
    // `a` is to become another one; `b`, which needs it, is not stopped for that.
    bench.did(&["start a", "start b", "End a"]);
    bench.dies("a", Exit::Code(0));
    bench.step(Event::ShutDown);
    bench.did(&["kill a", "start a", "End a", "End b"]);
}

#[test]
fn a_changed_unit_is_stopped_and_started_as_what_it_has_become() {
    let mut bench = Bench::new(&[("a", unit(&[]))]);
    let changed = Unit { arguments: vec!["--new".to_owned()], ..unit(&[]) };
    bench.want(&[("a", changed.clone())]);
    bench.did(&["start a", "End a"]);
    bench.dies("a", Exit::Code(0));
    bench.did(&["kill a", "start a"]);
    assert_eq!(bench.machine.unit("a"), Some(&changed));
    // The same again changes nothing.
    bench.want(&[("a", changed.clone())]);
    bench.did(&[]);
    // One that is taken back before it has ended runs again.
    bench.want(&[]);
    bench.want(&[("a", changed)]);
    bench.dies("a", Exit::Code(0));
    bench.did(&["End a", "kill a", "start a"]);
    // What was done once is done again when it has become another.
    let mut bench = Bench::new(&[("a", once(&[]))]);
    bench.dies("a", Exit::Code(0));
    bench.want(&[("a", Unit { arguments: vec!["2".to_owned()], ..once(&[]) })]);
    bench.did(&["start a", "kill a", "start a"]);
}

#[test]
fn who_runs_is_told_to_read_again() {
    let mut bench = Bench::new(&[("a", unit(&[])), ("b", unit(&["x"]))]);
    for name in ["a", "b", "nobody"] {
        bench.step(Event::Reload { unit: name.to_owned() });
    }
    bench.did(&["start a", "Reload a"]);
}

#[test]
fn want_of_memory_is_named() {
    let mut bench = Bench::new(&[("a", unit(&[]))]);
    let pid = bench.pid("a");
    bench.step(Event::Ended { unit: "a".to_owned(), pid, exit: Exit::Signal(9), out_of_memory: true });
    assert_eq!(bench.machine.reason("a"), "signal 9, out of memory");
}
