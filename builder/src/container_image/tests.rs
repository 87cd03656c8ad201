//! Images as others write them, read; and every fault with its exact message.

use super::blob::Blob;
use super::document;
use super::place::{Archive, Place};
use super::*;
use crate::failure::{Classified, Failure};
use crate::support::image::{Image, Member, archive, layout, multi_platform, tar, write};
use std::collections::BTreeMap;

type Files = BTreeMap<String, Vec<u8>>;

const NAME: &str = "registry.example.org/app:1.0";

fn place(files: &Files) -> Place {
    Place::Archive(Archive::new(Blob::from_bytes(archive(files))).unwrap())
}

fn read_as(name: &str, files: &Files) -> Result<ContainerImage, Fault> {
    read(&ImageName::parse(name).unwrap(), &place(files))
}

fn one() -> Image {
    Image::of(tar(&[("a", Member::File(0o644, "1"))]))
}

/// The whole message for a person, digests shortened to their first two digits.
#[track_caller]
fn check(name: &str, files: &Files, expect: &str) {
    let source = read_as(name, files).unwrap_err();
    let failure = Failure::from(ImageError { name: name.to_owned(), place: "app.tar".to_owned(), source });
    let chain = failure.chain();
    assert_eq!(chain[0], format!("can't preload the image {name} from app.tar"));
    let said = [&chain[1..], failure.hints()].concat().join("\n");
    assert_eq!(without_digests(&said), expect);
}

fn without_digests(text: &str) -> String {
    let mut words = text.to_owned();
    let digits = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| digits(word)) {
        words = words.replace(word, "DIGEST");
    }
    words
}

#[test]
fn layouts_archives_and_saved_images_are_one() {
    let made = one().layer(tar(&[("b", Member::File(0o644, "2"))]), "+gzip").layer(tar(&[]), "+zstd");
    let of_archive = read_as(NAME, &made.layout()).unwrap();
    assert_eq!(of_archive.names, [NAME]);
    assert_eq!(of_archive.created.to_string(), "2024-05-06T07:08:09.5Z");
    let directory = tempfile::tempdir().unwrap();
    write(&made.layout(), directory.path());
    let of_directory = read(&ImageName::parse(NAME).unwrap(), &Place::open(directory.path()).unwrap()).unwrap();
    assert_eq!(of_directory.digest(), of_archive.digest());
    // The image is the same by its ID; it has a manifest of its own.
    let of_docker = read_as(NAME, &made.docker("registry.example.org/app:1.0")).unwrap();
    assert_eq!(of_docker.config, of_archive.config);
    assert!(matches!(document::parse(&of_docker.manifest.bytes), Ok(document::Document::Manifest(_))));
    for image in [&of_archive, &of_directory, &of_docker] {
        let diff_ids: Vec<Sha256Digest> = made.layers.iter().map(|(tar, _)| Sha256Digest::of(tar)).collect();
        assert_eq!(image.layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>(), diff_ids);
    }
}

#[test]
fn of_several_images_the_one_that_is_meant() {
    let other = Image::of(tar(&[("b", Member::File(0o644, "2"))]));
    let mut files = layout(&[one().name("1.0"), other.clone().name("2.0")]);
    let of_one = read_as(NAME, &one().layout()).unwrap();
    assert_eq!(read_as(NAME, &files).unwrap().config, of_one.config);
    assert_eq!(read_as("a.b/c:2.0", &files).unwrap().config, read_as(NAME, &other.layout()).unwrap().config);
    let hint = "Give it an archive or a layout of its own, or name the image in the index `a.b/c:3`, or by its tag.";
    check("a.b/c:3", &files, &format!("it holds several images (1.0, 2.0), and which one is meant can't be told\n{hint}"));
    let by_digest = format!("a.b/c@sha256:{}", of_one.manifest.digest);
    assert_eq!(read_as(&by_digest, &files).unwrap().config, of_one.config);

    let saved = one().docker("app:1");
    files = other.docker("docker.io/library/app:2");
    let list = |files: &Files| serde_json::from_slice::<Vec<serde_json::Value>>(&files["manifest.json"]).unwrap();
    let both = serde_json::to_vec(&[list(&saved), list(&files)].concat()).unwrap();
    files.extend(saved);
    files.insert("manifest.json".to_owned(), both);
    assert_eq!(read_as("docker.io/library/app:1", &files).unwrap().config, of_one.config);
    let hint = "Give it an archive or a layout of its own, or name the image in the index `a.b/app:1`, or by its tag.";
    let several = "it holds several images (app:1, docker.io/library/app:2), and which one is meant can't be told";
    check("a.b/app:1", &files, &format!("{several}\n{hint}"));
}

