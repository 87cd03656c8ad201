//! Upkeep: removing what nobody needs (`gc`), finding what is damaged (`verify`).

use super::derived::unseal;
use super::{Store, StoreError, pack};
use crate::hash::Sha256Digest;
use crate::kept_file;
use crate::parallel;
use crate::report::{Event, Reporter, Unit};
use fs_err as fs;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What garbage collection may take.
#[derive(Debug)]
pub struct GcRules<'a> {
    /// Downloads that stay, whatever the other rules say: what the locks name.
    pub keep: &'a BTreeSet<Sha256Digest>,
    /// What was last used before this time goes.
    pub unused_since: Timestamp,
    /// If more bytes are left than this, those go that were used longest ago.
    pub at_most: Option<u64>,
}

/// What garbage collection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Files removed.
    pub removed: u64,
    /// Their bytes.
    pub freed: u64,
    /// Bytes that stay.
    pub left: u64,
}

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Files checked.
    pub checked: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are not what they should be, sorted.
    pub damaged: Vec<PathBuf>,
}

#[derive(Debug)]
struct Stored {
    path: PathBuf,
    bytes: u64,
    used: Timestamp,
}

impl Store {
    /// Removes what the rules do not keep. Refused while another process has the store open. What has been seen of repositories stays.
    pub fn gc(&self, rules: &GcRules<'_>) -> Result<GcReport, StoreError> {
        if self.lock.try_lock().is_err() {
            // The attempt may have cost the lock that was held.
            self.share_lock()?;
            return Err(StoreError::InUse { directory: self.directory.clone() });
        }
        let collected = self.collect(rules);
        self.share_lock()?;
        collected
    }

    fn collect(&self, rules: &GcRules<'_>) -> Result<GcReport, StoreError> {
        let mut report = GcReport::default();
        // Nobody writes now: all of these are leftovers of builds that were killed.
        for file in self.files_below(&["tmp"])? {
            report.remove(&file)?;
        }
        let mut free = Vec::new();
        for file in self.files_below(&["blobs", "partial", "cached", "packs", "blocks"])? {
            let name = file.path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let is_download = ["blobs", "partial"].iter().any(|part| file.path.starts_with(self.directory.join(part)));
            report.left += file.bytes;
            match name {
                Some(digest) if is_download && rules.keep.contains(&digest) => {}
                _ => free.push(file),
            }
        }
        free.sort_by(|one, other| (one.used, &one.path).cmp(&(other.used, &other.path)));
        for file in &free {
            if file.used < rules.unused_since || rules.at_most.is_some_and(|most| report.left > most) {
                report.remove(file)?;
                report.left -= file.bytes;
            }
        }
        Ok(report)
    }

    /// Reads everything and names what is damaged; with `repair`, removes that.
    pub fn verify(&self, repair: bool, threads: usize, report: Reporter<'_>) -> Result<VerifyReport, StoreError> {
        let files = self.files_below(&["blobs", "cached", "packs"])?;
        let bytes = files.iter().map(|file| file.bytes).sum();
        let done = AtomicU64::new(0);
        let sound = parallel::each(&files, threads, |file, _| {
            let sound = self.is_sound(&file.path);
            let done = done.fetch_add(file.bytes, Ordering::Relaxed) + file.bytes;
            report(Event::Progress { label: "store".to_string(), done, total: bytes, unit: Unit::Bytes });
            sound
        })?;
        let checked = files.len() as u64;
        let mut damaged: Vec<PathBuf> =
            files.into_iter().zip(sound).filter(|(_, sound)| !sound).map(|(file, _)| file.path).collect();
        damaged.sort();
        if repair {
            for path in &damaged {
                kept_file::remove(path)?;
            }
        }
        Ok(VerifyReport { checked, bytes, damaged })
    }

    fn is_sound(&self, path: &Path) -> Result<bool, StoreError> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut file = match fs::File::open(path) {
            Ok(file) => file,
            // Taken away in the meantime: no damage.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        if path.starts_with(self.directory.join("blobs")) {
            let Ok(digest) = name.parse::<Sha256Digest>() else { return Ok(false) };
            Ok(Sha256Digest::of_reader(&mut file)? == digest)
        } else if path.starts_with(self.directory.join("packs")) {
            Ok(pack::check(file.file())?.is_some())
        } else {
            Ok(unseal(name, &fs::read(path)?).is_some())
        }
    }

    fn share_lock(&self) -> Result<(), StoreError> {
        self.lock.lock_shared().map_err(|source| StoreError::Lock { path: self.directory.join("lock"), source })
    }

    /// All files in these parts of the store, however deep.
    fn files_below(&self, parts: &[&str]) -> Result<Vec<Stored>, StoreError> {
        let mut files = Vec::new();
        let mut pending: Vec<PathBuf> = parts.iter().map(|part| self.directory.join(part)).collect();
        while let Some(directory) = pending.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            for entry in entries {
                let entry = entry?;
                let metadata = match entry.metadata() {
                    Ok(metadata) => metadata,
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(error.into()),
                };
                if metadata.is_dir() {
                    pending.push(entry.path());
                } else {
                    let used = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
                    files.push(Stored { path: entry.path(), bytes: metadata.len(), used });
                }
            }
        }
        Ok(files)
    }
}

