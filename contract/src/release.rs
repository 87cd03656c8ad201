//! os-release: an image's identity as a file of the image (os-release(5)).
//!
//! The builder writes it, init reads it for its state lines, systemd's tools read it from the UKI and the root.

use std::collections::BTreeMap;
use std::fmt;

/// The key that carries the image's role.
pub const ROLE_KEY: &str = "KMIMAGE_ROLE";

/// The key that carries the size of a slot in bytes.
pub const SLOT_SIZE_KEY: &str = "KMIMAGE_SLOT_SIZE";

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// IMAGE_ID: `kmimage-<profile>`.
    pub image_id: String,
    /// IMAGE_VERSION.
    pub version: String,
    /// KMIMAGE_ROLE: the profile's role.
    pub role: String,
    /// KMIMAGE_SLOT_SIZE: how many bytes a slot of its disks has ([`crate::disk_layout`]).
    pub slot_size: u64,
}

/// Why an os-release file says too little or is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// A line that is no assignment, or whose quotes don't match.
    #[error("os-release, line {0}: not an assignment as os-release(5) has it")]
    Line(usize),
    /// A key that an image of kmimage must have.
    #[error("os-release has no {0}")]
    Missing(&'static str),
}

impl Release {
    /// The file's text: kmimage's own identity, and the base distribution's by ID_LIKE.
    pub fn render(&self) -> String {
        let pretty = format!("kmimage {} {}", self.role, self.version);
        let lines = [
            ("NAME", "kmimage"),
            ("ID", "kmimage"),
            ("ID_LIKE", "debian"),
            ("PRETTY_NAME", &pretty),
            ("VERSION_ID", &self.version),
            ("IMAGE_ID", &self.image_id),
            ("IMAGE_VERSION", &self.version),
            (ROLE_KEY, &self.role),
            (SLOT_SIZE_KEY, &self.slot_size.to_string()),
        ];
        lines.iter().map(|(key, value)| format!("{key}={}\n", Quoted(value))).collect()
    }

    /// Reads the keys that kmimage needs out of a file.
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        let mut values = assignments(text)?;
        let mut take = |key: &'static str| values.remove(key).filter(|v| !v.is_empty()).ok_or(ReleaseError::Missing(key));
        let slot_size = take(SLOT_SIZE_KEY)?.parse().map_err(|_| ReleaseError::Missing(SLOT_SIZE_KEY))?;
        Ok(Self { image_id: take("IMAGE_ID")?, version: take("IMAGE_VERSION")?, role: take(ROLE_KEY)?, slot_size })
    }
}

/// All assignments of an os-release file; of a key that occurs twice the last, as a shell would have it.
pub fn assignments(text: &str) -> Result<BTreeMap<String, String>, ReleaseError> {
    let mut values = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(ReleaseError::Line(number))?;
        let good_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let value = unquote(value).filter(|_| good_key).ok_or(ReleaseError::Line(number))?;
        values.insert(key.to_owned(), value);
    }
    Ok(values)
}

/// A value as os-release(5) has it: bare when it needs no quotes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && self.0.bytes().all(is_bare) {
            return f.write_str(self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\' | '$' | '`') {
                f.write_str("\\")?;
            }
            // A line break can't be written; no value of ours has one.
            write!(f, "{}", if c.is_control() { ' ' } else { c })?;
        }
        f.write_str("\"")
    }
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-+~:/@,%".contains(&byte)
}

fn unquote(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('\'') {
        return inner.strip_suffix('\'').filter(|inner| !inner.contains('\'')).map(str::to_owned);
    }
    let Some(inner) = text.strip_prefix('"') else {
        return (!text.contains(['"', '\'', '\\', '$', '`', ' ', '\t'])).then(|| text.to_owned());
    };
    let mut value = String::new();
    let mut characters = inner.chars();
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(value),
            '\\' => match characters.next()? {
                c @ ('"' | '\\' | '$' | '`') => value.push(c),
                c => value.extend(['\\', c]),
            },
            '$' | '`' => return None,
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Release {
        Release {
            image_id: "kmimage-base".to_owned(),
            version: "0.1.0".to_owned(),
            role: "base".to_owned(),
            slot_size: 256 << 20,
        }
    }

    #[test]
    fn the_file_is_this_text() {
        let text = "NAME=kmimage\nID=kmimage\nID_LIKE=debian\nPRETTY_NAME=\"kmimage base 0.1.0\"\nVERSION_ID=0.1.0\n\
                    IMAGE_ID=kmimage-base\nIMAGE_VERSION=0.1.0\nKMIMAGE_ROLE=base\n\
                    KMIMAGE_SLOT_SIZE=268435456\n";
        assert_eq!(release().render(), text);
        assert_eq!(Release::parse(text), Ok(release()));
    }

    #[test]
    fn odd_values_survive_the_round_trip() {
        for odd in ["a b", "say \"x\"", "$HOME `id` \\", "ä", "it's"] {
            let release = Release { version: odd.to_owned(), ..release() };
            assert_eq!(Release::parse(&release.render()), Ok(release));
        }
    }

    #[test]
    fn faults_are_named() {
        let check = |text: &str, expect: &str| assert_eq!(Release::parse(text).unwrap_err().to_string(), expect);
        check("", "os-release has no KMIMAGE_SLOT_SIZE");
        check("KMIMAGE_SLOT_SIZE=1 GiB", "os-release, line 1: not an assignment as os-release(5) has it");
        check("KMIMAGE_SLOT_SIZE=1GiB", "os-release has no KMIMAGE_SLOT_SIZE");
        check("# x\n\nNAME", "os-release, line 3: not an assignment as os-release(5) has it");
        check("name=x", "os-release, line 1: not an assignment as os-release(5) has it");
        check("A=\"x", "os-release, line 1: not an assignment as os-release(5) has it");
        check("A=$(id)", "os-release, line 1: not an assignment as os-release(5) has it");
        check("KMIMAGE_SLOT_SIZE=1\nIMAGE_ID=x\nIMAGE_VERSION=\"\"\n", "os-release has no IMAGE_VERSION");
    }
}
