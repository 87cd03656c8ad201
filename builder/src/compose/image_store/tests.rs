//! The store as a tree, from images as others write them.

use super::*;
use crate::compose::tree::Kind;
use crate::container_image::{ImageName, place::Archive, place::Place, read};
use crate::failure::Classified;
use crate::support::image::{CAPABILITY, Image, Member, archive, tar};
use serde_json::{Value, json};

fn image(name: &str, image: &Image) -> ContainerImage {
    let files = archive(&image.layout());
    let place = Place::Archive(Archive::new(crate::container_image::blob::Blob::from_bytes(files)).unwrap());
    let read = read(&ImageName::parse(name).unwrap(), &place).unwrap();
    ContainerImage { place: "test.tar".to_owned(), ..read }
}

fn laid(images: &[ContainerImage]) -> Result<(Tree, Vec<manifest::ContainerImage>), ImageError> {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut tree = Tree::new();
    let facts = lay(&mut tree, images, &store, 2, &|_| {})?;
    // A second time it comes out of the store.
    let mut again = Tree::new();
    lay(&mut again, images, &store, 2, &|_| {})?;
    assert_eq!(crate::emit::files_tsv::render(&again), crate::emit::files_tsv::render(&tree));
    Ok((tree, facts))
}

fn text(tree: &Tree, path: &str) -> String {
    match &tree.get(&TreePath::new(format!("{IMAGES}/{path}")).unwrap()).unwrap().kind {
        Kind::File(content) => String::from_utf8(content.to_vec().unwrap()).unwrap(),
        kind => panic!("{path}: {kind:?}"),
    }
}

fn json_at(tree: &Tree, path: &str) -> Value {
    serde_json::from_str(&text(tree, path)).unwrap()
}

/// What a layer's directory holds: path, type, mode, owner, attributes, link.
fn diff(tree: &Tree, id: &str) -> Vec<String> {
    let root = format!("{IMAGES}/overlay/{id}/diff");
    let base = TreePath::new(&root).unwrap();
    let row = |(path, entry): (&TreePath, &Entry)| {
        let path = path.to_string();
        let kind = match &entry.kind {
            Kind::Directory => "d".to_owned(),
            Kind::File(content) => format!("f{}", content.len()),
            Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
            kind => format!("{kind:?}"),
        };
        let attributes = entry.xattrs.iter().map(|(name, value)| {
            let value = if value == CAPABILITY { "CAPABILITY".to_owned() } else { value.escape_ascii().to_string() };
            format!(" {}={value}", String::from_utf8_lossy(name))
        });
        let attributes: String = attributes.collect();
        let link = entry.link.map_or(String::new(), |link| format!(" link {link}"));
        format!("{} {kind} {:04o} {}:{}{attributes}{link}", &path[root.len()..], entry.mode, entry.uid, entry.gid)
    };
    tree.under(&base).map(row).collect()
}

#[test]
fn a_store_is_what_containers_storage_reads() {
    let lower = tar(&[("bin/", Member::Directory(0o755)), ("bin/sh", Member::File(0o4755, "shell"))]);
    let upper = tar(&[("etc/motd", Member::File(0o644, "hello"))]);
    let made = Image::of(lower).layer(upper, "+zstd");
    let (tree, facts) = laid(&[image("a.b/c:1", &made), image("a.b/other:2", &made)]).unwrap();

    let layers = json_at(&tree, "overlay-layers/layers.json");
    let (first, second) = (layers[0]["id"].as_str().unwrap(), layers[1]["id"].as_str().unwrap());
    assert_eq!(layers.as_array().unwrap().len(), 2, "shared");
    assert_eq!(layers[0]["diff-digest"], format!("sha256:{first}"));
    assert_eq!(layers[0]["compressed-diff-digest"], layers[0]["diff-digest"]);
    assert_eq!(layers[0].get("parent"), None);
    assert_eq!(layers[0].get("compression"), None);
    assert_eq!(layers[1]["parent"], first);
    assert_eq!(layers[1]["compression"], 4);
    assert_eq!(layers[1]["created"], "2024-05-06T07:08:09.5Z");
    assert_eq!(layers[0]["diff-size"], 2560);
    assert_eq!(layers[0]["uidset"], json!([0]));

    let images = json_at(&tree, "overlay-images/images.json");
    assert_eq!(images.as_array().unwrap().len(), 1, "one ID");
    assert_eq!(images[0]["names"], json!(["a.b/c:1", "a.b/other:2"]));
    assert_eq!(images[0]["layer"], second);
    assert_eq!(images[0]["metadata"], "{}");
    let id = images[0]["id"].as_str().unwrap();
    let manifest = text(&tree, &format!("overlay-images/{id}/manifest"));
    let digest = format!("sha256:{}", Sha256Digest::of(manifest.as_bytes()));
    assert_eq!(images[0]["digest"], digest);
    assert_eq!(images[0]["big-data-names"], json!(["manifest", format!("sha256:{id}"), format!("manifest-{digest}")]));
    assert_eq!(images[0]["big-data-sizes"]["manifest"], manifest.len());
    let by_digest = records::file_name(&format!("manifest-{digest}"));
    assert_eq!(text(&tree, &format!("overlay-images/{id}/{by_digest}")), manifest);
    assert_eq!(facts[1].names, ["a.b/other:2"]);
    assert_eq!((facts[0].layers, facts[0].size, facts[0].id.as_str()), (2, 2560 + 2048, id));

    let link = text(&tree, &format!("overlay/{first}/link"));
    assert_eq!(text(&tree, &format!("overlay/{second}/lower")), format!("l/{link}"));
    let followed = tree.resolve(&TreePath::new(format!("{IMAGES}/overlay/l/{link}/bin/sh")).unwrap()).unwrap();
    assert_eq!(followed.to_string(), format!("{IMAGES}/overlay/{first}/diff/bin/sh"));
    let entry = tree.get(&followed).unwrap();
    assert_eq!((entry.mode, entry.origin.to_string().as_str()), (0o4755, "image a.b/c:1 layer 1"));
    for lock in ["overlay-layers/layers.lock", "overlay-images/images.lock"] {
        assert_eq!(text(&tree, lock), "");
    }
    assert_eq!(tree.get(&TreePath::new(IMAGES).unwrap()).unwrap().mode, 0o700);
}

