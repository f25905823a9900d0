//! An ordinary user's containers: one id or a range of them, forwarding in user space, nothing left behind.
//!
//! The tests run as root and step down to users that have no account, or to one that is made for the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test and its set-up may"
)]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, NESTED, Ran, SAMPAN, ran, until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A ground that belongs to a user, and the user.
struct Ordinary {
    ground: Ground,
    id: u32,
    account: Option<String>,
}

impl Ordinary {
    /// Without an account, so without subordinate ids: each test has a user of its own, for ps to tell.
    fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let ground = Ground::new()?;
        let id = 700_000 + std::process::id() % 100_000 * 10 + NEXT.fetch_add(1, Ordering::Relaxed);
        Some(Self::owning(ground, id, None))
    }

    /// With an account and the subordinate ids that useradd gives it.
    fn with_subordinates(name: &str) -> Option<Self> {
        let ground = Ground::new()?;
        if !has("newuidmap") || !has("useradd") {
            eprintln!("skipped: needs newuidmap (uidmap) and useradd");
            return None;
        }
        let name = format!("spn-{name}-{}", std::process::id());
        let made = Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", &name]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let line = passwd.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
        let id = line.split(':').nth(2).unwrap().parse().unwrap();
        let user = Self::owning(ground, id, Some(name));
        if !fs::read_to_string("/etc/subuid").unwrap_or_default().contains(user.account.as_deref().unwrap()) {
            eprintln!("skipped: useradd gives no subordinate ids here");
            return None;
        }
        Some(user)
    }

    fn owning(ground: Ground, id: u32, account: Option<String>) -> Self {
        give(&ground.dir, id);
        Self { ground, id, account }
    }

    /// A command of this user's, in a mount namespace whose /dev/net/tun is as distributions have it.
    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        const TUN: &str = "mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", TUN, "sh", "setpriv"]);
        command.args([format!("--reuid={0}", self.id), format!("--regid={}", self.id), "--clear-groups".into()]);
        command.arg(program).args(arguments).stdin(Stdio::null());
        command.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_DATA_HOME").env("HOME", &self.ground.dir);
        command.current_dir("/");
        command
    }

    fn sampan(&self, arguments: &[&str]) -> Command {
        let path = |name| self.ground.dir.join(name).to_string_lossy().into_owned();
        let (data, state) = (path("data"), path("state"));
        self.command(&self.program(), &[&["--root", &data, "--state", &state], arguments].concat())
    }

    /// Where an ordinary user can execute it: the build may be below a closed directory.
    fn program(&self) -> PathBuf {
        let copy = self.ground.dir.join("sampan");
        if !copy.exists() {
            fs::copy(SAMPAN, &copy).unwrap();
        }
        copy
    }

    fn runner(&self, flags: &[&str], script: &str) -> Command {
        let rootfs = format!("{}:O", self.ground.rootfs().display());
        let network = if flags.iter().any(|flag| flag.starts_with("--network") || *flag == "-p") {
            [].as_slice()
        } else {
            &["--network=none"]
        };
        self.sampan(&[&["run", "--rm"], network, flags, &["--rootfs", &rootfs, "sh", "-c", script]].concat())
    }

    fn sh(&self, flags: &[&str], script: &str) -> Ran {
        ran(self.runner(flags, script).output().unwrap())
    }

    /// Processes of this user that are no zombies, by name.
    fn processes(&self) -> Vec<(i32, String)> {
        let one = |pid: i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next();
            let own = field("Uid:")? == self.id.to_string() && field("State:")? != "Z";
            own.then(|| (pid, field("Name:").unwrap_or_default().to_owned()))
        };
        let pids =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(one).collect()
    }

    /// Nothing runs, and nothing is kept of a container.
    #[track_caller]
    fn is_clean(&self) {
        until("the user's processes end", || self.processes().is_empty());
        for place in ["data/containers", "state/containers"] {
            let entries = fs::read_dir(self.ground.dir.join(place)).unwrap();
            let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            assert!(names.is_empty(), "{place} still has {names:?}");
        }
    }

    /// SIGKILL for this user's sampan.
    #[track_caller]
    fn kill(&self) {
        let found = self.processes().into_iter().find(|(_, name)| name == "sampan");
        let (pid, _) = found.expect("a sampan that runs");
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        let state = format!("/tmp/sampan-{}", self.id);
        let _ = fs::remove_file(&state).or_else(|_| fs::remove_dir_all(&state));
        if let Some(name) = &self.account {
            let _ = Command::new("userdel").arg(name).output();
        }
    }
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).exists())
}

