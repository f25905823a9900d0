//! Volumes as objects: made, filled from an image, used by several containers, protected, removed.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, Ran, SAMPAN, ran, until};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

fn files(ground: &Ground, name: &str) -> PathBuf {
    ground.dir.join("data/volumes").join(name).join("_data")
}

fn names(ground: &Ground) -> Vec<String> {
    sampan(ground, &["volume", "ls", "-q"]).ok().lines().map(str::to_owned).collect()
}

/// The root file system as an image of two layers, whose /data is the upper one's in part. `changes`: of a Dockerfile.
fn image(ground: &Ground, changes: &[&str]) {
    let data = ground.rootfs().join("data");
    fs::create_dir_all(data.join("sub")).unwrap();
    fs::write(data.join("file"), "of the image\n").unwrap();
    fs::hard_link(data.join("file"), data.join("sub/hard")).unwrap();
    symlink("file", data.join("link")).unwrap();
    fs::set_permissions(data.join("sub"), fs::Permissions::from_mode(0o2750)).unwrap();
    chown(data.join("sub"), Some(1000), Some(1001)).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o1770)).unwrap();
    chown(&data, Some(5), Some(6)).unwrap();
    let set = Command::new("setfattr").args(["-n", "user.kept", "-v", "yes"]).arg(data.join("file")).status();
    assert!(set.is_ok_and(|status| status.success()), "setfattr");
    let archive = ground.dir.join("rootfs.tar");
    let tar =
        Command::new("tar").args(["--xattrs", "-C"]).arg(ground.rootfs()).arg("-cf").arg(&archive).arg(".").status();
    assert!(tar.unwrap().success());
    let archive = archive.to_string_lossy().into_owned();
    sampan(ground, &["import", &archive, "base"]).ok();
    let script = "echo more >/data/upper; rm /data/link";
    sampan(ground, &["run", "--name=base", "--network=none", "base", "/bin/sh", "-c", script]).ok();
    let changes = changes.iter().flat_map(|change| ["-c", change]);
    let words: Vec<&str> = ["commit"].into_iter().chain(changes).chain(["base", "two"]).collect();
    sampan(ground, &words).ok();
    sampan(ground, &["rm", "base"]).ok();
}

/// Of the image of two layers.
fn two(ground: &Ground, flags: &[&str], script: &str) -> Ran {
    sampan(ground, &[&["run", "--network=none"], flags, &["two", "/bin/sh", "-c", script]].concat())
}

