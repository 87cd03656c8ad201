//! packages -> tree: the image's root as a value.

pub mod content;
pub mod deb;
pub mod tree;
pub mod unpack;