fn give(path: &Path, id: u32) {
    assert!(Command::new("chown").args(["-hR", &format!("{id}:{id}")]).arg(path).status().unwrap().success());
}

#[test]
fn one_id() {
    let Some(user) = Ordinary::new() else { return };
    let out = user.sh(&[], "id -u; id -g; tr -s ' ' </proc/self/uid_map; cat /proc/self/setgroups; touch /x").ok();
    assert_eq!(out, format!("0\n0\n 0 {} 1\ndeny", user.id));
    assert!(!user.ground.rootfs().join("x").exists());
    // A gid that the map does not have cannot own the terminals.
    let pts = user.sh(&[], "grep ' /dev/pts ' /proc/mounts").ok();
    assert!(!pts.contains("gid="), "{pts}");
    user.is_clean();
}

#[test]
fn one_id_makes_no_second_one() {
    let Some(user) = Ordinary::new() else { return };
    for (flags, what) in [(["--user=1000"], "user 1000"), (["--user=0:7"], "group 7"), (["--group-add=7"], "group 7")] {
        let refused = user.sh(&flags, "true");
        refused.fails(125, &format!("cannot run as {what}"));
        assert!(refused.err.contains("/etc/subuid"), "{refused:?}");
    }
    user.sh(&["--user=0:0"], "true").ok();
    user.is_clean();
}

/// Nobody asked for a limit, so nobody is told that there is none.
#[test]
fn quiet_unless_a_limit_is_asked_for() {
    let Some(user) = Ordinary::new() else { return };
    assert_eq!(user.sh(&[], "true").err, "");
    user.sh(&["--memory=64m"], "true").fails(125, "cannot limit memory to 64m");
    user.is_clean();
}

#[test]
fn a_range_of_ids() {
    let Some(user) = Ordinary::with_subordinates("range") else { return };
    let out =
        user.sh(&[], "id -u; wc -l </proc/self/uid_map; cat /proc/self/setgroups; mkdir -p /d/e; chown -R 7:7 /d");
    assert_eq!(out.ok(), "0\n2\nallow");
    user.is_clean();
    let out = user.sh(&["--user=1000:1001", "--group-add=29"], "id -u; id -g; id -G; touch /tmp/x");
    assert_eq!(out.code, 1, "{out:?}");
    assert_eq!(out.out, "1000\n1001\n1001 29\n");
    let volume = user.ground.dir.join("volume");
    fs::create_dir(&volume).unwrap();
    chown(&volume, Some(user.id), Some(user.id)).unwrap();
    user.sh(&["-v", &format!("{}:/v", volume.display())], "touch /v/own /v/other && chown 1:1 /v/other").ok();
    let owner = |name: &str| fs::metadata(volume.join(name)).unwrap().uid();
    assert_eq!(owner("own"), user.id);
    assert!(owner("other") >= 100_000, "{}", owner("other"));
    user.is_clean();
}

/// The caller is who he is, root is somebody else.
#[test]
fn keeps_the_callers_ids() {
    let Some(user) = Ordinary::with_subordinates("keepid") else { return };
    let (id, name) = (user.id, user.account.as_deref().unwrap());
    user.ground.file("etc/passwd", "root:x:0:0::/:/bin/sh\nfive:x:5:5::/:/bin/sh\n");
    user.ground.file("etc/group", "root:x:0:\n");
    let volume = user.ground.dir.join("volume");
    fs::create_dir(&volume).unwrap();
    give(&volume, id);
    let volume_flag = format!("{}:/v", volume.display());
    let script = "id; stat -c %u:%g /dev /etc/hosts; touch /v/own; wc -l </etc/passwd; cat /proc/self/setgroups
        tr -s ' ' </proc/self/uid_map | head -n 2 | cut -d' ' -f2,4; grep CapEff /proc/self/status";
    let expected =
        format!("uid={id}({name}) gid={id}({name})\n0:0\n{id}:{id}\n3\nallow\n0 {id}\n{id} 1\nCapEff:\t{:016x}", 0);
    assert_eq!(user.sh(&["--userns=keep-id", "-v", &volume_flag], script).ok(), expected);
    assert_eq!(fs::metadata(volume.join("own")).unwrap().uid(), id);
    let five = user.sh(&["--userns=keep-id:uid=5,gid=7"], "id; touch /new && stat -c %u:%g /new");
    assert_eq!(five.ok(), "uid=5(five) gid=7\n5:7");
    let root = user.sh(&["--userns=keep-id", "--user=0", "-v", &volume_flag], "id -u; touch /v/roots /etc/new");
    assert_eq!(root.ok(), "0");
    assert!(fs::metadata(volume.join("roots")).unwrap().uid() >= 100_000);
    user.sh(&["--userns=keep-id:uid=0,gid=0"], "[ $(id -u) = 0 ]").ok();
    // Root inside is not the caller, but root over what is the caller's; not over what is another's as well.
    fs::set_permissions(&user.ground.dir, fs::Permissions::from_mode(0o700)).unwrap();
    user.sh(&["--userns=keep-id"], "true").ok();
    chown(&user.ground.dir, None, Some(0)).unwrap();
    user.sh(&["--userns=keep-id"], "true").fails(125, "may not go through");
    user.is_clean();
}

