//! Images that are mounted on the machine: where, for how long, and that nothing of it stays.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, Ran, SAMPAN, ran};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A mount namespace, so that nothing stays on the host if the test is killed.
struct Place {
    ground: Ground,
    holder: Child,
}

impl Place {
    fn new() -> Option<Self> {
        let ground = Ground::new()?;
        let mut holder = Command::new("unshare");
        holder.args(["-m", "--propagation", "private", "sh", "-c", "echo; exec sleep 1000"]).stdout(Stdio::piped());
        let mut holder = holder.spawn().unwrap();
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let place = Self { ground, holder };
        place.sampan(&["image", "bootstrap", "busybox"]).ok();
        Some(place)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.holder.id().to_string()]).args(words).stdin(Stdio::null());
        command
    }

    fn words<'a>(&self, words: &[&'a str], dirs: &'a [String; 2]) -> Vec<&'a str> {
        [&[SAMPAN, "--root", &dirs[0], "--state", &dirs[1]], words].concat()
    }

    fn dirs(&self) -> [String; 2] {
        ["data", "state"].map(|part| self.ground.dir.join(part).to_str().unwrap().to_owned())
    }

    fn sampan(&self, words: &[&str]) -> Ran {
        ran(self.command(&self.words(words, &self.dirs())).output().unwrap())
    }

    fn sh(&self, script: &str, path: &str) -> Ran {
        ran(self.command(&["sh", "-c", script, "sh", path]).output().unwrap())
    }

    /// What is left of mounts.
    fn left(&self) -> (usize, usize) {
        let mounts = self.sh("cat /proc/self/mountinfo", "").ok();
        let state = self.ground.dir.join("state/mounts");
        let mounted = mounts.lines().filter(|line| line.contains(state.to_str().unwrap())).count();
        (mounted, fs::read_dir(state).map_or(0, Iterator::count))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn an_image_is_looked_into() {
    let Some(place) = Place::new() else { return };
    assert_eq!(place.sampan(&["image", "mount"]).ok(), "");
    let path = place.sampan(&["image", "mount", "busybox"]).ok();
    assert!(place.sh("ls $1/bin/busybox && cat $1/etc/passwd", &path).ok().contains("root:"), "{path}");
    place.sh("touch $1/new", &path).fails(1, "Read-only file system");
    let options = place.sh("grep \" $1 \" /proc/self/mountinfo", &path).ok();
    assert!(options.contains(" ro,nosuid,nodev"), "{options}");
    let mode = fs::metadata(PathBuf::from(&path).parent().unwrap().parent().unwrap()).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o700);
    // Once more, and as often unmounted.
    assert_eq!(place.sampan(&["image", "mount", "busybox"]).ok(), path);
    assert_eq!(place.sampan(&["image", "mount"]).ok(), format!("busybox:latest   {path}"));
    let listed: Value = serde_json::from_str(&place.sampan(&["image", "mount", "--format=json"]).ok()).unwrap();
    assert_eq!((&listed[0]["mountpoint"], &listed[0]["Names"][0]), (&path.as_str().into(), &"busybox:latest".into()));
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let template = ["image", "mount", "--format", "{{.ID}}={{.Path}}"];
    assert_eq!(place.sampan(&template).ok(), format!("busybox:latest={path}"));
    // What is mounted is not removed.
    place.sampan(&["rmi", "busybox"]).fails(1, "it is mounted\nhint: sampan image unmount busybox");
    assert_eq!(place.sampan(&["image", "prune", "-af"]).ok(), "Total reclaimed space: 0B");
    assert_eq!(place.sampan(&["image", "unmount", "busybox"]).ok(), id);
    place.sh("ls $1/bin/sh", &path).ok();
    assert_eq!(place.sampan(&["image", "unmount", &id[7..15]]).ok(), id);
    assert_eq!(place.left(), (0, 0));
    place.sampan(&["image", "unmount", "busybox"]).fails(1, "it is not mounted");
    place.sampan(&["image", "unmount", "absent"]).fails(1, "absent");
    place.sampan(&["image", "unmount"]).fails(1, "none is named");
}

