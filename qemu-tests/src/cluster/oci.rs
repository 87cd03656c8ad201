//! Container images of the tests' own: a few files, as an OCI image layout that a profile's `[[container-image]]` names.
//!
//! No registry is in reach, so what pods run is made here: the tests' probe, and the real kube-proxy.

use crate::foreign::{program, run};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A file or link of an image.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// An executable, copied from here.
    Program(&'a Path),
    /// A symbolic link to this.
    Link(&'a str),
    /// An empty folder.
    Folder,
}

/// Writes an image of one layer as an OCI image layout into `folder`, which is made anew.
///
/// # Panics
/// When something can't be read or written.
pub fn write(folder: &Path, entries: &[(&str, Entry<'_>)], entrypoint: &[&str]) {
    if folder.exists() {
        fs_err::remove_dir_all(folder).expect("an old layout goes");
    }
    let blobs = folder.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).expect("a folder of blobs");
    let tree = tempfile::tempdir().expect("a folder");
    for (path, entry) in entries {
        let place = tree.path().join(path);
        fs_err::create_dir_all(place.parent().expect("a folder above")).expect("a folder");
        match entry {
            Entry::Program(from) => {
                fs_err::copy(from, &place).expect("a program");
                fs_err::set_permissions(&place, PermissionsExt::from_mode(0o755)).expect("its mode");
            }
            Entry::Link(to) => fs_err::os::unix::fs::symlink(to, &place).expect("a link"),
            Entry::Folder => fs_err::create_dir_all(&place).expect("a folder"),
        }
    }
    let layer = folder.join("layer.tar");
    run(program("tar")
        .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+rwX,go+rX,go-w", "-C"])
        .arg(tree.path())
        .arg("-cf")
        .arg(&layer)
        .arg("."));
    let layer = blob(&blobs, &layer, "application/vnd.oci.image.layer.v1.tar");
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Entrypoint": entrypoint, "Env": ["PATH=/usr/sbin:/usr/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = document(&blobs, &config, "application/vnd.oci.image.config.v1+json");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
    });
    let manifest = document(&blobs, &manifest, "application/vnd.oci.image.manifest.v1+json");
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs_err::write(folder.join("index.json"), index.to_string()).expect("the index");
    fs_err::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("the layout's version");
}

fn document(blobs: &Path, content: &Value, kind: &str) -> Value {
    let file = blobs.join("document");
    fs_err::write(&file, content.to_string()).expect("a document");
    blob(blobs, &file, kind)
}

/// Moves a file to where its digest says; returns its descriptor.
fn blob(blobs: &Path, file: &Path, kind: &str) -> Value {
    let said = run(program("sha256sum").arg(file));
    let digest = said.split_whitespace().next().expect("a digest");
    let size = fs_err::metadata(file).expect("a blob").len();
    fs_err::rename(file, blobs.join(digest)).expect("a blob in its place");
    json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size })
}
