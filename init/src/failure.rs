//! The end of a boot that can't go on: say why on every console, keep it on `state`, leave time to read it, restart.
//!
//! A restart, not a halt: the boot loader counts the boots of a slot on trial and comes to the good one. Where the boot records name no
//! other good slot, the pause grows with each boot in a row that never became ready, so that a machine that can't boot doesn't wear
//! itself out. Nothing
//! here waits longer than its bound, whatever a disk or a console does.

mod pause;
mod within;

pub(crate) use within::within;

use crate::console::Consoles;
use crate::esp;
use crate::facts::{self, cmdline};
use crate::kernel_log::boots;
use crate::watchdog;
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::power;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long each thing that a disk may hold up gets.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the watchdog is looked after during the pause.
const ROUND: Duration = Duration::from_millis(500);

/// Whether this is process 1 of the root, not stage 1.
static IN_ROOT: AtomicBool = AtomicBool::new(false);
/// Whether an end is on its way: a fault on that way restarts at once.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Says what failed and restarts the machine.
pub fn stop(step: &str, error: &dyn Error) -> ! {
    end(&StateLine::new("failed").with("step", step).with("message", chain(error)))
}

/// From now on a panic of this process does the same.
pub fn restart_on_panic(in_root: bool) {
    IN_ROOT.store(in_root, Ordering::Relaxed);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("panic");
        end(&StateLine::new("failed").with("step", "panic").with("message", message).with("place", place))
    }));
}

fn end(line: &StateLine) -> ! {
    if ENDING.swap(true, Ordering::Relaxed) {
        restart();
    }
    let cmdline = cmdline::read().unwrap_or_default();
    let mut consoles = Consoles::new(&cmdline.consoles());
    consoles.say(line);
    let pause = if IN_ROOT.load(Ordering::Relaxed) {
        let reason = line.to_string();
        let kept = within(PATIENCE, move || keep(&reason));
        let failed = failed_boots();
        let pause = pause::in_root(failed, within(PATIENCE, esp::falls_back).unwrap_or(false));
        consoles.say(
            &StateLine::new("restarting")
                .with("in", format!("{}s", pause.as_secs()))
                .with("failed-before", failed)
                .with("reason-kept", if kept == Some(true) { "yes" } else { "no" }),
        );
        pause
    } else {
        pause::in_stage1(&cmdline)
    };
    // No sync: a disk that fails could hold it for ever. What had to be kept has been flushed.
    let end = Instant::now() + pause;
    loop {
        watchdog::feed();
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(ROUND));
    }
    restart()
}

fn restart() -> ! {
    let _ = power::restart();
    // The kernel refused, or this is not the process that may: ending process 1 is a kernel panic, and `panic=` restarts.
    std::process::exit(1)
}

/// Keeps the reason on `state`, if that is mounted.
fn keep(reason: &str) -> bool {
    let state = Path::new(paths::STATE);
    let mounted = facts::mounts::read().is_ok_and(|mounts| mounts.iter().any(|mount| mount.target == state));
    mounted && boots::keep_last_words(state, reason).is_ok()
}

/// How many boots in a row have failed before this one; 0 also if nobody knows.
fn failed_boots() -> u32 {
    std::fs::read_to_string(Path::new(paths::FAILED_BOOTS)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// An error and its causes as one text.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    std::iter::once(error).chain(causes).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause_once() {
        let inner = std::io::Error::other("inner");
        let error = crate::facts::FactError::Read { path: "/x".into(), source: inner };
        assert_eq!(chain(&error), "reading /x: inner");
    }
}
