//! Waiting for the kernel to say that a container ran out of memory, or for the container's end.
//!
//! Invariant: what is told was so when it was told: the kernel also wakes who waits when it removes the cgroup.

use crate::error::Result;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::cgroup::{Dir, File};

/// Why the wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    OutOfMemory,
    /// The process ended.
    Ended,
    /// The time is over.
    Due,
}

#[derive(Debug)]
pub struct Watch {
    process: OwnedFd,
    memory: Option<Memory>,
}

#[derive(Debug)]
enum Memory {
    /// memory.oom_control, and what the kernel counts up when it comes to that (cgroup-v1/memory.rst, "OOM Control").
    V1 { control: File, count: OwnedFd },
    /// memory.events, whose change poll(2) tells, and the processes killed until now.
    V2 { events: File, killed: u64 },
}

impl Watch {
    /// For as long as `process` lives. `v1` and `v2`: the container's directory that the memory controller has, if any.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(process: OwnedFd, v1: Option<&str>, v2: Option<&str>) -> Result<Self> {
        let memory = match (v1, v2.map(Dir::open).transpose()?) {
            (Some(dir), _) => Some(Memory::v1(&Dir::open(dir)?)?),
            (None, Some(dir)) if dir.has("memory.events") => Some(Memory::v2(&dir)?),
            (None, _) => None,
        };
        Ok(Self { process, memory })
    }

    /// # Errors
    /// poll(2).
    pub fn wait(&mut self, until: Instant) -> Result<Woken> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (memory, ended) = self.poll(left)?;
            // First: it may be what ended the process.
            if memory && self.memory.as_mut().is_some_and(Memory::tells) {
                return Ok(Woken::OutOfMemory);
            }
            if ended {
                return Ok(Woken::Ended);
            }
            if Instant::now() >= until {
                return Ok(Woken::Due);
            }
        }
    }

    /// Whether there is something to look at: of memory, and of the process.
    fn poll(&self, time: Duration) -> Result<(bool, bool)> {
        let mut fds = vec![PollFd::new(&self.process, PollFlags::IN)];
        fds.extend(self.memory.as_ref().map(Memory::poll));
        let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: i64::from(time.subsec_nanos()) };
        match rustix::event::poll(&mut fds, Some(&time)) {
            Err(Errno::INTR) => Ok((false, false)),
            Err(errno) => Err(sys::Error::new("poll", errno).into()),
            Ok(_) => Ok((fds.get(1).is_some_and(|fd| !fd.revents().is_empty()), !fds[0].revents().is_empty())),
        }
    }
}

impl Memory {
    fn v1(dir: &Dir) -> Result<Self> {
        let control = dir.reader("memory.oom_control")?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let count = rustix::event::eventfd(0, flags).map_err(sys::Error::of(|| "eventfd".to_owned()))?;
        dir.write("cgroup.event_control", &format!("{} {}", count.as_raw_fd(), control.as_fd().as_raw_fd()))?;
        Ok(Self::V1 { control, count })
    }

    fn v2(dir: &Dir) -> Result<Self> {
        let events = dir.reader("memory.events")?;
        let killed = killed(&events.read()?);
        Ok(Self::V2 { events, killed })
    }

    fn poll(&self) -> PollFd<'_> {
        match self {
            Self::V1 { count, .. } => PollFd::new(count, PollFlags::IN),
            Self::V2 { events, .. } => PollFd::from_borrowed_fd(events.as_fd(), PollFlags::PRI),
        }
    }

    /// Whether it was that; what was told is told no more.
    fn tells(&mut self) -> bool {
        match self {
            Self::V1 { control, count } => {
                let counted = rustix::io::read(&*count, &mut [0; 8]).is_ok();
                // It cannot be read when the cgroup is gone.
                counted && control.read().is_ok()
            }
            Self::V2 { events, killed: before } => {
                let now = events.read().map_or(*before, |text| killed(&text));
                std::mem::replace(before, now) < now
            }
        }
    }
}

fn killed(events: &str) -> u64 {
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}
