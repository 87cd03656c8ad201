//! dm-verity as both sides see it: the root hash, the superblock of the hash partition, the kernel's table line.
//!
//! Version 1 superblocks with SHA-256 only, which is what the builder writes; a foreign superblock is refused by name. The hash
//! tree itself is made in the builder and read by the kernel, never here.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The hash at the top of a verity tree: names a root image completely. Text form: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootHash(pub [u8; 32]);

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a SHA-256 root hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a root hash (64 hexadecimal digits)")]
pub struct NotARootHash(pub String);

impl FromStr for RootHash {
    type Err = NotARootHash;

    fn from_str(text: &str) -> Result<Self, NotARootHash> {
        let bytes = read_hex(text).ok_or_else(|| NotARootHash(text.to_owned()))?;
        Ok(Self(bytes.try_into().map_err(|_| NotARootHash(text.to_owned()))?))
    }
}

impl Serialize for RootHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RootHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The UUIDs of the two partitions that hold a verified root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionUuids {
    /// Of the partition with the file system: the first 128 bits of the root hash.
    pub root: Uuid,
    /// Of the partition with the hash tree: the last 128 bits of the root hash.
    pub verity: Uuid,
}

/// The partitions of a root hash, by the rule of the Discoverable Partitions Specification (and so of systemd).
pub fn partition_uuids(root_hash: &RootHash) -> PartitionUuids {
    let (mut root, mut verity) = ([0; 16], [0; 16]);
    root.copy_from_slice(&root_hash.0[..16]);
    verity.copy_from_slice(&root_hash.0[16..]);
    PartitionUuids { root: Uuid::from_bytes(root), verity: Uuid::from_bytes(verity) }
}

/// How many bytes a superblock has; the rest of its block is zero.
pub const SUPERBLOCK_SIZE: usize = 512;

/// The longest salt that a superblock can hold, in bytes.
pub const MAX_SALT: usize = 256;

/// What, beside the root hash, opens a verity device. The hash is SHA-256, the hash format version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityParams {
    /// Identity of the hash tree; not used to find anything.
    pub uuid: Uuid,
    /// Bytes per data block: a power of two, 512 to 64 KiB, and no more than a memory page for the kernel to take it.
    pub data_block_size: u32,
    /// Bytes per hash block, same rule.
    pub hash_block_size: u32,
    /// Length of the verified data, in data blocks.
    pub data_blocks: u64,
    /// Goes before every block into the hash; at most [`MAX_SALT`] bytes.
    pub salt: Vec<u8>,
}

/// Why a superblock is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// Fewer than [`SUPERBLOCK_SIZE`] bytes.
    #[error("the verity superblock is cut short: {0} of 512 bytes")]
    Short(usize),
    /// The signature is missing: not a hash partition at all.
    #[error("no verity superblock (the signature is missing)")]
    Signature,
    /// A superblock of another version.
    #[error("verity superblock version {0} is not supported (only 1)")]
    Version(u32),
    /// Hash format 0 (Chrome OS) or unknown.
    #[error("verity hash format {0} is not supported (only 1)")]
    HashType(u32),
    /// Another hash than SHA-256.
    #[error("verity hash algorithm `{0}` is not supported (only sha256)")]
    Algorithm(String),
    /// A block size that is no power of two or out of range.
    #[error("verity {which} block size {size} is not a power of two from 512 to 65536")]
    BlockSize {
        /// `data` or `hash`.
        which: &'static str,
        /// As found.
        size: u32,
    },
    /// No data at all, or more than a disk can have.
    #[error("verity data of {0} blocks is empty or too long")]
    DataBlocks(u64),
    /// A salt longer than its field.
    #[error("verity salt of {0} bytes is too long (at most 256)")]
    Salt(usize),
}