#[test]
fn keeps_no_single_id() {
    let Some(user) = Ordinary::new() else { return };
    let refused = user.sh(&["--userns=keep-id"], "true");
    refused.fails(125, "cannot keep the caller's ids in the container");
    assert!(refused.err.contains("/etc/subuid"), "{refused:?}");
}

#[test]
fn sampan_in_sampan() {
    for user in [Ordinary::with_subordinates("nested"), Ordinary::new()].into_iter().flatten() {
        let sampan = format!("-v={}:/sampan:ro", user.program().display());
        Ground::is_nested(user.sh(&["--privileged", "--tmpfs=/work:exec", &sampan], NESTED));
        user.is_clean();
    }
}

#[test]
fn a_volume_is_given_to_a_user_of_the_range() {
    for user in [Ordinary::with_subordinates("give"), Ordinary::new()].into_iter().flatten() {
        let volume = user.ground.dir.join("volume");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("file"), "").unwrap();
        give(&volume, user.id);
        let given = format!("{}:/v:U", volume.display());
        let owner = || fs::metadata(volume.join("file")).unwrap().uid();
        if user.account.is_some() {
            user.sh(&["-u", "1000", "-v", &given], "[ -O /v/file ]").ok();
            assert!(owner() >= 100_000, "{}", owner());
        }
        // And back.
        user.sh(&["-v", &given], "[ -O /v/file ]").ok();
        assert_eq!(owner(), user.id);
        let shifted = format!("{}:/v:idmap", volume.display());
        user.sh(&["-v", &shifted], "true").fails(125, "only root of the host may");
        let shared = format!("{}:/v:shared", volume.display());
        user.sh(&["-v", &shared], "true").fails(125, "never reaches the host");
        user.is_clean();
    }
}

/// A root file system of the host's root's.
#[test]
fn what_cannot_be_made_in_the_directory_of_another() {
    for user in [Ordinary::with_subordinates("target"), Ordinary::new()].into_iter().flatten() {
        give(&user.ground.rootfs(), 0);
        user.sh(&[], "true").fails(125, "/etc there belongs to user 0 of the host");
        user.ground.file("etc/hosts", "");
        user.ground.file("etc/hostname", "");
        user.ground.file("etc/resolv.conf", "");
        // In the root itself, and in other mounts, they can be made.
        user.sh(&["--tmpfs=/new", "--tmpfs=/new/more", "--tmpfs=/dev/more"], "ls -d /proc /new/more /dev/more").ok();
        let open = user.sh(&["--tmpfs=/home/app/new"], "true");
        open.fails(125, "/home/app there belongs to user 0 of the host");
        assert!(open.err.contains("hint:"), "{open:?}");
        let rootfs = user.ground.rootfs();
        let plain = ["run", "--rm", "--network=none", "--rootfs", rootfs.to_str().unwrap(), "true"];
        ran(user.sampan(&plain).output().unwrap()).fails(125, "/ there belongs to user 0 of the host");
        user.is_clean();
    }
}

