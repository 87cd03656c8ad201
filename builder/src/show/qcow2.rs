//! Reading the disk inside a qcow2 image: enough for what kmimage writes and what `qemu-img convert` makes of it.
//!
//! Versions 2 and 3, any cluster size, no backing file, no encryption, no compressed clusters, no external data, no extended L2
//! entries: those are refused by name. Format: QEMU's `docs/interop/qcow2.rst`.

use super::source::{Source, read_some};
use std::io;

/// How an image begins.
pub const MAGIC: &[u8; 4] = b"QFI\xfb";

const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// As in QEMU: an L1 table has at most 32 MiB.
const MOST_L1_ENTRIES: u64 = (32 << 20) / 8;

/// Why the disk in an image can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Qcow2Error {
    /// The header is not one.
    #[error("the qcow2 header is damaged: {0}")]
    Header(&'static str),
    /// Something that this reader does not do.
    #[error("the qcow2 image has {0}, which is not supported here (make it raw with `qemu-img convert`)")]
    Unsupported(String),
    /// The image can't be read.
    #[error("can't read the qcow2 image")]
    Read(#[from] io::Error),
}

/// The disk in a qcow2 image.
pub struct Qcow2<'a> {
    image: &'a dyn Source,
    cluster_bits: u32,
    l1_offset: u64,
    l1_entries: u64,
    size: u64,
}

impl<'a> Qcow2<'a> {
    /// Reads the header.
    pub fn open(image: &'a dyn Source) -> Result<Self, Qcow2Error> {
        let header = read_some(image, 0, 104)?;
        let u32_at = |at: usize| header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let u64_at = |at: usize| header.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let field = |value: Option<u32>| value.ok_or(Qcow2Error::Header("it is cut short"));
        let wide = |value: Option<u64>| value.ok_or(Qcow2Error::Header("it is cut short"));
        if header.get(..4) != Some(MAGIC) {
            return Err(Qcow2Error::Header("it has no signature"));
        }
        let version = field(u32_at(4))?;
        if !matches!(version, 2 | 3) {
            return Err(Qcow2Error::Unsupported(format!("version {version}")));
        }
        let unsupported = |what: &str| Err(Qcow2Error::Unsupported(what.to_owned()));
        if wide(u64_at(8))? != 0 {
            return unsupported("a backing file");
        }
        if field(u32_at(32))? != 0 {
            return unsupported("encryption");
        }
        // Bit 0 only says that refcounts may be stale, which a reader does not need.
        if version == 3 && wide(u64_at(72))? & !1 != 0 {
            return unsupported("incompatible features");
        }
        let cluster_bits = field(u32_at(20))?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(Qcow2Error::Header("its cluster size is out of range"));
        }
        let size = wide(u64_at(24))?;
        let l1_entries = u64::from(field(u32_at(36))?);
        // Each L1 entry maps one L2 table of 2^(bits-3) clusters.
        let mapped = l1_entries.checked_shl(2 * cluster_bits - 3).filter(|_| l1_entries <= MOST_L1_ENTRIES);
        if mapped.is_none_or(|mapped| mapped < size) {
            return Err(Qcow2Error::Header("its tables do not cover the disk"));
        }
        Ok(Self { image, cluster_bits, l1_offset: wide(u64_at(40))?, l1_entries, size })
    }

    fn entry(&self, table: u64, index: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        let at = index.checked_mul(8).and_then(|at| at.checked_add(table)).ok_or(io::ErrorKind::InvalidData)?;
        self.image.read_at(&mut bytes, at)?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// Where a cluster of the disk lies in the image; none for zeros.
    fn place(&self, cluster: u64) -> io::Result<Option<u64>> {
        let l2_bits = self.cluster_bits - 3;
        let index = cluster >> l2_bits;
        if index >= self.l1_entries {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let table = self.entry(self.l1_offset, index)? & OFFSET;
        if table == 0 {
            return Ok(None);
        }
        let entry = self.entry(table, cluster & ((1 << l2_bits) - 1))?;
        if entry & COMPRESSED != 0 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "compressed clusters are not supported here"));
        }
        Ok(Some(entry & OFFSET).filter(|&place| place != 0 && entry & ZERO == 0))
    }
}

