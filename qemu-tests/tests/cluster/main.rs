//! Real nodes in a real cluster: the worker's qcow2 joins a control plane of real binaries and does a node's work. Without these binaries
//! (docs/real-cluster.md) every test here says SKIPPED.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]
#![allow(clippy::print_stderr, reason = "figures for docs/reliability.md and docs/performance.md")]

mod frugal;
mod join;
mod leftovers;
mod pair;
mod pods;
mod pull;
mod refuse;
mod running;
mod survive;