#[test]
fn files_of_a_range_are_removed_with_a_kept_container() {
    let Some(user) = Ordinary::with_subordinates("keep") else { return };
    let rootfs = format!("{}:O", user.ground.rootfs().display());
    let script = "mkdir -p /d/e && chown -R 7:7 /d && chmod 700 /d";
    let run = ["run", "--name=kept", "--network=none", "--rootfs", &rootfs, "sh", "-c", script];
    ran(user.sampan(&run).output().unwrap()).ok();
    ran(user.sampan(&["rm", "kept"]).output().unwrap()).ok();
    user.is_clean();
}

#[test]
fn a_kill_takes_the_container_along_and_the_next_one_cleans_up() {
    for user in [Ordinary::new(), Ordinary::with_subordinates("kill")].into_iter().flatten() {
        let script = "mkdir /d; chown 7:7 /d 2>/dev/null; echo up; exec sleep 1000";
        let mut child = user.runner(&[], script).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
        user.kill();
        child.wait().unwrap();
        until("the container ends", || user.processes().is_empty());
        assert_ne!(fs::read_dir(user.ground.dir.join("data/containers")).unwrap().count(), 0);
        user.sh(&[], "true").ok();
        user.is_clean();
    }
}

#[test]
fn images() {
    for user in [Ordinary::new(), Ordinary::with_subordinates("image")].into_iter().flatten() {
        if !has("busybox") {
            eprintln!("skipped: needs busybox");
            return;
        }
        ran(user.sampan(&["image", "bootstrap", "busybox"]).output().unwrap()).ok();
        let run = ["run", "--rm", "--network=none", "busybox", "sh", "-c", "id -u; echo $$; touch /bin/x"];
        assert_eq!(ran(user.sampan(&run).output().unwrap()).ok(), "0\n1");
        user.is_clean();
        ran(user.sampan(&["rmi", "busybox"]).output().unwrap()).ok();
    }
}

#[test]
fn the_host_as_image() {
    for user in [Ordinary::new(), Ordinary::with_subordinates("host")].into_iter().flatten() {
        let script = "id -u; touch /x /usr/x /etc/x && echo written; cat /etc/shadow 2>/dev/null | wc -l";
        let run = ["run", "--rm", "--network=none", "host", "sh", "-c", script];
        assert_eq!(ran(user.sampan(&run).output().unwrap()).ok(), "0\nwritten\n0");
        assert!(!Path::new("/usr/x").exists() && !Path::new("/etc/x").exists() && !Path::new("/x").exists());
        user.is_clean();
    }
}

#[test]
fn namespaces_of_the_host() {
    let Some(user) = Ordinary::new() else { return };
    let links = |path: &str| fs::read_link(path).unwrap().to_string_lossy().into_owned();
    let out = user
        .sh(&["--network=host", "--pid=host"], "readlink /proc/self/ns/net; readlink /proc/self/ns/pid; ls /sys/class");
    let out = out.ok();
    assert!(out.starts_with(&format!("{}\n{}\n", links("/proc/self/ns/net"), links("/proc/self/ns/pid"))), "{out}");
    assert!(out.contains("net"), "{out}");
    user.is_clean();
}

#[test]
fn privileged_is_root_of_its_own_namespace_only() {
    let Some(user) = Ordinary::new() else { return };
    let script =
        "mkdir /m && mount -t tmpfs tmpfs /m && echo mounted; echo x >/proc/sys/kernel/core_pattern || echo no";
    let privileged = user.sh(&["--privileged"], script);
    assert_eq!(privileged.ok(), "mounted\nno");
    user.is_clean();
}

#[test]
fn volumes_and_secrets_are_his_own() {
    let Some(user) = Ordinary::new() else { return };
    let call = |words: &[&str]| ran(user.sampan(words).output().unwrap());
    call(&["volume", "create", "one"]).ok();
    assert_eq!(user.sh(&["-v", "one:/v"], "echo kept >/v/file; stat -c %u /v/file").ok(), "0");
    let again = user.sh(&["-v", "one:/v:ro", "-v", "/anonymous"], "cat /v/file; touch /anonymous/x /v/x");
    assert_eq!((again.code, again.out.as_str()), (1, "kept\n"), "{again:?}");
    assert_eq!(call(&["volume", "ls", "-q"]).ok(), "one");
    let data = user.ground.dir.join("data/volumes/one/_data/file");
    assert_eq!(fs::metadata(&data).unwrap().uid(), user.id);
    call(&["volume", "create", "--opt=type=tmpfs", "--opt=device=tmpfs", "two"]).fails(1, "only root of the host may");

    let file = user.ground.dir.join("token");
    fs::write(&file, "s3cret").unwrap();
    call(&["secret", "create", "token", file.to_str().unwrap()]).ok();
    let read = user.sh(&["--secret=token", "--secret=token,type=env,target=T"], "cat /run/secrets/token; echo \" $T\"");
    assert_eq!(read.ok(), "s3cret s3cret");
    call(&["secret", "rm", "token"]).ok();
    call(&["volume", "rm", "one"]).ok();
    assert!(!data.exists());
    user.is_clean();
}

