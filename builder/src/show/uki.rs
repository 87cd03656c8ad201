//! A unified kernel image as a value: its sections, and those that are text.

use super::source::{Source, read_some};
use super::{Boxed, Shown};
use crate::assemble::pe::{Headers, Section};
use serde::Serialize;
use std::collections::BTreeMap;

/// Headers of foreign images may be large, but not larger than this.
const MOST_HEADERS: u64 = 64 << 10;
/// The text sections are small; what is longer is cut.
const MOST_TEXT: u64 = 16 << 10;
const TEXT_SECTIONS: [&str; 5] = [".osrel", ".cmdline", ".uname", ".sbat", PROFILE];
/// Begins a profile: what follows it belongs to that one.
pub(super) const PROFILE: &str = ".profile";

/// A PE image.
#[derive(Debug, Serialize)]
pub struct Uki {
    /// Bytes of memory that the loaded image takes.
    pub size_of_image: u32,
    /// True if it carries a signature.
    pub signed: bool,
    /// Sections in file order.
    pub sections: Vec<Section>,
    /// The sections that are text, by name: those that every profile has.
    pub texts: BTreeMap<String, String>,
    /// The same of each profile, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<BTreeMap<String, String>>,
}

impl Uki {
    /// Reads headers and text sections.
    pub fn read(source: &dyn Source) -> Result<Self, Boxed> {
        let headers = Headers::parse(&read_some(source, 0, MOST_HEADERS)?)?;
        let (mut texts, mut profiles) = (BTreeMap::new(), Vec::new());
        for section in headers.sections.iter().filter(|section| TEXT_SECTIONS.contains(&section.name.as_str())) {
            let len = u64::from(section.virtual_size.min(section.raw_size)).min(MOST_TEXT);
            let bytes = read_some(source, u64::from(section.raw_offset), len)?;
            let text = String::from_utf8_lossy(&bytes);
            if section.name == PROFILE {
                profiles.push(BTreeMap::new());
            }
            let texts = profiles.last_mut().unwrap_or(&mut texts);
            texts.insert(section.name.clone(), text.trim_end_matches(['\0', '\n']).to_owned());
        }
        Ok(Self {
            size_of_image: headers.size_of_image,
            signed: headers.certificates != (0, 0),
            sections: headers.sections,
            texts,
            profiles,
        })
    }
}

pub(super) fn decode(source: &dyn Source) -> Result<Shown, Boxed> {
    Ok(Shown::Uki(Uki::read(source)?))
}
