//! What the child writes down in memory that its parent has, too: at which step it is, and when each was done.
//!
//! Invariant: the child stores and makes no call but clock_gettime(2), and that one only where times are asked for.

use crate::{Error, Result};
use libc::c_long;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One shared mapping of 64-bit cells: the step, the beginning, and the end of each step. Zero: not yet.
#[derive(Debug)]
pub struct Trace {
    cells: NonNull<AtomicU64>,
    steps: usize,
    timed: bool,
}

const STEP: usize = 0;
const BEGUN: usize = 1;
const DONE: usize = 2;

impl Trace {
    /// For so many steps; `timed`: with their times.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(steps: usize, timed: bool) -> Result<Self> {
        let call = || "mmap(MAP_SHARED | MAP_ANONYMOUS)".to_owned();
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, of no file and at no address of ours.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), Self::size(steps), access, kind, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(Error::of_io(call)(std::io::Error::last_os_error()));
        }
        let cells = NonNull::new(memory.cast()).ok_or_else(|| Error::new(call(), rustix::io::Errno::NOMEM))?;
        Ok(Self { cells, steps, timed })
    }

    fn size(steps: usize) -> usize {
        (DONE + steps) * size_of::<AtomicU64>()
    }

    fn cells(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has that many, zeroed by the kernel and aligned to a page, as long as `self`; both
        // processes use them as atomics only.
        unsafe { std::slice::from_raw_parts(self.cells.as_ptr(), DONE + self.steps) }
    }

    /// In the child: its first step is next.
    pub(super) fn begin(&self) {
        self.stamp(BEGUN);
    }

    /// In the child: this step is next, or another operation of it.
    pub(super) fn at(&self, step: u16) {
        self.cells()[STEP].store(u64::from(step) + 1, Relaxed);
    }

    /// In the child: this operation of the step is done; the last one's word counts.
    pub(super) fn done(&self, step: u16) {
        self.stamp(DONE + usize::from(step));
    }

    fn stamp(&self, cell: usize) {
        if let (true, Some(cell)) = (self.timed, self.cells().get(cell)) {
            cell.store(now().as_nanos() as u64, Relaxed);
        }
    }

    /// The step at which the child is, or has ended.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        self.cells()[STEP].load(Relaxed).checked_sub(1).map(|step| step as usize)
    }

    /// When the child began, and when each step was done, on [`now`]'s clock. A step without operations is done with
    /// the one before it. Of the last one nothing is said: it may be a filter that forbids to look at the clock.
    #[must_use]
    pub fn times(&self) -> (Duration, Vec<Duration>) {
        let at = |cell: &AtomicU64| Duration::from_nanos(cell.load(Relaxed));
        let begun = at(&self.cells()[BEGUN]);
        let ends = self.cells()[DONE..].iter().take(self.steps.saturating_sub(1));
        let ends = ends.scan(begun, |last, cell| {
            *last = at(cell).max(*last);
            Some(*last)
        });
        (begun, ends.collect())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing borrows from it any more.
        unsafe { libc::munmap(self.cells.as_ptr().cast(), Self::size(self.steps)) };
    }
}

/// The time since boot (CLOCK_MONOTONIC), by the system call itself: in the child of a clone nothing else is sure.
#[must_use]
pub fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid struct to write to; refused, it stays zero.
    unsafe { libc::syscall(libc::SYS_clock_gettime, c_long::from(libc::CLOCK_MONOTONIC), &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_without_operations_takes_no_time() {
        let trace = Trace::new(4, true).unwrap();
        assert_eq!((trace.step(), trace.times().0), (None, Duration::ZERO));
        let before = now();
        trace.begin();
        for step in [0, 2, 3] {
            trace.at(step);
            trace.done(step);
        }
        let (begun, ends) = trace.times();
        assert_eq!((trace.step(), ends.len()), (Some(3), 3));
        assert!(before <= begun && begun <= ends[0] && ends[0] == ends[1] && ends[1] <= ends[2]);
    }

    #[test]
    fn looks_at_the_clock_only_when_asked() {
        let trace = Trace::new(600, false).unwrap();
        trace.begin();
        trace.at(599);
        trace.done(599);
        assert_eq!((trace.step(), trace.times().0), (Some(599), Duration::ZERO));
    }
}
