//! The validation programs of the OCI's runtime-tools, each with its own opinion of what a runtime does.
//!
//! Invariant: a check fails if and only if [`KNOWN`] has it, on the machines where that says so. docs/conformance.md has
//! the whole picture. The programs are those of a checkout (`cargo xtask test` makes it, and builds them).

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test may")]

mod ground;

use ground::{SAMPAN, ran};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Why a check does not pass.
struct Known {
    program: &'static str,
    /// Part of its line; empty is how the program ended.
    check: &'static str,
    fails: Fails,
    why: &'static str,
}

enum Fails {
    Always,
    /// Where the machine has not what it needs.
    Here(fn() -> bool),
    /// It depends on who is quicker.
    Sometimes,
}

const fn known(program: &'static str, check: &'static str, fails: Fails, why: &'static str) -> Known {
    Known { program, check, fails, why }
}

const KNOWN: [Known; 21] = [
    known("delete", "2 - ", Fails::Always, "a created container can be deleted, as with runc and crun"),
    known("delete", "3 - ", Fails::Always, "a created container can be deleted, as with runc and crun"),
    known("hooks_stdin", "prestart", Fails::Always, "the status is creating, as the spec has it since 1.0.2"),
    known("linux_cgroups_blkio", "", Fails::Here(no_disk), "there is no block device 8:0"),
    known("linux_cgroups_relative_blkio", "exit status", Fails::Here(no_disk), "there is no block device 8:0"),
    known("linux_cgroups_hugetlb", "", Fails::Here(no_hugetlb), "there is no hugetlb hierarchy"),
    known("linux_cgroups_relative_hugetlb", "get hugetlb", Fails::Here(no_hugetlb), "there is no hugetlb hierarchy"),
    known("linux_cgroups_memory", "", Fails::Here(no_kmem), "the kernel limits its own memory no more (since 5.16)"),
    known("linux_cgroups_relative_memory", "", Fails::Here(no_kmem), "as above"),
    known("linux_cgroups_network", "", Fails::Here(no_classes), "there is no net_cls or net_prio hierarchy"),
    known("linux_cgroups_relative_network", "", Fails::Here(no_classes), "there is no net_cls or net_prio hierarchy"),
    known("linux_mount_label", "", Fails::Here(no_selinux), "the kernel has no SELinux"),
    known("linux_process_apparmor_profile", "", Fails::Always, "nobody has loaded the profile acme_secure_profile"),
    known("misc_props", "1 - ", Fails::Always, "the bundle has not the program that it starts"),
    known("mounts", "", Fails::Always, "bind mounts with options of a file system are refused, as by runc"),
    known("pidfile", "", Fails::Sometimes, "it kills a program that ends by itself"),
    known("process_capabilities", "", Fails::Here(bounded), "this machine's root lacks a capability"),
    known("process_capabilities_fail", "", Fails::Always, "an unknown capability is a warning since 1.1 of the spec"),
    known("process_rlimits", "soft RLIMIT_NOFILE", Fails::Always, "Go raises it for its own programs since 1.19"),
    known("start", "7 - ", Fails::Always, "it wants a container without a process to be created and started"),
    known("kill", "", Fails::Sometimes, "it gives a container 10 s to become what it waits for"),
];

fn no_disk() -> bool {
    !Path::new("/sys/dev/block/8:0").exists()
}

fn has_hierarchy(name: &str) -> bool {
    Path::new("/sys/fs/cgroup").join(name).exists()
}

fn no_hugetlb() -> bool {
    !has_hierarchy("hugetlb")
}

fn no_classes() -> bool {
    !has_hierarchy("net_cls") || !has_hierarchy("net_prio")
}

fn no_selinux() -> bool {
    !Path::new("/sys/fs/selinux/enforce").exists()
}

fn no_kmem() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (5, 16)
}

fn bounded() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let last: u32 = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
    set("CapPrm:").count_ones() <= last
}

/// What one program came to.
#[derive(Default)]
struct Result {
    passed: usize,
    left_out: usize,
    /// Its `not ok` lines without these words; empty for an exit code.
    failed: Vec<String>,
}

/// The Test Anything Protocol, as far as they speak it.
fn read(output: &str, code: i32) -> Result {
    let mut result = Result::default();
    for line in output.lines() {
        match line.strip_prefix("not ok ") {
            Some(check) => result.failed.push(check.to_owned()),
            None if line.starts_with("ok ") && line.contains("# SKIP") => result.left_out += 1,
            None if line.starts_with("ok ") => result.passed += 1,
            None => {}
        }
    }
    if code != 0 {
        result.failed.push(String::new());
    }
    result
}