#[test]
fn made_listed_shown_removed() {
    let Some(ground) = Ground::new() else { return };
    let volume = |words: &[&str]| sampan(&ground, &[&["volume"], words].concat());
    assert_eq!(volume(&["create", "data"]).ok(), "data");
    assert_eq!(volume(&["create", "data"]).ok(), "data");
    assert_eq!(volume(&["create", "-d", "local", "--label", "a=b", "-o", "type=tmpfs", "other"]).ok(), "other");
    volume(&["create", "--label", "a=c", "other"]).fails(1, "with other options or labels");
    assert_eq!(volume(&["create", "--ignore", "--label", "a=c", "other"]).ok(), "other");
    let nameless = volume(&["create"]).ok();
    assert!(nameless.len() == 64 && nameless.bytes().all(|b| b.is_ascii_hexdigit()), "{nameless}");
    let table = volume(&["ls"]).ok();
    assert!(table.starts_with("DRIVER    VOLUME NAME\n") && table.contains("\nlocal     data"), "{table}");
    assert_eq!(volume(&["ls", "-q", "--filter", "label=a=b"]).ok(), "other");
    assert_eq!(volume(&["ls", "-q", "--filter", "label!=a=b", "--filter", "name=dat"]).ok(), "data");
    assert_eq!(volume(&["ls", "-q", "--filter", "anonymous=true"]).ok(), nameless);
    assert_eq!(volume(&["ls", "-q", "--filter", "opt=type=tmpfs"]).ok(), "other");
    let format = "{{.Name}} {{.Driver}} {{.Scope}} {{.Label \"a\"}} {{.Mountpoint}}";
    let at = files(&ground, "other");
    let line = volume(&["ls", "--filter", "name=^other$", "--format", format]).ok();
    assert_eq!(line, format!("other local local b {}", at.display()));
    let shown = volume(&["inspect", "other"]).ok();
    for part in
        ["\"Name\": \"other\"", "\"type\": \"tmpfs\"", "\"a\": \"b\"", "\"Scope\": \"local\"", "\"CreatedAt\": \"2"]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_eq!(volume(&["inspect", "-f", "{{.Name}} {{.Labels}} {{.Anonymous}}", "data"]).ok(), "data map[] false");
    // The start of a name will do where only one has it.
    assert_eq!(volume(&["inspect", "-f", "{{.Name}}", &nameless[..8]]).ok(), nameless);
    assert_eq!((volume(&["exists", "data"]).code, volume(&["exists", "dat"]).code), (0, 1));
    volume(&["inspect", "none"]).fails(1, "cannot find volume none");
    volume(&["create", "a/b"]).fails(1, "is no name of a volume");
    volume(&["create", "-d", "nfs", "x"]).fails(1, "there is no volume driver \"nfs\"");
    volume(&["create", "-o", "device=/x", "x"]).fails(1, "a device needs a type");
    volume(&["rm", "none"]).fails(1, "cannot find volume none");
    assert_eq!(volume(&["rm", "-f", "none"]).ok(), "");
    assert_eq!(volume(&["rm", "data", "none", "other"]).out, "data\nother\n");
    assert_eq!(names(&ground), std::slice::from_ref(&nameless));
    volume(&["create", "kept"]).ok();
    volume(&["prune"]).fails(1, "add --force");
    let pruned = volume(&["prune", "-f"]).ok();
    assert!(pruned.starts_with(&format!("Deleted Volumes:\n{nameless}\n\nTotal reclaimed space: ")), "{pruned}");
    assert_eq!(names(&ground), ["kept"]);
    assert!(volume(&["prune", "-af"]).ok().contains("kept") && names(&ground).is_empty());
    assert_eq!(volume(&["prune", "-af"]).ok(), "Total reclaimed space: 0B");
}

#[test]
fn filled_once_from_the_image() {
    let Some(ground) = Ground::new() else { return };
    image(&ground, &[]);
    let script = "stat -c %a-%u-%g /data /data/sub; stat -c %h /data/file; cat /data/upper /data/file; ls /data";
    let seen = "1770-5-6\n2750-1000-1001\n2\nmore\nof the image\nfile\nsub\nupper";
    assert_eq!(two(&ground, &["--rm", "-v", "data:/data"], script).ok(), seen);
    let at = files(&ground, "data");
    let attribute = Command::new("getfattr").args(["--only-values", "-n", "user.kept"]).arg(at.join("file")).output();
    assert_eq!(attribute.unwrap().stdout, b"yes");
    let same = |a: &str, b: &str| fs::metadata(at.join(a)).unwrap().ino() == fs::metadata(at.join(b)).unwrap().ino();
    assert!(same("file", "sub/hard"));
    // Not again, and not in one that has something or shall have nothing.
    assert_eq!(two(&ground, &["--rm", "-v", "data:/data"], "rm -r /data/*; touch /data/own").ok(), "");
    assert_eq!(two(&ground, &["--rm", "-v", "data:/data"], "ls /data").ok(), "own");
    assert_eq!(two(&ground, &["--rm", "-v", "none:/data:nocopy"], "ls /data; stat -c %a-%u /data").ok(), "755-0");
    let long = "type=volume,src=none,dst=/data,volume-nocopy,ro";
    assert_eq!(two(&ground, &["--rm", "--mount", long], "ls /data; touch /data/x 2>/dev/null || echo ro").ok(), "ro");
    // One that has been empty until now gets what the next image has.
    assert_eq!(two(&ground, &["--rm", "-v", "none:/empty"], "ls /empty").ok(), "");
    assert_eq!(two(&ground, &["--rm", "-v", "none:/data"], "ls /data").ok(), "file\nsub\nupper");
    // A copy that was broken off is begun anew.
    fs::remove_file(files(&ground, "none").join("file")).unwrap();
    fs::write(ground.dir.join("data/volumes/none/fresh"), "filling\n").unwrap();
    assert_eq!(two(&ground, &["--rm", "-v", "none:/data"], "ls /data").ok(), "file\nsub\nupper");
    // Where the image has a link, what that leads to.
    let linked = two(&ground, &["--rm", "-v", "linked:/bin/sh"], "true");
    linked.fails(125, "");
}

