//! The image under test: built once per test run with the real binary, from real packages, as a user would.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The output folder of a profile, built (or found current) once per process.
///
/// # Panics
/// With kmimage's output when the build fails.
pub fn base() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = folder();
        let output = folder.join("base");
        let status = kmimage()
            .args(["build", "--profile", "base", "--output"])
            .arg(&output)
            .arg("--lock")
            .arg(lock())
            .status()
            .expect("kmimage");
        assert!(status.success(), "kmimage build: {status}");
        output
    })
}

/// The lock that [`base`] is built with.
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
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            // Of the whole workspace: its packages together decide the features of dependencies, and so what has to be compiled.
            .args(["build", "--locked", "--workspace", "--bin", "kmimage"])
            .current_dir(root())
            .status()
            .expect("cargo");
        assert!(status.success(), "cargo build: {status}");
    });
    let mut kmimage = Command::new(target().join("debug/kmimage"));
    kmimage.current_dir(root());
    kmimage
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository's root")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
