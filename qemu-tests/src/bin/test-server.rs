//! Small servers that machines under test talk to; each says what it sees, a line per event. A program, because it has to run inside a
//! network namespace (qemu-tests/src/netns/servers.rs starts it).
//!
//! ```text
//! test-server http ADDRESS FOLDER [CERTIFICATE KEY]   files of a folder, by HTTP, or HTTPS with a certificate (PEM)
//! test-server sntp ADDRESS FILE                       the time, off by the milliseconds that the file says
//! test-server tcp ADDRESS                             takes messages of logs
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test's own server; its words are what it is for")]

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["http", address, folder] => http(address, folder.into(), None),
        ["http", address, folder, certificate, key] => http(address, folder.into(), Some(tls(certificate, key))),
        ["sntp", address, offset] => sntp(address, Path::new(offset)),
        ["tcp", address] => tcp(address),
        _ => std::process::exit(2),
    }
}

fn listen(address: &str) -> TcpListener {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| fail(address, &error));
    println!("listening on {address}");
    listener
}

fn fail(what: &str, error: &std::io::Error) -> ! {
    println!("{what}: {error}");
    std::process::exit(1)
}

fn tls(certificate: &str, key: &str) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn http(address: &str, folder: PathBuf, tls: Option<Arc<ServerConfig>>) {
    for stream in listen(address).incoming().flatten() {
        let (folder, tls) = (folder.clone(), tls.clone());
        std::thread::spawn(move || {
            let peer = stream.peer_addr().map_or_else(|_| "somebody".to_owned(), |peer| peer.ip().to_string());
            // A caller that sends nothing must not stay for ever.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            let said = match tls {
                None => answer(stream, &folder),
                Some(config) => ServerConnection::new(config)
                    .map_err(std::io::Error::other)
                    .and_then(|tls| answer(StreamOwned::new(tls, stream), &folder)),
            };
            match said {
                Ok(line) => println!("{peer}: {line}"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
    }
}

/// One request, one answer, closed.
fn answer(stream: impl Read + Write, folder: &Path) -> std::io::Result<String> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request)?;
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header)? <= 2 {
            break;
        }
    }
    let request = request.trim_end().to_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let file = folder.join(path.trim_start_matches('/'));
    let (status, body) = match std::fs::read(&file) {
        Ok(body) if !path.contains("..") => ("200 OK", body),
        _ => ("404 Not Found", b"not here\n".to_vec()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    stream.flush()?;
    Ok(format!("{request} {status}"))
}

/// RFC 4330, server side: a reply in mode 4, stratum 2, whose times are this clock's and an offset.
fn sntp(address: &str, offset: &Path) {
    let socket = UdpSocket::bind(address).unwrap_or_else(|error| fail(address, &error));
    println!("listening on {address}");
    let mut request = [0; 512];
    while let Ok((length, peer)) = socket.recv_from(&mut request) {
        let off_by = std::fs::read_to_string(offset).unwrap_or_default();
        println!("{peer}: {length} bytes, mode {}; answered {} ms off", request[0] & 7, off_by.trim());
        // `silent`: a server that is gone.
        let Ok(off_by) = off_by.trim().parse::<i64>() else { continue };
        let mut reply = [0; 48];
        // No warning, the client's version, server; stratum; poll; precision of about a microsecond.
        reply[0] = (request[0] & 0b0011_1000) | 4;
        reply[1..4].copy_from_slice(&[2, 6, 0xec]);
        reply[12..16].copy_from_slice(b"TEST");
        let now = timestamp(off_by);
        reply[16..24].copy_from_slice(&now);
        reply[24..32].copy_from_slice(&request[40..48]);
        reply[32..40].copy_from_slice(&now);
        reply[40..48].copy_from_slice(&timestamp(off_by));
        // A client that has gone is none of ours.
        let _ = socket.send_to(&reply, peer);
    }
}

/// Seconds since 1900 and their fraction, as NTP writes them.
fn timestamp(offset_ms: i64) -> [u8; 8] {
    #[expect(clippy::disallowed_methods, reason = "a time server tells the time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let microseconds = now.as_micros() as i128 + i128::from(offset_ms) * 1000;
    let (seconds, rest) = (microseconds.div_euclid(1_000_000), microseconds.rem_euclid(1_000_000));
    let fraction = (rest << 32) / 1_000_000;
    (((seconds + 2_208_988_800) as u64) << 32 | fraction as u64).to_be_bytes()
}

/// Messages over TCP are octet-counted (RFC 6587, 3.4.1): `LENGTH MESSAGE`, and no end of a line.
fn tcp(address: &str) {
    for stream in listen(address).incoming().flatten() {
        std::thread::spawn(move || {
            println!("connected: {}", stream.peer_addr().map_or_else(|_| "somebody".to_owned(), |peer| peer.to_string()));
            let mut stream = BufReader::new(stream);
            let mut length = Vec::new();
            while stream.read_until(b' ', &mut length).is_ok_and(|read| read > 0) {
                let Ok(octets) = String::from_utf8_lossy(&length).trim_end().parse::<u16>() else { break };
                let mut message = vec![0; octets.into()];
                if stream.read_exact(&mut message).is_err() {
                    break;
                }
                println!("{}", String::from_utf8_lossy(&message).trim_end());
                length.clear();
            }
            println!("closed");
        });
    }
}
