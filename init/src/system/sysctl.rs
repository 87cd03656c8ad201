//! Setting the kernel parameters that every image has.

use kmimage_contract::cmdline::Cmdline;
use kmimage_contract::sysctl::DEFAULTS;
use kmimage_sys::kernel_log::{self, Level};
use std::io;
use std::path::Path;

/// What the kernel shows on its consoles.
const CONSOLE_LEVEL: &str = "kernel/printk";

/// Sets them all. One that this kernel has not is passed over, one that it refuses is named in its log.
pub(super) fn set_defaults(cmdline: &Cmdline) {
    let verbosity = ["loglevel", "debug", "quiet", "ignore_loglevel"];
    let chosen = cmdline.parameters.iter().any(|parameter| verbosity.contains(&parameter.key()));
    for row in DEFAULTS {
        // Who says on the command line how much to show wants to see it.
        if row.path == CONSOLE_LEVEL && chosen {
            continue;
        }
        match std::fs::write(Path::new("/proc/sys").join(row.path), row.value) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                kernel_log::write(Level::Warning, &format!("kmimage-init: setting {} to {}: {error}", row.path, row.value));
            }
            _ => {}
        }
    }
}
