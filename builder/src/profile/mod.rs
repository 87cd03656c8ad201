//! Role profiles: what an image is made of, as data.
//!
//! raw TOML as written -> merged with what it extends -> [`Profile`], valid by construction. Nothing here reads a repository or
//! knows what a package holds: whether a named package, path or module exists is for the stages that see them.

mod glob;
mod library;
mod model;

pub use glob::{BadGlob, PathGlob};
pub use library::{EmbeddedFile, OverlayPlace};
pub use model::{
    Choices, Drop, Exception, Image, InitramfsModules, Kernel, Keyring, Layout, Location, Mode, ModuleFamilies, ModuleSelection,
    Move, Overlay, Profile, Repository, Rule, ScriptAnswer, ScriptKind, Source, SourceFile, Trust,
};