#[test]
fn filled_for_a_user_namespace() {
    let Some(ground) = Ground::new() else { return };
    image(&ground, &[]);
    let map = ["--rm", "--uidmap=0:100000:65536"];
    let script = "stat -c %a-%u-%g /data /data/sub /data/file; touch /data/new && echo written";
    let seen = "1770-5-6\n2750-1000-1001\n644-0-0\nwritten";
    assert_eq!(two(&ground, &[&map[..], &["-v", "data:/data"]].concat(), script).ok(), seen);
    let owner = |name: &str, file: &str| fs::metadata(files(&ground, name).join(file)).unwrap().uid();
    assert_eq!((owner("data", ""), owner("data", "file"), owner("data", "new")), (100_005, 100_000, 100_000));
    // One for which the image has nothing is the container's root's.
    two(&ground, &[&map[..], &["-v", "own:/own"]].concat(), "touch /own/new").ok();
    assert_eq!((owner("own", ""), owner("own", "new")), (100_000, 100_000));
    // Shifted, it is on the disk as in the image.
    two(&ground, &[&map[..], &["-v", "shifted:/data:idmap"]].concat(), "touch /data/new").ok();
    assert_eq!((owner("shifted", ""), owner("shifted", "file"), owner("shifted", "new")), (5, 0, 0));
    two(&ground, &[&map[..], &["-u", "app", "-v", "given:/given:U"]].concat(), "touch /given/new").ok();
    assert_eq!(owner("given", "new"), 101_000);
}

#[test]
fn nobody_named_it() {
    let Some(ground) = Ground::new() else { return };
    image(&ground, &["VOLUME [\"/data\", \"/own/dir/\"]"]);
    // What an image declares, gone with --rm.
    assert_eq!(two(&ground, &["--rm"], "cat /data/upper; touch /own/dir/x").ok(), "more");
    assert_eq!(names(&ground), [""; 0]);
    // A mount of the request at that path goes before.
    two(&ground, &["--name=a", "-v", "data:/data", "--tmpfs", "/own/dir"], "true").ok();
    assert_eq!(names(&ground), ["data"]);
    two(&ground, &["--name=b", "-v", "/more"], "echo b >/more/x").ok();
    assert_eq!(names(&ground).len(), 4);
    assert_eq!(sampan(&ground, &["volume", "ls", "-q", "--filter", "dangling=true"]).ok(), "");
    assert_eq!(sampan(&ground, &["ps", "-a", "--filter", "volume=/more", "--format", "{{.Names}}"]).ok(), "b");
    sampan(&ground, &["rm", "-v", "b"]).ok();
    assert_eq!(names(&ground), ["data"]);
    // Without -v they stay, for prune.
    two(&ground, &["--name=c"], "true").ok();
    sampan(&ground, &["rm", "c"]).ok();
    assert_eq!(sampan(&ground, &["volume", "ls", "-q", "--filter", "dangling=true"]).ok().lines().count(), 2);
    sampan(&ground, &["volume", "prune", "-f"]).ok();
    assert_eq!(names(&ground), ["data"]);
    // A run that fails leaves none.
    two(&ground, &["-v", "/x", "--cidfile", "/nowhere/x"], "true").fails(125, "");
    assert_eq!(names(&ground), ["data"]);
}

