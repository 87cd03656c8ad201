//! The on-disk format, as numbers: squashfs 4.0, little-endian, as Linux reads it (`fs/squashfs/squashfs_fs.h`).
//!
//! Shared by the writer and by [`super::read`]. Pure: bytes in, bytes out.

/// First four bytes of a squashfs.
pub(super) const MAGIC: u32 = 0x7371_7368;
/// Length of the superblock.
pub(super) const SUPERBLOCK_SIZE: usize = 96;
/// A metadata block holds this much before compression; the kernel knows no other size.
pub(super) const METADATA_SIZE: usize = 8192;
/// Set in the length of a metadata block that is stored as it is.
pub(super) const METADATA_RAW: u16 = 0x8000;
/// Set in the length of a data block that is stored as it is.
pub(super) const DATA_RAW: u32 = 1 << 24;
/// Compression id of zstd, the only one that is written or listed.
pub(super) const ZSTD: u16 = 6;
/// "No fragment", in a file's inode.
pub(super) const NO_FRAGMENT: u32 = u32::MAX;
/// "No attributes", in an extended inode.
pub(super) const NO_XATTR: u32 = u32::MAX;
/// "No such table", in the superblock.
pub(super) const NO_TABLE: u64 = u64::MAX;
/// More entries than this make a new header in a directory's listing; the kernel refuses longer runs.
pub(super) const DIRECTORY_RUN: usize = 256;
/// The system's padding: loop devices and dm-verity want whole 4 KiB blocks.
pub(super) const PADDING: u64 = 4096;

/// Superblock flags that this writer sets.
pub(super) mod flag {
    /// File contents that are equal are stored once.
    pub(in super::super) const DUPLICATES: u16 = 0x0040;
    /// There is an export table (NFS, `open_by_handle_at`).
    pub(in super::super) const EXPORTABLE: u16 = 0x0080;
    /// Compressor options follow the superblock.
    pub(in super::super) const COMPRESSOR_OPTIONS: u16 = 0x0400;
}

/// Inode types; the extended form of each is 7 higher.
pub(super) mod inode {
    pub(in super::super) const DIRECTORY: u16 = 1;
    pub(in super::super) const FILE: u16 = 2;
    pub(in super::super) const SYMLINK: u16 = 3;
    pub(in super::super) const BLOCK_DEVICE: u16 = 4;
    pub(in super::super) const CHAR_DEVICE: u16 = 5;
    pub(in super::super) const FIFO: u16 = 6;
    pub(in super::super) const SOCKET: u16 = 7;
    pub(in super::super) const EXTENDED: u16 = 7;
}

/// The superblock, without its constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// How many inodes there are.
    pub inodes: u32,
    /// Seconds since 1970.
    pub time: u32,
    /// Bytes per data block: a power of two, 4 KiB to 1 MiB.
    pub block_size: u32,
    /// How many fragment blocks there are.
    pub fragments: u32,
    /// Compression id; 6 is zstd.
    pub compression: u16,
    /// Flags.
    pub flags: u16,
    /// How many user and group ids there are.
    pub ids: u16,
    /// Where the root directory's inode is.
    pub root: InodeRef,
    /// Length of the file system, without padding.
    pub bytes_used: u64,
    /// Offset of the id table's index.
    pub id_table: u64,
    /// Offset of the attribute table's index, or all ones.
    pub xattr_table: u64,
    /// Offset of the inodes.
    pub inode_table: u64,
    /// Offset of the directories' listings.
    pub directory_table: u64,
    /// Offset of the fragment table's index, or all ones.
    pub fragment_table: u64,
    /// Offset of the export table's index, or all ones.
    pub export_table: u64,
}

/// Where an inode is: the offset of its metadata block in the inode table, and the offset in that block when decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InodeRef {
    /// Offset of the metadata block from the start of the table, as stored.
    pub block: u32,
    /// Offset in the block.
    pub offset: u16,
}

impl InodeRef {
    pub(super) fn to_u64(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }

    pub(super) fn from_u64(value: u64) -> Self {
        Self { block: (value >> 16) as u32, offset: value as u16 }
    }
}

/// Why a superblock is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// Shorter than a superblock.
    #[error("a squashfs superblock has 96 bytes, this has {0}")]
    Short(usize),
    /// The signature is missing.
    #[error("no squashfs (the signature is missing)")]
    Signature,
    /// Another version than 4.0.
    #[error("squashfs version {0}.{1} is not supported (only 4.0)")]
    Version(u16, u16),
    /// A block size that is no power of two from 4 KiB to 1 MiB, or does not fit its logarithm.
    #[error("squashfs block size {0} is not a power of two from 4096 to 1048576")]
    BlockSize(u32),
    /// Tables that are out of order or outside the file system.
    #[error("squashfs tables are out of order")]
    Tables,
}

