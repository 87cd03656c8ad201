//! Whole images of the miniature distribution, made by the real program and asked about with its other subcommands.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod air_gap;
mod answers;
mod container_images;
mod set;
mod stale;

use support::binary::Binary;
use support::mini::Mini;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kmimage");

/// What the artefacts of the profile `mini` are called, up to their endings.
const STEM: &str = concat!("kmimage-mini-", env!("CARGO_PKG_VERSION"), "-amd64");

/// An overlay for the profile `mini`.
const SITE: &str = "overlays = [\"site\"]";

/// A world with the miniature distribution, an overlay `site` over it, and a clock, so that any two of them give the same image.
fn world() -> Binary {
    let mut binary = Binary::new(PROGRAM);
    Mini::new().extra(SITE).write(&binary);
    binary.write("overlays/site/rootfs/etc/motd", "one\n");
    binary.env("SOURCE_DATE_EPOCH", "1700000000");
    binary
}

/// SHA256SUMS of an output folder.
fn sums(binary: &Binary, output: &str) -> String {
    std::fs::read_to_string(binary.path(output).join("SHA256SUMS")).unwrap()
}
