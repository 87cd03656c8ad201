//! Pages and schemas that are made from doc comments; what is committed must equal what would be made.

use crate::run::{Outcome, say};
use std::path::{Path, PathBuf};

fn pages() -> impl IntoIterator<Item = (&'static str, String)> {
    kmimage::profile::reference::files().into_iter().chain(kmimage::machine_config::reference::files())
}

/// Writes every generated page.
pub(crate) fn write() -> Outcome {
    for (path, text) in pages() {
        fs_err::write(root().join(path), text)?;
        say(&format!("wrote {path}"));
    }
    Ok(())
}

/// Fails naming the first page that differs.
pub(crate) fn check() -> Outcome {
    for (path, text) in pages() {
        if fs_err::read_to_string(root().join(path))? != text {
            return Err(format!("{path} is not what its source says; run `cargo xtask docs`").into());
        }
    }
    Ok(())
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
