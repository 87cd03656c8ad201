//! Packages -> unpacked packages: each .deb is decoded once, into the store; later builds read from there. So is each layer of a
//! container image ([`unpack_layer`]).
//!
//! What is kept of a package is a *pack*, the data of its regular files one after another, and an *index* of its members, which
//! says where in the pack each file lies and what it hashes to. Both are keyed by the .deb's SHA-256. Nothing is judged here: what
//! a package may not bring is `merge`'s business, so that a refusal does not depend on whether the package was unpacked before.

#[cfg(test)]
pub(crate) mod example;
mod index;
mod layer;

pub use layer::{LayerError, UnpackedLayer, unpack_layer};

use super::content::Content;
use super::deb::tar::{MemberKind, TarReader};
use super::deb::{Deb, DebError};
use crate::deb822::{self, Comments};
use crate::failure::{Classified, Kind};
use crate::fetch::FetchedPackage;
use crate::hash::Sha256Digest;
use crate::parallel;
use crate::report::{Event, Reporter, Unit};
use crate::store::{Pack, PackWriter, Store, StoreError};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The kind under which the store keeps packs and indexes.
const KIND: &str = "packages";
/// Part of every key; another number when the pack's or the index's format changes, or what is read from a package.
const FORMAT: u32 = 1;
/// Data smaller than this is decoded faster than threads are started.
const THREADS_WORTH: u64 = 4 << 20;

/// A package whose data is at hand, member by member.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// Binary package name.
    pub name: Arc<str>,
    /// Debian version.
    pub version: Arc<str>,
    /// The .deb's digest.
    pub sha256: Sha256Digest,
    /// The control file: one deb822 paragraph.
    pub paragraph: Arc<[u8]>,
    /// Members in the package's order.
    pub members: Arc<[UnpackedMember]>,
    pack: Arc<File>,
}

/// A member of a package's data as the package has it: nothing is checked or normalised yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedMember {
    /// Path as written ("./usr/bin/x").
    pub path: Vec<u8>,
    /// Type, with the target of a link.
    pub kind: MemberKind,
    /// Permission bits, 07777 at most.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Extended attributes by full name, raw values.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where a regular file's data lies in the pack.
    data: Option<Range>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    offset: u64,
    len: u64,
    sha256: Sha256Digest,
}

impl Unpacked {
    /// A regular file's bytes; none for anything else.
    pub fn content(&self, member: &UnpackedMember) -> Option<Content> {
        content(&self.pack, member)
    }
}

fn content(pack: &Arc<File>, member: &UnpackedMember) -> Option<Content> {
    let range = member.data?;
    Some(Content::from_range(pack.clone(), range.offset, range.len, range.sha256))
}