impl VerityParams {
    /// The superblock's bytes, as `veritysetup format` writes them.
    pub fn encode_superblock(&self) -> Result<[u8; SUPERBLOCK_SIZE], SuperblockError> {
        self.check()?;
        let mut bytes = [0; SUPERBLOCK_SIZE];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, SIGNATURE);
        put(8, &1u32.to_le_bytes());
        put(12, &1u32.to_le_bytes());
        put(16, self.uuid.as_bytes());
        put(32, b"sha256");
        put(64, &self.data_block_size.to_le_bytes());
        put(68, &self.hash_block_size.to_le_bytes());
        put(72, &self.data_blocks.to_le_bytes());
        put(80, &(self.salt.len() as u16).to_le_bytes());
        put(88, &self.salt);
        Ok(bytes)
    }

    /// Reads a superblock from the first bytes of a hash partition.
    pub fn parse_superblock(bytes: &[u8]) -> Result<Self, SuperblockError> {
        let bytes: &[u8; SUPERBLOCK_SIZE] = bytes.first_chunk().ok_or(SuperblockError::Short(bytes.len()))?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if !bytes.starts_with(SIGNATURE) {
            return Err(SuperblockError::Signature);
        }
        if u32_at(8) != 1 {
            return Err(SuperblockError::Version(u32_at(8)));
        }
        if u32_at(12) != 1 {
            return Err(SuperblockError::HashType(u32_at(12)));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        let algorithm = &bytes[32..64];
        let algorithm = &algorithm[..algorithm.iter().position(|&byte| byte == 0).unwrap_or(algorithm.len())];
        if algorithm != b"sha256" {
            return Err(SuperblockError::Algorithm(String::from_utf8_lossy(algorithm).into_owned()));
        }
        let salt_size = usize::from(u16::from_le_bytes([bytes[80], bytes[81]]));
        let salt = bytes[88..].get(..salt_size.min(MAX_SALT)).unwrap_or_default();
        if salt_size > MAX_SALT {
            return Err(SuperblockError::Salt(salt_size));
        }
        let params = Self {
            uuid: Uuid::from_bytes(uuid),
            data_block_size: u32_at(64),
            hash_block_size: u32_at(68),
            data_blocks: u64::from(u32_at(72)) | u64::from(u32_at(76)) << 32,
            salt: salt.to_vec(),
        };
        params.check()?;
        Ok(params)
    }

    /// Length of the verified data in bytes.
    pub fn data_size(&self) -> u64 {
        self.data_blocks.saturating_mul(u64::from(self.data_block_size))
    }

    /// The salt in lower-case hexadecimal; empty if there is none.
    pub fn salt_hex(&self) -> String {
        Hex(&self.salt).to_string()
    }

    /// The kernel's target line for device-mapper, without start and length: a corrupted block restarts the machine.
    ///
    /// `data` and `hash` are devices as `major:minor`. The tree begins in the hash device's second block, behind the superblock.
    pub fn table_line(&self, root_hash: &RootHash, data: &str, hash: &str) -> String {
        let salt = if self.salt.is_empty() { "-".to_owned() } else { self.salt_hex() };
        format!(
            "1 {data} {hash} {} {} {} 1 sha256 {root_hash} {salt} 1 restart_on_corruption",
            self.data_block_size, self.hash_block_size, self.data_blocks
        )
    }

    fn check(&self) -> Result<(), SuperblockError> {
        for (which, size) in [("data", self.data_block_size), ("hash", self.hash_block_size)] {
            if !size.is_power_of_two() || !(512..=65536).contains(&size) {
                return Err(SuperblockError::BlockSize { which, size });
            }
        }
        let bytes = self.data_blocks.checked_mul(u64::from(self.data_block_size));
        if bytes.is_none_or(|bytes| bytes == 0 || bytes > i64::MAX as u64) {
            return Err(SuperblockError::DataBlocks(self.data_blocks));
        }
        if self.salt.len() > MAX_SALT {
            return Err(SuperblockError::Salt(self.salt.len()));
        }
        Ok(())
    }
}

/// The root hash in a `verity` target's table, as device-mapper reports it back (the parameters behind the target's name).
/// `None`: not the table of a verity target.
pub fn root_hash_in_table(parameters: &str) -> Option<RootHash> {
    let mut words = parameters.split_ascii_whitespace();
    if words.next() != Some("1") {
        return None;
    }
    let (algorithm, root_hash) = (words.nth(6)?, words.next()?);
    if algorithm != "sha256" { None } else { root_hash.parse().ok() }
}

