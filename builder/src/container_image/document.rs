//! The JSON documents of an image: index, manifest and config of the OCI Image Specification 1.1 and of Docker's schema 2, and what
//! `docker save` puts beside them. Pure, over foreign bytes.

use crate::hash::Sha256Digest;
use serde::Deserialize;
use std::collections::BTreeMap;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Schema 1, signed or not, begins so.
const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";
/// More layers than overlayfs could stack are no image.
const LAYERS_MAX: usize = 127;

/// What is wrong with a document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not the JSON that it should be.
    #[error("it is not what the OCI Image Specification says")]
    Json(#[from] serde_json::Error),
    /// Docker's first schema, without a config.
    #[error("it is a manifest of Docker's schema 1, which is not supported")]
    Schema1,
    /// A manifest's media type is neither an index nor an image.
    #[error("its media type `{0}` is neither an image's nor an index's")]
    MediaType(String),
    /// Something else in an image's clothes: a chart, a signature.
    #[error("it is no container image: its config is of the type `{0}`")]
    NoImage(String),
    /// A digest that is none, or of another algorithm.
    #[error("`{0}` is no digest that is supported (`sha256:` and 64 hexadecimal digits)")]
    Digest(String),
    /// A layer that nothing here can read.
    #[error("the layer {digest} is of the type `{media_type}`, which is not supported ({hint})")]
    LayerType {
        /// Its digest as written.
        digest: String,
        /// Its media type.
        media_type: String,
        /// What that means.
        hint: &'static str,
    },
    /// No layer, or more than an overlay has room for.
    #[error("it has {0} layers; 1 to {LAYERS_MAX} are supported")]
    Layers(usize),
    /// Config and manifest disagree.
    #[error("its config names {diff_ids} layers, its manifest {layers}")]
    DiffIds {
        /// In the config.
        diff_ids: usize,
        /// In the manifest.
        layers: usize,
    },
    /// An image for other machines.
    #[error("it is an image for {os}/{architecture}, not for linux/amd64")]
    Platform {
        /// As the config says.
        os: String,
        /// As the config says.
        architecture: String,
    },
}

/// A reference from one document to another, or to a layer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it leads to.
    #[serde(default)]
    pub media_type: String,
    /// As written.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// In an index: for which machines.
    pub platform: Option<Platform>,
    /// Names, among other things.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// For which machines an entry of an index is.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
}

impl Descriptor {
    /// The digest, of the one algorithm that is supported.
    pub fn sha256(&self) -> Result<Sha256Digest, DocumentError> {
        digest(&self.digest)
    }

    /// True for an entry that says it is for another kind of machine. (Attestations say `unknown`.)
    pub fn is_foreign(&self) -> bool {
        self.platform.as_ref().is_some_and(|platform| (&*platform.os, &*platform.architecture) != ("linux", "amd64"))
    }

    /// The names that tools write into an index: containerd and Docker the whole one, others a tag.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .into_iter()
            .filter_map(|key| self.annotations.get(key).map(String::as_str))
    }
}

/// `sha256:` and its digits.
pub fn digest(text: &str) -> Result<Sha256Digest, DocumentError> {
    let hex = text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
    hex.ok_or_else(|| DocumentError::Digest(text.to_owned()))
}

/// A list of manifests, or a manifest.
#[derive(Debug, Clone)]
pub enum Document {
    /// What it lists.
    Index(Vec<Descriptor>),
    /// An image.
    Manifest(Manifest),
}

/// An image's manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its config.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// A layer as the manifest has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob.
    pub digest: Sha256Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// How its tar is compressed.
    pub compression: Compression,
}

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd; zstd:chunked is that, too, with a table of contents in frames that are passed over.
    Zstd,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: String,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    manifests: Option<Vec<Descriptor>>,
}

/// Reads an index or a manifest. What it is, the document itself says: by its media type, else by what it has.
pub fn parse(bytes: &[u8]) -> Result<Document, DocumentError> {
    let raw: Raw = serde_json::from_slice(bytes)?;
    if raw.schema_version == Some(1) || raw.media_type.starts_with(DOCKER_SCHEMA_1) {
        return Err(DocumentError::Schema1);
    }
    match (&*raw.media_type, raw.manifests, raw.config) {
        (OCI_INDEX | DOCKER_LIST | "", Some(manifests), _) => Ok(Document::Index(manifests)),
        (OCI_MANIFEST | DOCKER_MANIFEST | "", None, Some(config)) => manifest(config, &raw.layers).map(Document::Manifest),
        (media_type, ..) => Err(DocumentError::MediaType(media_type.to_owned())),
    }
}

