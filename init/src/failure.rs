//! The end of a boot that can't go on: say why on every console, leave time to read it, restart.
//!
//! A restart, not a halt: the boot loader has counted this boot, so the next one may take the other slot.

use crate::console::Consoles;
use crate::facts::cmdline;
use kmimage_contract::cmdline::Cmdline;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::power;
use std::error::Error;
use std::time::Duration;

/// How long a failure stays on the console when the command line's `panic=` doesn't say.
const PAUSE: u64 = 10;

/// Says what failed and restarts the machine after the command line's `panic=` seconds.
pub fn stop(step: &str, error: &dyn Error) -> ! {
    end(&StateLine::new("failed").with("step", step).with("message", chain(error)))
}

/// From now on a panic of this process does the same.
pub fn restart_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("panic");
        end(&StateLine::new("failed").with("step", "panic").with("message", message).with("place", place))
    }));
}

fn end(line: &StateLine) -> ! {
    let cmdline = cmdline::read().unwrap_or_default();
    let mut consoles = Consoles::new(&cmdline.consoles());
    consoles.say(line);
    // No sync: nothing that is mounted so far is written to, and a disk that fails could hold it for ever.
    std::thread::sleep(pause(&cmdline));
    let _ = power::restart();
    // The kernel refused, or this is not the process that may: ending process 1 is a kernel panic, and `panic=` restarts.
    std::process::exit(1)
}

/// `panic=` as the kernel reads it, but that 0 (wait for ever) is taken for "not said": nobody may ever come.
fn pause(cmdline: &Cmdline) -> Duration {
    let seconds: i64 = cmdline.values("panic").last().and_then(|value| value.parse().ok()).unwrap_or(0);
    match seconds {
        0 => Duration::from_secs(PAUSE),
        seconds => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    }
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
    fn the_pause_is_the_command_lines() {
        let check = |text: &str, seconds: u64| assert_eq!(pause(&Cmdline::parse(text)).as_secs(), seconds, "{text}");
        check("", 10);
        check("panic=0", 10);
        check("panic=soon", 10);
        check("panic=3", 3);
        check("panic=3 panic=4", 4);
        check("panic=-1", 0);
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let inner = std::io::Error::other("inner");
        let error = crate::facts::FactError::Read { path: "/x".into(), source: inner };
        assert_eq!(chain(&error), "reading /x: inner");
    }
}
