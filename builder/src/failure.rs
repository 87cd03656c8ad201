//! What a failure is to the person at the terminal: a kind (and so an exit code), a chain of causes, and remedies.
//!
//! Every stage has its own error type; it implements [`Classified`] and `?` turns it into a [`Failure`].
//! The chain is printed once, in `main`; no error repeats its source in its own `Display`.

use std::error::Error;
use std::fmt;

/// Why kmimage stopped; each kind is one exit code, stable across releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A bug in kmimage or something it never expected (exit 1).
    Internal,
    /// The command line asks for something that does not exist or does not fit together (exit 2).
    Usage,
    /// A profile, overlay, lock or machine config is wrong (exit 3).
    Profile,
    /// A signature, hash, size or date does not hold (exit 4).
    Trust,
    /// Something wanted cannot be had: network, repository, package (exit 5).
    Unavailable,
    /// The finished tree or image breaks a rule (exit 6).
    Policy,
    /// The host lacks something: disk space, permission, QEMU (exit 7).
    Host,
}

impl Kind {
    /// The process exit code of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Internal => 1,
            Kind::Usage => 2,
            Kind::Profile => 3,
            Kind::Trust => 4,
            Kind::Unavailable => 5,
            Kind::Policy => 6,
            Kind::Host => 7,
        }
    }
}

/// An error that knows its kind and, where there is one, the remedy.
pub trait Classified: Error + Send + Sync + 'static {
    /// The kind, and so the exit code.
    fn kind(&self) -> Kind;
    /// What the reader can do about it: full sentences, one per way out.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Any stage's error on its way to `main`.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    hints: Vec<String>,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// The kind, and so the exit code.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Remedies, in the order to print them.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The error and its causes, outermost first, each as one text.
    pub fn chain(&self) -> Vec<String> {
        let mut texts = vec![self.error.to_string()];
        let mut next = self.error.source();
        while let Some(error) = next {
            texts.push(error.to_string());
            next = error.source();
        }
        texts
    }
}

impl<E: Classified> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure { kind: error.kind(), hints: error.hints(), error: Box::new(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain().join(": "))
    }
}

/// The kind of a plain I/O error: a full disk or a refused permission is the host's, the rest unexpected.
pub fn io_kind(error: &std::io::Error) -> Kind {
    use std::io::ErrorKind as E;
    match error.kind() {
        E::StorageFull | E::QuotaExceeded | E::PermissionDenied | E::ReadOnlyFilesystem | E::NotFound | E::FileTooLarge => {
            Kind::Host
        }
        _ => Kind::Internal,
    }
}

/// The system's own error for a full disk, out of one that was given a path: for messages that name the file themselves.
pub(crate) fn innermost(error: std::io::Error) -> std::io::Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull => rustix::io::Errno::NOSPC.into(),
        std::io::ErrorKind::QuotaExceeded => rustix::io::Errno::DQUOT.into(),
        _ => error,
    }
}
