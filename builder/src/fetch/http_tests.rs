//! Against a server on the loopback interface that misbehaves in one way at a time.

use super::*;
use crate::failure::{Classified as _, Kind};
use crate::hash::Sha256Digest;
use crate::store::{Download, Store};
use crate::support::server::{Behaviour, Server, closed_address};
use jiff::Timestamp;
use std::time::Instant;

struct Bench {
    _directory: tempfile::TempDir,
    server: Server,
    store: Store,
    options: Options,
    bytes: Vec<u8>,
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at ^ (at >> 8)) as u8).collect();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("www/file"), &bytes).unwrap();
    let mut options = Options::new(Timestamp::UNIX_EPOCH);
    options.stall_timeout = Duration::from_millis(300);
    Bench {
        server: Server::start(&directory.path().join("www")),
        store: Store::open(directory.path().join("store")).unwrap(),
        options,
        bytes,
        _directory: directory,
    }
}

impl Bench {
    fn download(&self) -> Result<(), HttpError> {
        self.download_of_size(self.bytes.len() as u64)
    }

    fn download_of_size(&self, size: u64) -> Result<(), HttpError> {
        let digest = Sha256Digest::of(&self.bytes);
        let Download::Wanted(mut partial) = self.store.download(&digest)? else { return Ok(()) };
        let url = format!("{}/file", self.server.url());
        Client::new(&self.options).download(&url, size, &mut partial, &|_| true)?;
        partial.finish(&self.store)?;
        Ok(())
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.server.take_requests().into_iter().map(|request| request.headers.get("range").cloned()).collect()
    }
}

#[test]
fn a_whole_file() {
    let bench = bench();
    bench.download().unwrap();
    assert_eq!(bench.ranges(), [None]);
}

#[test]
fn a_broken_connection_is_taken_up_again() {
    let bench = bench();
    bench.server.set("/file", Behaviour::Truncate { after: 100_000, times: 2 });
    bench.download().unwrap();
    assert_eq!(bench.ranges(), [None, Some("bytes=100000-".into()), Some("bytes=200000-".into())]);
}

#[test]
fn a_stalled_connection_is_taken_up_again() {
    let bench = bench();
    bench.server.set("/file", Behaviour::Stall { after: 100_000, times: 1 });
    bench.download().unwrap();
    assert_eq!(bench.ranges(), [None, Some("bytes=100000-".into())]);
}

#[test]
fn a_server_that_stalls_for_good_is_given_up() {
    let bench = bench();
    bench.server.set("/file", Behaviour::Stall { after: 10, times: 99 });
    let began = Instant::now();
    let error = bench.download().unwrap_err();
    assert_eq!(error.to_string(), "not a byte came for 0.3 s, in 4 tries, after 40 bytes");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(10));
    // What came is kept for the next build.
    bench.server.behave();
    bench.server.take_requests();
    bench.download().unwrap();
    assert_eq!(bench.ranges(), [Some("bytes=40-".into())]);
}

#[test]
fn a_server_that_truncates_for_good_is_given_up() {
    let bench = bench();
    bench.server.set("/file", Behaviour::Truncate { after: 10, times: 99 });
    let error = bench.download().unwrap_err();
    assert_eq!(error.to_string(), "the connection broke after 40 bytes, in 4 tries");
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let bench = bench();
    bench.server.set("/file", Behaviour::IgnoreRange { truncate_first: 100_000 });
    bench.download().unwrap();
    assert_eq!(bench.ranges(), [None, Some("bytes=100000-".into())]);
}

#[test]
fn a_wrong_length_is_refused_at_once() {
    let bench = bench();
    let error = bench.download_of_size(299_999).unwrap_err();
    assert_eq!(error.to_string(), "it has at least 300000 bytes where 299999 were announced");
    assert_eq!(error.kind(), Kind::Trust);
    let error = bench.download_of_size(300_001).unwrap_err();
    assert_eq!(error.to_string(), "it has only 300000 bytes where 300001 were announced");
    bench.server.set("/file", Behaviour::NoLength);
    let error = bench.download_of_size(1000).unwrap_err();
    assert!(matches!(error, HttpError::WrongSize { more: true, wanted: 1000, .. }), "{error}");
    let error = bench.download_of_size(300_001).unwrap_err();
    assert_eq!(error.to_string(), "it has only 300000 bytes where 300001 were announced");
    bench.download().unwrap();
}

