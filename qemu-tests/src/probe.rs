//! Questions to the probe inside a machine that runs the image `test`.

use kmimage_probe::{Answer, Network, Process, Question, Request, Response, Space, Stat, receive, send};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the probe may take to be there: the machine must have come to starting its services.
const START: Duration = Duration::from_secs(120);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// A connection to a probe that has answered.
pub struct Probe {
    stream: UnixStream,
    number: u64,
}

/// How a program in the machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; none: a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A line of /proc/self/mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub target: String,
    /// What part of the file system.
    pub root: String,
    /// The mount's own options: `rw,nosuid,nodev`.
    pub options: Vec<String>,
    /// The file system's type.
    pub kind: String,
    /// Its source.
    pub source: String,
    /// The file system's options.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether the mount or its file system has this option.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().chain(&self.super_options).any(|have| have == option)
    }
}

impl Probe {
    /// Waits for the probe behind this socket of QEMU's. None: it does not answer. The image has none, or its services were not started.
    ///
    /// # Panics
    /// When there is no such socket: the machine has no port for a probe.
    pub fn connect(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        let mut probe = Self { stream, number: 0 };
        probe.answers().then_some(probe)
    }

    /// Waits until the probe answers (again): after a reboot its connection is the same, the program at the end is not.
    ///
    /// # Panics
    /// When it does not.
    pub fn hello(&mut self) {
        assert!(self.answers(), "no probe answers in {START:?}");
    }

    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + START;
        // Sent again: a machine that is reset takes questions with it.
        while self.ask_within(Request::Hello, &[], Duration::from_secs(5)).is_none() {
            if Instant::now() > deadline {
                return false;
            }
        }
        true
    }

    /// Asks; an error is the machine's own word.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn ask(&mut self, request: Request, data: &[u8]) -> Result<(Response, Vec<u8>), String> {
        let text = format!("{request:?}");
        self.ask_within(request, data, ANSWER).unwrap_or_else(|| panic!("no answer to {text} in {ANSWER:?}"))
    }

    fn ask_within(&mut self, request: Request, data: &[u8], wait: Duration) -> Option<Result<(Response, Vec<u8>), String>> {
        self.number += 1;
        send(&mut self.stream, &Question { number: self.number, request }, data).expect("the probe's socket");
        let deadline = Instant::now() + wait;
        loop {
            let mut source = Until { stream: &self.stream, deadline };
            match receive::<Answer>(&mut source) {
                // An answer to an earlier question, which came too late.
                Ok((answer, _)) if answer.number != self.number => {}
                Ok((answer, data)) => return Some(answer.result.map(|response| (response, data))),
                Err(error) if error.kind() == ErrorKind::TimedOut => return None,
                Err(error) => panic!("the probe's socket: {error}"),
            }
        }
    }

    fn must(&mut self, request: Request, data: &[u8]) -> (Response, Vec<u8>) {
        let text = format!("{request:?}");
        self.ask(request, data).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn words(&mut self, request: Request) -> Vec<String> {
        match self.must(request, &[]).0 {
            Response::Words(words) => words,
            other => panic!("not words: {other:?}"),
        }
    }

    /// The content of a file, as text.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn read(&mut self, path: &str) -> String {
        String::from_utf8_lossy(&self.read_bytes(path)).into_owned()
    }

    /// The content of a file.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn read_bytes(&mut self, path: &str) -> Vec<u8> {
        self.must(Request::Read(path.to_owned()), &[]).1
    }

    /// The content of a file, or the error.
    pub fn try_read(&mut self, path: &str) -> Result<String, String> {
        let (_, data) = self.ask(Request::Read(path.to_owned()), &[])?;
        Ok(String::from_utf8_lossy(&data).into_owned())
    }

    /// Writes a file as a whole.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn write(&mut self, path: &str, content: &[u8]) {
        self.must(Request::Write(path.to_owned()), content);
    }

    /// Tries to write a file: what must not be writable answers with an error.
    pub fn try_write(&mut self, path: &str, content: &[u8]) -> Result<(), String> {
        self.ask(Request::Write(path.to_owned()), content).map(drop)
    }

    /// Removes a file.
    ///
    /// # Panics
    /// When it can't be removed.
    pub fn remove(&mut self, path: &str) {
        self.must(Request::Remove(path.to_owned()), &[]);
    }

    /// What a path is; a link is not followed.
    pub fn stat(&mut self, path: &str) -> Option<Stat> {
        match self.ask(Request::Stat(path.to_owned()), &[]) {
            Ok((Response::Stat(stat), _)) => Some(stat),
            _ => None,
        }
    }

    /// Whether there is something of this name.
    pub fn exists(&mut self, path: &str) -> bool {
        self.stat(path).is_some()
    }

    /// The names in a folder, sorted.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn list(&mut self, path: &str) -> Vec<String> {
        self.words(Request::List(path.to_owned()))
    }

    /// Where a link leads.
    ///
    /// # Panics
    /// When it is none.
    pub fn read_link(&mut self, path: &str) -> String {
        self.words(Request::ReadLink(path.to_owned())).remove(0)
    }

    /// The size of the file system of a path.
    ///
    /// # Panics
    /// When there is none.
    pub fn space(&mut self, path: &str) -> Space {
        match self.must(Request::Space(path.to_owned()), &[]).0 {
            Response::Space(space) => space,
            other => panic!("not a size: {other:?}"),
        }
    }

    /// All processes, zombies too.
    ///
    /// # Panics
    /// When /proc can't be read.
    pub fn processes(&mut self) -> Vec<Process> {
        match self.must(Request::Processes, &[]).0 {
            Response::Processes(processes) => processes,
            other => panic!("not processes: {other:?}"),
        }
    }

    /// Runs a program of the image with arguments to its end.
    ///
    /// # Panics
    /// When it can't be started, or takes half a minute.
    pub fn run(&mut self, command: &[&str]) -> Ran {
        self.run_with(command, &[], b"", Duration::from_secs(30))
    }

    /// Runs a program with more environment, input and a limit of its time.
    ///
    /// # Panics
    /// When it can't be started, or takes longer.
    pub fn run_with(&mut self, command: &[&str], environment: &[(&str, &str)], input: &[u8], limit: Duration) -> Ran {
        let environment: BTreeMap<String, String> =
            environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        match self.must(Request::Run { command, environment, limit_ms }, input) {
            (Response::Ran { code, signal, stdout }, output) => {
                let (out, err) = output.split_at(stdout.min(output.len()));
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                Ran { code, signal, stdout: text(out), stderr: text(err) }
            }
            other => panic!("not a run: {other:?}"),
        }
    }

    /// Sends a signal by its number.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn kill(&mut self, pid: u32, signal: i32) {
        self.must(Request::Kill { pid, signal }, &[]);
    }

    /// The addresses of a name as the C library finds them, or its error.
    pub fn resolve(&mut self, name: &str) -> Result<Vec<String>, String> {
        match self.ask(Request::Resolve(name.to_owned()), &[])?.0 {
            Response::Words(words) => Ok(words),
            other => panic!("not words: {other:?}"),
        }
    }

    /// Connects from inside to `host:port`, sends, and gives what came back in two seconds; or the error.
    pub fn tcp(&mut self, to: &str, content: &[u8]) -> Result<String, String> {
        let (_, data) = self.ask(Request::Connect { to: to.to_owned(), limit_ms: 2000 }, content)?;
        Ok(String::from_utf8_lossy(&data).into_owned())
    }

    /// Links, addresses and routes.
    ///
    /// # Panics
    /// When the kernel doesn't tell.
    pub fn network(&mut self) -> Network {
        match self.must(Request::Network, &[]).0 {
            Response::Network(network) => network,
            other => panic!("not a network: {other:?}"),
        }
    }

    /// The kernel's log with the state lines in it: time since the kernel's start, text. Records in order.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn kernel_log(&mut self) -> Vec<(Duration, String)> {
        let (_, data) = self.must(Request::KernelLog, &[]);
        String::from_utf8_lossy(&data).lines().filter_map(record).collect()
    }

    /// The machine's clock, since 1970.
    ///
    /// # Panics
    /// When it doesn't tell.
    pub fn clock(&mut self) -> Duration {
        match self.must(Request::Clock, &[]).0 {
            Response::Clock(nanoseconds) => Duration::from_nanos(nanoseconds),
            other => panic!("not a time: {other:?}"),
        }
    }

    /// What is mounted, in the order of the kernel's list.
    ///
    /// # Panics
    /// When the kernel's list can't be read.
    pub fn mounts(&mut self) -> Vec<Mount> {
        self.read("/proc/self/mountinfo").lines().map(|line| mount(line).expect("a line of mountinfo")).collect()
    }

    /// The last mount on this path.
    pub fn mount(&mut self, target: &str) -> Option<Mount> {
        self.mounts().into_iter().rev().find(|mount| mount.target == target)
    }

    /// A sysctl by its dotted name, without the line's end.
    ///
    /// # Panics
    /// When there is none.
    pub fn sysctl(&mut self, name: &str) -> String {
        self.read(&format!("/proc/sys/{}", name.replace('.', "/"))).trim_end().to_owned()
    }

    /// Asks again and again until the answer pleases.
    ///
    /// # Panics
    /// When it doesn't in time.
    pub fn until<T>(&mut self, what: &str, wait: Duration, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "no {what} in {wait:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// `6,339,5140900,-;NET: Registered PF_INET6 protocol family`: priority, number, microseconds, flags; text. Lines that begin with a space
/// belong to the record before and carry no text.
fn record(line: &str) -> Option<(Duration, String)> {
    let (head, text) = line.split_once(';').filter(|_| !line.starts_with(' '))?;
    let microseconds = head.split(',').nth(2)?.parse().ok()?;
    Some((Duration::from_micros(microseconds), text.to_owned()))
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue` (proc(5)).
fn mount(line: &str) -> Option<Mount> {
    let (own, file_system) = line.split_once(" - ")?;
    let own: Vec<&str> = own.split(' ').collect();
    let mut file_system = file_system.split(' ');
    let options = |text: &str| text.split(',').map(str::to_owned).collect();
    Some(Mount {
        root: (*own.get(3)?).to_owned(),
        target: (*own.get(4)?).to_owned(),
        options: options(own.get(5)?),
        kind: file_system.next()?.to_owned(),
        source: file_system.next()?.to_owned(),
        super_options: options(file_system.next()?),
    })
}

/// A stream that is read until a deadline.
struct Until<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.deadline.checked_duration_since(Instant::now()).ok_or(ErrorKind::TimedOut)?;
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match (&mut &*self.stream).read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo() {
        let found = mount("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue").unwrap();
        assert_eq!((found.target.as_str(), found.root.as_str(), found.kind.as_str()), ("/mnt2", "/mnt1", "ext3"));
        assert!(found.has("noatime") && found.has("errors=continue") && !found.has("nosuid"));
        assert_eq!(mount("36 35"), None);
    }
}
