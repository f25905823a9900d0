//! `sampan oci` on real bundles, beside runc where it is installed.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id, receive};
use ground::{ran, until};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn a_container_lives() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("lives");
    bundle.config["annotations"] = json!({ "a": "b" });
    bundle.sh("echo started; trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done");
    bundle.create(&id, &["--pid-file", "pid"]).ok();
    let created = bundle.state(&id);
    let pid = fs::read_to_string(bundle.at("pid")).unwrap();
    assert_eq!(created["status"], "created");
    assert_eq!((created["id"].as_str(), created["pid"].to_string()), (Some(&*id), pid.clone()));
    assert_eq!((&created["annotations"]["a"], &created["ociVersion"]), (&json!("b"), &json!("1.0.2")));
    assert_eq!(created["bundle"], json!(bundle.ground.dir.canonicalize().unwrap()));
    assert_eq!(bundle.output(), "");
    bundle.create(&id, &[]).fails(1, "already exists");
    let listed: Value = serde_json::from_str(&bundle.oci(&["list", "--format", "json"]).ok()).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["owner"]), (&json!(id), &json!("root")));
    bundle.oci(&["start", &id]).ok();
    bundle.oci(&["start", &id]).fails(1, "already running");
    bundle.oci(&["delete", &id]).fails(1, "not stopped");
    until("it says so", || bundle.output() == "started\n");
    let pids: Vec<u32> = serde_json::from_str(&bundle.oci(&["ps", "--format=json", &id]).ok()).unwrap();
    assert!(pids.contains(&pid.parse().unwrap()));
    let table = bundle.oci(&["ps", &id]).ok();
    assert!(table.lines().next().unwrap().contains("PID") && table.contains(&pid), "{table}");
    bundle.oci(&["kill", &id, "SIGNOT"]).fails(1, "SIGNOT");
    bundle.oci(&["kill", &id]).ok();
    bundle.until_status(&id, "stopped");
    assert_eq!(bundle.output(), "started\nbye\n");
    assert_eq!(bundle.state(&id)["pid"], 0);
    bundle.oci(&["kill", &id, "9"]).fails(1, "container not running");
    bundle.oci(&["kill", "--all", &id, "9"]).ok();
    bundle.oci(&["start", &id]).fails(1, "has stopped");
    bundle.oci(&["delete", &id]).ok();
    bundle.nothing_left(&id);
    for verb in ["start", "state", "kill", "delete", "ps"] {
        bundle.oci(&[verb, &id]).fails(1, "does not exist");
    }
    assert_eq!(bundle.oci(&["delete", "--force", &id]).ok(), "");
}

