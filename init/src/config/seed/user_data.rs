//! What a user-data is: ours, Proxmox's own `#cloud-config` (of which the host name counts), nothing, or refused by name.

use super::SeedError;
use super::yaml::{self, Mapping};
use flate2::read::GzDecoder;
use std::io::Read as _;

/// The first line of a document of ours.
const OURS: &str = "#kmimage";

/// What a user-data carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserData {
    /// A machine config, as its author wrote it.
    Config(Vec<u8>),
    /// A `#cloud-config` with nothing in it but what Proxmox itself writes.
    Proxmox {
        /// The host name that it gives, if it gives one.
        hostname: Option<String>,
        /// The keys that mean nothing to a kmimage machine.
        ignored: Vec<String>,
    },
    /// Nothing at all.
    Empty,
}

/// What Proxmox's own drive has, besides `hostname` and `fqdn`: users, passwords and packages, which this system does not have.
const PROXMOX: [&str; 8] =
    ["manage_etc_hosts", "user", "users", "password", "chpasswd", "ssh_authorized_keys", "package_upgrade", "ssh_pwauth"];

/// First lines that cloud-init knows and this system does not serve, and what they are.
const REFUSED: [(&str, &str); 11] = [
    ("## template:", "a template (Cluster API's documents are not served by this release)"),
    ("#cloud-config-archive", "a `#cloud-config-archive`"),
    ("#cloud-config-jsonp", "a `#cloud-config-jsonp`"),
    ("#cloud-boothook", "a `#cloud-boothook`"),
    ("#include", "an `#include` list"),
    ("#part-handler", "a `#part-handler`"),
    ("#upstart-job", "an `#upstart-job`"),
    ("#!", "a script (nothing here runs one)"),
    ("Content-Type:", "a MIME message"),
    ("MIME-Version:", "a MIME message"),
    ("From ", "a MIME message"),
];

/// Reads a user-data of at most `limit` bytes, also when it is compressed by gzip.
pub fn read(bytes: &[u8], limit: u64) -> Result<UserData, SeedError> {
    let plain;
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        plain = decompress(bytes, limit)?;
        &plain
    } else {
        bytes
    };
    // What is no UTF-8 can be ours all the same: then the decoder says where it isn't.
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let first = text.lines().next().unwrap_or_default().trim_end();
    let refused =
        |what: &str| Err(SeedError::UserData(format!("{what} is not supported; a machine config begins with `{OURS}`")));
    if text.trim().is_empty() {
        return Ok(UserData::Empty);
    }
    if first == OURS {
        return Ok(UserData::Config(bytes.to_vec()));
    }
    if let Some((_, what)) = REFUSED.iter().find(|(prefix, _)| begins_with(first, prefix)) {
        return refused(what);
    }
    if first == "#cloud-config" {
        return cloud_config(text);
    }
    if text.trim_start().starts_with('{') {
        let ignition = serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.get("ignition").is_some());
        return refused(if ignition { "format: ignition" } else { "a JSON document" });
    }
    let shown: String = first.chars().take(40).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    Err(SeedError::UserData(format!("it begins with `{shown}`, and a machine config begins with `{OURS}`")))
}

