//! Profile -> lock: an existing lock as it is, or the signed indexes resolved into a new one.

use super::PipelineError;
use crate::compose::deb::{Control, Deb};
use crate::failure::Failure;
use crate::fetch::{FetchedPackage, Options, ReleaseDates, RepositoryIndex, Session};
use crate::lock::{self, Lock, LockedPackage, LockedProfile, release_key};
use crate::parallel;
use crate::profile::Profile;
use crate::report::{Event, Reporter};
use crate::resolve::packages::parse;
use crate::resolve::scripts::{self, Ledger, Script};
use crate::resolve::{self, RepositoryPackages};
use crate::store::Store;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;

/// Which packages may move when a profile is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update<'a> {
    /// None of those that the lock has: only what is new is resolved.
    Nothing,
    /// All.
    Everything,
    /// These, and what they force along.
    Packages(&'a [String]),
}

/// What one profile takes, from a lock that answers its present wishes.
#[derive(Debug, Clone)]
pub struct Locked {
    /// Packages of the root.
    pub packages: Vec<LockedPackage>,
    /// Boot inputs.
    pub boot: Vec<LockedPackage>,
    /// How they were chosen.
    pub profile: LockedProfile,
}

impl Locked {
    /// What a lock has for a profile; `None` if it does not have it, or for other wishes than today's.
    pub fn of(lock: &Lock, profile: &Profile) -> Option<Self> {
        let locked = lock.profiles.get(&profile.name)?;
        (locked.request == resolve::Request::of(profile).digest()).then_some(())?;
        Some(Self {
            packages: lock.packages_of(&profile.name)?,
            boot: lock.boot_packages_of(&profile.name)?,
            profile: locked.clone(),
        })
    }
}

/// The lock of a profile: from the file, or made and written there. With `must_exist`, only from the file.
pub fn obtain(
    profile: &Profile,
    path: &Path,
    must_exist: bool,
    options: &Options,
    store: &Store,
    report: Reporter<'_>,
) -> Result<Locked, Failure> {
    let before = lock::read(path)?;
    if let Some(locked) = before.as_ref().and_then(|lock| Locked::of(lock, profile)) {
        return Ok(locked);
    }
    if must_exist {
        return Err(PipelineError::NotLocked {
            profile: profile.name.clone(),
            lock: path.to_owned(),
            stale: before.as_ref().is_some_and(|lock| lock.profiles.contains_key(&profile.name)),
        }
        .into());
    }
    let before = before.unwrap_or_default();
    let after = resolve(profile, &before, Update::Nothing, options, store, report)?;
    lock::write(path, &after)?;
    report(Event::Note(format!("locked {} in {}", profile.name, path.display())));
    Locked::of(&after, profile).ok_or_else(|| PipelineError::NoLock { profile: profile.name.clone() }.into())
}

/// Reads the signed indexes and gives the lock with this profile resolved anew. Nothing is written.
pub fn resolve(
    profile: &Profile,
    before: &Lock,
    update: Update<'_>,
    options: &Options,
    store: &Store,
    report: Reporter<'_>,
) -> Result<Lock, Failure> {
    report(Event::Stage(format!("resolving {}", profile.name)));
    let session = Session::new(options.clone(), &profile.repositories, store, report)?;
    let indexes: Vec<RepositoryIndex> = profile
        .repositories
        .iter()
        .map(|repository| {
            // What is wanted from the others, only their indexes can say.
            let chosen = profile.choices.repositories.iter().filter(|(_, chosen)| **chosen == repository.name);
            let index = session.index(repository, &newest_locked(before, &repository.name));
            index.map_err(|error| error.wanting(chosen.map(|(name, _)| name.clone())))
        })
        .collect::<Result<_, _>>()?;
    let repositories = parse_all(&indexes)?;

    let held = match update {
        Update::Nothing => before.held(&profile.name, &[])?,
        Update::Packages(names) => before.held(&profile.name, names)?,
        Update::Everything => Vec::new(),
    };
    let held_date = |package: &LockedPackage| {
        before.profiles.get(&profile.name).map_or(options.now, |locked| locked.date_of(&package.repository))
    };
    let held: Vec<(LockedPackage, String)> = session
        .packages(&held, &held_date)?
        .into_iter()
        .map(|package| {
            let paragraph = String::from_utf8_lossy(&control(&package)?.paragraph).into_owned();
            Ok((package.locked, paragraph))
        })
        .collect::<Result<_, PipelineError>>()?;

    let request = resolve::Request::of(profile);
    let closure = resolve::closure(&repositories, &request, &resolve::hold(&held)?)?;
    for name in &closure.unused_absent {
        report(Event::Note(format!("{name} is declared absent, and nothing asks for it")));
    }
    let releases: BTreeMap<String, Timestamp> = indexes
        .iter()
        .flat_map(|index| index.releases.iter().map(|(suite, date)| (release_key(&index.name, suite), *date)))
        .collect();
    let date = releases.values().max().copied().unwrap_or(options.now);
    let root: Vec<LockedPackage> = closure.packages.values().map(|selected| selected.package.clone()).collect();
    let ledger = ledger(profile, &session.listed_packages(&root, &|_| date)?)?;
    for answer in &ledger.unused_answers {
        report(Event::Note(format!("[[script]] answers {answer}, which no script does any more")));
    }
    // Directories of .deb files have no date of their own: the lock is then as old as the moment it was made.
    let (locked, packages) = resolve::pin(closure, &request, &ledger, releases, options.now);
    Ok(before.with_profile(&profile.name, locked, packages)?)
}

