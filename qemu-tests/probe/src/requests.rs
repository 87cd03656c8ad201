//! What is done for each request. Errors are words for the test's author.

use crate::{network, processes};
use kmimage_probe::{LIMIT, Request, Response, Space, Stat};
use rustix::process::{Pid, Signal};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

type Answered = Result<(Response, Vec<u8>), Box<dyn Error>>;

/// The answer to a request, with its data.
pub(crate) fn answer(request: Request, data: &[u8]) -> Answered {
    let response = match request {
        Request::Hello => Response::Done,
        Request::Read(path) => {
            let mut content = Vec::new();
            std::fs::File::open(path)?.take(u64::from(LIMIT)).read_to_end(&mut content)?;
            return Ok((Response::Done, content));
        }
        Request::Write(path) => {
            std::fs::write(path, data)?;
            Response::Done
        }
        Request::Stat(path) => Response::Stat(stat(&path)?),
        Request::List(path) => {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(path)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Response::Words(names)
        }
        Request::ReadLink(path) => Response::Words(vec![std::fs::read_link(path)?.to_string_lossy().into_owned()]),
        Request::Remove(path) => {
            std::fs::remove_file(path)?;
            Response::Done
        }
        Request::Space(path) => {
            let space = rustix::fs::statvfs(path)?;
            Response::Space(Space { total: space.f_blocks * space.f_frsize, available: space.f_bavail * space.f_frsize })
        }
        Request::Processes => Response::Processes(processes::all()?),
        Request::Run { command, environment, limit_ms } => {
            return run(&command, environment, Duration::from_millis(limit_ms), data);
        }
        Request::Kill { pid, signal } => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no such process can be")?;
            rustix::process::kill_process(pid, Signal::from_named_raw(signal).ok_or("no such signal")?)?;
            Response::Done
        }
        Request::Resolve(name) => {
            let mut addresses: Vec<String> =
                (name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip().to_string()).collect();
            addresses.sort();
            addresses.dedup();
            Response::Words(addresses)
        }
        Request::Connect { to, limit_ms } => return connect(&to, Duration::from_millis(limit_ms), data),
        Request::KernelLog => return Ok((Response::Done, kernel_log()?)),
        Request::Network => Response::Network(network::all()?),
        #[expect(clippy::disallowed_methods, reason = "the machine's clock is what is asked for")]
        Request::Clock => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            Response::Clock(u64::try_from(since.as_nanos())?)
        }
    };
    Ok((response, Vec::new()))
}

/// Every record that there is now; /dev/kmsg gives one per read and then says that it would block.
fn kernel_log() -> std::io::Result<Vec<u8>> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut log = std::fs::File::options().read(true).custom_flags(flags).open("/dev/kmsg")?;
    let (mut text, mut record) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(text),
            Ok(length) => text.extend_from_slice(&record[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(text),
            // Records were overwritten while we read: the next are there.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
}

fn stat(path: &str) -> Result<Stat, Box<dyn Error>> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok(Stat {
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        size: metadata.size(),
        dev: metadata.dev(),
        rdev: metadata.rdev(),
        ino: metadata.ino(),
        mtime: metadata.mtime(),
    })
}

#[expect(clippy::disallowed_methods, reason = "the tests run programs of the image")]
fn run(command: &[String], environment: std::collections::BTreeMap<String, String>, limit: Duration, input: &[u8]) -> Answered {
    let (program, arguments) = command.split_first().ok_or("no program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no pipe")?;
    let input = input.to_vec();
    // A program that doesn't read must not stop us.
    std::thread::spawn(move || stdin.write_all(&input));
    let stdout = collect(child.stdout.take().ok_or("no pipe")?);
    let stderr = collect(child.stderr.take().ok_or("no pipe")?);
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Err(format!("{program}: not done in {limit:?}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut output = stdout.join().map_err(|_| "its output was lost")?;
    let length = output.len();
    output.extend(stderr.join().map_err(|_| "its output was lost")?);
    Ok((Response::Ran { code: status.code(), signal: status.signal(), stdout: length }, output))
}

fn collect(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth reading.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

fn connect(to: &str, limit: Duration, data: &[u8]) -> Answered {
    let deadline = Instant::now() + limit;
    let address = to.to_socket_addrs()?.next().ok_or("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.write_all(data)?;
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => received.extend_from_slice(&buffer[..n]),
        }
    }
    Ok((Response::Done, received))
}
