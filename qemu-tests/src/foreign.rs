//! Programs of others that judge our bytes. One that is missing or fails is a failed test, never a skip.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// A program, with the superuser's folders in PATH (sgdisk, fsck.fat and veritysetup are there, and need no superuser here).
#[expect(clippy::disallowed_methods, reason = "others judge our bytes")]
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

/// Runs to the end; returns what it printed.
///
/// # Panics
/// With everything it printed, if it fails or is missing.
pub fn run(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{text}", output.status);
    text
}

/// A Python with the packages that judge us, from PyPI: spdx-tools (SPDX 2.3) and pefile (for ukify).
///
/// # Panics
/// When they can't be installed.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let environment = crate::image::folder().join("python");
        let python = environment.join("bin/python3");
        if !environment.join("ready").exists() {
            run(program("python3").args(["-m", "venv"]).arg(&environment));
            run(program(&python).args(["-m", "pip", "install", "--quiet", "spdx-tools==0.8.3", "pefile==2024.8.26"]));
            fs_err::write(environment.join("ready"), "").expect("a mark");
        }
        python
    })
}

/// A file of a trixie package that this host may not have, fetched by the host's own apt from its own mirror.
///
/// # Panics
/// When apt can't get it.
pub fn from_trixie(package: &str, file: &str) -> PathBuf {
    // One at a time: they share apt's folders.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let state = crate::image::folder().join("trixie");
    let unpacked = state.join(package);
    if !unpacked.join(file).exists() {
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs_err::create_dir_all(state.join(folder)).expect("apt's folders");
        }
        fs_err::write(state.join("status"), "").expect("an empty status");
        fs_err::write(state.join("trixie.sources"), trixie_source()).expect("a source");
        let apt = || {
            let mut apt = program("apt-get");
            apt.current_dir(&state).args(["-qq", "-o", "APT::Sandbox::User=", "-o", "Dir::Etc::SourceParts=/nonexistent"]);
            for (key, value) in [
                ("Dir::State::Lists", "lists"),
                ("Dir::State::status", "status"),
                ("Dir::Cache", "cache"),
                ("Dir::Etc::SourceList", "trixie.sources"),
            ] {
                apt.arg("-o").arg(format!("{key}={}", state.join(value).display()));
            }
            apt
        };
        run(apt().arg("update"));
        run(apt().args(["download", package]));
        let deb = crate::image::artefact(&state, ".deb");
        run(program("dpkg-deb").arg("-x").arg(&deb).arg(&unpacked));
        fs_err::remove_file(deb).expect("the .deb goes");
    }
    unpacked.join(file)
}

/// A source of trixie at the mirror that the host's apt uses.
fn trixie_source() -> String {
    let (sources, _) = kmimage::fetch::apt_conf::read(Path::new("/"));
    let debian = sources.iter().find(|source| source.uri.ends_with("/debian"));
    let uri = debian.map_or("http://ftp.debian.org/debian", |source| source.uri.as_str());
    let keyring = concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/keyrings");
    let mut keys = Vec::new();
    for entry in fs_err::read_dir(keyring).expect("keyrings") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "gpg" || extension == "pgp") {
            keys.push(path.display().to_string());
        }
    }
    keys.sort();
    format!("Types: deb\nURIs: {uri}\nSuites: trixie\nComponents: main\nSigned-By: {}\n", keys.join(","))
}
