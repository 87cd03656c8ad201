//! What a measurement means for the clock, and when to measure again. Pure.

use kmimage_sys::clock::Adjustment;
use std::time::Duration;

/// An error of this many seconds and more is corrected at once; the kernel's loop takes half a second at most.
const STEP: f64 = 0.4;
/// How far a server may be off a clock that was right, in seconds: more is rather the server's fault.
const BELIEVABLE: f64 = 3600.0;
/// The slowest answer that is of use, in seconds: half of it is how wrong the measurement may be.
const SLOWEST: f64 = 1.5;
/// How often a clock that was right may be contradicted before it is taken for wrong: a machine that slept, a disk that was copied.
const CONTRADICTIONS: u32 = 5;

/// Between measurements of a clock that is right, as powers of two of seconds.
const SHORTEST_INTERVAL: u8 = 6;
const LONGEST_INTERVAL: u8 = 11;
/// Between attempts while nobody answers.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest pause after an attempt that failed.
pub(super) const LONGEST: Duration = Duration::from_secs(64);
/// The same before the first success: others are waiting for it.
const LONGEST_AT_FIRST: Duration = Duration::from_secs(8);

/// A server's answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Who answered.
    pub(super) server: String,
    /// How far our clock is behind, in seconds.
    pub(super) offset: f64,
    /// How long question and answer were under way, in seconds.
    pub(super) delay: f64,
    /// How far the server is from a reference clock.
    pub(super) stratum: u8,
    /// What our clock said, since 1970.
    pub(super) at: Duration,
}

/// What is known of the clock.
#[derive(Debug)]
pub(super) struct Clock {
    floor: Duration,
    right: bool,
    contradictions: u32,
    interval: u8,
    retry: Duration,
}

/// What to do, say and wait for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Next {
    pub(super) adjustment: Option<Adjustment>,
    /// The measurement, or why there is none.
    pub(super) outcome: Result<Sample, String>,
    /// Whether the clock has been set since this program started.
    pub(super) was_right: bool,
    pub(super) wait: Duration,
}

impl Clock {
    /// A clock of which nothing is known but that it can't be earlier than `floor`, since 1970.
    pub(super) fn new(floor: Duration) -> Self {
        Self { floor, right: false, contradictions: 0, interval: SHORTEST_INTERVAL, retry: FIRST_RETRY }
    }

    /// Why a measurement is not to be believed.
    pub(super) fn doubt(&self, sample: &Sample) -> Option<String> {
        if !sample.offset.is_finite() || !sample.delay.is_finite() || sample.delay < -STEP {
            return Some("its answer makes no sense".to_owned());
        }
        if sample.delay > SLOWEST {
            return Some(format!("its answer took {:.1} s", sample.delay));
        }
        if sample.at.as_secs_f64() + sample.offset < self.floor.as_secs_f64() {
            return Some("it says a time before this image was made".to_owned());
        }
        if self.right && sample.offset.abs() > BELIEVABLE && self.contradictions < CONTRADICTIONS {
            return Some(format!("it says that the clock is off by {:.0} s", sample.offset));
        }
        None
    }

    /// Takes a measurement, or the reasons why there is none.
    pub(super) fn step(&mut self, measured: Result<Sample, String>) -> Next {
        let sample = match measured {
            Ok(sample) => sample,
            Err(reason) => {
                let longest = if self.right { LONGEST } else { LONGEST_AT_FIRST };
                let wait = self.retry.min(longest);
                self.retry = (wait * 2).min(longest);
                self.contradictions = self.contradictions.saturating_add(1);
                return Next { adjustment: None, outcome: Err(reason), was_right: self.right, wait };
            }
        };
        let step = sample.offset.abs() >= STEP;
        self.interval = match (self.right, step) {
            (true, false) => (self.interval + 1).min(LONGEST_INTERVAL),
            _ => SHORTEST_INTERVAL,
        };
        self.right = true;
        self.contradictions = 0;
        self.retry = FIRST_RETRY;
        let offset = nanoseconds(sample.offset);
        let adjustment = if step { Adjustment::Step(offset) } else { Adjustment::Slew { offset, interval: self.interval } };
        let wait = Duration::from_secs(1 << self.interval);
        Next { adjustment: Some(adjustment), outcome: Ok(sample), was_right: true, wait }
    }
}

/// Seconds as nanoseconds; what is out of range is cut off.
#[expect(clippy::cast_possible_truncation, reason = "a float's cast saturates")]
fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Duration = Duration::from_secs(1_700_000_000);

    fn sample(offset: f64) -> Sample {
        Sample { server: "ntp".to_owned(), offset, delay: 0.01, stratum: 2, at: IMAGE + Duration::from_secs(1000) }
    }

    #[test]
    fn a_clock_far_off_is_set_at_once_and_then_led() {
        let mut clock = Clock::new(IMAGE);
        let next = clock.step(Ok(sample(12.5)));
        assert_eq!(next.adjustment, Some(Adjustment::Step(12_500_000_000)));
        assert_eq!(next.wait, Duration::from_secs(64));
        for interval in [7, 8, 9, 10, 11, 11] {
            let next = clock.step(Ok(sample(-0.25)));
            assert_eq!(next.adjustment, Some(Adjustment::Slew { offset: -250_000_000, interval }));
            assert_eq!(next.wait, Duration::from_secs(1 << interval));
        }
        let next = clock.step(Ok(sample(-0.5)));
        assert_eq!((next.adjustment, next.wait), (Some(Adjustment::Step(-500_000_000)), Duration::from_secs(64)));
    }

    #[test]
    fn attempts_that_fail_are_repeated_less_and_less() {
        let mut clock = Clock::new(IMAGE);
        let waits = |clock: &mut Clock| clock.step(Err("nobody".to_owned())).wait.as_secs();
        let first: Vec<u64> = (0..5).map(|_| waits(&mut clock)).collect();
        assert_eq!(first, [1, 2, 4, 8, 8]);
        clock.step(Ok(sample(0.0)));
        let later: Vec<u64> = (0..8).map(|_| waits(&mut clock)).collect();
        assert_eq!(later, [1, 2, 4, 8, 16, 32, 64, 64]);
        assert!(clock.step(Err("nobody".to_owned())).was_right);
    }

    #[test]
    fn what_can_not_be_is_not_believed() {
        let mut clock = Clock::new(IMAGE);
        let check = |clock: &Clock, sample: Sample, doubt: Option<&str>| assert_eq!(clock.doubt(&sample).as_deref(), doubt);
        check(&clock, sample(0.1), None);
        // At first a clock may be off by years.
        check(&clock, sample(1e8), None);
        check(&clock, sample(-999.0), None);
        check(&clock, sample(-1001.0), Some("it says a time before this image was made"));
        check(&clock, sample(f64::NAN), Some("its answer makes no sense"));
        check(&clock, Sample { delay: 2.0, ..sample(0.1) }, Some("its answer took 2.0 s"));
        clock.step(Ok(sample(0.0)));
        check(&clock, sample(3601.0), Some("it says that the clock is off by 3601 s"));
        check(&clock, sample(3599.0), None);
        for _ in 0..CONTRADICTIONS {
            clock.step(Err("off".to_owned()));
        }
        check(&clock, sample(3601.0), None);
    }
}
