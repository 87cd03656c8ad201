//! Role profiles: what an image is made of, as data.
//!
//! raw TOML as written -> merged with what it extends and takes -> [`Profile`], valid by construction. Nothing here reads a repository or
//! knows what a package holds: whether a named package, path or module exists is for the stages that see them.

mod embedded;
mod error;
mod glob;
mod library;
mod load;
mod merge;
mod model;
mod overlay_manifest;
mod raw;
pub mod reference;
mod repository;
mod validate;
mod values;
mod versions;

pub use error::ProfileError;
pub use glob::{BadGlob, PathGlob};
pub use library::{EmbeddedFile, Library, Listing, OverlayPlace, Shelf, embedded_keyrings};
pub use load::load;
pub use model::{
    Choices, ContainerImage, Drop, Exception, Image, ImageSource, InitramfsModules, Kernel, Keyring, Layout, Location, Mode,
    ModuleDrop, ModuleSelection, Move, Overlay, Profile, Repository, Rule, ScriptAnswer, ScriptKind, Source, SourceFile, Trust,
    Versions,
};
pub use overlay_manifest::{OverlayFile, OverlayManifest};

#[cfg(test)]
mod tests;
