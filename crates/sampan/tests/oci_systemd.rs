//! `sampan oci --systemd-cgroup`: containers in scopes that systemd makes, the machine's and an ordinary user's.
//!
//! Where no systemd runs they are skipped. systemctl is the judge of what systemd knows.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use ground::{Ran, SAMPAN, ran, until};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A bundle whose container sleeps; none, with a line that says why, where no systemd runs.
fn sleeping() -> Option<Bundle> {
    if !Path::new("/run/systemd/system").is_dir() {
        eprintln!("skipped: no systemd runs here");
        return None;
    }
    let mut bundle = Bundle::new()?;
    bundle.sh("sleep 1000");
    Some(bundle)
}

fn is_v1() -> bool {
    fs::read_to_string("/proc/self/cgroup").unwrap().contains(":memory:")
}

fn create(bundle: &Bundle, id: &str) -> Ran {
    let mut command = bundle.command(&bundle.at("sampan-oci"), &["--systemd-cgroup", "create", id]);
    let output = fs::File::create(bundle.at("output")).unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let code = command.status().unwrap().code().unwrap_or(-1);
    Ran { code, out: String::new(), err: bundle.output() }
}

fn systemctl(words: &[&str]) -> Ran {
    ran(Command::new("systemctl").args(words).stdin(Stdio::null()).output().unwrap())
}

fn shows(unit: &str, property: &str) -> String {
    systemctl(&["show", "--property", property, "--value", unit]).ok()
}

/// The unit's own directory, on v2 or in the v1 hierarchy.
fn directory(unit: &str, controller: &str) -> PathBuf {
    let below = shows(unit, "ControlGroup");
    let above = if is_v1() { format!("/sys/fs/cgroup/{controller}") } else { "/sys/fs/cgroup".to_owned() };
    PathBuf::from(above + &below)
}

fn read(unit: &str, controller: &str, files: [&str; 2]) -> String {
    let path = directory(unit, controller).join(files[usize::from(!is_v1())]);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
}

#[track_caller]
fn nothing_left(bundle: &Bundle, unit: &str) {
    bundle.nothing_left(unit);
    assert_eq!(shows(unit, "LoadState"), "not-found");
}

