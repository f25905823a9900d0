//! Components of paths are swapped, directories for links that lead to the host, as fast as the kernel does it, while
//! sampan mounts, copies and executes through them. Nothing outside is read or written.
//!
//! Invariant: what lies outside has words that are nowhere else, and is watched (inotify(7)). `SAMPAN_LAB_SECONDS` for
//! longer, as `cargo xtask lab escape` does.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, Ran, ran};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, RenameFlags, renameat_with};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Only outside.
const SECRET: &str = "of the host alone";
/// The uid that `app` has outside.
const OUTSIDE: &str = "3141592659";

fn seconds() -> Duration {
    let asked = std::env::var("SAMPAN_LAB_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(12))
}

/// What must not be touched, and who says whether it was.
struct Outside {
    dir: PathBuf,
    watch: OwnedFd,
}

impl Outside {
    fn new(ground: &Ground) -> Self {
        let dir = ground.dir.join("outside");
        for part in ["sub", "mnt", "v"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        for file in ["key", "sub/key", "mnt/key", "v/key", "group", "hosts", "hostname", "resolv.conf"] {
            fs::write(dir.join(file), SECRET).unwrap();
        }
        fs::write(dir.join("passwd"), format!("app:x:{OUTSIDE}:{OUTSIDE}:{SECRET}:/:/bin/sh\n")).unwrap();
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        let kinds = WatchFlags::ACCESS
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::OPEN
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF;
        for part in ["", "sub", "mnt", "v"] {
            inotify::add_watch(&watch, dir.join(part), kinds).unwrap();
        }
        let outside = Self { dir, watch };
        fs::read(outside.dir.join("v/key")).unwrap();
        assert!(!outside.events().is_empty(), "the watch sees nothing");
        outside
    }

    fn events(&self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
        let mut events = Vec::new();
        while let Ok(event) = reader.next() {
            let changes = ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::ATTRIB | ReadFlags::MOVED_FROM;
            // Somebody who lists the machine's files is nobody's escape.
            if !event.events().contains(ReadFlags::ISDIR) || event.events().intersects(changes | ReadFlags::MOVED_TO) {
                events.push(format!("{:?} of {:?}", event.events(), event.file_name()));
            }
        }
        events
    }

    #[track_caller]
    fn is_untouched(&self, what: &str) {
        let events = self.events();
        assert!(events.is_empty(), "{what}: outside: {events:?}");
    }

    /// Links to it, from inside: by name, over the top, and through procfs.
    fn links(&self) -> [String; 5] {
        let path = self.dir.to_str().unwrap();
        let up = "../".repeat(12);
        [
            path.to_owned(),
            format!("{up}{}", &path[1..]),
            format!("/proc/self/root{path}"),
            format!("/proc/1/root{path}"),
            format!("{up}proc/self/cwd/{up}{}", &path[1..]),
        ]
    }
}

/// Two names in a directory, which stays what it is while those above it are swapped.
struct Pair {
    dir: OwnedFd,
    one: String,
    other: String,
}

impl Pair {
    /// The other is a link.
    fn new(dir: &Path, one: &str, link: impl AsRef<Path>) -> Self {
        let other = format!("{one}-link");
        symlink(link, dir.join(&other)).unwrap();
        let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        Self { dir, one: one.to_owned(), other }
    }

    fn swap(&self) -> bool {
        renameat_with(&self.dir, &self.one, &self.dir, &self.other, RenameFlags::EXCHANGE).is_ok()
    }
}

/// Below `root`, where a container has its root: directories with a link beside each, and what the links name, inside.
fn lay_out(root: &Path, outside: &Outside) -> Vec<Pair> {
    let inside = root.join(outside.dir.strip_prefix("/").unwrap());
    for part in ["sub", "mnt", "v"] {
        fs::create_dir_all(inside.join(part)).unwrap();
    }
    for file in ["key", "sub/key", "v/key", "passwd", "group"] {
        fs::write(inside.join(file), "harmless").unwrap();
    }
    fs::create_dir_all(root.join("swap")).unwrap();
    let mut pairs = Vec::new();
    for (at, link) in outside.links().iter().enumerate() {
        let dir = root.join(format!("swap/{at}"));
        for part in ["sub", "mnt", "v"] {
            fs::create_dir_all(dir.join(part)).unwrap();
            fs::write(dir.join(part).join("key"), "harmless").unwrap();
        }
        fs::write(dir.join("key"), "harmless").unwrap();
        pairs.push(Pair::new(&root.join("swap"), &at.to_string(), link));
    }
    for file in ["passwd", "group"] {
        pairs.push(Pair::new(&root.join("etc"), file, outside.dir.join(file)));
    }
    pairs
}

/// Swaps all pairs until it is told to stop, while `act` goes on.
fn while_swapped(pairs: &[Pair], act: impl FnOnce()) -> u64 {
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Also when `act` panics.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for pair in pairs {
                    swaps.fetch_add(u64::from(pair.swap()), Ordering::Relaxed);
                }
                // Others want to get in between, too.
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        act();
    });
    swaps.into_inner()
}

