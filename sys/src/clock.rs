//! Clocks.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The time since the kernel started, the time asleep included.
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
