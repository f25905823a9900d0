//! `sampan cp`: into containers that run and that have ended, and out of them; and no way out for what is in them.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::live::Live;
use ground::{Ground, Ran, ran};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

fn cp(ground: &Ground, words: &[&str]) -> Ran {
    sampan(ground, &[&["cp"], words].concat())
}

/// A file, and a directory with one of each kind.
fn files(ground: &Ground) -> String {
    let at = ground.dir.join("files");
    let _ = fs::remove_dir_all(&at);
    fs::create_dir_all(at.join("dir/sub")).unwrap();
    fs::write(at.join("file"), "of the host\n").unwrap();
    fs::set_permissions(at.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(at.join("dir/a"), "a\n").unwrap();
    fs::hard_link(at.join("dir/a"), at.join("dir/hard")).unwrap();
    fs::write(at.join("dir/sub/b"), "b\n").unwrap();
    symlink("a", at.join("dir/link")).unwrap();
    symlink("/nowhere", at.join("dir/dangling")).unwrap();
    at.to_str().unwrap().to_owned()
}

/// What is at the path in the container, as a copy of it has it: a name a line, with the content of files.
fn seen(ground: &Ground, path: &str) -> String {
    let out = ground.command(&["cp", &format!("c:{path}"), "-"]).output().unwrap();
    if !out.status.success() {
        return "none".to_owned();
    }
    let to = ground.dir.join("seen");
    let _ = fs::remove_dir_all(&to);
    fs::create_dir(&to).unwrap();
    let mut tar = Command::new("tar").arg("-C").arg(&to).arg("-x").stdin(Stdio::piped()).spawn().unwrap();
    tar.stdin.take().unwrap().write_all(&out.stdout).unwrap();
    assert!(tar.wait().unwrap().success());
    let mut names = Vec::new();
    list(&to, "", &mut names);
    names.sort();
    names.join(" ")
}

fn list(at: &Path, name: &str, into: &mut Vec<String>) {
    for entry in fs::read_dir(at).unwrap().flatten() {
        let own = format!("{name}{}", entry.file_name().to_str().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            into.push(format!("{own}/"));
            list(&entry.path(), &format!("{own}/"), into);
        } else if kind.is_symlink() {
            into.push(format!("{own}>{}", fs::read_link(entry.path()).unwrap().display()));
        } else {
            into.push(format!("{own}={}", fs::read_to_string(entry.path()).unwrap().trim()));
        }
    }
}

const TREE: &str = "a=a dangling>/nowhere hard=a link>a sub/ sub/b=b";

fn below(dir: &str) -> String {
    let tree: Vec<String> = TREE.split(' ').map(|name| format!("{dir}/{name}")).collect();
    format!("{dir}/ {}", tree.join(" "))
}

/// A container that runs, and then the same that has ended.
fn both(flags: &[&str], test: impl Fn(&Ground, bool)) {
    let Some(live) = Live::kept(flags) else { return };
    test(&live.ground, true);
    let ground = live.leave();
    assert_eq!(sampan(&ground, &["ps", "-a", "--format", "{{.State}}"]).ok(), "exited");
    test(&ground, false);
    assert_eq!(sampan(&ground, &["rm", "c"]).ok(), "c");
}

#[test]
fn dockers_rules_into_a_container() {
    both(&[], |ground, runs| {
        let at = files(ground);
        let (file, dir) = (format!("{at}/file"), format!("{at}/dir"));
        let to = |path: &str| format!("c:/tmp/{runs}{path}");
        let path = |path: &str| format!("/tmp/{runs}{path}");
        // A name that is not there; one that is; a directory.
        cp(ground, &[&file, &to("new")]).ok();
        assert_eq!(seen(ground, &path("new")), format!("{runs}new=of the host"));
        cp(ground, &[&format!("{dir}/a"), &to("new")]).ok();
        assert_eq!(seen(ground, &path("new")), format!("{runs}new=a"));
        cp(ground, &[&format!("{dir}/sub"), &to("")]).ok();
        cp(ground, &[&file, &to("/")]).ok();
        cp(ground, &[&format!("{dir}/sub/b"), &to("")]).ok();
        assert_eq!(seen(ground, &path("")), format!("{runs}/ {runs}/b=b {runs}/file=of the host"));
        cp(ground, &[&file, &to("absent/")]).fails(1, "no such directory");
        cp(ground, &[&file, &to("absent/name")]).fails(1, "no such file or directory");
        // A directory: with its name into one, with its contents to a new one or into one.
        cp(ground, &[&dir, &to("fresh")]).ok();
        assert_eq!(seen(ground, &path("fresh")), below(&format!("{runs}fresh")));
        cp(ground, &[&format!("{dir}/."), &to("dot")]).ok();
        assert_eq!(seen(ground, &path("dot/.")), TREE);
        cp(ground, &[&format!("{dir}/"), &to("dot")]).ok();
        assert_eq!(seen(ground, &path("dot/dir/")), below("dir"));
        cp(ground, &[&format!("{dir}/."), &to("dot/sub")]).ok();
        assert_eq!(seen(ground, &path("dot/sub/.")), format!("{} {}", "a=a b=b", &TREE[4..]));
        cp(ground, &[&dir, &to("new")]).fails(1, "what is none");
        cp(ground, &[&format!("{dir}/sub"), &to("new/")]).fails(1, "");
        cp(ground, &[&format!("{file}/"), &to("x")]).fails(1, "ENOTDIR");
        cp(ground, &[&format!("{at}/absent"), &to("x")]).fails(1, "no such file");
        // What is there is not replaced by something of another kind.
        cp(ground, &[&format!("{dir}/."), &to("dot")]).ok();
        cp(ground, &[&format!("{dir}/a"), &to("dot/dir/sub")]).ok();
        assert_eq!(seen(ground, &path("dot/dir/sub")), "sub/ sub/a=a sub/b=b");
        // A link: itself, and with -L what it leads to.
        cp(ground, &[&format!("{dir}/link"), &to("link")]).ok();
        assert_eq!(seen(ground, &path("link")), format!("{runs}link>a"));
        cp(ground, &["-L", &format!("{dir}/link"), &to("followed")]).ok();
        assert_eq!(seen(ground, &path("followed")), format!("{runs}followed=a"));
        cp(ground, &["absent:/x", &at]).fails(1, "absent");
        cp(ground, &[&file, &dir]).fails(1, "neither");
    });
}

#[test]
fn dockers_rules_out_of_a_container() {
    both(&[], |ground, runs| {
        let at = files(ground);
        if runs {
            cp(ground, &[&format!("{at}/dir"), "c:/tmp/dir"]).ok();
            cp(ground, &[&format!("{at}/file"), "c:/tmp/file"]).ok();
        }
        let out = ground.dir.join(format!("out{runs}"));
        fs::create_dir(&out).unwrap();
        let to = |name: &str| out.join(name).to_str().unwrap().to_owned();
        let tree = |name: &str| {
            let mut names = Vec::new();
            list(&out.join(name), "", &mut names);
            names.sort();
            names.join(" ")
        };
        cp(ground, &["c:/tmp/dir", &to("fresh")]).ok();
        assert_eq!(tree("fresh"), TREE);
        cp(ground, &["c:tmp/dir/.", &to("")]).ok();
        cp(ground, &["c:/tmp/dir/sub/", &to("fresh/sub")]).ok();
        assert_eq!(tree("fresh/sub"), "b=b sub/ sub/b=b");
        assert_eq!(fs::metadata(out.join("a")).unwrap().ino(), fs::metadata(out.join("hard")).unwrap().ino());
        cp(ground, &["c:/tmp/file", &to("named")]).ok();
        let found = fs::metadata(out.join("named")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.len()), (0o640, 0, 12));
        cp(ground, &["c:/tmp/file", &to("")]).ok();
        assert!(out.join("file").exists());
        cp(ground, &["c:/tmp/file", &to("absent/")]).fails(1, "no such directory");
        cp(ground, &["c:/tmp/dir", &to("file")]).fails(1, "what is none");
        cp(ground, &["c:/tmp/absent", &to("x")]).fails(1, "no such file");
        cp(ground, &["-L", "c:/tmp/dir/link", &to("followed")]).ok();
        assert_eq!(fs::read_to_string(out.join("followed")).unwrap(), "a\n");
        // From one container to the same.
        cp(ground, &["c:/tmp/dir", &format!("c:/home/{runs}")]).ok();
        assert_eq!(seen(ground, &format!("/home/{runs}")), below(&format!("{runs}")));
    });
}

