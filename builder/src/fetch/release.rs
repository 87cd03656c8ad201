//! The Release paragraph: what a repository says about itself, and whether that is still to be believed. Pure.

use crate::deb822::{self, Comments, SyntaxError};
use crate::failure::{Classified, Kind};
use crate::hash::Sha256Digest;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A signed text that is no Release, or one that is not acceptable now.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReleaseError {
    /// Bad syntax.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// More or fewer paragraphs than one.
    #[error("it is not a single paragraph")]
    NotOneParagraph,
    /// A field that must be there.
    #[error("it has no field {0}")]
    Missing(&'static str),
    /// A field that cannot be understood.
    #[error("line {line}: the field {field} has the value `{value}`")]
    BadField {
        /// The line of the field's name.
        line: usize,
        /// The field.
        field: &'static str,
        /// Its value, or the line of it that is wrong.
        value: String,
    },
    /// Soundly signed, but the index of something else.
    #[error("it is the signed index of {}, not of the suite `{wanted}`", own_names(.suite, .codename))]
    OtherSuite {
        /// The suite that was asked for.
        wanted: String,
        /// Its Suite.
        suite: Option<String>,
        /// Its Codename.
        codename: Option<String>,
    },
    /// Valid-Until has passed.
    #[error("it was valid until {valid_until}; it is of {date}")]
    ExpiredRelease {
        /// The end.
        valid_until: Timestamp,
        /// When it was made.
        date: Timestamp,
    },
    /// Older than one that was seen.
    #[error(
        "it is of {date}, older than one of {newest} that {seen_by} has seen: someone replays an old state, or a mirror lags"
    )]
    RolledBack {
        /// When it was made.
        date: Timestamp,
        /// The newest seen.
        newest: Timestamp,
        /// "the store" or "the lock".
        seen_by: &'static str,
    },
}

impl Classified for ReleaseError {
    fn kind(&self) -> Kind {
        Kind::Trust
    }
}

fn own_names(suite: &Option<String>, codename: &Option<String>) -> String {
    let named = |what: &str, name: &Option<String>| name.as_ref().map(|name| format!("{what} `{name}`"));
    [named("Suite", suite), named("Codename", codename)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A file that a Release lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its SHA-256.
    pub sha256: Sha256Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// What a Release says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// When it was made.
    pub date: Timestamp,
    /// Until when it may be believed; many repositories do not say.
    pub valid_until: Option<Timestamp>,
    /// Suite, such as `stable`.
    pub suite: Option<String>,
    /// Codename, such as `trixie`.
    pub codename: Option<String>,
    /// Architectures.
    pub architectures: Vec<String>,
    /// True if files can be had by their hash (`by-hash/SHA256/`).
    pub by_hash: bool,
    /// True if the indexes of other architectures list the packages for all, too (and `binary-all` need not be read).
    pub all_is_included: bool,
    /// Files by path relative to the Release.
    pub files: BTreeMap<String, Listed>,
}

impl Release {
    /// Reads a Release text, which was verified before.
    pub fn parse(text: &[u8]) -> Result<Self, ReleaseError> {
        let paragraph = deb822::single(deb822::text(text)?, Comments::Refused)?.ok_or(ReleaseError::NotOneParagraph)?;
        let date = |field: &'static str| match paragraph.field(field) {
            None => Ok(None),
            Some(found) => parse_date(found.value).map(Some).ok_or_else(|| ReleaseError::BadField {
                line: found.line,
                field,
                value: found.value.to_string(),
            }),
        };
        let mut files = BTreeMap::new();
        let sums = paragraph.field("SHA256").ok_or(ReleaseError::Missing("SHA256"))?;
        for (offset, line) in sums.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let (path, listed) = parse_listed(line).ok_or_else(|| ReleaseError::BadField {
                line: sums.line + offset,
                field: "SHA256",
                value: line.to_string(),
            })?;
            files.insert(path, listed);
        }
        let words = |name| paragraph.field(name).map(|field| field.words().map(str::to_string).collect()).unwrap_or_default();
        Ok(Self {
            date: date("Date")?.ok_or(ReleaseError::Missing("Date"))?,
            valid_until: date("Valid-Until")?,
            suite: paragraph.get("Suite").map(str::to_string),
            codename: paragraph.get("Codename").map(str::to_string),
            architectures: words("Architectures"),
            by_hash: paragraph.get("Acquire-By-Hash") == Some("yes"),
            all_is_included: paragraph.get("No-Support-for-Architecture-all").is_some_and(|value| value.contains("Packages")),
            files,
        })
    }

    /// Refuses the Release of another suite: archives sign all of theirs with one key, so the signature alone does not say that a
    /// server gave the one that was asked for. A suite goes by Suite or by Codename; a Release with neither names nothing.
    pub fn is_of_suite(&self, wanted: &str) -> Result<(), ReleaseError> {
        let mut names = [&self.suite, &self.codename].into_iter().flatten().peekable();
        if names.peek().is_none() || names.any(|name| name == wanted) {
            return Ok(());
        }
        Err(ReleaseError::OtherSuite { wanted: wanted.to_string(), suite: self.suite.clone(), codename: self.codename.clone() })
    }

    /// Refuses a Release that has expired by `now`. A date in the future is no fault: clocks go wrong.
    pub fn still_valid(&self, now: Timestamp) -> Result<(), ReleaseError> {
        match self.valid_until {
            Some(valid_until) if valid_until < now => Err(ReleaseError::ExpiredRelease { valid_until, date: self.date }),
            _ => Ok(()),
        }
    }
}

/// Refuses a date older than the newest that `seen_by` knows.
pub fn not_rolled_back(date: Timestamp, newest: Option<Timestamp>, seen_by: &'static str) -> Result<(), ReleaseError> {
    match newest {
        Some(newest) if newest > date => Err(ReleaseError::RolledBack { date, newest, seen_by }),
        _ => Ok(()),
    }
}

