//! Servers on the loopback interface that answer wrongly, and one that answers well.

use super::{FetchError, Fetcher};
use crate::config::location::Url;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

const AUTHORITY: &[u8] = include_bytes!("authority.pem");

/// Answers every request with these bytes, for as long as the test program runs.
fn serve(answer: impl Into<Vec<u8>>, tls: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = answer.into();
    let config = tls.then(|| {
        let chain = vec![CertificateDer::from_pem_slice(include_bytes!("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            match &config {
                None => exchange(stream, &answer),
                Some(config) => {
                    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream);
                    exchange(&mut stream, &answer);
                    // The other side may be gone already.
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        }
    });
    port
}

fn exchange(mut stream: impl Read + Write, answer: &[u8]) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1..) => request.push(byte[0]),
            _ => return,
        }
    }
    // Whoever is refused hangs up in the middle of it.
    let _ = stream.write_all(answer);
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    answer.extend(body);
    answer
}

fn fetch(roots: &[u8], url: &str) -> Result<Vec<u8>, FetchError> {
    Fetcher::new([roots]).fetch(&Url::parse(url).unwrap(), 1000)
}

#[track_caller]
fn refused(roots: &[u8], url: &str, transient: bool, expect: &str) {
    let error = fetch(roots, url).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.is_transient()), (expect, transient));
}

#[test]
fn a_document_is_fetched_after_a_redirect_and_to_its_last_byte() {
    let port = serve(answer("200 OK", "", b"version = 1\n"), false);
    assert_eq!(fetch(b"", &format!("http://127.0.0.1:{port}/a")).unwrap(), b"version = 1\n");
    let from = serve(answer("302 Found", &format!("Location: http://127.0.0.1:{port}/b\r\n"), b""), false);
    assert_eq!(fetch(b"", &format!("http://127.0.0.1:{from}/a")).unwrap(), b"version = 1\n");
    let exact = serve(answer("200 OK", "", &[b'x'; 1000]), false);
    assert_eq!(fetch(b"", &format!("http://127.0.0.1:{exact}/a")).unwrap().len(), 1000);
}

#[test]
fn wrong_answers_are_refused() {
    let check = |answer: Vec<u8>, transient: bool, expect: &str| {
        let port = serve(answer, false);
        refused(b"", &format!("http://127.0.0.1:{port}/a"), transient, expect);
    };
    check(answer("404 Not Found", "", b"no"), false, "the server answers 404 Not Found");
    check(answer("403 Forbidden", "", b"no"), false, "the server answers 403 Forbidden");
    check(answer("503 Service Unavailable", "", b"soon"), true, "the server answers 503 Service Unavailable");
    check(answer("200 OK", "", &[b'x'; 1001]), false, "the document has more than 1000 bytes");
    let endless = answer("302 Found", "Location: /a\r\n", b"");
    check(endless, false, "the answer is refused: too many redirects");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = fetch(b"", &format!("http://127.0.0.1:{closed}/a")).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().starts_with("the server can't be reached: "), "{error}");
}

#[test]
fn a_server_must_prove_its_name() {
    let port = serve(answer("200 OK", "", b"secret"), true);
    refused(
        AUTHORITY,
        &format!("https://localhost:{port}/a"),
        false,
        "the server's certificate is refused: invalid peer certificate: certificate not valid for name \"localhost\"; \
         certificate is only valid for DnsName(\"config.example.org\")",
    );
    refused(
        b"",
        &format!("https://localhost:{port}/a"),
        false,
        "the server's certificate is refused: invalid peer certificate: UnknownIssuer",
    );
}
