//! Taking blobs out of the store, as files with names of their own.

use super::{Store, StoreError};
use crate::hash::Sha256Digest;
use crate::kept_file::{self, Durability};
use fs_err as fs;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// What an export did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportReport {
    /// Files in the directory now, those that were there before included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Puts blobs into `directory` (made if missing), each under its file name: as hard links where that is possible, else copied.
    /// All of them are verified first. A file that is there already must be the same.
    pub fn export(&self, blobs: &BTreeMap<String, Sha256Digest>, directory: &Path) -> Result<ExportReport, StoreError> {
        let mut missing = Vec::new();
        for (name, digest) in blobs {
            if name.is_empty() || name.contains('/') || name == "." || name == ".." {
                return Err(StoreError::BadName { name: name.clone() });
            }
            if self.blob(digest)?.is_none() {
                missing.push(name.clone());
            }
        }
        if !missing.is_empty() {
            return Err(StoreError::Missing { directory: self.directory.clone(), names: missing });
        }
        fs::create_dir_all(directory)?;
        let mut report = ExportReport::default();
        for (name, digest) in blobs {
            let (blob, path) = (self.blob_path(digest), directory.join(name));
            // std's: a failed link is no error, copying follows.
            if std::fs::hard_link(&blob, &path).is_err() && !is_same(&path, digest)? {
                copy(&blob, &path, directory)?;
            }
            report.files += 1;
            report.bytes += fs::metadata(&path)?.len();
        }
        Ok(report)
    }
}

/// True if the file is there with this content, false if it is not there.
fn is_same(path: &Path, digest: &Sha256Digest) -> Result<bool, StoreError> {
    match fs::File::open(path) {
        Ok(file) => match Sha256Digest::of_reader(file)? == *digest {
            true => Ok(true),
            false => Err(StoreError::Differs { path: path.to_path_buf() }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn copy(blob: &Path, path: &Path, directory: &Path) -> Result<(), StoreError> {
    let mut source = fs::File::open(blob)?;
    let bytes = source.metadata()?.len();
    let failed = |error| StoreError::from_write(error, path, bytes);
    let mut file = kept_file::begin(directory, ".kmimage-", 0o600).map_err(failed)?;
    std::io::copy(&mut source, &mut file).map_err(failed)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(permissions).map_err(failed)?;
    kept_file::settle(file, path, Durability::Synced).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_under_their_names() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let out = directory.path().join("out");
        let (one, two) = (Sha256Digest::of(b"one"), Sha256Digest::of(b"two"));
        store.put_blob(&b"one"[..], &one).unwrap();
        let wanted = BTreeMap::from([("a_1_all.deb".to_string(), one), ("b_2_all.deb".to_string(), two)]);
        let error = store.export(&wanted, &out).unwrap_err();
        assert_eq!(error.to_string(), format!("the store {} lacks b_2_all.deb", store.directory().display()));
        assert!(!out.exists());
        store.put_blob(&b"two"[..], &two).unwrap();
        for _ in 0..2 {
            assert_eq!(store.export(&wanted, &out).unwrap(), ExportReport { files: 2, bytes: 6 });
        }
        assert_eq!(fs::read_to_string(out.join("b_2_all.deb")).unwrap(), "two");
        fs::remove_file(out.join("a_1_all.deb")).unwrap();
        fs::write(out.join("a_1_all.deb"), "mine").unwrap();
        let error = store.export(&wanted, &out).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is there already, and is another file", out.join("a_1_all.deb").display()));
        let climbing = BTreeMap::from([("../a".to_string(), one)]);
        assert_eq!(store.export(&climbing, &out).unwrap_err().to_string(), "`../a` is not a file name");
    }

    #[test]
    fn across_file_systems_it_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let (blob, path) = (directory.path().join("blob"), directory.path().join("copy"));
        fs::write(&blob, "bytes").unwrap();
        copy(&blob, &path, directory.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "bytes");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
