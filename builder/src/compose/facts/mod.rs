//! What the bytes of the tree's files are: ELF headers, `#!` lines, kernel modules, known programs.
//!
//! Facts belong to content, not to paths: they are looked up by digest. They are computed on all threads and kept in the store, one
//! entry per origin, so that a build whose packages did not change reads none of their bytes. Foreign bytes never fail the build here:
//! a file that claims to be something and is not carries a `Damaged` fact, and `check` decides.

mod elf;
mod kernel_module;
mod known_programs;
mod script;

pub use elf::{Elf, ElfKind, MACHINE_X86_64};
pub use kernel_module::{KernelModule, ModuleName, UnpackedModule, is_module_name, unpack_module};
pub use known_programs::{Family, FamilyKind, families};
pub use script::Shebang;

use super::content::Content;
use super::tree::{Kind, Origin, Tree, TreePath};
use crate::failure::{self, Classified};
use crate::hash::Sha256Digest;
use crate::parallel;
use crate::store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Changes whenever a fact's meaning or form changes: cached facts of another format are computed again.
const FORMAT: u32 = 1;

/// What a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// An ELF file that is no kernel module.
    Elf(Elf),
    /// A script: a file that begins with `#!`.
    Script(Shebang),
    /// A kernel module, by its name `*.ko`, `*.ko.xz` or `*.ko.zst`.
    Module(KernelModule),
    /// A file that claims to be an ELF file or a kernel module and can't be read as one; why.
    Damaged(String),
}

/// The facts of a tree's files, by content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    files: BTreeMap<Sha256Digest, Fact>,
    modules: BTreeMap<Sha256Digest, Fact>,
}

/// Why facts could not be had. The bytes of the files themselves are never the reason.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// A file of the tree can't be read where it is kept.
    #[error("can't read the content of {path} ({origin})")]
    Read {
        /// The path in the image.
        path: TreePath,
        /// Who brought it.
        origin: Origin,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error("can't keep what is known of the packages' files")]
    Store(#[from] StoreError),
}

impl Classified for FactsError {
    fn kind(&self) -> failure::Kind {
        match self {
            FactsError::Read { source, .. } => failure::io_kind(source),
            FactsError::Store(error) => error.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            FactsError::Read { .. } => Vec::new(),
            FactsError::Store(error) => error.hints(),
        }
    }
}

/// One content to look at, and where it was first seen.
struct Candidate<'a> {
    path: &'a TreePath,
    origin: &'a Origin,
    content: &'a Content,
    module: bool,
}

/// The form in the store: of every file of an origin that has a fact.
#[derive(Serialize, Deserialize)]
struct Kept {
    files: Vec<(Sha256Digest, Fact)>,
    modules: Vec<(Sha256Digest, Fact)>,
}

impl Facts {
    /// Looks at every regular file of `tree`, with `jobs` threads. What the store knows already is not computed again.
    pub fn gather(tree: &Tree, store: Option<&Store>, jobs: usize) -> Result<Facts, FactsError> {
        let mut facts = Facts::default();
        facts.gather_more(tree, store, jobs)?;
        Ok(facts)
    }

    /// As [`Facts::gather`], for a tree of which some files are known already: those are not looked at again.
    pub fn gather_more(&mut self, tree: &Tree, store: Option<&Store>, jobs: usize) -> Result<(), FactsError> {
        let mut by_origin: BTreeMap<&Origin, BTreeMap<(bool, Sha256Digest), Candidate<'_>>> = BTreeMap::new();
        for (path, entry) in tree.iter() {
            let Kind::File(content) = &entry.kind else { continue };
            let module = is_module_name(path.name());
            let candidates = by_origin.entry(&entry.origin).or_default();
            let candidate = Candidate { path, origin: &entry.origin, content, module };
            candidates.entry((module, content.sha256())).or_insert(candidate);
        }
        let mut unknown = Vec::new();
        let mut missed = Vec::new();
        for candidates in by_origin.into_values() {
            let key = key(candidates.keys());
            match store.map(|store| store.cached("facts", &key)).transpose()?.flatten().and_then(|bytes| decode(&bytes)) {
                Some(kept) => self.absorb(kept),
                None => {
                    missed.push((key, candidates.keys().copied().collect::<Vec<_>>()));
                    let known = |(module, digest): &(bool, Sha256Digest)| self.map(*module).contains_key(digest);
                    unknown.extend(candidates.into_iter().filter(|(id, _)| !known(id)).map(|(_, candidate)| candidate));
                }
            }
        }
        for (candidate, fact) in unknown.iter().zip(parallel::map(&unknown, jobs, look_at)) {
            if let Some(fact) = fact? {
                self.map_mut(candidate.module).insert(candidate.content.sha256(), fact);
            }
        }
        if let Some(store) = store {
            for (key, ids) in missed {
                store.put_cached("facts", &key, &self.encode(&ids))?;
            }
        }
        Ok(())
    }

