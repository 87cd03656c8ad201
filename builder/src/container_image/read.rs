//! From a source to an image whose documents are verified: index -> manifest for linux/amd64 -> config -> layers by digest.
//!
//! The layers' bytes are not read here (but of a compressed one that `docker save` names no digest of): whoever unpacks them verifies
//! them.

use super::blob::Blob;
use super::document::{self, Compression, Descriptor, Document, DocumentError, Layer, Manifest};
use super::error::Fault;
use super::name::ImageName;
use super::place::Place;
use super::{ContainerImage, ImageLayer, Verified};
use crate::hash::Sha256Digest;
use std::io::Read as _;

/// Documents are held in memory; registries take no larger manifest.
const DOCUMENT_MAX: u64 = 4 << 20;
/// `index.json` -> index -> manifest is what tools write; one more does no harm.
const DEPTH_MAX: usize = 3;

/// Reads the image called `name` from a place.
pub fn read(name: &ImageName, place: &Place) -> Result<ContainerImage, Fault> {
    let image = if place.get("oci-layout")?.is_some() {
        layout(name, place)?
    } else if let Some(saved) = place.get("manifest.json")? {
        docker(name, place, &text(&saved, "manifest.json")?)?
    } else {
        return Err(Fault::NoImage);
    };
    if let Some(wanted) = name.digest() {
        let found: Vec<Sha256Digest> = std::iter::once(&image.manifest).chain(&image.index).map(|one| one.digest).collect();
        if !found.contains(&wanted) {
            return Err(Fault::OtherDigest { wanted, found });
        }
    }
    Ok(image)
}

fn layout(name: &ImageName, place: &Place) -> Result<ContainerImage, Fault> {
    let what = "index.json";
    let missing = || Fault::Missing { what: "the layout's index".to_owned(), path: what.to_owned() };
    let index = text(&place.get(what)?.ok_or_else(missing)?, what)?;
    let Document::Index(entries) = parse(&index, what)? else {
        return Err(Fault::Document {
            what: what.to_owned(),
            source: DocumentError::MediaType("an image's manifest".to_owned()),
        });
    };
    let mut descriptor = meant(name, &entries)?.clone();
    // The outermost index that is a blob is what registries call the image by its digest.
    let mut outermost = None;
    for _ in 0..DEPTH_MAX {
        let (what, bytes) = blob(place, &descriptor)?;
        match parse(&bytes, &what)? {
            Document::Index(entries) => {
                descriptor = for_this_machine(&entries)?.clone();
                outermost.get_or_insert(Verified::new(bytes));
            }
            Document::Manifest(manifest) => return with_layers(name, place, Verified::new(bytes), outermost, &manifest),
        }
    }
    Err(Fault::Nested)
}

/// The entry of `index.json` that the profile means: the only one, or the one of its name, its tag, or its digest; or the one for this
/// machine, where all are one image.
fn meant<'a>(name: &ImageName, entries: &'a [Descriptor]) -> Result<&'a Descriptor, Fault> {
    if let [only] = entries {
        return Ok(only);
    }
    let names = name.names();
    let is_whole = |entry: &&Descriptor| entry.names().any(|known| names.iter().any(|name| name == known));
    let is_digest = |entry: &&Descriptor| name.digest().is_some_and(|wanted| entry.sha256().is_ok_and(|found| found == wanted));
    let is_tag = |entry: &&Descriptor| entry.names().any(|known| name.tag() == Some(known));
    let only = |wanted: &dyn Fn(&&'a Descriptor) -> bool| {
        let mut found = entries.iter().filter(wanted);
        found.next().filter(|_| found.next().is_none())
    };
    if let Some(entry) = only(&is_digest).or_else(|| only(&is_whole)).or_else(|| only(&is_tag)) {
        return Ok(entry);
    }
    if entries.iter().all(|entry| entry.platform.is_some()) {
        return for_this_machine(entries);
    }
    Err(Fault::Several(entries.iter().flat_map(Descriptor::names).map(str::to_owned).collect()))
}

fn for_this_machine(entries: &[Descriptor]) -> Result<&Descriptor, Fault> {
    if entries.is_empty() {
        return Err(Fault::Empty);
    }
    let fits = |entry: &&Descriptor| entry.platform.is_some() && !entry.is_foreign();
    // An entry without a platform is judged by its config.
    let unnamed = |entry: &&Descriptor| entry.platform.is_none();
    entries.iter().find(fits).or_else(|| entries.iter().find(unnamed)).ok_or_else(|| {
        let platforms = entries.iter().filter_map(|entry| entry.platform.as_ref());
        Fault::NoPlatform(platforms.map(|platform| format!("{}/{}", platform.os, platform.architecture)).collect())
    })
}

/// A document's bytes by its descriptor, verified, with what to call it.
fn blob(place: &Place, descriptor: &Descriptor) -> Result<(String, Vec<u8>), Fault> {
    let digest = descriptor.sha256().map_err(|source| Fault::Document { what: "an entry of the index".to_owned(), source })?;
    let (path, what) = (path_of(digest), format!("the blob {}", descriptor.digest));
    let missing = || Fault::Missing { what: what.clone(), path: path.clone() };
    let blob = place.get(&path)?.ok_or_else(missing)?;
    let bytes = text(&blob, &what)?;
    let found = Sha256Digest::of(&bytes);
    if found != digest {
        return Err(Fault::Damaged { what, expected: digest, found });
    }
    Ok((what, bytes))
}

