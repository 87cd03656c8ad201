//! An EFI system partition as a value: its files, the text of small settings, the kernel images in it.

use super::fat::{Fat, FatFile};
use super::source::Source;
use super::uki::Uki;
use super::{Boxed, Shown};
use serde::Serialize;

const MOST_SETTINGS: u64 = 4 << 10;
/// Larger kernel images are listed, not looked into.
const MOST_UKI: u64 = 256 << 20;

/// An EFI system partition.
#[derive(Debug, Serialize)]
pub struct Esp {
    /// Its files, in the order of the directories.
    pub files: Vec<EspFile>,
}

/// A file of the partition.
#[derive(Debug, Serialize)]
pub struct EspFile {
    /// Path.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The text of a small settings file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What a unified kernel image holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uki: Option<Uki>,
}

pub(super) fn decode(source: &dyn Source) -> Result<Shown, Boxed> {
    let fat = Fat::open(source)?;
    let files = fat.files()?.iter().map(|file| look_into(&fat, file)).collect::<Result<_, Boxed>>()?;
    Ok(Shown::Esp(Esp { files }))
}

fn look_into(fat: &Fat<'_>, file: &FatFile) -> Result<EspFile, Boxed> {
    let name = file.path.to_lowercase();
    let settings = [".conf", ".srel", ".toml", ".env"].iter().any(|ending| name.ends_with(ending)) && file.size <= MOST_SETTINGS;
    let text = match settings {
        true => {
            let text = String::from_utf8_lossy(&fat.read(file, MOST_SETTINGS)?).into_owned();
            // An environment block is filled up to its length.
            Some(if name.ends_with(".env") { text.trim_end_matches('#').to_owned() } else { text })
        }
        false => None,
    };
    let mut uki = None;
    if name.ends_with(".efi") && file.size <= MOST_UKI {
        let bytes = fat.read(file, MOST_UKI)?;
        // A boot loader is a PE image, too, but has nothing to tell.
        uki = Uki::read(&bytes.as_slice()).ok().filter(|uki| uki.texts.contains_key(".cmdline"));
    }
    Ok(EspFile { path: file.path.clone(), size: file.size, text, uki })
}