#[test]
fn in_use() {
    let Some(ground) = Ground::new() else { return };
    ground.run(&["-v", "data:/v"], &["touch", "/v/x"]).ok();
    let rootfs = format!("{}:O", ground.rootfs().display());
    let run = ["run", "--network=none", "--name=user", "-v", "data:/v", "--rootfs", &rootfs];
    let mut child =
        ground.command(&[&run[..], &["sh", "-c", "touch /v/up; while [ ! -e /v/stop ]; do sleep 0.05; done"]].concat());
    let mut child = child.stdout(Stdio::null()).spawn().unwrap();
    until("it runs", || files(&ground, "data").join("up").exists());
    assert_eq!(sampan(&ground, &["volume", "inspect", "-f", "{{.MountCount}}", "data"]).ok(), "1");
    sampan(&ground, &["volume", "rm", "data"]).fails(1, "uses it, running or not");
    assert_eq!(sampan(&ground, &["volume", "prune", "-af"]).ok(), "Total reclaimed space: 0B");
    fs::write(files(&ground, "data").join("stop"), "").unwrap();
    assert!(child.wait().unwrap().success());
    sampan(&ground, &["volume", "rm", "data"]).fails(1, "uses it, running or not");
    assert_eq!(sampan(&ground, &["ps", "-aq", "--filter", "volume=data"]).ok().lines().count(), 1);
    assert_eq!(sampan(&ground, &["ps", "-aq", "--filter", "volume=other"]).ok(), "");
    assert_eq!(sampan(&ground, &["volume", "rm", "-f", "data"]).ok(), "data");
    assert_eq!((names(&ground).len(), sampan(&ground, &["ps", "-aq"]).ok().as_str()), (0, ""));
}

#[test]
fn of_other_containers() {
    let Some(ground) = Ground::new() else { return };
    image(&ground, &["VOLUME /data"]);
    let bound = ground.dir.join("bound");
    fs::create_dir(&bound).unwrap();
    let bind = format!("{}:/bound", bound.display());
    two(
        &ground,
        &["--name=first", "-v", "named:/named", "-v", &bind, "--tmpfs=/t"],
        "echo x >/data/x; echo y >/named/y",
    )
    .ok();
    // It has ended, and its mounts are to be had.
    let from = ["--rm", "--volumes-from=first"];
    let script = "cat /data/x /named/y; touch /data/z /bound/z; ls /t 2>/dev/null || echo none";
    assert_eq!(two(&ground, &from, script).ok(), "x\ny\nnone");
    assert!(bound.join("z").exists());
    let read_only = ["--rm", "--volumes-from", "first:ro", "-v", "other:/named"];
    let script = "ls /data; for at in data named bound; do touch /$at/w 2>/dev/null && echo $at; done; true";
    assert_eq!(two(&ground, &read_only, script).ok(), "file\nsub\nupper\nx\nz\nnamed");
    // What it has of it stays with the first, whoever goes.
    let listed = names(&ground);
    assert_eq!(listed.len(), 3, "{listed:?}");
    two(&ground, &["--name=second", "--volumes-from=first"], "true").ok();
    sampan(&ground, &["rm", "-v", "first"]).ok();
    assert_eq!(names(&ground), listed);
    sampan(&ground, &["rm", "-v", "second"]).ok();
    two(&ground, &["--rm", "--volumes-from=none"], "true").fails(125, "cannot find container none");
}

#[test]
fn a_part_of_it() {
    let Some(ground) = Ground::new() else { return };
    ground.sh(&["-v", "data:/v"], "mkdir -p /v/a/b; echo x >/v/a/b/file; ln -s /a /v/in; ln -s ../../.. /v/out").ok();
    let part = |path: &str, script: &str| {
        ground.sh(&["--mount", &format!("type=volume,src=data,dst=/p,volume-subpath={path}")], script)
    };
    assert_eq!(part("a/b", "cat /p/file; touch /p/new").ok(), "x");
    assert_eq!(part("in/b", "ls /p").ok(), "file\nnew");
    // A link in it leads to nothing that is not in it.
    assert_eq!(part("out", "ls /p").ok(), "a\nin\nout");
    part("out/etc", "true").fails(125, "ENOENT");
    part("none", "true").fails(125, "ENOENT");
    assert_eq!(part("a/b/file", "cat /p").ok(), "x");
    part("../x", "true").fails(125, "is not relative, or has a ..");
    assert_eq!(
        ground.sh(&["--uidmap=0:100000:65536", "--mount", "type=volume,src=data,dst=/p,subpath=a/b"], "ls /p").ok(),
        "file\nnew"
    );
}