/// A package could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The .deb is malformed.
    #[error("package {name} {version}")]
    Deb {
        /// Binary package name.
        name: String,
        /// Debian version.
        version: String,
        /// What is wrong with it.
        source: DebError,
    },
    /// The control file is not what it should be.
    #[error("package {name} {version}: its control file says {found}")]
    Identity {
        /// Binary package name as locked.
        name: String,
        /// Debian version as locked.
        version: String,
        /// What the control file says instead.
        found: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classified for UnpackError {
    fn kind(&self) -> Kind {
        match self {
            UnpackError::Deb { source, .. } => source.kind(),
            UnpackError::Identity { .. } => Kind::Trust,
            UnpackError::Store(error) => error.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            UnpackError::Deb { source, .. } => source.hints(),
            UnpackError::Identity { .. } => Vec::new(),
            UnpackError::Store(error) => error.hints(),
        }
    }
}

/// Unpacks every package, or finds it unpacked in the store; the result is in the order of `packages`. Up to `jobs` threads work,
/// the largest package first; where several packages fail, the first one in order is reported, whatever the threads' timing.
pub fn unpack(
    store: &Store,
    packages: &[FetchedPackage],
    jobs: usize,
    report: Reporter<'_>,
) -> Result<Vec<Unpacked>, UnpackError> {
    let mut order: Vec<usize> = (0..packages.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(packages[at].locked.size));
    let done = AtomicUsize::new(0);
    // One package at a time is decoded by several threads, so that the memory for it is needed once.
    let several = AtomicBool::new(true);
    let results = parallel::map(&order, jobs, |&at| {
        let result = one(store, &packages[at], jobs, &several);
        report(Event::Progress {
            label: "unpacking packages".to_string(),
            done: done.fetch_add(1, Ordering::Relaxed) as u64 + 1,
            total: packages.len() as u64,
            unit: Unit::Items,
        });
        result
    });
    let by_package: BTreeMap<usize, _> = order.into_iter().zip(results).collect();
    by_package.into_values().collect()
}

fn one(store: &Store, package: &FetchedPackage, jobs: usize, several: &AtomicBool) -> Result<Unpacked, UnpackError> {
    let key = format!("{} format {FORMAT}", package.locked.sha256);
    if let Some(index) = store.cached(KIND, &key)?.and_then(|bytes| index::decode(&bytes))
        && let Some(pack) = store.pack(KIND, &key)?.filter(|pack| pack.len == index.pack_len)
    {
        return unpacked(package, index, pack);
    }
    let (pack, mut index) = store.put_pack(KIND, &key, |writer| {
        decode(&package.file, jobs, several, writer).map_err(|failure| match failure {
            DecodeError::Store(error) => UnpackError::Store(error),
            DecodeError::Deb(source) => {
                UnpackError::Deb { name: package.locked.name.clone(), version: package.locked.version.clone(), source }
            }
        })
    })?;
    index.pack_len = pack.len;
    store.put_cached(KIND, &key, &index::encode(&index))?;
    unpacked(package, index, pack)
}

/// Holds the control file against the lock, on every build: a cached index tells nothing about what was locked.
fn unpacked(package: &FetchedPackage, index: index::Index, pack: Pack) -> Result<Unpacked, UnpackError> {
    let locked = &package.locked;
    let mismatch = |found: String| UnpackError::Identity { name: locked.name.clone(), version: locked.version.clone(), found };
    let text = deb822::text(&index.head).map_err(|error| mismatch(error.to_string()))?;
    let paragraph = deb822::single(text, Comments::Refused).map_err(|error| mismatch(error.to_string()))?;
    let field = |name| paragraph.as_ref().and_then(|paragraph| paragraph.get(name)).unwrap_or("nothing").to_string();
    let (name, version) = (field("Package"), field("Version"));
    if (&name, &version) != (&locked.name, &locked.version) {
        return Err(mismatch(format!("{name} {version}")));
    }
    Ok(Unpacked {
        name: name.into(),
        version: version.into(),
        sha256: locked.sha256,
        paragraph: index.head.into(),
        members: index.members.into(),
        pack: Arc::new(pack.file),
    })
}

enum DecodeError {
    Deb(DebError),
    Store(StoreError),
}

impl From<DebError> for DecodeError {
    fn from(error: DebError) -> Self {
        DecodeError::Deb(error)
    }
}

/// Writes the data of all regular files to the pack, and hashes it, in one pass over the .deb.
fn decode(file: &File, jobs: usize, several: &AtomicBool, pack: &mut PackWriter) -> Result<index::Index, DecodeError> {
    let deb = Deb::open(file)?;
    let paragraph = deb.control()?.paragraph;
    let threads = (jobs > 1 && deb.data_len() >= THREADS_WORTH && several.swap(false, Ordering::AcqRel)).then_some(jobs);
    let result = deb.data(threads.unwrap_or(1) as u32).map_err(DecodeError::Deb).and_then(|mut tar| members(&mut tar, pack));
    if threads.is_some() {
        several.store(true, Ordering::Release);
    }
    Ok(index::Index { head: paragraph, members: result?, pack_len: 0 })
}

fn members<R: Read>(tar: &mut TarReader<R>, pack: &mut PackWriter) -> Result<Vec<UnpackedMember>, DecodeError> {
    let mut members = Vec::new();
    while let Some(member) = tar.next_member()? {
        let data = if member.kind == MemberKind::File {
            let offset = pack.position();
            let mut hasher = Sha256::new();
            tar.copy_data(|chunk| -> Result<(), DecodeError> {
                hasher.update(chunk);
                pack.write_all(chunk).map_err(|error| DecodeError::Store(StoreError::Io(error)))
            })?;
            Some(Range { offset, len: member.size, sha256: Sha256Digest(hasher.finalize().into()) })
        } else {
            None
        };
        let (path, kind, xattrs) = (member.path, member.kind, member.xattrs);
        members.push(UnpackedMember { path, kind, mode: member.mode, uid: member.uid, gid: member.gid, xattrs, data });
    }
    Ok(members)
}

#[cfg(test)]
mod tests;
