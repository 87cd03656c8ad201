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
mod information;
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

use kmimage_contract::paths;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// The applet's name.
pub const APPLET: &str = "network";

/// For tests in a network namespace: a pair of veth counts as a network card.
const VETH: &str = "--veth-is-physical";

/// The child `network`: runs until it is asked to end; what it has set up stays.
pub(crate) fn applet(words: &[String]) -> ExitCode {
    // Run by hand on somebody's machine it would make that machine's network its own.
    if !Path::new(paths::RUN).is_dir() {
        let _ =
            writeln!(std::io::stderr(), "network: {} isn't there: this is a child of a kmimage machine's process 1", paths::RUN);
        return ExitCode::from(2);
    }
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

/// The ways in for bytes of strangers, each as a function of the bytes alone, for fuzzing.
#[doc(hidden)]
pub mod untrusted {
    use super::dhcp4::{frame, lease::Lease, machine, message::Incoming};
    use super::{information, router};
    use std::time::Duration;

    /// A server's message: into a lease, and into a client in the midst of everything.
    pub fn dhcp4_message(bytes: &[u8]) {
        let Some(message) = Incoming::decode(bytes) else { return };
        let _ = Lease::from_ack(&message, Duration::ZERO);
        let mut client = machine::Client::new(message.hardware, None, Some(message.address));
        let mut now = Duration::ZERO;
        for event in [machine::Event::Carrier, machine::Event::Message(message.clone()), machine::Event::Time] {
            let _ = client.step(event, now, message.transaction);
            now = client.deadline().unwrap_or(now);
        }
    }

    /// A packet that carries one.
    pub fn ipv4_packet(bytes: &[u8]) {
        frame::unwrap(bytes).into_iter().for_each(dhcp4_message);
    }

    /// A DHCPv6 server's answer to a question for all but addresses, as if it were to one of ours.
    pub fn dhcp6_answer(bytes: &[u8]) {
        if let Some(transaction) = bytes.get(1..).and_then(|rest| rest.first_chunk()) {
            let _ = information::parse(bytes, *transaction, b"");
        }
    }

    /// The kernel's messages with options of router advertisements.
    pub fn router_options(bytes: &[u8]) {
        let mut known = router::Known::default();
        for advice in router::parse(bytes) {
            known.take(&advice, Duration::ZERO);
        }
        let _ = known.at(Duration::ZERO);
    }
}
