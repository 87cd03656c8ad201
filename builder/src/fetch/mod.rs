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
pub mod http;
pub mod index;
pub mod openpgp;
pub mod options;
pub mod packages;
mod proxy;
pub mod release;

pub use index::{IndexText, RepositoryIndex};
pub use options::{Host, Options, Place};
pub use packages::FetchedPackage;
