//! A stand-in for an API server, on the loopback interface: TLS, and fixed answers by path. For the refusals of a join; what works is proven
//! against a real one (qemu-tests).
//!
//! stand_in/*.pem are openssl's: `authority` has signed `server` (127.0.0.1), `expired`, `early` (valid from 2100 on) and `elsewhere`
//! (another address), `other` has signed `strangers`; all have `server.key`. cluster-info.json was signed by Python's hmac.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

/// The authority of the stand-in's cluster.
pub(super) const AUTHORITY: &str = include_str!("stand_in/authority.pem");
/// What pins it (`openssl x509 -pubkey | openssl pkey -pubin -outform der | sha256sum`).
pub(super) const HASH: &str = "sha256:01484d51cdbd285b7b024187bdb8c1adb005fe1fedf3827ea7c51617f137528a";
/// A token that it knows.
pub(super) const TOKEN: &str = "abcdef.0123456789abcdef";

/// What is answered to a path.
pub(super) type Routes = Vec<(&'static str, u16, Value)>;

/// A server that does as long as the test program runs; `routes` gets its address. Paths without an answer get Kubernetes' 404. Whatever
/// was asked with a bearer token other than [`TOKEN`] gets its 401.
pub(super) fn serve(certificate: &str, routes: impl FnOnce(&str) -> Routes) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = routes(&address);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("stand_in/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let request = read_request(&mut stream);
            let path = request.split(' ').nth(1).unwrap_or_default();
            let stranger = request.lines().any(|line| {
                line.to_ascii_lowercase().strip_prefix("authorization: bearer ").is_some_and(|token| token.trim() != TOKEN)
            });
            let found = routes.iter().find(|(known, ..)| *known == path);
            let (status, body) = match found {
                _ if stranger => (401, status(401, "Unauthorized")),
                Some((_, status, body)) => (*status, body.clone()),
                None => (404, status(404, "not found")),
            };
            // A text stands for itself.
            let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let answer = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            // Whoever is refused hangs up in the middle of it.
            let _ = stream.write_all(answer.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    address
}

fn read_request(stream: &mut impl Read) -> String {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1..)) {
        request.push(byte[0]);
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// An API server's refusal.
pub(super) fn status(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code })
}

/// cluster-info for a server at this address, signed for [`TOKEN`].
pub(super) fn cluster_info(address: &str, authority: &str) -> Value {
    use hmac::{Hmac, Mac as _};
    let authority = BASE64_STANDARD.encode(authority);
    let text = format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {authority}\n    server: https://{address}\n  name: \"\"\n\
         contexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {{}}\nusers: null\n"
    );
    let (id, secret) = TOKEN.split_once('.').unwrap();
    let header = BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"HS256\",\"kid\":\"{id}\"}}"));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(&text)).as_bytes());
    let jws = format!("{header}..{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    json!({ "kind": "ConfigMap", "data": { "kubeconfig": text, "jws-kubeconfig-abcdef": jws } })
}