impl GcReport {
    fn remove(&mut self, file: &Stored) -> Result<(), StoreError> {
        kept_file::remove(&file.path)?;
        self.removed += 1;
        self.freed += file.bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::silent;
    use std::io::Write;

    fn filled(directory: &Path) -> (Store, Sha256Digest, Sha256Digest) {
        let store = Store::open(directory).unwrap();
        let (one, two) = (Sha256Digest::of(b"one"), Sha256Digest::of(b"two"));
        store.put_blob(&b"one"[..], &one).unwrap();
        store.put_blob(&b"two"[..], &two).unwrap();
        store.put_cached("facts", "k", b"cached").unwrap();
        store.put_pack("data", "k", |pack| -> Result<(), StoreError> { Ok(pack.write_all(b"packed")?) }).unwrap();
        (store, one, two)
    }

    #[test]
    fn gc_keeps_what_locks_name() {
        let directory = tempfile::tempdir().unwrap();
        let (store, one, two) = filled(directory.path());
        fs::write(directory.path().join("tmp/left"), "over").unwrap();
        store.remember_release("debian", Timestamp::UNIX_EPOCH).unwrap();
        let keep = BTreeSet::from([one]);
        let old = Timestamp::UNIX_EPOCH;
        let report = store.gc(&GcRules { keep: &keep, unused_since: old, at_most: None }).unwrap();
        assert_eq!((report.removed, report.freed), (1, 4));

        let other = Store::open(directory.path()).unwrap();
        let busy = store.gc(&GcRules { keep: &keep, unused_since: old, at_most: None }).unwrap_err();
        assert_eq!(busy.to_string(), format!("the store {} is in use by another kmimage", directory.path().display()));
        drop(other);

        let report = store.gc(&GcRules { keep: &keep, unused_since: Timestamp::MAX, at_most: None }).unwrap();
        assert_eq!((report.removed, report.left), (3, 3));
        assert!(store.blob(&one).unwrap().is_some() && store.blob(&two).unwrap().is_none());
        assert!(store.cached("facts", "k").unwrap().is_none() && store.pack("data", "k").unwrap().is_none());
        assert_eq!(store.newest_release("debian").unwrap(), Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn gc_takes_the_oldest_first() {
        let directory = tempfile::tempdir().unwrap();
        let (store, one, two) = filled(directory.path());
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        fs::File::options().write(true).open(store.blob_path(&one)).unwrap().file().set_modified(long_ago).unwrap();
        let keep = BTreeSet::new();
        let total = store.gc(&GcRules { keep: &keep, unused_since: Timestamp::UNIX_EPOCH, at_most: None }).unwrap().left;
        let rules = GcRules { keep: &keep, unused_since: Timestamp::UNIX_EPOCH, at_most: Some(total - 1) };
        assert_eq!(store.gc(&rules).unwrap(), GcReport { removed: 1, freed: 3, left: total - 3 });
        assert!(!store.has_blob(&one) && store.has_blob(&two));
    }

    #[test]
    fn verify_names_what_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let (store, one, two) = filled(directory.path());
        let report = store.verify(false, 2, &silent).unwrap();
        assert_eq!((report.checked, report.damaged.as_slice()), (4, [].as_slice()));
        let mut bad = vec![store.blob_path(&two), store.cached_path("facts", "k"), store.pack_path("data", "k")];
        for path in &bad {
            let mut bytes = fs::read(path).unwrap();
            bytes[0] ^= 1;
            fs::write(path, bytes).unwrap();
        }
        bad.sort();
        assert_eq!(store.verify(false, 2, &silent).unwrap().damaged, bad);
        assert_eq!(store.verify(true, 2, &silent).unwrap().damaged, bad);
        assert_eq!(store.verify(false, 2, &silent).unwrap().checked, 1);
        assert!(store.blob(&one).unwrap().is_some() && store.blob(&two).unwrap().is_none());
    }
}
