//! A repository's indexes: what it offers, as text that was verified.
//!
//! InRelease -> the Release text that was signed -> each `Packages` it lists, checked by size and SHA-256 before it is decompressed,
//! and again after, where the plain text is listed, too.

use super::error::FetchError;
use super::mirror::{Base, Whereabouts, identity, whereabouts};
use super::openpgp;
use super::release::{Listed, Release, not_rolled_back};
use super::session::{BlobError, Session};
use super::{address, directory};
use crate::hash::Sha256Digest;
use crate::parallel;
use crate::profile::{Layout, Location, Repository, Source, Trust};
use crate::report::Event;
use crate::store::StoreError;
use jiff::Timestamp;
use sequoia_openpgp::Cert;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};

/// Real ones are below 1 MiB.
const LARGEST_RELEASE: u64 = 16 << 20;
const LARGEST_KEY: u64 = 1 << 20;
/// Of a decompressed index; Debian's main is 55 MB.
const LARGEST_INDEX: u64 = 1 << 30;

/// The Dates of a repository's Releases, by suite. (A flat repository has one Release, under the empty name.)
pub type ReleaseDates = BTreeMap<String, Timestamp>;

/// All that a repository offers for amd64, verified.
#[derive(Debug)]
pub struct RepositoryIndex {
    /// The profile's name of the repository.
    pub name: String,
    /// When its Releases were made; none for a directory of .deb files.
    pub releases: ReleaseDates,
    /// The `Packages` texts.
    pub texts: Vec<IndexText>,
}

/// One `Packages` text.
#[derive(Debug)]
pub struct IndexText {
    /// Where it is from, for messages: `trixie/main/binary-amd64`, `Packages`, or the directory.
    pub label: String,
    /// The paragraphs. (Debian's main is 55 MB: drop it when it has been read.)
    pub text: String,
}

/// One Release of a repository, verified.
struct Signed {
    /// Where it is, relative to the base: `dists/trixie/`, or nothing for a flat repository.
    folder: String,
    suite: String,
    url: String,
    bytes: Vec<u8>,
    release: Release,
}

/// An index to get: which forms of it are listed, best first.
struct Wanted<'a> {
    signed: &'a Signed,
    path: String,
    forms: Vec<(&'static str, Listed)>,
    plain: Option<Listed>,
}