#[test]
fn archives_on_the_standard_streams() {
    both(&[], |ground, _| {
        let at = files(ground);
        let tar = Command::new("tar").args(["-C", &at, "--owner=7", "--group=8", "-c", "dir"]).output().unwrap();
        let feed = |words: &[&str], input: &[u8]| {
            let mut command = ground.command(words);
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let _ = child.stdin.take().unwrap().write_all(input);
            ran(child.wait_with_output().unwrap())
        };
        feed(&["cp", "-", "c:/tmp"], &tar.stdout).ok();
        assert_eq!(seen(ground, "/tmp/dir"), below("dir"));
        feed(&["cp", "-", "c:/tmp/dir/a"], &tar.stdout).fails(1, "it is no directory");
        feed(&["cp", "-", "c:/absent"], &tar.stdout).fails(1, "no such directory");
        feed(&["cp", "-", "c:/tmp"], b"no tar at all").fails(1, "cannot copy to c:/tmp");
        let owners = |words: &[&str]| {
            feed(&[&["cp"], words, &["-", "c:/tmp"]].concat(), &tar.stdout).ok();
            let out = ground.command(&["cp", "c:/tmp/dir/a", "-"]).output().unwrap();
            let mut list = Command::new("tar");
            list.args(["--numeric-owner", "-tv"]);
            let mut child = list.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(&out.stdout).unwrap();
            let text = ran(child.wait_with_output().unwrap()).ok();
            text.split_whitespace().nth(1).unwrap().to_owned()
        };
        assert_eq!(owners(&[]), "0/0");
        assert_eq!(owners(&["-a"]), "7/8");
    });
}

