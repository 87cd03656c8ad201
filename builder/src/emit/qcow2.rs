//! The qcow2 disk image: version 3, sparse, clusters of 64 KiB, not compressed (its content is, already).
//!
//! Layout: header, L1 table, L2 tables, data clusters in the order of the disk, refcount table and blocks at the end. A cluster
//! of zeros has no place, wherever the host's file system keeps holes, so the same disk gives the same bytes. Format: QEMU's
//! `docs/interop/qcow2.rst`.

use super::sparse;
use crate::zeros;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub(crate) const MAGIC: [u8; 4] = *b"QFI\xfb";
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of 8 bytes in one cluster: what an L2 table maps, and what a cluster of the refcount table counts.
const ENTRIES: u64 = CLUSTER / 8;
/// Counters of 16 bits in one cluster.
const COUNTERS: u64 = CLUSTER / 2;
/// "Refcount is exactly one": the cluster may be written in place.
const COPIED: u64 = 1 << 63;

/// Writes the raw disk `raw` as qcow2 into `out`, which must be empty. Moves the position of `raw`.
pub fn write(raw: &File, out: &File) -> io::Result<()> {
    let size = raw.metadata()?.len();
    let used = used_clusters(raw, size)?;
    let l1_entries = size.div_ceil(CLUSTER).div_ceil(ENTRIES);
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER).max(1);
    let mut tables: Vec<u64> = used.iter().map(|cluster| cluster / ENTRIES).collect();
    tables.dedup();

    // Places, in clusters of the file.
    let l2_at = 1 + l1_clusters;
    let data_at = l2_at + tables.len() as u64;
    let counters_at = data_at + used.len() as u64;
    let (table_clusters, block_clusters) = counter_clusters(counters_at);
    let blocks_at = counters_at + table_clusters;
    let end = blocks_at + block_clusters;
    out.set_len(end * CLUSTER)?;

    out.write_all_at(&header(size, l1_entries, counters_at * CLUSTER, table_clusters), 0)?;
    let mut l1 = vec![0u64; l1_entries as usize];
    for (index, table) in tables.iter().enumerate() {
        if let Some(entry) = l1.get_mut(*table as usize) {
            *entry = ((l2_at + index as u64) * CLUSTER) | COPIED;
        }
    }
    out.write_all_at(&big_endian(&l1), CLUSTER)?;
    let mut number = data_at;
    for (index, run) in used.chunk_by(|a, b| a / ENTRIES == b / ENTRIES).enumerate() {
        let mut l2 = vec![0u64; ENTRIES as usize];
        for cluster in run {
            if let Some(entry) = l2.get_mut((cluster % ENTRIES) as usize) {
                *entry = (number * CLUSTER) | COPIED;
            }
            number += 1;
        }
        out.write_all_at(&big_endian(&l2), (l2_at + index as u64) * CLUSTER)?;
    }
    let mut number = data_at;
    for run in used.chunk_by(|a, b| a + 1 == *b) {
        let Some(&first) = run.first() else { continue };
        let from = first * CLUSTER;
        let len = (run.len() as u64 * CLUSTER).min(size - from);
        sparse::copy(raw, from, out, number * CLUSTER, len)?;
        number += run.len() as u64;
    }
    let table: Vec<u64> = (0..block_clusters).map(|block| (blocks_at + block) * CLUSTER).collect();
    out.write_all_at(&big_endian(&table), counters_at * CLUSTER)?;
    let ones: Vec<u8> = (0..end).flat_map(|_| 1u16.to_be_bytes()).collect();
    out.write_all_at(&ones, blocks_at * CLUSTER)
}

/// The clusters of the disk that hold anything but zeros, ascending.
fn used_clusters(raw: &File, size: u64) -> io::Result<Vec<u64>> {
    let mut used: Vec<u64> = Vec::new();
    let mut buffer = vec![0; 16 * CLUSTER as usize];
    let mut next = 0;
    for range in sparse::data_ranges(raw)? {
        let end = range.end.div_ceil(CLUSTER);
        let mut cluster = next.max(range.start / CLUSTER);
        while cluster < end {
            let count = (end - cluster).min(16);
            let bytes = (count * CLUSTER).min(size - cluster * CLUSTER) as usize;
            let part = &mut buffer[..bytes];
            raw.read_exact_at(part, cluster * CLUSTER)?;
            let held = part.chunks(CLUSTER as usize).zip(cluster..).filter(|(bytes, _)| !zeros::is_zero(bytes));
            used.extend(held.map(|(_, number)| number));
            cluster += count;
        }
        next = end.max(next);
    }
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
