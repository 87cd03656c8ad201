//! Container images as others write them: OCI layouts and `docker save`'s archives, with knobs for what can go wrong.

use super::repository::sha256;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// A member of a layer.
#[derive(Debug, Clone)]
pub enum Member<'a> {
    Directory(u32),
    File(u32, &'a str),
    /// A file of somebody's, with a file capability.
    Owned(u32, u64, &'a str),
    Symlink(&'a str),
    HardLink(&'a str),
    CharDevice,
}

/// `cap_net_bind_service=ep`, as the kernel keeps it.
pub const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A layer's tar.
pub fn tar(members: &[(&str, Member<'_>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, member) in members {
        let mut header = tar::Header::new_ustar();
        let (kind, mode, data, link) = match member {
            Member::Directory(mode) => (tar::EntryType::Directory, *mode, "", ""),
            Member::File(mode, text) => (tar::EntryType::Regular, *mode, *text, ""),
            Member::Owned(mode, uid, text) => {
                header.set_uid(*uid);
                header.set_gid(*uid);
                builder.append_pax_extensions([("SCHILY.xattr.security.capability", CAPABILITY)]).unwrap();
                (tar::EntryType::Regular, *mode, *text, "")
            }
            Member::Symlink(target) => (tar::EntryType::Symlink, 0o777, "", *target),
            Member::HardLink(target) => (tar::EntryType::Link, 0o644, "", *target),
            Member::CharDevice => (tar::EntryType::Char, 0o666, "", ""),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        // The crate refuses names that lead out.
        let fields = header.as_old_mut();
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        builder.append(&header, data.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Files as an archive.
pub fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An image that is made of layers.
#[derive(Debug, Clone)]
pub struct Image {
    /// Tars, with what their media type ends in: nothing, `+gzip`, `+zstd`, or what nobody can read.
    pub layers: Vec<(Vec<u8>, &'static str)>,
    /// The config's architecture.
    pub architecture: &'static str,
    /// What `index.json` calls it.
    pub name: Option<&'static str>,
}

impl Image {
    /// An image of one layer.
    pub fn of(layer: Vec<u8>) -> Self {
        Self { layers: vec![(layer, "")], architecture: "amd64", name: None }
    }

    /// One more layer on top.
    pub fn layer(mut self, layer: Vec<u8>, compression: &'static str) -> Self {
        self.layers.push((layer, compression));
        self
    }

    pub fn architecture(mut self, architecture: &'static str) -> Self {
        self.architecture = architecture;
        self
    }

    pub fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    fn config(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|(tar, _)| format!("sha256:{}", sha256(tar))).collect();
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": "2024-05-06T07:08:09.5Z",
            "config": { "Cmd": ["/bin/sh"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
        .to_string()
        .into_bytes()
    }

    /// Puts blobs into `files`; returns the manifest's descriptor.
    pub fn blobs(&self, files: &mut BTreeMap<String, Vec<u8>>) -> Value {
        let mut put = |bytes: Vec<u8>, media_type: String| {
            let descriptor =
                json!({ "mediaType": media_type, "digest": format!("sha256:{}", sha256(&bytes)), "size": bytes.len() });
            files.insert(format!("blobs/sha256/{}", sha256(&bytes)), bytes);
            descriptor
        };
        let config = put(self.config(), "application/vnd.oci.image.config.v1+json".to_owned());
        let layers = self.layers.iter().map(|(tar, ending)| {
            let bytes = match *ending {
                "+gzip" => gzip(tar),
                "+zstd" => zstd::encode_all(&tar[..], 1).unwrap(),
                _ => tar.clone(),
            };
            put(bytes, format!("application/vnd.oci.image.layer.v1.tar{ending}"))
        });
        let layers: Vec<Value> = layers.collect();
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers });
        let mut descriptor = put(manifest.to_string().into_bytes(), media_type.to_owned());
        if let Some(name) = self.name {
            descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        }
        descriptor
    }

    /// The files of an OCI image layout of this image alone.
    pub fn layout(&self) -> BTreeMap<String, Vec<u8>> {
        layout(std::slice::from_ref(self))
    }

    /// What `docker save` wrote before it wrote layouts.
    pub fn docker(&self, tag: &str) -> BTreeMap<String, Vec<u8>> {
        let config = self.config();
        let name = format!("{}.json", sha256(&config));
        let mut files = BTreeMap::new();
        let mut layers = Vec::new();
        for (tar, _) in &self.layers {
            let path = format!("{}/layer.tar", sha256(tar));
            files.insert(path.clone(), tar.clone());
            layers.push(path);
        }
        let list = json!([{ "Config": name, "RepoTags": [tag], "Layers": layers }]);
        files.insert(name, config);
        files.insert("manifest.json".to_owned(), list.to_string().into_bytes());
        files
    }
}

/// The files of an OCI image layout of several images.
pub fn layout(images: &[Image]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let manifests: Vec<Value> = images.iter().map(|image| image.blobs(&mut files)).collect();
    with_index(files, json!({ "schemaVersion": 2, "manifests": manifests }))
}

/// The files of a layout whose one image is an index of these, one for each architecture; and the index' digest.
pub fn multi_platform(images: &[Image]) -> (BTreeMap<String, Vec<u8>>, String) {
    let mut files = BTreeMap::new();
    let manifests = images.iter().map(|image| {
        let mut descriptor = image.blobs(&mut files);
        descriptor["platform"] = json!({ "os": "linux", "architecture": image.architecture });
        descriptor
    });
    let manifests: Vec<Value> = manifests.collect();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests }).to_string().into_bytes();
    let digest = sha256(&index);
    let descriptor = json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": index.len() });
    files.insert(format!("blobs/sha256/{digest}"), index);
    (with_index(files, json!({ "schemaVersion": 2, "manifests": [descriptor] })), digest)
}

fn with_index(mut files: BTreeMap<String, Vec<u8>>, index: Value) -> BTreeMap<String, Vec<u8>> {
    files.insert("index.json".to_owned(), index.to_string().into_bytes());
    files.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    files
}

/// Writes files into a directory.
pub fn write(files: &BTreeMap<String, Vec<u8>>, directory: &Path) {
    for (path, bytes) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