/// `HASH SIZE PATH`; paths that climb are nobody's index.
fn parse_listed(line: &str) -> Option<(String, Listed)> {
    let mut words = line.split_ascii_whitespace();
    let (sha256, size, path) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
    let path = path.strip_prefix("./").unwrap_or(path);
    (words.next().is_none() && !path.starts_with('/')).then(|| (path.to_string(), Listed { sha256, size }))
}

/// RFC 5322 dates, in UTC as Release files have them: `Sat, 15 Nov 2025 09:51:13 UTC`, also with `+0000`, `GMT` or `Z`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let (day, month, year, time, zone) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !matches!(zone, "UTC" | "GMT" | "Z" | "+0000" | "-0000") {
        return None;
    }
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| *name == month)? as i8 + 1;
    let clock: Vec<i8> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hour, minute, second] = clock[..] else { return None };
    let date = jiff::civil::DateTime::new(year.parse().ok()?, month, day.parse().ok()?, hour, minute, second, 0).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_release() {
        let text = format!(
            "Origin: Debian\nSuite: stable\nCodename: trixie\nDate: Sat, 15 Nov 2025 09:51:13 UTC\n\
             Valid-Until: Sat, 22 Nov 2025 09:51:13 UTC\nAcquire-By-Hash: yes\nNo-Support-for-Architecture-all: Packages\n\
             Architectures: all amd64\nMD5Sum:\n 0 0 main/x\nSHA256:\n {HASH} 12 main/binary-amd64/Packages.xz\n {HASH} 0 ./Packages\n"
        );
        let release = Release::parse(text.as_bytes()).unwrap();
        let date: Timestamp = "2025-11-15T09:51:13Z".parse().unwrap();
        assert_eq!(release.date, date);
        assert_eq!(release.architectures, ["all", "amd64"]);
        assert!(release.by_hash && release.all_is_included);
        assert_eq!(release.files["main/binary-amd64/Packages.xz"].size, 12);
        assert_eq!(release.files["Packages"].sha256.to_string(), HASH);

        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(release.still_valid(at("2025-11-22T09:51:13Z")), Ok(()));
        assert_eq!(release.still_valid(at("2020-01-01T00:00:00Z")), Ok(()));
        assert_eq!(
            release.still_valid(at("2025-11-22T09:51:14Z")).unwrap_err().to_string(),
            "it was valid until 2025-11-22T09:51:13Z; it is of 2025-11-15T09:51:13Z"
        );
        assert_eq!(not_rolled_back(date, Some(date), "the store"), Ok(()));
        assert_eq!(
            not_rolled_back(date, Some(at("2025-12-01T00:00:00Z")), "the lock").unwrap_err().to_string(),
            "it is of 2025-11-15T09:51:13Z, older than one of 2025-12-01T00:00:00Z that the lock has seen: \
             someone replays an old state, or a mirror lags"
        );
    }

    #[test]
    fn whose_release() {
        let names = |fields: &str| {
            let text = format!("{fields}Date: Sat, 15 Nov 2025 09:51:13 UTC\nSHA256:\n {HASH} 0 Packages\n");
            Release::parse(text.as_bytes()).unwrap()
        };
        let trixie = names("Suite: stable\nCodename: trixie\n");
        let updates = names("Suite: stable-updates\nCodename: trixie-updates\n");
        for (release, wanted) in [(&trixie, "trixie"), (&trixie, "stable"), (&updates, "trixie-updates"), (&names(""), "any")] {
            assert_eq!(release.is_of_suite(wanted), Ok(()));
        }
        for (release, wanted, expected) in [
            (&updates, "trixie", "Suite `stable-updates`, Codename `trixie-updates`, not of the suite `trixie`"),
            (&trixie, "trixie-security", "Suite `stable`, Codename `trixie`, not of the suite `trixie-security`"),
            (&names("Codename: x\n"), "trixie", "Codename `x`, not of the suite `trixie`"),
        ] {
            let error = release.is_of_suite(wanted).unwrap_err();
            assert_eq!(error.to_string(), format!("it is the signed index of {expected}"));
        }
    }

    #[test]
    fn what_is_no_release() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Release::parse(text.as_bytes()).unwrap_err().to_string(), expected);
        };
        let date = "Date: Sat, 15 Nov 2025 09:51:13 UTC\n";
        check("", "it is not a single paragraph");
        check("Suite: x\n\nSuite: y\n", "it is not a single paragraph");
        check(date, "it has no field SHA256");
        check(&format!("SHA256:\n {HASH} 1 a\n"), "it has no field Date");
        check("Date: soon\nSHA256:\n", "line 1: the field Date has the value `soon`");
        check(&format!("{date}SHA256:\n {HASH} 1 a\n zz 1 b\n"), "line 4: the field SHA256 has the value `zz 1 b`");
        check(&format!("{date}SHA256:\n {HASH} -1 a\n"), &format!("line 3: the field SHA256 has the value `{HASH} -1 a`"));
    }

    #[test]
    fn dates() {
        let parsed = |text| parse_date(text).map(|date| date.to_string());
        assert_eq!(parsed("Sat, 01 Nov 2025  9:05:03 +0000").as_deref(), Some("2025-11-01T09:05:03Z"));
        assert_eq!(parsed("1 Nov 2025 09:05:03 GMT").as_deref(), Some("2025-11-01T09:05:03Z"));
        for bad in
            ["", "Sat, 31 Feb 2025 09:05:03 UTC", "Sat, 01 Nov 2025 25:05:03 UTC", "Sat, 01 Nov 2025 09:05:03 CET", "2025-11-01"]
        {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
