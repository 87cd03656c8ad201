//! What maintainer scripts would have done, as steps in Rust.
