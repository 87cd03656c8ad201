//! Starting a program as a child: in a session, a control group and with limits of its own, from its first instruction on.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::CapabilitySet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How many files a program may have open: what container runtimes and kubelet ask for.
const OPEN_FILES: u64 = 1_048_576;

/// A program to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// What follows its name.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// The folder of the control group that it is to be in, which must exist. `None`: its parent's.
    pub cgroup: Option<PathBuf>,
    /// How gladly the kernel ends it when memory runs out: -1000 (never) to 1000.
    pub oom_score: i16,
    /// The capabilities that it, and whatever it starts, may have: bit n is capability n. `None`: its parent's.
    pub capabilities: Option<u64>,
    /// Whether set-user-ID programs and file capabilities give it nothing.
    pub no_new_privileges: bool,
    /// Whether it gets a pipe to read from; else it reads nothing.
    pub input: bool,
    /// Whether what it writes goes nowhere; else to two pipes.
    pub quiet: bool,
}

impl Program {
    /// A program with an empty environment and its parent's rights.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            cgroup: None,
            oom_score: 0,
            capabilities: None,
            no_new_privileges: false,
            input: false,
            quiet: false,
        }
    }
}

/// A program that was started.
#[derive(Debug)]
pub struct Started {
    /// Its process.
    pub pid: u32,
    /// What it writes to its standard output, unless it is quiet.
    pub output: Option<Pipe>,
    /// What it writes to its standard error, unless it is quiet.
    pub errors: Option<Pipe>,
    /// What it reads, where that was asked for.
    pub input: Option<Pipe>,
}

/// Our end of a pipe to a child. It never blocks.
#[derive(Debug)]
pub struct Pipe {
    file: File,
}

impl Pipe {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        Ok(Self { file: fd.into() })
    }

    /// Reads what is there, at most the buffer's length. `None`: nothing now. `Some(0)`: the other side has closed it.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::io::read(&self.file, buffer) {
            Ok(length) => Ok(Some(length)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes as much as fits now. `None`: nothing does.
    pub fn write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match rustix::io::write(&self.file, bytes) {
            Ok(length) => Ok(Some(length)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Starts a program. Its session, control group, limits and capabilities are set before its first instruction; no signal is
/// blocked, and each has its default effect. An error is the kernel's word on the step that failed, most often the program's file.
///
/// Who calls this reaps the child ([`crate::process::reap`]).
pub fn start(program: &Program) -> io::Result<Started> {
    let setup = Setup::prepare(program)?;
    let mut command = prepare_command(program);
    run_before_exec(&mut command, setup);
    let mut child = command.spawn()?;
    Ok(Started {
        pid: child.id(),
        output: child.stdout.take().map(|output| Pipe::new(output.into())).transpose()?,
        errors: child.stderr.take().map(|errors| Pipe::new(errors.into())).transpose()?,
        input: child.stdin.take().map(|input| Pipe::new(input.into())).transpose()?,
    })
}

#[expect(clippy::disallowed_methods, reason = "the one place where init starts programs")]
fn prepare_command(program: &Program) -> Command {
    let written = || if program.quiet { Stdio::null() } else { Stdio::piped() };
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(if program.input { Stdio::piped() } else { Stdio::null() })
        .stdout(written())
        .stderr(written());
    command
}

/// What is done in the child, with everything that it takes made before: no memory may be allocated there.
struct Setup {
    cgroup: Option<OwnedFd>,
    oom_score: [u8; 5],
    dropped: Vec<CapabilitySet>,
    limited: bool,
    no_new_privileges: bool,
}

impl Setup {
    fn prepare(program: &Program) -> io::Result<Self> {
        let open = |path: PathBuf| rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let mut oom_score = [b' '; 5];
        let digits = program.oom_score.clamp(-1000, 1000).to_string();
        oom_score[..digits.len()].copy_from_slice(digits.as_bytes());
        let kept = program.capabilities;
        let in_kernel = |capability: &CapabilitySet| {
            kept.is_some() && rustix::thread::capability_is_in_bounding_set(*capability).unwrap_or(false)
        };
        let all = (0..64).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
        let dropped = all.filter(|capability| kept.is_some_and(|kept| kept & capability.bits() == 0)).filter(in_kernel);
        Ok(Self {
            cgroup: program.cgroup.as_ref().map(|folder| open(folder.join("cgroup.procs"))).transpose()?,
            oom_score,
            dropped: dropped.collect(),
            limited: kept.is_some(),
            no_new_privileges: program.no_new_privileges,
        })
    }

    /// Runs between fork and exec: system calls only.
    fn apply(&self) -> io::Result<()> {
        // Process 1 reads its signals, which blocks them; who starts with SIGTERM blocked can't be asked to end.
        crate::signals::unblock_all()?;
        rustix::process::setsid()?;
        if let Some(cgroup) = &self.cgroup {
            // 0: who writes.
            rustix::io::write(cgroup, b"0")?;
        }
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let oom_score = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty())?;
        rustix::io::write(&oom_score, &self.oom_score)?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        raise_open_files();
        for capability in &self.dropped {
            rustix::thread::remove_capability_from_bounding_set(*capability)?;
        }
        if self.limited {
            let mut sets = rustix::thread::capabilities(None)?;
            sets.inheritable = CapabilitySet::empty();
            rustix::thread::set_capabilities(None, sets)?;
        }
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true)?;
        }
        Ok(())
    }
}

/// Best effort: where the kernel allows less, that is what there is.
fn raise_open_files() {
    let wanted = Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
    let _ = rustix::process::setrlimit(Resource::Nofile, wanted);
}

#[expect(unsafe_code, reason = "std has no safe way to do something between fork and exec")]
fn run_before_exec(command: &mut Command, setup: Setup) {
    // SAFETY: the closure makes system calls on memory that was made before the fork, allocates nothing and takes no
    // lock, so it may run in the copy of a process that has other threads (fork(2), signal-safety(7)).
    unsafe { command.pre_exec(move || setup.apply()) };
}
