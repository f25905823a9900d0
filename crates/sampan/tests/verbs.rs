//! The verbs around `run`: images made and removed, containers listed and removed, names, exit codes.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, Ran, SAMPAN, ran, until};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// `sampan run` of the directory, kept, without a network.
fn kept(ground: &Ground, flags: &[&str], command: &[&str]) -> Ran {
    let mut run = ground.command(&["run", "--network=none"]);
    run.args(flags).arg("--rootfs").arg(format!("{}:O", ground.rootfs().display())).args(command);
    ran(run.output().unwrap())
}

/// A running container, listed when this returns. Its standard output keeps nobody waiting.
fn running(ground: &Ground, name: &str, flags: &[&str]) -> Child {
    let flags: Vec<&str> = [&["--name", name], flags].concat();
    let mut run = ground.command(&["run", "--network=none"]);
    run.args(flags).arg("--rootfs").arg(format!("{}:O", ground.rootfs().display())).args(["sleep", "1000"]);
    let child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the container runs", || names(ground, &["ps"]).contains(&name.to_owned()));
    child
}

fn rows(ground: &Ground, words: &[&str]) -> Vec<Value> {
    let out = sampan(ground, &[words, &["--format", "json"]].concat()).ok();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(ground: &Ground, words: &[&str]) -> Vec<String> {
    rows(ground, words).iter().map(|row| row["Names"].as_str().unwrap().to_owned()).collect()
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

#[test]
fn an_image_is_made_listed_run_and_removed() {
    let Some(ground) = Ground::new() else { return };
    assert_eq!(sampan(&ground, &["images", "-q"]).ok(), "");
    let made = sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    assert!(made.starts_with("docker.io/library/busybox:latest"), "{made}");
    let images = rows(&ground, &["images"]);
    assert_eq!(images.len(), 1);
    assert_eq!((&images[0]["Repository"], &images[0]["Tag"]), (&"busybox".into(), &"latest".into()));
    assert_eq!(sampan(&ground, &["image", "ls", "-q"]).ok(), images[0]["ID"].as_str().unwrap());
    assert!(sampan(&ground, &["images"]).ok().starts_with("REPOSITORY"));

    let run = ["run", "--name", "user", "--network=none", "busybox", "echo", "hi"];
    assert_eq!(sampan(&ground, &run).ok(), "hi");
    sampan(&ground, &["rmi", "busybox"]).fails(1, "container user uses it");
    let layers = ground.dir.join("data/layers");
    let removed = sampan(&ground, &["rmi", "-f", "busybox"]).ok();
    assert!(removed.starts_with("Untagged: busybox:latest\nDeleted: sha256:"), "{removed}");
    assert_eq!(entries(&layers), 1, "the kept container still stands on it");
    sampan(&ground, &["rm", "user"]).ok();
    assert_eq!(entries(&layers), 0, "the last that stood on it is gone");

    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    sampan(&ground, &["image", "rm", images[0]["ID"].as_str().unwrap()]).ok();
    assert_eq!((entries(&layers), entries(&ground.dir.join("data/images/blobs/sha256"))), (0, 0));
    sampan(&ground, &["rmi", "busybox"]).fails(1, "busybox");
    assert_eq!(sampan(&ground, &["rmi", "-f", "busybox"]).ok(), "");
    sampan(&ground, &["image", "bootstrap", "emacs"]).fails(1, "emacs");
}

/// A start waits for the networks, so its image is removed between its look at it and its mount of it.
#[test]
fn an_image_that_is_removed_while_a_container_starts_keeps_its_layers() {
    let Some(ground) = Ground::new() else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let (networks, data) = (ground.dir.join("state/networks"), ground.dir.join("data"));
    fs::create_dir_all(&networks).unwrap();
    let lock = fs::File::open(&networks).unwrap();
    lock.lock().unwrap();
    // In a network namespace of its own, which the bridge is made in.
    let run = ground.command(&["run", "--rm", "--dns=192.0.2.53", "busybox", "echo", "hi"]);
    let mut starting = Command::new("unshare");
    starting.args(["-n", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).arg(SAMPAN).args(run.get_args());
    starting.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let starting = starting.spawn().unwrap();
    let store = fs::File::open(&data).unwrap();
    until("the container holds the store", || store.try_lock().is_err() || store.unlock().is_err());

    let removed = sampan(&ground, &["rmi", "-f", "busybox"]).ok();
    assert!(removed.starts_with("Untagged: busybox:latest"), "{removed}");
    assert_eq!(entries(&data.join("layers")), 1);
    drop(lock);
    assert_eq!(ran(starting.wait_with_output().unwrap()).ok(), "hi");

    // What could not be removed then goes with the next.
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    sampan(&ground, &["rmi", "busybox"]).ok();
    assert_eq!(entries(&data.join("layers")), 0);
}

#[test]
fn a_kept_container_is_listed_until_it_is_removed() {
    let Some(ground) = Ground::new() else { return };
    kept(&ground, &["--name", "seven"], &["sh", "-c", "exit 7"]).fails(7, "");
    assert_eq!(names(&ground, &["ps"]), [""; 0]);
    let [row] = <[Value; 1]>::try_from(rows(&ground, &["ps", "-a"])).unwrap();
    assert_eq!((&row["Names"], &row["State"]), (&"seven".into(), &"exited".into()));
    let status = row["Status"].as_str().unwrap();
    assert!(status.starts_with("Exited (7) ") && status.ends_with(" ago"), "{status}");
    assert_eq!(sampan(&ground, &["ps", "-aq"]).ok(), row["ID"].as_str().unwrap());
    assert!(sampan(&ground, &["ps"]).ok().starts_with("CONTAINER ID"));

    kept(&ground, &["--name", "seven"], &["true"]).fails(125, "already in use by container");
    assert_eq!(sampan(&ground, &["rm", "seven"]).ok(), "seven");
    assert_eq!(entries(&ground.dir.join("data/containers")), 0);
    assert_eq!(kept(&ground, &["--name", "seven", "--rm"], &["echo", "again"]).ok(), "again");
    assert_eq!(kept(&ground, &["--name", "seven", "--rm"], &["echo", "free"]).ok(), "free");
    assert_eq!(names(&ground, &["ps", "-a"]), [""; 0]);
    assert_eq!(entries(&ground.dir.join("data/names")), 0);
}

#[test]
fn rm_takes_several_and_says_which_it_could_not() {
    let Some(ground) = Ground::new() else { return };
    for name in ["one", "two"] {
        kept(&ground, &["--name", name], &["true"]).ok();
    }
    let removed = sampan(&ground, &["rm", "one", "absent", "two"]);
    removed.fails(1, "cannot find container absent");
    assert_eq!(removed.out, "one\ntwo\n");
    sampan(&ground, &["rm", "absent"]).fails(1, "cannot find container absent");
    assert_eq!(sampan(&ground, &["rm", "-f", "absent"]).ok(), "");
}

#[test]
fn a_running_container_is_removed_by_force_only() {
    let Some(ground) = Ground::new() else { return };
    let mut child = running(&ground, "busy", &[]);
    let status = rows(&ground, &["ps"])[0]["Status"].as_str().unwrap().to_owned();
    assert!(status.starts_with("Up "), "{status}");
    kept(&ground, &["--name", "busy"], &["true"]).fails(125, "already in use");
    sampan(&ground, &["rm", "busy"]).fails(1, "it is running");
    assert_eq!(sampan(&ground, &["rm", "-f", "busy"]).ok(), "busy");
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert_eq!(names(&ground, &["ps", "-a"]), [""; 0]);
    assert_eq!(entries(&ground.dir.join("data/containers")) + entries(&ground.dir.join("data/names")), 0);
}

#[test]
fn the_next_command_undoes_what_a_killed_sampan_left() {
    let Some(ground) = Ground::new() else { return };
    for (name, flags) in [("lost", &[][..]), ("gone", &["--rm"][..])] {
        let mut child = running(&ground, name, flags);
        // One that is kept has a monitor, which does not end with the command that waits for it.
        match ground.record(name)["monitor"].as_u64() {
            Some(monitor @ 1..) => {
                let kill = Command::new("kill").args(["-KILL", &monitor.to_string()]).status();
                assert!(kill.unwrap().success());
                assert_eq!(child.wait().unwrap().code(), Some(125), "it cannot tell how that ended");
            }
            _ => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
        until("it is gone", || names(&ground, &["ps"]).is_empty());
    }
    let [row] = <[Value; 1]>::try_from(rows(&ground, &["ps", "-a"])).unwrap();
    assert_eq!(row["Names"], "lost");
    assert!(row["Status"].as_str().unwrap().starts_with("Exited (137) "), "{row}");
    assert_eq!(entries(&ground.dir.join("state/containers")), 0);
    sampan(&ground, &["rm", "lost"]).ok();
}

#[test]
fn the_ids_are_written_and_a_cidfile_is_never_overwritten() {
    let Some(ground) = Ground::new() else { return };
    let (cid, pid) = (ground.dir.join("cid"), ground.dir.join("pid"));
    let (cidfile, pidfile) = (format!("--cidfile={}", cid.display()), format!("--pidfile={}", pid.display()));
    kept(&ground, &[&cidfile, &pidfile, "--name", "x"], &["true"]).ok();
    let id = fs::read_to_string(&cid).unwrap();
    assert_eq!(sampan(&ground, &["ps", "-aq", "--no-trunc"]).ok(), id);
    assert!(fs::read_to_string(&pid).unwrap().trim_end().parse::<u32>().unwrap() > 1);

    kept(&ground, &[&cidfile, "--name", "y"], &["true"]).fails(125, "the file exists");
    assert_eq!(fs::read_to_string(&cid).unwrap(), id);
    assert_eq!(names(&ground, &["ps", "-a"]), ["x"]);
}

#[test]
fn a_command_finds_itself_listed_and_one_that_never_ran_leaves_no_cidfile() {
    let Some(ground) = Ground::new() else { return };
    let (cid, volume) = (ground.dir.join("cid"), format!("-v={}:/ground:ro", ground.dir.display()));
    let cidfile = format!("--cidfile={}", cid.display());
    let script = "cd /ground; cat cid && test -s state/containers/$(cat cid).json && \
                  test -s data/containers/$(cat cid)/record.json";
    let id = kept(&ground, &[&cidfile, &volume], &["sh", "-c", script]).ok();
    assert_eq!(sampan(&ground, &["ps", "-aq", "--no-trunc"]).ok(), id);
    fs::remove_file(&cid).unwrap();

    let fails_at = |step: &str| {
        let mut run = ground.runner(&[&cidfile], &["true"]);
        ran(run.env("SAMPAN_FAULT", format!("fail:{step}")).output().unwrap())
    };
    let first = fails_at("1").err;
    let last = first.split_once("step 1/").unwrap().1.split_once(' ').unwrap().0;
    fails_at(last).fails(125, "EIO");
    assert!(!cid.exists());
    assert_eq!(sampan(&ground, &["ps", "-aq", "--no-trunc"]).ok(), id);
}

#[test]
fn what_this_version_cannot_do_is_refused() {
    let Some(ground) = Ground::new() else { return };
    let run = |flag: &str| sampan(&ground, &["run", "--network=none", flag, "busybox", "true"]);
    run("--pull=never").fails(125, "cannot find image busybox");
    run("--runtime=crun").fails(125, "cannot use the runtime crun");
    assert_eq!(names(&ground, &["ps", "-a"]), [""; 0]);
}

#[test]
fn info_says_what_the_host_offers() {
    let Some(ground) = Ground::new() else { return };
    let [info] = <[Value; 1]>::try_from(rows(&ground, &["info"])).unwrap();
    assert_eq!((&info["Rootless"], &info["Containers"]), (&false.into(), &0.into()));
    assert!(info["DataDirectory"].as_str().unwrap().starts_with(ground.dir.to_str().unwrap()));
    assert!(info["Seccomp"].as_array().unwrap().contains(&"errno".into()));
    assert!(sampan(&ground, &["info"]).ok().contains("Kernel: "));
    // What scripts ask docker for.
    let asked = "{{.ServerVersion}} {{.Driver}} {{.OSType}} {{.ContainersRunning}} {{.Swarm.LocalNodeState}} {{.DockerRootDir}}";
    let answer =
        format!("{} overlay linux 0 inactive {}", env!("CARGO_PKG_VERSION"), ground.dir.join("data").display());
    assert_eq!(sampan(&ground, &["info", "--format", asked]).ok(), answer);
    let uname = |flag: &str| {
        let out = std::process::Command::new("uname").arg(flag).output().unwrap().stdout;
        String::from_utf8(out).unwrap().trim().to_owned()
    };
    let asked = "{{.Name}} {{.KernelVersion}} {{.Architecture}}";
    assert_eq!(sampan(&ground, &["info", "--format", asked]).ok(), ["-n", "-r", "-m"].map(uname).join(" "));
    assert!(info["NCPU"].as_u64().unwrap() > 0 && info["MemTotal"].as_u64().unwrap() > 1 << 20);
    let version = info["CgroupVersion"].as_str().unwrap();
    assert_eq!(version == "2", std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists());
    assert!(info["PidsLimit"] == true && info["SecurityOptions"].as_array().unwrap().contains(&"name=cgroupns".into()));
    let asked = "{{.Client.Os}}/{{.Client.Arch}} {{.Server.KernelVersion}}";
    let native = spec::image::Platform::native().architecture;
    assert_eq!(sampan(&ground, &["version", "-f", asked]).ok(), format!("linux/{native} {}", uname("-r")));
}
