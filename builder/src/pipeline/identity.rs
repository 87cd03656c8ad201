//! What an image is before it is built: everything that decides its bytes, and the digest that tells whether it stands already.

use crate::compose::content::Content;
use crate::embedded_init::EmbeddedInit;
use crate::emit::artifacts::Names;
use crate::emit::spdx::Crate;
use crate::failure::Failure;
use crate::hash::Sha256Digest;
use crate::lock::LockedPackage;
use crate::profile::Profile;
use kmimage_contract::manifest::Init;
use kmimage_contract::release::Release;
use serde_json::json;

/// Everything that decides an image's bytes beside its profile and its packages.
pub(super) struct Identity {
    /// What its files are called.
    pub(super) names: Names,
    /// IMAGE_ID, IMAGE_VERSION, role.
    pub(super) release: Release,
    /// Its clock: seconds since 1970.
    pub(super) epoch: u32,
    /// zstd level of the root image.
    pub(super) level: i32,
    /// Threads (they decide nothing).
    pub(super) jobs: usize,
    /// The init binary.
    pub(super) init: Content,
    compiler: String,
    /// What init is linked from.
    pub(super) crates: Vec<Crate>,
}

/// What the command line and the lock say about an image.
pub(super) struct Wish<'a> {
    pub(super) image_version: Option<&'a str>,
    pub(super) level: Option<i32>,
    pub(super) epoch: u32,
    pub(super) jobs: usize,
}

impl Identity {
    pub(super) fn new(profile: &Profile, wish: &Wish<'_>, init: &EmbeddedInit) -> Result<Self, Failure> {
        let version = wish.image_version.unwrap_or(env!("CARGO_PKG_VERSION"));
        Ok(Self {
            names: Names::new(&profile.name, version)?,
            release: Release {
                image_id: format!("kmimage-{}", profile.name),
                version: version.to_owned(),
                role: profile.role.clone(),
                slot_size: profile.image.slot_size,
            },
            epoch: wish.epoch,
            level: wish.level.unwrap_or(profile.image.compression_level),
            jobs: wish.jobs,
            init: Content::from_bytes(init.bytes),
            compiler: init.compiler.to_owned(),
            crates: init.crates.clone(),
        })
    }

    /// With another init, of which nothing is known but its bytes.
    pub(super) fn with_init(self, init: Content) -> Self {
        Self { init, compiler: "unknown".to_owned(), crates: Vec::new(), ..self }
    }

    /// Init as the manifest names it.
    pub(super) fn init_facts(&self) -> Init {
        Init { sha256: self.init.sha256().to_string(), size: self.init.len(), compiler: self.compiler.clone() }
    }

    /// A digest over all that decides the artefacts' bytes: with the same one, what stands needs no building.
    /// `builder` is the digest of the running kmimage itself, which stands for every writer in it.
    pub(super) fn key(
        &self,
        profile: &Profile,
        packages: &[LockedPackage],
        brought: &[Sha256Digest],
        formats: &[&str],
        builder: &str,
    ) -> String {
        let packages: Vec<_> =
            packages.iter().map(|package| (&package.repository, &package.name, &package.version, package.sha256)).collect();
        let key = json!({
            "builder": builder,
            "init": self.init.sha256().to_string(),
            "profile": profile.digest(),
            "packages": packages,
            "brought": brought,
            "formats": formats,
            "level": self.level,
            "version": self.release.version,
            "epoch": self.epoch,
        });
        Sha256Digest::of(key.to_string().as_bytes()).to_string()
    }
}