#[test]
fn of_several_platforms_the_one_for_this_machine() {
    let arm = Image::of(tar(&[("b", Member::File(0o644, "2"))])).architecture("arm64");
    let (files, index) = multi_platform(&[arm.clone(), one()]);
    let image = read_as(&format!("{NAME}@sha256:{index}"), &files).unwrap();
    assert_eq!(image.config, read_as(NAME, &one().layout()).unwrap().config);
    assert_eq!(image.index.unwrap().digest.to_string(), index);
    assert_eq!(image.names.len(), 2);

    let hint = format!("Save the right one: `skopeo copy --override-arch amd64 docker://{NAME} oci-archive:FILE`.");
    let none = "it has no image for linux/amd64 (linux/arm64)";
    check(NAME, &multi_platform(std::slice::from_ref(&arm)).0, &format!("{none}\n{hint}"));
    let other = "the blob sha256:DIGEST\nit is an image for linux/arm64, not for linux/amd64";
    check(NAME, &arm.layout(), &format!("{other}\n{hint}"));
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let again = format!("Save it again, as with `skopeo copy docker://{NAME} oci-archive:FILE`.");
    let files = one().layout();
    let layer = format!("blobs/sha256/{}", Sha256Digest::of(&one().layers[0].0));
    let mut without = files.clone();
    without.remove(&layer);
    check(NAME, &without, &format!("the blob of layer 1 is missing (blobs/sha256/DIGEST)\n{again}"));
    let mut short = files.clone();
    short.insert(layer.clone(), vec![0; 3]);
    check(NAME, &short, &format!("the blob of layer 1 is damaged: it should have 2048 bytes, and has 3\n{again}"));
    for blob in files.keys().filter(|path| path.starts_with("blobs/") && **path != layer) {
        let mut damaged = files.clone();
        damaged.insert(blob.clone(), b"{}".to_vec());
        let expect = "the blob sha256:DIGEST is damaged: it should have sha256 DIGEST, and has DIGEST";
        check(NAME, &damaged, &format!("{expect}\n{again}"));
    }
    let pinned = format!("{NAME}@sha256:{}", "0".repeat(64));
    let other = "the name asks for sha256:DIGEST, but this is sha256:DIGEST";
    let hint = "Save the image that the name asks for, or correct the digest in the profile.";
    check(&pinned, &files, &format!("{other}\n{hint}"));

    let mut saved = one().docker("a:1");
    let config = saved.keys().find(|path| path.len() == 69).unwrap().clone();
    saved.insert(config.clone(), b"{}".to_vec());
    check(NAME, &saved, &format!("its config is damaged: it should have sha256 DIGEST, and has DIGEST\n{again}"));
    saved.remove(&config);
    check(NAME, &saved, &format!("its config is missing (DIGEST.json)\n{again}"));
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let make = "make what can be read.";
    let neither = "it is neither an OCI image layout nor an archive of one (no `oci-layout`), nor what `docker save` writes (no \
                   `manifest.json`)";
    let hint = format!("`skopeo copy docker://{NAME} oci-archive:FILE` and `docker save` {make}");
    check(NAME, &Files::from([("x".to_owned(), Vec::new())]), &format!("{neither}\n{hint}"));

    let fault = |document: &str| document::parse(document.as_bytes()).unwrap_err().to_string();
    let schema_1 = r#"{"schemaVersion": 1, "name": "a", "fsLayers": []}"#;
    assert_eq!(fault(schema_1), "it is a manifest of Docker's schema 1, which is not supported");
    let signed = r#"{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"}"#;
    assert_eq!(fault(signed), "it is a manifest of Docker's schema 1, which is not supported");
    assert_eq!(fault(r#"{"mediaType": "text/plain"}"#), "its media type `text/plain` is neither an image's nor an index's");
    let config = |media_type: &str| format!(r#""config": {{"mediaType": "{media_type}", "digest": "sha256:0", "size": 1}}"#);
    let chart = format!("{{{}}}", config("application/vnd.cncf.helm.config.v1+json"));
    assert_eq!(fault(&chart), "it is no container image: its config is of the type `application/vnd.cncf.helm.config.v1+json`");
    let oci = config("application/vnd.oci.image.config.v1+json");
    assert_eq!(fault(&format!(r#"{{{oci}, "layers": []}}"#)), "it has 0 layers; 1 to 127 are supported");
    let layer = |media_type: &str, digest: &str| {
        fault(&format!(r#"{{{oci}, "layers": [{{"mediaType": "{media_type}", "digest": "{digest}", "size": 1}}]}}"#))
    };
    assert_eq!(
        layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "sha256:0"),
        "the layer sha256:0 is of the type `application/vnd.oci.image.layer.v1.tar+gzip+encrypted`, which is not supported \
         (it is encrypted; decrypt the image, as with `skopeo copy --decryption-key`)"
    );
    assert_eq!(
        layer("application/vnd.oci.image.layer.v1.tar+lz4", "sha256:0"),
        "the layer sha256:0 is of the type `application/vnd.oci.image.layer.v1.tar+lz4`, which is not supported \
         (a tar is, plain or compressed by gzip or zstd)"
    );
    assert_eq!(
        layer("application/vnd.oci.image.layer.v1.tar", "sha512:0"),
        "`sha512:0` is no digest that is supported (`sha256:` and 64 hexadecimal digits)"
    );
}

#[test]
fn a_source_is_there_and_not_compressed_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.tar");
    let open = || Place::open(&path).unwrap_err();
    let error = ImageError { name: NAME.to_owned(), place: "app.tar".to_owned(), source: open() };
    assert_eq!(error.source.to_string(), "there is no such file or directory");
    assert_eq!(error.hints(), [format!("Save it there, as with `skopeo copy docker://{NAME} oci-archive:app.tar`.")]);
    fs_err::write(&path, zstd::encode_all(&archive(&one().layout())[..], 1).unwrap()).unwrap();
    assert_eq!(open().to_string(), "the archive is compressed as a whole");
    fs_err::write(&path, "text").unwrap();
    assert_eq!(open().to_string(), "the archive is malformed at byte 4: it ends early");
}

#[test]
fn a_path_in_an_image_stays_in_it() {
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut put = |path: &str, link: Option<&str>| {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(if link.is_some() { 0 } else { 4 });
        header.set_mode(0o644);
        match link {
            Some(target) => {
                header.set_entry_type(::tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target).unwrap();
            }
            None => builder.append_data(&mut header, path, &b"data"[..]).unwrap(),
        }
    };
    put("a/layer.tar", None);
    // As Docker links a layer that an image has twice.
    put("b/layer.tar", Some("../a/layer.tar"));
    put("c", Some("b/layer.tar"));
    put("d", Some("../../a/layer.tar"));
    let archive = Place::Archive(Archive::new(Blob::from_bytes(builder.into_inner().unwrap())).unwrap());
    let len = |name: &str| archive.get(name).unwrap().map(|blob| blob.len());
    assert_eq!(["a/layer.tar", "./a//layer.tar", "b/layer.tar"].map(len), [Some(4); 3]);
    assert_eq!(["c", "d", "e", "../a/layer.tar"].map(len), [None; 4]);

    let directory = tempfile::tempdir().unwrap();
    fs_err::create_dir(directory.path().join("image")).unwrap();
    fs_err::write(directory.path().join("outside"), "data").unwrap();
    let place = Place::open(&directory.path().join("image")).unwrap();
    let absolute = directory.path().join("outside");
    for name in ["../outside", &*absolute.to_string_lossy()] {
        assert!(place.get(name).unwrap().is_none(), "{name}");
    }
}

#[test]
fn zstd_chunked_is_read_as_zstd() {
    // Its table of contents lies in frames that a decoder passes over.
    let tar = tar(&[("a", Member::File(0o644, "1"))]);
    let mut blob = zstd::encode_all(&tar[..], 1).unwrap();
    blob.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b't', b'o', b'c']);
    let facts =
        document::Layer { digest: Sha256Digest::of(&blob), size: blob.len() as u64, compression: document::Compression::Zstd };
    let layer = ImageLayer { facts, diff_id: Sha256Digest::of(&tar), blob: Blob::from_bytes(blob) };
    let directory = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(directory.path()).unwrap();
    let unpacked = crate::compose::unpack::unpack_layer(&store, &layer).unwrap();
    assert_eq!(unpacked.members.len(), 1);
}