fn path_of(digest: Sha256Digest) -> String {
    format!("blobs/sha256/{digest}")
}

fn text(blob: &Blob, what: &str) -> Result<Vec<u8>, Fault> {
    let too_large = || Fault::TooLarge { what: what.to_owned(), len: blob.len() };
    blob.to_vec(DOCUMENT_MAX).map_err(Fault::Read)?.ok_or_else(too_large)
}

fn parse(bytes: &[u8], what: &str) -> Result<Document, Fault> {
    document::parse(bytes).map_err(|source| Fault::Document { what: what.to_owned(), source })
}

fn with_layers(
    name: &ImageName,
    place: &Place,
    manifest: Verified,
    index: Option<Verified>,
    parsed: &Manifest,
) -> Result<ContainerImage, Fault> {
    let (what, bytes) = blob(place, &parsed.config)?;
    let fault = |source| Fault::Document { what: what.clone(), source };
    let config = document::config(&bytes).map_err(fault)?;
    let diff_ids = config.for_layers(parsed.layers.len()).map_err(fault)?;
    let mut layers = Vec::new();
    for ((layer, diff_id), number) in parsed.layers.iter().zip(diff_ids).zip(1..) {
        let path = path_of(layer.digest);
        let what = format!("the blob of layer {number}");
        let missing = || Fault::Missing { what: what.clone(), path: path.clone() };
        let blob = place.get(&path)?.ok_or_else(missing)?;
        if blob.len() != layer.size {
            return Err(Fault::Size { what, expected: layer.size, found: blob.len() });
        }
        layers.push(ImageLayer { facts: *layer, diff_id: *diff_id, blob });
    }
    Ok(ContainerImage {
        names: name.names(),
        place: String::new(),
        manifest,
        index,
        config: Verified::new(bytes),
        created: config.created,
        layers,
    })
}

/// What `docker save` writes: no manifest but a list of files, whose digests are in the config.
fn docker(name: &ImageName, place: &Place, list: &[u8]) -> Result<ContainerImage, Fault> {
    let fault = |what: &str| {
        let what = what.to_owned();
        move |source| Fault::Document { what, source }
    };
    let saved = document::saved(list).map_err(fault("manifest.json"))?;
    let tags = |saved: &document::Saved| saved.repo_tags.clone().unwrap_or_default();
    let names = name.names();
    let is_named = |saved: &&document::Saved| tags(saved).iter().any(|tag| names.contains(&in_full(tag)));
    let mut named = saved.iter().filter(is_named);
    let image = match (&*saved, named.next(), named.next()) {
        ([], ..) => return Err(Fault::Empty),
        ([only], ..) => only,
        (_, Some(named), None) => named,
        _ => return Err(Fault::Several(saved.iter().flat_map(tags).collect())),
    };
    let file = |path: &str, what: String| place.get(path)?.ok_or_else(|| Fault::Missing { what, path: path.to_owned() });
    let config_bytes = text(&file(&image.config, "its config".to_owned())?, &image.config)?;
    // The file is named by its digest, in both of the ways that Docker has had.
    let stem = image.config.rsplit('/').next().unwrap_or_default();
    let found = Sha256Digest::of(&config_bytes);
    match stem.strip_suffix(".json").unwrap_or(stem).parse::<Sha256Digest>() {
        Ok(expected) if expected != found => return Err(Fault::Damaged { what: "its config".to_owned(), expected, found }),
        _ => {}
    }
    let config = document::config(&config_bytes).map_err(fault(&image.config))?;
    let diff_ids = config.for_layers(image.layers.len()).map_err(fault(&image.config))?;
    let mut layers = Vec::new();
    for ((path, diff_id), number) in image.layers.iter().zip(diff_ids).zip(1..) {
        let blob = file(path, format!("layer {number}"))?;
        let compression = compression(&blob).map_err(Fault::Read)?;
        let digest = match compression {
            Compression::None => *diff_id,
            _ => Sha256Digest::of_reader(blob.reader()).map_err(Fault::Read)?,
        };
        layers.push(ImageLayer { facts: Layer { digest, size: blob.len(), compression }, diff_id: *diff_id, blob });
    }
    let facts: Vec<Layer> = layers.iter().map(|layer| layer.facts).collect();
    if facts.is_empty() {
        return Err(Fault::Document { what: image.config.clone(), source: DocumentError::Layers(0) });
    }
    Ok(ContainerImage {
        names,
        place: String::new(),
        manifest: Verified::new(document::manifest_of_saved(&config_bytes, &facts)),
        index: None,
        config: Verified::new(config_bytes),
        created: config.created,
        layers,
    })
}

/// A name of Docker's in full: it leaves its own registry out.
fn in_full(tag: &str) -> String {
    match tag.split_once('/') {
        None => format!("docker.io/library/{tag}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => tag.to_owned(),
        Some(_) => format!("docker.io/{tag}"),
    }
}

/// By the first bytes: a saved layer says nothing of itself.
fn compression(blob: &Blob) -> std::io::Result<Compression> {
    let mut magic = Vec::new();
    blob.reader().take(4).read_to_end(&mut magic)?;
    Ok(match &*magic {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        _ => Compression::None,
    })
}
