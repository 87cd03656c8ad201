//! A layer of a container image, unpacked as a package is: decoded once, into the store.

use super::index::{self, Index};
use super::{DecodeError, FORMAT, UnpackedMember, content, members};
use crate::compose::content::Content;
use crate::compose::deb::tar::TarReader;
use crate::compose::deb::{self, DebError, unpacked_limit};
use crate::container_image::document::Compression;
use crate::container_image::{ImageLayer, document};
use crate::hash::Sha256Digest;
use crate::store::{Pack, PackWriter, Store, StoreError};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

/// The kind under which the store keeps layers' packs and indexes.
const KIND: &str = "layers";

/// A layer whose data is at hand, member by member.
#[derive(Debug, Clone)]
pub struct UnpackedLayer {
    /// Bytes of its tar.
    pub size: u64,
    /// Members in the layer's order.
    pub members: Arc<[UnpackedMember]>,
    pack: Arc<File>,
}

impl UnpackedLayer {
    /// A regular file's bytes; none for anything else.
    pub fn content(&self, member: &UnpackedMember) -> Option<Content> {
        content(&self.pack, member)
    }
}

/// A layer could not be unpacked.
#[derive(Debug)]
pub enum LayerError {
    /// Its tar, or its compression, is malformed.
    Malformed(DebError),
    /// The blob is not what the manifest says.
    Blob {
        /// As it is.
        found: Sha256Digest,
    },
    /// What it unpacks to is not what the config says.
    DiffId {
        /// As it is.
        found: Sha256Digest,
    },
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for LayerError {
    fn from(error: StoreError) -> Self {
        LayerError::Store(error)
    }
}

/// Unpacks a layer, or finds it unpacked in the store. Blob and tar are held against their digests in the same pass.
pub fn unpack_layer(store: &Store, layer: &ImageLayer) -> Result<UnpackedLayer, LayerError> {
    let document::Layer { digest, compression, .. } = layer.facts;
    let key = format!("{digest} {compression:?} {} format {FORMAT}", layer.diff_id);
    if let Some(index) = store.cached(KIND, &key)?.and_then(|bytes| index::decode(&bytes))
        && let Some(size) = size(&index)
        && let Some(pack) = store.pack(KIND, &key)?.filter(|pack| pack.len == index.pack_len)
    {
        return Ok(unpacked(size, index, pack));
    }
    let (pack, (size, mut index)) = store.put_pack(KIND, &key, |writer| decode(layer, writer))?;
    index.pack_len = pack.len;
    store.put_cached(KIND, &key, &index::encode(&index))?;
    Ok(unpacked(size, index, pack))
}

fn unpacked(size: u64, index: Index, pack: Pack) -> UnpackedLayer {
    UnpackedLayer { size, members: index.members.into(), pack: Arc::new(pack.file) }
}

fn size(index: &Index) -> Option<u64> {
    Some(u64::from_le_bytes(index.head.as_slice().try_into().ok()?))
}

fn decode(layer: &ImageLayer, pack: &mut PackWriter) -> Result<(u64, Index), LayerError> {
    let read = |source| LayerError::Malformed(DebError::Decode { part: "its tar", source });
    let mut blob = Hashing::new(layer.blob.reader());
    let compression = match layer.facts.compression {
        Compression::None => deb::Compression::None,
        Compression::Gzip => deb::Compression::Gzip,
        Compression::Zstd => deb::Compression::Zstd,
    };
    let decoded = compression.decoder(BufReader::with_capacity(128 * 1024, &mut blob), 1).map_err(read)?;
    let mut decoded = Hashing::new(decoded);
    let members = members(&mut TarReader::new(&mut decoded, "its tar", unpacked_limit(layer.facts.size)), pack);
    // A sound tar was read to its end. A damaged blob may be no tar at all; that it is damaged says more.
    let (diff_id, size) = decoded.finish();
    io::copy(&mut blob, &mut io::sink()).map_err(read)?;
    let (digest, _) = blob.finish();
    if digest != layer.facts.digest {
        return Err(LayerError::Blob { found: digest });
    }
    let members = members.map_err(|failure| match failure {
        DecodeError::Deb(error) => LayerError::Malformed(error),
        DecodeError::Store(error) => LayerError::Store(error),
    })?;
    if diff_id != layer.diff_id {
        return Err(LayerError::DiffId { found: diff_id });
    }
    Ok((size, Index { head: size.to_le_bytes().to_vec(), members, pack_len: 0 }))
}

/// Hashes what is read through it.
struct Hashing<R> {
    from: R,
    hasher: Sha256,
    len: u64,
}

impl<R> Hashing<R> {
    fn new(from: R) -> Self {
        Self { from, hasher: Sha256::new(), len: 0 }
    }

    fn finish(self) -> (Sha256Digest, u64) {
        (Sha256Digest(self.hasher.finalize().into()), self.len)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.hasher.update(buffer.get(..n).unwrap_or_default());
        self.len += n as u64;
        Ok(n)
    }
}
