//! `SCMP_ACT_NOTIFY`: an agent beside `sampan oci` answers for its containers' calls.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id, receive};
use ground::until;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

/// Of x86_64 and aarch64: the calls that make a directory.
const MKDIR: [&str; 2] = ["83", if cfg!(target_arch = "x86_64") { "258" } else { "34" }];

struct Agent {
    listener: UnixListener,
    bundle: Bundle,
}

/// The process that answers; it goes with the value.
struct Answering(Child);

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Agent {
    /// None where it cannot be made.
    fn new() -> Option<Self> {
        let bundle = Bundle::new()?;
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ground/agent.c");
        let made = Command::new("cc").args(["-o"]).arg(bundle.at("agent")).arg(source).status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no cc to make an agent with");
            return None;
        }
        let listener = UnixListener::bind(bundle.at("listener")).unwrap();
        Some(Self { listener, bundle })
    }

    fn notify(&mut self, calls: &[&str]) -> &mut Bundle {
        self.bundle.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": self.bundle.at("listener"),
            "listenerMetadata": "some data",
            "syscalls": [{ "names": calls, "action": "SCMP_ACT_NOTIFY" }],
        });
        &mut self.bundle
    }

    /// Wait for one, and answer as long as the value lives.
    fn answer(&self) -> (Answering, Value) {
        let (listener, message) = receive(&self.listener);
        let agent = Command::new(self.bundle.at("agent")).args(MKDIR).stdin(listener).stdout(Stdio::null()).spawn();
        (Answering(agent.unwrap()), serde_json::from_slice(&message).unwrap())
    }

    /// The words, while one container is answered for; the output and what the agent was told.
    fn with(&self, words: &[&str]) -> (ground::Ran, Value) {
        std::thread::scope(|scope| {
            let answering = scope.spawn(|| self.answer());
            let ran = self.bundle.oci(words);
            let (_agent, message) = answering.join().unwrap();
            (ran, message)
        })
    }
}

const ASK: &str = "mkdir /tmp/made 2>&1; echo $?; ls /tmp";
const ANSWERED: &str = "mkdir: can't create directory '/tmp/made': No medium found\n1";

#[test]
fn an_agent_answers_for_the_first_process_and_for_an_exec() {
    let Some(mut agent) = Agent::new() else { return };
    let id = id("notify");
    agent.bundle.config["annotations"] = json!({ "a": "b" });
    for strict in [false, true] {
        agent.bundle.config["process"]["noNewPrivileges"] = strict.into();
        agent.notify(&["mkdir", "mkdirat"]).sh(&format!("{ASK}; sleep 100"));
        let (_first, told) = std::thread::scope(|scope| {
            let answering = scope.spawn(|| agent.answer());
            agent.bundle.create(&id, &[]).ok();
            answering.join().unwrap()
        });
        let bundle = &agent.bundle;
        let pid = bundle.state(&id)["pid"].clone();
        let state = json!({
            "ociVersion": "1.0.2", "id": id, "status": "creating", "pid": pid, "annotations": { "a": "b" },
            "bundle": bundle.ground.dir.canonicalize().unwrap(),
        });
        let expected = json!({
            "ociVersion": "1.3.0", "fds": ["seccompFd"], "pid": pid, "metadata": "some data", "state": state,
        });
        assert_eq!(told, expected);
        bundle.oci(&["start", &id]).ok();
        until("it says so", || bundle.output().trim() == ANSWERED);
        let (ran, told) = agent.with(&["exec", &id, "sh", "-c", ASK]);
        assert_eq!(ran.ok(), ANSWERED);
        assert_ne!(told["pid"], pid);
        assert_eq!((&told["state"]["pid"], &told["state"]["status"]), (&pid, &json!("running")));
        bundle.oci(&["delete", "--force", &id]).ok();
        bundle.nothing_left(&id);
    }
}