#[test]
fn what_of_networks_he_cannot_have_is_said() {
    let Some(user) = Ordinary::new() else { return };
    let call = |words: &[&str]| ran(user.sampan(words).output().unwrap());
    for words in [
        &["network", "create", "one"][..],
        &["network", "connect", "bridge", "c"],
        &["network", "disconnect", "bridge", "c"],
    ] {
        call(words).fails(1, "an ordinary user can make no links on the host");
    }
    user.sh(&["--network=one"], "true").fails(125, "an ordinary user can make no links on the host");
    // His traffic is pasta's, which knows nothing of rules: there is nothing to restore.
    assert_eq!(call(&["network", "reload", "--all"]).ok(), "");
    assert!(!user.ground.dir.join("state/networks").exists());
}

#[test]
fn a_network_through_pasta() {
    let Some(user) = Ordinary::new() else { return };
    if !has("pasta") {
        eprintln!("skipped: needs pasta (passt)");
        return;
    }
    user.ground.file("etc/index.html", "from inside\n");
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:80");
    let script = "ip -o link | grep -c eth0; exec httpd -f -h /etc -p 80";
    let mut child = user.runner(&["-p", &publish], script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"1\n");
    let mut page = String::new();
    until("the server answers", || {
        page = get(port).unwrap_or_default();
        page.contains("from inside")
    });
    let second = user.sh(&["-p", &publish], "true");
    second.fails(125, "a process of this host has that port");

    // Pasta does not end with the container by itself.
    user.kill();
    child.wait().unwrap();
    user.sh(&[], "true").ok();
    user.is_clean();
    let twice = user.sh(&["-p", &publish, "-p", &publish], "true");
    twice.fails(125, "asked for twice");
    user.sh(&["-p", &publish], "true").ok();
    user.is_clean();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn get(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn without_pasta_one_warning_and_no_network() {
    let Some(user) = Ordinary::new() else { return };
    let rootfs = format!("{}:O", user.ground.rootfs().display());
    let run = |flags: &[&str]| {
        let mut command =
            user.sampan(&[&["run", "--rm"], flags, &["--rootfs", &rootfs, "ls", "/sys/class/net"]].concat());
        // All that the way to sampan needs, and no pasta.
        let empty = user.ground.dir.join("path");
        fs::create_dir_all(&empty).unwrap();
        for program in ["unshare", "sh", "setpriv", "mount", "mknod"] {
            let from = ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(program)).find(|path| path.exists());
            let _ = symlink(from.unwrap(), empty.join(program));
        }
        ran(command.env("PATH", &empty).output().unwrap())
    };
    let alone = run(&[]);
    assert_eq!((alone.code, alone.out.as_str()), (0, "lo\n"), "{alone:?}");
    assert_eq!(alone.err.matches("warning:").count(), 1, "{alone:?}");
    assert!(alone.err.contains("pasta"), "{alone:?}");
    run(&["-p", "18080:80"]).fails(125, "cannot publish ports");
    run(&["--network=pasta"]).fails(125, "cannot connect the container");
    user.is_clean();
}

/// In a user namespace of the test's own, whose limit of further ones is 0.
/// One is root of another's namespaces only in that one's user namespace, be it of one id or of a range.
#[test]
fn containers_join_each_others_namespaces() {
    for user in [Ordinary::new(), Ordinary::with_subordinates("join")].into_iter().flatten() {
        let call = |words: &[&str]| ran(user.sampan(words).output().unwrap());
        let rootfs = format!("{}:O", user.ground.rootfs().display());
        let run = |words: &[&str], command: &[&str]| call(&[words, &["--rootfs", &rootfs], command].concat());
        run(&["run", "-d", "--name=first", "--network=none", "--stop-signal=KILL"], &["sleep", "1000"]).ok();
        let links = |name: &str| format!("cd /proc/self/ns; readlink {name}; readlink user");
        for name in ["net", "pid", "ipc", "uts"] {
            let flag = format!("--{}=container:first", if name == "net" { "network" } else { name });
            let network: &[&str] = if name == "net" { &[] } else { &["--network=none"] };
            let words = [&["run", "--rm", flag.as_str()], network].concat();
            let inside = run(&words, &["sh", "-c", &links(name)]).ok();
            assert_eq!(inside, call(&["exec", "first", "sh", "-c", &links(name)]).ok(), "{name}");
        }
        call(&["rm", "-f", "first"]).ok();

        call(&["pod", "create", "--network=none", "pod"]).ok();
        let web = ["run", "-d", "--name=web", "--pod=pod", "--stop-signal=KILL"];
        run(&web, &["httpd", "-f", "-p", "80", "-h", "/etc"]).ok();
        let page = run(&["run", "--rm", "--pod=pod"], &["wget", "-q", "-O", "-", "http://127.0.0.1/group"]);
        assert!(page.err.is_empty() && page.out.starts_with("root:x:0:"), "{page:?}");
        // Its memory is theirs, too: not by what is in it, but by who may mount it.
        assert_eq!(
            run(&["run", "--rm", "--pod=pod"], &["sh", "-c", "hostname; ls -d /dev/mqueue"]).ok(),
            "pod\n/dev/mqueue"
        );
        call(&["pod", "restart", "pod"]).ok();
        assert_eq!(call(&["pod", "ps", "--format", "{{.Status}}"]).ok(), "Running");
        call(&["pod", "rm", "-f", "pod"]).ok();
        user.is_clean();
    }
}

#[test]
fn forbidden_user_namespaces_are_said_before_anything_is_touched() {
    let Some(ground) = Ground::new() else { return };
    const SCRIPT: &str = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "sh", "-c", SCRIPT, "sh"]);
    command.arg(SAMPAN).arg("--root").arg(ground.dir.join("data")).arg("--state").arg(ground.dir.join("state"));
    command.args(["run", "--rm", "--network=none", "--uidmap=0:0:1", "--rootfs"]).arg(ground.rootfs()).arg("true");
    let refused = ran(command.output().unwrap());
    refused.fails(125, "user namespaces are forbidden here");
    assert!(refused.err.contains("user.max_user_namespaces"), "{refused:?}");
    assert_eq!(fs::read_dir(ground.dir.join("data/containers")).unwrap().count(), 0);
}

