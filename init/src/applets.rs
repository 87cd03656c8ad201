//! What the one binary does when it is not process 1: its applets, each a child of process 1 or called by the kernel.
//!
//! An applet is named by the program's own name (`/sbin/modprobe` is a link to it) or by its first argument.

use crate::{
    agent, clock, cluster, config, devices, esp, install, kernel_log, log_receiver, login1, modules, network, reconcile,
    services, storage,
};
use std::path::Path;
use std::process::ExitCode;

/// An applet: gets the words behind its name.
type Applet = fn(&[String]) -> ExitCode;

/// Every applet by its name.
const APPLETS: &[(&str, Applet)] = &[
    ("devices", devices::run),
    ("kernel", kernel_log::run),
    ("modprobe", modules::modprobe),
    (config::APPLET, config::run),
    (reconcile::APPLET, reconcile::run),
    (reconcile::MARK_READY, reconcile::mark_ready),
    (esp::APPLET, esp::run),
    (agent::APPLET, agent::run),
    (clock::APPLET, clock::run),
    (cluster::APPLET, cluster::run),
    (install::APPLET, install::run),
    (log_receiver::APPLET, log_receiver::run),
    (login1::APPLET, login1::run),
    (network::APPLET, network::applet),
    (services::LOG_FILES, services::log_files),
    (services::probe::HTTP, services::probe::http),
    (storage::APPLET, storage::run),
];

/// Whether there is an applet of this name.
pub(crate) fn knows(name: &str) -> bool {
    APPLETS.iter().any(|(known, _)| *known == name)
}

/// The applet that a command line asks for, with its arguments. `None`: there is none of that name.
pub(crate) fn find(words: &[String]) -> Option<(Applet, &[String])> {
    let named = |word: &String| {
        let name = Path::new(word).file_name()?.to_str()?;
        APPLETS.iter().find(|(known, _)| *known == name).map(|(_, applet)| *applet)
    };
    let (program, rest) = words.split_first()?;
    named(program).map(|applet| (applet, rest)).or_else(|| rest.split_first().and_then(|(name, rest)| Some((named(name)?, rest))))
}