/// What came of the attempts, so that a run in which nothing worked is seen.
#[derive(Default)]
struct Count {
    done: u64,
    refused: u64,
}

impl Count {
    fn add(&mut self, ran: &Ran) {
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        if ran.code == 0 { self.done += 1 } else { self.refused += 1 }
    }
}

#[track_caller]
fn has_no_secret(ran: &Ran) {
    assert!(!ran.out.contains(SECRET) && !ran.out.contains(OUTSIDE), "{ran:?}");
}

/// No file below it has it. Links are what the container's owner may have, and are not followed.
fn search(path: &Path) {
    let Ok(found) = path.symlink_metadata() else { return };
    if found.is_dir() {
        fs::read_dir(path).into_iter().flatten().flatten().for_each(|entry| search(&entry.path()));
    } else if found.is_file() {
        let text = fs::read(path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(SECRET), "{} has it", path.display());
    }
}

#[test]
fn swapped_while_a_container_runs() {
    let Some(ground) = Ground::new() else { return };
    let outside = Outside::new(&ground);
    let tar = ground.dir.join("base.tar");
    let rootfs = ground.rootfs();
    let packed = Command::new("tar").arg("-C").arg(&rootfs).arg("-cf").arg(&tar).arg(".").status().unwrap();
    assert!(packed.success());
    ground.call(&["import", tar.to_str().unwrap(), "base"]).ok();
    ground.call(&["run", "-d", "--network=none", "--name=c", "base", "sleep", "100000"]).ok();
    let pid = ground.record("c")["pid"].as_u64().unwrap();
    let pairs = lay_out(&PathBuf::from(format!("/proc/{pid}/root")), &outside);
    let given = ground.dir.join("given");
    fs::create_dir_all(given.join("dir")).unwrap();
    for file in ["key", "dir/key"] {
        fs::write(given.join(file), "given").unwrap();
    }
    let given = |name: &str| given.join(name).to_str().unwrap().to_owned();
    let out = ground.dir.join("out");
    let mut count = Count::default();
    let start = Instant::now();
    let swaps = while_swapped(&pairs, || {
        for round in 0.. {
            if start.elapsed() > seconds() / 2 {
                break;
            }
            let at = format!("/swap/{}", round % 5);
            let of = |path: &str| format!("c:{at}{path}");
            let target = out.to_str().unwrap();
            let tries: [&[&str]; 14] = [
                &["cp", &of("/key"), "-"],
                &["cp", &of("/sub/key"), target],
                &["cp", &of(""), target],
                &["cp", "-L", &of("/sub"), target],
                &["cp", &given("key"), &of("/key")],
                &["cp", &given("key"), &of("/new")],
                &["cp", &given("dir"), &of("/sub")],
                &["cp", &given("dir"), &of("")],
                &["exec", "-w", &format!("{at}/sub"), "c", "cat", "key"],
                &["exec", "-w", &at, "c", "ls"],
                &["exec", "-u", "app", "c", "id"],
                &["diff", "c"],
                &["export", "c"],
                &["commit", "c", "made"],
            ];
            for words in tries {
                // The dear ones now and then.
                if matches!(words[0], "export" | "commit" | "diff") && !usize::is_multiple_of(round, 8) {
                    continue;
                }
                let ran = ran(ground.command(words).output().unwrap());
                count.add(&ran);
                has_no_secret(&ran);
                outside.is_untouched(&words.join(" "));
                search(&out);
                let _ = fs::remove_file(&out);
                let _ = fs::remove_dir_all(&out);
            }
        }
    });
    println!("{swaps} swaps, {} done, {} refused", count.done, count.refused);
    assert!(swaps > 100 && count.done > 10, "{swaps} swaps, {} done", count.done);
    ground.call(&["rm", "-f", "c"]).ok();
    // Of what was committed meanwhile.
    search(&ground.dir.join("data/layers"));
    outside.is_untouched("all");
}

