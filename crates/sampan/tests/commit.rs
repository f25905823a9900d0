//! Images of what containers have changed, and of files in a tar; what has changed, listed.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use registry::tool;
use serde_json::Value;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// With busybox in the store, and a container `c` of it that has run this script and is kept.
fn kept(flags: &[&str], script: &str) -> Option<Ground> {
    let ground = Ground::new()?;
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    container(&ground, "c", "busybox", flags, script);
    Some(ground)
}

#[track_caller]
fn container(ground: &Ground, name: &str, image: &str, flags: &[&str], script: &str) {
    let words = [&["run", "--name", name, "--network=none"], flags, &[image, "sh", "-c", script]].concat();
    sampan(ground, &words).ok();
}

#[track_caller]
fn sh(ground: &Ground, image: &str, script: &str) -> String {
    sampan(ground, &["run", "--rm", "--network=none", "--pull=never", image, "sh", "-c", script]).ok()
}

fn inspect(ground: &Ground, image: &str) -> Value {
    let out = sampan(ground, &["image", "inspect", image]).ok();
    serde_json::from_str::<Value>(&out).unwrap()[0].take()
}

fn layers(ground: &Ground, image: &str) -> Vec<String> {
    serde_json::from_value(inspect(ground, image)["RootFS"]["Layers"].clone()).unwrap()
}

#[track_caller]
fn is_clean(ground: &Ground) {
    let out = sampan(ground, &["system", "check"]).ok();
    assert!(out.ends_with(" 0 bad"), "{out}");
    assert_eq!(fs::read_dir(ground.dir.join("data/tmp")).unwrap().count(), 0);
}

/// What every kind of change becomes in a layer, and what of it a container sees.
const CHANGES: &str = "echo new >/f; ln /f /g; ln -s 'a//b/./c' /l; mkfifo /p; rm /etc/profile; rm -r /var/log; mkdir /var/log;
    echo x >/var/log/new; mv /home /home2; chmod 750 /usr; mkdir -p /deep/er; chown 7:8 /deep; chmod 4755 /deep/er;
    touch -d '2001-02-03 04:05:06' /deep/old; rm -r /var/tmp; echo file >/var/tmp; n=$(printf %0200d 0); echo long >/deep/$n;
    ln -s $n /deep/link; printf '#!/bin/sh\\necho ran' >/run.sh; chmod +x /run.sh; rm -rf /tmp; mkdir /tmp; sync";

/// The same, as a container reports it.
const LOOK: &str = "cd /; cat f g; stat -c '%h %a %u:%g %Y %n' f usr deep deep/er deep/old; readlink l; readlink deep/link; ls -A etc var/log var;
    cat var/tmp deep/0*; ls -d home* p; ./run.sh; [ f -ef g ] && echo one; stat -c %F p; ls -A tmp";

