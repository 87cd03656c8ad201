//! Why an image can't be preloaded.

use super::document::DocumentError;
use crate::compose::deb::DebError;
use crate::failure::{Classified, Kind, io_kind};
use crate::hash::Sha256Digest;
use crate::store::StoreError;
use std::io;

/// An image of the profile that can't be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("can't preload the image {name} from {place}")]
pub struct ImageError {
    /// As the profile calls it.
    pub name: String,
    /// Its source as the profile has it, or the file or directory.
    pub place: String,
    /// What is wrong.
    pub source: Fault,
}

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No such file or directory.
    #[error("there is no such file or directory")]
    NoSource,
    /// Neither layout nor archive.
    #[error(
        "it is neither an OCI image layout nor an archive of one (no `oci-layout`), nor what `docker save` writes (no `manifest.json`)"
    )]
    NoImage,
    /// The archive as a whole is compressed.
    #[error("the archive is compressed as a whole")]
    Compressed,
    /// Not readable.
    #[error("can't read it")]
    Read(#[source] io::Error),
    /// The archive is no sound tar.
    #[error(transparent)]
    Archive(#[from] DebError),
    /// A document is wrong.
    #[error("{what}")]
    Document {
        /// Which one.
        what: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// A document is too large to be one.
    #[error("{what} has {len} bytes, which is more than such a document has")]
    TooLarge {
        /// Which one.
        what: String,
        /// Bytes.
        len: u64,
    },
    /// Several images, none or several of them by the wanted name.
    #[error("it holds several images{}, and which one is meant can't be told", listed(.0))]
    Several(Vec<String>),
    /// No image for this kind of machine.
    #[error("it has no image for linux/amd64 ({})", .0.join(", "))]
    NoPlatform(Vec<String>),
    /// A list that leads to nothing.
    #[error("its index is empty")]
    Empty,
    /// An index in an index in an index.
    #[error("its indexes are nested too deep")]
    Nested,
    /// A blob is not there.
    #[error("{what} is missing ({path})")]
    Missing {
        /// Which one.
        what: String,
        /// Where it should be.
        path: String,
    },
    /// A blob is not what its digest says.
    #[error("{what} is damaged: it should have sha256 {expected}, and has {found}")]
    Damaged {
        /// Which one.
        what: String,
        /// As its descriptor says.
        expected: Sha256Digest,
        /// As it is.
        found: Sha256Digest,
    },
    /// A blob's size is not its descriptor's.
    #[error("{what} is damaged: it should have {expected} bytes, and has {found}")]
    Size {
        /// Which one.
        what: String,
        /// As its descriptor says.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// The name pins another image.
    #[error("the name asks for sha256:{wanted}, but this is {}", .found.iter().map(|digest| format!("sha256:{digest}")).collect::<Vec<_>>().join(", or by its index "))]
    OtherDigest {
        /// In the name.
        wanted: Sha256Digest,
        /// The image's manifest, and its index.
        found: Vec<Sha256Digest>,
    },
    /// A layer can't be unpacked.
    #[error("layer {layer} ({digest})")]
    Layer {
        /// Counted from 1.
        layer: usize,
        /// The blob's digest.
        digest: Sha256Digest,
        /// What is wrong.
        source: DebError,
    },
    /// A member of a layer that the image may not have.
    #[error("layer {layer} ({digest}) has {path}, {what}")]
    Member {
        /// Counted from 1.
        layer: usize,
        /// The blob's digest.
        digest: Sha256Digest,
        /// As the layer has it.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store's own path is none: a file of the image lies too deep.
    #[error("{path} can't be in the images' store: {what}")]
    Place {
        /// The path inside the store.
        path: String,
        /// Why not.
        what: String,
    },
    /// Something is there where the store goes.
    #[error("{path} is there already ({origin}), where the images' store goes")]
    Occupied {
        /// The path in the image.
        path: String,
        /// Who brought it.
        origin: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

impl Classified for ImageError {
    fn kind(&self) -> Kind {
        match &self.source {
            Fault::NoSource => Kind::Unavailable,
            Fault::Read(source) => io_kind(source),
            Fault::Archive(error) => error.kind(),
            Fault::Layer { source, .. } => source.kind(),
            Fault::Store(error) => error.kind(),
            Fault::Several(_) => Kind::Profile,
            Fault::Member { .. } | Fault::Occupied { .. } | Fault::Place { .. } => Kind::Policy,
            _ => Kind::Trust,
        }
    }

    fn hints(&self) -> Vec<String> {
        let name = &self.name;
        let hint = match &self.source {
            Fault::NoSource => format!("Save it there, as with `skopeo copy docker://{name} oci-archive:{}`.", self.place),
            Fault::NoImage => format!("`skopeo copy docker://{name} oci-archive:FILE` and `docker save` make what can be read."),
            Fault::Compressed => "Unpack it (`gunzip`, `unzstd`, ...); the layers inside may be compressed.".to_owned(),
            Fault::Document { source: DocumentError::Schema1, .. } => {
                "Convert it: `skopeo copy --format v2s2 ...` writes schema 2, `--format oci` the OCI's form.".to_owned()
            }
            Fault::Several(_) => {
                format!("Give it an archive or a layout of its own, or name the image in the index `{name}`, or by its tag.")
            }
            Fault::NoPlatform(_) | Fault::Document { source: DocumentError::Platform { .. }, .. } => {
                format!("Save the right one: `skopeo copy --override-arch amd64 docker://{name} oci-archive:FILE`.")
            }
            Fault::Missing { .. } | Fault::Damaged { .. } | Fault::Size { .. } | Fault::Layer { .. } | Fault::Archive(_) => {
                format!("Save it again, as with `skopeo copy docker://{name} oci-archive:FILE`.")
            }
            Fault::OtherDigest { .. } => {
                "Save the image that the name asks for, or correct the digest in the profile.".to_owned()
            }
            Fault::Member { .. } => "Build the image without it.".to_owned(),
            Fault::Occupied { .. } => {
                "Drop it in the profile, or leave it out of the overlay: the folder is kmimage's.".to_owned()
            }
            Fault::Store(error) => return error.hints(),
            _ => return Vec::new(),
        };
        vec![hint]
    }
}
