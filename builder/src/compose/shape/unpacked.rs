//! Kernel modules as the kernel links them: unpacked, once, into a pack of the store.
//!
//! Distributions pack every module by itself with xz, and the kernel takes 50 times longer to unpack one than to load it. Root and
//! initramfs are packed by zstd as a whole anyway, in which the same modules take a little more room and a fraction of the time.
//! A module's signature is behind its ELF file, within what is packed, and stays.

use super::ShapeError;
use crate::compose::content::Content;
use crate::compose::facts::{Fact, Facts, FactsError, UnpackedModule, unpack_module};
use crate::compose::tree::{Entry, Kind, Tree, TreePath};
use crate::hash::Sha256Digest;
use crate::parallel;
use crate::store::{Pack, PackWriter, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;

/// How many modules are in memory at once.
const AT_ONCE: usize = 64;

/// Where a module's bytes lie in the pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The packed module's path in the tree.
    path: String,
    offset: u64,
    len: u64,
    sha256: Sha256Digest,
}

/// Unpacks the modules of a tree behind what is in the pack already, and notes in `places` where. Returns what they need, by name. What
/// can't be unpacked stays as it is and needs nothing here; `check` refuses it.
pub(super) fn unpack(
    modules: &Tree,
    facts: &mut Facts,
    jobs: usize,
    pack: &mut PackWriter,
    places: &mut Vec<Place>,
) -> Result<BTreeSet<String>, ShapeError> {
    let files: Vec<(&TreePath, &Entry, &Content)> = modules
        .iter()
        .filter_map(|(path, entry)| if let Kind::File(content) = &entry.kind { Some((path, entry, content)) } else { None })
        .collect();
    let mut needs = BTreeSet::new();
    for some in files.chunks(AT_ONCE) {
        for ((path, entry, _), unpacked) in some.iter().zip(parallel::map(some, jobs, |(_, _, content)| unpack_module(content))) {
            let fail = |source| FactsError::Read { path: (*path).clone(), origin: entry.origin.clone(), source };
            let UnpackedModule { bytes, sha256, fact } = unpacked.map_err(fail)?;
            if let Fact::Module(module) = &fact {
                needs.extend(module.depends.iter().cloned());
            }
            facts.learn_module(sha256, fact);
            if let Some(bytes) = bytes {
                places.push(Place { path: path.to_string(), offset: pack.position(), len: bytes.len() as u64, sha256 });
                pack.write_all(&bytes).map_err(StoreError::Io)?;
            }
        }
    }
    Ok(needs)
}

/// Puts the unpacked modules in the place of the packed ones, under names without what was behind `.ko`. Where such a name is taken, both
/// stay: two modules of one name are refused later.
pub(super) fn place(tree: &mut Tree, places: &[Place], pack: Pack) {
    let file = Arc::new(pack.file);
    for Place { path: packed, offset, len, sha256 } in places {
        let Some(plain) = packed.rfind(".ko").and_then(|at| packed.get(..at + 3)) else { continue };
        let (Ok(packed), Ok(plain)) = (TreePath::new(packed), TreePath::new(plain)) else { continue };
        let Some(entry) = tree.get(&packed).cloned().filter(|_| packed == plain || tree.get(&plain).is_none()) else { continue };
        tree.remove(&packed);
        let content = Content::from_range(file.clone(), *offset, *len, *sha256);
        tree.insert(plain, Entry { kind: Kind::File(content), link: None, ..entry });
    }
}
