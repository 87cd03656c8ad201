//! The machine's name, as the kernel has it.

use std::io;

/// Gives the machine a name.
pub fn set_name(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}
