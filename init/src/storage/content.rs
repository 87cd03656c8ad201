//! What begins a partition: nothing, an ext4, or something else.

use crate::facts::ext4::Superblock;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// How much of a partition's begin, and of its end, has to be zero for it to be empty. Every file system, volume manager, swap area
/// and partition table has its signature in one of these two places.
pub(super) const LOOKED_AT: usize = 1 << 20;

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Begin and end are zero.
    Empty,
    /// An ext4, whoever made it.
    Ext4(Superblock),
    /// Something else.
    Other,
}

impl Content {
    /// Judges a partition by its begin and its end.
    pub fn of(begin: &[u8], end: &[u8]) -> Self {
        match Superblock::parse(begin) {
            Some(superblock) => Self::Ext4(superblock),
            None if begin.iter().chain(end).all(|&byte| byte == 0) => Self::Empty,
            None => Self::Other,
        }
    }

    /// Whether it is a file system that may hold data.
    pub fn was_mounted(&self) -> bool {
        matches!(self, Self::Ext4(superblock) if superblock.mounted)
    }

    /// Whether it is a file system that needs no look: what `e2fsck -p` would say by its superblock alone.
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Ext4(superblock) if superblock.clean)
    }
}

/// Looks at a partition.
pub(super) fn read(partition: &Path) -> io::Result<Content> {
    let mut file = File::open(partition)?;
    let size = file.seek(SeekFrom::End(0))?;
    // The superblock first: of a partition that has one, which is every boot but the first, no more is read.
    let superblock = read_at(&mut file, 0, size.min(4096))?;
    if Superblock::parse(&superblock).is_some() {
        return Ok(Content::of(&superblock, &[]));
    }
    let length = size.min(LOOKED_AT as u64);
    let (begin, end) = (read_at(&mut file, 0, length)?, read_at(&mut file, size - length, length)?);
    Ok(Content::of(&begin, &end))
}

fn read_at(file: &mut File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_is_not_nothing() {
        let zeros = vec![0; LOOKED_AT];
        assert_eq!(Content::of(&zeros, &zeros), Content::Empty);
        for at in [0, 511, 4096, LOOKED_AT - 1] {
            let mut other = zeros.clone();
            other[at] = 1;
            assert_eq!((Content::of(&other, &zeros), Content::of(&zeros, &other)), (Content::Other, Content::Other), "{at}");
        }
        assert_eq!(Content::of(&[], &[]), Content::Empty);
    }

    #[test]
    fn a_small_partition_is_read_too() {
        let file = std::env::temp_dir().join(format!("kmimage-content-{}", std::process::id()));
        for (size, last, expect) in [(0, 0, Content::Empty), (5000, 0, Content::Empty), (3 << 20, 0, Content::Empty)] {
            std::fs::write(&file, vec![last; size]).unwrap();
            assert_eq!(read(&file).unwrap(), expect, "{size}");
        }
        let mut bytes = vec![0; 3 << 20];
        bytes[(3 << 20) - 1] = 1;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(read(&file).unwrap(), Content::Other);
        std::fs::remove_file(&file).unwrap();
    }
}
