//! The init binary inside every image: compiled by this package's build script, embedded here, so that `kmimage` is one file.

use crate::emit::spdx::Crate;
use crate::hash::Sha256Digest;

include!(concat!(env!("OUT_DIR"), "/embedded_init.rs"));

/// A crate as the build script writes it down.
struct LinkedCrate {
    name: &'static str,
    version: &'static str,
    license: &'static str,
    sha256: Option<&'static str>,
}

/// The init binary and what is known of it.
#[derive(Debug, Clone)]
pub struct EmbeddedInit {
    /// The program.
    pub bytes: &'static [u8],
    /// Its digest.
    pub sha256: Sha256Digest,
    /// The compiler that made it, as `rustc --version` says.
    pub compiler: &'static str,
    /// What it is linked from, itself aside, by name.
    pub crates: Vec<Crate>,
}

impl EmbeddedInit {
    /// The one that this kmimage carries.
    pub fn get() -> Self {
        let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/init"));
        let crates = CRATES.iter().map(|linked| Crate {
            name: linked.name.to_owned(),
            version: linked.version.to_owned(),
            license: linked.license.to_owned(),
            sha256: linked.sha256.map(str::to_owned),
        });
        Self { bytes, sha256: Sha256Digest::of(bytes), compiler: COMPILER, crates: crates.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::content::Content;

    #[test]
    fn it_is_a_program_made_of_known_crates() {
        let init = EmbeddedInit::get();
        assert!(init.bytes.starts_with(b"\x7fELF"));
        assert_eq!(Content::from_bytes(init.bytes).sha256(), init.sha256);
        assert!(init.compiler.starts_with("rustc "), "{}", init.compiler);
        let of = |name: &str| init.crates.iter().find(|known| known.name == name);
        assert_eq!(of("kmimage-sys").unwrap().license, "MIT OR Apache-2.0");
        assert_eq!(of("kmimage-sys").unwrap().sha256, None);
        assert_eq!(of("rustix").unwrap().sha256.as_deref().map(str::len), Some(64));
        // Macros run in the compiler; their code is not in the program.
        assert_eq!(of("serde_derive"), None);
    }

    /// It is in the initramfs and in the root, and every child of process 1 maps it: it stays small.
    #[test]
    fn it_has_at_most_7_mib() {
        let size = EmbeddedInit::get().bytes.len();
        assert!(size <= 7 << 20, "init has {size} bytes");
    }

    #[test]
    fn it_has_no_faults_on_purpose() {
        // What init's feature `fault-injection` brings along (init/src/fault.rs).
        assert_eq!(memchr::memmem::find(EmbeddedInit::get().bytes, b"kmimage fault injection"), None);
    }

    #[test]
    fn it_names_no_path_of_this_machine() {
        let init = EmbeddedInit::get();
        let paths = [env!("CARGO_MANIFEST_DIR"), ".cargo/registry", ".rustup/"];
        for path in paths {
            let found = memchr::memmem::find(init.bytes, path.as_bytes());
            assert_eq!(found, None, "`{path}` is in init");
        }
    }
}
