//! Container images that an image brings along: where a profile says that they are, read and verified by digest.
//!
//! An OCI image layout (a directory, or a tar of one) or what `docker save` writes; of several platforms, linux/amd64. What comes out is
//! a value; `compose::image_store` lays it into the tree. Nothing is fetched here: no registry is asked.

pub mod blob;
pub mod document;
mod error;
mod name;
mod pause;
pub mod place;
mod read;

pub use error::{Fault, ImageError};
pub use name::ImageName;
pub use read::read;

use crate::hash::Sha256Digest;
use crate::profile::{self, ImageSource};
use blob::Blob;
use place::Place;

/// An image, its documents verified, its layers at hand.
#[derive(Debug, Clone)]
pub struct ContainerImage {
    /// What it is asked for by.
    pub names: Vec<String>,
    /// Where it was read from, for messages.
    pub place: String,
    /// Its manifest.
    pub manifest: Verified,
    /// The list of several platforms that the manifest was picked from.
    pub index: Option<Verified>,
    /// Its config; the digest is the image's ID.
    pub config: Verified,
    /// When it was made, as its config says.
    pub created: jiff::Timestamp,
    /// The layers, the lowest first.
    pub layers: Vec<ImageLayer>,
}

/// A document and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub bytes: Vec<u8>,
    /// Its SHA-256.
    pub digest: Sha256Digest,
}

impl Verified {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: Sha256Digest::of(&bytes), bytes }
    }
}

/// A layer, its bytes not verified yet.
#[derive(Debug, Clone)]
pub struct ImageLayer {
    /// As the manifest has it.
    pub facts: document::Layer,
    /// Digest of its tar, as the config has it.
    pub diff_id: Sha256Digest,
    /// Its bytes.
    pub blob: Blob,
}

impl ContainerImage {
    /// Reads an image of a profile.
    pub fn of_profile(wanted: &profile::ContainerImage) -> Result<Self, ImageError> {
        let image = match &wanted.source {
            ImageSource::Pause => pause::image(&wanted.name),
            ImageSource::Path(path) => Place::open(path).and_then(|place| read(&wanted.name, &place)),
        };
        let place = wanted.source.to_string();
        match image {
            Ok(image) => Ok(Self { place, ..image }),
            Err(source) => Err(ImageError { name: wanted.name.to_string(), place, source }),
        }
    }

    /// The first of its names: what messages call it.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// A digest of all that decides what of it is in the image.
    pub fn digest(&self) -> Sha256Digest {
        let index = self.index.as_ref().map(|index| index.digest);
        Sha256Digest::of(format!("{:?} {} {index:?}", self.names, self.manifest.digest).as_bytes())
    }
}

#[cfg(test)]
mod tests;
