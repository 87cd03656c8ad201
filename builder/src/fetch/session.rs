//! One run's fetching: the options, the profile's repositories, the store and the open connections.

use super::error::FetchError;
use super::http::{Client, HttpError};
use super::options::Options;
use crate::hash::Sha256Digest;
use crate::profile::Repository;
use crate::report::{Event, Reporter, Unit};
use crate::store::{Download, Store, StoreError};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Mutex, PoisonError};

/// Fetches indexes ([`Session::index`]) and packages ([`Session::packages`]).
pub struct Session<'a> {
    pub(super) options: Options,
    pub(super) repositories: Vec<Repository>,
    pub(super) store: &'a Store,
    pub(super) report: Reporter<'a>,
    pub(super) client: Client,
    /// Base addresses that could not be reached, and why; they are not tried again in this run.
    unreachable: Mutex<BTreeMap<String, String>>,
}

/// Why a blob did not come.
#[derive(Debug)]
pub(super) enum BlobError {
    Http(HttpError),
    Store(StoreError),
}

impl From<StoreError> for BlobError {
    fn from(error: StoreError) -> Self {
        BlobError::Store(error)
    }
}

impl<'a> Session<'a> {
    /// A session over a profile's repositories; options that name others are refused.
    pub fn new(
        options: Options,
        repositories: &[Repository],
        store: &'a Store,
        report: Reporter<'a>,
    ) -> Result<Self, FetchError> {
        let named = (options.mirrors.keys().map(|name| ("--mirror", name)))
            .chain(options.repositories.keys().map(|name| ("--repository", name)))
            .chain(options.allow_expired.iter().map(|name| ("--allow-expired", name)));
        for (option, name) in named {
            if !repositories.iter().any(|repository| repository.name == *name) {
                let known = repositories.iter().map(|repository| repository.name.clone()).collect();
                return Err(FetchError::UnknownName { option, name: name.clone(), known });
            }
        }
        let client = Client::new(&options);
        Ok(Self { options, repositories: repositories.to_vec(), store, report, client, unreachable: Mutex::default() })
    }

    /// Why a base address is not tried again, if it is not.
    pub(super) fn unreachable(&self, base: &str) -> Option<String> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).get(base).cloned()
    }

    /// True if nobody had marked it before.
    pub(super) fn mark_unreachable(&self, base: &str, why: String) -> bool {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).insert(base.to_string(), why).is_none()
    }

    pub(super) fn progress(&self, label: &str, done: u64, total: u64) {
        (self.report)(Event::Progress { label: label.to_string(), done, total, unit: Unit::Bytes });
    }

    /// A blob from the store, else from `url`. Bytes of an earlier, interrupted download that turn out wrong are fetched once more.
    pub(super) fn blob(
        &self,
        digest: &Sha256Digest,
        size: u64,
        url: &str,
        watch: &dyn Fn(u64) -> bool,
    ) -> Result<File, BlobError> {
        let mut again = true;
        loop {
            let mut partial = match self.store.download(digest)? {
                Download::There(file) => return Ok(file),
                Download::Wanted(partial) => partial,
            };
            let resumed = !partial.is_empty();
            self.client.download(url, size, &mut partial, watch).map_err(|error| match error {
                HttpError::Store(error) => BlobError::Store(error),
                other => BlobError::Http(other),
            })?;
            match partial.finish(self.store) {
                Err(StoreError::Mismatch { .. }) if resumed && again => again = false,
                finished => return Ok(finished?),
            }
        }
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("options", &self.options).field("store", &self.store).finish_non_exhaustive()
    }
}
