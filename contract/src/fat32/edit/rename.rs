//! Another name in the same directory.

use super::directory::{Directory, Node};
use super::draft::Draft;
use super::place::{named, records_of};
use super::volume::Fat32;
use super::{EditError, Plan};
use crate::fat32::names;
use std::borrow::Cow;

/// The most bytes of a file that is renamed by a copy.
const COPY: u64 = 4 << 20;

impl Fat32<'_> {
    /// Plans another name for a file, `to` being a name without a directory. One sector is written where the new records fit into
    /// the sector that has the old ones. Elsewhere the file is copied first, as two names of one content would be damage to every
    /// checker: at most 4 MiB, and no directories.
    pub fn rename(&self, path: &str, to: &str) -> Result<Plan<'static>, EditError> {
        let (directory, node) = self.find(path)?.ok_or_else(|| EditError::Missing(path.to_owned()))?;
        if let Some(fault) = names::fault(to) {
            return Err(EditError::Name { path: to.to_owned(), fault });
        }
        let count = records_of(to, to)?;
        if directory.find(to).is_some_and(|other| other.places != node.places) {
            return Err(EditError::Exists(to.to_owned()));
        }
        let mut taken = directory.taken();
        taken.remove(&std::array::from_fn(|index| node.record[index]));
        let records = named(to, &mut taken, |short| {
            let mut record = node.record;
            record[..11].copy_from_slice(short);
            // The bits that say what is in lower case: the name is exact without them.
            record[12] = 0;
            record
        });
        let mut without = directory.clone();
        without.absorb(&directory.without(&node.places));
        let index = node.places.end() / directory.per_sector;
        let one_sector = node.places.start() / directory.per_sector == index;
        match without.room(index, count).filter(|_| one_sector) {
            Some(at) => {
                let placement = without.place_in(index, at, &records);
                let mut draft = Draft::new(self);
                draft.write(placement.before);
                draft.flush();
                draft.write(placement.shows);
                draft.finish()
            }
            None => self.copy(directory, &node, path, to),
        }
    }

    fn copy(&self, mut directory: Directory, node: &Node, path: &str, to: &str) -> Result<Plan<'static>, EditError> {
        if node.directory {
            return Err(EditError::Directory(path.to_owned()));
        }
        if u64::from(node.len) > COPY {
            return Err(EditError::TooLarge { path: path.to_owned(), len: node.len.into(), most: COPY });
        }
        let chain = self.chain_of(node)?;
        let stamp = std::array::from_fn(|index| node.record[22 + index]);
        let mut draft = self.create(to, &directory, &[to], &Cow::Owned(self.content(node)?), stamp)?;
        draft.flush();
        directory.absorb(draft.writes());
        for sector in directory.without(&node.places) {
            draft.write([sector]);
            draft.flush();
        }
        draft.free(&chain)?;
        draft.finish()
    }
}
