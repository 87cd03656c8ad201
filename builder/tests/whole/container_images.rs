//! Container images in an image: what the program makes of a profile that names some, and what it says of them.

use crate::support::binary::Binary;
use crate::support::image::{Image, Member, archive, tar, write};
use crate::support::mini::Mini;
use crate::{PROGRAM, STEM, sums};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

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

/// Runs a program that must succeed; what it prints.
#[expect(clippy::disallowed_methods, reason = "others judge our bytes")]
fn tool(program: &str, arguments: &[&str]) -> Vec<u8> {
    let ran = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {}: {}\n{complaints}", arguments.join(" "), ran.status);
    ran.stdout
}

/// skopeo is a reader of containers/image and containers/storage, as CRI-O is: what it wrote kmimage reads, and the other way round.
#[test]
fn tools_skopeo_and_kmimage_read_each_other() {
    let mut binary = Binary::new(PROGRAM);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let made = Image::of(tar(&[("bin/sh", Member::File(0o4755, "shell")), ("gone", Member::File(0o644, ""))]))
        .layer(tar(&[(".wh.gone", Member::File(0o644, "")), ("etc/text", Member::Owned(0o640, 1000, "text"))]), "+gzip");
    write(&made.layout(), &binary.path("layout"));
    let source = format!("oci:{}", text(&binary.path("layout")));
    // In namespaces of its own: containers/storage leaves a mount behind.
    let skopeo = ["--map-root-user", "--mount", "skopeo", "--insecure-policy"];
    let no_policy = |arguments: &[&str]| tool("unshare", &[&skopeo, arguments].concat());
    let saved = "registry.example.org/saved:1";
    no_policy(&["copy", "--quiet", &source, &format!("oci-archive:{}:1", text(&binary.path("oci.tar")))]);
    no_policy(&["copy", "--quiet", &source, &format!("docker-archive:{}:{saved}", text(&binary.path("docker.tar")))]);
    let image = |name: &str, source: &str| format!("[[container-image]]\nname = \"{name}\"\nsource = \"{source}\"\n");
    let images = [
        image("registry.k8s.io/pause:3.10.1", "built-in:pause"),
        image("registry.example.org/layout:1", "../layout"),
        image("registry.example.org/archive:1", "../oci.tar"),
        image(saved, "../docker.tar"),
    ];
    Mini::new().extra(&images.concat()).write(&binary);
    binary.env("SOURCE_DATE_EPOCH", "1700000000");
    binary.succeed(&["build", "--quiet", "--profile", "mini"]);

    let root = text(&binary.path("root"));
    let squashfs = text(&binary.path(&format!("out/mini/{STEM}.root.squashfs")));
    tool("unsquashfs", &["-quiet", "-no-progress", "-d", &root, &squashfs, "usr/lib/kmimage/images"]);
    let empty = text(&binary.path("storage"));
    let of_store = |name: &str| {
        let options = format!("overlay.imagestore={root}/usr/lib/kmimage/images");
        format!("containers-storage:[overlay@{empty}/root+{empty}/run:{options}]{name}")
    };
    let config = |place: &str| no_policy(&["inspect", "--config", "--raw", place]);
    for name in ["registry.example.org/layout:1", "registry.example.org/archive:1", saved] {
        assert_eq!(config(&of_store(name)), config(&source), "{name}");
    }
    let pause: Value = serde_json::from_slice(&config(&of_store("registry.k8s.io/pause:3.10.1"))).unwrap();
    assert_eq!(pause["config"]["Entrypoint"][0], "/pause");
    // By the digest alone, as a pod may ask.
    let digest = &manifest(&binary, "out/mini")["container_images"][1]["digest"];
    let by_digest = format!("registry.example.org/layout@sha256:{}", digest.as_str().unwrap());
    assert_eq!(no_policy(&["inspect", "--raw", &of_store(&by_digest)]), no_policy(&["inspect", "--raw", &source]));
}