#[test]
fn a_state_directory_that_others_made_is_refused() {
    let Some(user) = Ordinary::new() else { return };
    let state = PathBuf::from(format!("/tmp/sampan-{}", user.id));
    let refused = |why: &str| {
        for (verb, code) in [(["ps", "-a"].as_slice(), 1), (&["run", "--rm", "--network=none", "host", "true"], 125)] {
            ran(user.command(&user.program(), verb).output().unwrap()).fails(code, why);
        }
    };
    fs::create_dir_all(state.join("containers")).unwrap();
    refused("it belongs to user 0");
    give(&state, user.id);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    refused("others may write to it");
    fs::remove_dir_all(&state).unwrap();
    symlink(&user.ground.dir, &state).unwrap();
    refused("it is no directory");
    fs::remove_file(&state).unwrap();
    let run = ["run", "--rm", "--network=none", "host", "true"];
    ran(user.command(&user.program(), &run).output().unwrap()).ok();
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    fs::remove_dir_all(&state).unwrap();
}

/// Files of several owners: unpacked, seen and removed as the user's subordinate ids.
#[test]
fn an_image_of_several_owners_is_pulled() {
    let Some(user) = Ordinary::with_subordinates("pull") else { return };
    let Some(server) = registry::Registry::start(registry::Kind::Plain) else { return };
    let upper = user.ground.dir.join("upper");
    fs::create_dir_all(upper.join("home/app/deep")).unwrap();
    fs::write(upper.join("home/app/deep/file"), "x").unwrap();
    for path in ["home/app", "home/app/deep", "home/app/deep/file"] {
        chown(upper.join(path), Some(1000), Some(1001)).unwrap();
    }
    fs::set_permissions(upper.join("home/app"), fs::Permissions::from_mode(0o700)).unwrap();
    let base = user.ground.dir.join("base");
    fs::create_dir_all(base.join("bin")).unwrap();
    fs::copy("/bin/busybox", base.join("bin/busybox")).unwrap();
    symlink("busybox", base.join("bin/sh")).unwrap();
    let machine = spec::image::Platform::native().architecture;
    let layers = [registry::layer_of(&base), registry::layer_of(&upper)];
    server.publish("several", "v1", &machine, &layers, false);
    let name = format!("{}/several:v1", server.host());
    ran(user.sampan(&["pull", "-q", &name]).output().unwrap()).ok();
    let script = "busybox stat -c %u:%g:%a /home/app /home/app/deep/file";
    let words = ["run", "--rm", "--network=none", "--pull=never", &name, "sh", "-c", script];
    assert_eq!(ran(user.sampan(&words).output().unwrap()).ok(), "1000:1001:700\n1000:1001:644");
    // Out and in again, and looked at.
    let file = user.ground.dir.join("home/several.tar");
    fs::create_dir(file.parent().unwrap()).unwrap();
    chown(file.parent().unwrap(), Some(user.id), Some(user.id)).unwrap();
    let file = file.to_str().unwrap();
    ran(user.sampan(&["save", "-o", file, &name]).output().unwrap()).ok();
    ran(user.sampan(&["rmi", &name]).output().unwrap()).ok();
    ran(user.sampan(&["load", "-i", file]).output().unwrap()).ok();
    assert_eq!(ran(user.sampan(&["system", "check"]).output().unwrap()).ok(), "1 images, 2 layers: 0 bad");
    assert_eq!(ran(user.sampan(&words).output().unwrap()).ok(), "1000:1001:700\n1000:1001:644");
    ran(user.sampan(&["rmi", &name]).output().unwrap()).ok();
    let layers = user.ground.dir.join("data/layers");
    assert_eq!(fs::read_dir(&layers).unwrap().count(), 0);
    assert_eq!(fs::read_dir(user.ground.dir.join("data/tmp")).unwrap().count(), 0);
}

