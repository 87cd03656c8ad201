//! The qcow2 disk image: version 3, sparse, clusters of 64 KiB, not compressed (its content is, already).
//!
//! Layout: header, L1 table, L2 tables, data clusters in the order of the disk, refcount table and blocks at the end. A cluster
//! of zeros has no place, wherever the host's file system keeps holes, so the same disk gives the same bytes. Format: QEMU's
//! `docs/interop/qcow2.rst`. [`copies`](super::copies) writes it.

use super::sparse;
use crate::zeros;
use std::fs::File;
use std::io;
use std::ops::Range;

pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";
const CLUSTER_BITS: u32 = 16;
pub(super) const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of 8 bytes in one cluster: what an L2 table maps, and what a cluster of the refcount table counts.
const ENTRIES: u64 = CLUSTER / 8;
/// Counters of 16 bits in one cluster.
const COUNTERS: u64 = CLUSTER / 2;
/// "Refcount is exactly one": the cluster may be written in place.
const COPIED: u64 = 1 << 63;

/// Where everything of a disk goes.
#[derive(Debug)]
pub(super) struct Layout {
    /// Bytes of the disk.
    size: u64,
    /// The clusters of the disk that have a place, ascending.
    used: Vec<u64>,
    l1_entries: u64,
    /// The L1 entries that have a table, ascending.
    tables: Vec<u64>,
    /// Places, in clusters of the file.
    l2_at: u64,
    data_at: u64,
    counters_at: u64,
    table_clusters: u64,
    block_clusters: u64,
    end: u64,
}

impl Layout {
    /// Lays the raw disk `raw` out; its clusters are read to find out which hold nothing, apart from those in `dense`, which all get a
    /// place. Moves the position of `raw`.
    pub(super) fn of(raw: &File, dense: Range<u64>) -> io::Result<Self> {
        let size = raw.metadata()?.len();
        let used = used_clusters(raw, dense)?;
        let l1_entries = size.div_ceil(CLUSTER).div_ceil(ENTRIES);
        let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER).max(1);
        let mut tables: Vec<u64> = used.iter().map(|cluster| cluster / ENTRIES).collect();
        tables.dedup();
        let l2_at = 1 + l1_clusters;
        let data_at = l2_at + tables.len() as u64;
        let counters_at = data_at + used.len() as u64;
        let (table_clusters, block_clusters) = counter_clusters(counters_at);
        let end = counters_at + table_clusters + block_clusters;
        Ok(Self { size, used, l1_entries, tables, l2_at, data_at, counters_at, table_clusters, block_clusters, end })
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.end * CLUSTER
    }

    /// Bytes before the data.
    pub(super) fn data_offset(&self) -> u64 {
        self.data_at * CLUSTER
    }

    /// What is before the data.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = header(self.size, self.l1_entries, self.counters_at * CLUSTER, self.table_clusters);
        head.resize(CLUSTER as usize, 0);
        let mut l1 = vec![0u64; self.l1_entries as usize];
        for (index, table) in self.tables.iter().enumerate() {
            if let Some(entry) = l1.get_mut(*table as usize) {
                *entry = ((self.l2_at + index as u64) * CLUSTER) | COPIED;
            }
        }
        head.extend(big_endian(&l1));
        head.resize((self.l2_at * CLUSTER) as usize, 0);
        let mut number = self.data_at;
        for run in self.used.chunk_by(|a, b| a / ENTRIES == b / ENTRIES) {
            let mut l2 = vec![0u64; ENTRIES as usize];
            for cluster in run {
                if let Some(entry) = l2.get_mut((cluster % ENTRIES) as usize) {
                    *entry = (number * CLUSTER) | COPIED;
                }
                number += 1;
            }
            head.extend(big_endian(&l2));
        }
        head
    }

    /// What is behind the data.
    pub(super) fn tail(&self) -> Vec<u8> {
        let blocks_at = self.counters_at + self.table_clusters;
        let table: Vec<u64> = (0..self.block_clusters).map(|block| (blocks_at + block) * CLUSTER).collect();
        let mut tail = big_endian(&table);
        tail.resize((self.table_clusters * CLUSTER) as usize, 0);
        tail.extend((0..self.end).flat_map(|_| 1u16.to_be_bytes()));
        tail.resize(((self.table_clusters + self.block_clusters) * CLUSTER) as usize, 0);
        tail
    }

    /// The data: ranges of the disk as they follow one another in the file. Each is of whole clusters there, the rest of the last one
    /// zeros.
    pub(super) fn data(&self) -> impl Iterator<Item = Range<u64>> {
        let runs = self.used.chunk_by(|a, b| a + 1 == *b);
        runs.filter_map(|run| Some(run.first()? * CLUSTER..((run.last()? + 1) * CLUSTER).min(self.size)))
    }
}

