//! The guest agent's socket, spoken to as Proxmox does: `guest-sync-delimited` before each command, its answer behind a byte 0xFF.

use serde_json::{Value, json};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection to the agent's port.
pub struct Agent {
    stream: UnixStream,
    number: u64,
}

impl Agent {
    /// Connects to QEMU's socket; whether an agent is there shows in the first answer.
    ///
    /// # Panics
    /// When there is no such socket.
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        Self { stream, number: 0 }
    }

    /// Asks and gives the whole answer, `{"return": ...}` or `{"error": ...}`. None: none came in time, as after `guest-shutdown`.
    ///
    /// # Panics
    /// When the framing is not what Proxmox expects.
    pub fn ask(&mut self, command: &str, arguments: Value, wait: Duration) -> Option<Value> {
        self.number += 1;
        let sync = json!({ "execute": "guest-sync-delimited", "arguments": { "id": self.number } });
        let mut request = json!({ "execute": command });
        if arguments != json!({}) {
            request["arguments"] = arguments;
        }
        // As Proxmox does: a byte that ends whatever was half sent, then both in one go.
        let text = format!("{sync}\n{request}\n");
        self.stream.write_all(text.as_bytes()).expect("the agent's socket");
        let deadline = Instant::now() + wait;
        let mut received = Vec::new();
        loop {
            if let Some(answer) = self.answer(&received) {
                return Some(answer);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a timeout");
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => received.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => panic!("the agent's socket: {error}"),
            }
        }
    }

    /// Proxmox' own pattern: `\xff([^\n]+}\r?\n[^\n]+})\r?\n`: the sync's answer, then the command's.
    fn answer(&self, received: &[u8]) -> Option<Value> {
        let start = received.iter().rposition(|&byte| byte == 0xff)? + 1;
        let text = std::str::from_utf8(&received[start..]).expect("JSON is UTF-8");
        let (sync, rest) = text.split_once('\n')?;
        let sync: Value = serde_json::from_str(sync).expect("the answer to guest-sync-delimited");
        if sync["return"] != self.number {
            return None;
        }
        let (answer, _) = rest.split_once('\n')?;
        Some(serde_json::from_str(answer).expect("the answer to a command"))
    }
}
