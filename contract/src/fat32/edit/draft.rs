//! A plan in the making: the table as it will be, the writes of the step under way.

use super::volume::{CLUSTER_BITS, Fat32};
use super::{EditError, Plan, Write};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of the table that are read at once.
const TABLE_READ: u64 = 64 << 10;

pub(super) struct Draft<'v, 'c> {
    volume: &'v Fat32<'v>,
    /// Sectors of the table that differ from the volume's, by their offset in the table.
    table: BTreeMap<u64, Vec<u8>>,
    /// Which of them belong to the step under way.
    changed: BTreeSet<u64>,
    step: Vec<Write<'c>>,
    plan: Plan<'c>,
    taken: u64,
    freed: u64,
}

impl<'v, 'c> Draft<'v, 'c> {
    pub(super) fn new(volume: &'v Fat32<'v>) -> Self {
        Self {
            volume,
            table: BTreeMap::new(),
            changed: BTreeSet::new(),
            step: Vec::new(),
            plan: Plan::default(),
            taken: 0,
            freed: 0,
        }
    }

    /// Adds writes to the step under way.
    pub(super) fn write(&mut self, writes: impl IntoIterator<Item = Write<'c>>) {
        self.step.extend(writes);
    }

    /// All that is planned so far.
    pub(super) fn writes(&self) -> impl Iterator<Item = &Write<'c>> {
        self.plan.steps.iter().flatten().chain(&self.step)
    }

    /// Ends the step: what comes later is written when it is on the medium.
    pub(super) fn flush(&mut self) {
        let geometry = &self.volume.geometry;
        for at in std::mem::take(&mut self.changed) {
            let Some(bytes) = self.table.get(&at) else { continue };
            let tables = geometry.active.map_or(0..geometry.tables, |active| active..active + 1);
            for table in tables {
                let offset = geometry.table + table * geometry.table_len + at;
                self.step.push(Write { offset, bytes: bytes.clone().into() });
            }
        }
        if !self.step.is_empty() {
            self.plan.steps.push(std::mem::take(&mut self.step));
        }
    }

    /// The plan, with what is known of free clusters told last.
    pub(super) fn finish(mut self) -> Result<Plan<'c>, EditError> {
        if let Some(info) = self.free_clusters()? {
            self.step.push(info);
        }
        self.flush();
        Ok(self.plan)
    }

    /// Free clusters, in one piece where there is such a piece. Only once in a draft.
    pub(super) fn allocate(&mut self, count: u64) -> Result<Vec<u32>, EditError> {
        let geometry = &self.volume.geometry;
        let (mut scattered, mut run, mut free) = (Vec::new(), 0, 0);
        let mut at = 0;
        while at < geometry.end && count > 0 {
            let entries = (TABLE_READ / 4).min(u64::from(geometry.end - at));
            let bytes = self.volume.bytes(geometry.entry(at), entries * 4)?;
            for (cluster, entry) in (at..).zip(bytes.chunks_exact(4)) {
                let used = entry.iter().zip(CLUSTER_BITS.to_le_bytes()).any(|(byte, mask)| byte & mask != 0);
                if used || cluster < 2 {
                    run = 0;
                    continue;
                }
                run += 1;
                free += 1;
                if free <= count {
                    scattered.push(cluster);
                }
                if run == count {
                    self.taken += count;
                    // As many clusters as this lie before it.
                    return Ok((cluster + 1 - count as u32..=cluster).collect());
                }
            }
            at += entries as u32;
        }
        if free < count {
            return Err(EditError::Full { needed: count * geometry.cluster, free: free * geometry.cluster });
        }
        self.taken += count;
        Ok(scattered)
    }

    /// Makes clusters a chain.
    pub(super) fn chain(&mut self, clusters: &[u32]) -> Result<(), EditError> {
        for (index, cluster) in clusters.iter().enumerate() {
            self.set(*cluster, clusters.get(index + 1).copied().unwrap_or(CLUSTER_BITS))?;
        }
        Ok(())
    }

    /// Hangs a cluster behind another.
    pub(super) fn link(&mut self, last: u32, next: u32) -> Result<(), EditError> {
        self.set(last, next)
    }

    /// Gives clusters back.
    pub(super) fn free(&mut self, clusters: &[u32]) -> Result<(), EditError> {
        self.freed += clusters.len() as u64;
        clusters.iter().try_for_each(|cluster| self.set(*cluster, 0))
    }

    fn set(&mut self, cluster: u32, value: u32) -> Result<(), EditError> {
        let geometry = &self.volume.geometry;
        let (sector, at) = (u64::from(cluster) * 4 / geometry.sector, (u64::from(cluster) * 4 % geometry.sector) as usize);
        let place = sector * geometry.sector;
        let bytes = match self.table.entry(place) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                new.insert(self.volume.bytes(geometry.entry(0) + place, geometry.sector)?)
            }
        };
        if let Some(entry) = bytes.get_mut(at..at + 4) {
            // The upper bits are not the cluster's.
            let kept = entry.last().map_or(0, |last| u32::from(*last & 0xf0) << 24);
            entry.copy_from_slice(&(value & CLUSTER_BITS | kept).to_le_bytes());
            self.changed.insert(place);
        }
        Ok(())
    }

    /// Writes `content` to the clusters of a chain that has room for it, up to the end of its last sector.
    #[expect(clippy::ptr_arg, reason = "borrowed content stays borrowed in the writes")]
    pub(super) fn content(&mut self, chain: &[u32], content: &Cow<'c, [u8]>) {
        let mut done = 0;
        for (offset, len) in self.volume.runs(chain) {
            let end = content.len().min(done + len as usize);
            let whole = done + (end - done) / self.volume.geometry.sector as usize * self.volume.geometry.sector as usize;
            if whole > done {
                let bytes = match content {
                    Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(done..whole).unwrap_or_default()),
                    Cow::Owned(bytes) => bytes.get(done..whole).unwrap_or_default().to_vec().into(),
                };
                self.step.push(Write { offset, bytes });
            }
            if end > whole {
                let mut tail = content.get(whole..end).unwrap_or_default().to_vec();
                tail.resize(self.volume.geometry.sector as usize, 0);
                self.step.push(Write { offset: offset + (whole - done) as u64, bytes: tail.into() });
            }
            done = end;
        }
    }

    /// The sector that counts free clusters, if the volume has one and this changes it.
    fn free_clusters(&self) -> Result<Option<Write<'c>>, EditError> {
        let geometry = &self.volume.geometry;
        let Some(offset) = geometry.info.filter(|_| self.taken != self.freed) else { return Ok(None) };
        let mut sector = self.volume.bytes(offset, geometry.sector)?;
        let signed = sector.starts_with(b"RRaA") && sector.get(484..488) == Some(b"rrAa");
        let Some(Ok(bytes)) = sector.get(488..492).map(<[u8; 4]>::try_from) else { return Ok(None) };
        let free = u64::from(u32::from_le_bytes(bytes));
        // Anything larger means that it is not known.
        if !signed || free > u64::from(geometry.end - 2) {
            return Ok(None);
        }
        let free = (free + self.freed).saturating_sub(self.taken).min(u64::from(geometry.end - 2)) as u32;
        if let Some(place) = sector.get_mut(488..492) {
            place.copy_from_slice(&free.to_le_bytes());
        }
        Ok(Some(Write { offset, bytes: sector.into() }))
    }
}
