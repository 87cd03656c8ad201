//! init's child `network`: it makes the links, addresses, routes and resolvers what the machine config says, and keeps them so.
//!
//! `desired` (its input) and `observed` (the kernel) become `wish`es, `plan` compares, `apply` acts; `run` does that again for each
//! thing that happens: a link that comes, goes or changes its carrier, a lease, a signal. Nothing is remembered that the kernel can
//! be asked: what is ours carries our mark, so that this program may be ended and started anew at any time.
//!
//! What it doesn't do: firewalls, routing protocols, the links of pods. What carries no mark of ours is left alone.

mod apply;
pub mod desired;
mod dhcp4;
mod dhcp6;
mod files;
mod kernel;
mod leases;
mod memory;
mod names;
mod observed;
mod plan;
mod report;
mod resolver;
mod router;
mod run;
#[cfg(test)]
mod testing;
mod watched;
mod wish;

use std::io::Write as _;
use std::process::ExitCode;

/// The applet's name.
pub const APPLET: &str = "network";

/// For tests in a network namespace: a pair of veth counts as a network card.
const VETH: &str = "--veth-is-physical";

/// The child `network`: runs until it is asked to end; what it has set up stays.
pub(crate) fn applet(words: &[String]) -> ExitCode {
    let physical = kernel::Physical { veth: words.iter().any(|word| word == VETH) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(run::NetworkError::Start).and_then(|runtime| runtime.block_on(run::run(physical)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "network: {}", crate::failure::chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// A server's DHCPv4 message, taken apart in every way: for fuzzing. `true`: it was one.
#[doc(hidden)]
pub fn fuzz_dhcp4(bytes: &[u8]) -> bool {
    let Some(message) = dhcp4::message::Incoming::decode(bytes) else { return false };
    dhcp4::lease::Lease::from_ack(&message, std::time::Duration::ZERO).is_some()
}

/// Options of router advertisements, as the kernel hands them over: for fuzzing. Returns how many were understood.
#[doc(hidden)]
pub fn fuzz_router_options(bytes: &[u8]) -> usize {
    router::parse(bytes).len()
}
