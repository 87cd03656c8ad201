//! The clock before anybody has asked for the time: the kernel has read the hardware's; it is never before the image was made.
//!
//! A machine whose battery is empty starts in 1970 or 2000, where no certificate is valid yet. All files of the image carry its one date
//! (SOURCE_DATE_EPOCH), so os-release does.

use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::clock;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// Sets the clock to the image's date if it is before that; a line when it was.
pub(super) fn floor() -> Option<StateLine> {
    let date = std::fs::metadata(Path::new(paths::OS_RELEASE)).ok()?.mtime();
    let floor = earliest(clock::wall(), u64::try_from(date).ok()?)?;
    let line = StateLine::new("clock").with("was-before", "the image's date");
    Some(match clock::set_wall(floor) {
        Ok(()) => line.with("set-to", floor.as_secs()),
        Err(error) => line.with("failed", error),
    })
}

/// What the clock should be set to. `None`: it may be right.
fn earliest(now: Duration, date: u64) -> Option<Duration> {
    (now.as_secs() < date).then(|| Duration::from_secs(date))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_must_be_wrong_is_set() {
        assert_eq!(earliest(Duration::from_secs(5), 100), Some(Duration::from_secs(100)));
        assert_eq!(earliest(Duration::from_secs(100), 100), None);
        assert_eq!(earliest(Duration::new(100, 1), 100), None);
        assert_eq!(earliest(Duration::from_secs(5), 0), None);
    }
}