#[test]
fn in_a_user_namespace_files_are_its_own() {
    let flags = ["--uidmap=0:300000:65536", "--gidmap=0:300000:65536"];
    both(&flags, |ground, runs| {
        let at = files(ground);
        std::os::unix::fs::chown(format!("{at}/dir/a"), Some(5), Some(6)).unwrap();
        let name = format!("{runs}");
        cp(ground, &[&format!("{at}/dir"), &format!("c:/tmp/{name}")]).ok();
        cp(ground, &["-a", &format!("{at}/dir"), &format!("c:/tmp/{name}kept")]).ok();
        let upper =
            fs::read_dir(ground.dir.join("data/containers")).unwrap().next().unwrap().unwrap().path().join("upper");
        let ids = |path: String| {
            let found = fs::symlink_metadata(upper.join(path)).unwrap();
            (found.uid(), found.gid())
        };
        assert_eq!(ids(format!("tmp/{name}/a")), (300_000, 300_000));
        assert_eq!(ids(format!("tmp/{name}")), (300_000, 300_000));
        assert_eq!(ids(format!("tmp/{name}kept/a")), (300_005, 300_006));
        // Its directories, which were copied up for that.
        assert_eq!(ids("tmp".to_owned()), (300_000, 300_000));
        let out = ground.dir.join(format!("out{name}"));
        cp(ground, &["-a", &format!("c:/tmp/{name}kept"), out.to_str().unwrap()]).ok();
        assert_eq!(fs::metadata(out.join("a")).unwrap().uid(), 5);
    });
}

