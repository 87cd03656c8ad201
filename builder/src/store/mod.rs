//! The content-addressed store in the user's cache directory: what was downloaded, and what was derived from it.
//!
//! ```text
//! lock                  held shared by every open store, exclusively by gc
//! blobs/ab/<sha256>     downloads; their name is their content; hashed again whenever they are opened
//! partial/<sha256>      a download under way, locked by who downloads it; an interrupted one is resumed
//! cached/<kind>/<key>   small derived data, sealed by a BLAKE3 digest (`cached`)
//! packs/<kind>/<key>    big derived files, sealed likewise (`pack`)
//! blocks/               compressed blocks of root images; `assemble::block_cache` reads, writes and checks them
//! seen/<key>            the newest Release date seen of a repository (`seen`)
//! tmp/                  files being written; renamed when complete
//! ```
//!
//! Nothing here is ever half-written under its own name. Nothing here is trusted when read: a blob that does not hash to its name is
//! an error (somebody's disk or memory fails), derived data that does not fit its seal counts as absent. Several builds may share a
//! store; deleting it costs time only (and the rollback protection of `seen`).
//!
//! It deliberately knows no package, repository or format.

mod blob;
mod derived;
mod error;
mod export;
#[cfg(test)]
mod full_tests;
mod pack;
mod partial;
mod seen;
mod upkeep;
mod write;

pub use error::StoreError;
pub use export::ExportReport;
pub use pack::{Pack, PackWriter};
pub(crate) use partial::Download;
pub use partial::Partial;
pub use upkeep::{GcReport, GcRules, VerifyReport};

use fs_err as fs;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// An open store. Cheap to share by reference among threads.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// Held shared for as long as the store is open, so that gc takes nothing away from a running build.
    lock: std::fs::File,
}

impl Store {
    /// Opens the store in `directory`, made if missing. Waits while another process collects garbage in it.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        for part in ["blobs", "partial", "cached", "packs", "seen", "tmp"] {
            fs::create_dir_all(directory.join(part))?;
        }
        let path = directory.join("lock");
        let lock = fs::File::options().read(true).append(true).create(true).open(&path)?.into_file();
        lock.lock_shared().map_err(|source| StoreError::Lock { path, source })?;
        Ok(Self { directory, lock })
    }

    /// Where the store of a user is: `$KMIMAGE_STORE`, else `$XDG_CACHE_HOME/kmimage`, else `$HOME/.cache/kmimage`.
    /// Relative values count as unset, as the XDG Base Directory Specification says. None: no variable says.
    pub fn default_directory<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Option<PathBuf> {
        if let Some(directory) = variable("KMIMAGE_STORE").filter(|value| !value.is_empty()) {
            return Some(directory.into());
        }
        let absolute = |name| variable(name).map(Path::new).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").map(Path::to_path_buf).or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(cache.join("kmimage"))
    }

    /// The directory that holds the store.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The file name of a key: any text becomes 64 hexadecimal digits.
fn key_name(key: &str) -> String {
    blake3::hash(key.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_store() {
        let find = |variables: &[(&str, &'static str)]| {
            let variables = variables.to_vec();
            Store::default_directory(move |name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsStr::new(*value))
            })
        };
        assert_eq!(find(&[("HOME", "/home/u")]), Some("/home/u/.cache/kmimage".into()));
        assert_eq!(find(&[("HOME", "/home/u"), ("XDG_CACHE_HOME", "/c")]), Some("/c/kmimage".into()));
        assert_eq!(find(&[("HOME", "/home/u"), ("XDG_CACHE_HOME", "c")]), Some("/home/u/.cache/kmimage".into()));
        assert_eq!(find(&[("HOME", "/home/u"), ("KMIMAGE_STORE", "s")]), Some("s".into()));
        assert_eq!(find(&[]), None);
    }
}