/// Files of his subordinate ids go into layers and tars with the ids that the image knows.
#[test]
fn what_a_container_of_a_range_has_changed() {
    let Some(user) = Ordinary::with_subordinates("commit") else { return };
    let sampan = |words: &[&str]| ran(user.sampan(words).output().unwrap()).ok();
    sampan(&["image", "bootstrap", "busybox"]);
    let script = "echo a >/a; chown 7:8 /a; mkdir -m 700 /shut; echo >/shut/in; chown 7 /shut; rm -r /var/log; mkdir /var/log; rm /etc/profile";
    sampan(&["run", "--name=c", "--network=none", "busybox", "sh", "-c", script]);
    let list = sampan(&["diff", "c"]);
    assert_eq!(list, "A /a\nC /etc\nD /etc/profile\nA /shut\nA /shut/in\nC /var\nC /var/log");
    sampan(&["commit", "c", "mine"]);
    assert_eq!(sampan(&["image", "diff", "mine"]), list);
    let look = "stat -c %u:%g /a /shut /bin; ls -A /shut /var/log /etc/profile 2>/dev/null";
    let seen = "7:8\n7:0\n0:0\n/shut:\nin\n\n/var/log:";
    assert_eq!(sampan(&["run", "--rm", "--network=none", "mine", "sh", "-c", &format!("{look}; true")]), seen);
    let tar = user.ground.dir.join("c.tar");
    let tar = tar.to_str().unwrap();
    sampan(&["export", "-o", tar, "c"]);
    sampan(&["import", tar, "back"]);
    assert_eq!(sampan(&["run", "--rm", "--network=none", "back", "sh", "-c", &format!("{look}; true")]), seen);
    assert!(sampan(&["system", "check"]).ends_with(" 0 bad"));
    sampan(&["rm", "c"]);
    sampan(&["rmi", "busybox", "mine", "back"]);
    assert_eq!(fs::read_dir(user.ground.dir.join("data/layers")).unwrap().count(), 0);
}

