//! How much one part of the machine may say on the consoles: a service that fails a hundred times a second must not drown the others,
//! nor keep process 1 busy with a slow serial line. What goes beyond is in the log only.

use std::time::{Duration, Instant};

/// How many lines at once, and how long until one more may be said.
const BURST: u32 = 30;
const EVERY: Duration = Duration::from_millis(500);

/// What one part may still say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    lines: u32,
    counted: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { lines: BURST, counted: now }
    }

    /// Whether a line may be said now; it counts if so.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.counted).as_millis() / EVERY.as_millis();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned > 0 {
            self.lines = self.lines.saturating_add(earned).min(BURST);
            self.counted = now;
        }
        let may = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_little_by_little() {
        let begin = Instant::now();
        let mut budget = Budget::new(begin);
        let said = |budget: &mut Budget, at: u64| {
            let now = begin + Duration::from_millis(at);
            (0..1000).filter(|_| budget.take(now)).count()
        };
        assert_eq!(said(&mut budget, 0), 30);
        assert_eq!(said(&mut budget, 499), 0);
        assert_eq!(said(&mut budget, 500), 1);
        assert_eq!(said(&mut budget, 2000), 3);
        assert_eq!(said(&mut budget, 3_600_000), 30);
    }
}