#[test]
fn swapped_while_containers_start() {
    let Some(ground) = Ground::new() else { return };
    let outside = Outside::new(&ground);
    let root = ground.rootfs();
    let mut pairs = lay_out(&root, &outside);
    // What every container gets mounts on.
    let system = |name: &str| {
        fs::create_dir_all(root.join(name)).unwrap();
        Pair::new(&root, name, &outside.dir)
    };
    let system = ["proc", "sys", "dev", "etc"].map(system);
    let given = ground.dir.join("given");
    fs::create_dir_all(given.join("a/sub")).unwrap();
    fs::create_dir_all(given.join("b")).unwrap();
    fs::write(given.join("a/sub/key"), "given").unwrap();
    ground.call(&["volume", "create", "held"]).ok();
    let volume = ground.dir.join("data/volumes/held/_data");
    fs::create_dir_all(volume.join("part/sub")).unwrap();
    pairs.push(Pair::new(&volume, "part", &outside.dir));
    let mut count = Count::default();
    let mut start = |pairs: &[Pair], time: Duration| {
        let start = Instant::now();
        let act = |round: usize| {
            let at = format!("/swap/{}", round % 5);
            let bind = format!("{}:{at}/mnt", given.join("a").display());
            let file = format!("{}:{at}/sub/new/key", given.join("a/sub/key").display());
            let tries: [&[&str]; 11] = [
                &["-v", &bind],
                &["-v", &file],
                &["--mount", &format!("type=tmpfs,dst={at}/t/t")],
                &["--tmpfs", &format!("{at}/sub")],
                &["-v", &format!("copied:{at}/v")],
                &["-v", &format!("{at}/v")],
                &["-v", &at],
                &["-w", &format!("{at}/made/made")],
                &["-u", "app"],
                &["--device", &format!("/dev/null:{at}/null")],
                &["--mount", "type=volume,src=held,dst=/mnt/held,volume-subpath=part/sub"],
            ];
            for flags in tries {
                // The directory itself, so that the one who swaps is in the same tree.
                let script =
                    format!("id -u; cat {at}/*/key {at}/key /etc/passwd /etc/hosts /mnt/held/*; pwd; echo >{at}/x");
                let rootfs = root.to_str().unwrap();
                let network = if round.is_multiple_of(2) { "--network=none" } else { "--network=host" };
                let run = [&["run", "--rm", network], flags, &["--rootfs", rootfs, "sh", "-c", &script]].concat();
                let ran = ran(ground.command(&run).output().unwrap());
                has_no_secret(&ran);
                // What the script cannot read is no failure of the start.
                count.add(&Ran { code: if ran.code == 1 { 0 } else { ran.code }, ..ran });
                outside.is_untouched(&run.join(" "));
            }
            // What an empty volume got from the image.
            let volumes = fs::read_dir(ground.dir.join("data/volumes")).unwrap().flatten().map(|entry| entry.path());
            // In the one that is swapped it is this search that would be led out.
            volumes.filter(|path| !path.ends_with("held")).for_each(|path| search(&path));
            ground.call(&["volume", "rm", "-f", "copied"]).ok();
        };
        while_swapped(pairs, || (0..).take_while(|_| start.elapsed() < time).for_each(act))
    };
    // A container whose /proc is a link does not start, so that comes apart.
    let swaps = start(&pairs, seconds() / 3) + start(&system, seconds() / 6);
    println!("{swaps} swaps, {} done, {} refused", count.done, count.refused);
    assert!(swaps > 100 && count.done > 10, "{swaps} swaps, {} done, {} refused", count.done, count.refused);
    outside.is_untouched("all");
}

/// A node is as good as the device that it names, and root of a container may make any.
#[test]
fn devices_outside_of_the_list() {
    let Some(ground) = Ground::new() else { return };
    // Memory, ports, the kernel's log, a terminal of the host's, tunnels, virtual machines, and the disk below us.
    let disk = fs::metadata(&ground.dir).unwrap().dev();
    let disk = format!("b {} {}", rustix::fs::major(disk), rustix::fs::minor(disk));
    let nodes = ["c 1 1", "c 1 4", "c 1 11", "c 4 1", "c 10 200", "c 10 232", disk.as_str()];
    let script = |nodes: &[&str]| {
        let open = |node: &&str| {
            format!(
                "mknod $at/node {node} || echo none; (: <$at/node) && echo read {node}; (: >>$at/node) && echo wrote {node}; rm $at/node\n"
            )
        };
        format!("for at in /tmp /dev /v; do\n{}done 2>/dev/null", nodes.iter().map(open).collect::<String>())
    };
    let volume = format!("{}:/v", ground.dir.display());
    for flags in [&["-v", &volume][..], &["-v", &volume, "--read-only", "--tmpfs=/tmp"]] {
        assert_eq!(ground.sh(flags, &script(&nodes)).ok(), "", "{flags:?}");
    }
    // One of the list, so that it is not the script that opens none.
    let seen = ground.sh(&["-v", &volume], &script(&["c 1 3"])).ok();
    assert_eq!(seen, ["read c 1 3\nwrote c 1 3"; 3].join("\n"));
}

/// CVE-2022-0811: a program of the container's that the kernel runs on the host.
#[test]
fn settings_of_the_whole_host() {
    let Some(ground) = Ground::new() else { return };
    // What is written is what is there, should it succeed.
    let script = "for file in sys/kernel/core_pattern sys/kernel/modprobe sys/kernel/sysrq sys/kernel/panic sys/vm/overcommit_memory \
        sys/fs/suid_dumpable sysrq-trigger; do [ -e /proc/$file ] || continue; \
            value=$(cat /proc/$file 2>/dev/null); (echo \"${value:-h}\" >/proc/$file) && echo wrote $file; done
        for file in /sys/kernel/uevent_helper /sys/kernel/mm/transparent_hugepage/enabled; do [ -e $file ] || continue; \
            (echo never >$file) && echo wrote $file; done
        mkdir /mnt; mount -t proc proc /mnt && echo mounted; mount -o remount,rw /proc/sys && echo remounted
        umount /proc/sys && echo unmounted; mount -t binfmt_misc none /mnt && echo binfmt; true";
    for flags in [&[][..], &["--cap-add=SYS_PTRACE"]] {
        let seen = ground.sh(flags, &format!("{{ {script}\n}} 2>/dev/null")).ok();
        assert_eq!(seen, "", "{flags:?}");
    }
}