#[test]
fn a_created_or_running_one_is_deleted_by_force() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("force");
    bundle.sh("sleep 100");
    bundle.create(&id, &[]).ok();
    // As runc and crun: what has not begun need not be forced.
    bundle.oci(&["delete", &id]).ok();
    bundle.create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
    // Without a pid namespace of its own what it leaves behind is found by the cgroup.
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    bundle.sh("sleep 100 & echo $!");
    bundle.create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    bundle.until_status(&id, "stopped");
    let orphan = bundle.output();
    let is_there = || Path::new("/proc").join(orphan.trim()).exists();
    assert!(is_there());
    bundle.oci(&["kill", "--all", &id, "KILL"]).ok();
    until("it is killed", || bundle.oci(&["ps", "--format", "json", &id]).ok() == "[]");
    bundle.oci(&["delete", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn run_is_as_runcs() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("run");
    bundle.sh("exit 3");
    assert_eq!(bundle.oci(&["run", &id]).code, 3);
    bundle.nothing_left(&id);
    if Command::new("runc").arg("--version").output().is_err() {
        eprintln!("skipped: no runc to compare with");
        return;
    }
    bundle.config["hostname"] = "named".into();
    bundle.config["process"]["cwd"] = "/made/here".into();
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1001, "umask": 63, "additionalGids": [10, 29] });
    bundle.config["process"]["capabilities"]["inheritable"] = json!(["CAP_KILL"]);
    bundle.config["process"]["capabilities"]["ambient"] = json!(["CAP_KILL"]);
    bundle.config["process"]["oomScoreAdj"] = 100.into();
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_default_ttl": "77", "kernel.msgmax": "9000" });
    bundle.config["linux"]["devices"] = json!([
        { "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 416, "uid": 3, "gid": 4 }
    ]);
    bundle.config["linux"]["rootfsPropagation"] = "private".into();
    // /proc/keys and the like are covered by the tmpfs of /dev, whatever is said of its size.
    let script = "id; pwd; umask; hostname; env | sort | grep -v SHLVL; ulimit -n; cat /proc/self/oom_score_adj; \
        grep -E 'Cap|NoNewPrivs|Seccomp:|Groups' /proc/self/status; ip addr show lo | grep -c UP; \
        cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax; \
        cd /dev; for d in null zero full random urandom tty mine; do stat -c '%n %F %a %u:%g %t:%T' $d; done; \
        for l in fd stdin stdout stderr ptmx; do readlink $l; done; \
        awk '{ print $2, $3, $4 }' /proc/mounts | grep -v -e cgroup -e '^/ ' | sed 's/,inode64//' | sort; \
        for p in /proc/kcore /proc/acpi /sys/firmware; do wc -c <$p 2>/dev/null || ls $p; done; \
        touch /x 2>&1; echo 1 >/proc/sys/kernel/panic; echo end";
    bundle.sh(script);
    let ours = bundle.oci(&["run", &id]).ok();
    assert!(ours.ends_with("end"), "{ours}");
    let mut theirs = bundle.command("runc".as_ref(), &["run", &id]);
    let theirs = ran(theirs.output().unwrap()).ok();
    assert_eq!(ours, theirs);
}

#[test]
fn the_terminal_goes_to_the_console_socket() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("console");
    bundle.config["process"]["terminal"] = true.into();
    bundle.config["process"]["consoleSize"] = json!({ "height": 11, "width": 22 });
    bundle.sh("tty; stty size");
    bundle.create(&id, &[]).fails(1, "--console-socket");
    let socket = bundle.at("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    bundle.create(&id, &["--console-socket", socket.to_str().unwrap()]).ok();
    let (master, name) = receive(&listener);
    assert_eq!(name, b"/dev/ptmx");
    bundle.oci(&["start", &id]).ok();
    let mut output = Vec::new();
    // EIO when the last slave is closed.
    let _ = fs::File::from(master).read_to_end(&mut output);
    assert_eq!(String::from_utf8_lossy(&output), "/dev/pts/0\r\n11 22\r\n");
    bundle.until_status(&id, "stopped");
    bundle.oci(&["delete", &id]).ok();
    bundle.config["process"]["terminal"] = false.into();
    bundle.save().create(&id, &["--console-socket", socket.to_str().unwrap()]).fails(1, "no terminal");
    bundle.nothing_left(&id);
}

#[test]
fn a_terminal_that_is_shown_makes_no_lines_for_a_file() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("shown");
    bundle.config["process"]["terminal"] = true.into();
    bundle.sh("tty; echo more");
    assert_eq!(bundle.oci(&["run", &id]).out, "/dev/pts/0\nmore\n");
    bundle.nothing_left(&id);
}