#[test]
fn what_a_layer_takes_away_needs_no_device_node() {
    let lowest = tar(&[
        ("d/", Member::Directory(0o750)),
        ("d/gone", Member::File(0o644, "1")),
        ("d/.wh.nothing", Member::File(0o644, "")),
        ("e/", Member::Directory(0o755)),
        ("f/x/", Member::Directory(0o711)),
    ]);
    let second = tar(&[
        ("d/.wh.gone", Member::File(0o644, "")),
        ("e/.wh..wh..opq", Member::File(0o644, "")),
        ("e/new", Member::File(0o644, "2")),
        (".wh..wh.plnk/", Member::Directory(0o755)),
        ("f/x/file", Member::File(0o644, "3")),
        (".wh.f2", Member::File(0o644, "")),
        ("f2/", Member::Directory(0o700)),
    ]);
    let third = tar(&[("d/.wh.gone", Member::File(0o644, "")), ("d/gone", Member::File(0o600, "4"))]);
    let made = Image::of(lowest).layer(second, "").layer(third, "+gzip");
    let (tree, _) = laid(&[image("a.b/c:1", &made)]).unwrap();
    let layers = json_at(&tree, "overlay-layers/layers.json");
    let rows = |at: usize| diff(&tree, layers[at]["id"].as_str().unwrap());
    assert_eq!(
        rows(0),
        [" d 0755 0:0", "/d d 0750 0:0", "/d/gone f1 0644 0:0", "/e d 0755 0:0", "/f d 0755 0:0", "/f/x d 0711 0:0"]
    );
    assert_eq!(
        rows(1),
        [
            " d 0755 0:0 trusted.overlay.opaque=x",
            "/d d 0750 0:0 trusted.overlay.opaque=x",
            "/d/gone f0 0644 0:0 trusted.overlay.whiteout=",
            "/e d 0755 0:0 trusted.overlay.opaque=y",
            "/e/new f1 0644 0:0",
            "/f d 0755 0:0",
            "/f/x d 0711 0:0",
            "/f/x/file f1 0644 0:0",
            "/f2 d 0700 0:0 trusted.overlay.opaque=y",
        ]
    );
    assert_eq!(rows(2), [" d 0755 0:0", "/d d 0750 0:0", "/d/gone f1 0600 0:0"]);
}

#[test]
fn owners_capabilities_and_hard_links_are_kept() {
    let layer = tar(&[
        ("./a", Member::Owned(0o755, 70_000, "one")),
        ("./b", Member::HardLink("a")),
        ("./c", Member::Symlink("../../../anywhere")),
        ("./b", Member::File(0o600, "another")),
        ("./d", Member::HardLink("./a")),
    ]);
    let (tree, _) = laid(&[image("a.b/c:1", &Image::of(layer))]).unwrap();
    let layers = json_at(&tree, "overlay-layers/layers.json");
    assert_eq!(layers[0]["gidset"], json!([0, 70_000]));
    assert_eq!(
        diff(&tree, layers[0]["id"].as_str().unwrap()),
        [
            " d 0755 0:0",
            "/a f3 0755 70000:70000 security.capability=CAPABILITY link 0",
            "/b f7 0600 0:0",
            "/c -> ../../../anywhere 0777 0:0",
            "/d f3 0755 70000:70000 security.capability=CAPABILITY link 0",
        ]
    );
}