impl Superblock {
    /// The superblock's bytes.
    pub fn encode(&self) -> [u8; SUPERBLOCK_SIZE] {
        let mut bytes = Vec::with_capacity(SUPERBLOCK_SIZE);
        for value in [MAGIC, self.inodes, self.time, self.block_size, self.fragments] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for value in [self.compression, self.block_size.trailing_zeros() as u16, self.flags, self.ids, 4, 0] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for value in [
            self.root.to_u64(),
            self.bytes_used,
            self.id_table,
            self.xattr_table,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            self.export_table,
        ] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let mut block = [0; SUPERBLOCK_SIZE];
        block.copy_from_slice(&bytes);
        block
    }

    /// Reads a superblock. Tables that are in order are all that is promised about where they point.
    pub fn parse(bytes: &[u8]) -> Result<Self, SuperblockError> {
        let bytes: &[u8; SUPERBLOCK_SIZE] = bytes.first_chunk().ok_or(SuperblockError::Short(bytes.len()))?;
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if u32_at(0) != MAGIC {
            return Err(SuperblockError::Signature);
        }
        if (u16_at(28), u16_at(30)) != (4, 0) {
            return Err(SuperblockError::Version(u16_at(28), u16_at(30)));
        }
        let superblock = Self {
            inodes: u32_at(4),
            time: u32_at(8),
            block_size: u32_at(12),
            fragments: u32_at(16),
            compression: u16_at(20),
            flags: u16_at(24),
            ids: u16_at(26),
            root: InodeRef::from_u64(u64_at(32)),
            bytes_used: u64_at(40),
            id_table: u64_at(48),
            xattr_table: u64_at(56),
            inode_table: u64_at(64),
            directory_table: u64_at(72),
            fragment_table: u64_at(80),
            export_table: u64_at(88),
        };
        let size = superblock.block_size;
        if !valid_block_size(size) || size.trailing_zeros() != u32::from(u16_at(22)) {
            return Err(SuperblockError::BlockSize(size));
        }
        let ordered = superblock.inode_table >= SUPERBLOCK_SIZE as u64
            && superblock.inode_table < superblock.directory_table
            && superblock.directory_table <= superblock.id_table
            && superblock.id_table < superblock.bytes_used
            && [superblock.fragment_table, superblock.export_table, superblock.xattr_table]
                .iter()
                .all(|&table| table == NO_TABLE || (table >= superblock.directory_table && table < superblock.bytes_used));
        if !ordered {
            return Err(SuperblockError::Tables);
        }
        Ok(superblock)
    }
}

/// True for a power of two from 4 KiB to 1 MiB, all that the kernel takes.
pub(super) fn valid_block_size(size: u32) -> bool {
    size.is_power_of_two() && (4096..=1 << 20).contains(&size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock() -> Superblock {
        Superblock {
            inodes: 7,
            time: 1_700_000_000,
            block_size: 1 << 18,
            fragments: 1,
            compression: ZSTD,
            flags: flag::DUPLICATES,
            ids: 1,
            root: InodeRef { block: 8194, offset: 17 },
            bytes_used: 1000,
            id_table: 900,
            xattr_table: NO_TABLE,
            inode_table: 500,
            directory_table: 600,
            fragment_table: 700,
            export_table: 800,
        }
    }

    #[test]
    fn a_superblock_survives_the_round_trip() {
        assert_eq!(Superblock::parse(&superblock().encode()), Ok(superblock()));
    }

    #[test]
    fn a_damaged_superblock_is_refused_by_name() {
        let check = |at: usize, bytes: &[u8], expect: &str| {
            let mut bad = superblock().encode();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(Superblock::parse(&bad).unwrap_err().to_string(), expect);
        };
        check(0, b"x", "no squashfs (the signature is missing)");
        check(28, &[3], "squashfs version 3.0 is not supported (only 4.0)");
        check(12, &[1], "squashfs block size 262145 is not a power of two from 4096 to 1048576");
        check(22, &[1], "squashfs block size 262144 is not a power of two from 4096 to 1048576");
        check(64, &[0; 8], "squashfs tables are out of order");
        check(80, &[0xfe; 8], "squashfs tables are out of order");
        assert_eq!(Superblock::parse(&[0; 95]), Err(SuperblockError::Short(95)));
    }
}
