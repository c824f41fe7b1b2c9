use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use crate::error::CommandError;

/// Processes items in `jobs` threads and returns the results in order. After an error, no other item is started, and
/// the error is returned when the running ones have finished.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> Result<R, CommandError> + Sync,
) -> Result<Vec<R>, CommandError> {
    let next = Mutex::new(items.iter().enumerate());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let stop = || while take().is_some() {};
    let worker = || {
        let mut done = Vec::new();
        while let Some((position, item)) = take() {
            match work(item) {
                Ok(answer) => done.push((position, answer)),
                Err(error) => {
                    stop();
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let ended: Vec<Result<Vec<(usize, R)>, CommandError>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.min(items.len())).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut answers: Vec<(usize, R)> = Vec::new();
    for done in ended {
        answers.extend(done?);
    }
    answers.sort_by_key(|(position, _)| *position);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..20).collect();
        let doubled = each(&items, 4, |item| {
            thread::sleep(std::time::Duration::from_millis((20 - item) % 5));
            Ok(item * 2)
        });
        assert_eq!(doubled.unwrap(), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!(each(&[] as &[u64], 4, |_| Ok(())).unwrap().is_empty());
    }

    #[test]
    fn nothing_is_started_after_an_error() {
        let begun = AtomicUsize::new(0);
        let items = [0; 100];
        let result = each(&items, 2, |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(CommandError::failed("no"))
        });
        assert_eq!(result.unwrap_err().message, "no");
        assert!(begun.into_inner() <= 2);
    }
}