fn manifest(config: Descriptor, layers: &[Descriptor]) -> Result<Manifest, DocumentError> {
    if !matches!(&*config.media_type, OCI_CONFIG | DOCKER_CONFIG) {
        return Err(DocumentError::NoImage(config.media_type));
    }
    if layers.is_empty() || layers.len() > LAYERS_MAX {
        return Err(DocumentError::Layers(layers.len()));
    }
    let layer = |layer: &Descriptor| {
        let compression = compression(&layer.media_type).map_err(|hint| DocumentError::LayerType {
            digest: layer.digest.clone(),
            media_type: layer.media_type.clone(),
            hint,
        })?;
        Ok(Layer { digest: layer.sha256()?, size: layer.size, compression })
    };
    Ok(Manifest { layers: layers.iter().map(layer).collect::<Result<_, DocumentError>>()?, config })
}

fn compression(media_type: &str) -> Result<Compression, &'static str> {
    const PREFIXES: [&str; 3] = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
    ];
    if media_type.ends_with("+encrypted") {
        return Err("it is encrypted; decrypt the image, as with `skopeo copy --decryption-key`");
    }
    match PREFIXES.iter().find_map(|prefix| media_type.strip_prefix(prefix)) {
        Some("") => Ok(Compression::None),
        Some("+gzip" | ".gzip") => Ok(Compression::Gzip),
        Some("+zstd" | ".zstd") => Ok(Compression::Zstd),
        _ => Err("a tar is, plain or compressed by gzip or zstd"),
    }
}

/// What of an image's config counts here; the rest is the runtime's to read.
#[derive(Debug, Clone)]
pub struct Config {
    /// Digests of the layers' tars, the lowest first.
    pub diff_ids: Vec<Sha256Digest>,
    /// When the image was made.
    pub created: jiff::Timestamp,
}

#[derive(Deserialize)]
struct RawConfig {
    os: String,
    architecture: String,
    rootfs: RawRoot,
    created: Option<String>,
}

#[derive(Deserialize)]
struct RawRoot {
    diff_ids: Vec<String>,
}

/// Reads a config, and refuses one of another platform.
pub fn config(bytes: &[u8]) -> Result<Config, DocumentError> {
    let RawConfig { os, architecture, rootfs, created } = serde_json::from_slice(bytes)?;
    if (&*os, &*architecture) != ("linux", "amd64") {
        return Err(DocumentError::Platform { os, architecture });
    }
    // Builders that want the same bytes again leave the time out, or write anything.
    let created = created.and_then(|text| text.parse().ok()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Ok(Config { diff_ids: rootfs.diff_ids.iter().map(|text| digest(text)).collect::<Result<_, _>>()?, created })
}

impl Config {
    /// The digest of each layer's tar, where config and manifest fit together.
    pub fn for_layers(&self, layers: usize) -> Result<&[Sha256Digest], DocumentError> {
        match &self.diff_ids {
            diff_ids if diff_ids.len() == layers => Ok(diff_ids),
            diff_ids => Err(DocumentError::DiffIds { diff_ids: diff_ids.len(), layers }),
        }
    }
}

/// An image in the `manifest.json` of `docker save`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Saved {
    /// Path of the config in the archive.
    pub config: String,
    /// Its names, as Docker shortens them.
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    /// Paths of the layers, the lowest first.
    pub layers: Vec<String>,
}

/// Reads the `manifest.json` of `docker save`.
pub fn saved(bytes: &[u8]) -> Result<Vec<Saved>, DocumentError> {
    Ok(serde_json::from_slice(bytes)?)
}

/// The manifest of an image that was saved without one: as containers/image makes it, its layers as they lie in the archive.
pub fn manifest_of_saved(config: &[u8], layers: &[Layer]) -> Vec<u8> {
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            let compression = match layer.compression {
                Compression::None => "",
                Compression::Gzip => ".gzip",
                Compression::Zstd => ".zstd",
            };
            serde_json::json!({
                "mediaType": format!("application/vnd.docker.image.rootfs.diff.tar{compression}"),
                "size": layer.size,
                "digest": format!("sha256:{}", layer.digest),
            })
        })
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {
            "mediaType": DOCKER_CONFIG,
            "size": config.len(),
            "digest": format!("sha256:{}", Sha256Digest::of(config)),
        },
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}
