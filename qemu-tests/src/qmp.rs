//! QEMU's machine protocol over a unix socket: commands, and the events that prove what happened (a reset, a power-off).

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection that has finished the greeting.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Qmp {
    /// Connects, waiting for QEMU to make the socket.
    ///
    /// # Panics
    /// When the socket does not answer in ten seconds: the test cannot go on.
    pub fn connect(socket: &Path) -> Self {
        let deadline = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{}: {error}", socket.display()),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut qmp = Self { reader: BufReader::new(stream), events: Vec::new() };
        let greeting = qmp.receive(Duration::from_secs(10)).expect("a greeting");
        assert!(greeting.get("QMP").is_some(), "not a QMP greeting: {greeting}");
        qmp.execute("qmp_capabilities");
        qmp
    }

    /// Runs a command without arguments and returns its result; events that come between are kept.
    ///
    /// # Panics
    /// When QEMU refuses the command or hangs up.
    pub fn execute(&mut self, command: &str) -> Value {
        self.execute_with(command, json!({}))
    }

    /// Runs a command with arguments, as [`Qmp::execute`].
    ///
    /// # Panics
    /// When QEMU refuses the command or hangs up.
    pub fn execute_with(&mut self, command: &str, arguments: Value) -> Value {
        self.try_execute(command, arguments).expect("an answer from QMP")
    }

    /// Runs a command of a machine that may be ending. None: QEMU has hung up.
    ///
    /// # Panics
    /// When QEMU refuses the command.
    pub fn try_execute(&mut self, command: &str, arguments: Value) -> Option<Value> {
        let text = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.reader.get_mut().write_all(text.as_bytes()).ok()?;
        loop {
            let message = self.receive(Duration::from_secs(10))?;
            if let Some(result) = message.get("return") {
                return Some(result.clone());
            }
            assert!(message.get("error").is_none(), "{command}: {message}");
            self.events.push(message);
        }
    }

    /// Waits for an event by name. None: it did not come in time, or QEMU ended.
    pub fn event(&mut self, name: &str, wait: Duration) -> Option<Value> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(at) = self.events.iter().position(|event| event["event"] == name) {
                return Some(self.events.remove(at));
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let message = self.receive(left)?;
            self.events.push(message);
        }
    }

    fn receive(&mut self, wait: Duration) -> Option<Value> {
        self.reader.get_ref().set_read_timeout(Some(wait.max(Duration::from_millis(1)))).expect("a timeout");
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).expect("JSON from QMP")),
        }
    }
}
