//! Locked packages -> verified files: from the store, else the repository, else the snapshot archive at the date of the repository's
//! Release in the lock.

use super::error::{FetchError, Promised, PromisedBy};
use super::http::HttpError;
use super::mirror::{Whereabouts, whereabouts};
use super::session::{BlobError, Session};
use super::{address, directory};
use crate::lock::LockedPackage;
use crate::parallel::{self, Stop};
use crate::profile::Repository;
use crate::report::Event;
use crate::store::{ExportReport, Store, StoreError};
use fs_err as fs;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The label of the progress over all packages.
const ALL: &str = "packages";

/// A package's .deb, verified against its lock.
#[derive(Debug, Clone)]
pub struct FetchedPackage {
    /// What was locked.
    pub locked: LockedPackage,
    /// The .deb, to be read by offset.
    pub file: Arc<File>,
}

/// The date at which a package was in its repository, for the snapshot archive.
type DateOf<'a> = &'a (dyn Fn(&LockedPackage) -> Timestamp + Sync);

/// What is known of all downloads of one call.
struct Batch<'a> {
    date: DateOf<'a>,
    promised_by: PromisedBy,
    /// Those not in the store.
    missing: Vec<LockedPackage>,
    total: u64,
    done: AtomicU64,
}

/// What the snapshot archive said.
enum Archive {
    Has(File),
    HasNot,
    Failed(HttpError),
}

impl Batch<'_> {
    /// Names and versions of what is missing from a repository.
    fn wanted_from(&self, repository: &str) -> Vec<String> {
        self.missing.iter().filter(|package| package.repository == repository).map(full_name).collect()
    }

    fn promised(&self, package: &LockedPackage) -> Box<Promised> {
        Box::new(Promised {
            name: package.name.clone(),
            version: package.version.clone(),
            repository: package.repository.clone(),
            by: self.promised_by,
        })
    }
}

