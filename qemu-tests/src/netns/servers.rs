//! Small servers inside a namespace: HTTP and HTTPS, the time, a receiver of logs. Their logs say who asked what.

use super::Netns;
use super::daemon::Daemon;
use crate::foreign::{program, run};
use crate::image;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A running server; its log is the [`Daemon`]'s.
pub struct Server {
    daemon: Daemon,
    folder: TempDir,
}

impl Server {
    /// Files by HTTP, on `address` (`10.77.0.1:80`). [`Server::put`] gives it some.
    ///
    /// # Panics
    /// When it doesn't start, as all of these.
    pub fn http(netns: &Netns, address: &str) -> Self {
        Self::start(netns, |folder| vec!["http".into(), address.into(), folder.into()])
    }

    /// The same by HTTPS.
    pub fn https(netns: &Netns, address: &str, certificate: &Certificate) -> Self {
        let (certificate, key) = (certificate.certificate.clone(), certificate.key.clone());
        Self::start(netns, |folder| vec!["http".into(), address.into(), folder.into(), certificate, key])
    }

    /// The time by SNTP, off by so many milliseconds.
    pub fn sntp(netns: &Netns, address: &str, offset_ms: i64) -> Self {
        Self::start(netns, |folder| {
            fs_err::write(folder.join("offset"), offset_ms.to_string()).expect("the offset");
            vec!["sntp".into(), address.into(), folder.join("offset")]
        })
    }

    /// Takes messages of logs by TCP and logs each.
    pub fn tcp(netns: &Netns, address: &str) -> Self {
        Self::start(netns, |_| vec!["tcp".into(), address.into()])
    }

    fn start(netns: &Netns, arguments: impl FnOnce(&Path) -> Vec<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let daemon = netns.spawn(netns.program(image::program("test-server")).args(arguments(folder.path())));
        daemon.wait_for("`listening`", Duration::from_secs(20), |line| line.starts_with("listening on ").then_some(()));
        Self { daemon, folder }
    }

    /// A file to serve by HTTP; in the place of one that is there.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn put(&self, name: &str, content: &[u8]) {
        fs_err::write(self.folder.path().join(name), content).expect("a file to serve");
    }

    /// From now on the time is off by so many milliseconds; none: the server is silent.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn set_offset(&self, offset_ms: Option<i64>) {
        let text = offset_ms.map_or_else(|| "silent".to_owned(), |offset| offset.to_string());
        fs_err::write(self.folder.path().join("offset"), text).expect("the offset");
    }
}

impl Deref for Server {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

/// An authority that signs servers' certificates; nobody trusts it who isn't told to.
pub struct Authority {
    folder: TempDir,
}

/// A server's certificate with its key, in PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// The certificate's file and the key's.
    pub fn files(&self) -> (&Path, &Path) {
        (&self.certificate, &self.key)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When openssl fails, as all of these.
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().expect("a folder") };
        let mut openssl =
            authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=Test-Authority");
        openssl.args(["-addext", "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.pem"]);
        run(&mut openssl);
        authority
    }

    /// Its own certificate, in PEM: what a client must trust.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn pem(&self) -> String {
        fs_err::read_to_string(self.folder.path().join("ca.pem")).expect("the authority's certificate")
    }

    /// A certificate for these names: `DNS:config.test` or `IP:10.77.0.1`, separated by commas.
    pub fn certificate(&self, names: &str) -> Certificate {
        let name: String = names.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let mut openssl =
            self.openssl("req -x509 -CA ca.pem -CAkey ca.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650");
        openssl.args([
            "-subj",
            "/CN=test",
            "-addext",
            &format!("subjectAltName={names}"),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]);
        openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
        run(&mut openssl);
        let path = |ending: &str| self.folder.path().join(format!("{name}{ending}"));
        Certificate { certificate: path(".pem"), key: path(".key") }
    }

    fn openssl(&self, words: &str) -> std::process::Command {
        let mut openssl = program("openssl");
        openssl.current_dir(self.folder.path()).args(words.split(' '));
        openssl
    }
}
