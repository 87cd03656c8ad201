//! How long a failure stays on the console before the restart. Pure.

use kmimage_contract::cmdline::Cmdline;
use std::time::Duration;

/// How long in stage 1 when the command line's `panic=` doesn't say.
const STAGE1: u64 = 10;
/// How long after a first failure, or where another slot may do better.
const FIRST: u64 = 5;
/// After the second failure in a row; then twice as long each time.
const SECOND: u64 = 10;
/// Never longer.
const LONGEST: u64 = 300;

/// In stage 1, where nothing is known of earlier boots: `panic=` as the kernel reads it, but that 0 (wait for ever) is taken for "not
/// said": nobody may ever come.
pub(super) fn in_stage1(cmdline: &Cmdline) -> Duration {
    let seconds: i64 = cmdline.values("panic").last().and_then(|value| value.parse().ok()).unwrap_or(0);
    match seconds {
        0 => Duration::from_secs(STAGE1),
        seconds => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    }
}

/// In the root, after so many failed boots in a row before this one.
pub(super) fn in_root(failed: u32, other_slot: bool) -> Duration {
    let seconds = match failed {
        0 => FIRST,
        _ if other_slot => FIRST,
        failed => 1_u64.checked_shl(failed - 1).map_or(LONGEST, |times| SECOND.saturating_mul(times).min(LONGEST)),
    };
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_stage_1_the_pause_is_the_command_lines() {
        let check = |text: &str, seconds: u64| assert_eq!(in_stage1(&Cmdline::parse(text)).as_secs(), seconds, "{text}");
        check("", 10);
        check("panic=0", 10);
        check("panic=soon", 10);
        check("panic=3", 3);
        check("panic=3 panic=4", 4);
        check("panic=-1", 0);
    }

    #[test]
    fn in_the_root_it_grows_with_each_failure() {
        let pauses: Vec<u64> = (0..8).map(|failed| in_root(failed, false).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(in_root(u32::MAX, false).as_secs(), 300);
        assert_eq!(in_root(7, true).as_secs(), 5);
    }
}