impl Source for Qcow2<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        if at.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let cluster_size = 1u64 << self.cluster_bits;
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            let inside = at % cluster_size;
            let len = usize::try_from(cluster_size - inside).unwrap_or(usize::MAX).min(rest.len());
            let (part, behind) = rest.split_at_mut(len);
            match self.place(at >> self.cluster_bits)? {
                None => part.fill(0),
                Some(place) => {
                    // The last cluster of an image file may be cut short; what is missing reads as zeros.
                    let there = self.image.size().saturating_sub(place.saturating_add(inside));
                    let there = usize::try_from(there).unwrap_or(usize::MAX).min(part.len());
                    let (read, missing) = part.split_at_mut(there);
                    self.image.read_at(read, place.saturating_add(inside))?;
                    missing.fill(0);
                }
            }
            at += len as u64;
            rest = behind;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::copies::qcow2 as write;
    use std::os::unix::fs::FileExt;

    fn image() -> (Vec<u8>, Vec<u8>) {
        let raw = tempfile::tempfile().unwrap();
        raw.set_len(3 << 20).unwrap();
        raw.write_all_at(&[5; 100_000], 65_530).unwrap();
        raw.write_all_at(&[6; 10], (3 << 20) - 10).unwrap();
        let out = tempfile::tempfile().unwrap();
        write(&raw, &out).unwrap();
        let read = |file: &std::fs::File| {
            let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        (read(&raw), read(&out))
    }

    #[test]
    fn the_disk_reads_back() {
        let (raw, image) = image();
        let image = image.as_slice();
        let disk = Qcow2::open(&image).unwrap();
        assert_eq!(disk.size(), raw.len() as u64);
        for (at, len) in [(0, raw.len()), (65_000, 3), (65_529, 70_000), ((3 << 20) - 11, 11)] {
            let mut bytes = vec![1; len];
            disk.read_at(&mut bytes, at as u64).unwrap();
            assert!(bytes == raw[at..at + len], "{at}+{len}");
        }
        assert!(disk.read_at(&mut [0; 2], (3 << 20) - 1).is_err());
    }

    #[test]
    fn other_images_are_refused_by_name() {
        let (_, image) = image();
        let check = |at: usize, value: u8, expect: &str| {
            let mut image = image.clone();
            image[at] = value;
            assert_eq!(Qcow2::open(&image.as_slice()).map(|_| ()).unwrap_err().to_string(), expect);
        };
        check(7, 4, "the qcow2 image has version 4, which is not supported here (make it raw with `qemu-img convert`)");
        check(15, 1, "the qcow2 image has a backing file, which is not supported here (make it raw with `qemu-img convert`)");
        check(
            79,
            4,
            "the qcow2 image has incompatible features, which is not supported here (make it raw with `qemu-img convert`)",
        );
        check(23, 40, "the qcow2 header is damaged: its cluster size is out of range");
        check(39, 0, "the qcow2 header is damaged: its tables do not cover the disk");
        let short = &image[..50];
        assert_eq!(Qcow2::open(&short).map(|_| ()).unwrap_err().to_string(), "the qcow2 header is damaged: it is cut short");
    }

    #[test]
    fn damage_is_an_error_never_a_panic() {
        let (_, image) = image();
        for at in (0..104).chain(65_536..65_560).chain(131_072..131_096) {
            for value in [1, 0x7f, 0xff] {
                let mut image = image.clone();
                image[at] = value;
                let image = image.as_slice();
                if let Ok(disk) = Qcow2::open(&image) {
                    let _ = disk.read_at(&mut [0; 200_000], 0);
                }
            }
        }
    }
}