#[test]
fn volumes_are_seen() {
    let Some(ground) = Ground::new() else { return };
    let at = files(&ground);
    for name in ["volume", "closed"] {
        fs::create_dir(ground.dir.join(name)).unwrap();
    }
    let (volume, closed) = (ground.dir.join("volume"), ground.dir.join("closed"));
    let flags = [format!("-v={}:/in/vol", volume.display()), format!("-v={}:/in/closed:ro", closed.display())];
    let live = Live::keeping(ground, &[&flags[0], &flags[1], "--tmpfs=/fast"]);
    let file = format!("{at}/file");
    let copies = |ground: &Ground, name: &str| {
        cp(ground, &[&file, &format!("c:/in/vol/{name}")]).ok();
        assert_eq!(fs::read_to_string(volume.join(name)).unwrap(), "of the host\n");
        assert_eq!(seen(ground, &format!("/in/vol/{name}")), format!("{name}=of the host"));
        cp(ground, &[&file, "c:/in/closed/x"]).fails(1, "EROFS");
        // A file that is mounted is written as it is.
        cp(ground, &[&format!("{at}/dir"), "c:/in/"]).ok();
    };
    copies(&live.ground, "running");
    cp(&live.ground, &[&file, "c:/fast/x"]).ok();
    assert_eq!(live.sampan(&["exec", "c", "cat", "/fast/x"]).ok(), "of the host");
    cp(&live.ground, &[&file, "c:/etc/hosts"]).ok();
    assert_eq!(live.sampan(&["exec", "c", "cat", "/etc/hosts"]).ok(), "of the host");
    let ground = live.leave();
    copies(&ground, "ended");
    assert!(fs::read_dir(&closed).unwrap().next().is_none());
}

#[test]
fn links_of_the_containers_lead_nowhere_but_into_it() {
    both(&[], |ground, runs| {
        let at = files(ground);
        let secret = ground.dir.join("secret");
        let _ = fs::create_dir(&secret);
        fs::write(secret.join("key"), "secret").unwrap();
        let outside = secret.to_str().unwrap();
        let links = ground.dir.join("links");
        let _ = fs::remove_dir_all(&links);
        fs::create_dir(&links).unwrap();
        for (name, to) in [
            ("out", outside),
            ("up", "../../../../../../../../../.."),
            ("self", "/proc/self/root"),
            ("one", "/proc/1/root"),
        ] {
            symlink(to, links.join(name)).unwrap();
        }
        cp(ground, &[&format!("{}/.", links.display()), "c:/tmp"]).ok();
        let file = format!("{at}/file");
        cp(ground, &[&file, "c:/tmp/out/planted"]).fails(1, "no such file");
        cp(ground, &[&file, &format!("c:/tmp/up{outside}/planted")]).fails(1, "no such file");
        cp(ground, &["c:/tmp/out/key", "-"]).fails(1, "no such file");
        cp(ground, &["-L", "c:/tmp/out", "-"]).fails(1, "no such file");
        for link in ["self", "one"] {
            cp(ground, &[&format!("c:/tmp/{link}{outside}/key"), "-"]).fails(1, "");
            cp(ground, &[&file, &format!("c:/tmp/{link}{outside}/planted")]).fails(1, "");
        }
        cp(ground, &[&file, "c:/tmp/up/tmp/landed"]).ok();
        assert_eq!(seen(ground, "/tmp/landed"), "landed=of the host");
        assert_eq!(fs::read_dir(&secret).unwrap().count(), 1, "{runs}");
    });
}

/// CVE-2018-15664: a process of the container's swaps a directory and a link to the host's while it is copied.
#[test]
fn swapped_links_lead_nowhere_either() {
    let Some(live) = Live::new(&[]) else { return };
    let at = files(&live.ground);
    let secret = live.ground.dir.join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "secret").unwrap();
    let script = format!(
        "mkdir -p /tmp/real{0} /tmp/dir; echo harmless >/tmp/dir/key; ln -s {0} /tmp/link; cd /tmp
        while :; do mv -T dir x; mv -T link dir; mv -T dir link; mv -T x dir; done",
        secret.display()
    );
    live.sampan(&["exec", "-d", "c", "sh", "-c", &script]).ok();
    ground::until("it swaps", || live.sampan(&["exec", "c", "test", "-L", "/tmp/dir"]).code == 0);
    let out = live.ground.dir.join("out");
    let mut copied = 0;
    for _ in 0..120 {
        let read = cp(&live.ground, &["c:/tmp/dir/key", "-"]);
        assert!(!read.out.contains("secret"), "{read:?}");
        let _ = fs::remove_dir_all(&out);
        cp(&live.ground, &["c:/tmp/dir", out.to_str().unwrap()]);
        // A link is copied as one, and what it names is then a matter of who follows it.
        if !out.is_symlink() {
            assert_ne!(fs::read_to_string(out.join("key")).unwrap_or_default(), "secret");
        }
        copied += i32::from(cp(&live.ground, &[&format!("{at}/dir/a"), "c:/tmp/dir/planted"]).code == 0);
        copied += i32::from(cp(&live.ground, &[&format!("{at}/dir"), "c:/tmp/dir"]).code == 0);
    }
    assert!(copied > 0, "nothing was copied at all");
    assert_eq!(fs::read_dir(&secret).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(secret.join("key")).unwrap(), "secret");
}