/// The clusters of the disk that hold anything but zeros, or are in `dense` as a whole, ascending.
fn used_clusters(raw: &File, dense: Range<u64>) -> io::Result<Vec<u64>> {
    let size = raw.metadata()?.len();
    let dense = dense.start.div_ceil(CLUSTER)..dense.end.min(size) / CLUSTER;
    let mut used: Vec<u64> = dense.clone().collect();
    let mut pieces = sparse::pieces(raw)?;
    pieces.retain(|piece| !(dense.contains(&(piece.start / CLUSTER)) && dense.contains(&((piece.end - 1) / CLUSTER))));
    sparse::read(raw, &pieces, |at, bytes| {
        let held = bytes.chunks(CLUSTER as usize).zip(at / CLUSTER..).filter(|(bytes, _)| !zeros::is_zero(bytes));
        used.extend(held.map(|(_, number)| number).filter(|number| !dense.contains(number)));
        Ok::<_, io::Error>(())
    })?;
    used.sort_unstable();
    Ok(used)
}

/// How many clusters the refcount table and the refcount blocks take for a file of `others` clusters besides them.
fn counter_clusters(others: u64) -> (u64, u64) {
    let (mut table, mut blocks) = (1, 1);
    loop {
        let need_blocks = (others + table + blocks).div_ceil(COUNTERS);
        let need_table = need_blocks.div_ceil(ENTRIES);
        if (need_table, need_blocks) == (table, blocks) {
            return (table, blocks);
        }
        (table, blocks) = (need_table.max(table), need_blocks.max(blocks));
    }
}

fn header(size: u64, l1_entries: u64, refcount_table: u64, refcount_clusters: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(112);
    header.extend(MAGIC);
    header.extend(3u32.to_be_bytes());
    header.extend([0; 12]); // no backing file
    header.extend(CLUSTER_BITS.to_be_bytes());
    header.extend(size.to_be_bytes());
    header.extend([0; 4]); // not encrypted
    header.extend((l1_entries as u32).to_be_bytes());
    header.extend(CLUSTER.to_be_bytes());
    header.extend(refcount_table.to_be_bytes());
    header.extend((refcount_clusters as u32).to_be_bytes());
    header.extend([0; 12]); // no snapshots
    header.extend([0; 24]); // no feature bits
    header.extend(4u32.to_be_bytes()); // refcounts of 2^4 bits
    header.extend(104u32.to_be_bytes()); // header length
    header.extend([0; 8]); // end of the header extensions
    header
}

fn big_endian(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::copies::qcow2 as write;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::process::Command;

    fn raw(path: &Path, size: u64, places: &[(u64, usize)]) -> File {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        file.set_len(size).unwrap();
        for &(at, len) in places {
            let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8 + 1).collect();
            file.write_all_at(&bytes, at).unwrap();
        }
        file
    }

    fn qemu_img(arguments: &[&str]) -> String {
        #[expect(clippy::disallowed_methods, reason = "a foreign tool judges our bytes")]
        let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img is installed (qemu-utils)");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        text
    }

    #[test]
    fn tools_qemu_img_finds_no_error_and_the_same_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let places: [(u64, &[(u64, usize)]); 5] = [
            (0x10000, &[]),
            (1 << 20, &[(0, 512), ((1 << 20) - 512, 512)]),
            // Not a multiple of a cluster, data in the last sector.
            ((1 << 20) + 1024, &[((1 << 20) + 512, 512)]),
            // Several L2 tables (one maps 512 MiB), a run over their border.
            (2 << 30, &[(0, 100_000), ((512 << 20) - 70_000, 140_000), ((2 << 30) - 1, 1)]),
            // More than one refcount block would count 2 GiB of data; holes of 40 GiB cost no more than their tables.
            (40 << 30, &[(39 << 30, 1)]),
        ];
        for (size, places) in places {
            let file = raw(Path::new(&path("raw")), size, places);
            let out = File::create(path("qcow2")).unwrap();
            write(&file, &out).unwrap();
            let check = qemu_img(&["check", "-f", "qcow2", &path("qcow2")]);
            assert!(check.contains("No errors were found on the image"), "{check}");
            qemu_img(&["compare", "-f", "raw", "-F", "qcow2", &path("raw"), &path("qcow2")]);
        }
    }

    #[test]
    fn bytes_depend_on_the_content_not_on_where_holes_are() {
        let directory = tempfile::tempdir().unwrap();
        let sparse = raw(&directory.path().join("a"), 4 << 20, &[(1 << 20, 5)]);
        let dense = raw(&directory.path().join("b"), 4 << 20, &[]);
        dense.write_all_at(&vec![0; 4 << 20], 0).unwrap();
        dense.write_all_at(&[1, 2, 3, 4, 5], 1 << 20).unwrap();
        let image = |raw: &File, name: &str| {
            let path = directory.path().join(name);
            write(raw, &File::create(&path).unwrap()).unwrap();
            fs_err::read(path).unwrap()
        };
        assert_eq!(image(&sparse, "qa"), image(&dense, "qb"));
        assert_eq!(image(&sparse, "qc").len() as u64, 6 * CLUSTER);
    }

    #[test]
    fn counters_count_themselves() {
        for others in [1, COUNTERS - 3, COUNTERS - 2, COUNTERS - 1, COUNTERS, 3 * COUNTERS, ENTRIES * COUNTERS] {
            let (table, blocks) = counter_clusters(others);
            assert!(blocks * COUNTERS >= others + table + blocks && table * ENTRIES >= blocks, "{others}: {table} {blocks}");
        }
    }
}
