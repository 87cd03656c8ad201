//! Container images -> the tree: an additional image store, as containers/storage (and so CRI-O) reads one, at [`IMAGES`].
//!
//! ```text
//! overlay/ID/diff/...           a layer's files, owners, modes and attributes kept
//! overlay/ID/{link,lower}       its short name; those of the layers below it
//! overlay/l/LINK                a link to ../ID/diff
//! overlay-layers/layers.json    every layer, with the digests that it was verified by
//! overlay-images/images.json    every image: names, ID, topmost layer
//! overlay-images/ID/...         manifest, index and config, byte for byte
//! ```
//!
//! It lies in the verified root, and readers write nothing to it, not even a lock. An image may have what a host's tree may not: shells,
//! set-uid files, libraries that only it needs. So it is laid into the tree after the host's was checked, and judged by one rule of its own,
//! that there is no device node. Only root can look into it, as with CRI-O's own store: a set-uid file in it is nobody's way up.
//!
//! Where the image has CRI-O, its images are pinned: kubelet, short of disk space, would try to remove what can't be removed.

mod layer;
mod records;

use super::content::Content;
use super::tree::{Entry, Origin, Tree, TreePath};
use super::unpack::{LayerError, UnpackedLayer, unpack_layer};
use crate::container_image::{ContainerImage, Fault, ImageError, ImageLayer};
use crate::hash::Sha256Digest;
use crate::parallel;
use crate::report::{Event, Reporter};
use crate::store::Store;
use kmimage_contract::manifest;
use kmimage_contract::paths::IMAGES;
use records::{ImageRecord, LayerRecord};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where CRI-O reads its configuration from, and the file of it that pins the images.
const CRIO: &str = "/etc/crio/crio.conf.d";
const PINS: &str = "20-container-images.conf";

/// What makes the store's own files.
const STEP: Origin = Origin::Derive("image-store");

/// Lays the images into a finished tree, if there are any, and says what the manifest is to say of them.
pub fn lay(
    tree: &mut Tree,
    images: &[ContainerImage],
    store: &Store,
    jobs: usize,
    report: Reporter<'_>,
) -> Result<Vec<manifest::ContainerImage>, ImageError> {
    let Some(first) = images.first() else { return Ok(Vec::new()) };
    report(Event::Stage(format!("laying {} container images into the tree", images.len())));
    let layers = unpack(images, store, jobs)?;
    let mut writer = Writer::new(tree, first)?;
    for image in images {
        writer.image(image, &layers)?;
    }
    writer.lists()?;
    pin(tree, images);
    super::links::renumber(tree);
    Ok(images.iter().map(|image| facts(image, &layers)).collect())
}

/// Names every image in CRI-O's configuration; a file that an overlay has there stays.
fn pin(tree: &mut Tree, images: &[ContainerImage]) {
    let Ok(directory) = TreePath::new(CRIO) else { return };
    let Ok(file) = directory.join(PINS) else { return };
    if tree.get(&directory).is_none() || tree.get(&file).is_some() {
        return;
    }
    // A name's grammar has nothing that TOML would want escaped.
    let names: String = images.iter().flat_map(|image| &image.names).map(|name| format!("  \"{name}\",\n")).collect();
    let head = "# The images in the verified root: kubelet has no use for asking that they be removed.";
    let text = format!("{head}\n[crio.image]\npinned_images = [\n{names}]\n");
    tree.insert(file, Entry::file(Content::from_bytes(text.into_bytes()), 0o644, STEP));
}

fn facts(image: &ContainerImage, layers: &Layers) -> manifest::ContainerImage {
    let sizes = image.layers.iter().filter_map(|layer| layers.get(&key(layer)));
    manifest::ContainerImage {
        names: image.names.clone(),
        digest: image.manifest.digest.to_string(),
        id: image.config.digest.to_string(),
        layers: image.layers.len() as u32,
        size: sizes.map(|layer| layer.size).sum(),
    }
}

fn error(image: &ContainerImage, source: Fault) -> ImageError {
    ImageError { name: image.name().to_owned(), place: image.place.clone(), source }
}

type Layers = BTreeMap<(Sha256Digest, Sha256Digest), UnpackedLayer>;

fn key(layer: &ImageLayer) -> (Sha256Digest, Sha256Digest) {
    (layer.facts.digest, layer.diff_id)
}

/// Every layer once, whichever images have it.
fn unpack(images: &[ContainerImage], store: &Store, jobs: usize) -> Result<Layers, ImageError> {
    let all = images.iter().flat_map(|image| image.layers.iter().zip(1..).map(move |(layer, number)| (image, number, layer)));
    let mut wanted: BTreeMap<_, (&ContainerImage, usize, &ImageLayer)> = BTreeMap::new();
    all.for_each(|one| {
        wanted.entry(key(one.2)).or_insert(one);
    });
    let wanted: Vec<_> = wanted.into_values().collect();
    let unpacked = parallel::map(&wanted, jobs, |(_, _, layer)| unpack_layer(store, layer));
    let named = wanted.iter().zip(unpacked).map(|((image, number, layer), unpacked)| {
        let what = |what: &str| format!("{what} of layer {number}");
        let unpacked = unpacked.map_err(|failure| match failure {
            LayerError::Malformed(source) => Fault::Layer { layer: *number, digest: layer.facts.digest, source },
            LayerError::Blob { found } => Fault::Damaged { what: what("the blob"), expected: layer.facts.digest, found },
            LayerError::DiffId { found } => Fault::Damaged { what: what("the unpacked tar"), expected: layer.diff_id, found },
            LayerError::Store(failure) => Fault::Store(failure),
        });
        Ok((key(layer), unpacked.map_err(|source| error(image, source))?))
    });
    named.collect()
}

