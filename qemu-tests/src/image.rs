//! The image under test: built once per test run with the real binary, from real packages, as a user would.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The output folder of profile `base`, built (or found current) once per process.
///
/// # Panics
/// With kmimage's output when the build fails.
pub fn base() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build("base", root()))
}

/// The output folder of profile `test`: base with the probe in it. No shelf of kmimage's own has this profile; it is in
/// qemu-tests/library.
///
/// # Panics
/// With the output of cargo or kmimage when a build fails.
pub fn test() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build("test", &library()))
}

/// The output folder of profile `metal-test`: test with microcode and firmware.
///
/// # Panics
/// With the output of cargo or kmimage when a build fails.
pub fn metal() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build("metal-test", &library()))
}

/// The output folder of profile `test` with an init that fails when the machine's SMBIOS table asks for it.
///
/// # Panics
/// With the output of cargo or kmimage when a build fails.
pub fn faulty() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let init = compile("kmimage-init", "faulty-init", &["--features", "kmimage-init/fault-injection"]);
        build_with("test", &library(), "faulty", &["--init".as_ref(), init.as_ref()])
    })
}

/// What [`base`] and [`test`] are built as.
pub const FORMATS: &str = "raw,qcow2,iso";

/// Builds a profile that is found in `folder`, into the folder of the tests.
fn build(profile: &str, folder: &Path) -> PathBuf {
    build_with(profile, folder, profile, &["--format".as_ref(), FORMATS.as_ref()])
}

pub(crate) fn build_with(profile: &str, folder: &Path, name: &str, options: &[&OsStr]) -> PathBuf {
    let output = self::folder().join(name);
    let mut kmimage = kmimage();
    kmimage.current_dir(folder).args(["build", "--profile", profile, "--output"]).arg(&output).arg("--lock").arg(lock());
    kmimage.args(options);
    let status = kmimage.status().expect("kmimage");
    assert!(status.success(), "kmimage build: {status}");
    output
}

/// A copy of qemu-tests/library with the probe, freshly compiled, in its place. Unchanged files stay as they are.
pub(crate) fn library() -> PathBuf {
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("library"), folder().join("library"));
    let place = |relative: &Path, bytes: &[u8]| {
        let path = to.join(relative);
        if fs_err::read(&path).is_ok_and(|there| there == bytes) {
            return;
        }
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs_err::write(path, bytes).expect("a file of the library");
    };
    let mut folders = vec![from.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).expect("the library") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                place(path.strip_prefix(&from).expect("a file of the library"), &fs_err::read(&path).expect("a file"));
            }
        }
    }
    place(Path::new("overlays/probe/rootfs/usr/lib/kmimage/probe"), &fs_err::read(compile_probe()).expect("the probe"));
    to
}

/// Compiles the probe.
fn compile_probe() -> PathBuf {
    compile("kmimage-probe", "probe", &[])
}

/// Compiles a program for the image under test, static, as the builder compiles init and where it does, so that what both are made of is
/// compiled once; keeps it as `name`.
fn compile(package: &str, name: &str, options: &[&str]) -> PathBuf {
    const TRIPLE: &str = "x86_64-unknown-linux-gnu";
    // Its build leaves the flags there.
    program("kmimage");
    let folder = target().join("embedded-init");
    let flags = fs_err::read_to_string(folder.join("rustflags")).expect("the flags that init was compiled with");
    let status = cargo()
        .args(["build", "--locked", "--package", package, "--bin", package, "--profile", "init"])
        .args(options)
        .args(["--target", TRIPLE, "--target-dir"])
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .status()
        .expect("cargo");
    assert!(status.success(), "cargo build: {status}");
    // The next build of the same package takes the place of this one.
    let (built, kept) = (folder.join(TRIPLE).join("init").join(package), self::folder().join(name));
    fs_err::copy(built, &kept).expect("a copy of the program");
    kept
}

/// The lock that the images are built with.
pub fn lock() -> PathBuf {
    folder().join("kmimage.lock")
}

/// Where the tests keep what they make once.
///
/// # Panics
/// When it can't be made.
pub fn folder() -> PathBuf {
    let folder = target().join("qemu-tests");
    fs_err::create_dir_all(&folder).expect("a folder for images");
    folder
}

/// The one file of a folder that ends so.
///
/// # Panics
/// When there is none, or more than one.
pub fn artefact(folder: &Path, ending: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs_err::read_dir(folder)
        .expect("the output folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    assert_eq!(found.len(), 1, "files *{ending} in {}: {found:?}", folder.display());
    found.remove(0)
}

/// The real binary, in the repository's root, freshly built.
///
/// # Panics
/// When it does not compile.
#[expect(clippy::disallowed_methods, reason = "the product under test is a program")]
pub fn kmimage() -> Command {
    let mut kmimage = Command::new(program("kmimage"));
    kmimage.current_dir(root());
    kmimage
}

/// A program of this workspace, freshly built as the tests are: `kmimage-init` to run one of init's children without a machine,
/// `test-server`.
///
/// # Panics
/// When it does not compile.
pub fn program(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !built.contains(name) {
        let status = cargo()
            // Of the whole workspace: its packages together decide the features of dependencies, and so what has to be compiled.
            .args(["build", "--locked", "--quiet", "--workspace", "--bin", name])
            .status()
            .expect("cargo");
        assert!(status.success(), "cargo build: {status}");
        built.insert(name.to_owned());
    }
    target().join("debug").join(name)
}

/// Cargo in the repository's root, as from a shell. What the cargo that runs this test tells it about its package would have build
/// scripts that ask for it (ring's does) run again, and all that depends on them compiled again, here and once more by the next shell.
#[expect(clippy::disallowed_methods, reason = "what is tested is compiled by cargo")]
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(root());
    cargo
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository's root")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
