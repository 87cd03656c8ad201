//! Runs a job per item on a few threads; the first failure stops the others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Lets running jobs see that another one has failed.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// `job` of every item, in the items' order. Of several failures the first that happened is returned: the others may merely follow.
pub(crate) fn each<I: Sync, T: Send, E: Send>(
    items: &[I],
    threads: usize,
    job: impl Fn(&I, &Stop) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    each_with(items, threads, || (), |(), item, stop| job(item, stop))
}

/// As [`each`], for jobs that need something of their thread's own, such as a buffer.
pub(crate) fn each_with<I: Sync, S, T: Send, E: Send>(
    items: &[I],
    threads: usize,
    own: impl Fn() -> S + Sync,
    job: impl Fn(&mut S, &I, &Stop) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let stop = Stop::default();
    let done: Mutex<Vec<(usize, T)>> = Mutex::default();
    let failed: Mutex<Option<E>> = Mutex::default();
    let work = || {
        let mut own = own();
        while !stop.is_set() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            match job(&mut own, item, &stop) {
                Ok(value) => done.lock().unwrap_or_else(PoisonError::into_inner).push((at, value)),
                Err(error) => {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    stop.0.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

/// `job` of every item, in the items' order, where a failure is a result like others: the same one is found whatever the timing.
pub(crate) fn map<I: Sync, T: Send>(items: &[I], threads: usize, job: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let Ok(results) = each(items, threads, |item, _| Ok::<T, std::convert::Infallible>(job(item)));
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_and_the_first_failure() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(each(&items, 4, |item, _| Ok::<_, ()>(item * 2)), Ok((0..100).map(|item| item * 2).collect()));
        let ran = AtomicUsize::new(0);
        let result = each(&items, 1, |item, stop| {
            assert!(!stop.is_set());
            ran.fetch_add(1, Ordering::Relaxed);
            if *item == 3 { Err("three") } else { Ok(()) }
        });
        assert_eq!((result, ran.into_inner()), (Err("three"), 4));
        assert_eq!(each(&[] as &[u32], 4, |_, _| Ok::<_, ()>(())), Ok(Vec::new()));
    }
}
