//! What containers of the tests do: images have no other program, neither a shell.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

/// Does what the words say: `cat PATH...`, `copy FROM TO`, `write PATH TEXT`, `fetch ADDRESS`, `echo`, `last-words SECONDS TEXT`,
/// `fill PATH`.
pub(crate) fn main(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["cat", paths @ ..] => paths.iter().try_for_each(|path| std::io::stdout().write_all(&std::fs::read(path)?)),
        ["copy", from, to] => copy(from, to),
        ["write", path, text] => std::fs::write(path, text),
        ["fetch", address] => fetch(address),
        ["echo"] => echo(),
        ["fill", path] => fill(path),
        ["last-words", seconds, text] => last_words(seconds.parse().unwrap_or(0), text),
        _ => return ExitCode::from(2),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may read it.
            let _ = writeln!(std::io::stderr(), "{}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

/// As a DaemonSet brings its CNI plugin: beside, then in its place.
fn copy(from: &str, to: &str) -> std::io::Result<()> {
    let beside = format!("{to}.new");
    std::fs::copy(from, &beside)?;
    std::fs::rename(beside, to)
}

/// Asks by HTTP for `/` and prints the body.
fn fetch(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    writeln!(std::io::stdout(), "{body}")
}

/// Says each line again.
fn echo() -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        writeln!(std::io::stdout(), "you said: {}", line?)?;
    }
    Ok(())
}

/// Waits for SIGTERM, needs so long to end, and says a last line.
fn last_words(seconds: u64, text: &str) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let mut signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        writeln!(std::io::stdout(), "waiting")?;
        signals.recv().await;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        writeln!(std::io::stdout(), "{text}")
    })
}

/// Takes all space that its file system has, and keeps it.
fn fill(path: &str) -> std::io::Result<()> {
    let file = std::fs::File::create(path)?;
    let (mut size, mut step) = (0, 1 << 30);
    while step >= 4096 {
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), size, step) {
            Ok(()) => size += step,
            Err(rustix::io::Errno::NOSPC) => step /= 2,
            Err(error) => return Err(error.into()),
        }
    }
    writeln!(std::io::stdout(), "filled {size}")?;
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
