//! Locks that do not answer, or are none.

use crate::bench::Bench;
use std::fs;

#[test]
fn locked_without_a_lock() {
    let bench = Bench::sound();
    let message = "error: kmimage.lock does not lock profile mini
  help: Run `kmimage lock --profile mini`, or build without --locked.";
    bench.refuses(&["--locked"], 3, message);
    assert_eq!(bench.server.take_requests(), []);
}

#[test]
fn locked_with_a_stale_lock() {
    let mut bench = Bench::sound();
    bench.lock();
    bench.mini = bench.mini.clone().extra("[[absent]]\npackage = \"never\"\nreason = \"to be stale\"");
    bench.write_profile("");
    bench.server.take_requests();
    let message = "error: kmimage.lock was made for other wishes of profile mini
  help: Run `kmimage lock --profile mini`, or build without --locked.";
    bench.refuses(&["--locked"], 3, message);
    assert_eq!(bench.server.take_requests(), []);
}

/// Damages the text of a sound lock; `message` is what comes of it, with `LINE` for the number of the line that has `part`, and
/// `TEXT` for the line.
#[track_caller]
fn refuses_lock(from: &str, to: &str, message: &str) {
    let bench = Bench::sound();
    bench.lock();
    let sound = fs::read_to_string(bench.binary.path("kmimage.lock")).unwrap();
    let damaged = sound.replacen(from, to, 1);
    let (at, line) = damaged.lines().enumerate().find(|(_, line)| line.contains(to)).unwrap();
    bench.binary.write("kmimage.lock", &damaged);
    bench.server.take_requests();
    let number = (at + 1).to_string();
    let margin = " ".repeat(number.len());
    let message = message.replace("LINE", &number).replace("MARGIN", &margin).replace("TEXT", line);
    let help = "\n  help: Take kmimage.lock back from version control, or remove it and run `kmimage lock`.";
    bench.refuses(&[], 3, &(message.clone() + help));
    bench.refuses(&["--locked"], 3, &(message + help));
    assert_eq!(bench.server.take_requests(), []);
}

#[test]
fn a_lock_that_is_no_toml() {
    refuses_lock(
        "size = ",
        "size == ",
        "error: kmimage.lock:LINE:7: extra `=`, expected nothing
 MARGIN |
 LINE | TEXT
 MARGIN |       ^",
    );
}

#[test]
fn a_lock_with_an_unknown_key() {
    refuses_lock(
        "sha256 = ",
        "sha265 = ",
        "error: kmimage.lock:LINE:1: unknown key `sha265`; did you mean `sha256`?
 MARGIN |
 LINE | TEXT
 MARGIN | ^^^^^^",
    );
}

#[test]
fn a_lock_of_another_format() {
    refuses_lock(
        "version = 1",
        "version = 2",
        "error: kmimage.lock:LINE:11: a lock of format 2, and this kmimage reads 1
 MARGIN |
 LINE | TEXT
 MARGIN |           ^",
    );
}
