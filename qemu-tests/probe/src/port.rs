//! The virtio-serial port: found by the name that the host gave it, read for ever.

use kmimage_probe::{Answer, PORT, Question, receive, send};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

/// Between two looks for something that has no event for us.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers questions until the machine goes off.
pub(crate) fn serve() -> ! {
    loop {
        if let Some(port) = find().and_then(|path| File::options().read(true).write(true).open(path).ok()) {
            // The port went away, or the machine's end of it: the next may work.
            let _ = answer(&mut Port(port));
        }
        std::thread::sleep(PAUSE);
    }
}

fn answer(port: &mut Port) -> io::Result<()> {
    loop {
        let (question, data): (Question, Vec<u8>) = receive(port)?;
        let (result, data) = match crate::requests::answer(question.request, &data) {
            Ok((response, data)) => (Ok(response), data),
            Err(error) => (Err(error.to_string()), Vec::new()),
        };
        send(&mut port.0, &Answer { number: question.number, result }, &data)?;
    }
}

/// By the name in sysfs: the probe must work where nobody makes links.
fn find() -> Option<PathBuf> {
    let ports = std::fs::read_dir("/sys/class/virtio-ports").ok()?;
    let mine = ports
        .flatten()
        .find(|port| std::fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim_end() == PORT))?;
    Some(std::path::Path::new("/dev").join(mine.file_name()))
}

/// A port with nobody at the other end reads as ended; somebody may come.
struct Port(File);

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Ok(0) => std::thread::sleep(PAUSE),
                result => return result,
            }
        }
    }
}
