//! Serves a directory over HTTP on the loopback interface, and misbehaves on request.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How the server treats one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers with this status and no file.
    Status(u16),
    /// Sends so many bytes of the file (of what was asked for), then closes the connection; so many times, then behaves.
    Truncate { after: usize, times: usize },
    /// Sends so many bytes, then nothing more, with the connection open; so many times, then behaves.
    Stall { after: usize, times: usize },
    /// Answers a Range request with the whole file.
    IgnoreRange { truncate_first: usize },
    /// Announces no length and closes the connection at the end.
    NoLength,
    /// Sends the client elsewhere.
    Redirect(String),
}

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The target as sent: a path, or a whole address if the client takes the server for its proxy.
    pub target: String,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    behaviours: BTreeMap<String, Behaviour>,
    requests: Vec<Request>,
}

/// A running server; it lives as long as the process.
#[derive(Clone)]
pub struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Serves `root`.
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let (state, root) = (server.state.clone(), root.to_path_buf());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, root) = (state.clone(), root.clone());
                std::thread::spawn(move || {
                    // A client that goes away is none of the server's business.
                    let _ = converse(&stream, &root, &state);
                });
            }
        });
        server
    }

    /// The base address, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, treats `path` (beginning with `/`) so.
    pub fn set(&self, path: &str, behaviour: Behaviour) {
        self.lock().behaviours.insert(path.to_string(), behaviour);
    }

    /// Every path behaves again.
    pub fn behave(&self) {
        self.lock().behaviours.clear();
    }

    /// The requests so far; they are forgotten by this.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.lock().requests)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address where nothing listens.
pub fn closed_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port())
}

fn converse(stream: &TcpStream, root: &Path, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        let path = match request.target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]).to_string(),
            None => request.target.clone(),
        };
        let behaviour = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.requests.push(request.clone());
            take_turn(&mut state.behaviours, &path)
        };
        if !answer(stream, &file_of(root, &path), &request, behaviour)? {
            return Ok(());
        }
    }
    Ok(())
}

/// The behaviour for this request; one that is for a number of times is counted down.
fn take_turn(behaviours: &mut BTreeMap<String, Behaviour>, path: &str) -> Option<Behaviour> {
    let behaviour = behaviours.get_mut(path)?;
    let turn = behaviour.clone();
    match behaviour {
        Behaviour::Truncate { times, .. } | Behaviour::Stall { times, .. } => {
            if *times == 0 {
                return None;
            }
            *times -= 1;
        }
        Behaviour::IgnoreRange { truncate_first } => *truncate_first = 0,
        _ => {}
    }
    Some(turn)
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default().to_string();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_string()),
            None => return Ok(Some(Request { target, headers })),
        };
    }
}

fn file_of(root: &Path, path: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (byte, escaped) {
            (b'%', Some(decoded)) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    root.join(String::from_utf8_lossy(&bytes).trim_start_matches('/'))
}

/// Answers one request; false if the connection is then to be closed.
fn answer(mut stream: &TcpStream, file: &Path, request: &Request, behaviour: Option<Behaviour>) -> std::io::Result<bool> {
    match &behaviour {
        Some(Behaviour::Status(status)) => {
            write!(stream, "HTTP/1.1 {status} As Told\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        Some(Behaviour::Redirect(location)) => {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        _ => {}
    }
    let Ok(bytes) = fs::read(file) else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(true);
    };
    let tag = format!("\"{}\"", super::repository::sha256(&bytes));
    let same = request.headers.get("if-range").is_none_or(|wanted| *wanted == tag);
    let from = request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let from = from.filter(|_| same && !matches!(behaviour, Some(Behaviour::IgnoreRange { .. })));
    let mut head = match from {
        Some(from) if from >= bytes.len() => {
            write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        Some(from) => {
            format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len())
        }
        None => "HTTP/1.1 200 OK\r\n".to_string(),
    };
    let body = &bytes[from.unwrap_or(0)..];
    head += &format!("ETag: {tag}\r\n");
    if behaviour != Some(Behaviour::NoLength) {
        head += &format!("Content-Length: {}\r\n", body.len());
    } else {
        head += "Connection: close\r\n";
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    match behaviour {
        Some(Behaviour::Truncate { after, .. }) => stream.write_all(&body[..after.min(body.len())]).map(|()| false),
        Some(Behaviour::IgnoreRange { truncate_first: after @ 1.. }) => {
            stream.write_all(&body[..after.min(body.len())]).map(|()| false)
        }
        Some(Behaviour::Stall { after, .. }) => {
            stream.write_all(&body[..after.min(body.len())])?;
            // Longer than any client under test waits.
            std::thread::sleep(Duration::from_secs(120));
            Ok(false)
        }
        Some(Behaviour::NoLength) => stream.write_all(body).map(|()| false),
        _ => stream.write_all(body).map(|()| true),
    }
}