#[test]
fn all_of_them_and_with_force() {
    let Some(place) = Place::new() else { return };
    place.sampan(&["run", "--name=c", "--network=none", "busybox", "sh", "-c", "rm /etc/passwd; echo x >/x"]).ok();
    let second = place.sampan(&["commit", "c"]).ok();
    let both = place.sampan(&["image", "mount", "--all"]).ok();
    assert_eq!(both.lines().count(), 2, "{both}");
    assert!(both.contains("busybox:latest  ") && both.contains(&second), "{both}");
    let path = place.sampan(&["image", "mount", &second]).ok();
    assert_eq!(place.sh("cat $1/x; ls -d $1/etc/passwd 2>&1", &path).out.lines().next(), Some("x"));
    assert!(!place.sh("ls $1/etc", &path).ok().contains("passwd"));
    // Its name and its record gone, the layers stay as long as they are mounted.
    place.sampan(&["rmi", "-f", &second]).ok();
    place.sampan(&["rm", "c"]).ok();
    let layers = || fs::read_dir(place.ground.dir.join("data/layers")).unwrap().count();
    assert_eq!((layers(), place.sh("cat $1/x", &path).ok().as_str()), (2, "x"));
    assert_eq!(place.sampan(&["image", "unmount", "--force", &second]).ok(), second);
    assert_eq!((layers(), place.left().0), (1, 1));
    assert_eq!(place.sampan(&["image", "umount", "-a"]).ok().lines().count(), 1);
    assert_eq!(place.left(), (0, 0));
}

/// Killed at any step, or unmounted by somebody else.
#[test]
fn nothing_stays_of_one_that_was_killed() {
    let Some(place) = Place::new() else { return };
    let dirs = place.dirs();
    let mount = place.words(&["image", "mount", "busybox"], &dirs);
    for step in 1..=4 {
        for way in ["kill-before", "kill-after", "fail"] {
            let mut command = place.command(&mount);
            let ended = ran(command.env("SAMPAN_FAULT", format!("{way}:{step}")).output().unwrap());
            assert_ne!(ended.code, 0, "{way} {step}");
            if way == "fail" {
                assert!(ended.err.contains(&format!("step {step}/4")), "{ended:?}");
            }
            assert_eq!(place.sampan(&["image", "mount"]).ok(), "", "{way} {step}");
            // Any command that starts or removes something.
            place.sampan(&["ps"]).ok();
            assert_eq!(place.left(), (0, 0), "{way} {step}");
        }
    }
    let path = place.sampan(&["image", "mount", "busybox"]).ok();
    place.sh("umount $1", &path).ok();
    assert_eq!(place.sampan(&["image", "mount"]).ok(), "");
    assert_eq!(place.sampan(&["image", "mount", "busybox"]).ok(), path);
    place.sh("ls $1/bin/sh", &path).ok();
    place.sampan(&["image", "unmount", "busybox"]).ok();
    assert_eq!(place.left(), (0, 0));
}

#[test]
fn an_ordinary_user_is_told() {
    let Some(place) = Place::new() else { return };
    let dirs = place.dirs();
    let mount = place.words(&["image", "mount", "busybox"], &dirs);
    let without = [&["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"], &mount[..]].concat();
    let refused = ran(place.command(&without).output().unwrap());
    refused.fails(1, "only root mounts on this machine\nhint: unshare --user");
    assert_eq!(place.left(), (0, 0));
    // Root of a user namespace, with a store of its own.
    let script = "$0 \"$@\" image bootstrap busybox >/dev/null && p=$($0 \"$@\" image mount busybox) && cat $p/etc/passwd \
        && $0 \"$@\" image unmount -a && ls \"$4/mounts\"";
    let [data, state] = &dirs;
    let own = [&format!("{data}-own"), &format!("{state}-own")];
    let words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, SAMPAN];
    let words = [&words[..], &["--root", own[0], "--state", own[1]]].concat();
    let out = ran(place.command(&words).output().unwrap()).ok();
    assert!(out.starts_with("root:x:0:0:") && out.lines().last().unwrap().starts_with("sha256:"), "{out}");
}
