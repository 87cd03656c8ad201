//! Every system call of kmimage's init, and those of the builder that rustix has no safe form of, as a safe API, a file per subject.
//!
//! All `unsafe` of the project is here, each use with its reason and the kernel's contract that it relies on. Where rustix has a safe
//! call, that is used; `unsafe` remains for ioctls that rustix doesn't know and for signals. Nothing here decides anything.

pub mod block;
pub mod clock;
pub mod device_mapper;
pub mod filesystem;
pub mod folder_watch;
pub mod host;
pub mod input;
pub mod kernel_log;
pub mod kexec;
pub mod link;
pub mod module;
pub mod mount;
pub mod node;
pub mod packet;
pub mod pci;
pub mod poll;
pub mod power;
pub mod process;
pub mod random;
pub mod router_options;
pub mod signals;
pub mod socket;
pub mod spawn;
pub mod terminal;
pub mod uevent;
pub mod watchdog;
