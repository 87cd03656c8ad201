//! The hardware watchdog: process 1 feeds it from its loop and nowhere else, so a machine whose process 1 hangs restarts.
//!
//! It is never stopped: it also guards the way down, and a failed boot's last words. Its driver is loaded by the child `devices`; where
//! there is no hardware the kernel's own timer (softdog) stands in, which guards against a hanging process 1, though not against a hanging
//! kernel. There is one for the whole process, because a panic must be able to feed it while it waits.

use kmimage_contract::state_line::StateLine;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::watchdog::Watchdog;
use std::path::Path;
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

/// After how many seconds without food the machine restarts: half of what a hang may take in all, so that a device that doubles it (it
/// may warn once before) is in time, too.
pub const TIMEOUT: u32 = 30;
/// How often it is fed: often enough that one late turn costs nothing.
const ROUND: Duration = Duration::from_secs(7);

/// The first watchdog; the kernel makes the name when a driver has one.
const DEVICE: &str = "/dev/watchdog0";

struct Running {
    device: Watchdog,
    fed: Instant,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

/// Starts the watchdog if there is one and it doesn't run yet. A line when that is news.
pub fn look() -> Option<StateLine> {
    let Ok(mut running) = RUNNING.lock() else { return None };
    if running.is_some() || !Path::new(DEVICE).exists() {
        return None;
    }
    let line = StateLine::new("watchdog").with("device", identity());
    match Watchdog::open(Path::new(DEVICE)) {
        Ok(device) => {
            // A device that keeps its own time says so.
            let seconds = device.set_timeout(TIMEOUT);
            *running = Some(Running { device, fed: Instant::now() });
            Some(match seconds {
                Ok(seconds) => line.with("timeout", format!("{seconds}s")),
                Err(error) => line.with("timeout", "its-own").with("message", error),
            })
        }
        Err(error) => Some(line.with("failed", error)),
    }
}

/// Feeds it if it is time. Never blocks: while somebody else feeds it, it is fed.
pub fn feed() {
    let mut running = match RUNNING.try_lock() {
        Ok(running) => running,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    if let Some(running) = running.as_mut().filter(|running| running.fed.elapsed() >= ROUND) {
        running.fed = Instant::now();
        if let Err(error) = running.device.feed() {
            kernel_log::write(Level::Warning, &format!("kmimage-init: feeding the watchdog: {error}"));
        }
    }
}

/// How long until it wants to be fed. `None`: there is none.
pub fn patience() -> Option<Duration> {
    let running = RUNNING.try_lock().ok()?;
    running.as_ref().map(|running| ROUND.saturating_sub(running.fed.elapsed()))
}

/// What the device calls itself.
fn identity() -> String {
    let text = std::fs::read_to_string(Path::new("/sys/class/watchdog/watchdog0/identity"));
    text.map_or_else(|_| "watchdog0".to_owned(), |text| text.trim().to_owned())
}