#[test]
fn what_a_container_has_changed_is_a_layer() {
    let Some(ground) = kept(&[], CHANGES) else { return };
    container(&ground, "look", "busybox", &[], "true");
    let id = sampan(&ground, &["commit", "-m", "why", "-a", "me", "c", "mine:1"]).ok();
    assert!(id.starts_with("sha256:") && id == inspect(&ground, "mine:1")["Id"].as_str().unwrap(), "{id}");
    is_clean(&ground);
    // What the container saw, by the kernel, and what one of the image sees.
    container(&ground, "d", "busybox", &[], &format!("{CHANGES}; {{ {LOOK}; }} >/seen"));
    let seen = sampan(&ground, &["export", "d"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let tar = ground.dir.join("d.tar");
    sampan(&ground, &["export", "-o", tar.to_str().unwrap(), "d"]).ok();
    let seen = tool("tar", &["-xOf", tar.to_str().unwrap(), "seen"]);
    let times = |text: &str| text.lines().filter(|line| !line.contains(':')).collect::<Vec<_>>().join("\n");
    let now = sh(&ground, "mine:1", LOOK);
    assert_eq!(times(&now), times(seen.trim_end()));
    assert!(now.contains("2 644 0:0 ") && now.contains("4755 0:0 ") && now.contains("\na//b/./c\n"), "{now}");
    assert!(now.contains(" 981173106 deep/old\n"), "{now}");

    let history = sampan(&ground, &["history", "--no-trunc", "--format=json", "mine:1"]).ok();
    let last: Value = serde_json::from_str(history.lines().next().unwrap()).unwrap();
    assert_eq!((&last["Comment"], &last["ID"]), (&"why".into(), &id.into()));
    assert!(last["CreatedBy"].as_str().unwrap().starts_with("sh -c echo new"), "{history}");
    let mine = inspect(&ground, "mine:1");
    assert_eq!((&mine["Author"], &mine["Config"]["Cmd"][0]), (&"me".into(), &"sh".into()));
    assert_eq!(layers(&ground, "mine:1")[..1], layers(&ground, "busybox")[..]);

    // The same files with the same times: the same layer, whenever it is made.
    sampan(&ground, &["commit", "c", "mine:2"]).ok();
    assert_eq!(layers(&ground, "mine:1"), layers(&ground, "mine:2"));
    // On top of that once more, when its own image is gone by that name.
    container(&ground, "e", "mine:1", &[], "rm /f; echo e >/e");
    sampan(&ground, &["rmi", "-f", "mine:1"]).ok();
    sampan(&ground, &["commit", "e", "three"]).ok();
    assert_eq!(sh(&ground, "three", "cat /e /g; ls /f 2>/dev/null; ./run.sh"), "e\nnew\nran");
    assert_eq!(layers(&ground, "three").len(), 3);
    is_clean(&ground);
}

#[test]
fn a_layer_is_marked_as_the_specification_says() {
    let Some(ground) = kept(&["--cap-add=MKNOD"], &format!("{CHANGES}; mknod /dev2 c 1 3; mkdir /run/x")) else {
        return;
    };
    let id = fs::read_dir(ground.dir.join("data/containers")).unwrap().next().unwrap().unwrap().path();
    let set = ["setfattr", "-n", "user.mine", "-v", "a=b c"];
    if registry::has("setfattr") {
        tool(set[0], &[&set[1..], &[id.join("upper/f").to_str().unwrap()]].concat());
    }
    // By a path that is short enough for a socket's name.
    let upper = File::open(id.join("upper")).unwrap();
    let _socket =
        std::os::unix::net::UnixListener::bind(format!("/proc/self/fd/{}/socket", upper.as_raw_fd())).unwrap();
    sampan(&ground, &["commit", "c", "mine:1"]).ok();
    let saved = ground.dir.join("saved");
    sampan(&ground, &["save", "--format=oci-dir", "-o", saved.to_str().unwrap(), "mine:1"]).ok();
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let blob = |digest: &Value| saved.join("blobs/sha256").join(&digest.as_str().unwrap()["sha256:".len()..]);
    let manifest = read(blob(&read(saved.join("index.json"))["manifests"][0]["digest"]));
    let layer = blob(&manifest["layers"][1]["digest"]);
    // By another's reader.
    let names = tool("tar", &["-tzf", layer.to_str().unwrap()]);
    let names: Vec<&str> = names.lines().collect();
    for name in
        ["etc/.wh.profile", ".wh.home", "var/log/.wh..wh..opq", "tmp/.wh..wh..opq", "f", "l", "p", "var/tmp", "dev2"]
    {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    for name in
        ["etc/hosts", "etc/resolv.conf", "var/.wh.log", "home2/.wh..wh..opq", "deep/.wh..wh..opq", "socket", "proc/"]
    {
        assert!(!names.contains(&name), "{name}: {names:?}");
    }
    let long = tool("tar", &["--numeric-owner", "-tvzf", layer.to_str().unwrap()]);
    let line = |part: &str| long.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {long}"));
    assert!(line(" g").ends_with("g link to f"), "{long}");
    assert!(line(" dev2").contains("1,3") && line(" deep/old").contains("2001-02-03"), "{long}");
    assert!(line(" deep/er/").starts_with("drwsr-xr-x 0/0") && long.contains("drwxr-xr-x 7/8 "), "{long}");
    if registry::has("setfattr") && registry::has("getfattr") {
        container(&ground, "d", "mine:1", &[], "echo >>/f");
        let all: Vec<PathBuf> =
            fs::read_dir(ground.dir.join("data/containers")).unwrap().map(|e| e.unwrap().path()).collect();
        let upper = all.iter().find(|path| **path != id).unwrap().join("upper/f");
        let value =
            tool("getfattr", &["-n", "user.mine", "--only-values", "--absolute-names", upper.to_str().unwrap()]);
        assert_eq!(value, "a=b c");
    } else {
        println!("skipped: attributes of files: no setfattr on this machine");
    }
}

#[test]
fn changes_are_listed() {
    let Some(ground) =
        kept(&[], "echo >/new; rm /etc/profile; echo >>/etc/group; rm -r /var/log; mkdir /var/log; rmdir /home")
    else {
        return;
    };
    let list = "A /new\nC /etc\nC /etc/group\nC /var\nC /var/log\nD /etc/profile\nD /home";
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    let out = sampan(&ground, &["diff", "c"]).ok();
    assert_eq!(sorted(&out), list, "{out}");
    assert_eq!(sampan(&ground, &["container", "diff", "c"]).ok(), out);
    let json: Value = serde_json::from_str(&sampan(&ground, &["diff", "--format=json", "c"]).ok()).unwrap();
    assert_eq!(json["deleted"], serde_json::json!(["/etc/profile", "/home"]));
    sampan(&ground, &["commit", "c", "mine"]).ok();
    assert_eq!(sampan(&ground, &["image", "diff", "mine"]).ok(), out);
    assert_eq!(sampan(&ground, &["diff", "mine"]).ok(), out);
    let other = sampan(&ground, &["image", "diff", "busybox", "mine"]).ok();
    assert_eq!(other, "C /etc/group\nA /etc/profile\nA /home\nD /new");
    assert_eq!(sampan(&ground, &["image", "diff", "mine", "mine"]).ok(), "");
    // A start itself changes nothing.
    container(&ground, "idle", "busybox", &[], "true");
    assert_eq!(sampan(&ground, &["diff", "idle"]).ok(), "");
    sampan(&ground, &["commit", "idle", "same"]).ok();
    assert_eq!(sampan(&ground, &["image", "diff", "same"]).ok(), "");
    // While one runs, too.
    let mut run = ground.command(&[
        "run",
        "--rm",
        "--name=runs",
        "--network=none",
        "busybox",
        "sh",
        "-c",
        "echo >/mark; sleep 1000",
    ]);
    let mut child = run.stdout(Stdio::null()).spawn().unwrap();
    ground::until("it has written", || sampan(&ground, &["diff", "runs"]).out == "A /mark\n");
    let id = sampan(&ground, &["commit", "runs", "x"]).ok();
    assert!(id.starts_with("sha256:"), "{id}");
    sampan(&ground, &["pause", "runs"]).ok();
    sampan(&ground, &["commit", "runs", "y"]).ok();
    // It stays as it was: going on after the one, and still after the other.
    sampan(&ground, &["unpause", "runs"]).ok();
    sampan(&ground, &["commit", "--pause=false", "runs", "z"]).ok();
    for image in ["x", "y", "z"] {
        assert_eq!(sh(&ground, image, "test -e /mark && echo there"), "there", "{image}");
    }
    // What is no file is written to, and stays what it is.
    let pipe = ground.dir.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600), 0).unwrap();
    let mut export = ground.command(&["export", "--latest", "-o", pipe.to_str().unwrap()]).spawn().unwrap();
    assert!(fs::read(&pipe).unwrap().len() > 1 << 20);
    assert!(export.wait().unwrap().success() && !pipe.metadata().unwrap().is_file());
    sampan(&ground, &["rm", "-f", "runs"]).ok();
    child.wait().unwrap();
    for words in [["diff", "absent"], ["container", "diff"], ["image", "diff"]] {
        let words: Vec<&str> = words.into_iter().chain((words[1] == "diff").then_some("absent")).collect();
        sampan(&ground, &words).fails(1, "absent");
    }
}

#[test]
fn an_image_says_what_the_container_was() {
    let flags = ["-e", "A=1", "-w", "/usr", "-u", "www-data", "-l", "k=v", "--expose=80", "--stop-signal=SIGINT"];
    let Some(ground) = kept(&flags, "true") else { return };
    sampan(&ground, &["commit", "c", "plain"]).ok();
    let config = inspect(&ground, "plain")["Config"].take();
    assert_eq!(config["Cmd"], serde_json::json!(["sh", "-c", "true"]));
    assert!(config["Env"].as_array().unwrap().iter().any(|line| line == "A=1"), "{config}");
    assert_eq!((&config["WorkingDir"], &config["User"]), (&"/usr".into(), &"www-data".into()));
    assert_eq!((&config["Labels"]["k"], &config["StopSignal"]), (&"v".into(), &"SIGINT".into()));
    assert!(config["ExposedPorts"]["80/tcp"].is_object(), "{config}");
    let changes = ["-c", "CMD [\"id\", \"-u\"]", "-c", "ENV A=2 B=3", "--change=USER=root", "-c", "WORKDIR bin"];
    sampan(&ground, &[&["commit"], &changes[..], &["c", "changed"]].concat()).ok();
    let config = inspect(&ground, "changed")["Config"].take();
    assert_eq!((&config["WorkingDir"], &config["User"]), (&"/usr/bin".into(), &"root".into()));
    let run = ["run", "--rm", "--network=none", "changed"];
    assert_eq!(sampan(&ground, &run).ok(), "0");
    assert_eq!(sampan(&ground, &[&run[..], &["sh", "-c", "echo $A$B; pwd"]].concat()).ok(), "23\n/usr/bin");
    let file = ground.dir.join("iid");
    let id = sampan(&ground, &["commit", "--iidfile", file.to_str().unwrap(), "c", "plain"]).ok();
    assert_eq!(fs::read_to_string(file).unwrap(), id);
    sampan(&ground, &["commit", "-c", "RUN x", "c", "no"]).fails(1, "unknown instruction \"RUN\"");
    sampan(&ground, &["commit", "absent", "no"]).fails(1, "cannot find container absent");
    sampan(&ground, &["commit", "c", "BAD"]).fails(1, "lower case");
    let rootfs = format!("{}:O", ground.rootfs().display());
    sampan(&ground, &["run", "--name=dir", "--network=none", "--rootfs", &rootfs, "true"]).ok();
    sampan(&ground, &["commit", "dir", "no"]).fails(1, "it stands on no image\nhint: sampan export");
    sampan(&ground, &["rmi", "-f", "busybox", "plain", "changed"]).ok();
    // What was plain first.
    sampan(&ground, &["image", "prune", "-f"]).ok();
    sampan(&ground, &["commit", "c", "no"]).fails(1, "not in the store any more\nhint: sampan pull busybox");
    assert_eq!(sampan(&ground, &["images", "-q"]).ok(), "");
}

#[test]
fn files_go_out_as_a_tar_and_come_back() {
    let Some(ground) = kept(&[], CHANGES) else { return };
    let path = |name: &str| ground.dir.join(name).to_str().unwrap().to_owned();
    let tar = path("c.tar");
    sampan(&ground, &["export", "-o", &tar, "c"]).ok();
    let piped = ground.command(&["container", "export", "c"]).stdout(File::create(path("d.tar")).unwrap()).status();
    assert!(piped.unwrap().success());
    assert_eq!(fs::read(&tar).unwrap(), fs::read(path("d.tar")).unwrap(), "the same each time");
    let names = tool("tar", &["-tf", &tar]);
    assert!(!names.contains(".wh.") && names.lines().any(|name| name == "bin/busybox"), "{names}");
    assert!(!names.lines().any(|name| name == "etc/profile" || name.starts_with("home/")), "{names}");

    let changes = ["-c", "CMD [\"/run.sh\"]", "-m", "from a tar", "--platform", "linux/amd64"];
    let changes = if cfg!(target_arch = "x86_64") { &changes[..] } else { &changes[..4] };
    let id = sampan(&ground, &[&["import"], changes, &[&tar, "back:1"]].concat()).ok();
    assert_eq!(inspect(&ground, "back:1")["Id"], *id);
    assert_eq!(inspect(&ground, "back:1")["Comment"], "from a tar");
    assert_eq!(sampan(&ground, &["run", "--rm", "--network=none", "back:1"]).ok(), "ran");
    sampan(&ground, &["commit", "c", "mine"]).ok();
    // What was mounted over is empty, as docker has it.
    let mounted = "A /etc/hostname\nA /etc/hosts\nA /etc/resolv.conf";
    assert_eq!(sampan(&ground, &["image", "diff", "back:1", "mine"]).ok(), mounted);
    tool("gzip", &["-k", &tar]);
    let fed =
        |words: &[&str], from: &str| ran(ground.command(words).stdin(File::open(from).unwrap()).output().unwrap());
    fed(&["image", "import", "-", "back:2"], &format!("{tar}.gz")).ok();
    assert_eq!(layers(&ground, "back:1"), layers(&ground, "back:2"));
    is_clean(&ground);

    sampan(&ground, &["import", "--platform=linux/s390x", &tar, "other"]).ok();
    assert_eq!(inspect(&ground, "other")["Architecture"], "s390x");
    fs::write(path("text"), "no tar, but long enough to have been one, or so it seems").unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::write(path("a.xz"), b"\xfd7zXZ\0rest").unwrap();
    for (file, words) in
        [("text", "cannot import"), ("empty", "it is empty"), ("a.xz", "hint: xz -dc"), ("no", "cannot read")]
    {
        sampan(&ground, &["import", &path(file), "bad"]).fails(1, words);
    }
    sampan(&ground, &["import", "https://example.com/a.tar", "bad"]).fails(1, "curl -fL https://example.com/a.tar");
    sampan(&ground, &["export", "absent"]).fails(1, "cannot find container absent");
    sampan(&ground, &["export", "-o", "/no/such/file", "c"]).fails(1, "cannot write /no/such/file");
    assert!(!sampan(&ground, &["images"]).ok().contains("bad"));
    is_clean(&ground);
}

/// Of a container with ids of its own the files are those of its own ids.
#[test]
fn files_of_a_user_namespace_have_its_ids() {
    let flags = ["--uidmap=0:100000:65536", "--gidmap=0:100000:65536"];
    let script = "echo a >/a; chown 7:8 /a; echo b >/b; chown -h 3:4 /bin/vi";
    let Some(ground) = kept(&flags, script) else { return };
    sampan(&ground, &["commit", "c", "mine"]).ok();
    assert_eq!(sh(&ground, "mine", "stat -c %u:%g /a /b /bin/vi /etc"), "7:8\n0:0\n3:4\n0:0");
    let tar = ground.dir.join("c.tar");
    sampan(&ground, &["export", "-o", tar.to_str().unwrap(), "c"]).ok();
    let list = tool("tar", &["--numeric-owner", "-tvf", tar.to_str().unwrap()]);
    assert!(list.lines().any(|line| line.contains(" 7/8 ") && line.ends_with(" a")), "{list}");
    assert!(!list.contains("100000"), "{list}");
}

/// Whenever it is killed, the store is whole, and the next one does it.
#[test]
fn a_commit_that_is_killed_leaves_nothing() {
    let Some(ground) = kept(&[], "dd if=/dev/urandom of=/noise bs=1M count=8 2>/dev/null") else { return };
    let tar = ground.dir.join("c.tar");
    sampan(&ground, &["export", "-o", tar.to_str().unwrap(), "c"]).ok();
    let mut killed = 0;
    for round in 0..12_u64 {
        let file = tar.to_str().unwrap();
        let words = if round % 2 == 0 { ["commit", "c", "mine"] } else { ["import", file, "mine"] };
        let mut child = ground.command(&words).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(10 + round * round * 8));
        let _ = child.kill();
        killed += u32::from(child.wait().unwrap().signal() == Some(9));
        ground::until("its worker has died, too", || !has_lock(&ground));
        is_clean(&ground);
    }
    assert!(killed > 2, "{killed}");
    sampan(&ground, &["commit", "c", "mine"]).ok();
    assert_eq!(sh(&ground, "mine", "wc -c </noise"), (8 << 20).to_string());
    sampan(&ground, &["rmi", "mine"]).ok();
    sampan(&ground, &["image", "prune", "-f"]).ok();
    assert_eq!(fs::read_dir(ground.dir.join("data/layers")).unwrap().count(), 1, "the layer of busybox");
    assert_eq!(fs::read_dir(ground.dir.join("data/images/blobs/sha256")).unwrap().count(), 3);
}

/// Whether somebody writes to the store.
fn has_lock(ground: &Ground) -> bool {
    let root = File::open(Path::new(&ground.dir.join("data"))).unwrap();
    root.try_lock().is_err()
}
