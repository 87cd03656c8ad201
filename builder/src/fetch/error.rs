//! What can go wrong while fetching: which repository, which file, and the ways out.

mod ways_out;

use super::http::HttpError;
use super::openpgp::OpenPgpError;
use super::release::ReleaseError;
use crate::compose::deb::DebError;
use crate::store::StoreError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Fetching failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// `--mirror`, `--repository` or `--allow-expired` name a repository that the profile does not have.
    #[error("{option} names the repository `{name}`, which the profile does not have (it has {known})", known = .known.join(", "))]
    UnknownName {
        /// The option.
        option: &'static str,
        /// The name.
        name: String,
        /// The profile's repositories.
        known: Vec<String>,
    },
    /// The lock names a repository that the profile does not have.
    #[error("the lock takes {package} from the repository `{repository}`, which the profile does not have")]
    UnknownRepository {
        /// The package.
        package: String,
        /// The repository.
        repository: String,
    },
    /// `--repository NAME=URL` for what the profile has as a directory.
    #[error("the profile has {repository} as a directory: nothing says which key signs {url}")]
    NoKeys {
        /// The repository.
        repository: String,
        /// The address.
        url: String,
    },
    /// The repository's signed index did not come.
    #[error("cannot get {url}, the signed index of repository {repository}")]
    Release {
        /// The repository.
        repository: String,
        /// What the profile takes from it and from nowhere else.
        wanted: Vec<String>,
        /// The address.
        url: String,
        /// Why.
        source: HttpError,
    },
    /// The key of a repository did not come.
    #[error("cannot get {url}, the signing key of repository {repository}")]
    Key {
        /// The repository.
        repository: String,
        /// What the profile takes from it and from nowhere else.
        wanted: Vec<String>,
        /// The address.
        url: String,
        /// Why.
        source: HttpError,
    },
    /// The signature does not hold.
    #[error("{url} (repository {repository}) is not to be trusted")]
    Signature {
        /// The repository.
        repository: String,
        /// The address.
        url: String,
        /// Why.
        source: OpenPgpError,
    },
    /// A keyring of the profile is unusable, or a pinned key is another one.
    #[error("no key to check repository {repository} with")]
    NoTrust {
        /// The repository.
        repository: String,
        /// Why.
        source: OpenPgpError,
    },
    /// Signed, but not acceptable.
    #[error("{url} (repository {repository}) is refused")]
    Refused {
        /// The repository.
        repository: String,
        /// The address.
        url: String,
        /// Why.
        source: ReleaseError,
    },
    /// A component that the repository does not have.
    #[error("repository {repository} lists no {path} in {release}")]
    NoIndex {
        /// The repository.
        repository: String,
        /// The index.
        path: String,
        /// The Release that should list it.
        release: String,
    },
    /// An index did not come.
    #[error("cannot get {url}, an index of repository {repository}")]
    Index {
        /// The repository.
        repository: String,
        /// What the profile takes from it and from nowhere else.
        wanted: Vec<String>,
        /// The address.
        url: String,
        /// Why.
        source: HttpError,
    },
    /// An index is not what the signed Release lists.
    #[error("{url} (repository {repository}) is not the index that the signed InRelease lists")]
    IndexMismatch {
        /// The repository.
        repository: String,
        /// The address.
        url: String,
        /// How it differs.
        source: StoreError,
    },
    /// An index that cannot be decompressed, or is no text.
    #[error("the index {url} (repository {repository}) cannot be read")]
    BadIndex {
        /// The repository.
        repository: String,
        /// The address.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// A package did not come.
    #[error("cannot get {url} (package {package}, repository {})", .package.repository)]
    Package {
        /// The package.
        package: Box<Promised>,
        /// The address.
        url: String,
        /// All packages that are wanted from this repository and not in the store.
        wanted: Vec<String>,
        /// Why.
        source: HttpError,
    },
    /// A package is not what was promised.
    #[error("{url} is not the {package} that {}", promised(.package))]
    PackageMismatch {
        /// The package.
        package: Box<Promised>,
        /// The address.
        url: String,
        /// How it differs.
        source: StoreError,
    },
    /// No address of the repository is left to ask.
    #[error("cannot get {package}: no address of repository {} answers ({})", .package.repository, .addresses.join("; "))]
    Unreachable {
        /// The package.
        package: Box<Promised>,
        /// The addresses, and why each is not asked any more.
        addresses: Vec<String>,
        /// All packages that are wanted from this repository and not in the store.
        wanted: Vec<String>,
    },
    /// A locked version that nobody has any more, or a listed one that nobody has.
    #[error("{} (looked at {})", gone(.package), .looked_at.join(", "))]
    Gone {
        /// The package.
        package: Box<Promised>,
        /// The addresses.
        looked_at: Vec<String>,
        /// Why the snapshot archive did not help, if it could not be asked.
        source: Option<HttpError>,
    },
    /// A directory of .deb files that lacks a locked one.
    #[error("the directory {directory} (repository {repository}) has no file with the sha256 of {package}", directory = .directory.display())]
    NotInDirectory {
        /// Name and version.
        package: String,
        /// The package's name.
        name: String,
        /// The repository.
        repository: String,
        /// The directory.
        directory: PathBuf,
    },
    /// `--offline`, and the store lacks packages.
    #[error("offline, and the store {store} lacks {}", .missing.join(", "), store = .store.display())]
    OfflinePackages {
        /// Names and versions.
        missing: Vec<String>,
        /// The store.
        store: PathBuf,
    },
    /// `--offline`, and the store lacks an index.
    #[error("offline, and the store {store} lacks {what} of repository {repository}", store = .store.display())]
    OfflineIndex {
        /// The repository.
        repository: String,
        /// What is missing.
        what: String,
        /// The store.
        store: PathBuf,
    },
    /// A directory of .deb files cannot be read.
    #[error("cannot read the directory {directory} (repository {repository})", directory = .directory.display())]
    Directory {
        /// The repository.
        repository: String,
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of such a directory is no package.
    #[error("{path} (repository {repository}) is not a package", path = .path.display())]
    BadDeb {
        /// The repository.
        repository: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: DebError,
    },
    /// A file of such a directory has a control file that cannot be read.
    #[error("the control file of {path} (repository {repository}) cannot be read: {reason}", path = .path.display())]
    BadControl {
        /// The repository.
        repository: String,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A package, and whose word it is that there is such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promised {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The profile's name of the repository.
    pub repository: String,
    /// Who says so.
    pub by: PromisedBy,
}

/// Who says that there is a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromisedBy {
    /// The repository's index, read a moment ago.
    Index,
    /// A lock, which may be old.
    Lock,
}

impl fmt::Display for Promised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

fn promised(package: &Promised) -> String {
    match package.by {
        PromisedBy::Index => format!("the index of repository {} lists", package.repository),
        PromisedBy::Lock => "was locked".to_owned(),
    }
}

fn gone(package: &Promised) -> String {
    match package.by {
        PromisedBy::Index => format!("repository {} lists {package} and does not have it", package.repository),
        PromisedBy::Lock => format!("{package} is gone from repository {}", package.repository),
    }
}

impl FetchError {
    /// The same error, which says what is wanted from the repository if that can't be reached.
    #[must_use]
    pub fn wanting(mut self, names: impl Iterator<Item = String>) -> Self {
        if let FetchError::Release { wanted, .. } | FetchError::Key { wanted, .. } | FetchError::Index { wanted, .. } = &mut self
        {
            wanted.extend(names);
        }
        self
    }

    /// True if it is the server's doing that a package did not come (and not the store's, or another download's).
    pub(super) fn is_the_servers(&self) -> bool {
        match self {
            FetchError::Package { source, .. } => !matches!(source, HttpError::Cancelled | HttpError::Store(_)),
            FetchError::PackageMismatch { .. } => true,
            _ => false,
        }
    }

    /// True if the same may go better at another address of the repository.
    pub(super) fn is_elsewhere(&self) -> bool {
        match self {
            FetchError::Release { source, .. } | FetchError::Index { source, .. } => source.is_elsewhere(),
            _ => false,
        }
    }
}
