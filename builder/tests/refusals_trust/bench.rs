//! A miniature distribution in a signed repository on the loopback interface, and a kmimage that builds from it.

use crate::support::binary::{Binary, Outcome};
use crate::support::deb::Deb;
use crate::support::mini::Mini;
use crate::support::repository::{Key, Repository};
use crate::support::server::Server;
use std::fs;
use std::path::PathBuf;

/// Where the repository is, as messages show it.
pub(crate) const URL: &str = "http://127.0.0.1:<port>";
/// Its signed index.
pub(crate) const IN_RELEASE: &str = "http://127.0.0.1:<port>/dists/trixie/InRelease";
/// The .deb of `mini-program`.
pub(crate) const PROGRAM_PATH: &str = "/pool/main/mini-program_1.0_amd64.deb";

pub(crate) struct Bench {
    pub(crate) binary: Binary,
    pub(crate) server: Server,
    pub(crate) key: Key,
    pub(crate) mini: Mini,
}

impl Bench {
    /// Nothing is published yet; the profile is there.
    pub(crate) fn new() -> Self {
        Self::with(Key::generate("Archive"), Mini::new())
    }

    pub(crate) fn with(key: Key, mini: Mini) -> Self {
        let binary = Binary::new(env!("CARGO_BIN_EXE_kmimage"));
        fs::create_dir(binary.path("www")).unwrap();
        let bench = Self { server: Server::start(&binary.path("www")), binary, key, mini };
        bench.binary.write("profiles/keyrings/test.asc", bench.key.public());
        bench.write_profile("");
        bench
    }

    /// The sound repository, published.
    pub(crate) fn sound() -> Self {
        let bench = Self::new();
        bench.publish(&bench.repository());
        bench
    }

    /// Writes the profile, with more TOML for its repository.
    pub(crate) fn write_profile(&self, repository: &str) {
        let signed = format!(
            "uris = [{:?}]\nsuites = [\"trixie\"]\ncomponents = [\"main\"]\nkeyrings = [\"test.asc\"]\n{repository}",
            self.server.url()
        );
        let (text, directory) = (self.mini.profile(), "directory = \"../debs\"");
        assert!(text.contains(directory));
        self.binary.write("profiles/mini.toml", text.replace(directory, &signed));
    }

    /// The distribution as a repository, of 2026-01-01.
    pub(crate) fn repository(&self) -> Repository {
        Repository::new("trixie", self.mini.debs.clone())
    }

    pub(crate) fn deb(&self, name: &str) -> Deb {
        self.mini.debs.iter().find(|deb| deb.get("Package") == name).unwrap().clone()
    }

    /// Publishes a repository in the place of what is there.
    pub(crate) fn publish(&self, repository: &Repository) {
        self.publish_by(&self.key, repository);
    }

    pub(crate) fn publish_by(&self, key: &Key, repository: &Repository) {
        fs::remove_dir_all(self.binary.path("www")).unwrap();
        repository.write(key, &self.binary.path("www"));
    }

    /// Locks the profile: the packages are in the store then.
    pub(crate) fn lock(&self) {
        self.binary.succeed(&["lock", "--profile", "mini"]);
    }

    /// Everything that was downloaded is gone.
    pub(crate) fn empty_store(&self) {
        fs::remove_dir_all(self.binary.store()).unwrap();
    }

    pub(crate) fn blob(&self, sha256: &str) -> PathBuf {
        self.binary.store().join("blobs").join(&sha256[..2]).join(sha256)
    }

    /// Builds; it must work.
    #[track_caller]
    pub(crate) fn builds(&self, options: &[&str]) -> Outcome {
        self.binary.succeed(&[&["build", "--profile", "mini", "--format", "raw"], options].concat())
    }

    /// Builds over an earlier set, which must fail with this exit code and exactly this message, and change neither set nor lock.
    #[track_caller]
    pub(crate) fn refuses(&self, options: &[&str], code: i32, message: &str) {
        let lock = || fs::read(self.binary.path("kmimage.lock")).ok();
        let before = lock();
        self.binary.refuses(&[&["--profile", "mini", "--format", "raw"], options].concat(), code, message);
        assert!(lock() == before, "the lock was written");
    }
}
