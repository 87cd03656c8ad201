//! Where a repository's files are: the operator's word, else the profile's, else (for Debian) that of the host's apt. Pure.

use super::apt_conf::AptSource;
use super::options::{Options, Place};
use crate::profile::{Location, Repository, Source};
use std::path::PathBuf;

/// Debian's own address; a content delivery network stands behind it.
pub const DEBIAN: &str = "http://ftp.debian.org/debian";
/// The address of Debian's security archive.
pub const DEBIAN_SECURITY: &str = "http://security.debian.org/debian-security";

/// More addresses of the host's apt are not tried.
const MOST_HINTS: usize = 4;

/// One base address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// Without a trailing slash.
    pub(super) url: String,
    /// The host's apt named it, nobody asked for it: if it fails in any way, the next one is tried.
    pub(super) hint: bool,
}

/// Where a repository is, by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// A directory of .deb files.
    Directory(PathBuf),
    /// Base addresses, to be tried in order; at least one.
    Bases(Vec<Base>),
}

/// Where `repository` is.
pub(super) fn whereabouts(repository: &Repository, options: &Options) -> Whereabouts {
    let asked = |url: &String| Base { url: url.trim_end_matches('/').to_string(), hint: false };
    match options.repositories.get(&repository.name) {
        Some(Place::Directory(directory)) => return Whereabouts::Directory(directory.clone()),
        Some(Place::Url(url)) => return Whereabouts::Bases(vec![asked(url)]),
        None => {}
    }
    let location = match &repository.source {
        Source::Directory(directory) => return Whereabouts::Directory(directory.clone()),
        Source::Signed { location, .. } => location,
    };
    if let Some(url) = options.mirrors.get(&repository.name) {
        return Whereabouts::Bases(vec![asked(url)]);
    }
    Whereabouts::Bases(match location {
        Location::Uris(urls) => urls.iter().map(asked).collect(),
        Location::DebianMirror => with_hints(&options.host.sources, false, DEBIAN),
        Location::DebianSecurityMirror => with_hints(&options.host.sources, true, DEBIAN_SECURITY),
    })
}

/// What a repository is called in the store's memory of dates: an address that mirrors do not change.
pub(super) fn identity(repository: &Repository, options: &Options) -> String {
    if let Some(Place::Url(url)) = options.repositories.get(&repository.name) {
        return url.trim_end_matches('/').to_string();
    }
    match &repository.source {
        Source::Directory(directory) => directory.display().to_string(),
        Source::Signed { location: Location::DebianMirror, .. } => DEBIAN.to_string(),
        Source::Signed { location: Location::DebianSecurityMirror, .. } => DEBIAN_SECURITY.to_string(),
        Source::Signed { location: Location::Uris(urls), .. } => urls.first().cloned().unwrap_or_default(),
    }
}

fn with_hints(sources: &[AptSource], security: bool, own: &str) -> Vec<Base> {
    let mut bases: Vec<Base> = Vec::new();
    for source in sources {
        let is_http = source.uri.starts_with("http://") || source.uri.starts_with("https://");
        let fits = debian_suite(&source.suite) == Some(security) && source.components.iter().any(|component| component == "main");
        let new = source.uri != own && bases.iter().all(|base| base.url != source.uri);
        if is_http && fits && new && bases.len() < MOST_HINTS {
            bases.push(Base { url: source.uri.clone(), hint: true });
        }
    }
    bases.push(Base { url: own.to_string(), hint: false });
    bases
}

/// Whether a suite is one of Debian's, and then, whether it is of the security archive. (Other distributions' mirrors are not asked.)
fn debian_suite(suite: &str) -> Option<bool> {
    const NAMES: [&str; 11] =
        ["stable", "oldstable", "oldoldstable", "testing", "unstable", "sid", "bullseye", "bookworm", "trixie", "forky", "duke"];
    let (name, rest) = suite.split_once(['-', '/']).map_or((suite, ""), |(name, rest)| (name, rest));
    let security = match rest {
        "security" | "updates" if rest == "security" || suite.contains('/') => true,
        "" | "updates" | "backports" | "backports-sloppy" | "proposed-updates" => false,
        _ => return None,
    };
    NAMES.contains(&name).then_some(security)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Layout, Trust};
    use jiff::Timestamp;

    fn repository(location: Location) -> Repository {
        Repository {
            name: "debian".into(),
            source: Source::Signed { location, layout: Layout::Flat, trust: Trust::Keyrings(Vec::new()) },
            snapshot: None,
        }
    }

    fn urls(repository: &Repository, options: &Options) -> Vec<(String, bool)> {
        match whereabouts(repository, options) {
            Whereabouts::Bases(bases) => bases.into_iter().map(|base| (base.url, base.hint)).collect(),
            Whereabouts::Directory(directory) => vec![(directory.display().to_string(), false)],
        }
    }

    #[test]
    fn suites_of_debian() {
        for (suite, expected) in [
            ("trixie", Some(false)),
            ("stable-updates", Some(false)),
            ("bookworm-backports", Some(false)),
            ("trixie-security", Some(true)),
            ("buster/updates", None),
            ("stable/updates", Some(true)),
            ("noble", None),
            ("noble-security", None),
            ("./", None),
        ] {
            assert_eq!(debian_suite(suite), expected, "{suite}");
        }
    }

    #[test]
    fn who_says_where() {
        let mut options = Options::new(Timestamp::UNIX_EPOCH);
        let debian = repository(Location::DebianMirror);
        let security = repository(Location::DebianSecurityMirror);
        assert_eq!(urls(&debian, &options), [(DEBIAN.to_string(), false)]);

        options.host.sources = super::super::apt_conf::parse_lines(
            "deb cdrom:[x]/ trixie main\ndeb http://near.example/debian bookworm main\ndeb http://near.example/debian trixie main\n\
             deb https://other.example/node nodistro main\ndeb http://near.example/debian-security bookworm-security main\n\
             deb file:/mnt/debian trixie main\ndeb http://contrib.example/debian trixie contrib\n",
        );
        assert_eq!(urls(&debian, &options), [("http://near.example/debian".to_string(), true), (DEBIAN.to_string(), false)]);
        assert_eq!(
            urls(&security, &options),
            [("http://near.example/debian-security".to_string(), true), (DEBIAN_SECURITY.to_string(), false)]
        );
        let other = repository(Location::Uris(vec!["https://k.example/a".into(), "https://k.example/b".into()]));
        assert_eq!(
            urls(&other, &options),
            [("https://k.example/a".to_string(), false), ("https://k.example/b".to_string(), false)]
        );
        assert_eq!(identity(&other, &options), "https://k.example/a");

        options.mirrors.insert("debian".into(), "http://mine.example/debian/".into());
        assert_eq!(urls(&debian, &options), [("http://mine.example/debian".to_string(), false)]);
        assert_eq!(identity(&debian, &options), DEBIAN);
        options.repositories.insert("debian".into(), Place::parse("./debs"));
        assert_eq!(whereabouts(&debian, &options), Whereabouts::Directory("./debs".into()));
        options.repositories.insert("debian".into(), Place::parse("https://new.example/"));
        assert_eq!(urls(&debian, &options), [("https://new.example".to_string(), false)]);
        assert_eq!(identity(&debian, &options), "https://new.example");
    }
}
