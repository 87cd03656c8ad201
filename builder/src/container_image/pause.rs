//! The image `built-in:pause`: the process that holds a pod's namespaces, in one layer, without a registry.
//!
//! Compiled by this package's build script from `builder/pause/pause.rs`, and wrapped here: the same bytes each time.

use super::blob::Blob;
use super::document::{self, Compression, Layer};
use super::error::Fault;
use super::{ContainerImage, ImageLayer, ImageName, Verified};
use crate::hash::Sha256Digest;
use serde_json::json;

/// The program.
static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

/// As in the image of the same name that Kubernetes publishes: nobody.
const USER: u32 = 65535;

/// The image, under a name that the profile gives it.
pub(super) fn image(name: &ImageName) -> Result<ContainerImage, Fault> {
    let layer = layer().map_err(Fault::Read)?;
    let diff_id = Sha256Digest::of(&layer);
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": jiff::Timestamp::UNIX_EPOCH.to_string(),
        "config": { "Entrypoint": ["/pause"], "User": format!("{USER}:{USER}") },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    });
    let config = config.to_string().into_bytes();
    let facts = Layer { digest: diff_id, size: layer.len() as u64, compression: Compression::None };
    let manifest = Verified::new(document::manifest_of_saved(&config, &[facts]));
    if let Some(wanted) = name.digest().filter(|digest| *digest != manifest.digest) {
        return Err(Fault::OtherDigest { wanted, found: vec![manifest.digest] });
    }
    Ok(ContainerImage {
        names: name.names(),
        place: String::new(),
        manifest,
        index: None,
        config: Verified::new(config),
        created: jiff::Timestamp::UNIX_EPOCH,
        layers: vec![ImageLayer { facts, diff_id, blob: Blob::from_bytes(layer) }],
    })
}

fn layer() -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o755);
    header.set_size(PROGRAM.len() as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "pause", PROGRAM)?;
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object as _, ObjectSegment as _};

    #[test]
    fn the_program_is_static_and_small() {
        let elf = object::File::parse(PROGRAM).unwrap();
        assert_eq!(elf.imports().unwrap().count(), 0);
        assert!(elf.dynamic_symbols().next().is_none());
        assert!(elf.segments().all(|segment| segment.size() < 4096));
        assert!(PROGRAM.len() < 16 << 10, "{} bytes", PROGRAM.len());
    }

    #[test]
    fn the_image_is_the_same_each_time_and_reads_as_one() {
        let name = ImageName::parse("registry.k8s.io/pause:3.10.1").unwrap();
        let image = image(&name).unwrap();
        assert_eq!(image.digest(), super::image(&name).unwrap().digest());
        let document::Document::Manifest(manifest) = document::parse(&image.manifest.bytes).unwrap() else {
            panic!("no manifest")
        };
        assert_eq!(manifest.config.sha256().unwrap(), image.config.digest);
        assert_eq!(document::config(&image.config.bytes).unwrap().diff_ids, [image.layers[0].diff_id]);
        let pinned = ImageName::parse(&format!("a.b/c@sha256:{}", "0".repeat(64))).unwrap();
        assert!(super::image(&pinned).unwrap_err().to_string().starts_with("the name asks for sha256:000"));
    }

    /// As process 1 of its own processes: an orphan that has ended goes away, and SIGTERM is the end.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the program under test, in a namespace of its own")]
    fn tools_it_reaps_orphans_and_ends_on_sigterm() {
        use std::os::unix::fs::PermissionsExt as _;
        use std::process::Command;
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("pause");
        fs_err::write(&program, PROGRAM).unwrap();
        fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        // The shell's child is an orphan of whoever takes the shell's place.
        let mut unshare = Command::new("unshare")
            .args(["--map-root-user", "--pid", "--fork", "--kill-child", "sh", "-c", r#"sleep 0.3 & exec "$0""#])
            .arg(&program)
            .spawn()
            .unwrap();
        let children = |process: u32| -> Vec<u32> {
            let path = format!("/proc/{process}/task/{process}/children");
            let text = fs_err::read_to_string(path).unwrap_or_default();
            text.split_whitespace().map(|word| word.parse().unwrap()).collect()
        };
        let wait_for = |what: &str, is: &dyn Fn() -> bool| {
            let there = (0..200).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(50));
                is()
            });
            assert!(there, "{what}");
        };
        let name = |process: &u32| fs_err::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        let pause = || children(unshare.id()).into_iter().find(|child| name(child) == "pause\n");
        wait_for("it runs", &|| pause().is_some());
        let pause = pause().unwrap();
        wait_for("the orphan is gone", &|| children(pause).is_empty());
        assert_eq!(name(&pause), "pause\n");
        assert!(Command::new("kill").args(["-TERM", &pause.to_string()]).status().unwrap().success());
        assert_eq!(unshare.wait().unwrap().code(), Some(0));
    }
}
