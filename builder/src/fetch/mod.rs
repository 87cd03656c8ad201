//! Gets indexes and packages, and believes nothing that is not signed or locked.
//!
//! ```text
//! signed repository   InRelease (OpenPGP) -> sha256 of each index -> sha256 of each .deb
//! locked package      sha256 in the lock -> store, else repository, else snapshot archive
//! ```
//!
//! What comes out of here has been verified; what went wrong says which repository, which file and the ways out. It deliberately does
//! not read what indexes say about packages (that is `resolve`) nor what packages hold (that is `compose`).

mod address;
pub mod apt_conf;
mod directory;
mod error;
pub mod http;
pub mod index;
mod mirror;
pub mod openpgp;
pub mod options;
pub mod packages;
mod proxy;
pub mod release;
mod session;

pub use error::{FetchError, Promised, PromisedBy};
pub use index::{IndexText, ReleaseDates, RepositoryIndex};
pub use mirror::{DEBIAN, DEBIAN_SECURITY};
pub use options::{Host, Options, Place};
pub use packages::{FetchedPackage, export};
pub use session::Session;

#[cfg(test)]
mod session_tests;
