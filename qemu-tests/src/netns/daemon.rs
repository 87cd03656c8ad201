//! A program that goes on running while a test looks at what it does; it ends with the value.

use crate::output::{Mark, Output};
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running program with everything it has said.
pub struct Daemon {
    name: String,
    child: Child,
    output: Output,
}

impl Daemon {
    /// Starts a program; what it says on standard output and standard error is kept, mixed as it comes.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn spawn(command: &mut Command) -> Self {
        let name =
            command.get_args().chain([command.get_program()]).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("a pipe"));
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("a pipe"));
        Self { name, child, output: Output::of(vec![stdout, stderr]) }
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        self.output.text()
    }

    /// The end of what it has said up to now.
    pub fn mark(&self) -> Mark {
        self.output.mark()
    }

    /// What it said after a mark.
    pub fn since(&self, mark: Mark) -> String {
        self.output.since(mark)
    }

    /// Waits for a line among all that it has said and will say.
    ///
    /// # Panics
    /// With its log, when none comes in time.
    pub fn wait_for<T>(&self, what: &str, wait: Duration, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.wait_after(Mark::default(), what, wait, wanted)
    }

    /// Waits for a line after a mark.
    ///
    /// # Panics
    /// With its log, when none comes in time.
    pub fn wait_after<T>(&self, mark: Mark, what: &str, wait: Duration, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.output.wait_for(mark, &format!("{what} from {}", self.name), wait, wanted)
    }

    /// Its process id, as the host counts.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by the name that kill(1) knows.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, name: &str) {
        crate::foreign::run(crate::foreign::program("kill").arg(format!("-{name}")).arg(self.child.id().to_string()));
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// With its log, when it goes on.
    pub fn wait(&mut self, wait: Duration) -> ExitStatus {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(status) = self.child.try_wait().expect("waitpid") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} goes on; it said:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
