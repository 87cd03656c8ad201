//! init's child `network` itself, without a machine around it: in a network namespace of its own, against dnsmasq and radvd.
//!
//! What needs a kernel with bonds and VLANs, and the way from a config to this child, is in network_machine.rs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod dhcp4;
mod fixed;
mod ipv6;
mod links;
mod node;
