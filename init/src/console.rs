//! The consoles: every `console=` of the command line hears of everything, and none of them can hold init up.
//!
//! A serial console gets every state line. A screen (a virtual terminal) gets the boot in plain lines and then the page of
//! [`crate::status`], drawn anew when something on it has changed. None of them takes input: what is typed is neither read nor shown.

use crate::facts;
use crate::status::{self, Status};
use kmimage_contract::state_line::StateLine;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::terminal::Terminal;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one console may take for one line: far longer than a line takes at 9600 baud.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long one that took nothing the last time may take: so that a line with flow control and nobody behind it costs no time.
const IMPATIENCE: Duration = Duration::from_millis(1);
/// The screen's size where it does not say.
const SCREEN: (usize, usize) = (80, 25);

/// The consoles that there are.
///
/// Once open they stay so: closing a serial line waits for its last byte, up to 30 s where flow control holds it.
#[derive(Debug)]
pub struct Consoles {
    consoles: Vec<Console>,
    /// What screens show; none: they get state lines as everybody else.
    status: Option<Status>,
}

#[derive(Debug)]
struct Console {
    device: PathBuf,
    terminal: Option<Terminal>,
    /// Of a screen: the page that is on it.
    screen: Option<String>,
    /// Whether it took nothing the last time.
    stuck: bool,
}

impl Consoles {
    /// The consoles of these names in /dev; without any, what the kernel takes for its console.
    pub fn new(names: &[String]) -> Self {
        let names: Vec<&str> = if names.is_empty() { vec!["console"] } else { names.iter().map(String::as_str).collect() };
        let console = |name| Console { device: Path::new("/dev").join(name), terminal: None, screen: None, stuck: false };
        Self { consoles: names.into_iter().map(console).collect(), status: None }
    }

    /// From now on screens show the page. It is on the first virtual terminal; on others there is nothing.
    pub fn with_page(mut self) -> Self {
        for console in self.consoles.iter_mut().filter(|console| is_screen(&console.device)) {
            if console.device == Path::new("/dev/tty0") {
                console.device = PathBuf::from("/dev/tty1");
            }
            console.screen = Some(String::new());
        }
        self.status = Some(Status::new(facts::release::read().ok().as_ref()));
        self
    }

    /// Says a line on every console and in the kernel's log. A console that is named but not there is passed over; one that takes no
    /// bytes loses the line.
    pub fn say(&mut self, line: &StateLine) {
        let text = line.to_string();
        // For the log only: as debug message it is not shown on the consoles a second time.
        kernel_log::write(Level::Debug, &text);
        if let Some(status) = &mut self.status {
            status.hear(line);
        }
        for console in &mut self.consoles {
            let result = match (&self.status, &console.screen) {
                (Some(status), Some(_)) => console.show(status, line),
                _ => console.write(&format!("{text}\n")),
            };
            if let Err(error) = result {
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

/// Whether a device is a virtual terminal: tty0, tty1, ...
fn is_screen(device: &Path) -> bool {
    let number = device.file_name().and_then(|name| name.to_str()?.strip_prefix("tty"));
    number.is_some_and(|number| number.parse::<u8>().is_ok())
}

impl Console {
    /// The boot's plain lines on a screen, later the page.
    fn show(&mut self, status: &Status, line: &StateLine) -> io::Result<()> {
        if !status.has_come_far() {
            return status::plain(line).map_or(Ok(()), |text| self.write(&format!("{text}\r\n")));
        }
        let (width, height) = self.terminal.as_ref().and_then(Terminal::size).unwrap_or(SCREEN);
        let drawn = status::drawn(&status.page(width, height));
        if self.screen.as_ref() == Some(&drawn) {
            return Ok(());
        }
        self.write(&drawn)?;
        self.screen = Some(drawn);
        Ok(())
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if let Some(terminal) = &mut self.terminal {
            match terminal.write(text, if self.stuck { IMPATIENCE } else { PATIENCE }) {
                // A line that hung up takes nothing ever again, but may have come back: it is opened anew.
                Err(error) if error.kind() != io::ErrorKind::TimedOut => self.terminal = None,
                result => {
                    self.stuck = result.is_err();
                    return result;
                }
            }
        }
        // Not there before, or gone: a serial device may come late.
        let terminal = self.terminal.insert(Terminal::open(&self.device)?);
        terminal.ignore_input();
        let result = terminal.write(text, PATIENCE);
        self.stuck = result.is_err();
        result
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

    #[test]
    fn screens_are_told_from_serial_lines() {
        for (name, expect) in [("tty0", true), ("tty1", true), ("tty63", true), ("ttyS0", false), ("tty", false), ("hvc0", false)]
        {
            assert_eq!(is_screen(&Path::new("/dev").join(name)), expect, "{name}");
        }
    }

    #[test]
    fn a_screen_gets_plain_lines_and_then_the_page_once() {
        let path = std::env::temp_dir().join(format!("kmimage-screen-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let console = Console { device: path.clone(), terminal: None, screen: Some(String::new()), stuck: false };
        let mut consoles = Consoles { consoles: vec![console], status: Some(Status::new(None)) };
        consoles.say(&StateLine::new("phase").with("name", "var").with("at", "3.2").with("result", "done"));
        consoles.say(&StateLine::new("devices").with("added", "ens3"));
        let waiting = StateLine::new("waiting").with("for", "network");
        consoles.say(&waiting);
        consoles.say(&waiting);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("     3.2  var  done\r\n\x1b[?25l"), "{text:?}");
        assert_eq!(text.matches("waiting for network").count(), 1, "{text:?}");
        std::fs::remove_file(&path).unwrap();
    }
}