#[test]
fn hooks_run_where_and_when_the_spec_has_them() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("hooks");
    let log = bundle.at("log");
    // The same file by two paths: the container's own hooks look for it in the container.
    let hook = bundle.at("hook");
    let text = "#!/bin/sh\nread -r state\necho \"$1 $WHERE $state $(readlink /proc/self/ns/uts)\" >>\"$2\"\n";
    for path in [&hook, &bundle.at("rootfs/bin/hook")] {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(bundle.at("rootfs/log"), "").unwrap();
    let stages = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    for stage in stages {
        let inside = stage == "startContainer";
        bundle.config["hooks"][stage] = json!([{
            "path": if inside { Path::new("/bin/hook") } else { &hook },
            "args": ["hook", stage, if inside { Path::new("/log") } else { &log }],
            "env": ["PATH=/bin:/usr/bin", format!("WHERE={stage}-env")],
            "timeout": 60,
        }]);
    }
    bundle.config["root"]["readonly"] = false.into();
    bundle.config["process"]["args"] = json!(["sleep", "100"]);
    bundle.save().create(&id, &[]).ok();
    let lines = || fs::read_to_string(&log).unwrap_or_default();
    assert_eq!(lines().lines().count(), 3);
    bundle.oci(&["start", &id]).ok();
    let pid = bundle.state(&id)["pid"].to_string();
    let uts = fs::read_link(format!("/proc/{pid}/ns/uts")).unwrap();
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
    let inside = fs::read_to_string(bundle.at("rootfs/log")).unwrap();
    let text = lines();
    let mut all: Vec<&str> = text.lines().collect();
    all.insert(3, inside.trim_end());
    let expected = [
        ("creating", &*pid, false),
        ("creating", &*pid, false),
        ("creating", "1", true),
        ("created", "1", true),
        ("running", &*pid, false),
        ("stopped", "0", false),
    ];
    assert_eq!(all.len(), expected.len(), "{all:?}");
    for ((line, stage), (status, pid, own)) in all.iter().zip(stages).zip(expected) {
        let [name, env, state, namespace] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let state: Value = serde_json::from_str(state).unwrap();
        assert_eq!((name, env), (stage, &*format!("{stage}-env")));
        assert_eq!((&state["status"], state["pid"].to_string().as_str()), (&json!(status), pid), "{stage}");
        assert_eq!(Path::new(namespace) == uts, own, "{stage}");
    }
}

