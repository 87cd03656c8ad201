//! What the probe inside a test image and the tests outside say to each other.
//!
//! ```text
//! frame = MAGIC length-of-json (u32, little endian) length-of-data (u32, little endian) json data
//! ```
//! The tests send a [`Question`], the probe sends an [`Answer`] with the same number. Whatever lies between frames (half a frame of a
//! machine that was reset) is passed over up to the next magic. One question at a time.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

/// What a frame begins with.
pub const MAGIC: [u8; 4] = *b"kmP1";
/// More than any frame has.
pub const LIMIT: u32 = 64 << 20;
/// The name of the virtio-serial port.
pub const PORT: &str = "kmimage.probe";

/// A numbered request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    /// Any number; the answer carries it.
    pub number: u64,
    /// What is wanted.
    pub request: Request,
}

/// A numbered answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The question's.
    pub number: u64,
    /// What came of it, or the error in words.
    pub result: Result<Response, String>,
}

/// What the probe can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Are you there?
    Hello,
    /// The bytes of a file, up to [`LIMIT`]; they are the answer's data.
    Read(String),
    /// Write a file as a whole: its bytes are the question's data.
    Write(String),
    /// What a path is; a link is not followed.
    Stat(String),
    /// The names in a folder.
    List(String),
    /// Where a link leads.
    ReadLink(String),
    /// Remove a file.
    Remove(String),
    /// How full the file system of a path is.
    Space(String),
    /// All processes, zombies too.
    Processes,
    /// Run a program to its end; the question's data is its input.
    Run {
        /// Program and arguments.
        command: Vec<String>,
        /// More environment.
        environment: BTreeMap<String, String>,
        /// How long it may take.
        limit_ms: u64,
    },
    /// Send a signal.
    Kill {
        /// To which process.
        pid: u32,
        /// Its number.
        signal: i32,
    },
    /// The addresses of a name, as the C library finds them.
    Resolve(String),
    /// Connect by TCP, send the question's data, read to the end or for so long.
    Connect {
        /// `host:port`.
        to: String,
        /// How long to read.
        limit_ms: u64,
    },
    /// Links, addresses and routes.
    Network,
    /// The kernel's log as /dev/kmsg has it, a record per line; the text is the answer's data.
    KernelLog,
    /// The clock: nanoseconds since 1970.
    Clock,
}

/// What it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Response {
    /// It is done, or the data says all.
    Done,
    /// To [`Request::Stat`].
    Stat(Stat),
    /// To [`Request::List`], [`Request::ReadLink`] and [`Request::Resolve`].
    Words(Vec<String>),
    /// To [`Request::Space`].
    Space(Space),
    /// To [`Request::Processes`].
    Processes(Vec<Process>),
    /// To [`Request::Run`]; the data is what it printed on standard output, then on standard error.
    Ran {
        /// Its exit code; none: a signal ended it.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// How many bytes of the data are its standard output.
        stdout: usize,
    },
    /// To [`Request::Network`].
    Network(Network),
    /// To [`Request::Clock`].
    Clock(u64),
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// File type and permission bits, as stat(2) has them.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Device of the file system.
    pub dev: u64,
    /// Of a device node: its number.
    pub rdev: u64,
    /// Inode.
    pub ino: u64,
    /// Last change of the content, seconds since 1970.
    pub mtime: i64,
}

impl Stat {
    /// Permission bits with set-uid, set-gid and sticky.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }
}

/// How full a file system is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that can be written.
    pub available: u64,
}

/// A process, as /proc shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// The kernel's short name of it.
    pub name: String,
    /// R, S, D, Z, ...
    pub state: char,
    /// Program and arguments; empty for the kernel's threads and for zombies.
    pub command: Vec<String>,
    /// Proportional share of memory, in KiB; 0 where it has none.
    pub pss_kib: u64,
    /// Resident memory, in KiB.
    pub rss_kib: u64,
    /// Its path in the unified control group hierarchy.
    pub cgroup: String,
    /// /proc/PID/status by key: `CapEff`, `NoNewPrivs`, `Threads`, ...
    pub status: BTreeMap<String, String>,
    /// How gladly the kernel ends it when memory runs out.
    pub oom_score: i32,
}

impl Process {
    /// Whether it has ended and nobody has taken note.
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }

    /// Whether it is a thread of the kernel.
    pub fn is_kernel(&self) -> bool {
        self.pid == 2 || self.parent == 2
    }
}

/// The network, as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Interfaces by name.
    pub links: BTreeMap<String, Link>,
    /// Routes of the main table, in `ip route`'s words: `default via 10.0.0.1 dev eth0 metric 100`.
    pub routes: Vec<String>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its MAC address, lower case.
    pub mac: String,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is set up, and has carrier.
    pub up: bool,
    /// Whether it has carrier.
    pub carrier: bool,
    /// `10.0.0.2/24`, `fe80::1/64`.
    pub addresses: Vec<String>,
}

/// Sends a frame.
pub fn send(to: &mut impl Write, message: &impl Serialize, data: &[u8]) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let (Ok(json_length), Ok(data_length)) = (u32::try_from(json.len()), u32::try_from(data.len())) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too much for a frame"));
    };
    let mut frame = Vec::with_capacity(12 + json.len() + data.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&json_length.to_le_bytes());
    frame.extend_from_slice(&data_length.to_le_bytes());
    frame.extend_from_slice(&json);
    frame.extend_from_slice(data);
    to.write_all(&frame)?;
    to.flush()
}

/// Receives the next frame that makes sense.
pub fn receive<T: for<'de> Deserialize<'de>>(from: &mut impl Read) -> io::Result<(T, Vec<u8>)> {
    loop {
        let mut window = [0; 4];
        from.read_exact(&mut window)?;
        while window != MAGIC {
            window.rotate_left(1);
            from.read_exact(&mut window[3..])?;
        }
        let mut lengths = [0; 8];
        from.read_exact(&mut lengths)?;
        let [a, b, c, d, e, f, g, h] = lengths;
        let (json_length, data_length) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if json_length > LIMIT || data_length > LIMIT {
            continue;
        }
        let mut json = vec![0; json_length as usize];
        from.read_exact(&mut json)?;
        let mut data = vec![0; data_length as usize];
        from.read_exact(&mut data)?;
        if let Ok(message) = serde_json::from_slice(&json) {
            return Ok((message, data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_behind_half_a_frame() {
        let mut bytes = b"noise kmP1\xff\xff\xff\xff\0\0\0\0 kmkmP".to_vec();
        let question = Question { number: 7, request: Request::Read("/etc/hosts".into()) };
        send(&mut bytes, &question, b"data").unwrap();
        let (found, data): (Question, Vec<u8>) = receive(&mut bytes.as_slice()).unwrap();
        assert_eq!((found.number, data.as_slice()), (7, b"data".as_slice()));
        assert!(receive::<Question>(&mut [].as_slice()).is_err());
    }
}
