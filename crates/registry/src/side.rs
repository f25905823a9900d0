//! Several layers at a time: the threads, and nothing else.

use std::sync::Mutex;
use std::thread;

/// Calls `work` for each item, `width` of them side by side, in the items' order as far as that goes. After the first
/// failure none is begun any more.
///
/// # Errors
/// The first failure, once those that had begun have ended.
pub fn by_side<T: Sync, E: Send>(
    items: &[T],
    width: usize,
    work: impl Fn(usize, &T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let queue = Mutex::new((items.iter().enumerate(), None));
    let next = || match queue.lock() {
        Ok(mut queue) if queue.1.is_none() => queue.0.next(),
        _ => None,
    };
    let run = || {
        while let Some((number, item)) = next() {
            if let Err(error) = work(number, item)
                && let Ok(mut queue) = queue.lock()
            {
                queue.1.get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..width.clamp(1, items.len().max(1)) {
            scope.spawn(run);
        }
    });
    match queue.into_inner() {
        Ok((_, Some(error))) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::by_side;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn does_all_or_stops_at_a_failure() {
        let items: Vec<usize> = (0..100).collect();
        let sum = AtomicUsize::new(0);
        let add = |_: usize, n: &usize| -> Result<(), usize> {
            sum.fetch_add(*n, Ordering::Relaxed);
            Ok(())
        };
        assert_eq!(by_side(&items, 4, add), Ok(()));
        assert_eq!(sum.into_inner(), 4950);
        let done = AtomicUsize::new(0);
        let fail = |_: usize, n: &usize| {
            done.fetch_add(1, Ordering::Relaxed);
            if *n == 3 { Err(*n) } else { Ok(()) }
        };
        assert_eq!(by_side(&items, 2, fail), Err(3));
        assert!(done.into_inner() < 100);
        assert_eq!(by_side(&Vec::<u8>::new(), 3, |_, _| Err(())), Ok(()));
    }
}
