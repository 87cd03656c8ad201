//! Where profiles, overlays and keyrings are found: in a folder of the user's first, then among those compiled into kmimage.

use super::embedded;
use super::error::ProfileError;
use super::model::SourceFile;
use super::raw::RawProfile;
use super::values;
use crate::hash::Sha256Digest;
use kmimage_contract::toml_document::{Document, nearest};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where an overlay's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlayPlace {
    /// A folder `overlays/NAME`, which holds `rootfs/` and perhaps `overlay.toml`.
    Directory(PathBuf),
    /// Files embedded in the binary, by path relative to the overlay's folder (`rootfs/etc/hosts`, `overlay.toml`), sorted.
    Embedded(&'static [EmbeddedFile]),
}

/// A file compiled into kmimage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedFile {
    /// Relative path.
    pub path: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

/// The shelves that a profile's names are looked up on.
#[derive(Debug, Clone)]
pub struct Library {
    directory: PathBuf,
}

/// What files of the same form are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// `profiles/NAME.toml`.
    Profiles,
    /// `profiles/extensions/NAME.toml`.
    Extensions,
}

impl Shelf {
    /// What one of them is.
    pub(super) fn what(self) -> &'static str {
        match self {
            Shelf::Profiles => "profile",
            Shelf::Extensions => "extension",
        }
    }

    /// Its folder in the library's.
    fn folder(self) -> &'static str {
        match self {
            Shelf::Profiles => "profiles",
            Shelf::Extensions => "profiles/extensions",
        }
    }

    fn embedded(self) -> &'static [EmbeddedFile] {
        match self {
            Shelf::Profiles => embedded::PROFILES,
            Shelf::Extensions => embedded::EXTENSIONS,
        }
    }
}

/// A profile, or an extension, in the list of them.
#[derive(Debug)]
pub struct Listing {
    /// Its name.
    pub name: String,
    /// The file, or `embedded:profiles/NAME.toml`.
    pub file: String,
    /// What it says of itself, or why it can't be read.
    pub description: Result<String, ProfileError>,
}

/// A profile's text with where it is from.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) document: Document,
    pub(super) file: SourceFile,
    /// The folder that holds it; none for an embedded one.
    pub(super) folder: Option<PathBuf>,
}

impl Library {
    /// `DIRECTORY/profiles` and `DIRECTORY/overlays`, then what is embedded. The folders need not exist.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The names of all that are on a shelf, sorted.
    pub fn names(&self, shelf: Shelf) -> Result<Vec<String>, ProfileError> {
        let mut names: Vec<String> = shelf.embedded().iter().filter_map(|file| profile_name(file.path)).collect();
        let folder = self.directory.join(shelf.folder());
        let entries = match fs_err::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
            Err(source) => return Err(ProfileError::Read { path: folder, source }),
        };
        for entry in entries {
            let entry = entry.map_err(|source| ProfileError::Read { path: folder.clone(), source })?;
            names.extend(entry.file_name().to_str().and_then(profile_name));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// All that are on a shelf with what they say of themselves, by name.
    pub fn listings(&self, shelf: Shelf) -> Result<Vec<Listing>, ProfileError> {
        let mut listings = Vec::new();
        for name in self.names(shelf)? {
            let Some(found) = self.find(shelf, &name)? else { continue };
            let description = found.document.decode::<RawProfile>().map(|raw| raw.description.into_inner());
            listings.push(Listing { name, file: found.file.path, description: description.map_err(ProfileError::from) });
        }
        Ok(listings)
    }

    /// The text of a profile or an extension.
    pub(super) fn find(&self, shelf: Shelf, name: &str) -> Result<Option<Found>, ProfileError> {
        if values::name(name).is_err() {
            return Ok(None);
        }
        let file = format!("{name}.toml");
        let folder = self.directory.join(shelf.folder());
        if let Some(bytes) = read(&folder.join(&file))? {
            let path = shown(&folder.join(&file));
            return Self::found(path, &bytes, Some(folder)).map(Some);
        }
        match shelf.embedded().iter().find(|embedded| embedded.path == file) {
            Some(embedded) => Self::found(format!("embedded:{}/{file}", shelf.folder()), embedded.bytes, None).map(Some),
            None => Ok(None),
        }
    }

    fn found(path: String, bytes: &[u8], folder: Option<PathBuf>) -> Result<Found, ProfileError> {
        let document = Document::from_bytes(path.as_str(), bytes)?;
        Ok(Found { document, file: SourceFile { path, sha256: Sha256Digest::of(bytes) }, folder })
    }

    /// The error of a profile that nobody has.
    pub(super) fn unknown(&self, name: &str) -> ProfileError {
        match self.names(Shelf::Profiles) {
            Err(error) => error,
            Ok(known) => {
                let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
                ProfileError::Unknown { name: name.escape_debug().to_string(), known, nearest }
            }
        }
    }

    /// Where the overlay of this name is.
    pub(super) fn overlay(&self, name: &str) -> Option<OverlayPlace> {
        let folder = self.directory.join("overlays").join(name);
        if folder.is_dir() {
            return Some(OverlayPlace::Directory(folder));
        }
        embedded::OVERLAYS.iter().find(|(overlay, _)| *overlay == name).map(|(_, files)| OverlayPlace::Embedded(files))
    }

    /// The names of all overlays.
    pub(super) fn overlay_names(&self) -> Vec<String> {
        let mut names: Vec<String> = embedded::OVERLAYS.iter().map(|(name, _)| (*name).to_owned()).collect();
        if let Ok(entries) = fs_err::read_dir(self.directory.join("overlays")) {
            names.extend(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()));
        }
        names
    }

    /// A file of `profiles/keyrings`.
    pub(super) fn keyring(&self, name: &str) -> Result<Option<Vec<u8>>, ProfileError> {
        if let Some(bytes) = read(&self.profiles().join("keyrings").join(name))? {
            return Ok(Some(bytes));
        }
        Ok(embedded::KEYRINGS.iter().find(|file| file.path == name).map(|file| file.bytes.to_vec()))
    }

    /// The embedded keyrings' names, and those of the user's folder.
    pub(super) fn keyring_names(&self) -> Vec<String> {
        let mut names: Vec<String> = embedded::KEYRINGS.iter().map(|file| file.path.to_owned()).collect();
        if let Ok(entries) = fs_err::read_dir(self.profiles().join("keyrings")) {
            names.extend(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()));
        }
        names
    }

    fn profiles(&self) -> PathBuf {
        self.directory.join("profiles")
    }
}

/// Every embedded keyring by name: which of them a test or a tool wants to look at.
pub fn embedded_keyrings() -> BTreeMap<&'static str, &'static [u8]> {
    embedded::KEYRINGS.iter().map(|file| (file.path, file.bytes)).collect()
}

fn profile_name(file: &str) -> Option<String> {
    values::name(file.strip_suffix(".toml")?).ok()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, ProfileError> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(ProfileError::Read { path: path.to_owned(), source }),
    }
}

/// A path as messages show it: without a leading `./`.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}
