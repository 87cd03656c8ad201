//! Programs as they are really started: by a shell's words about itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_sys::poll;
use kmimage_sys::process::{self, Exit};
use kmimage_sys::signals::Signals;
use kmimage_sys::spawn::{Pipe, Program, start};
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a shell's words to their end; what they wrote to both outputs.
fn run(adjust: impl FnOnce(&mut Program), words: &str) -> (String, String, Exit) {
    let _alone = alone();
    let mut program = Program::new(Path::new("/bin/sh"));
    program.arguments = vec!["-c".to_owned(), words.to_owned()];
    program.environment = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    adjust(&mut program);
    let started = start(&program).unwrap();
    let (output, errors) = (started.output.unwrap(), started.errors.unwrap());
    let texts = (read_all(&output), read_all(&errors));
    (texts.0, texts.1, wait(started.pid))
}

/// Reaps a child. One test at a time: reaping takes any child.
fn wait(pid: u32) -> Exit {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        match process::reap().unwrap() {
            Some((ended, exit)) if ended == pid => return exit,
            Some(other) => panic!("{other:?} is not ours"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    panic!("{pid} did not end");
}

fn read_all(pipe: &Pipe) -> String {
    let (mut text, end) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    let mut buffer = [0; 1024];
    while Instant::now() < end {
        poll::readable(&[pipe.as_fd()], Some(Duration::from_secs(1))).unwrap();
        match pipe.read(&mut buffer).unwrap() {
            Some(0) => return String::from_utf8(text).unwrap(),
            Some(length) => text.extend_from_slice(&buffer[..length]),
            None => {}
        }
    }
    panic!("the pipe was not closed");
}

#[test]
fn a_program_starts_with_what_was_asked_for_and_nothing_else() {
    let words = "read line; echo $?; echo err >&2; cat /proc/self/oom_score_adj; umask; pwd; env; \
                 ps -o sid= -p $$ | tr -d ' ' | grep -qx $$ && echo own session; exit 7";
    let (output, errors, exit) = run(|program| program.oom_score = 321, words);
    let sorted: Vec<&str> = output.lines().filter(|line| !line.starts_with("_=") && !line.starts_with("PWD=")).collect();
    assert_eq!(sorted, ["1", "321", "0022", "/", "PATH=/usr/bin:/bin", "own session"]);
    assert_eq!((errors.as_str(), exit), ("err\n", Exit::Code(7)));
}

#[test]
fn signals_that_process_1_reads_are_not_blocked_in_what_it_starts() {
    let _alone = alone();
    let _signals = Signals::open().unwrap();
    // No shell: that would unblock them itself.
    let program = Program { arguments: vec!["/proc/self/status".to_owned()], ..Program::new(Path::new("/bin/cat")) };
    let started = start(&program).unwrap();
    let status = read_all(&started.output.unwrap());
    assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
    assert_eq!(wait(started.pid), Exit::Code(0));
}

#[test]
fn ends_by_signals_are_told_apart() {
    assert_eq!(run(|_| {}, "kill -9 $$").2, Exit::Signal(9));
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let error = start(&Program::new(Path::new("/no/such/program"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn capabilities_are_dropped_for_good_or_the_program_does_not_start() {
    let limit = |program: &mut Program| {
        program.capabilities = Some(1 << 12 | 1 << 10);
        program.no_new_privileges = true;
    };
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if root {
        let (output, _, _) = run(limit, "grep -E '^(CapEff|CapPrm|CapBnd|CapInh|CapAmb|NoNewPrivs)' /proc/self/status");
        let words: Vec<&str> = output.split_ascii_whitespace().collect();
        let (kept, none) = ("0000000000001400", "0000000000000000");
        let expect = ["CapInh:", none, "CapPrm:", kept, "CapEff:", kept, "CapBnd:", kept, "CapAmb:", none, "NoNewPrivs:", "1"];
        assert_eq!(words, expect);
    } else {
        let mut program = Program::new(Path::new("/bin/true"));
        limit(&mut program);
        assert_eq!(start(&program).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}

#[test]
fn input_is_written_and_quiet_is_quiet() {
    let _alone = alone();
    let program = Program { input: true, ..Program::new(Path::new("/bin/cat")) };
    let started = start(&program).unwrap();
    let input = started.input.unwrap();
    assert_eq!(input.write(b"hello").unwrap(), Some(5));
    drop(input);
    assert_eq!(read_all(&started.output.unwrap()), "hello");
    assert_eq!(wait(started.pid), Exit::Code(0));
    let started = start(&Program { quiet: true, ..Program::new(Path::new("/bin/true")) }).unwrap();
    assert!(started.output.is_none() && started.errors.is_none() && started.input.is_none());
    assert_eq!(wait(started.pid), Exit::Code(0));
}
