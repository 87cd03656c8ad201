//! Times as logs have them.

use jiff::Timestamp;
use std::time::Duration;

/// A time since 1970 in UTC as RFC 3339 has it, to the millisecond: `2024-02-29T12:00:00.250Z`.
pub(crate) fn rfc3339(since_1970: Duration) -> String {
    let time = i64::try_from(since_1970.as_millis()).ok().and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        let check = |milliseconds: u64, expect: &str| assert_eq!(rfc3339(Duration::from_millis(milliseconds)), expect);
        check(0, "1970-01-01T00:00:00.000Z");
        check(86_399_042, "1970-01-01T23:59:59.042Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(4_107_542_400_999, "2100-03-01T00:00:00.999Z");
        check(u64::MAX, "9999-12-30T22:00:00.999Z");
    }
}
