//! dm-verity's hash tree: SHA-256 over every 4 KiB of the root image, over those digests, and so on up to one root hash.
//!
//! Byte for byte what `veritysetup format` writes with the same salt and UUID (hash format 1; superblock in the first block, then the
//! levels from the top down). The digests of the data come from [`LeafHasher`], which the squashfs writer feeds with what it writes,
//! or from [`hash_file`]; either way each byte is read once, and by all cores.
//!
//! The salt must be known before the data, so it is derived from what names the image ([`salt`]), not from its bytes; the UUID, which
//! nothing is found by, from the root hash ([`uuid`]).

use crate::failure::{Classified, Kind, io_kind};
use crate::parallel;
use kmimage_contract::verity::{RootHash, SuperblockError, VerityParams};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use uuid::Uuid;

/// Bytes per data block.
pub const DATA_BLOCK: usize = 4096;
/// Bytes per block of the tree.
pub const HASH_BLOCK: usize = 4096;
const DIGEST: usize = 32;
const PER_BLOCK: usize = HASH_BLOCK / DIGEST;
/// Bytes that a thread hashes at a time.
const CHUNK: usize = 1 << 20;

/// What goes before every block into its digest, so that digests of one image say nothing about another.
pub type Salt = [u8; 32];

/// The salt of an image, by its id (`kmimage-worker`) and version: SHA-256 of the label `kmimage verity salt 1`, the id and the
/// version, each followed by a NUL byte.
pub fn salt(image_id: &str, version: &str) -> Salt {
    labelled("kmimage verity salt 1", &[image_id.as_bytes(), version.as_bytes()])
}

