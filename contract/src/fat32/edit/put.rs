//! Adding a file, giving a file another content, writing over one in its place.

use super::directory::{Directory, Node};
use super::draft::Draft;
use super::place::{named, records_of};
use super::volume::{Fat32, components};
use super::{EditError, Plan, Write};
use crate::fat32::names::Record;
use crate::fat32::record::{self, ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY};
use crate::fat32::time;
use std::borrow::Cow;
use std::collections::BTreeSet;

impl Fat32<'_> {
    /// Plans a file of this content: a new one, with the directories above it that are missing, or in place of the one that is
    /// there, whose content is kept until the new one is complete. `epoch` is the time in seconds since 1970, UTC.
    pub fn put<'c>(&self, path: &str, content: impl Into<Cow<'c, [u8]>>, epoch: i64) -> Result<Plan<'c>, EditError> {
        let content = content.into();
        let names = components(path)?;
        let Some((last, above)) = names.split_last() else { return Err(EditError::Directory(path.to_owned())) };
        if u32::try_from(content.len()).is_err() {
            return Err(EditError::Name { path: path.to_owned(), fault: "a file on FAT is smaller than 4 GiB" });
        }
        let mut directory = self.directory(self.geometry.root)?;
        for (index, name) in above.iter().enumerate() {
            match directory.find(name) {
                None => {
                    return self
                        .create(path, &directory, names.get(index..).unwrap_or_default(), &content, time::stamp(epoch))?
                        .finish();
                }
                Some(node) if !node.directory => return Err(EditError::NotDirectory(path.to_owned())),
                Some(node) => directory = self.directory(node.first)?,
            }
        }
        match directory.find(last) {
            None => self.create(path, &directory, &[last], &content, time::stamp(epoch))?.finish(),
            Some(node) if node.directory => Err(EditError::Directory(path.to_owned())),
            Some(node) => self.replace(&directory, node, &content, epoch),
        }
    }

    /// Plans another content of the same length into the very sectors of the old one: power may fail between two sectors, so
    /// nothing is lost for certain only where the two differ in one sector.
    pub fn overwrite(&self, path: &str, content: &[u8]) -> Result<Plan<'static>, EditError> {
        let (_, node) = self.find(path)?.ok_or_else(|| EditError::Missing(path.to_owned()))?;
        if node.directory {
            return Err(EditError::Directory(path.to_owned()));
        }
        if content.len() as u64 != u64::from(node.len) {
            return Err(EditError::Length { path: path.to_owned(), len: node.len.into(), given: content.len() as u64 });
        }
        let sector = self.geometry.sector as usize;
        let runs = self.runs(&self.chain_of(&node)?);
        let places = runs.iter().flat_map(|(offset, len)| (*offset..offset + len).step_by(sector));
        let mut step = Vec::new();
        for (offset, new) in places.zip(content.chunks(sector)) {
            let old = self.bytes(offset, sector as u64)?;
            if !old.starts_with(new) {
                let bytes = [new, old.get(new.len()..).unwrap_or_default()].concat();
                step.push(Write { offset, bytes: bytes.into() });
            }
        }
        Ok(Plan { steps: if step.is_empty() { Vec::new() } else { vec![step] } })
    }

    /// Plans `names`, directories and a file at last, into a directory that has none of them. The draft's last step, in which the
    /// file appears, is still open.
    pub(super) fn create<'c>(
        &self,
        path: &str,
        directory: &Directory,
        names: &[&str],
        content: &Cow<'c, [u8]>,
        stamp: [u8; 4],
    ) -> Result<Draft<'_, 'c>, EditError> {
        let Some((top, _)) = names.split_first() else { return Err(EditError::Directory(path.to_owned())) };
        names.iter().try_for_each(|name| records_of(name, path).map(|_| ()))?;
        let extends = directory.needs_cluster(records_of(top, path)?);
        let in_file = self.geometry.clusters_for(content.len() as u64);
        let mut draft = Draft::new(self);
        let clusters = draft.allocate(in_file + (names.len() - 1) as u64 + u64::from(extends))?;
        let (file, others) = clusters.split_at_checked(in_file as usize).unwrap_or_default();
        let (inner, extension) = others.split_at_checked(names.len() - 1).unwrap_or_default();
        draft.content(file, content);
        draft.chain(file)?;

        // From the file up: each directory holds one name.
        let first = file.first().copied().unwrap_or(0);
        let mut child: (u8, u32, u32) = (ATTRIBUTE_ARCHIVE, first, content.len() as u32);
        for (index, cluster) in inner.iter().enumerate().rev() {
            let parent = index.checked_sub(1).and_then(|above| inner.get(above)).copied().unwrap_or(directory.first);
            let name = names.get(index + 1).copied().unwrap_or_default();
            let mut records = vec![
                record::record(b".          ", ATTRIBUTE_DIRECTORY, *cluster, 0, stamp),
                record::record(b"..         ", ATTRIBUTE_DIRECTORY, parent, 0, stamp),
            ];
            records.extend(records_for(name, &mut BTreeSet::new(), child, stamp));
            let mut bytes = records.concat();
            bytes.resize(self.geometry.cluster as usize, 0);
            draft.write([Write { offset: self.geometry.offset(*cluster), bytes: bytes.into() }]);
            draft.chain(&[*cluster])?;
            child = (ATTRIBUTE_DIRECTORY, *cluster, 0);
        }

        let records = records_for(top, &mut directory.taken(), child, stamp);
        draft.chain(extension)?;
        let extension = extension.first().map(|cluster| (*cluster, self.geometry.offset(*cluster), self.geometry.cluster));
        let placement = directory.place_records(&records, extension);
        draft.write(placement.before);
        draft.flush();
        if let Some((last, next)) = placement.link {
            draft.link(last, next)?;
            draft.flush();
        }
        draft.write(placement.shows);
        Ok(draft)
    }

    fn replace<'c>(
        &self,
        directory: &Directory,
        node: &Node,
        content: &Cow<'c, [u8]>,
        epoch: i64,
    ) -> Result<Plan<'c>, EditError> {
        let old = self.chain_of(node)?;
        let mut draft = Draft::new(self);
        let clusters = draft.allocate(self.geometry.clusters_for(content.len() as u64))?;
        draft.content(&clusters, content);
        draft.chain(&clusters)?;
        draft.flush();
        let mut record = node.record;
        record::points_to(&mut record, clusters.first().copied().unwrap_or(0), content.len() as u32);
        record::written(&mut record, time::stamp(epoch));
        let place = *node.places.end();
        draft.write(directory.sector_with(place / directory.per_sector, place % directory.per_sector, &[record]));
        draft.flush();
        draft.free(&old)?;
        draft.finish()
    }
}

fn records_for(
    name: &str,
    taken: &mut BTreeSet<[u8; 11]>,
    (attributes, cluster, len): (u8, u32, u32),
    stamp: [u8; 4],
) -> Vec<Record> {
    named(name, taken, |short| record::record(short, attributes, cluster, len, stamp))
}
