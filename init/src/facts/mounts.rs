//! What is mounted where, by /proc/self/mounts.

use super::{FactError, read_text};
use std::path::{Path, PathBuf};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The device, or whatever was named as one.
    pub source: String,
    /// Where it is mounted.
    pub target: PathBuf,
}

/// All mounts, in the order in which they were made.
pub fn read() -> Result<Vec<Mount>, FactError> {
    Ok(parse(&read_text(Path::new("/proc/self/mounts"))?))
}

fn parse(text: &str) -> Vec<Mount> {
    let fields = |line: &str| {
        let mut words = line.split(' ');
        Some(Mount { source: unescape(words.next()?), target: unescape(words.next()?).into() })
    };
    text.lines().filter_map(fields).collect()
}

/// The kernel writes white space and backslashes as three octal digits.
fn unescape(word: &str) -> String {
    let mut parts = word.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => text.extend(std::iter::once(char::from(byte)).chain(part[3..].chars())),
            None => text.extend(std::iter::once('\\').chain(part.chars())),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_their_odd_names() {
        let mounts = parse("/dev/dm-0 / squashfs ro 0 0\nx /a\\040b\\134c tmpfs rw 0 0\n\n");
        let texts: Vec<_> = mounts.iter().map(|mount| (mount.source.as_str(), mount.target.to_str().unwrap())).collect();
        assert_eq!(texts, [("/dev/dm-0", "/"), ("x", "/a b\\c")]);
    }
}