fn begins_with(line: &str, prefix: &str) -> bool {
    line.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

/// A small file can hold a long one: it is read to one byte over the limit and no further.
fn decompress(bytes: &[u8], limit: u64) -> Result<Vec<u8>, SeedError> {
    let mut plain = Vec::new();
    let read = GzDecoder::new(bytes).take(limit + 1).read_to_end(&mut plain);
    if plain.len() as u64 > limit {
        return Err(SeedError::UserData(format!("it has more than {limit} bytes when decompressed")));
    }
    match read {
        Ok(_) => Ok(plain),
        Err(error) => Err(SeedError::UserData(format!("its gzip compression is damaged ({error})"))),
    }
}

fn cloud_config(text: &str) -> Result<UserData, SeedError> {
    let mut document = match yaml::parse(text).map_err(SeedError::UserData)? {
        Some(value) => Mapping::new("", value).map_err(SeedError::UserData)?,
        None => return Ok(UserData::Empty),
    };
    let hostname = document.text("hostname").map_err(SeedError::UserData)?;
    let fqdn = document.text("fqdn").map_err(SeedError::UserData)?;
    let mut ignored = Vec::new();
    for key in document.keys() {
        if !PROXMOX.contains(&key.as_str()) {
            return Err(SeedError::UserData(format!(
                "`{key}` in a `#cloud-config` is not supported: of one, this release takes the host name; a machine config begins with `{OURS}`"
            )));
        }
        ignored.push(key);
    }
    Ok(UserData::Proxmox { hostname: hostname.or(fqdn), ignored })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const LIMIT: u64 = 1 << 16;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn ours_is_taken_as_it_is() {
        let document = b"#kmimage\nversion = 1\n";
        let crlf = b"#kmimage\r\nversion = 1\r\n";
        assert_eq!(read(document, LIMIT).unwrap(), UserData::Config(document.to_vec()));
        assert_eq!(read(crlf, LIMIT).unwrap(), UserData::Config(crlf.to_vec()));
        assert_eq!(read(&gzip(document), LIMIT).unwrap(), UserData::Config(document.to_vec()));
        assert_eq!(read(b"#kmimage\n\xff", LIMIT).unwrap(), UserData::Config(b"#kmimage\n\xff".to_vec()));
        for empty in [&b""[..], b" \n\n", b"#cloud-config\n", b"#cloud-config\n{}\n"] {
            let found = read(empty, LIMIT).unwrap();
            assert!(matches!(found, UserData::Empty | UserData::Proxmox { hostname: None, .. }), "{found:?}");
        }
    }

    #[test]
    fn of_proxmoxs_own_the_host_name_is_taken() {
        let text = "#cloud-config\nhostname: web-1\nmanage_etc_hosts: true\nfqdn: web-1.example.org\nuser: admin\npassword: $5$x\n\
                    ssh_authorized_keys:\n  - ssh-ed25519 AAAA x\nchpasswd:\n  expire: False\nusers:\n  - default\npackage_upgrade: true\n";
        let UserData::Proxmox { hostname, ignored } = read(text.as_bytes(), LIMIT).unwrap() else { panic!() };
        assert_eq!(hostname.as_deref(), Some("web-1"));
        let mut expect = PROXMOX[..7].to_vec();
        expect.sort_unstable();
        let mut ignored: Vec<_> = ignored.iter().map(String::as_str).collect();
        ignored.sort_unstable();
        assert_eq!(ignored, expect);
        let UserData::Proxmox { hostname, .. } = read(b"#cloud-config\nfqdn: a.example.org\n", LIMIT).unwrap() else { panic!() };
        assert_eq!(hostname.as_deref(), Some("a.example.org"));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let check =
            |bytes: &[u8], expect: &str| assert_eq!(read(bytes, LIMIT).unwrap_err().to_string(), format!("user-data: {expect}"));
        let unsupported = |what: &str| format!("{what} is not supported; a machine config begins with `#kmimage`");
        check(b"#!/bin/sh\n", &unsupported("a script (nothing here runs one)"));
        check(b"Content-Type: multipart/mixed; boundary=x\n", &unsupported("a MIME message"));
        check(b"content-type: text/plain\n", &unsupported("a MIME message"));
        check(b"MIME-Version: 1.0\n", &unsupported("a MIME message"));
        check(b"{\"ignition\": {\"version\": \"3.4.0\"}}", &unsupported("format: ignition"));
        check(b"{\"a\": 1}", &unsupported("a JSON document"));
        check(b"{", &unsupported("a JSON document"));
        check(b"#include\nhttp://x/\n", &unsupported("an `#include` list"));
        check(b"#cloud-boothook\n", &unsupported("a `#cloud-boothook`"));
        check(
            b"## template: jinja\n#cloud-config\n",
            &unsupported("a template (Cluster API's documents are not served by this release)"),
        );
        check(
            b"#cloud-config\nwrite_files: []\n",
            "`write_files` in a `#cloud-config` is not supported: of one, this release takes the host name; \
             a machine config begins with `#kmimage`",
        );
        check(b"version = 1\n", "it begins with `version = 1`, and a machine config begins with `#kmimage`");
        check(b"\x00\x01\x02", "it begins with `\u{fffd}\u{fffd}\u{fffd}`, and a machine config begins with `#kmimage`");
        check(&gzip(&vec![b'#'; 10 << 20]), "it has more than 65536 bytes when decompressed");
        check(b"\x1f\x8b\x08\x00", "its gzip compression is damaged (unexpected end of file)");
        check(b"#cloud-config\n- a\n", "a mapping is expected");
        check(b"#cloud-config\nhostname: [a]\n", "`hostname`: a text is expected");
    }
}