#[test]
fn what_gives_rights_stays_in_the_container() {
    let Some(live) = Live::new(&[]) else { return };
    let script =
        "mkdir /tmp/d && cd /tmp/d && cp /bin/busybox s && chmod 6755 s && mknod b b 8 0 && mknod c c 1 3 && mkfifo p";
    live.sampan(&["exec", "c", "sh", "-c", script]).ok();
    let out = live.ground.dir.join("out");
    let told = cp(&live.ground, &["c:/tmp/d", out.to_str().unwrap()]);
    assert!(told.code == 0 && told.err.contains("d/b is a device") && told.err.contains("d/c is a device"), "{told:?}");
    assert_eq!(fs::metadata(out.join("s")).unwrap().mode() & 0o7777, 0o755);
    assert!(out.join("p").exists() && !out.join("b").exists() && !out.join("c").exists());
    let kept = live.ground.dir.join("kept");
    cp(&live.ground, &["-a", "c:/tmp/d/s", kept.to_str().unwrap()]).ok();
    assert_eq!(fs::metadata(kept).unwrap().mode() & 0o7777, 0o6755);
}

#[test]
fn before_it_was_ever_started() {
    for flags in [&[][..], &["--uidmap=0:300000:65536", "--gidmap=0:300000:65536"]] {
        let Some(ground) = Ground::new() else { return };
        let at = files(&ground);
        let rootfs = format!("{}:O", ground.rootfs().display());
        let create =
            [&["create", "--name=c", "--network=none"], flags, &["--rootfs", &rootfs, "sleep", "1000"]].concat();
        sampan(&ground, &create).ok();
        cp(&ground, &[&format!("{at}/dir"), "c:/etc/"]).ok();
        assert!(!ground.rootfs().join("etc/dir").exists());
        assert_eq!(sampan(&ground, &["ps", "-a", "--format", "{{.State}}"]).ok(), "created");
        sampan(&ground, &["start", "c"]).ok();
        let seen = sampan(&ground, &["exec", "c", "sh", "-c", "cat /etc/dir/sub/b; stat -c %u /etc/dir/a /etc /"]).ok();
        assert_eq!(seen, "b\n0\n0\n0", "{flags:?}");
        sampan(&ground, &["rm", "-f", "c"]).ok();
    }
}

#[test]
fn nobody_starts_it_meanwhile() {
    let Some(ground) = Ground::new() else { return };
    let rootfs = format!("{}:O", ground.rootfs().display());
    sampan(&ground, &["create", "--name=c", "--network=none", "--rootfs", &rootfs, "sleep", "1000"]).ok();
    let mut copy = ground.command(&["cp", "-", "c:/tmp"]).stdin(Stdio::piped()).spawn().unwrap();
    let journal = || fs::read_dir(ground.dir.join("state/containers")).unwrap().count();
    ground::until("it has begun", || journal() > 0);
    // It waits for a while, and says so.
    sampan(&ground, &["start", "c"]).fails(1, "another command is at it");
    copy.kill().unwrap();
    copy.wait().unwrap();
    sampan(&ground, &["start", "c"]).ok();
    sampan(&ground, &["rm", "-f", "c"]).ok();
}
