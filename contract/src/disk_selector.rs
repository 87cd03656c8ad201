//! Which disk is meant, by what it is: the conditions of an installation's target. Pure; whoever looks at disks asks [`DiskSelector::misses`].
//!
//! ```text
//! text       = condition *( "," condition )
//! condition  = ( "id" | "serial" | "wwn" | "model" ) ":" value | "size:" comparison
//! comparison = ( ">=" | "<=" | ">" | "<" | "=" ) number ( "KiB" | "MiB" | "GiB" )
//! ```
//! Every condition must hold. In a text a value has no comma; a machine config has a key for each instead and can say all.

use crate::notation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Conditions that a disk has to meet, all of them; without any, every disk does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSelector {
    /// A name in /dev/disk/by-id.
    pub id: Option<String>,
    /// The serial number.
    pub serial: Option<String>,
    /// The world-wide name, in the form of [`normal_wwn`].
    pub wwn: Option<String>,
    /// The model; one space for each run of white space.
    pub model: Option<String>,
    /// Bounds of the size.
    pub size: Vec<SizeBound>,
}

/// A bound of a disk's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeBound {
    /// How the disk's size compares.
    pub comparison: Comparison,
    /// With how many bytes.
    pub bytes: u64,
}

/// How two sizes compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `<`
    Less,
    /// `=`
    Exactly,
}

/// With the longer ones first: `>` begins `>=`.
const COMPARISONS: [(&str, Comparison); 5] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::More),
    ("<", Comparison::Less),
    ("=", Comparison::Exactly),
];

/// What a selector asks of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskIdentity {
    /// All its names in /dev/disk/by-id.
    pub ids: Vec<String>,
    /// Its serial number; empty: it has none.
    pub serial: String,
    /// Its world-wide name in the form of [`normal_wwn`]; empty: it has none.
    pub wwn: String,
    /// Its model.
    pub model: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A text that is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no condition of a disk: id:, serial:, wwn:, model: or size: with a value")]
pub struct NotASelector(pub String);

/// A world-wide name as it is compared: lower-case, without what tools write before it (`0x`, `wwn-`, `naa.`, `nvme-`).
pub fn normal_wwn(text: &str) -> String {
    let mut text = text.trim().to_ascii_lowercase();
    for prefix in ["wwn-", "nvme-", "naa.", "0x"] {
        if let Some(rest) = text.strip_prefix(prefix) {
            text = rest.to_owned();
        }
    }
    text
}

/// A model as it is compared: one space for each run of white space.
pub fn normal_model(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A comparison of sizes: `>= 100 GiB`.
pub fn size_bound(text: &str) -> Option<SizeBound> {
    let text = text.trim();
    let (sign, comparison) = COMPARISONS.iter().find(|(sign, _)| text.starts_with(sign))?;
    let bytes = notation::size(text.strip_prefix(sign)?.trim_start())?;
    Some(SizeBound { comparison: *comparison, bytes })
}

impl SizeBound {
    /// Whether a size is within it.
    pub fn holds(&self, size: u64) -> bool {
        match self.comparison {
            Comparison::AtLeast => size >= self.bytes,
            Comparison::AtMost => size <= self.bytes,
            Comparison::More => size > self.bytes,
            Comparison::Less => size < self.bytes,
            Comparison::Exactly => size == self.bytes,
        }
    }
}

impl DiskSelector {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first condition that a disk doesn't meet; none: it meets all.
    pub fn misses(&self, disk: &DiskIdentity) -> Option<&'static str> {
        let differs = |wanted: &Option<String>, own: &str| wanted.as_ref().is_some_and(|wanted| wanted != own);
        if self.id.as_ref().is_some_and(|wanted| !disk.ids.contains(wanted)) {
            Some("id")
        } else if differs(&self.serial, disk.serial.trim()) {
            Some("serial")
        } else if differs(&self.wwn, &disk.wwn) {
            Some("wwn")
        } else if differs(&self.model, &normal_model(&disk.model)) {
            Some("model")
        } else {
            (!self.size.iter().all(|bound| bound.holds(disk.size))).then_some("size")
        }
    }
}