#[test]
fn a_hook_that_fails_ends_the_container() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("unhooked");
    bundle.config["process"]["args"] = json!(["sleep", "100"]);
    for (stage, program, why) in [
        ("prestart", "/bin/false", "ended with 1"),
        ("createRuntime", "/nowhere", "ENOENT"),
        ("createContainer", "/bin/false", "ended with 1"),
    ] {
        let last = bundle.at(stage);
        let touch = json!([{ "path": "/bin/touch", "args": ["touch", last] }]);
        bundle.config["hooks"] = json!({ stage: [{ "path": program }], "poststop": touch });
        bundle.save().create(&id, &[]).fails(1, why);
        bundle.nothing_left(&id);
        assert!(last.exists(), "{stage}: no poststop");
    }
    bundle.config["hooks"] =
        json!({ "createRuntime": [{ "path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1 }] });
    bundle.save().create(&id, &[]).fails(1, "ETIMEDOUT");
    bundle.config["hooks"] = json!({ "startContainer": [{ "path": "/bin/false" }] });
    bundle.save().create(&id, &[]).ok();
    bundle.oci(&["start", &id]).fails(1, "error running startContainer hook #0: /bin/false");
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.config["hooks"] = json!({ "poststart": [{ "path": "/bin/false" }] });
    bundle.save().create(&id, &[]).ok();
    bundle.oci(&["start", &id]).fails(1, "ended with 1");
    bundle.nothing_left(&id);
    // What is over is over.
    bundle.config["hooks"] = json!({ "poststop": [{ "path": "/bin/false" }] });
    bundle.save().create(&id, &[]).ok();
    let log = bundle.at("log");
    bundle.oci(&["--log", log.to_str().unwrap(), "--log-format=json", "delete", &id]).ok();
    let line: Value = serde_json::from_str(&fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!(line["level"], "warning");
    bundle.nothing_left(&id);
}

#[test]
fn what_cannot_be_done_is_an_error_and_nothing_is_made() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("bad");
    bundle.sh("true");
    let good = bundle.config.clone();
    let log = bundle.at("log");
    for (at, value, why) in [
        ("/ociVersion", json!("2.0.0"), "ociVersion"),
        ("/root", json!(null), "no root"),
        ("/root/path", json!("nowhere"), "ENOENT"),
        ("/process", json!(null), "no process"),
        ("/process/args", json!([]), "no command"),
        ("/process/args", json!(["nope"]), "executable file not found in $PATH"),
        ("/process/args", json!(["/etc/passwd/x"]), "no such file or directory"),
        ("/process/cwd", json!("relative"), "not an absolute path"),
        ("/process/scheduler", json!({ "policy": "SCHED_NONE" }), "SCHED_NONE"),
        ("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 }), "I/O priority"),
        ("/process/execCPUAffinity", json!({ "initial": "x" }), "initial CPU affinity \"x\""),
        ("/process/rlimits", json!([{ "type": "RLIMIT_NONE", "soft": 1, "hard": 1 }]), "RLIMIT_NONE"),
        ("/mounts", json!("x"), "invalid type"),
        ("/mounts", json!([{ "destination": "/x", "type": "bind", "source": "/nowhere" }]), "ENOENT"),
        ("/linux", json!(null), "no linux section"),
        ("/linux/namespaces", json!([{ "type": "mount" }, { "type": "mount" }]), "named twice"),
        ("/linux/namespaces", json!([{ "type": "mount" }]), "uts namespace"),
        ("/linux/namespaces", json!([{ "type": "none" }]), "unknown variant"),
        ("/linux/namespaces/0/path", json!("/proc/self/ns/net"), "another kind of namespace"),
        ("/linux/intelRdt", json!({ "closID": "x" }), "resctrl"),
        ("/linux/personality", json!({ "domain": "SUN" }), "SUN"),
        ("/linux/rootfsPropagation", json!("often"), "rootfsPropagation"),
        ("/linux/cgroupsPath", json!("/../x"), "cgroup path"),
        ("/linux/sysctl", json!({ "vm.swappiness": "1" }), "vm.swappiness"),
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NONE" }), "SCMP_ACT_NONE"),
    ] {
        bundle.config = good.clone();
        let (above, name) = at.rsplit_once('/').unwrap();
        bundle.config.pointer_mut(above).unwrap()[name] = value;
        bundle.save();
        fs::write(&log, "").unwrap();
        let ran = bundle.oci(&["--log", log.to_str().unwrap(), "--log-format", "json", "create", &id]);
        ran.fails(1, why);
        let line: Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
        assert_eq!(line["level"], "error");
        assert!(line["msg"].as_str().unwrap().contains(why), "{line}");
    }
    fs::write(bundle.at("config.json"), "{").unwrap();
    bundle.oci(&["create", &id]).fails(1, "config.json");
    fs::remove_file(bundle.at("config.json")).unwrap();
    bundle.oci(&["create", &id]).fails(1, "ENOENT");
    bundle.config = good;
    bundle.save();
    for bad in ["a/b", "..", ""] {
        bundle.oci(&["create", bad]).fails(1, "invalid id format");
    }
    bundle.oci(&["--systemd-cgroup", "create", &id]).fails(1, "--systemd-cgroup");
    bundle.oci(&["create", "--preserve-fds", "9", &id]).fails(1, "is not open");
    bundle.nothing_left(&id);
}

#[test]
fn only_the_files_that_are_passed_reach_the_container() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("files");
    bundle.sh("for f in 3 4 5 6; do cat <&$f 2>/dev/null || echo no $f; done");
    fs::write(bundle.at("three"), "three\n").unwrap();
    let script = format!("exec 3<three 4</dev/null 5<three; exec {} oci --root root run", ground::SAMPAN);
    let sh = |flags: &str| {
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("{script} {flags} {id}")]).current_dir(bundle.at("")).stdin(Stdio::null());
        ran(sh.output().unwrap()).ok()
    };
    assert_eq!(sh("--preserve-fds 2"), "three\nno 5\nno 6");
    assert_eq!(sh(""), "no 3\nno 4\nno 5\nno 6");
}

#[test]
fn containers_share_namespaces_by_path() {
    let Some(mut bundle) = Bundle::new() else { return };
    let (first, second) = (id("first"), id("second"));
    bundle.config["hostname"] = "pod".into();
    bundle.sh("sleep 100");
    bundle.create(&first, &[]).ok();
    bundle.oci(&["start", &first]).ok();
    let pid = bundle.state(&first)["pid"].to_string();
    for namespace in bundle.config["linux"]["namespaces"].as_array_mut().unwrap() {
        let kind = namespace["type"].as_str().unwrap().to_owned();
        let name = if kind == "network" { "net" } else { &kind };
        if kind != "mount" && kind != "cgroup" {
            namespace["path"] = format!("/proc/{pid}/ns/{name}").into();
        }
    }
    bundle.config.as_object_mut().unwrap().remove("hostname");
    bundle.sh("hostname; for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; ps | grep -c 'sleep 10[0]'");
    let out = bundle.oci(&["run", &second]).ok();
    let expected: Vec<String> = ["net", "ipc", "uts", "pid"]
        .iter()
        .map(|name| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(out, format!("pod\n{}\n1", expected.join("\n")));
    bundle.oci(&["delete", "--force", &first]).ok();
    bundle.nothing_left(&first);
}

#[test]
fn a_user_namespace_has_its_maps() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("user");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    let chown = Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.ground.rootfs()).status();
    assert!(chown.unwrap().success());
    bundle.sh("id -u; tr -s ' ' </proc/self/uid_map; echo x >/dev/null && echo written");
    assert_eq!(bundle.oci(&["run", &id]).ok(), "0\n 0 100000 65536\nwritten");
    bundle.nothing_left(&id);
}

