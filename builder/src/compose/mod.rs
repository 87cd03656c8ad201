//! packages -> tree: the image's root as a value.

pub mod content;
pub mod tree;
