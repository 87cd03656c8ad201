//! The newest Release date seen of each repository, so that an older one (a replayed, perhaps vulnerable state) can be refused.

use super::{Store, StoreError, key_name};
use crate::kept_file::Durability;
use fs_err as fs;
use jiff::Timestamp;
use std::io::ErrorKind;
use std::path::PathBuf;

impl Store {
    fn seen_path(&self, repository: &str) -> PathBuf {
        self.directory.join("seen").join(key_name(repository))
    }

    /// The newest date remembered of a repository; `repository` is its identity (address and suite), not an operator's name for it.
    pub fn newest_release(&self, repository: &str) -> Result<Option<Timestamp>, StoreError> {
        let path = self.seen_path(repository);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(StoreError::DamagedDate { path }),
            Err(error) => return Err(error.into()),
        };
        let date = text.split_whitespace().next().and_then(|date| date.parse().ok());
        date.map(Some).ok_or(StoreError::DamagedDate { path })
    }

    /// Remembers `date`, unless a newer one is remembered already.
    pub fn remember_release(&self, repository: &str, date: Timestamp) -> Result<(), StoreError> {
        let path = self.directory.join("seen/lock");
        let lock = fs::File::options().append(true).create(true).open(&path)?.into_file();
        lock.lock().map_err(|source| StoreError::Lock { path, source })?;
        if self.newest_release(repository)?.is_some_and(|newest| newest >= date) {
            return Ok(());
        }
        let text = format!("{date} {repository}\n");
        self.write_whole(&self.seen_path(repository), &[text.as_bytes()], Durability::Synced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_only_grow() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let date = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(store.newest_release("a trixie").unwrap(), None);
        store.remember_release("a trixie", date("2026-01-02T00:00:00Z")).unwrap();
        store.remember_release("a trixie", date("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(store.newest_release("a trixie").unwrap(), Some(date("2026-01-02T00:00:00Z")));
        assert_eq!(store.newest_release("b trixie").unwrap(), None);
        let path = store.seen_path("a trixie");
        fs::write(&path, "soon").unwrap();
        let error = store.newest_release("a trixie").unwrap_err();
        assert_eq!(error.to_string(), format!("{} in the store is damaged: it holds no date", path.display()));
    }
}
