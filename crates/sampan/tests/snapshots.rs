//! Containers where overlayfs cannot write, or is not asked to: each has a copy of its image, and all else is as ever.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, Ran, SAMPAN, ran};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A mount namespace in which `here` has a file system of this kind.
struct Place {
    ground: Ground,
    holder: Child,
}

/// overlayfs does not write to overlayfs, and has no device 0:0 either.
const OVERLAY: &str = "mount -t tmpfs tmpfs $0; mkdir $0/lower $0/upper $0/work; mount -t overlay -o
    lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work overlay $0";
/// It can be written to by overlayfs, but has no attributes to mark a directory by.
const RAMFS: &str = "mount -t ramfs ramfs $0";

impl Place {
    fn new(mount: &str) -> Option<Self> {
        let ground = Ground::new()?;
        let here = ground.dir.join("here");
        fs::create_dir(&here).unwrap();
        let script = format!("set -e; {}; echo; exec sleep 1000", mount.replace('\n', ""));
        let mut holder = Command::new("unshare");
        holder.args(["-m", "--propagation", "private", "sh", "-c", &script]).arg(&here).stdout(Stdio::piped());
        let mut holder = holder.spawn().unwrap();
        let ready = std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0]);
        assert!(ready.is_ok(), "cannot {mount}");
        let place = Self { ground, holder };
        place.sampan(&["image", "bootstrap", "busybox"]).ok();
        Some(place)
    }

    fn here(&self, name: &str) -> String {
        self.ground.dir.join("here").join(name).to_string_lossy().into_owned()
    }

    fn inside(&self, words: &[&str]) -> Ran {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.holder.id().to_string()]).args(words).stdin(Stdio::null());
        ran(command.output().unwrap())
    }

    fn sampan(&self, words: &[&str]) -> Ran {
        let state = self.ground.dir.join("state").to_string_lossy().into_owned();
        self.inside(&[&[SAMPAN, "--root", &self.here("data"), "--state", &state], words].concat())
    }

    /// Of a container that is kept, if it has a name.
    fn run(&self, flags: &[&str], image: &str, script: &str) -> Ran {
        self.sampan(&[&["run", "--network=none", "--pull=never"], flags, &[image, "sh", "-c", script]].concat())
    }

    #[track_caller]
    fn is_clean(&self) {
        let out = self.sampan(&["system", "check"]).ok();
        assert!(out.ends_with(" 0 bad"), "{out}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.sampan(&["rm", "--force", "--all"]);
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn where_overlayfs_does_not_write_images_are_copied() {
    let Some(place) = Place::new(OVERLAY) else { return };
    let info: Value = serde_json::from_str(&place.sampan(&["info", "--format=json"]).ok()).unwrap();
    assert_eq!(info["Driver"], "vfs");
    assert!(info["DriverStatus"][0][1].as_str().unwrap().contains("does not write to its file system (overlay)"));
    let refused = place.sampan(&["--storage-driver=overlay", "run", "--rm", "--network=none", "busybox", "true"]);
    refused.fails(125, "does not write to its file system (overlay)");
    refused.fails(125, "hint: keep them on ext4, xfs, btrfs or tmpfs (--root), or use --storage-driver vfs");

    let change = "echo new >/f; rm /etc/profile; echo >>/etc/group; rm -r /var/log; mkdir /var/log; echo >/var/log/x";
    place.run(&["--name=c"], "busybox", change).ok();
    let out = place.sampan(&["diff", "c"]).ok();
    let changes = ["A /f", "A /var/log/x", "C /etc", "C /etc/group", "C /var", "C /var/log", "D /etc/profile"];
    assert_eq!(sorted(&out), changes);
    // Of what is there at all, only what changed is the container's own.
    let size = place.sampan(&["ps", "--all", "--size", "--format={{.Size}}"]).ok();
    assert!(size.contains("kB (virtual ") && size.contains("MB)"), "{size}");
    let inspected: Value = serde_json::from_str(&place.sampan(&["inspect", "c"]).ok()).unwrap();
    assert_eq!(inspected[0]["GraphDriver"]["Name"], "vfs");

    // It goes on with what it has; nothing is copied again.
    let again = place.sampan(&["start", "--attach", "c"]);
    assert!(again.err.contains("can't remove '/etc/profile'"), "{again:?}");
    place.sampan(&["cp", "/bin/busybox", "c:/g"]).ok();
    let tar = place.here("c.tar");
    place.sampan(&["export", "-o", &tar, "c"]).ok();
    let names = place.inside(&["tar", "-tf", &tar]).ok();
    assert!(names.contains("\ng\n") && !names.contains("etc/profile\n") && !names.contains(".wh."), "{names}");
    place.sampan(&["rm", "c"]).ok();
    assert_eq!(place.inside(&["ls", &place.here("data/containers")]).ok(), "");
}

#[test]
fn layers_have_other_marks_there() {
    for kind in [OVERLAY, RAMFS] {
        let Some(place) = Place::new(kind) else { return };
        place
            .run(&["--name=c"], "busybox", "chmod 1755 /var; rm -r /home /etc/profile; mkdir /home; echo >/home/h")
            .ok();
        place.sampan(&["commit", "c", "one"]).ok();
        place.run(&["--name=d"], "one", "rm -r /home/h /var/log; echo >/etc/profile; mkdir -p /deep/er").ok();
        place.sampan(&["commit", "d", "two"]).ok();
        let look = "ls -A /home /etc/profile /etc/passwd /var; stat -c %a /var /deep";
        let seen = place.run(&["--rm"], "two", look).ok();
        assert_eq!(seen, "/etc/passwd\n/etc/profile\n\n/home:\n\n/var:\ntmp\n1755\n755", "{kind}");
        assert_eq!(
            place.run(&["--rm"], "one", "ls -A /home; ls /etc/profile 2>/dev/null || echo gone").ok(),
            "h\ngone"
        );
        place.is_clean();
        // A program that a layer takes away is not found, before anything is made.
        place.run(&["--name=e"], "two", "rm /bin/vi").ok();
        place.sampan(&["commit", "e", "three"]).ok();
        place.sampan(&["run", "--rm", "--network=none", "three", "vi"]).fails(127, "vi");

        let at = place.sampan(&["image", "mount", "two"]).ok();
        assert_eq!(place.inside(&["ls", "-A", &format!("{at}/var")]).ok(), "tmp");
        place.sampan(&["image", "unmount", "two"]).ok();
        assert_eq!(place.inside(&["ls", "-A", &place.here("data/mounts")]).ok(), "");
        let mount = "--mount=type=image,src=two,dst=/mnt";
        place.run(&["--rm", mount], "busybox", "ls -A /mnt/var | grep tmp; ! touch /mnt/x 2>/dev/null").ok();
        place.run(&["--rm", &format!("{mount},rw=true")], "busybox", "touch /mnt/x && ls /mnt/etc/profile").ok();
        let volume = place.run(&["--rm", "-v=v:/var"], "two", "ls -A /var").ok();
        assert_eq!(volume, "tmp");

        // To a registry or another store it goes as any other.
        let tar = place.here("two.tar");
        place.sampan(&["save", "-o", &tar, "two"]).ok();
        let ground = &place.ground;
        let out = place.inside(&["cat", &tar]);
        assert_eq!(out.code, 0);
        let elsewhere = ground.dir.join("elsewhere").to_string_lossy().into_owned();
        let words = [SAMPAN, "--root", &elsewhere, "--state", &place.here("state")];
        place.inside(&[&words[..], &["load", "-i", &tar]].concat()).ok();
        let run = ["run", "--rm", "--network=none", "two", "sh", "-c", look];
        assert_eq!(place.inside(&[&words[..], &run].concat()).ok(), seen);

        place.sampan(&["rm", "--all"]).ok();
        place.sampan(&["system", "prune", "--all", "--force", "--volumes"]).ok();
        for part in ["containers", "layers", "images/blobs/sha256", "mounts"] {
            assert_eq!(
                place.inside(&["ls", "-A", &place.here("data").replace("data", &format!("data/{part}"))]).ok(),
                ""
            );
        }
    }
}

fn vfs(ground: &Ground, words: &[&str]) -> Ran {
    let mut command = ground.command(words);
    ran(command.env("SAMPAN_STORAGE_DRIVER", "vfs").output().unwrap())
}

fn of_container(ground: &Ground, path: &str) -> PathBuf {
    let home = fs::read_dir(ground.dir.join("data/containers")).unwrap().next().unwrap().unwrap().path();
    home.join("tree").join(path)
}

#[test]
fn a_copy_belongs_to_the_user_namespace() {
    let Some(ground) = Ground::new() else { return };
    vfs(&ground, &["image", "bootstrap", "busybox"]).ok();
    let made =
        ["run", "--name=b", "--network=none", "busybox", "sh", "-c", "echo >/own; chown 7:8 /own; chmod u+s /own"];
    vfs(&ground, &made).ok();
    vfs(&ground, &["commit", "b", "base"]).ok();
    vfs(&ground, &["rm", "b"]).ok();
    let maps = ["--uidmap=0:300000:65536", "--gidmap=0:300000:65536"];
    let look = ["base", "sh", "-c", "stat -c '%u:%g %a' /own /bin/busybox; echo >/mine"];
    let words = [&["run", "--name=c", "--network=none"], &maps[..], &look].concat();
    assert_eq!(vfs(&ground, &words).ok(), "7:8 4644\n0:0 755");
    let found = fs::symlink_metadata(of_container(&ground, "own")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (300_007, 300_008, 0o4644));
    assert_eq!(vfs(&ground, &["diff", "c"]).ok(), "A /mine");
    vfs(&ground, &["commit", "c", "mine"]).ok();
    let out = vfs(&ground, &["run", "--rm", "--network=none", "mine", "stat", "-c", "%u:%g", "/own", "/mine"]).ok();
    assert_eq!(out, "7:8\n0:0");
}

/// What was copied when it was killed is not taken for the whole.
#[test]
fn a_copy_is_whole_or_not_there() {
    let Some(ground) = Ground::new() else { return };
    vfs(&ground, &["image", "bootstrap", "busybox"]).ok();
    vfs(&ground, &["create", "--name=c", "--network=none", "busybox", "sh", "-c", "ls /bin | wc -l"]).ok();
    let half = of_container(&ground, "x").parent().unwrap().with_file_name("tree.partial");
    fs::create_dir_all(half.join("bin/half")).unwrap();
    let whole = vfs(&ground, &["start", "--attach", "c"]).ok();
    assert!(whole.parse::<u32>().unwrap() > 100 && !half.exists(), "{whole}");
    vfs(&ground, &["rm", "c"]).ok();
    let run = ["run", "--rm", "--network=none", "busybox", "true"];
    for step in 1..6 {
        let mut command = ground.command(&run);
        command.env("SAMPAN_STORAGE_DRIVER", "vfs").env("SAMPAN_FAULT", format!("kill-after:{step}"));
        assert_eq!(ran(command.output().unwrap()).code, -1, "step {step}");
        vfs(&ground, &["run", "--rm", "--network=none", "busybox", "true"]).ok();
        ground.is_empty();
    }
}

/// Power went while overlayfs was tried: the next command takes away what it left, as does the next try.
#[test]
fn nothing_is_left_of_a_trial() {
    let Some(ground) = Ground::new() else { return };
    let trial = ground.dir.join("data/.overlay-trial");
    let run = ["run", "--rm", "--network=none", "host", "true"];
    ground.call(&run).ok();
    for words in [&["ps"][..], &run] {
        fs::create_dir_all(trial.join("work/work/#3")).unwrap();
        let _ = fs::remove_dir_all(ground.dir.join("state"));
        ground.call(words).ok();
        assert!(!trial.exists(), "{words:?}");
    }
}

#[test]
fn an_unknown_driver_is_refused() {
    let Some(ground) = Ground::new() else { return };
    ground.call(&["--storage-driver=nix", "ps"]).fails(1, "unknown storage driver");
    let mut command = ground.command(&["run", "--rm", "--rootfs", "/", "true"]);
    ran(command.env("SAMPAN_STORAGE_DRIVER", "nix").output().unwrap()).fails(125, "SAMPAN_STORAGE_DRIVER=nix");
}