impl Session<'_> {
    /// What `repository` offers. `locked`: the dates of its Releases in the lock; an older one is refused (as is one older than the
    /// newest of its suite that the store has seen).
    pub fn index(&self, repository: &Repository, locked: &ReleaseDates) -> Result<RepositoryIndex, FetchError> {
        let bases = match whereabouts(repository, &self.options) {
            Whereabouts::Directory(path) => {
                let texts = vec![directory::index(&repository.name, &path)?];
                return Ok(RepositoryIndex { name: repository.name.clone(), releases: ReleaseDates::new(), texts });
            }
            Whereabouts::Bases(bases) => bases,
        };
        let Source::Signed { layout, trust, .. } = &repository.source else {
            let url = bases.into_iter().map(|base| base.url).collect();
            return Err(FetchError::NoKeys { repository: repository.name.clone(), url });
        };
        // The last base is never a hint.
        let Some((own, others)) = bases.split_last() else { return Err(self.offline(repository, "the signed index")) };
        // Offline, no address is asked: what the store has of the repository is sound or is not.
        for base in others.iter().filter(|_| !self.options.offline) {
            match self.index_at(repository, layout, trust, base, locked) {
                Err(error) if base.hint || error.is_elsewhere() => {
                    let reason = crate::failure::Failure::from(error).to_string();
                    if base.hint {
                        (self.report)(Event::Note(format!(
                            "{}: the host's apt mirror {} does not serve: {reason}",
                            repository.name, base.url
                        )));
                    }
                    self.mark_unreachable(&base.url, reason);
                }
                other => return other,
            }
        }
        self.index_at(repository, layout, trust, own, locked)
    }

    fn index_at(
        &self,
        repository: &Repository,
        layout: &Layout,
        trust: &Trust,
        base: &Base,
        locked: &ReleaseDates,
    ) -> Result<RepositoryIndex, FetchError> {
        let trusted = self.trusted(repository, trust, base)?;
        let flat = [String::new()];
        let (suites, components) = match layout {
            Layout::Suites { suites, components } => (suites.as_slice(), components.as_slice()),
            Layout::Flat => (flat.as_slice(), flat.as_slice()),
        };
        let mut signed = Vec::new();
        for suite in suites {
            signed.push(self.release(repository, suite, base, &trusted, locked.get(suite).copied())?);
        }
        let mut wanted = Vec::new();
        for signed in &signed {
            for component in components {
                for architecture in architectures(&signed.release, layout) {
                    wanted.push(self.listed(repository, signed, component, architecture)?);
                }
            }
        }
        let texts = parallel::each(&wanted, self.options.connections, |wanted, stop| {
            self.index_text(repository, base, wanted, &|| stop.is_set())
        })?;
        // Not before all of it has come and is sound: a state that nobody can build from is none to hold others against.
        for signed in &signed {
            let key = self.release_key(repository, &signed.suite);
            self.store.remember_release(&key, signed.release.date)?;
            self.store.put_cached("in-release", &key, &signed.bytes)?;
        }
        let releases = signed.iter().map(|signed| (signed.suite.clone(), signed.release.date)).collect();
        Ok(RepositoryIndex { name: repository.name.clone(), releases, texts })
    }

    /// The certificates that may sign for a repository.
    fn trusted(&self, repository: &Repository, trust: &Trust, base: &Base) -> Result<Vec<Cert>, FetchError> {
        let no_trust = |source| FetchError::NoTrust { repository: repository.name.clone(), source };
        let (fingerprint, key_uri) = match trust {
            Trust::Keyrings(keyrings) => {
                let mut trusted = Vec::new();
                for keyring in keyrings {
                    trusted.extend(openpgp::certificates(&keyring.name, &keyring.bytes).map_err(no_trust)?);
                }
                return Ok(trusted);
            }
            Trust::Pinned { fingerprint, key_uri } => (fingerprint, at_base(key_uri, repository, base)),
        };
        // What cannot be read (any more) counts as absent.
        let kept = || -> Result<Option<Cert>, FetchError> {
            let bytes = self.store.cached("key", fingerprint)?;
            Ok(bytes.and_then(|bytes| openpgp::pinned(fingerprint, &key_uri, &bytes).ok()))
        };
        if self.options.offline {
            return kept()?.map(|key| vec![key]).ok_or_else(|| self.offline(repository, "the signing key"));
        }
        // Read anew each time: owners prolong their keys.
        match self.client.read(&key_uri, LARGEST_KEY) {
            Ok(bytes) => {
                let key = openpgp::pinned(fingerprint, &key_uri, &bytes).map_err(no_trust)?;
                let key = match kept()? {
                    Some(kept) => openpgp::merged(key, kept).map_err(no_trust)?,
                    None => key,
                };
                self.store.put_cached("key", fingerprint, &openpgp::encoded(&key).map_err(no_trust)?)?;
                Ok(vec![key])
            }
            Err(source) => match kept()? {
                Some(key) => Ok(vec![key]),
                None => Err(FetchError::Key { repository: repository.name.clone(), wanted: Vec::new(), url: key_uri, source }),
            },
        }
    }

    /// Gets, verifies and judges one InRelease.
    fn release(
        &self,
        repository: &Repository,
        suite: &str,
        base: &Base,
        trusted: &[Cert],
        locked: Option<Timestamp>,
    ) -> Result<Signed, FetchError> {
        let name = || repository.name.clone();
        let folder = if suite.is_empty() { String::new() } else { format!("dists/{suite}/") };
        let url = join(&base.url, &format!("{folder}InRelease"));
        let key = self.release_key(repository, suite);
        let bytes = if self.options.offline {
            let what = format!("{folder}InRelease");
            self.store.cached("in-release", &key)?.ok_or_else(|| self.offline(repository, &what))?
        } else {
            self.client.read(&url, LARGEST_RELEASE).map_err(|source| FetchError::Release {
                repository: name(),
                wanted: Vec::new(),
                url: url.clone(),
                source,
            })?
        };
        let text = openpgp::verify(&bytes, trusted, self.options.now).map_err(|source| FetchError::Signature {
            repository: name(),
            url: url.clone(),
            source,
        })?;
        let refused = |source| FetchError::Refused { repository: name(), url: url.clone(), source };
        let release = Release::parse(&text).map_err(refused)?;
        if !suite.is_empty() {
            release.is_of_suite(suite).map_err(refused)?;
        }
        if !self.options.allow_expired.contains(&repository.name) {
            release.still_valid(self.options.now).map_err(refused)?;
        }
        not_rolled_back(release.date, self.store.newest_release(&key)?, "the store").map_err(refused)?;
        not_rolled_back(release.date, locked, "the lock").map_err(refused)?;
        Ok(Signed { folder, suite: suite.to_string(), url, bytes, release })
    }

    fn listed<'s>(
        &self,
        repository: &Repository,
        signed: &'s Signed,
        component: &str,
        architecture: &str,
    ) -> Result<Wanted<'s>, FetchError> {
        let path = match signed.suite.is_empty() {
            true => "Packages".to_string(),
            false => format!("{component}/binary-{architecture}/Packages"),
        };
        let find = |extension: &str| signed.release.files.get(&format!("{path}{extension}")).copied();
        let forms: Vec<_> = [".xz", ".gz", ""].into_iter().filter_map(|extension| Some((extension, find(extension)?))).collect();
        if forms.is_empty() {
            return Err(FetchError::NoIndex { repository: repository.name.clone(), path, release: signed.url.clone() });
        }
        Ok(Wanted { signed, plain: find(""), path, forms })
    }

    fn index_text(
        &self,
        repository: &Repository,
        base: &Base,
        wanted: &Wanted<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<IndexText, FetchError> {
        let folder = &wanted.signed.folder;
        let label = match wanted.signed.suite.as_str() {
            "" => wanted.path.clone(),
            suite => format!("{suite}/{}", wanted.path.trim_end_matches("/Packages")),
        };
        let mut failed = None;
        for (extension, listed) in &wanted.forms {
            let plain_path = format!("{folder}{}{extension}", wanted.path);
            let mut paths = vec![plain_path.clone()];
            if wanted.signed.release.by_hash {
                let parent = plain_path.rfind('/').map_or("", |at| &plain_path[..=at]);
                paths.insert(0, format!("{parent}by-hash/SHA256/{}", listed.sha256));
            }
            for path in paths {
                let url = join(&base.url, &path);
                match self.index_blob(repository, &url, &label, listed, stop) {
                    Ok(file) => {
                        let text = decompress(file, extension, wanted.plain.as_ref()).map_err(|source| FetchError::BadIndex {
                            repository: repository.name.clone(),
                            url: join(&base.url, &plain_path),
                            source,
                        })?;
                        return Ok(IndexText { label, text });
                    }
                    // Listed, but not there: the next name, or the next form.
                    Err(error @ FetchError::Index { source: super::http::HttpError::Missing { .. }, .. }) => failed = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(failed.unwrap_or_else(|| self.offline(repository, &wanted.path)))
    }

    fn index_blob(
        &self,
        repository: &Repository,
        url: &str,
        label: &str,
        listed: &Listed,
        stop: &dyn Fn() -> bool,
    ) -> Result<File, FetchError> {
        if self.options.offline {
            return self.store.blob(&listed.sha256)?.ok_or_else(|| self.offline(repository, &format!("the index {label}")));
        }
        let label = format!("{} {label}", repository.name);
        let watch = |done| {
            self.progress(&label, done, listed.size);
            !stop()
        };
        self.blob(&listed.sha256, listed.size, url, &watch).map_err(|error| match error {
            BlobError::Http(source) => {
                FetchError::Index { repository: repository.name.clone(), wanted: Vec::new(), url: url.to_string(), source }
            }
            BlobError::Store(source @ StoreError::Mismatch { .. }) => {
                FetchError::IndexMismatch { repository: repository.name.clone(), url: url.to_string(), source }
            }
            BlobError::Store(error) => error.into(),
        })
    }

    fn release_key(&self, repository: &Repository, suite: &str) -> String {
        format!("{} {suite}", identity(repository, &self.options))
    }

    fn offline(&self, repository: &Repository, what: &str) -> FetchError {
        FetchError::OfflineIndex {
            repository: repository.name.clone(),
            what: what.to_string(),
            store: self.store.directory().to_path_buf(),
        }
    }
}

/// The architectures whose indexes have to be read to know all packages for amd64.
fn architectures(release: &Release, layout: &Layout) -> Vec<&'static str> {
    let all = release.architectures.iter().any(|architecture| architecture == "all") && !release.all_is_included;
    match layout {
        Layout::Suites { .. } if all => vec!["amd64", "all"],
        _ => vec!["amd64"],
    }
}

/// A key's address at the base in use, if the profile has it below one of the repository's own: a mirror has the key, too.
fn at_base(key_uri: &str, repository: &Repository, base: &Base) -> String {
    let own = match &repository.source {
        Source::Signed { location: Location::Uris(urls), .. } => urls.as_slice(),
        _ => &[],
    };
    let below = |own: &String| key_uri.strip_prefix(own.as_str()).filter(|rest| rest.starts_with('/'));
    own.iter().find_map(below).map_or_else(|| key_uri.to_string(), |rest| format!("{}{rest}", base.url))
}

/// The paths joined here come from validated names and from [`Release`], which lists none that climbs; an odd one leads to a 404.
fn join(base: &str, path: &str) -> String {
    address::join(base, path).unwrap_or_else(|| base.to_string())
}

/// An index as text; more than is listed (or than any index has) is an error.
fn decompress(file: File, extension: &str, plain: Option<&Listed>) -> io::Result<String> {
    let file = BufReader::with_capacity(256 * 1024, file);
    let reader: Box<dyn Read> = match extension {
        ".xz" => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(file)),
        ".gz" => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };
    let limit = plain.map_or(LARGEST_INDEX, |plain| plain.size.min(LARGEST_INDEX));
    let mut bytes = Vec::with_capacity(plain.map_or(0, |plain| plain.size.min(64 << 20) as usize));
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_string());
    if bytes.len() as u64 > limit {
        return Err(invalid("it unpacks to more bytes than it may"));
    }
    if plain.is_some_and(|plain| plain.size != bytes.len() as u64 || plain.sha256 != Sha256Digest::of(&bytes)) {
        return Err(invalid("it does not unpack to the text that the signed InRelease lists"));
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text"))
}
