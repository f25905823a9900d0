//! Where a monitor stands among the host's processes: not in its caller's session, and not the first to go when memory
//! runs out, as with it goes the container, and it has next to nothing to give back.
//!
//! Must not: hold for what the monitor starts, the container above all.

/// As docker's shims. Less would be never.
const LAST: i32 = -999;
const FILE: &str = "/proc/self/oom_score_adj";

/// What holds for its children; `None`: it is theirs as well, as this user may not lower it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing(Option<i32>);

impl Standing {
    /// Once the container runs.
    #[must_use]
    pub fn take() -> Self {
        let was = std::fs::read_to_string(FILE).ok().and_then(|text| text.trim().parse().ok());
        let lowered = |was: &i32| *was > LAST && std::fs::write(FILE, LAST.to_string()).is_ok();
        Self(was.filter(lowered))
    }

    /// Something is about to be started.
    pub fn give_up(self) {
        if let Some(was) = self.0 {
            let _ = std::fs::write(FILE, was.to_string());
        }
    }

    /// It was.
    pub fn resume(self) {
        if self.0.is_some() {
            let _ = std::fs::write(FILE, LAST.to_string());
        }
    }
}

/// On cgroup v1 a systemd knows whose a process is by a hierarchy of its own, which is always here and limits nothing: so
/// the container, which is started from here, leaves its caller, too. By `tasks` it waits for nobody (ADR 0007); an ordinary
/// user may not.
pub(super) fn leave_session() {
    let _ = std::fs::write("/sys/fs/cgroup/systemd/tasks", "0");
}
