//! The child `agent`: answers what a hypervisor asks through QEMU's guest agent protocol, as far as people see it in Proxmox: is
//! somebody there, which system, which name, which addresses, and the button "shut down".
//!
//! ```text
//! virtio port -> frame (one JSON object) -> command -> answer (JSON, from facts of the machine) -> virtio port
//! ```
//! It runs no programs and writes no files for the hypervisor (`guest-exec`, `guest-file-*`, passwords, freezing are refused by name): a
//! node has no login, and this is no way around that. Shutting down is process 1's work: it is asked for by a state line.

mod command;
mod facts;
mod frame;
mod interfaces;
mod port;
#[cfg(test)]
mod tests;

pub(crate) use interfaces::links;

use std::io::Write as _;
use std::process::ExitCode;

/// The applet's name.
pub const APPLET: &str = "agent";

/// Runs the child; it ends only by an error or a signal. Without a port it waits for one.
pub(crate) fn run(_arguments: &[String]) -> ExitCode {
    let error = match port::serve() {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let _ = writeln!(std::io::stderr(), "agent: {error}");
    ExitCode::FAILURE
}

/// Bytes of a hypervisor, taken apart: for fuzzing. Returns how many commands they hold.
#[doc(hidden)]
pub fn fuzz_frames(bytes: &[u8]) -> usize {
    let mut frames = frame::Frames::default();
    bytes.iter().filter_map(|byte| frames.push(*byte)).map(|frame| command::parse(&frame)).filter(Result::is_ok).count()
}
