//! Doing something that may hang, without hanging.

use std::sync::mpsc;
use std::time::Duration;

/// Does something on a thread of its own and waits for its result, but no longer than `limit`. `None`: it did not end in time, and may
/// still be at it, or there was no thread to be had.
pub(crate) fn within<T: Send + 'static>(limit: Duration, act: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, end) = mpsc::channel();
    let thread = std::thread::Builder::new().spawn(move || {
        let _ = done.send(act());
    });
    thread.is_ok().then(|| end.recv_timeout(limit).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_not_waited_for() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let (hold, held) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(10), move || held.recv().is_ok()), None);
        drop(hold);
    }
}