    /// Takes what was found out about a module's content.
    pub fn learn_module(&mut self, sha256: Sha256Digest, fact: Fact) {
        self.modules.insert(sha256, fact);
    }

    /// What is known of the file at `path` with this content; none for plain data.
    pub fn of(&self, path: &TreePath, content: &Content) -> Option<&Fact> {
        let map = if is_module_name(path.name()) { &self.modules } else { &self.files };
        map.get(&content.sha256())
    }

    /// Every path of `tree` that is a regular file with a fact, in the tree's order.
    pub fn over<'a>(&'a self, tree: &'a Tree) -> impl Iterator<Item = (&'a TreePath, &'a Fact)> {
        tree.iter().filter_map(|(path, entry)| match &entry.kind {
            Kind::File(content) => Some((path, self.of(path, content)?)),
            _ => None,
        })
    }

    fn map(&self, module: bool) -> &BTreeMap<Sha256Digest, Fact> {
        if module { &self.modules } else { &self.files }
    }

    fn map_mut(&mut self, module: bool) -> &mut BTreeMap<Sha256Digest, Fact> {
        if module { &mut self.modules } else { &mut self.files }
    }

    /// The form in the store of what is known of these contents.
    fn encode(&self, ids: &[(bool, Sha256Digest)]) -> Vec<u8> {
        let list = |module| {
            let ids = ids.iter().filter(move |(of_module, _)| *of_module == module);
            ids.filter_map(move |(_, digest)| Some((*digest, self.map(module).get(digest)?.clone()))).collect()
        };
        // Numbers, strings and lists only: such a value always has a JSON form.
        serde_json::to_vec(&Kept { files: list(false), modules: list(true) }).unwrap_or_default()
    }

    fn absorb(&mut self, kept: Kept) {
        self.files.extend(kept.files);
        self.modules.extend(kept.modules);
    }
}

/// Names everything that an origin's facts depend on: the format, the table of known programs, the contents.
fn key<'a>(candidates: impl Iterator<Item = &'a (bool, Sha256Digest)>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(FORMAT.to_le_bytes());
    hasher.update(known_programs::table_digest().0);
    for (module, digest) in candidates {
        hasher.update([u8::from(*module)]);
        hasher.update(digest.0);
    }
    format!("{}", Sha256Digest(hasher.finalize().into()))
}

fn decode(bytes: &[u8]) -> Option<Kept> {
    serde_json::from_slice(bytes).ok()
}

fn look_at(candidate: &Candidate<'_>) -> Result<Option<Fact>, FactsError> {
    let content = candidate.content;
    let result = if candidate.module { kernel_module::read(content).map(Some) } else { look_at_bytes(content) };
    result.or_else(|problem| match problem {
        Problem::Damaged(why) => Ok(Some(Fact::Damaged(why))),
        Problem::Read(source) => Err(FactsError::Read { path: candidate.path.clone(), origin: candidate.origin.clone(), source }),
    })
}

/// The first bytes say what a file is.
fn look_at_bytes(content: &Content) -> Result<Option<Fact>, Problem> {
    if content.len() < 4 {
        return Ok(None);
    }
    let mut magic = [0; 4];
    content.read_exact_at(&mut magic, 0).map_err(Problem::Read)?;
    match &magic {
        b"\x7fELF" => elf::read(content).map(|elf| Some(Fact::Elf(elf))),
        [b'#', b'!', ..] => script::read(content).map(|script| Some(Fact::Script(script))),
        _ => Ok(None),
    }
}

/// Why a file's fact is not what its first bytes promise.
enum Problem {
    /// The bytes are not what they claim to be.
    Damaged(String),
    /// The bytes can't be read.
    Read(io::Error),
}

/// `len` bytes at `at`, or `Damaged` naming `what` where the file ends before.
fn bytes_at(content: &Content, at: u64, len: u64, what: &str) -> Result<Vec<u8>, Problem> {
    if at.checked_add(len).is_none_or(|end| end > content.len()) {
        return Err(Problem::Damaged(format!("{what} lies beyond the end of the file")));
    }
    let mut bytes = vec![0; len as usize];
    content.read_exact_at(&mut bytes, at).map_err(Problem::Read)?;
    Ok(bytes)
}

impl Facts {
    /// How many contents have a fact.
    pub fn len(&self) -> usize {
        self.files.len() + self.modules.len()
    }

    /// True if no content has a fact.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The releases of the kernels whose modules the tree holds: the directories of /usr/lib/modules that hold a module.
    pub fn kernel_releases(&self, tree: &Tree) -> BTreeSet<String> {
        let modules = self.over(tree).filter(|(_, fact)| matches!(fact, Fact::Module(_)));
        modules.filter_map(|(path, _)| ModuleName::of(path)).map(|name| name.release).collect()
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
