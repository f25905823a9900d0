//! Limits of the disk: of what a container changes, and of a volume.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::{Ground, Ran, ran};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A file system with project quotas in a file, and a store on it.
struct Disk {
    ground: Ground,
    at: PathBuf,
}

impl Disk {
    /// `None`, with a line that says why, where there can be none.
    fn new() -> Option<Self> {
        let ground = Ground::new()?;
        let (file, at) = (ground.dir.join("disk"), ground.dir.join("mounted"));
        fs::create_dir(&at).unwrap();
        fs::File::create(&file).unwrap().set_len(300 << 20).unwrap();
        let script =
            "mkfs.ext4 -q -O project,quota -E quotatype=prjquota \"$0\" && mount -o loop,prjquota \"$0\" \"$1\"";
        let made = ran(Command::new("sh").args(["-c", script]).args([&file, &at]).output().unwrap());
        if made.code != 0 {
            println!(
                "skipped: no ext4 with project quotas can be made: {}",
                made.err.lines().last().unwrap_or_default()
            );
            return None;
        }
        Some(Self { ground, at })
    }

    fn sampan(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(ground::SAMPAN);
        command.arg("--root").arg(self.at.join("data")).arg("--state").arg(self.ground.dir.join("state")).args(words);
        ran(command.output().unwrap())
    }

    fn make(&self, verb: &[&str], script: &str) -> Ran {
        let rootfs = format!("{}:O", self.ground.rootfs().display());
        self.sampan(&[&verb[..1], &["--network=none"], &verb[1..], &["--rootfs", &rootfs, "sh", "-c", script]].concat())
    }

    /// Projects that have a limit still.
    fn limits(&self) -> usize {
        let report = ran(Command::new("repquota").args(["-P", "-n"]).arg(&self.at).output().unwrap()).ok();
        report
            .lines()
            .filter(|line| line.starts_with('#'))
            .filter(|line| line.split_whitespace().nth(4) != Some("0"))
            .count()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.sampan(&["rm", "--force", "--all"]);
        let _ = Command::new("umount").arg(&self.at).output();
    }
}

const FILL: &str = "dd if=/dev/zero of=$AT/big bs=1M count=20 2>&1; du -sm $AT/big | cut -f1";

#[test]
fn what_a_container_changes_has_a_bound() {
    let Some(disk) = Disk::new() else { return };
    let out = disk.make(&["run", "--rm", "-e", "AT=/tmp", "--storage-opt=size=8m"], FILL).ok();
    assert!(out.contains("quota exceeded") && out.lines().last().unwrap().parse::<u32>().unwrap() <= 8, "{out}");
    // Another's is its own, and one without has none.
    let out = disk.make(&["run", "--rm", "-e", "AT=/tmp"], FILL).ok();
    assert!(out.ends_with("\n20"), "{out}");
    // From one start to the next.
    disk.make(
        &["create", "--name=kept", "-e", "AT=/tmp", "--storage-opt=size=16m"],
        &format!("{FILL}; mv /tmp/big /tmp/b"),
    )
    .ok();
    assert!(disk.sampan(&["start", "-a", "kept"]).ok().contains("quota exceeded"));
    let again = disk.sampan(&["start", "-a", "kept"]).ok();
    assert!(again.lines().last().unwrap().parse::<u32>().unwrap() < 3, "{again}");
    disk.sampan(&["rm", "kept"]).ok();
    if Command::new("repquota").arg("-V").output().is_ok() {
        assert_eq!(disk.limits(), 0, "nothing remembers them");
    } else {
        println!("skipped: repquota is not installed");
    }
}

#[test]
fn what_a_volume_holds_has_a_bound() {
    let Some(disk) = Disk::new() else { return };
    disk.sampan(&["volume", "create", "--opt=o=size=8m", "small"]).ok();
    let out = disk.make(&["run", "--rm", "-e", "AT=/v", "-v", "small:/v"], FILL).ok();
    assert!(out.contains("quota exceeded") && out.lines().last().unwrap().parse::<u32>().unwrap() <= 8, "{out}");
    disk.sampan(&["volume", "rm", "small"]).ok();
}

#[test]
fn a_bound_that_cannot_be_is_an_error() {
    let Some(ground) = Ground::new() else { return };
    // In memory there are no project quotas.
    let at = ground.dir.join("memory");
    fs::create_dir(&at).unwrap();
    let script = "mount -t tmpfs memory \"$0\" && shift 0; exec \"$@\"";
    let rootfs = format!("{}:O", ground.rootfs().display());
    let run = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(&at).arg(ground::SAMPAN);
        command.arg("--root").arg(at.join("data")).arg("--state").arg(ground.dir.join("state")).args(words);
        ran(command.output().unwrap())
    };
    run(&["run", "--rm", "--network=none", "--storage-opt=size=8m", "--rootfs", &rootfs, "true"])
        .fails(125, "its file system keeps no project quotas");
    run(&["volume", "create", "--opt=size=8m"]).fails(1, "its file system keeps no project quotas");
    let directory = ground.rootfs();
    let directory = directory.to_str().unwrap();
    run(&["run", "--rm", "--storage-opt=size=8m", "--rootfs", directory, "true"])
        .fails(125, "it has no layer of its own");
    run(&["run", "--rm", "--storage-opt=colour=red", "--rootfs", &rootfs, "true"]).fails(125, "no such option");
    ground.is_empty();
}
