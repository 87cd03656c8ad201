//! The profiles, extensions, overlays and keyrings of this repository, compiled into kmimage. A test holds the tables against the folders.

use super::library::EmbeddedFile;

macro_rules! file {
    ($folder:literal, $path:literal) => {
        EmbeddedFile { path: $path, bytes: include_bytes!(concat!("../../../", $folder, "/", $path)) }
    };
}

/// `profiles/*.toml`.
pub(super) const PROFILES: &[EmbeddedFile] = &[file!("profiles", "base.toml"), file!("profiles", "worker.toml")];

/// `profiles/extensions/*.toml`.
pub(super) const EXTENSIONS: &[EmbeddedFile] = &[file!("profiles/extensions", "metal.toml")];

/// `profiles/keyrings/*.gpg`.
pub(super) const KEYRINGS: &[EmbeddedFile] = &[
    file!("profiles/keyrings", "debian-archive-bookworm-automatic.gpg"),
    file!("profiles/keyrings", "debian-archive-bookworm-security-automatic.gpg"),
    file!("profiles/keyrings", "debian-archive-bookworm-stable.gpg"),
    file!("profiles/keyrings", "debian-archive-trixie-automatic.gpg"),
    file!("profiles/keyrings", "debian-archive-trixie-security-automatic.gpg"),
    file!("profiles/keyrings", "debian-archive-trixie-stable.gpg"),
];

/// `overlays/*`, by name.
pub(super) const OVERLAYS: &[(&str, &[EmbeddedFile])] = &[("base", BASE), ("worker", WORKER)];

const BASE: &[EmbeddedFile] = &[
    file!("overlays/base", "overlay.toml"),
    file!("overlays/base", "rootfs/etc/hosts"),
    file!("overlays/base", "rootfs/etc/nsswitch.conf"),
    file!("overlays/base", "rootfs/usr/lib/modprobe.d/kmimage.conf"),
];

const WORKER: &[EmbeddedFile] = &[
    file!("overlays/worker", "overlay.toml"),
    file!("overlays/worker", "rootfs/etc/containers/policy.json"),
    file!("overlays/worker", "rootfs/etc/containers/registries.conf"),
    file!("overlays/worker", "rootfs/etc/containers/storage.conf"),
    file!("overlays/worker", "rootfs/etc/crio/crio.conf.d/10-kmimage.conf"),
    file!("overlays/worker", "rootfs/usr/lib/kmimage/services/crio.toml"),
    file!("overlays/worker", "rootfs/usr/lib/kmimage/services/kubelet.toml"),
    file!("overlays/worker", "rootfs/usr/lib/kmimage/services/login1.toml"),
    file!("overlays/worker", "rootfs/usr/lib/modules-load.d/worker.conf"),
    file!("overlays/worker", "rootfs/usr/lib/sysctl.d/worker.conf"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files_below(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs_err::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            let kind = entry.file_type().unwrap();
            assert!(kind.is_file() || kind.is_dir(), "{name}: links and devices of an overlay are said in its overlay.toml");
            if kind.is_dir() {
                files_below(&entry.path(), &format!("{name}/"), found);
            } else {
                found.push(name);
            }
        }
    }

    fn folder(path: &str) -> Vec<String> {
        let mut found = Vec::new();
        files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path), "", &mut found);
        found.sort();
        found
    }

    fn paths(files: &[EmbeddedFile]) -> Vec<String> {
        files.iter().map(|file| file.path.to_owned()).collect()
    }

    #[test]
    fn the_tables_hold_what_the_folders_hold() {
        let profiles: Vec<String> = folder("profiles").into_iter().filter(|path| path.ends_with(".toml")).collect();
        let (extensions, profiles): (Vec<_>, Vec<_>) = profiles.into_iter().partition(|path| path.starts_with("extensions/"));
        assert_eq!(paths(PROFILES), profiles);
        assert_eq!(paths(EXTENSIONS), extensions.iter().map(|path| &path["extensions/".len()..]).collect::<Vec<_>>());
        let keyrings: Vec<String> = folder("profiles/keyrings").into_iter().filter(|path| path.ends_with(".gpg")).collect();
        assert_eq!(paths(KEYRINGS), keyrings);
        let overlays: Vec<String> = OVERLAYS
            .iter()
            .flat_map(|(name, files)| paths(files).into_iter().map(move |path| format!("{name}/{path}")))
            .collect();
        assert_eq!(overlays, folder("overlays"));
    }
}
