//! A container that is created and waits for its start: what a signal does to it.
//!
//! Alone in its program, which is the reaper of what its containers leave behind, as engines are.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};
use serde_json::json;
use std::fs;

/// What the strictest of filters must let through.
const FEW: [&str; 4] = ["read", "write", "execve", "exit_group"];
/// And what gives up the rights, where the filter comes before that.
const MORE: [&str; 6] = ["setresuid", "setresgid", "setgroups", "prctl", "capset", "newfstatat"];
/// And what the command calls until it ends.
const COMMAND: [&str; 8] = ["brk", "arch_prctl", "set_tid_address", "getuid", "open", "openat", "fstat", "close"];

#[test]
fn a_signal_ends_it_and_leaves_no_trace() {
    let Some(mut bundle) = Bundle::new() else { return };
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    for (number, no_new_privileges) in [(15, true), (15, false), (10, true), (11, false), (34, true), (64, false)] {
        bundle.config["process"]["noNewPrivileges"] = no_new_privileges.into();
        let names = [&FEW[..], &MORE, &COMMAND].concat();
        bundle.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
        });
        assert_eq!(ended(bundle.sh("exit 3"), number), 128 + number, "signal {number}");
    }
    bundle.config["linux"].as_object_mut().unwrap().remove("seccomp");
    // Nor where it is one of the host's processes.
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "pid");
    assert_eq!(ended(bundle.sh("exit 3"), 15), 128 + 15);
}

/// As a shell tells it.
fn ended(bundle: &Bundle, number: i32) -> i32 {
    let id = id(&format!("created-{number}"));
    bundle.create(&id, &[]).ok();
    let pid = Pid::from_raw(bundle.state(&id)["pid"].as_i64().unwrap() as i32).unwrap();
    bundle.oci(&["kill", &id, &number.to_string()]).ok();
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(bundle.state(&id)["status"], "stopped");
    bundle.oci(&["start", &id]).fails(1, "cannot start a container that has stopped");
    bundle.oci(&["delete", &id]).ok();
    bundle.nothing_left(&id);
    status.exit_status().or_else(|| Some(128 + status.terminating_signal()?)).unwrap()
}

/// Neither pid 1's own handlers nor what the caller ignores, as a shell SIGINT of what it runs beside itself, are the
/// command's.
#[test]
fn the_command_begins_with_no_signal_changed() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("created-begun");
    bundle.sh("grep Sig /proc/self/status; sleep 100").save();
    let runtime = bundle.at("sampan-oci");
    let ignore = "trap '' HUP INT QUIT USR1 PIPE TERM TTOU CHLD;";
    let call = |words: &str| {
        let script = format!("{ignore} exec {} --root root {words} {id} >output 2>errors", runtime.display());
        std::process::Command::new("sh").args(["-c", &script]).current_dir(bundle.at("")).status().unwrap()
    };
    let plain = |output: &str| assert_eq!(["SigBlk:", "SigIgn:", "SigCgt:"].map(|name| set(output, name)), [0, 0, 0]);
    assert!(call("create").success(), "{}", fs::read_to_string(bundle.at("errors")).unwrap());
    // One that only waits ends, too.
    let status = fs::read_to_string(format!("/proc/{}/status", bundle.state(&id)["pid"])).unwrap();
    assert_eq!(set(&status, "SigIgn:"), 0);
    bundle.oci(&["start", &id]).ok();
    ground::until("it says so", || bundle.output().contains("SigCgt"));
    plain(&bundle.output());
    let script = format!("{ignore} exec {} --root root exec {id} grep Sig /proc/self/status", runtime.display());
    let ran = std::process::Command::new("sh").args(["-c", &script]).current_dir(bundle.at("")).output().unwrap();
    plain(&String::from_utf8(ran.stdout).unwrap());
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

fn set(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}