/// Puts the store's parts into the tree.
struct Writer<'a> {
    tree: &'a mut Tree,
    first: &'a ContainerImage,
    root: TreePath,
    links: u32,
    layers: Vec<LayerRecord>,
    images: Vec<ImageRecord>,
    /// What lies below whoever builds on a layer, by its ID: its directories, and its file `lower`.
    known: BTreeMap<String, (Option<layer::Directories>, String)>,
}

impl<'a> Writer<'a> {
    fn new(tree: &'a mut Tree, first: &'a ContainerImage) -> Result<Self, ImageError> {
        // The contract's paths are sane.
        let root = TreePath::new(IMAGES).unwrap_or_else(|_| TreePath::root());
        if let Some((path, entry)) = tree.under(&root).next() {
            let (path, origin) = (path.to_string(), entry.origin.to_string());
            return Err(error(first, Fault::Occupied { path, origin }));
        }
        let links = tree.iter().filter_map(|(_, entry)| entry.link).max().map_or(0, |link| link + 1);
        tree.insert(root.clone(), Entry { mode: 0o700, ..Entry::directory(STEP) });
        let mut writer = Self { tree, first, root, links, layers: Vec::new(), images: Vec::new(), known: BTreeMap::new() };
        for directory in ["overlay", "overlay/l", "overlay-layers", "overlay-images"] {
            writer.directory(directory)?;
        }
        Ok(writer)
    }

    fn image(&mut self, image: &ContainerImage, unpacked: &Layers) -> Result<(), ImageError> {
        let mut parent: Option<String> = None;
        for (layer, number) in image.layers.iter().zip(1..) {
            let id = records::layer_id(parent.as_deref(), layer.diff_id);
            if !self.known.contains_key(&id)
                && let Some(unpacked) = unpacked.get(&key(layer))
            {
                self.layer(image, layer, number, &id, parent.clone(), unpacked)?;
            }
            parent = Some(id);
        }
        let id = image.config.digest.to_string();
        match self.images.iter_mut().find(|known| known.id == id) {
            Some(known) => known.join(image),
            None => self.images.push(ImageRecord::new(image, parent.unwrap_or_default())),
        }
        Ok(())
    }

    fn layer(
        &mut self,
        image: &ContainerImage,
        layer: &ImageLayer,
        number: u32,
        id: &str,
        parent: Option<String>,
        unpacked: &UnpackedLayer,
    ) -> Result<(), ImageError> {
        let origin = Origin::Image { name: image.name().into(), layer: Some(number) };
        let below = parent.as_ref().and_then(|parent| self.known.get(parent));
        let (mut directories, lower) =
            below.map_or((None, String::new()), |(directories, lower)| (directories.clone(), lower.clone()));
        let entries = layer::entries(unpacked, &origin, &mut directories, &mut self.links).map_err(|refused| {
            let layer::Refused { path, what } = refused;
            error(image, Fault::Member { layer: number as usize, digest: layer.facts.digest, path, what })
        })?;
        let base = format!("overlay/{id}");
        self.directory(&base)?;
        let owners = entries.iter().map(|(_, entry)| (entry.uid, entry.gid)).unzip();
        for (path, entry) in entries.iter() {
            // The diff's directory itself is the layer's root.
            self.put(&format!("{base}/diff"), path.as_bytes(), entry.clone())?;
        }
        let link = records::link(id);
        self.file(&format!("{base}/link"), link.clone())?;
        for directory in ["work", "merged"] {
            self.directory(&format!("{base}/{directory}"))?;
        }
        match &parent {
            // What an overlay of one layer is mounted over.
            None => self.directory(&format!("{base}/empty"))?,
            Some(_) => self.file(&format!("{base}/lower"), lower.clone())?,
        }
        self.put("overlay/l", link.as_bytes(), Entry::symlink(format!("../{id}/diff"), STEP))?;
        self.layers.push(LayerRecord::new(id.to_owned(), parent, image, layer, unpacked.size, owners));
        let lower = if lower.is_empty() { format!("l/{link}") } else { format!("l/{link}:{lower}") };
        self.known.insert(id.to_owned(), (directories, lower));
        Ok(())
    }

    /// The lists, the documents, and the locks that readers open.
    fn lists(&mut self) -> Result<(), ImageError> {
        let json = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_default();
        self.file("overlay-layers/layers.json", json(serde_json::to_vec(&self.layers)))?;
        self.file("overlay-layers/layers.lock", Vec::new())?;
        self.file("overlay-images/images.json", json(serde_json::to_vec(&self.images)))?;
        self.file("overlay-images/images.lock", Vec::new())?;
        for image in std::mem::take(&mut self.images) {
            self.directory(&format!("overlay-images/{}", image.id))?;
            let name: Arc<str> = image.names.first().map_or("", String::as_str).into();
            for (document, bytes) in image.documents {
                let origin = Origin::Image { name: name.clone(), layer: None };
                let entry = Entry::file(Content::from_bytes(bytes), 0o600, origin);
                self.put(&format!("overlay-images/{}", image.id), records::file_name(&document).as_bytes(), entry)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Result<(), ImageError> {
        self.put("", path.as_bytes(), Entry::file(Content::from_bytes(bytes.into()), 0o600, STEP))
    }

    fn directory(&mut self, path: &str) -> Result<(), ImageError> {
        self.put("", path.as_bytes(), Entry { mode: 0o700, ..Entry::directory(STEP) })
    }

    fn put(&mut self, directory: &str, path: &[u8], entry: Entry) -> Result<(), ImageError> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        let place = self.root.join(directory).and_then(|directory| directory.join(path));
        let place = place.map_err(|fault| error(self.first, Fault::Place { path: shown(), what: fault.to_string() }))?;
        self.tree.insert(place, entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