#[test]
fn what_no_image_may_have_is_named() {
    let refused = |members: &[(&str, Member<'_>)]| {
        let layer = tar(members);
        let digest = Sha256Digest::of(&layer);
        let error = laid(&[image("a.b/c:1", &Image::of(tar(&[])).layer(layer, ""))]).unwrap_err();
        assert_eq!(error.to_string(), "can't preload the image a.b/c:1 from test.tar");
        assert_eq!(error.kind(), crate::failure::Kind::Policy);
        assert_eq!(error.hints(), ["Build the image without it."]);
        error.source.to_string().replace(&digest.to_string(), "DIGEST")
    };
    let check = |members: &[(&str, Member<'_>)], expect: &str| {
        assert_eq!(refused(members), format!("layer 2 (DIGEST) has {expect}"));
    };
    check(&[("dev/null", Member::CharDevice)], "dev/null, a device node, and an image has none");
    check(&[("../x", Member::File(0o644, ""))], "../x, whose path climbs above /");
    check(&[("a", Member::Symlink("b")), ("a/c", Member::File(0o644, ""))], "a/c, which lies below /a, which is no directory");
    check(&[("a", Member::HardLink("b"))], "a, a hard link to b, which is no earlier file of the layer");
    check(&[(".wh..wh..opq", Member::File(0o644, ""))], ".wh..wh..opq, which hides the whole of the layers below");
    check(&[(".wh.", Member::File(0o644, ""))], ".wh., which takes nothing away");
}

#[test]
fn a_damaged_layer_is_named() {
    let made = Image::of(tar(&[("a", Member::File(0o644, "text"))])).layer(tar(&[]), "+gzip");
    let good = image("a.b/c:1", &made);
    let check = |change: &dyn Fn(&mut ContainerImage), expect: &str| {
        let mut image = good.clone();
        change(&mut image);
        let error = laid(&[image]).unwrap_err().source;
        let said = crate::failure::Failure::from(ImageError { name: String::new(), place: String::new(), source: error });
        let said = said.chain()[1..].join(": ");
        assert!(said.contains(expect), "{said}");
    };
    let other = crate::container_image::blob::Blob::from_bytes(&b"other"[..]);
    check(&|image| image.layers[0].blob = other.clone(), "the blob of layer 1 is damaged: it should have sha256");
    check(
        &|image| {
            image.layers[1].diff_id = Sha256Digest([7; 32]);
        },
        "the unpacked tar of layer 2 is damaged: it should have sha256 0707",
    );
    check(
        &|image| {
            image.layers[0].blob = other.clone();
            image.layers[0].facts.digest = Sha256Digest::of(b"other");
        },
        "its tar is malformed at byte 5: it ends early",
    );
}

#[test]
fn crio_is_told_to_keep_them() {
    let made = [image("a.b/c:1", &Image::of(tar(&[]))), image("a.b/d:2", &Image::of(tar(&[])))];
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut tree = Tree::new();
    lay(&mut tree, &made, &store, 1, &|_| {}).unwrap();
    let file = TreePath::new("/etc/crio/crio.conf.d/20-container-images.conf").unwrap();
    assert!(tree.get(&file).is_none(), "there is no CRI-O");

    let mut tree = Tree::new();
    tree.insert(file.parent().unwrap(), Entry::directory(Origin::Kmimage));
    lay(&mut tree, &made, &store, 1, &|_| {}).unwrap();
    let Kind::File(content) = &tree.get(&file).unwrap().kind else { panic!("no file") };
    let text = String::from_utf8(content.to_vec().unwrap()).unwrap();
    assert!(text.ends_with("[crio.image]\npinned_images = [\n  \"a.b/c:1\",\n  \"a.b/d:2\",\n]\n"), "{text}");
}

#[test]
fn its_place_is_kmimages_own() {
    let made = [image("a.b/c:1", &Image::of(tar(&[])))];
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut tree = Tree::new();
    tree.insert(TreePath::new(format!("{IMAGES}/x")).unwrap(), Entry::directory(Origin::Overlay("site".into())));
    let error = lay(&mut tree, &made, &store, 1, &|_| {}).unwrap_err();
    assert_eq!(error.source.to_string(), "/usr/lib/kmimage/images is there already (overlay site), where the images' store goes");
    let mut untouched = Tree::new();
    assert_eq!(lay(&mut untouched, &[], &store, 1, &|_| {}).unwrap(), []);
    assert_eq!(untouched.len(), 1);
}
