//! The consoles: every `console=` of the command line gets every state line, and none of them can hold init up.

use kmimage_contract::state_line::StateLine;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::terminal::Terminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one console may take for one line: far longer than a line takes at 9600 baud.
const PATIENCE: Duration = Duration::from_millis(500);

/// The consoles that there are.
#[derive(Debug)]
pub struct Consoles {
    devices: Vec<PathBuf>,
}

impl Consoles {
    /// The consoles of these names in /dev; without any, what the kernel takes for its console.
    pub fn new(names: &[String]) -> Self {
        let names: Vec<&str> = if names.is_empty() { vec!["console"] } else { names.iter().map(String::as_str).collect() };
        Self { devices: names.into_iter().map(|name| Path::new("/dev").join(name)).collect() }
    }

    /// Says a line on every console and in the kernel's log. A console that is named but not there is passed over; one that takes no
    /// bytes loses the line.
    pub fn say(&self, line: &StateLine) {
        let text = line.to_string();
        // For the log only: as debug message it is not shown on the consoles a second time.
        kernel_log::write(Level::Debug, &text);
        for device in &self.devices {
            // Opened anew each time: a serial device may come late, and nothing is held open that hangs up.
            let written = Terminal::open(device).and_then(|mut terminal| terminal.write(&format!("{text}\n"), PATIENCE));
            if let Err(error) = written {
                kernel_log::write(Level::Debug, &format!("kmimage-init: console {}: {error}", device.display()));
            }
        }
    }
}