#[test]
fn a_scope_holds_the_container_and_its_limits() {
    let Some(mut bundle) = sleeping() else { return };
    let id = id("scope");
    let unit = format!("sampan-{id}.scope");
    bundle.config["linux"]["resources"] = json!({
        "memory": { "limit": 64 << 20, "reservation": 16 << 20 }, "pids": { "limit": 33 },
        "cpu": { "shares": 512, "quota": 33_333, "period": 100_000, "cpus": "0" },
        "devices": [{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw" }],
    });
    create(bundle.save(), &id).ok();
    let pid = bundle.state(&id)["pid"].to_string();
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let expected = format!("/system.slice/{unit}");
    assert!(own.lines().filter(|line| !line.starts_with("0::/user")).all(|line| line.ends_with(&expected)), "{own}");
    let memory = || read(&unit, "memory", ["memory.limit_in_bytes", "memory.max"]);
    let pids = || read(&unit, "pids", ["pids.max", "pids.max"]);
    let quota = || read(&unit, "cpu", ["cpu.cfs_quota_us", "cpu.max"]).split(' ').next().unwrap().to_owned();
    let cpus = || read(&unit, "cpuset", ["cpuset.cpus", "cpuset.cpus"]);
    let told = |names: [&str; 4]| names.map(|name| shows(&unit, name));
    assert_eq!((memory(), pids(), quota(), cpus()), ("67108864".into(), "33".into(), "33333".into(), "0".into()));
    let limit = if is_v1() { "MemoryLimit" } else { "MemoryMax" };
    assert_eq!(told([limit, "TasksMax", "CPUQuotaPerSecUSec", "AllowedCPUs"]), ["67108864", "33", "340ms", "0"]);
    assert_eq!(
        told(["Delegate", "Slice", "DevicePolicy", "CollectMode"]),
        ["yes", "system.slice", "strict", "inactive-or-failed"]
    );
    assert!(shows(&unit, "DeviceAllow").contains("/dev/char/10:200 rw"));
    bundle.oci(&["start", &id]).ok();
    // The rules hold.
    let node = |numbers: &str| format!("mknod /dev/x c {numbers} && cat /dev/x; rm /dev/x; false");
    let opened = |numbers| bundle.oci(&["exec", "--cap", "CAP_MKNOD", &id, "sh", "-c", &node(numbers)]);
    opened("10 200").fails(1, "File descriptor in bad state");
    opened("1 1").fails(1, "Operation not permitted");
    bundle.oci(&["exec", &id, "sh", "-c", "echo >/dev/null"]).ok();

    bundle.oci(&["update", "--memory", "96m", "--pids-limit=44", "--cpu-quota", "50000", &id]).ok();
    let changed = || (memory(), pids(), quota());
    let expected = ("100663296".to_owned(), "44".to_owned(), "50000".to_owned());
    assert_eq!(changed(), expected);
    assert_eq!(told([limit, "TasksMax", "CPUQuotaPerSecUSec", "AllowedCPUs"]), ["100663296", "44", "500ms", "0"]);
    // systemd writes again what it knows.
    systemctl(&["daemon-reload"]).ok();
    systemctl(&["set-property", "--runtime", &unit, "CPUWeight=77", "MemoryHigh=90M"]).ok();
    assert_eq!(changed(), expected);
    assert_eq!(read(&unit, "cpuset", ["cpuset.cpus", "cpuset.cpus"]), "0");
    if !is_v1() {
        let idle = || read(&unit, "cpu", ["", "cpu.idle"]);
        bundle.oci(&["update", "--cpu-share=200", "--cpu-idle=1", &id]).ok();
        assert_eq!((idle().as_str(), shows(&unit, "CPUWeight").as_str()), ("1", "idle"));
        bundle.oci(&["update", "--cpu-idle=-1", &id]).fails(1, "EINVAL");
        assert_eq!(idle(), "1");
        bundle.oci(&["update", "--cpu-idle=0", &id]).ok();
        assert_eq!(idle(), "0");
        // Those, too, that systemd does not know.
        let all = |path: &Path| fs::read_to_string(path.join("cgroup.controllers")).unwrap();
        assert_eq!(all(&directory(&unit, "")), all(Path::new("/sys/fs/cgroup")));
    }
    bundle.oci(&["update", "--pids-limit=-1", "--memory=-1", "--cpu-quota=-1", &id]).ok();
    assert_eq!(
        told([limit, "TasksMax", "CPUQuotaPerSecUSec", "AllowedCPUs"]),
        ["infinity", "infinity", "infinity", "0"]
    );
    assert_eq!((pids().as_str(), quota().replace("-1", "max").as_str()), ("max", "max"));
    bundle.oci(&["delete", "--force", &id]).ok();
    nothing_left(&bundle, &unit);
}

#[test]
fn its_life() {
    let Some(mut bundle) = sleeping() else { return };
    let id = id("life");
    let unit = format!("sampan-{id}.scope");
    // Deaf to what systemd would ask it with.
    bundle.sh("trap '' TERM; sleep 1000 & wait; sleep 1000");
    create(&bundle, &id).ok();
    bundle.oci(&["start", &id]).ok();
    for sub in ["", "a"] {
        let dir = directory(&unit, "memory").join(sub);
        fs::create_dir_all(&dir).unwrap();
        let flag = format!("--cgroup=memory:{sub}");
        let flag = if is_v1() { flag } else { format!("--cgroup=/{sub}") };
        let seen = bundle.oci(&["exec", &flag, &id, "cat", "/proc/self/cgroup"]).ok();
        assert!(seen.lines().any(|line| line.ends_with(&format!(":/{sub}"))), "{seen}");
    }
    bundle.oci(&["pause", &id]).ok();
    bundle.until_status(&id, "paused");
    // It stands still, and still is the unit's.
    assert_eq!(shows(&unit, "ActiveState"), "active");
    bundle.oci(&["resume", &id]).ok();
    bundle.oci(&["pause", &id]).ok();
    let began = Instant::now();
    bundle.oci(&["delete", "--force", &id]).ok();
    assert!(began.elapsed().as_secs() < 20, "systemd was let wait");
    nothing_left(&bundle, &unit);
    // The name is free, and one that ended by itself is gone without more.
    create(&bundle, &id).ok();
    bundle.oci(&["start", &id]).ok();
    bundle.oci(&["kill", "--all", &id, "KILL"]).ok();
    bundle.until_status(&id, "stopped");
    until("the scope to go", || shows(&unit, "LoadState") == "not-found");
    bundle.oci(&["delete", &id]).ok();
    nothing_left(&bundle, &unit);
    // Whoever stops the unit ends the container.
    bundle.sh("sleep 1000");
    create(&bundle, &id).ok();
    bundle.oci(&["start", &id]).ok();
    systemctl(&["kill", "--signal=KILL", &unit]).ok();
    bundle.until_status(&id, "stopped");
    bundle.oci(&["delete", &id]).ok();
    nothing_left(&bundle, &unit);
}

#[test]
fn slices_and_properties_of_its_own() {
    let Some(mut bundle) = sleeping() else { return };
    let id = id("slice");
    let slice = format!("sampantest{}-a.slice", std::process::id());
    bundle.config["linux"]["cgroupsPath"] = format!("{slice}:some:{id}").into();
    bundle.config["annotations"] = json!({
        "org.systemd.property.TimeoutStopSec": "uint32 7", "org.systemd.property.CollectMode": "'inactive'",
        "org.systemd.property.RequiresMountsFor": "['/tmp', '/var']", "other": "x",
    });
    bundle.config["linux"]["resources"]["unified"] = json!({ "memory.high": "33554432", "pids.max": "55" });
    if is_v1() {
        bundle.config["linux"]["resources"]["unified"] = Value::Null;
    }
    let unit = format!("some-{id}.scope");
    create(bundle.save(), &id).ok();
    let above = slice.replace("-a", "");
    assert_eq!(shows(&unit, "ControlGroup"), format!("/{above}/{slice}/{unit}"));
    let told = |name| shows(&unit, name);
    assert_eq!((told("TimeoutStopUSec").as_str(), told("CollectMode").as_str()), ("7s", "inactive"));
    assert!(told("RequiresMountsFor").contains("/var"));
    if !is_v1() {
        assert_eq!((told("MemoryHigh").as_str(), told("TasksMax").as_str()), ("33554432", "55"));
        assert_eq!(read(&unit, "memory", ["", "memory.high"]), "33554432");
    }
    bundle.oci(&["delete", "--force", &id]).ok();
    nothing_left(&bundle, &unit);
    systemctl(&["stop", &slice, &above]).ok();
}

#[test]
fn what_it_cannot_do_is_said() {
    let Some(mut bundle) = sleeping() else { return };
    let id = id("said");
    let mut refused = |path: &str, annotations: Value, why: &str| {
        bundle.config["linux"]["cgroupsPath"] = path.into();
        bundle.config["annotations"] = annotations;
        create(bundle.save(), &id).fails(1, why);
        assert!(!bundle.at("root").join(&id).exists(), "{why}");
    };
    refused("/a/b", json!({}), "expected cgroupsPath to be of format \"slice:prefix:name\"");
    refused("a/b.slice:x:y", json!({}), "is no name of a unit");
    refused("a--b.slice:x:y", json!({}), "invalid slice name: a--b.slice");
    refused(":x:y", json!({ "org.systemd.property.TimeoutStopSec": "soon" }), "TimeoutStopSec=soon");
    refused(":x:y", json!({ "org.systemd.property.Nonsense": "true" }), "Nonsense");
    // One that runs is another's, and stays.
    let unit = format!("x-{id}.scope");
    let mut other = Command::new("systemd-run").args(["--scope", "--unit", &unit, "sleep", "1000"]).spawn().unwrap();
    until("the other's scope", || shows(&unit, "ActiveState") == "active");
    refused(&format!(":x:{id}"), json!({}), "container's cgroup is not empty");
    assert_eq!(shows(&unit, "ActiveState"), "active");
    other.kill().unwrap();
    other.wait().unwrap();
}

/// Wherever `create` breaks off, `delete --force` finds all that was made.
#[test]
#[cfg(debug_assertions)]
fn every_step_is_undone() {
    let Some(bundle) = sleeping() else { return };
    let id = id("unwind");
    let unit = format!("sampan-{id}.scope");
    // No pipe: what was made may hold it.
    let fault = |fault: String| {
        let errors = fs::File::create(bundle.at("errors")).unwrap();
        let mut create = bundle.command(&bundle.at("sampan-oci"), &["--systemd-cgroup", "create", &id]);
        create.env("SAMPAN_FAULT", fault).stdout(Stdio::null()).stderr(errors).status().unwrap().code()
    };
    let errors = || fs::read_to_string(bundle.at("errors")).unwrap();
    assert_eq!(fault("fail:1".to_owned()), Some(1));
    let first = errors();
    let total = first.split_once("step 1/").and_then(|(_, rest)| rest.split(' ').next()?.parse::<usize>().ok());
    let total = total.unwrap_or_else(|| panic!("{first}"));
    for step in 1..=total {
        for way in ["fail", "kill-before", "kill-after", "die"] {
            // Of the child's many the first ones, among which it waits for its cgroup, and then some.
            if step > 25 && (step % 6 != 0 || way == "kill-before") {
                continue;
            }
            let what = format!("{way}:{step} of {total}");
            let code = fault(format!("{way}:{step}"));
            if way == "fail" {
                assert_eq!(code, Some(1), "{what}: {}", errors());
                nothing_left(&bundle, &unit);
            }
            let deleted = bundle.oci(&["delete", "--force", &id]);
            assert_eq!(deleted.code, 0, "{what}: {deleted:?}");
            nothing_left(&bundle, &unit);
        }
    }
}

/// A user with a systemd of his own.
struct User {
    name: String,
    id: u32,
}

impl User {
    fn new() -> Option<Self> {
        let name = format!("sys-{}", std::process::id());
        let made = Command::new("useradd").args(["--no-create-home", &name]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            eprintln!("skipped: useradd makes no user here");
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let line = passwd.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
        let id = line.split(':').nth(2).unwrap().parse().unwrap();
        let user = Self { name, id };
        let started = systemctl(&["start", &format!("user@{id}.service")]);
        let bus = format!("/run/user/{id}/bus");
        if started.code != 0 || !Path::new(&bus).exists() {
            eprintln!("skipped: no systemd of an ordinary user's, or no bus of it: {}", started.err.trim());
            return None;
        }
        Some(user)
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={0}", self.id), format!("--regid={}", self.id), "--clear-groups".into()]);
        command.arg(program).args(words).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", format!("/run/user/{}", self.id)).env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
    }

    fn shows(&self, unit: &str, property: &str) -> String {
        let words = ["--user", "show", "--property", property, "--value", unit];
        ran(self.command("systemctl", &words).output().unwrap()).ok()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        systemctl(&["stop", &format!("user@{}.service", self.id)]);
        let _ = Command::new("userdel").arg(&self.name).output();
    }
}

#[test]
fn an_ordinary_users_container_is_in_a_scope_of_his_own_systemd() {
    let Some(mut bundle) = sleeping() else { return };
    if is_v1() {
        eprintln!("skipped: on cgroup v1 only root has the systemd driver");
        return;
    }
    let Some(user) = User::new() else { return };
    let id = id("user");
    let unit = format!("sampan-{id}.scope");
    let linux = &mut bundle.config["linux"];
    linux["uidMappings"] = json!([{ "containerID": 0, "hostID": user.id, "size": 1 }]);
    linux["gidMappings"] = linux["uidMappings"].clone();
    linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    linux["resources"] = json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 33 }, "cpu": { "quota": 30000 } });
    // What one id alone cannot do.
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    for mount in mounts.iter_mut() {
        let options = mount["options"].as_array_mut();
        options.into_iter().for_each(|options| options.retain(|option| option != "gid=5"));
    }
    mounts.retain(|mount| mount["destination"] != "/sys");
    mounts
        .push(json!({ "destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "ro"] }));
    bundle.sh("sleep 1000");
    let program = bundle.at("program");
    fs::copy(SAMPAN, &program).unwrap();
    let given = Command::new("chown").arg("-R").arg(format!("{0}:{0}", user.id)).arg(bundle.at("")).status().unwrap();
    assert!(given.success());
    let root = bundle.at("mine");
    let oci = |words: &[&str]| {
        let program = program.to_str().unwrap();
        let all = [&["oci", "--root", root.to_str().unwrap(), "--systemd-cgroup"], words].concat();
        let mut command = user.command(program, &all);
        let output = fs::File::create(bundle.at("output")).unwrap();
        command.current_dir(bundle.at("")).stdout(output.try_clone().unwrap()).stderr(output);
        let code = command.status().unwrap().code().unwrap_or(-1);
        Ran { code, out: bundle.output(), err: bundle.output() }
    };
    oci(&["create", &id]).ok();
    oci(&["start", &id]).ok();
    let told = |name| user.shows(&unit, name);
    let group = told("ControlGroup");
    assert_eq!(group, format!("/user.slice/user-{0}.slice/user@{0}.service/user.slice/{unit}", user.id));
    let read = |file: &str| fs::read_to_string(format!("/sys/fs/cgroup{group}/{file}")).unwrap().trim().to_owned();
    assert_eq!(
        (read("memory.max"), read("pids.max"), read("cpu.max")),
        ("67108864".into(), "33".into(), "30000 100000".into())
    );
    oci(&["update", "--memory=96m", &id]).ok();
    assert_eq!((read("memory.max"), told("MemoryMax")), ("100663296".to_owned(), "100663296".to_owned()));
    // From a cgroup that is not his he may not clone into his own.
    assert_eq!(oci(&["exec", &id, "cat", "/proc/self/cgroup"]).ok(), "0::/");
    fs::create_dir(format!("/sys/fs/cgroup{group}/below")).unwrap();
    assert_eq!(oci(&["exec", "--cgroup=/below", &id, "cat", "/proc/self/cgroup"]).ok(), "0::/below");
    oci(&["pause", &id]).ok();
    assert_eq!(read("cgroup.freeze"), "1");
    oci(&["delete", "--force", &id]).ok();
    nothing_left(&bundle, &unit);
    assert_eq!((told("LoadState"), root.join(&id).exists()), ("not-found".to_owned(), false));
}