impl Session<'_> {
    /// The .deb of each locked package, in the same order. `date` tells the lock's date of a package, for the snapshot archive.
    pub fn packages(&self, wanted: &[LockedPackage], date: DateOf<'_>) -> Result<Vec<FetchedPackage>, FetchError> {
        self.promised(wanted, date, PromisedBy::Lock)
    }

    /// The same for packages that are not locked yet: `date` tells that of the index that lists them.
    pub fn listed_packages(&self, wanted: &[LockedPackage], date: DateOf<'_>) -> Result<Vec<FetchedPackage>, FetchError> {
        self.promised(wanted, date, PromisedBy::Index)
    }

    fn promised(
        &self,
        wanted: &[LockedPackage],
        date: DateOf<'_>,
        promised_by: PromisedBy,
    ) -> Result<Vec<FetchedPackage>, FetchError> {
        let missing: Vec<LockedPackage> =
            wanted.iter().filter(|package| !self.store.has_blob(&package.sha256)).cloned().collect();
        if self.options.offline && !missing.is_empty() {
            let reachable = |package: &&LockedPackage| !matches!(self.place(package), Ok((_, Whereabouts::Directory(_))));
            let names: Vec<String> = missing.iter().filter(reachable).map(full_name).collect();
            if !names.is_empty() {
                return Err(FetchError::OfflinePackages { missing: names, store: self.store.directory().to_path_buf() });
            }
        }
        let total = missing.iter().map(|package| package.size).sum();
        let batch = Batch { date, promised_by, missing, total, done: AtomicU64::new(0) };
        parallel::each(wanted, self.options.connections, |package, stop| {
            let file = match self.store.blob(&package.sha256)? {
                Some(file) => file,
                None => self.package(package, &batch, stop)?,
            };
            Ok(FetchedPackage { locked: package.clone(), file: Arc::new(file) })
        })
    }

    fn place(&self, package: &LockedPackage) -> Result<(&Repository, Whereabouts), FetchError> {
        let repository = self.repositories.iter().find(|repository| repository.name == package.repository);
        let repository = repository.ok_or_else(|| FetchError::UnknownRepository {
            package: package.name.clone(),
            repository: package.repository.clone(),
        })?;
        Ok((repository, whereabouts(repository, &self.options)))
    }

    fn package(&self, package: &LockedPackage, batch: &Batch<'_>, stop: &Stop) -> Result<File, FetchError> {
        let (repository, place) = self.place(package)?;
        let bases = match place {
            Whereabouts::Directory(path) => return self.in_directory(package, &path, batch),
            Whereabouts::Bases(bases) => bases,
        };
        let mut looked_at = Vec::new();
        let mut skipped = Vec::new();
        let mut failed = None;
        // Whether one of the repository's own addresses said that it does not have it. (The host's apt mirror may just lag.)
        let mut not_there = false;
        for base in &bases {
            if let Some(why) = self.unreachable(&base.url).filter(|_| bases.len() > 1) {
                skipped.push(format!("{}: {why}", base.url));
                continue;
            }
            let Some(url) = address::join(&base.url, &package.path) else {
                skipped.push(format!("{}: `{}` is no path there", base.url, package.path));
                continue;
            };
            match self.download_package(package, &url, batch, stop) {
                Ok(file) => return Ok(file),
                Err(FetchError::Package { source: HttpError::Missing { .. }, .. }) => {
                    not_there |= !base.hint;
                    looked_at.push(url);
                }
                // Nobody asked for this address: whatever it serves, it fails no build.
                Err(error) if base.hint && error.is_the_servers() => {
                    let reason = crate::failure::Failure::from(error).to_string();
                    skipped.push(format!("{}: {reason}", base.url));
                    if self.mark_unreachable(&base.url, reason.clone()) {
                        (self.report)(Event::Note(format!(
                            "{}: the host's apt mirror {} does not serve: {reason}",
                            repository.name, base.url
                        )));
                    }
                }
                Err(FetchError::Package { source, package, url, wanted }) if source.is_elsewhere() => {
                    if source.is_unreachable() {
                        self.mark_unreachable(&base.url, source.to_string());
                    }
                    failed.get_or_insert(FetchError::Package { source, package, url, wanted });
                }
                Err(error) => return Err(error),
            }
        }
        let archive_failed = match self.in_archive(repository, package, batch, stop, &mut looked_at)? {
            Archive::Has(file) => return Ok(file),
            Archive::HasNot => None,
            Archive::Failed(source) => Some(source),
        };
        // The repository's own failure says more than that of the archive behind it.
        match failed {
            Some(error) if !not_there => Err(error),
            None if !not_there => Err(FetchError::Unreachable {
                package: batch.promised(package),
                addresses: skipped,
                wanted: batch.wanted_from(&package.repository),
            }),
            Some(FetchError::Package { source, .. }) => {
                Err(FetchError::Gone { package: batch.promised(package), looked_at, source: Some(source) })
            }
            _ => Err(FetchError::Gone { package: batch.promised(package), looked_at, source: archive_failed }),
        }
    }

    /// Asks the snapshot archive, if the repository has one.
    fn in_archive(
        &self,
        repository: &Repository,
        package: &LockedPackage,
        batch: &Batch<'_>,
        stop: &Stop,
        looked_at: &mut Vec<String>,
    ) -> Result<Archive, FetchError> {
        let Some(template) = &repository.snapshot else { return Ok(Archive::HasNot) };
        // Never before the Release that listed the package: the archive shows the state of a time. What it shows at that very time may
        // be the state before, as it takes a Release in only some hours after it was made; a day later it has it.
        for delay in [SignedDuration::ZERO, SignedDuration::from_hours(24)] {
            let Ok(time) = (batch.date)(package).checked_add(delay) else { continue };
            let base = template.replace("{date}", &time.strftime("%Y%m%dT%H%M%SZ").to_string());
            let Some(url) = address::join(&base, &package.path) else { continue };
            match self.download_package(package, &url, batch, stop) {
                Ok(file) => return Ok(Archive::Has(file)),
                Err(FetchError::Package { source: HttpError::Missing { .. }, .. }) => looked_at.push(url),
                Err(FetchError::Package { source, .. }) if source.is_elsewhere() => return Ok(Archive::Failed(source)),
                Err(error) => return Err(error),
            }
        }
        Ok(Archive::HasNot)
    }

    fn download_package(&self, package: &LockedPackage, url: &str, batch: &Batch<'_>, stop: &Stop) -> Result<File, FetchError> {
        let label = full_name(package);
        let counted = AtomicU64::new(0);
        let watch = |done: u64| {
            self.progress(&label, done, package.size);
            // A restarted download counts its bytes once.
            let before = counted.fetch_max(done, Ordering::Relaxed);
            let more = done.saturating_sub(before);
            let all = batch.done.fetch_add(more, Ordering::Relaxed) + more;
            self.progress(ALL, all.min(batch.total), batch.total);
            !stop.is_set()
        };
        self.blob(&package.sha256, package.size, url, &watch).map_err(|error| match error {
            BlobError::Http(source) => FetchError::Package {
                package: batch.promised(package),
                url: url.to_string(),
                wanted: batch.wanted_from(&package.repository),
                source,
            },
            BlobError::Store(source @ StoreError::Mismatch { .. }) => {
                FetchError::PackageMismatch { package: batch.promised(package), url: url.to_string(), source }
            }
            BlobError::Store(error) => error.into(),
        })
    }

    /// Copies a package in from a directory, so that nobody changes it under a build.
    fn in_directory(&self, package: &LockedPackage, path: &Path, batch: &Batch<'_>) -> Result<File, FetchError> {
        for candidate in directory::candidates(&package.repository, path, package)? {
            let file = fs::File::open(&candidate).map_err(StoreError::from)?;
            match self.store.put_blob(file, &package.sha256) {
                Ok(file) => {
                    let all = batch.done.fetch_add(package.size, Ordering::Relaxed) + package.size;
                    self.progress(ALL, all.min(batch.total), batch.total);
                    return Ok(file);
                }
                Err(StoreError::Mismatch { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(FetchError::NotInDirectory {
            package: full_name(package),
            name: package.name.clone(),
            repository: package.repository.clone(),
            directory: path.to_path_buf(),
        })
    }
}

/// Writes the .deb of each package from the store into a directory, under its file name in the archive: what `--repository NAME=DIR`
/// takes on a machine without a network.
pub fn export(store: &Store, packages: &[LockedPackage], directory: &Path) -> Result<ExportReport, StoreError> {
    let mut files = BTreeMap::new();
    for package in packages {
        let name = package.path.rsplit('/').next().unwrap_or_default().to_string();
        if files.insert(name.clone(), package.sha256).is_some_and(|other| other != package.sha256) {
            return Err(StoreError::SameName { name });
        }
    }
    store.export(&files, directory)
}

fn full_name(package: &LockedPackage) -> String {
    format!("{} {}", package.name, package.version)
}
