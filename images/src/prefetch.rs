//! Computes items ahead of time in threads and returns them in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Items 0, 1, …, computed by several threads and taken in this order. Dropping it stops the threads and waits for
/// them.
pub(crate) struct Prefetch<T> {
    shared: Arc<Shared<T>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Signalled when an item is ready, and when a thread ends.
    ready: Condvar,
    /// Signaled when an item is taken and when the work ends.
    room: Condvar,
    count: usize,
    ahead: usize,
}

struct State<T> {
    /// The next item that no thread has started.
    next: usize,
    /// The next item to take.
    taken: usize,
    made: BTreeMap<usize, T>,
    running: usize,
    stopped: bool,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts to compute `count` items with `make`, at most `ahead` of them before they are taken.
    ///
    /// If the system cannot start as many threads as requested, fewer are used; see [`threads`](Self::threads).
    pub(crate) fn new(
        threads: usize,
        count: usize,
        ahead: usize,
        make: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Self {
        let state = State { next: 0, taken: 0, made: BTreeMap::new(), running: 0, stopped: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            ready: Condvar::new(),
            room: Condvar::new(),
            count,
            ahead: ahead.max(1),
        });
        let make = Arc::new(make);
        let mut handles = Vec::new();
        for _ in 0..threads.min(count) {
            let (worker, make) = (Worker::new(&shared), Arc::clone(&make));
            match Builder::new().name("images".to_owned()).spawn(move || worker.run(&*make)) {
                Ok(handle) => handles.push(handle),
                Err(_) => break,
            }
        }
        Self { shared, threads: handles }
    }

    /// How many threads were started.
    pub(crate) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Waits for the next item. Returns `None` after the last item, and if a thread ended before it computed the item.
    pub(crate) fn take(&mut self) -> Option<T> {
        let mut state = self.shared.lock();
        if state.taken == self.shared.count {
            return None;
        }
        loop {
            let index = state.taken;
            if let Some(item) = state.made.remove(&index) {
                state.taken += 1;
                self.shared.room.notify_one();
                return Some(item);
            }
            if state.running == 0 {
                return None;
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // Its panic was reported when it happened, and shows as an item that does not come.
            let _ = thread.join();
        }
    }
}

impl<T> Shared<T> {
    /// The state holds together between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.room.notify_all();
    }
}

/// Counts itself among the running ones for as long as it lives.
struct Worker<T>(Arc<Shared<T>>);

impl<T> Worker<T> {
    fn new(shared: &Arc<Shared<T>>) -> Self {
        shared.lock().running += 1;
        Self(Arc::clone(shared))
    }

    fn run(self, make: &(impl Fn(usize) -> T + ?Sized)) {
        while let Some(index) = self.next_index() {
            let item = make(index);
            self.0.lock().made.insert(index, item);
            self.0.ready.notify_one();
        }
    }

    /// Waits until another item may be computed. Returns `None` when all items are computed or no more are wanted.
    fn next_index(&self) -> Option<usize> {
        let mut state = self.0.lock();
        loop {
            if state.stopped || state.next == self.0.count {
                return None;
            }
            if state.next < state.taken + self.0.ahead {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.0.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running -= 1;
        // Otherwise the other threads would continue to compute items that are never taken.
        state.stopped |= std::thread::panicking();
        drop(state);
        self.0.ready.notify_one();
        self.0.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn items_are_returned_in_order() {
        for threads in [1, 2, 7] {
            let mut items = Prefetch::new(threads, 50, 5, |index| {
                std::thread::sleep(Duration::from_micros((index * 7919 % 13) as u64 * 50));
                index
            });
            assert_eq!(items.threads(), threads);
            assert!((0..50).all(|index| items.take() == Some(index)));
            assert_eq!(items.take(), None);
        }
    }

    #[test]
    fn prefetching_respects_its_limit() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let mut items = Prefetch::new(3, 100, 4, move |_| counter.fetch_add(1, Ordering::SeqCst));
        for taken in 0..100 {
            assert!(made.load(Ordering::SeqCst) <= taken + 4);
            assert!(items.take().is_some());
        }
    }

    #[test]
    fn threads_exit_when_the_prefetch_is_dropped() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let mut items = Prefetch::new(2, 1_000_000, 10, move |_| counter.fetch_add(1, Ordering::SeqCst));
        assert!(items.take().is_some());
        drop(items);
        assert!(made.load(Ordering::SeqCst) <= 12);
        assert_eq!(Arc::strong_count(&made), 1);
    }

    #[test]
    fn panic_in_a_thread_ends_the_items() {
        let mut items = Prefetch::new(3, 1000, 8, |index| {
            assert!(index != 20, "on purpose");
            index
        });
        let taken = std::iter::from_fn(|| items.take()).count();
        assert_eq!(taken, 20);
    }
}
