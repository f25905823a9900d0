//! `sampan oci` with the very words that containerd's shim and podman's conmon call it with.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id, receive};
use ground::ran;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::Command;

/// `--root` is the bundle's; where the shim has its log is up to it.
fn shim(bundle: &Bundle, words: &[&str]) -> ground::Ran {
    let log = bundle.at("log.json");
    bundle.oci(&[&["--log", log.to_str().unwrap(), "--log-format", "json"], words].concat())
}

/// What the shim tells its user: the last error of the log.
fn told(bundle: &Bundle) -> String {
    let text = fs::read_to_string(bundle.at("log.json")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.iter().rfind(|line| line["level"] == "error").unwrap();
    last["msg"].as_str().unwrap().to_owned()
}

/// docker ends with 126 or 127, and podman says what it says, by words of the runtime's, in small letters.
#[test]
fn a_command_that_is_not_there_is_told_in_the_words_of_engines() {
    let Some(mut bundle) = Bundle::new() else { return };
    let (id, dir) = (id("words"), bundle.at(""));
    let (dir, pid) = (dir.to_str().unwrap(), bundle.at("init.pid"));
    bundle.ground.file("bin/script", "#!/no/interpreter\n");
    let cases = [
        ("nosuch", "cannot execute nosuch: executable file not found in $PATH"),
        ("/nosuch", "cannot execute /nosuch: execve: ENOENT (no such file or directory)"),
        ("/etc", "cannot execute /etc: execve: EACCES (permission denied)"),
        ("script", "cannot execute script: execve: ENOENT (no such file or directory)"),
    ];
    for (command, why) in cases.iter().take(3) {
        bundle.config["process"]["args"] = json!([command]);
        let words = ["create", "--bundle", dir, "--pid-file", pid.to_str().unwrap(), &id];
        let ran = shim(bundle.save(), &words);
        ran.fails(1, why);
        // podman shows the first line that has the word it looks for.
        assert!(ran.err.lines().next().unwrap().contains(why), "{ran:?}");
        assert!(told(&bundle).starts_with(why), "{}", told(&bundle));
        shim(&bundle, &["delete", "--force", &id]).ok();
    }
    bundle.sh("sleep 100").create(&id, &[]).ok();
    shim(&bundle, &["start", &id]).ok();
    for (command, why) in cases {
        let process = json!({ "args": [command], "cwd": "/", "user": {}, "env": ["PATH=/bin"] });
        fs::write(bundle.at("process"), process.to_string()).unwrap();
        let words = ["exec", "--process", "process", "--detach", "--pid-file", "exec.pid", &id];
        shim(&bundle, &words).fails(255, why);
        assert!(told(&bundle).starts_with(why), "{}", told(&bundle));
    }
    for words in
        [&["exec", "--cwd", "/nodir", &id, "true"][..], &["exec", "--user", "1000", "--cwd", "/root", &id, "true"]]
    {
        shim(&bundle, words).fails(255, &format!("cannot execute in the container {id}: step "));
    }
    shim(&bundle, &["kill", "--all", &id, "9"]).ok();
    bundle.until_status(&id, "stopped");
    shim(&bundle, &["delete", &id]).ok();
    bundle.nothing_left(&id);
}

/// A terminal that nobody takes is no reason to run the command all the same.
#[test]
fn a_terminal_is_taken_before_the_command_runs() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("taken");
    bundle.config["root"]["readonly"] = false.into();
    bundle.sh("sleep 100").create(&id, &[]).ok();
    shim(&bundle, &["start", &id]).ok();
    let process = json!({
        "terminal": true, "args": ["sh", "-c", "echo >/tmp/ran; echo out"], "cwd": "/", "user": {}, "env": ["PATH=/bin"]
    });
    fs::write(bundle.at("process"), process.to_string()).unwrap();
    let socket = bundle.at("socket");
    let socket = socket.to_str().unwrap();
    let words = ["exec", "--process", "process", "--console-socket", socket, "--detach", "--pid-file", "e.pid", &id];
    shim(&bundle, &words).fails(255, "socket");
    assert!(!bundle.ground.rootfs().join("tmp/ran").exists());
    let listener = UnixListener::bind(socket).unwrap();
    shim(&bundle, &words).ok();
    let mut output = Vec::new();
    let _ = fs::File::from(receive(&listener).0).read_to_end(&mut output);
    // As the kernel has it: docker's logs and terminals in a browser expect it so.
    assert_eq!(String::from_utf8_lossy(&output), "out\r\n");
    assert!(bundle.ground.rootfs().join("tmp/ran").exists());
    shim(&bundle, &["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

/// podman's `--systemd=always`: an option of no letters, and systemd's own hierarchy at its place.
#[test]
fn mounts_are_as_systemd_wants_them() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("forsystemd");
    let options = ["rw", "rprivate", "nosuid", "nodev", "", "tmpcopyup"];
    let tmpfs = json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options });
    bundle.config["mounts"].as_array_mut().unwrap().push(tmpfs);
    bundle.sh(
        "mount | grep ' /tmp ' | cut -d' ' -f5; ls /sys/fs/cgroup; test -e /sys/fs/cgroup/name=systemd || echo none",
    );
    let out = bundle.oci(&["run", &id]).ok();
    assert!(out.starts_with("tmpfs\n") && out.ends_with("\nnone"), "{out}");
    let v1 = fs::read_to_string("/proc/self/cgroup").unwrap().contains("name=systemd");
    assert_eq!(v1, out.lines().any(|line| line == "systemd"), "{out}");
}

