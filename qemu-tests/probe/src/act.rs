//! Services that misbehave, for tests of those who supervise them: one behaviour per first word.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Behaves as the words say: `exit CODE`, `sleep SECONDS`, `fork COUNT`, `flood`, `eat`, `ignore-term`, `serve TEXT ADDRESS`,
/// `listen SOCKET`.
pub(crate) fn main(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["exit", code] => ExitCode::from(code.parse::<u8>().unwrap_or(255)),
        ["sleep", seconds] => {
            std::thread::sleep(Duration::from_secs(seconds.parse().unwrap_or(0)));
            ExitCode::SUCCESS
        }
        ["fork", count] => fork(count.parse().unwrap_or(1)),
        ["flood"] => flood(),
        ["eat"] => eat(),
        ["ignore-term"] => ignore_term(),
        ["serve", text, address] => serve(text, address),
        ["listen", socket] => listen(socket),
        _ => ExitCode::from(2),
    }
}

fn for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Starts so many daemons that leave its session, then ends: somebody must find and end them.
#[expect(clippy::disallowed_methods, reason = "it is to leave processes behind")]
fn fork(count: u32) -> ExitCode {
    let Ok(own) = std::env::current_exe() else { return ExitCode::FAILURE };
    for _ in 0..count {
        if Command::new(&own).args(["act", "sleep", "3600"]).spawn().is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Writes lines as fast as somebody takes them.
fn flood() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let mut line = 0u64;
    while writeln!(out, "flood {line} {}", "x".repeat(120)).is_ok() {
        line += 1;
    }
    ExitCode::FAILURE
}

/// Takes memory and touches it, until somebody ends this.
fn eat() -> ExitCode {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![hoard.len() as u8 | 1; 1 << 20]);
    }
}

/// Blocks SIGTERM and goes on.
fn ignore_term() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let Ok(mut signals) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return ExitCode::FAILURE;
        };
        loop {
            signals.recv().await;
        }
    })
}

/// Answers every connection with the text, as HTTP.
fn serve(text: &str, address: &str) -> ExitCode {
    let Ok(listener) = TcpListener::bind(address) else { return ExitCode::FAILURE };
    for mut stream in listener.incoming().flatten() {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
        // A caller that has gone is none of ours.
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]).and_then(|_| stream.write_all(answer.as_bytes()));
    }
    ExitCode::SUCCESS
}

/// Waits a moment, then listens on a unix socket: a service that is not ready at once.
fn listen(socket: &str) -> ExitCode {
    std::thread::sleep(Duration::from_millis(500));
    // One from an earlier run.
    let _ = std::fs::remove_file(socket);
    match UnixListener::bind(socket) {
        Ok(_listener) => for_ever(),
        Err(_) => ExitCode::FAILURE,
    }
}
