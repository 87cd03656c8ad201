//! What kind of failure each error is, and the ways out of it.

use super::{FetchError, Promised, PromisedBy};
use crate::failure::{Classified, Kind, io_kind};
use crate::fetch::http::HttpError;
use crate::fetch::openpgp::OpenPgpError;
use crate::fetch::release::ReleaseError;

impl Classified for FetchError {
    fn kind(&self) -> Kind {
        use FetchError as E;
        match self {
            E::UnknownName { .. } | E::NoKeys { .. } => Kind::Usage,
            E::UnknownRepository { .. } => Kind::Profile,
            E::Release { source, .. } | E::Key { source, .. } | E::Index { source, .. } | E::Package { source, .. } => {
                source.kind()
            }
            E::Signature { source, .. } | E::NoTrust { source, .. } => source.kind(),
            E::Refused { .. } | E::BadIndex { .. } => Kind::Trust,
            E::IndexMismatch { source, .. } | E::PackageMismatch { source, .. } | E::Store(source) => source.kind(),
            E::NoIndex { .. } | E::Unreachable { .. } | E::Gone { .. } | E::NotInDirectory { .. } => Kind::Unavailable,
            E::OfflinePackages { .. } | E::OfflineIndex { .. } => Kind::Unavailable,
            E::Directory { source, .. } => match io_kind(source) {
                Kind::Host => Kind::Unavailable,
                other => other,
            },
            E::BadDeb { source, .. } => source.kind(),
            E::BadControl { .. } => Kind::Trust,
        }
    }

    fn hints(&self) -> Vec<String> {
        use FetchError as E;
        match self {
            E::Release { repository, source: HttpError::Missing { .. }, .. } => vec![
                format!("Compare `uris` and `suites` of the repository {repository} in the profile with what is there."),
                format!("`--mirror {repository}=URL` takes the same signed repository from another address."),
            ],
            E::Index { repository, source: HttpError::Missing { .. } | HttpError::WrongSize { .. }, .. } => {
                vec![mid_update(repository)]
            }
            E::Release { repository, wanted, source, .. }
            | E::Key { repository, wanted, source, .. }
            | E::Index { repository, wanted, source, .. } => with_ways_out(source, repository, wanted),
            E::Package { package, source: HttpError::WrongSize { .. }, .. } => vec![other_file(package)],
            E::Package { package, source, wanted, .. } => with_ways_out(source, &package.repository, wanted),
            E::Signature { repository, source, .. } => match source {
                OpenPgpError::UnknownKey { .. } => vec![format!(
                    "If {repository} has a new key, name it in the profile, after comparing its fingerprint with the repository's own word."
                )],
                _ => vec![format!("`--mirror {repository}=URL` takes the same signed repository from elsewhere.")],
            },
            E::Refused { repository, source, .. } => match source {
                ReleaseError::ExpiredRelease { .. } => vec![
                    format!("`--mirror {repository}=URL` takes it from a mirror that is up to date."),
                    format!("`--allow-expired {repository}` takes it as it is; check this host's clock first."),
                ],
                ReleaseError::RolledBack { .. } => {
                    vec![format!("`--mirror {repository}=URL` takes it from a mirror that is up to date.")]
                }
                ReleaseError::OtherSuite { .. } => vec![
                    format!("If the repository calls itself so, name that in `suites` of {repository} in the profile."),
                    format!("Else a server gives the wrong suite: `--mirror {repository}=URL` takes it from elsewhere."),
                ],
                _ => Vec::new(),
            },
            E::NoTrust { .. } => vec!["Compare the fingerprint in the profile with the repository's own word.".into()],
            E::Unreachable { package, wanted, .. } => ways_out(&package.repository, wanted),
            E::Gone { package, .. } => match package.by {
                PromisedBy::Index => vec![mid_update(&package.repository)],
                PromisedBy::Lock => vec![
                    format!("`kmimage lock --update {}` locks the version that is there now.", package.name),
                    format!(
                        "A store that has it can be brought here: `kmimage cache export DIR` there, `--repository {}=DIR` here.",
                        package.repository
                    ),
                ],
            },
            E::PackageMismatch { package, .. } => vec![other_file(package)],
            E::NotInDirectory { name, repository, .. } => vec![
                "`kmimage cache export DIR`, where the store has it, writes every .deb of the lock.".into(),
                format!("Without `--repository {repository}=...` it comes from the profile's address."),
                format!("`kmimage lock --update {name}` locks what is there."),
            ],
            E::OfflinePackages { .. } => offline_ways_out("NAME"),
            E::OfflineIndex { repository, .. } => offline_ways_out(repository),
            E::Store(source) => source.hints(),
            E::IndexMismatch { repository, source, .. } => match source.kind() {
                Kind::Trust => vec![mid_update(repository)],
                _ => source.hints(),
            },
            _ => Vec::new(),
        }
    }
}

fn mid_update(repository: &str) -> String {
    format!("A mirror may be in the middle of an update: try again in a few minutes, or `--mirror {repository}=URL`.")
}

/// For a file of another hash or size.
fn other_file(package: &Promised) -> String {
    match package.by {
        PromisedBy::Index => mid_update(&package.repository),
        PromisedBy::Lock => format!(
            "Somebody changed the file after it was locked. If the repository did so for a good reason, `kmimage lock --update {}`.",
            package.name
        ),
    }
}

fn offline_ways_out(repository: &str) -> Vec<String> {
    vec![
        "Without `--offline` it is fetched.".into(),
        format!("Without a network: `kmimage cache export DIR` on a machine that has it, `--repository {repository}=DIR` here."),
    ]
}

/// For a repository that cannot be reached: what is wanted from it, and three ways to do without.
fn with_ways_out(source: &HttpError, repository: &str, wanted: &[String]) -> Vec<String> {
    let mut hints = source.hints();
    if source.is_unreachable() || matches!(source, HttpError::Status { .. }) {
        hints.extend(ways_out(repository, wanted));
    }
    hints
}

fn ways_out(repository: &str, wanted: &[String]) -> Vec<String> {
    let mut hints = Vec::new();
    if !wanted.is_empty() {
        hints.push(format!("Wanted from {repository}: {}.", wanted.join(", ")));
    }
    hints.push(format!("`--mirror {repository}=URL` takes the same signed repository from another address."));
    hints.push(format!("`--repository {repository}=DIR` takes its packages from a directory of .deb files."));
    hints.push("`kmimage cache export DIR`, on a machine whose store has them, writes such a directory.".into());
    hints
}
