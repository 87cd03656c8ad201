//! Debian's version numbers, `[epoch:]upstream[-revision]`, and their order (Debian Policy 5.6.12, deb-version(7)).
//!
//! The order is dpkg's: epochs as numbers, then upstream and revision each as alternating runs of non-digits and digits, where `~`
//! comes before everything, even before the end, and letters before all else.

use std::cmp::Ordering;
use std::fmt;

/// A version, split and checked. Two versions that dpkg calls equal (`1.0` and `1.00`, `1` and `1-0`) are equal here.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    text: &'a str,
    epoch: u32,
    upstream: &'a str,
    revision: &'a str,
}

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Nothing there.
    #[error("an empty version")]
    Empty,
    /// The part before the colon is no number from 0 to 2147483647.
    #[error("version `{0}`: the epoch (before the first `:`) is not a number from 0 to 2147483647")]
    Epoch(String),
    /// Nothing between epoch and revision.
    #[error("version `{0}`: nothing stands for the upstream version")]
    NoUpstream(String),
    /// A hyphen with nothing after it.
    #[error("version `{0}`: nothing follows the last `-`")]
    NoRevision(String),
    /// A character that versions do not have.
    #[error("version `{text}`: `{character}` is not allowed in {part}")]
    Character {
        /// The whole version.
        text: String,
        /// The character that does not belong.
        character: char,
        /// Where it stands.
        part: &'static str,
    },
}

impl<'a> Version<'a> {
    /// Splits and checks a version. Outer blanks are not allowed.
    pub fn parse(text: &'a str) -> Result<Self, VersionError> {
        if text.is_empty() {
            return Err(VersionError::Empty);
        }
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) => (number(epoch).ok_or_else(|| VersionError::Epoch(text.to_owned()))?, rest),
            None => (0, text),
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            Some((_, "")) => return Err(VersionError::NoRevision(text.to_owned())),
            Some(parts) => parts,
            None => (rest, ""),
        };
        if upstream.is_empty() {
            return Err(VersionError::NoUpstream(text.to_owned()));
        }
        let bad = |c: &char, more: &[char]| !c.is_ascii_alphanumeric() && !".+~".contains(*c) && !more.contains(c);
        let refuse = |character, part| Err(VersionError::Character { text: text.to_owned(), character, part });
        if let Some(character) = upstream.chars().find(|c| bad(c, &['-', ':'])) {
            return refuse(character, "an upstream version (letters, digits, `. + - ~`)");
        }
        if let Some(character) = revision.chars().find(|c| bad(c, &[])) {
            return refuse(character, "a revision (letters, digits, `. + ~`)");
        }
        Ok(Self { text, epoch, upstream, revision })
    }

    /// The version as written.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The number before the first colon, 0 if there is none.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The part between epoch and revision.
    pub fn upstream(&self) -> &'a str {
        self.upstream
    }

    /// The part after the last hyphen, empty if there is none.
    pub fn revision(&self) -> &'a str {
        self.revision
    }
}

/// The epoch: dpkg keeps it in an `int`.
fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&n: &u32| n <= i32::MAX as u32)
}

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text)
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream, other.upstream))
            .then_with(|| compare_part(self.revision, other.revision))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version<'_> {}

/// Upstream or revision: a run of non-digits, then a run of digits, and so on, until they differ.
fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (a_word, a_rest) = a.split_at(run(a, |byte| !byte.is_ascii_digit()));
        let (b_word, b_rest) = b.split_at(run(b, |byte| !byte.is_ascii_digit()));
        let order = compare_words(a_word, b_word);
        if order.is_ne() {
            return order;
        }
        let (a_digits, a_rest) = a_rest.split_at(run(a_rest, |byte| byte.is_ascii_digit()));
        let (b_digits, b_rest) = b_rest.split_at(run(b_rest, |byte| byte.is_ascii_digit()));
        let order = compare_numbers(a_digits, b_digits);
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    Ordering::Equal
}

fn run(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| !is(byte)).unwrap_or(bytes.len())
}

