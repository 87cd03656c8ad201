//! packages -> tree: the image's root as a value.
//!
//! [`compose`] is everything up to the derive steps: packages are unpacked (once, into the store), laid over one another, shaped as
//! the profile says, and overlaid. `derive` then adds what maintainer scripts would have made, `check` judges the result.

pub mod check;
pub mod content;
pub mod deb;
pub mod derive;
pub mod facts;
pub mod image_store;
mod links;
pub mod merge;
pub mod overlay;
pub mod shape;
pub mod tree;
pub mod unpack;

mod sequence;

pub use sequence::{Composed, Inputs, Statistics, compose};
