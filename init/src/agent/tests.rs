//! Conversations as a hypervisor has them.

use super::frame::{Frame, Frames};
use super::port::answer_all;
use super::{command, fuzz_frames};
use kmimage_contract::state_line::StateLine;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Frames::default();
    bytes.iter().filter_map(|byte| frames.push(*byte)).collect()
}

fn objects(bytes: &[u8]) -> Vec<String> {
    let text = |frame| match frame {
        Frame::Object(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Frame::Garbage => "garbage".to_owned(),
    };
    frames(bytes).into_iter().map(text).collect()
}

/// What is written to the port for these bytes, and what process 1 is asked for.
fn converse(bytes: &[u8], root: &Path) -> (Vec<u8>, Vec<String>) {
    let (mut answers, mut requests) = (Vec::new(), Vec::new());
    let mut request = |line: &StateLine| requests.push(line.to_string());
    answer_all(&mut Frames::default(), bytes, &mut answers, root, &mut request).unwrap();
    (answers, requests)
}

fn answer(request: &Value) -> Value {
    let (bytes, _) = converse(request.to_string().as_bytes(), Path::new("/"));
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn objects_end_with_their_last_brace() {
    assert_eq!(objects(b"{\"a\":{}}{\"b\":[{}]}\n {\"c\":1}"), ["{\"a\":{}}", "{\"b\":[{}]}", "{\"c\":1}"]);
    assert_eq!(objects(b"{\"}\\\"{\": \"\\\\\"}"), ["{\"}\\\"{\": \"\\\\\"}"]);
    assert_eq!(objects(b"{\"half"), Vec::<String>::new());
    assert_eq!(objects(b"{\"half\xff{}"), ["{}"]);
    assert_eq!(objects(b"hello {}\n{}"), ["garbage", "{}"]);
    let long = [b"{\"".as_slice(), &vec![b'x'; 70_000], b"\"}\n{}"].concat();
    assert_eq!(objects(&long), ["garbage", "{}"]);
    assert_eq!(fuzz_frames(b"{\"execute\":\"guest-ping\"}{}x\n"), 1);
}

/// As PVE/QMPClient.pm writes and reads it: both in one go, the answer found by `\xff([^\n]+}\r?\n[^\n]+})`.
#[test]
fn a_command_behind_a_sync_is_answered_as_proxmox_expects() {
    let (mut host, mut guest) = UnixStream::pair().unwrap();
    host.write_all(b"{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":4711}}\n{\"execute\":\"guest-ping\"}").unwrap();
    host.shutdown(std::net::Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    guest.read_to_end(&mut bytes).unwrap();
    answer_all(&mut Frames::default(), &bytes, &mut guest, Path::new("/"), &mut |_| {}).unwrap();
    drop(guest);
    let mut answer = Vec::new();
    host.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"\xff{\"return\":4711}\n{\"return\":{}}\n");
}

#[test]
fn a_sync_comes_through_whatever_was_half_sent() {
    let (bytes, _) = converse(b"{\"execute\": \"gue\xff{\"execute\":\"guest-sync\",\"arguments\":{\"id\":-7}}\n", Path::new("/"));
    assert_eq!(bytes, b"{\"return\":-7}\n");
}

#[test]
fn shutting_down_is_asked_of_process_1_and_not_answered() {
    let check = |arguments: &str, action: &str| {
        let request = format!("{{\"execute\":\"guest-shutdown\"{arguments}}}");
        let (bytes, requests) = converse(request.as_bytes(), Path::new("/"));
        assert_eq!(bytes, b"");
        assert_eq!(requests, [format!("kmimage: request action={action} reason=guest-agent")]);
    };
    check("", "power-off");
    check(",\"arguments\":{\"mode\":\"powerdown\"}", "power-off");
    check(",\"arguments\":{\"mode\":\"halt\"}", "power-off");
    check(",\"arguments\":{\"mode\":\"reboot\"}", "reboot");
    let (bytes, requests) = converse(b"{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":1}}", Path::new("/"));
    let expected = b"{\"error\":{\"class\":\"GenericError\",\"desc\":\"Parameter 'mode' is missing or malformed\"}}\n";
    assert_eq!((bytes.as_slice(), requests.len()), (expected.as_slice(), 0));
}

#[test]
fn the_system_is_described_by_its_own_files() {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("usr/lib/os-release", "ID=kmimage\nNAME=kmimage\nPRETTY_NAME=\"kmimage base 0.1.0\"\nVERSION_ID=0.1.0\n"),
        ("proc/sys/kernel/osrelease", "6.12.0\n"),
        ("proc/sys/kernel/version", "#1 SMP\n"),
        ("proc/sys/kernel/hostname", "node-1\n"),
    ] {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let ask = |command: &str| -> Value {
        let (bytes, _) = converse(json!({ "execute": command }).to_string().as_bytes(), root.path());
        serde_json::from_slice::<Value>(&bytes).unwrap()["return"].clone()
    };
    let expected = json!({
        "id": "kmimage", "kernel-release": "6.12.0", "kernel-version": "#1 SMP", "machine": std::env::consts::ARCH,
        "name": "kmimage", "pretty-name": "kmimage base 0.1.0", "version-id": "0.1.0",
    });
    assert_eq!(ask("guest-get-osinfo"), expected);
    assert_eq!(ask("guest-get-host-name"), json!({ "host-name": "node-1" }));
}

/// The loopback link is everywhere, and its address is known.
#[test]
fn links_are_the_kernels() {
    let answer = answer(&json!({ "execute": "guest-network-get-interfaces" }));
    let links = answer["return"].as_array().unwrap();
    let loopback = links.iter().find(|link| link["name"] == "lo").unwrap();
    assert_eq!(loopback["hardware-address"], "00:00:00:00:00:00");
    let address = json!({ "ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8 });
    assert!(loopback["ip-addresses"].as_array().unwrap().contains(&address), "{loopback}");
}

#[test]
fn the_time_is_now() {
    let nanoseconds = answer(&json!({ "execute": "guest-get-time" }))["return"].as_u64().unwrap();
    let now = kmimage_sys::clock::wall().as_nanos();
    assert!(now.abs_diff(u128::from(nanoseconds)) < 60_000_000_000, "{nanoseconds}");
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    let check = |bytes: &[u8], expected: &str| {
        let (answer, _) = converse(bytes, Path::new("/"));
        assert_eq!(String::from_utf8(answer).unwrap(), format!("{expected}\n"));
    };
    check(
        b"{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"/bin/sh\"}}",
        "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The command guest-exec has not been found\"}}",
    );
    check(b"{\"execute\":}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"this is no JSON\"}}");
    check(b"{}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"an object with `execute` is expected\"}}");
    check(b"[]\n", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"a JSON object is expected\"}}");
    check(
        b"{\"execute\":\"guest-sync\",\"arguments\":{\"id\":\"x\"}}",
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Parameter 'id' is missing or malformed\"}}",
    );
}

#[test]
fn every_listed_command_is_served() {
    let answer = answer(&json!({ "execute": "guest-info" }));
    let listed = answer["return"]["supported_commands"].as_array().unwrap();
    assert_eq!(listed.len(), command::NAMES.len());
    for command in listed {
        let request = json!({ "execute": command["name"], "arguments": { "id": 1 } }).to_string();
        let frame = Frame::Object(request.into_bytes());
        assert!(command::parse(&frame).is_ok(), "{command}");
    }
}
