//! A real cluster for real nodes: the control plane, the programs that nodes run, images for pods.

pub mod control_plane;
pub mod image;
pub mod node;
pub mod oci;
pub mod real;
pub mod registry;
