//! A directory of .deb files as a repository: scanned without an index, searched by SHA-256.

use super::error::FetchError;
use super::index::IndexText;
use crate::compose::deb::Deb;
use crate::deb822::{self, Comments};
use crate::hash::Sha256Digest;
use crate::lock::LockedPackage;
use crate::parallel;
use fs_err as fs;
use std::path::{Path, PathBuf};

/// The .deb files of a directory (not of those below it), by name.
fn files(repository: &str, directory: &Path) -> Result<Vec<PathBuf>, FetchError> {
    let failed = |source| FetchError::Directory { repository: repository.into(), directory: directory.into(), source };
    let mut paths = Vec::new();
    // std's error, not fs_err's: ours names the directory already.
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "deb") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// What a directory offers, in the form of a `Packages` text.
pub(super) fn index(repository: &str, directory: &Path) -> Result<IndexText, FetchError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let paragraphs = parallel::each(&files(repository, directory)?, threads, |path, _| paragraph(repository, path))?;
    Ok(IndexText { label: directory.display().to_string(), text: paragraphs.concat() })
}

fn paragraph(repository: &str, path: &Path) -> Result<String, FetchError> {
    let failed = |source| FetchError::Directory { repository: repository.into(), directory: path.into(), source };
    let bad = |reason: String| FetchError::BadControl { repository: repository.into(), path: path.into(), reason };
    let bad_deb = |source| FetchError::BadDeb { repository: repository.into(), path: path.into(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let control = Deb::open(&file).and_then(|deb| deb.control()).map_err(bad_deb)?;
    let text = deb822::text(&control.paragraph).map_err(|error| bad(error.to_string()))?;
    let paragraph = deb822::single(text, Comments::Refused)
        .map_err(|error| bad(error.to_string()))?
        .ok_or_else(|| bad("it is not a single paragraph".to_string()))?;
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| bad("the file's name is not UTF-8".to_string()))?;
    let size = file.metadata().map_err(failed)?.len();
    let sha256 = Sha256Digest::of_reader(&mut file).map_err(failed)?;
    let mut index = String::new();
    for field in paragraph.fields() {
        if !["Filename", "Size", "SHA256"].iter().any(|ours| field.name.eq_ignore_ascii_case(ours)) {
            index.push_str(&format!("{}: {}\n", field.name, field.value));
        }
    }
    index.push_str(&format!("Filename: {name}\nSize: {size}\nSHA256: {sha256}\n\n"));
    Ok(index)
}

/// Files of a directory that may be a locked package, the likely ones first: those called as in the lock, then those of its size. The
/// caller compares the hash.
pub(super) fn candidates(repository: &str, directory: &Path, package: &LockedPackage) -> Result<Vec<PathBuf>, FetchError> {
    let name = package.path.rsplit('/').next().unwrap_or(&package.path);
    let named = |path: &PathBuf| path.file_name().is_some_and(|file| file == name);
    let mut found: Vec<PathBuf> = files(repository, directory)?
        .into_iter()
        .filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.len() == package.size))
        .collect();
    found.sort_by_key(|path| !named(path));
    Ok(found)
}
