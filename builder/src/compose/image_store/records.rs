//! The two lists of an image store, as containers/storage reads them: `layers.json` and `images.json`. Pure.

use crate::container_image::document::Compression;
use crate::container_image::{ContainerImage, ImageLayer};
use crate::hash::Sha256Digest;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A row of `layers.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LayerRecord {
    /// The chain of layers up to this one, as containers/image numbers them.
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    created: String,
    compressed_diff_digest: String,
    compressed_size: u64,
    diff_digest: String,
    diff_size: u64,
    /// containers/storage's numbers: 0, 2 and 4.
    #[serde(skip_serializing_if = "is_zero")]
    compression: u8,
    uidset: BTreeSet<u32>,
    gidset: BTreeSet<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// The ID of a layer on a parent: the lowest one's is its digest.
pub(super) fn layer_id(parent: Option<&str>, diff_id: Sha256Digest) -> String {
    match parent {
        None => diff_id.to_string(),
        Some(parent) => Sha256Digest::of(format!("{parent}+{diff_id}").as_bytes()).to_string(),
    }
}

/// The short name of a layer, by which mount options stay short: 26 letters and digits, as containers/storage has them.
pub(super) fn link(id: &str) -> String {
    id.chars().take(26).collect::<String>().to_ascii_uppercase()
}

impl LayerRecord {
    /// A layer whose tar has `size` bytes, and whose files these people own.
    pub(super) fn new(
        id: String,
        parent: Option<String>,
        image: &ContainerImage,
        layer: &ImageLayer,
        size: u64,
        (uidset, gidset): (BTreeSet<u32>, BTreeSet<u32>),
    ) -> Self {
        Self {
            id,
            parent,
            created: image.created.to_string(),
            compressed_diff_digest: format!("sha256:{}", layer.facts.digest),
            compressed_size: layer.facts.size,
            diff_digest: format!("sha256:{}", layer.diff_id),
            diff_size: size,
            compression: match layer.facts.compression {
                Compression::None => 0,
                Compression::Gzip => 2,
                Compression::Zstd => 4,
            },
            uidset,
            gidset,
        }
    }
}

/// A row of `images.json`, with the documents that lie beside it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ImageRecord {
    /// The config's digest.
    pub(super) id: String,
    digest: String,
    pub(super) names: Vec<String>,
    layer: String,
    metadata: &'static str,
    big_data_names: Vec<String>,
    big_data_sizes: BTreeMap<String, u64>,
    big_data_digests: BTreeMap<String, String>,
    created: String,
    /// The documents by name.
    #[serde(skip)]
    pub(super) documents: BTreeMap<String, Vec<u8>>,
}

impl ImageRecord {
    /// An image with the ID of its topmost layer.
    pub(super) fn new(image: &ContainerImage, layer: String) -> Self {
        let mut record = Self {
            id: image.config.digest.to_string(),
            digest: format!("sha256:{}", image.manifest.digest),
            names: Vec::new(),
            layer,
            metadata: "{}",
            big_data_names: Vec::new(),
            big_data_sizes: BTreeMap::new(),
            big_data_digests: BTreeMap::new(),
            created: image.created.to_string(),
            documents: BTreeMap::new(),
        };
        record.put("manifest".to_owned(), image.manifest.digest, &image.manifest.bytes);
        record.join(image);
        record
    }

    /// Another name, and perhaps another manifest, of the same image: an ID is one row.
    pub(super) fn join(&mut self, image: &ContainerImage) {
        for name in image.names.iter().filter(|name| !self.names.contains(name)).cloned().collect::<Vec<_>>() {
            self.names.push(name);
        }
        self.put(format!("sha256:{}", image.config.digest), image.config.digest, &image.config.bytes);
        for document in std::iter::once(&image.manifest).chain(&image.index) {
            self.put(format!("manifest-sha256:{}", document.digest), document.digest, &document.bytes);
        }
    }

    fn put(&mut self, name: String, digest: Sha256Digest, bytes: &[u8]) {
        if self.documents.contains_key(&name) {
            return;
        }
        self.big_data_names.push(name.clone());
        self.big_data_sizes.insert(name.clone(), bytes.len() as u64);
        self.big_data_digests.insert(name.clone(), format!("sha256:{digest}"));
        self.documents.insert(name, bytes.to_vec());
    }
}

/// The file name of a document: plain where it has small letters, digits and dots alone, else `=` and base64.
pub(super) fn file_name(document: &str) -> String {
    let plain = |byte: u8| byte == b'.' || byte.is_ascii_digit() || byte.is_ascii_lowercase();
    if document.bytes().all(plain) { document.to_owned() } else { format!("={}", base64(document.as_bytes())) }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().zip([16, 8, 0]).fold(0u32, |group, (byte, shift)| group | (u32::from(*byte) << shift));
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS.get((group >> shift) as usize & 63).copied().unwrap_or(b'=');
            text.push(char::from(if at <= chunk.len() { digit } else { b'=' }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_containers_storage() {
        assert_eq!(file_name("manifest"), "manifest");
        assert_eq!(file_name("sha256:ab"), "=c2hhMjU2OmFi");
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("?>~", "Pz5+")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        let lowest = layer_id(None, Sha256Digest([0x11; 32]));
        assert_eq!(lowest, "11".repeat(32));
        // echo -n 1111...+2222... | sha256sum
        assert_eq!(
            layer_id(Some(&lowest), Sha256Digest([0x22; 32])),
            Sha256Digest::of(format!("{}+{}", "11".repeat(32), "22".repeat(32)).as_bytes()).to_string()
        );
        assert_eq!(link(&lowest), "1".repeat(26));
    }
}
