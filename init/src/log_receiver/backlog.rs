//! What waits to be sent: bounded, the oldest goes first when there is too much.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many bytes wait at most.
const SIZE: usize = 512 << 10;

/// The queue between those who read logs and the one who sends.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<String>,
    bytes: usize,
    lost: u64,
}

/// What to send next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// So many messages have been lost.
    Lost(u64),
    /// A message.
    Message(String),
}

impl Backlog {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message behind the others.
    pub(super) fn push(&self, message: String) {
        let mut queue = self.queue();
        queue.bytes += message.len();
        queue.messages.push_back(message);
        while queue.bytes > SIZE {
            let Some(oldest) = queue.messages.pop_front() else { break };
            queue.bytes -= oldest.len();
            queue.lost += 1;
        }
        drop(queue);
        self.more.notify_one();
    }

    /// The next message; waits for one.
    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.more.notified().await;
        }
    }

    fn try_next(&self) -> Option<Next> {
        let mut queue = self.queue();
        if queue.lost > 0 {
            return Some(Next::Lost(std::mem::take(&mut queue.lost)));
        }
        let message = queue.messages.pop_front()?;
        queue.bytes -= message.len();
        Some(Next::Message(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let backlog = Backlog::default();
        assert_eq!(backlog.try_next(), None);
        for number in 0..600 {
            backlog.push(format!("{number:01024}"));
        }
        assert_eq!(backlog.try_next(), Some(Next::Lost(88)));
        assert_eq!(backlog.try_next(), Some(Next::Message(format!("{:01024}", 88))));
        let left = std::iter::from_fn(|| backlog.try_next()).count();
        assert_eq!((left, backlog.queue().bytes), (511, 0));
    }
}
