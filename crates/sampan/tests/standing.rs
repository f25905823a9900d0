//! Where a monitor stands among the host's processes: whoever ends all of its caller's session ends neither it nor the
//! container.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, ran, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A cgroup in each hierarchy by which a systemd tells whose a process is.
struct Session(Vec<PathBuf>);

impl Session {
    fn new(name: &str) -> Self {
        let tops = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];
        let tops = tops.into_iter().map(Path::new).filter(|top| top.join("cgroup.procs").exists());
        let made: Vec<PathBuf> = tops.map(|top| top.join(name)).collect();
        made.iter().for_each(|dir| fs::create_dir(dir).unwrap());
        Self(made)
    }

    /// A command that is in it.
    fn command(&self, command: &Command) -> Command {
        let mut shell = Command::new("sh");
        let enter: Vec<String> = self.0.iter().map(|dir| format!("echo $$ >{}/cgroup.procs", dir.display())).collect();
        shell.args(["-c", &format!("{}; exec \"$@\"", enter.join(" && ")), "sh"]);
        shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        shell
    }

    fn processes(&self) -> Vec<String> {
        let all = self.0.iter().map(|dir| fs::read_to_string(dir.join("cgroup.procs")).unwrap());
        all.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

impl Session {
    /// As a systemd ends one: all that are in it, and then there is none.
    fn end(&self) {
        for pid in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
        self.0.iter().for_each(|dir| fs::remove_dir(dir).unwrap());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.iter().for_each(|dir| drop(fs::remove_dir(dir)));
    }
}

fn score(pid: &serde_json::Value) -> String {
    fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().to_owned()
}

fn capable(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(set.trim(), 16).unwrap() & (1 << number) != 0
}

#[test]
fn the_end_of_a_session_is_not_the_containers() {
    let Some(ground) = Ground::new() else { return };
    let session = Session::new(&format!("session-{}", std::process::id()));
    if session.0.is_empty() {
        eprintln!("skipped: no hierarchy of cgroups that says whose a process is");
        return;
    }
    let mut run = ground.command(&["run", "-d", "--network=none", "--name=a", "--restart=always"]);
    run.arg("--health-cmd=true").arg("--health-interval=1s");
    run.arg("--rootfs").arg(format!("{}:O", ground.rootfs().display())).args(["sleep", "1000"]);
    ran(session.command(&run).output().unwrap()).ok();
    until("the session is empty", || session.processes().is_empty());
    let record = ground.record("a");
    // As its caller's, though its monitor is the last to go when memory runs out.
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().to_owned();
    let lowers = capable(24);
    if !lowers {
        eprintln!("skipped: no CAP_SYS_RESOURCE, without which nobody may lower an oom_score_adj");
    }
    let last = if lowers { "-999" } else { &*own };
    until("the monitor is at its place", || score(&record["monitor"]) == last);
    assert_eq!(score(&record["pid"]), own);
    // Also of one that it starts again, and of what it calls.
    let pid = record["pid"].clone();
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    let other = |record: &serde_json::Value| record["pid"].as_i64() > Some(0) && record["pid"] != pid;
    until("it is started again", || ground.state("a") == "running" && other(&ground.record("a")));
    let record = ground.record("a");
    until("the monitor is at its place", || score(&record["monitor"]) == last);
    assert_eq!(score(&record["pid"]), own);
    until("it is asked for its health", || ground.record("a")["health"]["Status"] == "healthy");
    assert!(session.processes().is_empty());
    session.end();
    assert_eq!(ground.state("a"), "running");
    ground.call(&["rm", "-f", "a"]).ok();
    ground.is_empty();
}