#[test]
fn calls_that_the_start_itself_makes() {
    let Some(mut agent) = Agent::new() else { return };
    let id = id("notify-start");
    // Of the hooks, too; and they get no file of ours.
    let hook = agent.bundle.at("rootfs/bin/hook");
    fs::write(&hook, "#!/bin/sh\nset -- /proc/self/fd/*; echo $# >/tmp/files\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    agent.bundle.config["hooks"] = json!({ "startContainer": [{ "path": "/bin/hook", "env": ["PATH=/bin"] }] });
    agent.bundle.config["mounts"].as_array_mut().unwrap().push(json!({ "destination": "/tmp", "type": "tmpfs" }));
    for strict in [false, true] {
        agent.bundle.config["process"]["noNewPrivileges"] = strict.into();
        agent.bundle.config["linux"]["seccomp"]["flags"] = json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
        agent.notify(&["execve", "openat", "open", "read", "close", "fcntl", "prctl", "clone", "mkdir"]);
        agent.bundle.sh("cat /tmp/files");
        let (ran, _) = agent.with(&["run", &id]);
        // The three, its script, and the directory itself.
        assert_eq!(ran.ok(), "5");
        agent.bundle.nothing_left(&id);
    }
}

#[test]
fn without_its_agent_a_call_is_not_there() {
    let Some(mut agent) = Agent::new() else { return };
    let id = id("notify-gone");
    agent.notify(&["mkdir", "mkdirat"]).sh("until [ -e /dev/shm/go ]; do sleep 0.05; done; mkdir /dev/shm/made 2>&1");
    let (first, _) = std::thread::scope(|scope| {
        let answering = scope.spawn(|| agent.answer());
        agent.bundle.create(&id, &[]).ok();
        answering.join().unwrap()
    });
    agent.bundle.oci(&["start", &id]).ok();
    drop(first);
    let (ran, _) = agent.with(&["exec", &id, "touch", "/dev/shm/go"]);
    ran.ok();
    until("it says so", || agent.bundle.output().ends_with("Function not implemented\n"));
    agent.bundle.oci(&["delete", "--force", &id]).ok();
}

#[test]
fn hooks_in_the_container_are_filtered() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("notify-hook");
    bundle.sh("true");
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "PATH=/bin mkdir /dev/shm/made"] });
    bundle.config["hooks"] = json!({ "startContainer": [hook] });
    for (action, why) in [("SCMP_ACT_ERRNO", "ended with 1"), ("SCMP_ACT_KILL", "SIGSYS (bad system call)")] {
        for strict in [false, true] {
            bundle.config["process"]["noNewPrivileges"] = strict.into();
            bundle.config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": action }]
            });
            bundle.save().oci(&["run", &id]).fails(1, why);
            bundle.nothing_left(&id);
        }
    }
}

#[test]
fn without_the_right_to_take_it_the_listener_is_sent() {
    let Some(mut agent) = Agent::new() else { return };
    let id = id("notify-sent");
    let run = |agent: &Agent| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]).arg(agent.bundle.at("sampan-oci"));
        command.arg("--root").arg(agent.bundle.at("root")).args(["run", &id]).current_dir(agent.bundle.at(""));
        ground::ran(command.output().unwrap())
    };
    agent.notify(&["mkdir", "mkdirat", "read", "close"]).sh(ASK);
    let ran = std::thread::scope(|scope| {
        let answering = scope.spawn(|| agent.answer());
        let ran = run(&agent);
        answering.join().unwrap();
        ran
    });
    assert_eq!(ran.ok(), ANSWERED);
    agent.notify(&["mkdir", "sendmsg"]).save();
    run(&agent).fails(1, "cannot be used for the sendmsg syscall");
    agent.bundle.nothing_left(&id);
}

#[test]
fn agents_that_cannot_be() {
    let Some(mut agent) = Agent::new() else { return };
    let id = id("notify-bad");
    agent.bundle.sh("true");
    let good = agent.notify(&["mkdir"]).config.clone();
    let bundle = &mut agent.bundle;
    let plain = bundle.at("plain");
    fs::write(&plain, "").unwrap();
    let agentless = "failed to connect with seccomp agent";
    for strict in [false, true] {
        for (at, value, why) in [
            ("/listenerPath", json!("/nowhere"), agentless),
            ("/listenerPath", json!("@nobody"), agentless),
            ("/listenerPath", json!(plain), agentless),
            ("/listenerPath", json!(""), "needs a listenerPath"),
            ("/syscalls/0/names", json!(["write"]), "SCMP_ACT_NOTIFY cannot be used for the write syscall"),
            ("/syscalls/0/errnoRet", json!(1), "takes no errno"),
            ("/defaultAction", json!("SCMP_ACT_NOTIFY"), "no default action"),
            ("/flags", json!(["SECCOMP_FILTER_FLAG_NONE"]), "there is no flag"),
        ] {
            bundle.config = good.clone();
            bundle.config["process"]["noNewPrivileges"] = strict.into();
            let (above, name) = at.rsplit_once('/').unwrap();
            bundle.config.pointer_mut(&format!("/linux/seccomp{above}")).unwrap()[name] = value;
            bundle.save().create(&id, &[]).fails(1, why);
            bundle.nothing_left(&id);
        }
    }
    // Without such an action nobody has to listen; metadata for nobody is a mistake.
    let seccomp = |more: Value| {
        let mut profile = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        profile
    };
    bundle.config["linux"]["seccomp"] = seccomp(json!({ "listenerPath": "/nowhere", "listenerMetadata": "x" }));
    bundle.save().oci(&["run", &id]).ok();
    bundle.config["linux"]["seccomp"] = seccomp(json!({ "listenerMetadata": "x" }));
    bundle.save().create(&id, &[]).fails(1, "no listenerPath");
    // Who runs images has no agent.
    fs::write(&plain, good["linux"]["seccomp"].to_string()).unwrap();
    let option = format!("seccomp={}", plain.display());
    bundle.ground.run(&["--security-opt", &option], &["true"]).fails(125, "for bundles only");
}
