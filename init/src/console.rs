//! The consoles: every `console=` of the command line gets every state line, and none of them can hold init up.

use kmimage_contract::state_line::StateLine;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::terminal::Terminal;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one console may take for one line: far longer than a line takes at 9600 baud.
const PATIENCE: Duration = Duration::from_millis(500);

/// The consoles that there are.
///
/// Once open they stay so: closing a serial line waits for its last byte, up to 30 s where flow control holds it.
#[derive(Debug)]
pub struct Consoles {
    consoles: Vec<Console>,
}

#[derive(Debug)]
struct Console {
    device: PathBuf,
    terminal: Option<Terminal>,
}

impl Consoles {
    /// The consoles of these names in /dev; without any, what the kernel takes for its console.
    pub fn new(names: &[String]) -> Self {
        let names: Vec<&str> = if names.is_empty() { vec!["console"] } else { names.iter().map(String::as_str).collect() };
        let console = |name| Console { device: Path::new("/dev").join(name), terminal: None };
        Self { consoles: names.into_iter().map(console).collect() }
    }

    /// Says a line on every console and in the kernel's log. A console that is named but not there is passed over; one that takes no
    /// bytes loses the line.
    pub fn say(&mut self, line: &StateLine) {
        let text = line.to_string();
        // For the log only: as debug message it is not shown on the consoles a second time.
        kernel_log::write(Level::Debug, &text);
        for console in &mut self.consoles {
            if let Err(error) = console.write(&format!("{text}\n")) {
                kernel_log::write(Level::Debug, &format!("kmimage-init: console {}: {error}", console.device.display()));
            }
        }
    }
}

impl Drop for Consoles {
    /// Lets go without closing: who drops this is about to end the boot, and must not wait for a serial line before.
    fn drop(&mut self) {
        for console in &mut self.consoles {
            std::mem::forget(console.terminal.take());
        }
    }
}

impl Console {
    fn write(&mut self, text: &str) -> io::Result<()> {
        if let Some(terminal) = &mut self.terminal {
            match terminal.write(text, PATIENCE) {
                // A line that hung up takes nothing ever again, but may have come back: it is opened anew.
                Err(error) if error.kind() != io::ErrorKind::TimedOut => self.terminal = None,
                result => return result,
            }
        }
        // Not there before, or gone: a serial device may come late.
        self.terminal.insert(Terminal::open(&self.device)?).write(text, PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_console_may_come_late_stays_open_and_is_opened_anew_when_it_fails() {
        let directory = std::env::temp_dir().join(format!("kmimage-consoles-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (device, file) = (directory.join("console"), directory.join("file"));
        let mut consoles = Consoles::new(&[device.to_str().unwrap().to_owned()]);
        let mut say = |state: &str| consoles.say(&StateLine::new(state));
        say("nowhere");

        // A device that refuses every byte; then the name leads to another.
        symlink("/dev/full", &device).unwrap();
        say("refused");
        std::fs::remove_file(&device).unwrap();
        std::fs::write(&file, "").unwrap();
        symlink(&file, &device).unwrap();
        say("first");
        // Opened a second time it would be written from its begin again.
        say("second");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kmimage: first\nkmimage: second\n");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
