//! Lines of logs as messages of RFC 5424. Pure.

use crate::kernel_log;
use crate::timestamp::rfc3339;
use std::time::Duration;

/// Facilities.
const KERNEL: u32 = 0;
const DAEMON: u32 = 3;
/// The unit that keeps the kernel's log.
const KERNEL_UNIT: &str = "kernel";
/// Severities.
const NOTICE: u32 = 5;
const INFORMATIONAL: u32 = 6;

/// The longest text of a message; the rest is cut off. A datagram has to hold it.
const LONGEST: usize = 8 << 10;

/// A line of a unit's log: `TIME TEXT`, as `log-files` writes it. One without a time is passed on as it is.
pub(super) fn unit_line(unit: &str, line: &str, host: &str) -> String {
    let (time, text) = line.split_once(' ').filter(|(time, _)| is_stamp(time)).unwrap_or(("-", line));
    let (facility, severity) = if unit == KERNEL_UNIT { (KERNEL, kernel_severity(text)) } else { (DAEMON, INFORMATIONAL) };
    render(facility << 3 | severity, time, host, unit, text)
}

/// The severity of a line of the kernel's log: `SECONDS LEVEL: TEXT`, as the child `kernel` writes it.
fn kernel_severity(text: &str) -> u32 {
    let level = text.split_once(' ').and_then(|(_, rest)| rest.split_once(": ")).map_or("", |(level, _)| level);
    let at = kernel_log::LEVELS.iter().position(|known| *known == level);
    at.and_then(|at| u32::try_from(at).ok()).unwrap_or(INFORMATIONAL)
}

/// That messages were lost.
pub(super) fn lost(count: u64, now: Duration, host: &str) -> String {
    render(DAEMON << 3 | NOTICE, &rfc3339(now), host, "kmimage", &format!("messages lost before this one: {count}"))
}

fn render(priority: u32, time: &str, host: &str, program: &str, text: &str) -> String {
    let text = text.trim_end();
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // A control character could end a line of the receiver's file.
    let text: String = text
        .chars()
        .take_while({
            let mut left = end;
            move |c| {
                let fits = left >= c.len_utf8();
                left = left.saturating_sub(c.len_utf8());
                fits
            }
        })
        .map(|c| if c.is_control() && c != '\t' { ' ' } else { c })
        .collect();
    format!("<{priority}>1 {time} {} {} - - - {text}", word(host, 255), word(program, 48))
}

/// A field of the header: visible ASCII, `-` where there is none.
fn word(text: &str, longest: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// Whether a word is a time as RFC 3339 has it, in UTC.
fn is_stamp(word: &str) -> bool {
    let shape = |pattern: &str| {
        word.len() >= pattern.len()
            && word.bytes().zip(pattern.bytes()).all(
                |(byte, like)| {
                    if like == b'0' { byte.is_ascii_digit() } else { byte == like }
                },
            )
    };
    shape("0000-00-00T00:00:00") && word.ends_with('Z') && word.len() <= 30
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTED: Duration = Duration::from_millis(1_709_164_800_250);

    #[test]
    fn a_line_of_a_unit_keeps_its_time() {
        let message = unit_line("exporter", "2024-02-29T12:00:00.123Z listening\u{1b}[0m", "node-1");
        assert_eq!(message, "<30>1 2024-02-29T12:00:00.123Z node-1 exporter - - - listening [0m");
        assert_eq!(unit_line("kernel", "x", ""), "<6>1 - - kernel - - - x");
        let message = unit_line("kernel", "2024-02-29T12:00:00.123Z 5.690716 warning: sda: bad", "a");
        assert_eq!(message, "<4>1 2024-02-29T12:00:00.123Z a kernel - - - 5.690716 warning: sda: bad");
        assert_eq!(unit_line("x y", "no time", "a"), "<30>1 - a xy - - - no time");
        let long = unit_line("x", &"ä".repeat(9000), "a");
        assert_eq!(long.len(), "<30>1 - a x - - - ".len() + 8192);
        assert_eq!(lost(3, BOOTED, "a"), "<29>1 2024-02-29T00:00:00.250Z a kmimage - - - messages lost before this one: 3");
    }
}
