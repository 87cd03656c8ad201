//! What a program writes, read line by line and never faster than is good for process 1: a program that floods its log waits for us,
//! we never for it.

use kmimage_sys::spawn::Pipe;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

/// The longest line; a longer one is cut into several.
pub(super) const LONGEST_LINE: usize = 4096;
/// How much a program may write at once, in bytes, and how much for each second over a longer time.
const BURST: u64 = 256 << 10;
const PER_SECOND: u64 = 512 << 10;
/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// Our end of a program's standard output or error.
#[derive(Debug)]
pub(super) struct Stream {
    pipe: Pipe,
    /// The begin of a line whose end has not come yet.
    part: Vec<u8>,
    /// How many bytes may be read now.
    allowance: u64,
    /// When that was counted.
    counted: Duration,
}

impl Stream {
    pub(super) fn new(pipe: Pipe, now: Duration) -> Self {
        Self { pipe, part: Vec::new(), allowance: BURST, counted: now }
    }

    /// What to wait for. `None`: it has written too much lately.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (self.allowance >= CHUNK as u64).then(|| self.pipe.as_fd())
    }

    /// When it is worth looking again, where there is nothing to wait for.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.descriptor().is_none().then(|| self.counted + Duration::from_millis(100))
    }

    /// Reads what is there, one chunk at most. Returns the lines that are complete, and whether more may come.
    pub(super) fn read(&mut self, now: Duration) -> (Vec<String>, bool) {
        self.refill(now);
        if self.descriptor().is_none() {
            return (Vec::new(), true);
        }
        let mut chunk = [0; CHUNK];
        match self.pipe.read(&mut chunk) {
            Ok(None) => (Vec::new(), true),
            Ok(Some(length @ 1..)) => {
                self.allowance = self.allowance.saturating_sub(length as u64);
                (take_lines(&mut self.part, chunk.get(..length).unwrap_or_default()), true)
            }
            // Closed, or broken: the same to us. A line without its end is one, too.
            Ok(Some(_)) | Err(_) => {
                let rest = std::mem::take(&mut self.part);
                let last = (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned());
                (last.into_iter().collect(), false)
            }
        }
    }

    fn refill(&mut self, now: Duration) {
        let passed = u64::try_from(now.saturating_sub(self.counted).as_millis()).unwrap_or(u64::MAX);
        let earned = passed.saturating_mul(PER_SECOND) / 1000;
        // Less than a byte earned stays to be counted.
        if earned > 0 {
            self.allowance = self.allowance.saturating_add(earned).min(BURST);
            self.counted = now;
        }
    }
}

/// Puts bytes behind the begin of a line, and takes the complete lines out. Bytes that are no UTF-8 are replaced.
fn take_lines(part: &mut Vec<u8>, bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
        for piece in piece.chunks(LONGEST_LINE) {
            let (piece, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |line| (line, true));
            let room = LONGEST_LINE.saturating_sub(part.len());
            let (fits, rest) = piece.split_at(room.min(piece.len()));
            part.extend_from_slice(fits);
            if ended || !rest.is_empty() {
                lines.push(String::from_utf8_lossy(part).trim_end_matches('\r').to_owned());
                part.clear();
                part.extend_from_slice(rest);
            }
            if ended && !rest.is_empty() {
                lines.push(String::from_utf8_lossy(part).trim_end_matches('\r').to_owned());
                part.clear();
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_cut() {
        let check = |pieces: &[&[u8]], expect: &[&str], rest: &str| {
            let mut part = Vec::new();
            let lines: Vec<String> = pieces.iter().flat_map(|piece| take_lines(&mut part, piece)).collect();
            assert_eq!((lines, String::from_utf8_lossy(&part)), (expect.iter().map(|&l| l.to_owned()).collect(), rest.into()));
        };
        check(&[b"a\nb"], &["a"], "b");
        check(&[b"a", b"b", b"\r\n", b"\nc"], &["ab", ""], "c");
        check(&[b"\xff\n"], &["\u{fffd}"], "");
        let long = "x".repeat(LONGEST_LINE);
        check(&[long.as_bytes(), b"\n"], &[&long], "");
        check(&[long.as_bytes(), b"y\n"], &[&long, "y"], "");
        check(&[format!("{long}{long}z").as_bytes()], &[&long, &long], "z");
        check(&[b"ab", long.as_bytes(), b"\n"], &[&format!("ab{}", &long[2..]), "xx"], "");
    }

    #[test]
    fn no_bytes_are_lost_or_kept_for_ever_however_they_come() {
        let text: Vec<u8> = (0..50_000u32).map(|n| if n % 9_001 == 0 { b'\n' } else { b'a' + (n % 26) as u8 }).collect();
        for size in [1, 7, 4095, 4096, 4097, 16_384] {
            let mut part = Vec::new();
            let mut found = String::new();
            for chunk in text.chunks(size) {
                for line in take_lines(&mut part, chunk) {
                    assert!(line.len() <= LONGEST_LINE);
                    found.push_str(&line);
                }
                assert!(part.len() <= LONGEST_LINE);
            }
            found.push_str(&String::from_utf8_lossy(&part));
            let expect: Vec<u8> = text.iter().copied().filter(|&byte| byte != b'\n').collect();
            assert_eq!(found.as_bytes(), expect, "in pieces of {size}");
        }
    }
}
