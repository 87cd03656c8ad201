//! What a running program says, line by line, while a test waits for a word of it.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The growing output of a program: read by a thread of its own, so that the program never waits for the test.
pub struct Output {
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    text: String,
    open: usize,
}

impl Shared {
    /// A test that stopped while it looked at the text has not spoiled it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in an output: what is before it was said earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(usize);

impl Output {
    /// Collects what these say, mixed as it comes.
    pub fn of(sources: Vec<Box<dyn Read + Send>>) -> Self {
        let shared = Arc::new(Shared::default());
        shared.state().open = sources.len();
        let read = |mut source: Box<dyn Read + Send>| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = source.read(&mut buffer) {
                    shared.state().text.push_str(&String::from_utf8_lossy(&buffer[..n]));
                    shared.changed.notify_all();
                }
                shared.state().open -= 1;
                shared.changed.notify_all();
            })
        };
        let readers = sources.into_iter().map(read).collect();
        Self { shared, readers }
    }

    /// Everything said up to now.
    pub fn text(&self) -> String {
        self.shared.state().text.clone()
    }

    /// The end of what is said up to now.
    pub fn mark(&self) -> Mark {
        Mark(self.shared.state().text.len())
    }

    /// What was said after a mark.
    pub fn since(&self, mark: Mark) -> String {
        self.shared.state().text.get(mark.0..).unwrap_or_default().to_owned()
    }

    /// Waits until a complete line after `mark` satisfies `wanted`; returns what it made of it.
    ///
    /// # Panics
    /// With the text, when the time passes or the program ends first.
    pub fn wait_for<T>(&self, mark: Mark, what: &str, wait: Duration, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + wait;
        let mut state = self.shared.state();
        let mut seen = mark.0;
        loop {
            while let Some(length) = state.text[seen..].find('\n') {
                let line = state.text[seen..seen + length].trim_end_matches('\r');
                if let Some(found) = wanted(line) {
                    return found;
                }
                seen += length + 1;
            }
            let left = deadline.checked_duration_since(Instant::now());
            assert!(left.is_some() && state.open > 0, "no {what} in {wait:?}; it said:\n{}", state.text);
            state = self.shared.changed.wait_timeout(state, left.unwrap_or_default()).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the end of everything that is read, which is the end of the program and all that has its pipes.
    ///
    /// # Panics
    /// When a reader did.
    pub fn finish(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
    }
}
