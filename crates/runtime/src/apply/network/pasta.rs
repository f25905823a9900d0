//! Starting and ending pasta(1).

use super::state::remove;
use plan::network::Pasta;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use sys::{Error, Result};

/// For what was killed to go.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Returns when the container's link is there: pasta goes into the background then.
pub(super) fn start(pasta: &Pasta, pid: u32) -> Result<()> {
    let arguments = pasta.arguments(&pid.to_string());
    let run = Command::new(&pasta.path)
        .args(&arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(Error::of_io(|| format!("execve({})", pasta.path)))?;
    if run.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&run.stderr);
    // Where there is no syslog it says so of each of its lines.
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.ends_with("to syslog")).collect();
    Err(Error::new(format!("pasta: {}", said.join("; ")), Errno::IO))
}

/// # Errors
/// The call that was refused; a pasta that has ended by itself is none.
pub fn end_pasta(pid_file: &Path) -> Result<()> {
    let pid = fs::read_to_string(pid_file).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
    if let Some(pid) = pid
        && let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
    {
        // After the pidfd is open the number can no longer change its meaning; before, it may have.
        let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
        // One binary with two names; what runs is a variant of it (`passt.avx2`).
        if name.starts_with("pasta") || name.starts_with("passt") {
            // It is the first process of a pid namespace of its own, where a mere SIGTERM is ignored.
            match pidfd_send_signal(&process, Signal::KILL) {
                // Its ports are free when it is gone, and the container may be started again at once.
                Ok(()) => _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&PATIENCE)),
                Err(Errno::SRCH) => {}
                Err(errno) => return Err(Error::new(format!("pidfd_send_signal({pid:?}, SIGKILL)"), errno)),
            }
        }
    }
    remove(pid_file)
}