/// The UUID in a tree's superblock: SHA-256 of the label `kmimage verity uuid 1` and the root hash, as a version 8 UUID.
pub fn uuid(root_hash: &RootHash) -> Uuid {
    let digest = labelled("kmimage verity uuid 1", &[&root_hash.0]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn labelled(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new_with_prefix(label);
    hasher.update([0]);
    for part in parts {
        hasher.update(part);
        hasher.update([0]);
    }
    hasher.finalize().into()
}

/// Why there is no hash tree.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// The data is empty or not made of whole blocks.
    #[error("data of {0} bytes can't be verified: it is empty or no multiple of 4096")]
    Length(u64),
    /// The data could not be read.
    #[error("failed to read the root image for its hash tree")]
    Read(#[source] io::Error),
    /// The tree could not be written.
    #[error("failed to write the hash tree")]
    Write(#[source] io::Error),
    /// The superblock can't hold these parameters.
    #[error("failed to write the verity superblock")]
    Superblock(#[from] SuperblockError),
    /// A thread died.
    #[error("a hashing thread failed")]
    Thread,
}

impl Classified for VerityError {
    fn kind(&self) -> Kind {
        match self {
            VerityError::Read(error) | VerityError::Write(error) => io_kind(error),
            _ => Kind::Internal,
        }
    }
}

/// The digests of all data blocks, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves {
    salt: Salt,
    digests: Vec<u8>,
}

/// Hashes data that comes in order, on other threads.
pub struct LeafHasher {
    salt: Salt,
    sender: SyncSender<(usize, Vec<u8>)>,
    threads: Vec<JoinHandle<BTreeMap<usize, Vec<u8>>>>,
    chunks: usize,
    first: Option<[u8; DIGEST]>,
}

impl LeafHasher {
    /// Starts `jobs` threads. Each calls `also` with the number and the bytes of every chunk that it hashes.
    pub fn start(salt: Salt, jobs: usize, also: impl Fn(usize, &[u8]) + Send + Sync + 'static) -> Self {
        let jobs = jobs.clamp(1, 16);
        let also = Arc::new(also);
        let (sender, receiver) = sync_channel::<(usize, Vec<u8>)>(jobs * 2);
        let receiver = Arc::new(Mutex::new(receiver));
        let threads = (0..jobs).map(|_| {
            let (receiver, also) = (Arc::clone(&receiver), Arc::clone(&also));
            std::thread::spawn(move || hash_chunks(&salt, &receiver, &*also))
        });
        Self { salt, sender, threads: threads.collect(), chunks: 0, first: None }
    }

    /// Takes the next bytes; all but the last time a multiple of 4096.
    pub fn add(&mut self, chunk: Vec<u8>) {
        // A send fails only when every thread is gone; `finish` says so.
        let _ = self.sender.send((self.chunks, chunk));
        self.chunks += 1;
    }

    /// Says what the first block really holds, if it changed after it was added.
    pub fn replace_first(&mut self, block: &[u8]) {
        self.first = Some(digest(&Sha256::new_with_prefix(self.salt), block));
    }

    /// Waits for the threads.
    pub fn finish(self) -> Result<Leaves, VerityError> {
        drop(self.sender);
        let mut digests = BTreeMap::new();
        for thread in self.threads {
            digests.append(&mut thread.join().map_err(|_| VerityError::Thread)?);
        }
        if digests.len() != self.chunks {
            return Err(VerityError::Thread);
        }
        let mut digests: Vec<u8> = digests.into_values().flatten().collect();
        if let (Some(first), Some(place)) = (self.first, digests.get_mut(..DIGEST)) {
            place.copy_from_slice(&first);
        }
        Ok(Leaves { salt: self.salt, digests })
    }
}

fn hash_chunks(
    salt: &Salt,
    receiver: &Mutex<Receiver<(usize, Vec<u8>)>>,
    also: &impl Fn(usize, &[u8]),
) -> BTreeMap<usize, Vec<u8>> {
    let mut done = BTreeMap::new();
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((index, chunk)) = next else { return done };
        also(index, &chunk);
        done.insert(index, digests_of(salt, &chunk));
    }
}

fn digest(salted: &Sha256, block: &[u8]) -> [u8; DIGEST] {
    salted.clone().chain_update(block).finalize().into()
}

/// The digests of the blocks in `bytes`, one after the other.
fn digests_of(salt: &Salt, bytes: &[u8]) -> Vec<u8> {
    let salted = Sha256::new_with_prefix(salt);
    bytes.chunks(DATA_BLOCK).flat_map(|block| digest(&salted, block)).collect()
}

/// Hashes `len` bytes of `file` from `offset`, on `jobs` threads.
pub fn hash_file(file: &File, offset: u64, len: u64, salt: Salt, jobs: usize) -> Result<Leaves, VerityError> {
    if len == 0 || !len.is_multiple_of(DATA_BLOCK as u64) {
        return Err(VerityError::Length(len));
    }
    let places: Vec<u64> = (0..len).step_by(CHUNK).collect();
    let digests = parallel::each_with(
        &places,
        jobs,
        || vec![0; CHUNK],
        |buffer, &at, _| {
            let bytes = &mut buffer[..(len - at).min(CHUNK as u64) as usize];
            file.read_exact_at(bytes, offset + at).map_err(VerityError::Read)?;
            Ok::<_, VerityError>(digests_of(&salt, bytes))
        },
    )?;
    Ok(Leaves { salt, digests: digests.concat() })
}

/// Bytes of the superblock and the tree over `data_len` bytes of data: the least size of the hash partition.
pub fn tree_size(data_len: u64) -> u64 {
    let mut blocks = data_len.div_ceil(DATA_BLOCK as u64);
    let mut size = HASH_BLOCK as u64;
    while blocks > 1 {
        blocks = blocks.div_ceil(PER_BLOCK as u64);
        size += blocks * HASH_BLOCK as u64;
    }
    size
}

/// A complete hash tree.
#[derive(Debug)]
pub struct HashTree {
    root_hash: RootHash,
    params: VerityParams,
    /// From the data up, each padded to whole blocks.
    levels: Vec<Vec<u8>>,
}

impl HashTree {
    /// Builds the levels above the data.
    pub fn new(leaves: Leaves) -> Result<Self, VerityError> {
        let Leaves { salt, digests } = leaves;
        let data_blocks = (digests.len() / DIGEST) as u64;
        let mut levels: Vec<Vec<u8>> = Vec::new();
        let mut below = digests;
        // A level per factor of 128; its digests become the next level's data until one digest is left.
        while below.len() > DIGEST {
            below.resize(below.len().next_multiple_of(HASH_BLOCK), 0);
            let above = digests_of(&salt, &below);
            levels.push(below);
            below = above;
        }
        let root_hash = RootHash(below.try_into().map_err(|_| VerityError::Length(0))?);
        let params = VerityParams {
            uuid: uuid(&root_hash),
            data_block_size: DATA_BLOCK as u32,
            hash_block_size: HASH_BLOCK as u32,
            data_blocks,
            salt: salt.to_vec(),
        };
        Ok(Self { root_hash, params, levels })
    }

    /// What names the image.
    pub fn root_hash(&self) -> RootHash {
        self.root_hash
    }

    /// What the superblock says.
    pub fn params(&self) -> &VerityParams {
        &self.params
    }

    /// Bytes of superblock and tree.
    pub fn len(&self) -> u64 {
        (HASH_BLOCK + self.levels.iter().map(Vec::len).sum::<usize>()) as u64
    }

    /// Never: there is a superblock at least.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes superblock and tree to `file` at `offset`.
    pub fn write(&self, file: &File, offset: u64) -> Result<(), VerityError> {
        let mut superblock = self.params.encode_superblock()?.to_vec();
        superblock.resize(HASH_BLOCK, 0);
        let mut at = offset;
        for part in std::iter::once(&superblock).chain(self.levels.iter().rev()) {
            file.write_all_at(part, at).map_err(VerityError::Write)?;
            at += part.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = [0x5a; 32];

    fn data(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 4096) as u8).collect()
    }

    fn file_with(bytes: &[u8], at: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, at).unwrap();
        file
    }

    #[test]
    fn both_ways_to_the_leaves_agree() {
        for blocks in [1, 2, 128, 129, 255, 256, 257, 1024, 3 * 256] {
            let mut bytes = data(blocks * DATA_BLOCK);
            let from_file = hash_file(&file_with(&bytes, 512), 512, bytes.len() as u64, SALT, 3).unwrap();
            assert_eq!(from_file.digests.len(), blocks * DIGEST);
            let first = bytes[..DATA_BLOCK].to_vec();
            bytes[0] ^= 1;
            let mut hasher = LeafHasher::start(SALT, 3, |_, _| ());
            bytes.chunks(CHUNK).for_each(|chunk| hasher.add(chunk.to_vec()));
            hasher.replace_first(&first);
            assert_eq!(hasher.finish().unwrap(), from_file);
            assert_eq!(HashTree::new(from_file).unwrap().len(), tree_size(bytes.len() as u64));
        }
    }

    #[test]
    fn data_that_is_not_whole_blocks_is_refused() {
        for len in [0, 4095, 4097] {
            let error = hash_file(&file_with(&data(8192), 0), 0, len, SALT, 1).unwrap_err();
            assert_eq!(error.to_string(), format!("data of {len} bytes can't be verified: it is empty or no multiple of 4096"));
        }
        let error = hash_file(&file_with(&data(4096), 0), 0, 8192, SALT, 2).unwrap_err();
        assert_eq!(error.to_string(), "failed to read the root image for its hash tree");
    }

    #[test]
    fn names_decide_the_salt() {
        let salts = [salt("kmimage-base", "1"), salt("kmimage-base", "2"), salt("kmimage-base1", ""), salt("kmimage-", "base1")];
        let different: std::collections::BTreeSet<_> = salts.iter().collect();
        assert_eq!(different.len(), 4);
        let uuid = uuid(&RootHash([1; 32]));
        assert_eq!((uuid.get_version_num(), uuid.to_string().len()), (8, 36));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "judged by veritysetup")]
    fn tools_veritysetup_writes_the_same_bytes() {
        use std::fmt::Write as _;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        for blocks in [1, 2, 128, 129, 16_384, 16_385] {
            let bytes = data(blocks * DATA_BLOCK);
            fs_err::write(at("data"), &bytes).unwrap();
            let data = File::open(at("data")).unwrap();
            let tree = HashTree::new(hash_file(&data, 0, bytes.len() as u64, SALT, 2).unwrap()).unwrap();
            let ours = File::options().read(true).write(true).create(true).truncate(true).open(at("ours")).unwrap();
            tree.write(&ours, 0).unwrap();
            let mut salt = String::new();
            SALT.iter().for_each(|byte| write!(salt, "{byte:02x}").unwrap());
            let run = |arguments: &[&str]| {
                let output = std::process::Command::new("veritysetup").args(arguments).output();
                let output = output.unwrap_or_else(|error| panic!("veritysetup is needed for this test: {error}"));
                assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8_lossy(&output.stdout).into_owned()
            };
            let uuid = tree.params().uuid.to_string();
            fs_err::write(at("theirs"), b"").unwrap();
            let said = run(&["format", &at("data"), &at("theirs"), "--salt", &salt, "--uuid", &uuid]);
            assert!(said.contains(&tree.root_hash().to_string()), "{said}");
            assert!(fs_err::read(at("ours")).unwrap() == fs_err::read(at("theirs")).unwrap(), "{blocks} blocks");
            run(&["verify", &at("data"), &at("ours"), &tree.root_hash().to_string()]);
        }
    }
}