const SIGNATURE: &[u8] = b"verity\0\0";

/// Bytes as lower-case hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(self.0, f)
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn read_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes().chunks_exact(2).map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "4a1c2b3d4e5f60718293a4b5c6d7e8f900112233445566778899aabbccddeeff";

    fn params() -> VerityParams {
        VerityParams {
            uuid: Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
            data_block_size: 4096,
            hash_block_size: 4096,
            data_blocks: 12_800,
            salt: vec![0xab; 32],
        }
    }

    #[test]
    fn the_halves_of_the_root_hash_are_the_partitions() {
        let uuids = partition_uuids(&HASH.parse().unwrap());
        assert_eq!(uuids.root.to_string(), "4a1c2b3d-4e5f-6071-8293-a4b5c6d7e8f9");
        assert_eq!(uuids.verity.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn a_superblock_survives_the_round_trip() {
        for salt in [vec![], vec![1], vec![7; 256]] {
            let params = VerityParams { salt, ..params() };
            assert_eq!(VerityParams::parse_superblock(&params.encode_superblock().unwrap()), Ok(params));
        }
    }

    #[test]
    fn a_damaged_superblock_is_refused_by_name() {
        let good = params().encode_superblock().unwrap();
        let check = |at: usize, bytes: &[u8], expect: &str| {
            let mut bad = good;
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(VerityParams::parse_superblock(&bad).unwrap_err().to_string(), expect);
        };
        check(0, b"x", "no verity superblock (the signature is missing)");
        check(8, &[2], "verity superblock version 2 is not supported (only 1)");
        check(12, &[0], "verity hash format 0 is not supported (only 1)");
        check(32, b"sha1\0\0", "verity hash algorithm `sha1` is not supported (only sha256)");
        check(64, &[1, 16], "verity data block size 4097 is not a power of two from 512 to 65536");
        check(68, &[0, 0], "verity hash block size 0 is not a power of two from 512 to 65536");
        check(72, &[0; 8], "verity data of 0 blocks is empty or too long");
        check(72, &[0xff; 8], "verity data of 18446744073709551615 blocks is empty or too long");
        check(80, &[1, 1], "verity salt of 257 bytes is too long (at most 256)");
        assert_eq!(VerityParams::parse_superblock(&good[..511]), Err(SuperblockError::Short(511)));
    }

    #[test]
    fn the_table_line_is_the_kernels_and_can_be_read_back() {
        let hash: RootHash = HASH.parse().unwrap();
        let params = VerityParams { salt: vec![0xab, 0x01], ..params() };
        let line = params.table_line(&hash, "254:3", "254:4");
        assert_eq!(line, format!("1 254:3 254:4 4096 4096 12800 1 sha256 {HASH} ab01 1 restart_on_corruption"));
        assert_eq!(root_hash_in_table(&line), Some(hash));
        let unsalted = VerityParams { salt: vec![], ..params };
        assert_eq!(root_hash_in_table(&unsalted.table_line(&hash, "8:3", "8:4")), Some(hash));
        for other in ["", "1", "0 8:3 8:4 4096 4096 1 1 sha256 00 -", "1 a b c d e f sha1 00 -", "V"] {
            assert_eq!(root_hash_in_table(other), None, "{other}");
        }
    }

    #[test]
    fn a_root_hash_is_64_digits() {
        assert_eq!(HASH.parse::<RootHash>().unwrap().to_string(), HASH);
        assert_eq!(HASH.to_uppercase().parse::<RootHash>().unwrap().to_string(), HASH);
        for bad in ["", "4a", "+a1c2b3d4e5f60718293a4b5c6d7e8f900112233445566778899aabbccddeeff", "ä"] {
            assert_eq!(
                bad.parse::<RootHash>().unwrap_err().to_string(),
                format!("`{bad}` is not a root hash (64 hexadecimal digits)")
            );
        }
    }
}