#[test]
fn one_more_process_in_it() {
    let users = [Ordinary::new(), Ordinary::with_subordinates("exec")];
    for user in users.into_iter().flatten() {
        let mut run = user.runner(&["--name=c", "--hostname=ship"], "echo up >/tmp/up; exec sleep 1000");
        let mut run = run.stdout(Stdio::null()).spawn().unwrap();
        let exec = |flags: &[&str], script: &str| {
            ran(user.sampan(&[&["exec"], flags, &["c", "sh", "-c", script]].concat()).output().unwrap())
        };
        until("it is up", || exec(&[], "test -e /tmp/up").code == 0);
        assert_eq!(exec(&[], "hostname; id -u; touch /new && stat -c %u /new").ok(), "ship\n0\n0");
        let caps = "grep -E '^(Cap|Seccomp:)' /proc/self/status; readlink /proc/self/ns/user";
        assert_eq!(exec(&[], caps).ok(), exec(&[], &caps.replace("self", "1")).ok());
        if user.account.is_some() {
            assert_eq!(exec(&["-u", "app"], "id -u; id -g").ok(), "1000\n1001");
        }
        assert_eq!(exec(&["-t"], "test -t 1 && echo terminal").ok().trim_end(), "terminal");
        let pid = user.processes().into_iter().find(|(_, name)| name == "sleep").unwrap().0;
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
        run.wait().unwrap();
        user.is_clean();
    }
}

#[test]
fn files_into_it_and_out_of_it() {
    let users = [Ordinary::new(), Ordinary::with_subordinates("cp")];
    for user in users.into_iter().flatten() {
        let file = user.ground.dir.join("file");
        fs::write(&file, "of the user\n").unwrap();
        chown(&file, Some(user.id), Some(user.id)).unwrap();
        let rootfs = format!("{}:O", user.ground.rootfs().display());
        let words = ["run", "--name=c", "--network=none", "--rootfs", &rootfs, "sleep", "1000"];
        let mut run = user.sampan(&words).stdout(Stdio::null()).spawn().unwrap();
        let sampan = |words: &[&str]| ran(user.sampan(words).output().unwrap());
        until("it runs", || sampan(&["exec", "c", "true"]).code == 0);
        let name = file.to_str().unwrap();
        sampan(&["cp", name, "c:/etc/running"]).ok();
        assert_eq!(sampan(&["exec", "c", "stat", "-c", "%u:%g", "/etc/running"]).ok(), "0:0");
        if user.account.is_some() {
            sampan(&["exec", "c", "chown", "app:app", "/etc/running"]).ok();
        }
        let pid = user.processes().into_iter().find(|(_, name)| name == "sleep").unwrap().0;
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
        run.wait().unwrap();
        sampan(&["cp", name, "c:/etc/ended"]).ok();
        for inside in ["running", "ended"] {
            let out = user.ground.dir.join(inside);
            sampan(&["cp", &format!("c:/etc/{inside}"), out.to_str().unwrap()]).ok();
            assert_eq!(fs::read_to_string(&out).unwrap(), "of the user\n", "{inside}");
            assert_eq!(fs::metadata(&out).unwrap().uid(), user.id, "{inside}");
        }
        sampan(&["rm", "c"]).ok();
        user.is_clean();
    }
}

/// Where it has a copy of its image, that belongs to the caller's subordinate ids as an unpacked layer does.
#[test]
fn a_copy_has_the_owners_of_the_image() {
    let Some(user) = Ordinary::with_subordinates("copy") else { return };
    let sampan = |words: &[&str]| {
        let mut command = user.sampan(words);
        ran(command.env("SAMPAN_STORAGE_DRIVER", "vfs").output().unwrap())
    };
    sampan(&["image", "bootstrap", "busybox"]).ok();
    let change = "echo >/f; chown 7:8 /f; rm -r /home; stat -c %u:%g /bin/busybox";
    assert_eq!(sampan(&["run", "--name=c", "--network=none", "busybox", "sh", "-c", change]).ok(), "0:0");
    let out = sampan(&["diff", "c"]).ok();
    assert_eq!(out.lines().collect::<std::collections::BTreeSet<_>>(), ["A /f", "D /home"].into());
    sampan(&["commit", "c", "one"]).ok();
    for driver in ["vfs", "overlay"] {
        let look = "stat -c %u:%g /f; ls -d /home 2>/dev/null || echo gone";
        let words = ["--storage-driver", driver, "run", "--rm", "--network=none", "one", "sh", "-c", look];
        assert_eq!(sampan(&words).ok(), "7:8\ngone", "{driver}");
    }
    sampan(&["rm", "c"]).ok();
    user.is_clean();
}
