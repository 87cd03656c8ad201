//! Container images in an image: what the program makes of a profile that names some, and what it says of them.

use crate::support::binary::Binary;
use crate::support::image::{Image, Member, archive, tar};
use crate::support::mini::Mini;
use crate::{PROGRAM, STEM, sums};
use serde_json::Value;
use std::fs;

const IMAGES: &str = r#"
[[container-image]]
name = "registry.k8s.io/pause:3.10.1"
source = "built-in:pause"

[[container-image]]
name = "registry.example.org/tools:1"
source = "../tools.tar"
"#;

/// An image that has what a host may not have: a set-uid shell for a library that is nowhere, a link that leads nowhere, a directory
/// that everybody writes to.
fn tools(text: &str) -> Vec<u8> {
    let layer = tar(&[
        ("bin/sh", Member::File(0o4755, "#!/no/such/interpreter\n")),
        ("lib", Member::Symlink("nowhere")),
        ("tmp/", Member::Directory(0o777)),
    ]);
    archive(&Image::of(layer).layer(tar(&[("etc/text", Member::File(0o644, text))]), "+gzip").layout())
}

fn world() -> Binary {
    let mut binary = Binary::new(PROGRAM);
    Mini::new().extra(IMAGES).write(&binary);
    binary.write("tools.tar", tools("one"));
    binary.env("SOURCE_DATE_EPOCH", "1700000000");
    binary
}

fn manifest(binary: &Binary, output: &str) -> Value {
    serde_json::from_slice(&fs::read(binary.path(&format!("{output}/{STEM}.json"))).unwrap()).unwrap()
}

#[test]
fn a_profile_brings_container_images() {
    let binary = world();
    binary.succeed(&["build", "--quiet", "--profile", "mini"]);
    let said = manifest(&binary, "out/mini");
    let images = said["container_images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(images[0]["names"][0], "registry.k8s.io/pause:3.10.1");
    assert_eq!((&images[1]["layers"], &images[1]["size"]), (&2.into(), &(3072 + 2048).into()));
    let shown = binary.succeed(&["show", &format!("out/mini/{STEM}.json")]).stdout;
    assert!(shown.contains("container images: 2\n    registry.k8s.io/pause:3.10.1, 1 layer, "), "{shown}");

    // What is in an image is told by its layer, and is nobody else's business.
    let files = fs::read_to_string(binary.path(&format!("out/mini/{STEM}.files.tsv"))).unwrap();
    let shell = files.lines().find(|line| line.contains("/diff/bin/sh\t")).unwrap();
    assert!(shell.contains("\tf\t4755\t0:0\t"), "{shell}");
    assert!(shell.ends_with("\timage registry.example.org/tools:1 layer 1"), "{shell}");
    let path = shell.split('\t').next().unwrap();
    let why = binary.succeed(&["--quiet", "why", path, "--profile", "mini"]);
    assert_eq!(why.stdout, format!("{path}: image registry.example.org/tools:1 layer 1\n"));

    // The same again; up to date; and another where an archive is another.
    binary.succeed(&["build", "--quiet", "--profile", "mini", "--output", "again", "--jobs", "1"]);
    assert_eq!(sums(&binary, "again"), sums(&binary, "out/mini"));
    let again = binary.succeed(&["build", "--profile", "mini"]);
    assert!(again.stderr.contains("is up to date"), "{}", again.stderr);
    binary.write("tools.tar", tools("two"));
    binary.succeed(&["build", "--quiet", "--profile", "mini"]);
    let diff = binary.succeed(&["diff", "again", "out/mini"]).stdout;
    assert!(diff.contains("container images: 0 added, 0 removed, 1 changed\n  ~ registry.example.org/tools:1 sha256:"), "{diff}");
}

#[test]
fn an_image_that_cannot_be_used_is_refused() {
    let binary = world();
    fs::remove_file(binary.path("tools.tar")).unwrap();
    let message = "\
error: can't preload the image registry.example.org/tools:1 from profiles/../tools.tar
  caused by: there is no such file or directory
  help: Save it there, as with `skopeo copy docker://registry.example.org/tools:1 oci-archive:profiles/../tools.tar`.";
    binary.refuses(&["--profile", "mini"], 5, message);
    let device = tar(&[("dev/null", Member::CharDevice)]);
    let digest = crate::support::repository::sha256(&device);
    binary.write("tools.tar", archive(&Image::of(device).layout()));
    let message = format!(
        "\
error: can't preload the image registry.example.org/tools:1 from profiles/../tools.tar
  caused by: layer 1 ({digest}) has dev/null, a device node, and an image has none
  help: Build the image without it."
    );
    binary.refuses(&["--profile", "mini"], 6, &message);
}