/// containerd names the hierarchy's own options again; a privileged container of Kubernetes has no cgroup namespace.
#[test]
fn options_of_the_hierarchy_stay_its_own() {
    if fs::read_to_string("/proc/self/cgroup").unwrap().contains(":memory:") {
        println!("skipped: no pure cgroup v2 on this machine");
        return;
    }
    let Some(mut bundle) = Bundle::new() else { return };
    let of_the_host = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.lines().find(|line| line.contains(" /sys/fs/cgroup ")).unwrap().to_owned()
    };
    let before = of_the_host();
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["type"] == "cgroup" {
            mount["options"] = json!(["nosuid", "noexec", "nodev", "rw", "nsdelegate", "memory_recursiveprot"]);
        }
    }
    bundle.sh("echo $$ >/sys/fs/cgroup/cgroup.procs && cat /sys/fs/cgroup/cgroup.procs | wc -l");
    for namespace in [true, false] {
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|one| namespace || one["type"] != "cgroup");
        let id = id("hierarchy");
        assert_ne!(bundle.oci(&["run", &id]).ok(), "0");
        bundle.nothing_left(&id);
    }
    assert_eq!(of_the_host(), before);
}

/// podman of an ordinary user is root of a user namespace, which has no say over devices, and `/run` is not its own.
#[test]
fn root_of_a_user_namespace_only_calls_it() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("mapped");
    bundle.oci(&["--version"]).ok();
    // It has no such group.
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        mount["options"].as_array_mut().into_iter().for_each(|options| options.retain(|option| option != "gid=5"));
    }
    bundle.sh("sleep 100");
    let script = "./sampan-oci create --bundle . --pid-file pid $0 </dev/null >/dev/null || exit
        ls run/sampan-oci; ./sampan-oci start $0; ./sampan-oci exec $0 sh -c 'id -u; echo $PPID'
        ./sampan-oci kill $0 9; while ./sampan-oci state $0 | grep -q running; do sleep 0.1; done
        ./sampan-oci delete $0; ls run/sampan-oci";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, &id]).current_dir(bundle.at(""));
    let ran = ran(command.env("XDG_RUNTIME_DIR", bundle.at("run")).env("USER", "app").output().unwrap());
    assert_eq!(ran.ok(), format!("{id}\n0\n0"));
    bundle.nothing_left(&id);
}

/// docker's `--privileged` asks for all that the kernel knows, though docker itself may have been given less.
#[test]
fn capabilities_that_the_caller_lacks_are_left_out_and_told() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("lacking");
    bundle.oci(&["--version"]).ok();
    for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_KILL", "CAP_SYS_TIME", "CAP_NO_SUCH"]);
    }
    bundle.sh("grep Cap /proc/self/status");
    let dir = bundle.at("");
    let call = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args([
            "--bounding-set=-sys_time",
            "--inh-caps=-sys_time",
            "./sampan-oci",
            "--root",
            "root",
            "--log",
            "log",
        ]);
        ran(command.args(words).arg(&id).current_dir(&dir).output().unwrap())
    };
    let is_kill_only = |text: &str| {
        let sets: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(sets, ["0000000000000020"; 5], "{text}");
    };
    is_kill_only(&call(&["run"]).ok());
    let log = fs::read_to_string(bundle.at("log")).unwrap();
    for name in ["CAP_SYS_TIME", "CAP_NO_SUCH"] {
        assert!(log.lines().any(|line| line.contains("level=warning") && line.contains(name)), "{log}");
    }
    bundle.sh("sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    let process = json!({ "args": ["grep", "Cap", "/proc/self/status"], "cwd": "/", "user": {}, "env": ["PATH=/bin"] });
    fs::write(bundle.at("process"), process.to_string()).unwrap();
    is_kill_only(&call(&["exec", "--process", "process"]).ok());
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn what_cannot_be_understood_is_in_the_log() {
    let Some(bundle) = Bundle::new() else { return };
    for (words, why) in [
        (&["--no-such", "features"][..], "unknown flag --no-such"),
        (&["frobnicate"], "unknown command \"frobnicate\""),
        (&["state", "--no-such", "x"], "unknown flag --no-such"),
        (&["exec", "--preserve-fds", "many", "x", "true"], "--preserve-fds"),
    ] {
        let ran = shim(&bundle, words);
        ran.fails(1, why);
        assert!(told(&bundle).contains(why), "{words:?}: {}", told(&bundle));
        fs::remove_file(bundle.at("log.json")).unwrap();
    }
}
