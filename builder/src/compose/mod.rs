//! packages -> tree: the image's root as a value.

pub mod check;
pub mod content;
pub mod deb;
pub mod derive;
pub mod facts;
pub mod merge;
pub mod tree;
pub mod unpack;
