//! FAT's times: local time without a zone, from 1980 to 2107, two seconds' resolution. kmimage writes UTC.

/// 1980-01-01 00:00:00, FAT's first moment, in seconds since 1970.
const FIRST: i64 = 315_532_800;
/// 2107-12-31 23:59:58, FAT's last.
const LAST: i64 = 4_354_819_198;

/// Time and date as a directory record holds them (little-endian, time first). `epoch` is in seconds since 1970, UTC; what FAT can't
/// say becomes its first or last moment.
pub(super) fn stamp(epoch: i64) -> [u8; 4] {
    let epoch = epoch.clamp(FIRST, LAST);
    let (days, second) = (epoch / 86_400, epoch % 86_400);
    let (year, month, day) = civil(days);
    let time = (second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2);
    let date = (year - 1980) << 9 | month << 5 | day;
    // Both fit by the clamp.
    let ([a, b], [c, d]) = ((time as u16).to_le_bytes(), (date as u16).to_le_bytes());
    [a, b, c, d]
}

/// Year, month and day of a day since 1970, in the Gregorian calendar, years counted from March as the leap day then comes last
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_fats() {
        let text = |epoch| {
            let [a, b, c, d] = stamp(epoch);
            let (time, date) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
            let (year, month, day) = ((date >> 9) + 1980, date >> 5 & 15, date & 31);
            format!("{year}-{month}-{day} {}:{}:{}", time >> 11, time >> 5 & 63, (time & 31) * 2)
        };
        assert_eq!(text(0), "1980-1-1 0:0:0");
        assert_eq!(text(951_782_400), "2000-2-29 0:0:0");
        assert_eq!(text(951_868_799), "2000-2-29 23:59:58");
        assert_eq!(text(951_868_800), "2000-3-1 0:0:0");
        assert_eq!(text(1_781_000_001), "2026-6-9 10:13:20");
        assert_eq!(text(4_107_542_400), "2100-3-1 0:0:0");
        assert_eq!(text(i64::MAX), "2107-12-31 23:59:58");
    }
}