#[test]
fn statuses_and_redirects() {
    let bench = bench();
    let client = Client::new(&bench.options);
    let read = |path: &str| client.read(&format!("{}{path}", bench.server.url()), 1 << 20);
    assert_eq!(read("/none").unwrap_err().to_string(), "the server has no such file (HTTP 404)");
    bench.server.set("/file", Behaviour::Status(403));
    assert_eq!(read("/file").unwrap_err().to_string(), "the server answered HTTP 403");
    bench.server.take_requests();
    bench.server.set("/file", Behaviour::Status(503));
    assert_eq!(read("/file").unwrap_err().to_string(), "the server answered HTTP 503");
    assert_eq!(bench.server.take_requests().len(), 4);

    bench.server.behave();
    bench.server.set("/a", Behaviour::Redirect("b?x=1".into()));
    bench.server.set("/b?x=1", Behaviour::Redirect(format!("{}/file", bench.server.url())));
    assert_eq!(read("/a").unwrap(), bench.bytes);
    bench.server.set("/loop", Behaviour::Redirect("/loop".into()));
    assert_eq!(read("/loop").unwrap_err().to_string(), "it redirects more than 8 times");
    bench.server.set("/file", Behaviour::Redirect("file:///etc/passwd".into()));
    assert_eq!(read("/file").unwrap_err().to_string(), "it redirects to `file:///etc/passwd`, which is no http or https address");
    bench.server.behave();
    let error = client.read(&format!("{}/file", bench.server.url()), 1000).unwrap_err();
    assert_eq!(error.to_string(), "it is larger than 1000 bytes, too large for what it should be");
    bench.server.set("/file", Behaviour::NoLength);
    assert!(matches!(client.read(&format!("{}/file", bench.server.url()), 1000), Err(HttpError::TooLarge { .. })));
}

#[test]
fn nobody_there() {
    let bench = bench();
    let client = Client::new(&bench.options);
    let error = client.read(&format!("{}/file", closed_address()), 1000).unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1 cannot be reached");
    assert_eq!(error.kind(), Kind::Unavailable);
    let error = client.read("http://no-such-host.invalid/file", 1000).unwrap_err();
    assert_eq!(error.to_string(), "no-such-host.invalid cannot be reached");
    let error = client.read("ftp://127.0.0.1/file", 1000).unwrap_err();
    assert_eq!(error.to_string(), "`ftp://127.0.0.1/file` is not an http or https address");
}

#[test]
fn a_proxy_is_asked_in_absolute_form() {
    let bench = bench();
    let mut options = bench.options.clone();
    options.host.environment.insert("http_proxy".into(), bench.server.url().replace("http://", "http://me:secret@"));
    // Nobody resolves this name but the proxy.
    let client = Client::new(&options);
    for _ in 0..2 {
        assert_eq!(
            client.read("http://mirror.invalid:81/file?q", 1 << 20).err().map(|error| error.to_string()).as_deref(),
            Some("the server has no such file (HTTP 404)")
        );
    }
    assert_eq!(client.read("http://mirror.invalid/file", 1 << 20).unwrap(), bench.bytes);
    let requests = bench.server.take_requests();
    let targets: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
    let odd = "http://mirror.invalid:81/file?q";
    assert_eq!(targets, [odd, odd, "http://mirror.invalid/file"]);
    assert_eq!(requests[0].headers["proxy-authorization"], "Basic bWU6c2VjcmV0");
    assert_eq!(requests[2].headers["host"], "mirror.invalid");

    options.host.environment.insert("http_proxy".into(), "socks9://x y".into());
    let error = Client::new(&options).read("http://mirror.invalid/file", 1000).unwrap_err();
    assert_eq!(error.to_string(), "the proxy `socks9://x y` is not an http address that can be used");
    assert_eq!(error.kind(), Kind::Host);
}