/// Whatever the moment at which `create` is killed, `delete --force` finds all that it made.
#[test]
#[cfg(debug_assertions)]
fn a_create_that_was_killed_is_deleted() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("killed");
    bundle.sh("sleep 100");
    for step in (1..40).step_by(3) {
        let mut create = bundle.command(&bundle.at("sampan-oci"), &["create", &id]);
        create.env("SAMPAN_FAULT", format!("kill-after:{step}")).stdout(Stdio::null()).stderr(Stdio::null());
        create.status().unwrap();
        let deleted = bundle.oci(&["delete", "--force", &id]);
        assert_eq!(deleted.code, 0, "{step}: {deleted:?}");
        bundle.nothing_left(&id);
    }
}

#[test]
fn another_process_is_where_and_what_the_first_is() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("exec");
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["sethostname"], "action": "SCMP_ACT_ERRNO" }]
    });
    bundle.config["process"]["args"] = json!(["sleep", "100"]);
    bundle.save().create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    let probe = |pid: &str| {
        format!(
            "cat /proc/{pid}/cgroup; for n in mnt pid net ipc uts cgroup; do readlink /proc/{pid}/ns/$n; done; \
            grep -E 'Cap|NoNew|Seccomp:|Uid|Gid|Groups' /proc/{pid}/status; readlink /proc/{pid}/cwd"
        )
    };
    let sh =
        |flags: &[&str], script: &str| bundle.oci(&[&["exec"], flags, &[id.as_str(), "sh", "-c", script]].concat());
    assert_eq!(sh(&[], &probe("self")).ok(), sh(&[], &probe("1")).ok());
    sh(&[], "exit 7").fails(7, "");
    sh(&[], "hostname x").fails(1, "Operation not permitted");
    let flags = ["--user", "5:6", "-g", "7", "--env=A=B", "--cwd", "/etc", "--cap", "CAP_SYS_ADMIN"];
    let script = "id; echo $A $HOME; pwd; grep CapBnd /proc/self/status";
    assert_eq!(sh(&flags, script).ok(), "uid=5 gid=6 groups=7\nB /\n/etc\nCapBnd:\t0000000020200420");
    bundle.oci(&["exec", &id, "nope"]).fails(255, "executable file not found in $PATH");

    let process = json!({
        "terminal": true, "args": ["sh", "-c", "tty; id -u; echo $HOME"], "cwd": "/", "user": { "uid": 1000 },
        "env": ["PATH=/bin"], "consoleSize": { "height": 3, "width": 4 }
    });
    fs::write(bundle.at("process.json"), process.to_string()).unwrap();
    let socket = bundle.at("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let flags = ["exec", "--process", "process.json", "--detach", "--pid-file=pid", "--console-socket"];
    bundle.oci(&[&flags[..], &[socket.to_str().unwrap(), &id]].concat()).ok();
    assert!(fs::read_to_string(bundle.at("pid")).unwrap().parse::<u32>().is_ok());
    let mut output = Vec::new();
    let _ = fs::File::from(receive(&listener).0).read_to_end(&mut output);
    assert_eq!(String::from_utf8_lossy(&output), "/dev/pts/0\r\n1000\r\n/home/app\r\n");
    bundle.oci(&["delete", "--force", &id]).ok();
    sh(&[], "true").fails(255, "does not exist");
    bundle.nothing_left(&id);
}

