//! `sampan oci` of an ordinary user.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id, receive};
use ground::{Ran, SAMPAN, ran, until};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The bundle is his, and so are its containers: of the ids there is one, his own, as root.
struct Ordinary {
    bundle: Bundle,
    user: u32,
}

impl Ordinary {
    fn new(offset: u32) -> Option<Self> {
        let bundle = Bundle::new()?;
        let user = 800_000 + std::process::id() % 100_000 * 10 + offset;
        // Where he can execute it: the build may be below a closed directory.
        fs::remove_file(bundle.at("sampan-oci")).unwrap();
        fs::copy(SAMPAN, bundle.at("sampan-oci")).unwrap();
        fs::remove_file(bundle.at("config.json")).unwrap();
        for (name, text) in [("output", ""), ("errors", "")] {
            fs::write(bundle.at(name), text).unwrap();
        }
        let owner = format!("{user}:{user}");
        assert!(Command::new("chown").args(["-R", &owner]).arg(bundle.at("")).status().unwrap().success());
        let mut this = Self { bundle, user };
        this.oci(&["spec", "--rootless"]).ok();
        this.bundle.config = serde_json::from_slice(&fs::read(this.bundle.at("config.json")).unwrap()).unwrap();
        this.bundle.config["process"]["terminal"] = false.into();
        this.bundle.config["process"]["env"] = json!(["PATH=/bin"]);
        Some(this)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={}", self.user), format!("--regid={}", self.user), "--clear-groups".into()]);
        command.arg(self.bundle.at("sampan-oci")).arg("--root").arg(self.bundle.at("root")).args(words);
        command.current_dir(self.bundle.at("")).stdin(Stdio::null());
        command
    }

    fn oci(&self, words: &[&str]) -> Ran {
        ran(self.command(words).output().unwrap())
    }

    /// A container that waits.
    fn sleeps(&mut self, id: &str) {
        self.bundle.sh("sleep 100");
        let output = fs::OpenOptions::new().append(true).open(self.bundle.at("output")).unwrap();
        let errors = fs::OpenOptions::new().append(true).open(self.bundle.at("errors")).unwrap();
        let status = self.command(&["run", "--detach", id]).stdout(output).stderr(errors).status().unwrap();
        assert!(status.success(), "{}", fs::read_to_string(self.bundle.at("errors")).unwrap());
    }

    fn socket(&self) -> (UnixListener, PathBuf) {
        let path = self.bundle.at("socket");
        let listener = UnixListener::bind(&path).unwrap();
        chown(&path, Some(self.user), Some(self.user)).unwrap();
        (listener, path)
    }

    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.oci(&["state", id]).ok()).unwrap()
    }

    fn deleted(&self, id: &str) {
        self.oci(&["delete", "--force", id]).ok();
        self.bundle.nothing_left(id);
    }
}

/// The right to its pid namespace comes with its user namespace, which a process in between enters.
#[test]
fn another_process_is_in_all_its_namespaces() {
    let Some(mut user) = Ordinary::new(0) else { return };
    let id = id("within");
    user.sleeps(&id);
    let kinds = ["user", "pid", "mnt", "uts", "ipc"];
    let script = format!("for kind in {}; do readlink /proc/self/ns/$kind; done", kinds.join(" "));
    let pid = user.state(&id)["pid"].to_string();
    let first = kinds.map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string());
    assert_eq!(user.oci(&["exec", &id, "sh", "-c", &script]).ok(), first.join("\n"));
    let words = ["exec", "--env", "A=b c", "--cwd", "/etc", &id, "sh", "-c", "id -u; id -g; pwd; echo $A; echo $PPID"];
    assert_eq!(user.oci(&words).ok(), "0\n0\n/etc\nb c\n0");
    user.oci(&["exec", &id, "sh", "-c", "exit 42"]).fails(42, "");
    user.oci(&["exec", &id, "sh", "-c", "kill -9 $$"]).fails(137, "");
    user.oci(&["exec", &id, "nosuch"]).fails(255, "executable file not found in $PATH");
    user.oci(&["exec", "--user", "5", &id, "true"]).fails(255, "");
    user.deleted(&id);
}

#[test]
fn another_process_has_a_terminal() {
    let Some(mut user) = Ordinary::new(1) else { return };
    let id = id("terminal");
    user.sleeps(&id);
    let (listener, socket) = user.socket();
    let flags = ["exec", "--tty", "--detach", "--pid-file", "pid", "--console-socket", socket.to_str().unwrap()];
    user.oci(&[&flags[..], &[&id, "sh", "-c", "tty; stat -c %u $(tty); sleep 100"]].concat()).ok();
    let mut terminal = fs::File::from(receive(&listener).0);
    let mut text = String::new();
    until("it says so", || {
        let mut bytes = [0; 100];
        let length = terminal.read(&mut bytes).unwrap();
        text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        text.lines().count() == 2 && text.ends_with('\n')
    });
    assert_eq!(text.lines().collect::<Vec<_>>(), ["/dev/pts/0", "0"]);
    // Its number is the caller's, not the container's.
    let pid = fs::read_to_string(user.bundle.at("pid")).unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("NSpid:") && status.contains(&format!("Pid:\t{pid}")), "{status}");
    user.deleted(&id);
}

/// It dies with the caller that stays for it, and only then.
#[test]
fn another_process_ends_with_its_caller() {
    let Some(mut user) = Ordinary::new(2) else { return };
    let id = id("with");
    user.sleeps(&id);
    let mut caller = user.command(&["exec", "--pid-file", "pid", &id, "sleep", "99"]).spawn().unwrap();
    until("it runs", || user.bundle.at("pid").exists());
    let pid = fs::read_to_string(user.bundle.at("pid")).unwrap();
    assert!(fs::read_to_string(format!("/proc/{pid}/comm")).is_ok());
    caller.kill().unwrap();
    caller.wait().unwrap();
    let ended = || !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    until("it has ended", ended);
    assert_eq!(user.state(&id)["status"], "running");
    user.deleted(&id);
}

/// A cgroup that was asked for by name is not passed over.
#[test]
fn a_cgroup_that_is_named_must_be_possible() {
    let Some(mut user) = Ordinary::new(3) else { return };
    let id = id("named");
    user.bundle.config["linux"]["cgroupsPath"] = json!(format!("/sampan-{id}"));
    user.bundle.sh("true");
    let refused = user.oci(&["run", &id]);
    refused.fails(1, "unable to apply cgroup configuration");
    assert!(refused.err.contains("permission denied"), "{refused:?}");
    user.bundle.config["linux"]["cgroupsPath"] = "".into();
    user.bundle.sh("true");
    user.oci(&["run", &id]).ok();
    user.oci(&["--rootless=true", "run", &id]).ok();
    user.oci(&["--rootless=false", "run", &id]).fails(1, "unable to apply cgroup configuration");
    user.deleted(&id);
}

/// He has the host's nodes as they are, which is told.
#[test]
fn an_owner_that_no_device_can_have_is_told() {
    let Some(mut user) = Ordinary::new(4) else { return };
    let id = id("owner");
    user.bundle.config["linux"]["devices"] =
        json!([{ "path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "uid": 0, "fileMode": 0o666 }]);
    user.bundle.sh("stat -c %u:%a /dev/zero");
    assert_eq!(user.oci(&["--log", "log", "run", &id]).ok(), "65534:666");
    let log = fs::read_to_string(user.bundle.at("log")).unwrap();
    assert!(log.contains("warning") && log.contains("/dev/zero is the host's node"), "{log}");
    user.deleted(&id);
}
