//! What tests of networks stand on: a host is a network namespace of its own, and the machine's is never entered.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process in a new network namespace, which lives as long as it.
pub struct Host(Child);

impl Host {
    pub fn new() -> Self {
        let child = Command::new("unshare").args(["-n", "sleep", "1000"]).stdin(Stdio::null()).spawn().unwrap();
        Self::started(child)
    }

    /// Waits until `unshare`, or what it runs, has become `sleep`.
    pub fn started(child: Child) -> Self {
        let host = Self(child);
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::read_to_string(format!("/proc/{}/comm", host.pid())).unwrap().trim() != "sleep" {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        host
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Runs `work` in a thread that is in the namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let pid = self.pid();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                enter(pid);
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn enter(pid: u32) {
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind).unwrap();
}