impl FromStr for DiskSelector {
    type Err = NotASelector;

    fn from_str(text: &str) -> Result<Self, NotASelector> {
        let mut selector = Self::default();
        for condition in text.split(',') {
            let bad = || NotASelector(condition.to_owned());
            let (key, value) = condition.split_once(':').ok_or_else(bad)?;
            let (key, value) = (key.trim(), value.trim());
            if value.is_empty() {
                return Err(bad());
            }
            let place = match key {
                "size" => {
                    selector.size.push(size_bound(value).ok_or_else(bad)?);
                    continue;
                }
                "id" => &mut selector.id,
                "serial" => &mut selector.serial,
                "wwn" => &mut selector.wwn,
                "model" => &mut selector.model,
                _ => return Err(bad()),
            };
            if place.is_some() {
                return Err(bad());
            }
            *place = Some(match key {
                "wwn" => normal_wwn(value),
                "model" => normal_model(value),
                _ => value.to_owned(),
            });
        }
        Ok(selector)
    }
}

impl fmt::Display for DiskSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [("id", &self.id), ("serial", &self.serial), ("wwn", &self.wwn), ("model", &self.model)];
        let mut words: Vec<String> =
            texts.iter().filter_map(|(key, value)| value.as_ref().map(|value| format!("{key}:{value}"))).collect();
        for bound in &self.size {
            let sign = COMPARISONS.iter().find(|(_, known)| *known == bound.comparison).map_or("", |(sign, _)| sign);
            let (number, unit) = [(30, "GiB"), (20, "MiB"), (10, "KiB")]
                .into_iter()
                .find(|(shift, _)| bound.bytes.is_multiple_of(1 << shift))
                .map_or((bound.bytes, ""), |(shift, unit)| (bound.bytes >> shift, unit));
            words.push(format!("size:{sign}{number}{unit}"));
        }
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> DiskIdentity {
        DiskIdentity {
            ids: vec!["ata-QEMU_HARDDISK_QM00013".to_owned(), "wwn-0x5000c500a1b2c3d4".to_owned()],
            serial: "QM00013 ".to_owned(),
            wwn: "5000c500a1b2c3d4".to_owned(),
            model: "QEMU  HARDDISK ".to_owned(),
            size: 20 << 30,
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let check = |text: &str, misses: Option<&str>| {
            let selector: DiskSelector = text.parse().unwrap();
            assert_eq!(selector.misses(&disk()), misses, "{text}");
            assert_eq!(selector.to_string().parse(), Ok(selector));
        };
        check("id:ata-QEMU_HARDDISK_QM00013", None);
        check("id:QM00013", Some("id"));
        check("serial:QM00013,size:>=20GiB", None);
        check("serial:QM00013,size:> 20 GiB", Some("size"));
        check("serial:qm00013", Some("serial"));
        check("wwn:0x5000C500A1B2C3D4", None);
        check("wwn:wwn-0x5000c500a1b2c3d4", None);
        check("wwn:naa.5000c500a1b2c3d5", Some("wwn"));
        check("model:QEMU HARDDISK", None);
        check("model:QEMU  HARDDISK,size:>1GiB,size:<=20480MiB,size:=20GiB", None);
        check("size:<20971520KiB", Some("size"));
        assert_eq!(DiskSelector::default().misses(&disk()), None);
    }

    #[test]
    fn what_is_no_selector_is_named() {
        for (text, part) in [
            ("", ""),
            ("sda", "sda"),
            ("serial:", "serial:"),
            ("serial:A,serial:B", "serial:B"),
            ("path:/dev/sda", "path:/dev/sda"),
            ("size:100GiB", "size:100GiB"),
            ("size:>=100", "size:>=100"),
            ("size:>=1 TB", "size:>=1 TB"),
            ("id:a,", ""),
        ] {
            assert_eq!(text.parse::<DiskSelector>(), Err(NotASelector(part.to_owned())), "{text}");
        }
    }
}
