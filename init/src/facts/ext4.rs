//! What the superblock of an ext4 says, as far as init decides by it (Documentation/filesystems/ext4/super.rst).

use uuid::Uuid;

/// Where the superblock begins, in bytes from the begin of the partition.
pub const OFFSET: usize = 1024;

/// The magic number.
const MAGIC: u16 = 0xef53;
/// `s_state`: everything was written when it was unmounted.
const VALID: u16 = 1;
/// `s_state`: the kernel has met something wrong.
const ERRORS: u16 = 2;
/// `s_feature_incompat`: the journal holds what is not in its place yet.
const RECOVER: u32 = 4;
/// `s_feature_incompat`: more blocks than 32 bits count.
const BITS_64: u32 = 0x80;

/// A superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// The file system's UUID.
    pub uuid: Uuid,
    /// The size of a block in bytes.
    pub block_size: u64,
    /// How many blocks it has.
    pub blocks: u64,
    /// Whether it was ever mounted: only then it can hold somebody's data.
    pub mounted: bool,
    /// Whether it was let go in order and nothing wrong was met since it was last checked.
    pub clean: bool,
}

impl Superblock {
    /// Reads the superblock in the first bytes of a partition. `None`: there is none.
    pub fn parse(begin: &[u8]) -> Option<Self> {
        let sb = begin.get(OFFSET..OFFSET + 1024)?;
        let u16_at = |at: usize| sb.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
        let u32_at = |at: usize| sb.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        if u16_at(0x38)? != MAGIC {
            return None;
        }
        let block_size = 1024_u64.checked_shl(u32_at(0x18)?).filter(|size| (1024..=65536).contains(size))?;
        let incompatible = u32_at(0x60)?;
        let high = if incompatible & BITS_64 == 0 { 0 } else { u32_at(0x150)? };
        let (mount_time, mounts, last_mounted) = (u32_at(0x2c)?, u16_at(0x34)?, sb.get(0x88)?);
        let state = u16_at(0x3a)?;
        Some(Self {
            uuid: Uuid::from_slice(sb.get(0x68..0x78)?).ok()?,
            block_size,
            blocks: u64::from(high) << 32 | u64::from(u32_at(4)?),
            mounted: mount_time != 0 || mounts != 0 || *last_mounted != 0,
            clean: state & VALID != 0 && state & ERRORS == 0 && incompatible & RECOVER == 0,
        })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields that count, as mke2fs 1.47 writes them for `mke2fs -t ext4 -b 4096 FILE 32512`.
    fn fresh() -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let mut put = |at: usize, field: &[u8]| bytes[OFFSET + at..][..field.len()].copy_from_slice(field);
        put(4, &32512_u32.to_le_bytes());
        put(0x18, &2_u32.to_le_bytes());
        put(0x38, &MAGIC.to_le_bytes());
        put(0x3a, &VALID.to_le_bytes());
        put(0x60, &0x2c2_u32.to_le_bytes());
        put(0x68, &[7; 16]);
        bytes
    }

    fn changed(at: usize, value: u8) -> Option<Superblock> {
        let mut bytes = fresh();
        bytes[OFFSET + at] = value;
        Superblock::parse(&bytes)
    }

    #[test]
    fn a_superblock_says_what_became_of_its_file_system() {
        let fresh = Superblock::parse(&fresh()).unwrap();
        let uuid = Uuid::from_bytes([7; 16]);
        assert_eq!(fresh, Superblock { uuid, block_size: 4096, blocks: 32512, mounted: false, clean: true });
        assert_eq!(fresh.size(), 127 << 20);
        for at in [0x2c, 0x34, 0x88] {
            assert_eq!(changed(at, 1), Some(Superblock { mounted: true, ..fresh }), "{at:#x}");
        }
        assert_eq!(changed(0x3a, 0), Some(Superblock { clean: false, ..fresh }));
        assert_eq!(changed(0x3a, 3), Some(Superblock { clean: false, ..fresh }));
        assert_eq!(changed(0x60, 0xc6), Some(Superblock { clean: false, ..fresh }));
        assert_eq!(changed(0x150, 1), Some(Superblock { blocks: (1 << 32) + 32512, ..fresh }));
    }

    #[test]
    fn other_bytes_are_none() {
        assert_eq!(changed(0x38, 0), None);
        assert_eq!(changed(0x18, 7), None);
        assert_eq!(changed(0x1b, 0xff), None);
        assert_eq!(Superblock::parse(&fresh()[..2047]), None);
        assert_eq!(Superblock::parse(&[]), None);
    }
}
