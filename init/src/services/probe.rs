//! Looks whether a unit does its work. A unix socket answers at once; everything else is asked by a child of its own.

use super::unit::Readiness;
use kmimage_contract::paths;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The applet that asks an HTTP address: `probe-http ADDRESS:PORT PATH`.
pub(crate) const HTTP: &str = "probe-http";

/// How long an HTTP answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether a unix socket takes connections. Never waits: a queue that is full is somebody who doesn't keep up.
pub(crate) fn takes_connections(path: &Path) -> bool {
    kmimage_sys::socket::takes_connections(path).unwrap_or(false)
}

/// The program whose success says that a unit is ready, with its arguments. `None`: it takes none to see that.
pub(super) fn command(readiness: &Readiness) -> Option<(PathBuf, Vec<String>)> {
    match readiness {
        Readiness::Http { address, path } => Some((paths::INIT.into(), vec![HTTP.to_owned(), address.to_string(), path.clone()])),
        Readiness::Exec(words) => words.split_first().map(|(program, arguments)| (program.into(), arguments.to_vec())),
        Readiness::Started | Readiness::Condition(_) | Readiness::Socket(_) => None,
    }
}

/// The applet: ends with 0 if the address answers GET with a status from 200 to 399.
pub(crate) fn http(words: &[String]) -> ExitCode {
    let [address, path] = words else { return ExitCode::from(2) };
    match address.parse().map(|address| status(address, path)) {
        Ok(Ok(Some(200..=399))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The status that an address answers with, if it speaks HTTP.
pub(crate) fn status(address: SocketAddr, path: &str) -> std::io::Result<Option<u16>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: kmimage\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    stream.take(64).read_to_end(&mut head)?;
    Ok(parse_status(&head))
}

/// Reads `HTTP/1.x NNN ...`.
fn parse_status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let (code, behind) = rest.get(1..)?.strip_prefix(b" ")?.split_at_checked(3)?;
    let ends = behind.first().is_some_and(|byte| matches!(byte, b' ' | b'\r'));
    std::str::from_utf8(code).ok().filter(|code| ends && code.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn statuses_are_read() {
        let check = |head: &str, expect: Option<u16>| assert_eq!(parse_status(head.as_bytes()), expect, "{head}");
        check("HTTP/1.1 200 OK\r\n", Some(200));
        check("HTTP/1.0 503\r\n", Some(503));
        for bad in
            ["", "HTTP/1.1 200", "HTTP/1.1 20 \r\n", "HTTP/1.1 2000 OK", "HTTP/2 200 OK", "SSH-2.0 200 OK", "HTTP/1.1 +20 "]
        {
            check(bad, None);
        }
    }

    #[test]
    fn a_server_is_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let length = stream.read(&mut request).unwrap();
                requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        let ask = || http(&[address.clone(), "/healthz?x=1".to_owned()]);
        assert_eq!((ask(), ask()), (ExitCode::SUCCESS, ExitCode::FAILURE));
        assert!(asked.join().unwrap().iter().all(|request| request.starts_with("GET /healthz?x=1 HTTP/1.1\r\n")));
        // Nobody listens any more.
        assert_eq!(ask(), ExitCode::FAILURE);
        assert_eq!(http(&[]), ExitCode::from(2));
    }
}
