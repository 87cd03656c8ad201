//! Clocks.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::io;
use std::time::Duration;

/// The time since the kernel started, the time asleep included.
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The wall clock: the time since 1970; 0 for one that is set before.
pub fn wall() -> Duration {
    let now = clock_gettime(ClockId::Realtime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Sets the wall clock.
pub fn set_wall(since_1970: Duration) -> io::Result<()> {
    let tv_sec = i64::try_from(since_1970.as_secs()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec: since_1970.subsec_nanos().into() })?)
}

/// How the clock is brought nearer to the true time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// At once, by this many nanoseconds.
    Step(i64),
    /// Bit by bit, by the kernel's own loop, which also learns how fast the clock runs: nanoseconds, half a second at most.
    Slew {
        /// How far the clock is off.
        offset: i64,
        /// How long until the next measurement, as a power of two of seconds: the loop's patience.
        interval: u8,
    },
}

/// Adjusts the clock, and tells the kernel that it is synchronised: so it sets the hardware's clock by itself from time to time. Needs
/// CAP_SYS_TIME.
#[expect(unsafe_code, reason = "rustix has no adjtimex")]
pub fn adjust(adjustment: Adjustment) -> io::Result<()> {
    // SAFETY: timex is a C structure of integers, for which zero is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.modes = libc::ADJ_STATUS | libc::ADJ_NANO;
    timex.status = libc::STA_PLL;
    match adjustment {
        Adjustment::Step(offset) => {
            timex.modes |= libc::ADJ_SETOFFSET;
            timex.time.tv_sec = offset.div_euclid(SECOND);
            // With ADJ_NANO these are nanoseconds, 0 to 999,999,999.
            timex.time.tv_usec = offset.rem_euclid(SECOND);
        }
        Adjustment::Slew { offset, interval } => {
            timex.modes |= libc::ADJ_OFFSET | libc::ADJ_TIMECONST | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
            timex.offset = offset;
            timex.constant = i64::from(interval.saturating_sub(4));
        }
    }
    // SAFETY: the structure is ours, whole and alive during the call, and the call keeps no pointer to it.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;