/// `~` before the end, the end before letters, letters before everything else.
fn compare_words(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |bytes: &[u8], at: usize| match bytes.get(at) {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    (0..a.len().max(b.len())).map(|at| weight(a, at).cmp(&weight(b, at))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Numbers of any length: without leading zeros the longer one is the greater.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| run(digits, |byte| byte == b'0');
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_dpkgs() {
        // Each line ascends. The first is the example of Debian Policy 5.6.12.1.
        for ascending in [
            &["1~~", "1~~a", "1~", "1", "1a"][..],
            &["1.0~beta1~svn1245", "1.0~beta1", "1.0"],
            &["0.9", "1.0~rc1", "1.0", "1.0-1~bpo1", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-2", "1.0-10", "1.0.1", "1.1", "1.10"],
            &["99", "1:0", "1:0.1", "2:0~"],
            &["1", "1+", "1."],
            &["1a", "1b", "1+", "1+b1"],
            &["6.12.48-1", "6.12.48-1+deb13u1", "6.12.107-1"],
            &["2.41-12", "2.41-12+deb13u1", "2.41-12+deb13u3", "2.41-13"],
            &["1", "1-1", "1-1a", "1-1+"],
            &["9999999999999999999999", "10000000000000000000000", "10000000000000000000001"],
            &["1.2a", "1.2aa", "1.2ab"],
            &["257.13-1~deb13u1", "257.13-1"],
        ] {
            for (low, high) in ascending.iter().zip(&ascending[1..]) {
                let (low, high) = (Version::parse(low).unwrap(), Version::parse(high).unwrap());
                assert_eq!(low.cmp(&high), Ordering::Less, "{low} < {high}");
                assert_eq!(high.cmp(&low), Ordering::Greater, "{high} > {low}");
            }
        }
    }

    #[test]
    fn equal_though_written_differently() {
        for (a, b) in [("1.0", "1.00"), ("1", "1-0"), ("0:1", "1"), ("1.0-01", "1.0-1"), ("a", "a0"), ("1-00", "1")] {
            assert_eq!(Version::parse(a).unwrap(), Version::parse(b).unwrap(), "{a} = {b}");
        }
    }

    #[test]
    fn parts() {
        for (text, epoch, upstream, revision) in [
            ("1", 0, "1", ""),
            ("1:2.3-4", 1, "2.3", "4"),
            ("2.0-rc1-3ubuntu1", 0, "2.0-rc1", "3ubuntu1"),
            ("1:1:2-3", 1, "1:2", "3"),
            ("20250419", 0, "20250419", ""),
        ] {
            let version = Version::parse(text).unwrap();
            assert_eq!((version.epoch(), version.upstream(), version.revision()), (epoch, upstream, revision), "{text}");
            assert_eq!(version.to_string(), text);
        }
    }

    #[test]
    fn refused() {
        for (text, expect) in [
            ("", "an empty version"),
            (":1", "version `:1`: the epoch (before the first `:`) is not a number from 0 to 2147483647"),
            ("a:1", "version `a:1`: the epoch (before the first `:`) is not a number from 0 to 2147483647"),
            ("+1:1", "version `+1:1`: the epoch (before the first `:`) is not a number from 0 to 2147483647"),
            ("2147483648:1", "version `2147483648:1`: the epoch (before the first `:`) is not a number from 0 to 2147483647"),
            ("1:", "version `1:`: nothing stands for the upstream version"),
            ("-1", "version `-1`: nothing stands for the upstream version"),
            ("1-", "version `1-`: nothing follows the last `-`"),
            ("1 2", "version `1 2`: ` ` is not allowed in an upstream version (letters, digits, `. + - ~`)"),
            ("1-2_3", "version `1-2_3`: `_` is not allowed in a revision (letters, digits, `. + ~`)"),
            ("1ä", "version `1ä`: `ä` is not allowed in an upstream version (letters, digits, `. + - ~`)"),
        ] {
            assert_eq!(Version::parse(text).unwrap_err().to_string(), expect);
        }
    }
}
