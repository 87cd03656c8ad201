//! Random units and events break no rule.

use super::*;

/// A small generator (xorshift), so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn random_units(random: &mut Random) -> BTreeMap<String, Unit> {
    let mut units = BTreeMap::new();
    for name in NAMES {
        if random.below(4) == 0 {
            continue;
        }
        let pool = ["a", "b", "c", "d", "e", "x", "y"];
        let needs: Vec<String> = (0..random.below(3)).map(|_| (*random.one(&pool)).to_owned()).collect();
        let readiness = match random.below(4) {
            0 => Readiness::Socket("/s".into()),
            1 => Readiness::Condition("x".to_owned()),
            _ => Readiness::Started,
        };
        let unit = Unit {
            kind: *random.one(&[Kind::Once, Kind::Lasting]),
            built_in: random.below(3) == 0,
            needs,
            readiness,
            arguments: vec![random.below(3).to_string()],
            awaited: (random.below(2) == 0).then_some(MS * 700),
            restart: Restart { minimum: MS * 100, maximum: MS * 1000, healthy_after: MS * 5000 },
            ..unit(&[])
        };
        units.insert(name.to_owned(), unit);
    }
    units
}

/// Whatever happens in whatever order: a program is started only when nothing of it runs, never before its pause is over, never in a
/// shutdown; each signal goes to a process that is there; and when everything that is killed dies, a shutdown ends in bounded time.
#[test]
fn random_events_break_no_rule() {
    for seed in 1..=400u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = World::default();
        for _ in 0..300 {
            world.random_event(&mut random, seed);
        }
        world.shut_down(seed);
    }
}

/// What really runs, beside the machine that thinks to know it.
#[derive(Default)]
struct World {
    machine: Machine,
    now: Duration,
    next_pid: u32,
    /// Main processes by unit.
    running: BTreeMap<String, u32>,
    /// Units of which something may be left.
    dirty: BTreeMap<String, Duration>,
    down: bool,
}

impl World {
    fn random_event(&mut self, random: &mut Random, seed: u64) {
        let name = (*random.one(&NAMES)).to_owned();
        self.now += MS * random.below(400) as u32;
        let event = match random.below(12) {
            0 => Event::Units(random_units(random)),
            1 | 2 => Event::Condition { name: (*random.one(&["x", "y"])).to_owned(), holds: random.below(3) > 0 },
            3..=5 => match self.running.remove(&name) {
                Some(pid) => {
                    self.dirty.insert(name.clone(), self.now);
                    let exit = *random.one(&[Exit::Code(0), Exit::Code(1), Exit::Signal(9)]);
                    Event::Ended { unit: name, pid, exit, out_of_memory: false }
                }
                None => Event::Ended { unit: name, pid: 7, exit: Exit::Code(0), out_of_memory: false },
            },
            6..=8 => {
                self.dirty.remove(&name);
                Event::Empty { unit: name }
            }
            9 => Event::Probed { pid: self.running.get(&name).copied().unwrap_or(7), unit: name, ready: random.below(2) == 0 },
            10 => Event::Reload { unit: name },
            _ => Event::Tick,
        };
        let fails = random.below(5) == 0;
        self.step(event, fails, seed);
    }

    fn step(&mut self, event: Event, starts_fail: bool, seed: u64) {
        let mut actions = self.machine.step(event, self.now);
        let mut rounds = 0;
        while !actions.is_empty() {
            rounds += 1;
            assert!(rounds < 100, "seed {seed}: it never comes to rest");
            let answers: Vec<Event> = actions.drain(..).filter_map(|action| self.act(action, starts_fail, seed)).collect();
            actions = answers.into_iter().flat_map(|answer| self.machine.step(answer, self.now)).collect();
        }
        for name in self.machine.names() {
            let pid = self.machine.state(name).and_then(|state| state.pid());
            assert_eq!(pid, self.running.get(name).copied(), "seed {seed}: {name}");
        }
        for name in self.running.keys() {
            assert!(self.machine.state(name).is_some(), "seed {seed}: {name} runs and is forgotten");
        }
    }

    fn act(&mut self, action: Action, starts_fail: bool, seed: u64) -> Option<Event> {
        match action {
            Action::Start { unit } => {
                assert!(!self.down, "seed {seed}: {unit} is started on the way down");
                assert!(!self.running.contains_key(&unit), "seed {seed}: {unit} runs already");
                let left = self.dirty.remove(&unit).is_some_and(|since| self.now < since + MS * 5000);
                assert!(!left, "seed {seed}: something of {unit} is left");
                assert!(
                    self.machine.unit(&unit).unwrap().needs.iter().all(|need| self.machine.holds(need)),
                    "seed {seed}: {unit}"
                );
                if starts_fail {
                    return Some(Event::NotStarted { unit, error: "no".to_owned() });
                }
                self.next_pid += 1;
                self.running.insert(unit.clone(), self.next_pid + 1000);
                Some(Event::Started { unit, pid: self.next_pid + 1000 })
            }
            Action::Tell { pid, .. } => {
                assert!(self.running.values().any(|known| *known == pid), "seed {seed}: {pid} is nobody's");
                None
            }
            Action::KillAll { .. } => None,
            Action::Probe { unit, pid } => {
                assert_eq!(self.running.get(&unit), Some(&pid), "seed {seed}");
                None
            }
        }
    }

    /// Nothing ends by itself, everything dies when it is killed.
    fn shut_down(&mut self, seed: u64) {
        self.step(Event::ShutDown, false, seed);
        self.down = true;
        for _ in 0..NAMES.len() + 1 {
            self.now += MS * 10_000;
            let names: Vec<String> = self.running.keys().cloned().collect();
            self.step(Event::Tick, false, seed);
            for name in names {
                if matches!(self.machine.state(&name), Some(State::Killed { .. })) {
                    let pid = self.running.remove(&name).unwrap();
                    self.step(Event::Ended { unit: name.clone(), pid, exit: Exit::Signal(9), out_of_memory: false }, false, seed);
                }
            }
            for name in NAMES {
                self.dirty.remove(name);
                self.step(Event::Empty { unit: name.to_owned() }, false, seed);
            }
        }
        assert!(self.machine.is_at_rest() && self.running.is_empty(), "seed {seed}: {:?}", self.machine);
    }
}