#[test]
fn drivers_options() {
    let Some(ground) = Ground::new() else { return };
    let create = |words: &[&str]| sampan(&ground, &[&["volume", "create"], words].concat());
    let bound = ground.dir.join("bound");
    fs::create_dir(&bound).unwrap();
    fs::write(bound.join("file"), "bound\n").unwrap();
    let device = format!("device={}", bound.display());
    create(&["-o", "type=none", "-o", "o=bind", "-o", &device, "bind"]).ok();
    assert_eq!(ground.sh(&["-v", "bind:/v"], "cat /v/file; touch /v/new").ok(), "bound");
    assert!(bound.join("new").exists());
    create(&["-o", "o=bind,ro", "-o", &device, "read"]).ok();
    assert_eq!(ground.sh(&["-v", "read:/v"], "touch /v/x 2>/dev/null || echo ro").ok(), "ro");
    sampan(&ground, &["volume", "rm", "bind"]).ok();
    assert!(bound.join("file").exists());
    // A tmpfs is there for all that use it, and goes with the last.
    create(&["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=700,nodev", "memory"]).ok();
    let at = files(&ground, "memory");
    let is_mounted = || fs::read_to_string("/proc/self/mounts").unwrap().contains(&*at.to_string_lossy());
    let rootfs = format!("{}:O", ground.rootfs().display());
    let run = ["run", "--rm", "--network=none", "-v", "memory:/v", "--rootfs", &rootfs, "sh", "-c"];
    let script = "echo one >/v/one; while [ ! -e /v/stop ]; do sleep 0.05; done";
    let mut child = ground.command(&[&run[..], &[script]].concat()).stdout(Stdio::null()).spawn().unwrap();
    until("it runs", || at.join("one").exists());
    assert!(is_mounted());
    let script =
        "cat /v/one; stat -c %a /v; dd if=/dev/zero of=/v/big bs=1M count=2 2>/dev/null || rm /v/big; touch /v/stop";
    assert_eq!(ground.sh(&["-v", "memory:/v"], script).ok(), "one\n700");
    assert!(child.wait().unwrap().success());
    assert!(!is_mounted(), "the last has gone");
    assert_eq!(ground.sh(&["-v", "memory:/v"], "ls /v").ok(), "");
    // Killed, the next command unmounts.
    let script = "echo one >/v/one; while :; do sleep 1; done";
    let mut child = ground.command(&[&run[..], &[script]].concat()).stdout(Stdio::null()).spawn().unwrap();
    until("it runs", || at.join("one").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    sampan(&ground, &["ps"]).ok();
    assert!(!is_mounted());
    // What cannot be had is said.
    create(&["-o", "type=nfs", "-o", "device=host:/x", "-o", "o=addr=host", "nfs"])
        .fails(1, "needs the address of its server");
    create(&["-o", "type=nosuchfs", "-o", "device=none", "odd"]).ok();
    ground.sh(&["-v", "odd:/v"], "true").fails(125, "ENODEV");
    assert!(!ground.dir.join("state/volumes/odd").exists());
    create(&["-o", "type=none", "-o", "o=bind", "-o", "device=/nowhere", "gone"]).ok();
    ground.sh(&["-v", "gone:/v"], "true").fails(125, "/nowhere is not there");
}

#[test]
fn a_size() {
    let Some(ground) = Ground::new() else { return };
    let refused = sampan(&ground, &["volume", "create", "-o", "size=1m", "small"]);
    if refused.code != 0 {
        // Where the temporary directory is there are none, mostly; then it says so, and makes nothing.
        refused.fails(1, "keeps no project quotas");
        assert!(names(&ground).is_empty());
    }
    let disk = ground.dir.join("disk");
    let script = "truncate -s 64M \"$D/disk\" && mkfs.ext4 -q -O quota,project -E quotatype=prjquota \"$D/disk\" &&
        mkdir -p \"$D/data\" && mount -o loop,prjquota \"$D/disk\" \"$D/data\" || exit 77
        \"$SAMPAN\" --root \"$D/data\" --state \"$D/state\" volume create -o size=1m small || exit
        \"$SAMPAN\" --root \"$D/data\" --state \"$D/state\" run --rm --network=none -v small:/v --rootfs \"$D/rootfs:O\" \
            sh -c 'dd if=/dev/zero of=/v/big bs=64k count=32 2>/dev/null; du -k /v/big | cut -f1'";
    let mut staged = Command::new("unshare");
    staged.args(["--mount", "--propagation=private", "sh", "-c", script]);
    let staged = ran(staged.env("D", &ground.dir).env("SAMPAN", SAMPAN).output().unwrap());
    if staged.code == 77 || !disk.exists() {
        println!("skipped: no ext4 with project quotas can be mounted here: {}", staged.err.trim());
        return;
    }
    let out = staged.ok();
    let kilobytes: u64 = out.lines().last().unwrap().parse().unwrap();
    assert!((900..=1024).contains(&kilobytes), "{out}");
}

#[test]
fn as_a_tar() {
    let Some(ground) = Ground::new() else { return };
    ground
        .sh(&["-v", "data:/v"], "mkdir /v/d; echo x >/v/d/file; ln -s d /v/link; chown 5:6 /v/d; chmod 2751 /v/d")
        .ok();
    let tar = ground.dir.join("data.tar").to_string_lossy().into_owned();
    sampan(&ground, &["volume", "export", "-o", &tar, "data"]).ok();
    let piped = ground.command(&["volume", "export", "data"]).output().unwrap();
    assert_eq!(piped.stdout, fs::read(&tar).unwrap());
    sampan(&ground, &["volume", "create", "copy"]).ok();
    sampan(&ground, &["volume", "import", "copy", &tar]).ok();
    let script = "cat /v/link/file; stat -c %a-%u-%g /v/d";
    assert_eq!(ground.sh(&["-v", "copy:/v"], script).ok(), "x\n2751-5-6");
    assert!(Command::new("gzip").arg(&tar).status().unwrap().success());
    sampan(&ground, &["volume", "create", "packed"]).ok();
    let packed = fs::File::open(format!("{tar}.gz")).unwrap();
    let fed = ground.command(&["volume", "import", "packed", "-"]).stdin(packed).output().unwrap();
    assert_eq!(ran(fed).ok(), "");
    assert_eq!(ground.sh(&["-v", "packed:/v"], script).ok(), "x\n2751-5-6");
    // Over what is there, which else stays.
    ground.sh(&["-v", "packed:/v"], "echo y >/v/d/file; echo z >/v/other").ok();
    sampan(&ground, &["volume", "import", "packed", &format!("{tar}.gz")]).ok();
    assert_eq!(ground.sh(&["-v", "packed:/v"], "cat /v/d/file /v/other").ok(), "x\nz");
    sampan(&ground, &["volume", "import", "none", &format!("{tar}.gz")]).fails(1, "cannot find volume none");
    sampan(&ground, &["volume", "import", "packed", "/etc/passwd"]).fails(1, "");
}

#[test]
fn an_image_as_a_mount() {
    let Some(ground) = Ground::new() else { return };
    image(&ground, &[]);
    let mount = |fields: &str, script: &str| ground.sh(&["--mount", &format!("type=image,dst=/i,{fields}")], script);
    assert_eq!(mount("src=two", "cat /i/data/upper; touch /i/x 2>/dev/null || echo ro").ok(), "more\nro");
    assert_eq!(mount("src=base", "cat /i/data/file; touch /i/x 2>/dev/null || echo ro").ok(), "of the image\nro");
    assert_eq!(mount("src=two,rw", "touch /i/x; rm /i/data/upper; ls /i/data").ok(), "file\nsub");
    assert_eq!(mount("src=two,image-subpath=data", "ls /i").ok(), "file\nsub\nupper");
    assert_eq!(mount("src=two,subpath=data/upper", "cat /i").ok(), "more");
    mount("src=two,subpath=data/link", "true").fails(125, "there is no such directory or file in it");
    mount("src=none:1", "true").fails(125, "none:1");
    let map = ["--uidmap=0:100000:65536", "--mount", "type=image,src=base,dst=/i"];
    assert_eq!(ground.sh(&map, "stat -c %u-%g /i/data /i/bin").ok(), "5-6\n0-0");
    // It is not removed while a container has it.
    let rootfs = format!("{}:O", ground.rootfs().display());
    let kept = ["run", "--name=k", "--network=none", "--mount=type=image,src=two,dst=/i", "--rootfs", &rootfs, "true"];
    sampan(&ground, &kept).ok();
    sampan(&ground, &["rmi", "two", "base"]).ok();
    let layers = || fs::read_dir(ground.dir.join("data/layers")).map_or(0, Iterator::count);
    let before = layers();
    assert!(before > 0);
    sampan(&ground, &["rm", "k"]).ok();
    assert_eq!(layers(), 0, "of {before}");
}

#[test]
fn another_devpts() {
    let Some(ground) = Ground::new() else { return };
    let flags = ["--mount", "type=devpts,dst=/pts,gid=5,mode=0600,max=7"];
    let line = ground.sh(&flags, "grep ' /pts ' /proc/mounts; ls /pts").ok();
    for part in ["devpts", "gid=5", "mode=600", "max=7", "ptmx"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn printed_and_done() {
    let Some(ground) = Ground::new() else { return };
    image(&ground, &[]);
    let run = |explain: &[&str]| {
        let words = ["run", "--rm", "--network=none", "-v", "data:/data", "-v", "/nameless"];
        sampan(&ground, &[&words[..], explain, &["two", "/bin/sh", "-c", "ls -A /data /nameless"]].concat())
    };
    let script = run(&["--explain"]).ok();
    assert!(!ground.dir.join("data/volumes").exists());
    let printed = ran(Command::new("bash").arg("-c").arg(&script).current_dir("/").output().unwrap());
    let at = files(&ground, "data");
    assert_eq!(fs::metadata(&at).unwrap().uid(), 5, "{script}");
    let printed = printed.ok();
    sampan(&ground, &["volume", "rm", "-a"]).ok();
    assert_eq!(printed, run(&[]).ok());
    assert!(Path::new(&at).join("sub/hard").exists());
}

#[test]
fn kept_from_one_start_to_the_next() {
    let Some(ground) = Ground::new() else { return };
    image(&ground, &["VOLUME /data"]);
    let create = ["create", "--name=a", "--network=none", "-v", "/own", "-v", "named:/named", "two", "/bin/sh", "-c"];
    sampan(&ground, &[&create[..], &["echo x >>/own/x; echo y >>/data/upper; cat /own/x /data/upper"]].concat()).ok();
    // They are there before it is started, and are its own.
    assert_eq!(names(&ground).len(), 3);
    sampan(&ground, &["volume", "rm", "named"]).fails(1, "uses it, running or not");
    let mounts = || sampan(&ground, &["inspect", "-f", "{{range .Mounts}}{{.Name}} {{end}}", "a"]).ok();
    let before = mounts();
    let start = || {
        sampan(&ground, &["start", "a"]).ok();
        assert_eq!(sampan(&ground, &["wait", "a"]).ok(), "0");
        sampan(&ground, &["logs", "a"]).ok()
    };
    assert_eq!(start(), "x\nmore\ny");
    assert_eq!(start(), "x\nmore\ny\nx\nx\nmore\ny\ny");
    assert_eq!((mounts(), names(&ground).len()), (before, 3));
    sampan(&ground, &["rm", "-v", "a"]).ok();
    assert_eq!(names(&ground), ["named"]);
    // Detached, with --rm.
    let run = ["run", "-d", "--rm", "--name=b", "--network=none", "two", "/bin/sh", "-c", "sleep 1000"];
    sampan(&ground, &run).ok();
    assert_eq!(names(&ground).len(), 2);
    sampan(&ground, &["stop", "-t", "0", "b"]).ok();
    until("its volume goes", || names(&ground) == ["named"]);
    // One that cannot be started leaves none.
    sampan(&ground, &["run", "-d", "--name=c", "--network=none", "--ulimit=nofile=9:9", "two", "/nowhere"])
        .fails(127, "");
    assert_eq!(names(&ground), ["named"]);
}