/// What is not as [`KNOWN`] has it.
fn surprises(program: &str, result: &Result) -> Vec<String> {
    let matches = |known: &Known, check: &str| {
        if known.check.ends_with("- ") { check.starts_with(known.check) } else { check.contains(known.check) }
    };
    let known: Vec<&Known> = KNOWN.iter().filter(|known| known.program == program).collect();
    let expected = |check: &String| {
        known.iter().any(|known| {
            let may = match known.fails {
                Fails::Always | Fails::Sometimes => true,
                Fails::Here(lacks) => lacks(),
            };
            may && matches(known, check)
        })
    };
    let new = result.failed.iter().filter(|check| !expected(check));
    let mut surprises: Vec<String> = new.map(|check| format!("{program}: failed: {check:?}")).collect();
    for known in known {
        let must = match known.fails {
            Fails::Always => true,
            Fails::Sometimes => false,
            Fails::Here(lacks) => lacks(),
        };
        if must && !result.failed.iter().any(|check| matches(known, check)) {
            surprises.push(format!("{program}: {:?} passes; it is known to fail: {}", known.check, known.why));
        }
    }
    surprises
}

fn suite() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/runtime-tools");
    std::env::var_os("RUNTIME_TOOLS").map_or_else(|| default.into(), PathBuf::from)
}

#[test]
fn lines() {
    let result = read("TAP version 13\nok 1 - a\nok 2 # SKIP b\nnot ok 3 - get hugetlb c\n# d\n1..3\n", 1);
    assert_eq!((result.passed, result.left_out), (1, 1));
    assert_eq!(result.failed, ["3 - get hugetlb c", ""]);
    assert_eq!(surprises("state", &result).len(), 2);
    assert_eq!(surprises("state", &read("ok 1 - a\n", 0)), [""; 0]);
    assert_eq!(surprises("mounts", &read("", 1)), [""; 0]);
    assert_eq!(surprises("mounts", &read("ok 1 - a\n", 0)).len(), 1);
}

#[test]
fn runtime_tools() {
    let suite = suite();
    let Ok(entries) = fs::read_dir(suite.join("bin")) else {
        println!("skipped: there is no runtime-tools, built, in target/runtime-tools or RUNTIME_TOOLS");
        return;
    };
    if !fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t") || !has_hierarchy("memory") {
        println!("skipped: runtime-tools needs root, and cgroup v1");
        return;
    }
    let names: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(KNOWN.iter().all(|known| names.contains(known.program)), "{names:?}");
    let place = Place::new();
    // All of them use one cgroup.
    let uses = |name: &String| name.starts_with("linux_cgroups_") || name.starts_with("delete_");
    let (cgroups, rest): (Vec<_>, Vec<_>) = names.into_iter().partition(uses);
    let (cgroups, rest) = (Mutex::new(cgroups), Mutex::new(rest));
    let run = |queue: &Mutex<Vec<String>>| {
        let mut done = Vec::new();
        loop {
            // Not in the loop's head, where the lock would be held for as long as the program runs.
            let Some(program) = queue.lock().unwrap().pop() else { return done };
            let result = place.run(&suite, &program);
            done.push((program, result));
        }
    };
    let mut results: Vec<(String, Result)> = std::thread::scope(|scope| {
        let threads = [&cgroups, &rest, &rest, &rest].map(|queue| scope.spawn(move || run(queue)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    // Once more, alone: they give a container a second or ten to do what they wait for.
    for (program, result) in results.iter_mut().filter(|(program, result)| !surprises(program, result).is_empty()) {
        println!("{program}, again");
        *result = place.run(&suite, program);
    }
    let sum = |count: fn(&Result) -> usize| results.iter().map(|(_, result)| count(result)).sum::<usize>();
    let (passed, failed) = (sum(|result| result.passed), sum(|result| result.failed.len()));
    println!("{} programs: {passed} checks passed, {failed} are known to fail", results.len());
    println!("skipped: {} checks that these programs leave out themselves", sum(|result| result.left_out));
    let surprises: Vec<String> = results.iter().flat_map(|(program, result)| surprises(program, result)).collect();
    assert_eq!(surprises, [""; 0]);
}

/// Where their bundles and containers are.
struct Place {
    dir: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("sampan-conformance-{}", std::process::id()));
        fs::create_dir_all(dir.join("tmp")).unwrap();
        // They take one word for a runtime.
        let script = format!("#!/bin/sh\nexec {SAMPAN} oci --root {}/root \"$@\"\n", dir.display());
        fs::write(dir.join("runtime"), script).unwrap();
        fs::set_permissions(dir.join("runtime"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn run(&self, suite: &Path, program: &str) -> Result {
        let mut command = Command::new(suite.join("bin").join(program));
        command.current_dir(suite).env("RUNTIME", self.dir.join("runtime")).env("TMPDIR", self.dir.join("tmp"));
        let ran = ran(command.stdin(Stdio::null()).output().unwrap());
        let result = read(&ran.out, ran.code);
        for check in &result.failed {
            println!("{program}: {check}");
        }
        if !surprises(program, &result).is_empty() {
            println!("{}{}", ran.out, ran.err);
        }
        result
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let call = |words: &[&str]| ran(Command::new(self.dir.join("runtime")).args(words).output().unwrap());
        for id in call(&["list", "-q"]).out.lines() {
            call(&["delete", "--force", id]);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