/// The newest Release of each suite of a repository that the lock was made from; an older one is a rollback. (Suite by suite: the
/// newest of all would hide that another one fell behind.)
fn newest_locked(lock: &Lock, repository: &str) -> ReleaseDates {
    let mut newest = ReleaseDates::new();
    for (key, date) in lock.profiles.values().flat_map(|profile| &profile.releases) {
        let suite = match key.split_once(' ') {
            Some((name, suite)) if name == repository => suite,
            None if key == repository => "",
            _ => continue,
        };
        let known = newest.entry(suite.to_owned()).or_insert(*date);
        *known = (*known).max(*date);
    }
    newest
}

/// Reads every index, one thread each: Debian's is 55 MB of text.
fn parse_all(indexes: &[RepositoryIndex]) -> Result<Vec<RepositoryPackages<'_>>, PipelineError> {
    std::thread::scope(|scope| {
        let readers: Vec<_> = indexes
            .iter()
            .map(|index| {
                scope.spawn(move || {
                    let mut packages = Vec::new();
                    for text in &index.texts {
                        packages.extend(parse(&text.text).map_err(|source| PipelineError::Index {
                            repository: index.name.clone(),
                            index: text.label.clone(),
                            source,
                        })?);
                    }
                    Ok(RepositoryPackages { repository: &index.name, packages })
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn control(package: &FetchedPackage) -> Result<Control, PipelineError> {
    Deb::open(&package.file)
        .and_then(|deb| deb.control())
        .map_err(|source| PipelineError::Deb { package: package.locked.name.clone(), source })
}

/// What is known of the maintainer scripts of a root's packages; an effect that nobody answers for is an error.
/// (Boot inputs only lend files: what their scripts do to a running system is of no interest.)
pub(super) fn ledger(profile: &Profile, packages: &[FetchedPackage]) -> Result<Ledger, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let controls: Vec<Control> = parallel::map(packages, threads, control).into_iter().collect::<Result<_, _>>()?;
    let scripts = packages.iter().zip(&controls).flat_map(|(package, control)| {
        control.scripts.iter().filter_map(|(name, bytes)| Script::of_member(&package.locked.name, name, bytes))
    });
    Ok(scripts::ledger(scripts, &profile.scripts)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_suite_is_compared_with_its_newest() {
        let profile = |name: &str, releases: &str| {
            let request = "1".repeat(64);
            format!(
                "[profile.{name}]\ndate = \"2026-01-09T00:00:00Z\"\nrequest = \"{request}\"\nreleases = {{ {releases} }}\npackages = []\nboot = []\n"
            )
        };
        let a = r#""debian trixie" = "2026-01-02T00:00:00Z", "debian trixie-updates" = "2026-01-09T00:00:00Z", flat = "2026-01-05T00:00:00Z""#;
        let b = r#""debian trixie" = "2026-01-03T00:00:00Z", "debian-security trixie" = "2026-01-08T00:00:00Z""#;
        let text = format!("version = 1\n{}{}", profile("a", a), profile("b", b));
        let lock = lock::decode("x", text.as_bytes()).unwrap();
        let newest = |repository| {
            let dates = newest_locked(&lock, repository).into_iter();
            dates.map(|(suite, date)| format!("{suite} {}", date.strftime("%d"))).collect::<Vec<_>>()
        };
        assert_eq!(newest("debian"), ["trixie 03", "trixie-updates 09"]);
        assert_eq!(newest("debian-security"), ["trixie 08"]);
        assert_eq!(newest("flat"), [" 05"]);
        assert_eq!(newest("deb"), [""; 0]);
    }
}