#[test]
fn a_paused_container_does_nothing() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("pause");
    bundle.sh("while :; do echo .; sleep 0.01; done");
    bundle.create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    bundle.oci(&["resume", &id]).fails(1, "not paused");
    bundle.oci(&["pause", &id]).ok();
    let before = bundle.output().len();
    assert_eq!(bundle.state(&id)["status"], "paused");
    bundle.oci(&["pause", &id]).fails(1, "paused already");
    bundle.oci(&["exec", &id, "true"]).fails(255, "in a paused container");
    bundle.oci(&["delete", &id]).fails(1, "not stopped");
    assert_eq!(bundle.output().len(), before);
    bundle.oci(&["resume", &id]).ok();
    until("it goes on", || bundle.output().len() > before);
    bundle.oci(&["pause", &id]).ok();
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.oci(&["pause", &id]).fails(1, "does not exist");
    bundle.nothing_left(&id);
}

#[test]
fn schedulers_personality_and_huge_pages_are_as_asked() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("sched");
    bundle.config["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 5 });
    bundle.config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    bundle.config["linux"]["personality"] = json!({ "domain": "LINUX32" });
    bundle.config["linux"]["resources"]["hugepageLimits"] = json!([{ "pageSize": "2MB", "limit": 4194305 }]);
    bundle.config["linux"]["rootfsPropagation"] = "rshared".into();
    bundle.sh("cat /proc/self/personality; ionice -p $$; cut -d ' ' -f 19,41 /proc/self/stat; \
         cat /sys/fs/cgroup/*/hugetlb.2MB.max /sys/fs/cgroup/hugetlb.2MB.max \
             /sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes 2>/dev/null; \
         awk '$5 == \"/\" && /shared:/' /proc/self/mountinfo | wc -l");
    let huge = fs::read_to_string("/proc/cgroups").unwrap().contains("hugetlb");
    if !huge {
        eprintln!("skipped: huge pages: this kernel does not account them");
        bundle.config["linux"]["resources"].as_object_mut().unwrap().remove("hugepageLimits");
        bundle.save();
    }
    let limit = if huge { "4194304\n" } else { "" };
    let expected = format!("00000008\nbest-effort: prio 6\n5 3\n{limit}1");
    assert_eq!(bundle.oci(&["run", &id]).ok(), expected);
    bundle.nothing_left(&id);
}

#[test]
fn a_tmpfs_begins_with_what_it_covers() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("filled");
    fs::create_dir_all(bundle.at("rootfs/full/below")).unwrap();
    fs::write(bundle.at("rootfs/full/below/file"), "text").unwrap();
    fs::set_permissions(bundle.at("rootfs/full/below/file"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(bundle.at("rootfs/full"), fs::Permissions::from_mode(0o1777)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", bundle.at("rootfs/full/link")).unwrap();
    // Outside it is not what it is inside.
    std::os::unix::fs::symlink("/etc", bundle.at("rootfs/outside")).unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    for at in ["/full", "/outside", "/absent"] {
        let options = ["nosuid", "nodev", "tmpcopyup"];
        mounts.push(json!({ "destination": at, "type": "tmpfs", "source": "tmpfs", "options": options }));
    }
    bundle.config["root"]["readonly"] = false.into();
    bundle.sh("stat -c '%a' /full; cd /full; find . | sort; cat below/file; stat -c ' %a' below/file; readlink link; \
         echo more >more; grep -c ' /full tmpfs rw,nosuid,nodev' /proc/mounts; head -n 1 /etc/passwd; ls /absent");
    let expected = "1777\n.\n./below\n./below/file\n./link\ntext 4711\n/etc/passwd\n1\nroot:x:0:0:root:/root:/bin/sh";
    assert_eq!(bundle.oci(&["run", &id]).ok(), expected);
    assert!(!bundle.at("rootfs/full/more").exists());
    bundle.nothing_left(&id);
}
