//! What the operations work with: an image, archives of it, and a registry with an image for each worker.

use super::room::Room;
use crate::command;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const BASE: &str = "localhost/base:1";
const REGISTRY: &str = "127.0.0.1:5000";

pub struct Stage {
    registry: Option<Child>,
}

/// The room's store has the image [`BASE`] and nothing else afterwards.
///
/// # Errors
/// sampan cannot make them.
pub fn set(room: &Room, workers: u64) -> Result<Stage, String> {
    rootfs(room)?;
    let registry = registry(room)?;
    import(room, BASE)?;
    room.succeeds("stage", &["save", "--format=oci-archive", "-o", &room.path("base.tar"), BASE])?;
    for worker in 0..workers {
        // A layer of its own, large enough to be broken off.
        let layer =
            (0..400_000u64).map(|at| (at.wrapping_mul(0x9e37_79b9 + worker) >> 7).to_string()).collect::<String>();
        fs::write(room.base.join("rootfs/own"), layer).map_err(|error| format!("cannot write a file: {error}"))?;
        let (loaded, pulled) = (loaded(worker), pulled(worker));
        import(room, &loaded)?;
        room.succeeds("stage", &["save", "-o", &archive(room, worker), &loaded])?;
        if registry.is_some() {
            room.succeeds("stage", &["tag", &loaded, &pulled])?;
            room.succeeds("stage", &["push", "--tls-verify=false", &pulled])?;
            room.succeeds("stage", &["rmi", &pulled])?;
        }
        room.succeeds("stage", &["rmi", &loaded])?;
    }
    let stage = Stage { registry };
    // All folders are there that sampan makes with the first of a kind.
    let parent = format!("--cgroup-parent=/{}", room.cgroup);
    for words in [
        &["network", "create", "first"][..],
        &["volume", "create", "first"],
        &["secret", "create", "first", "/etc/hostname"],
        &["secret", "rm", "first"],
        &[
            "run",
            "-d",
            "--name=first",
            &parent,
            "--network=first",
            "-v",
            "first:/v",
            "-v",
            "/bin",
            BASE,
            "sleep",
            "1000",
        ],
        &["run", "--rm", &parent, BASE, "true"],
        &["rm", "-f", "-v", "first"],
        &["volume", "rm", "first"],
        &["network", "rm", "first"],
    ] {
        room.succeeds("stage", words)?;
    }
    stage.only_base(room)?;
    std::thread::sleep(Duration::from_secs(2));
    room.succeeds("stage", &["ps"])?;
    Ok(stage)
}

impl Stage {
    pub fn pids(&self) -> Vec<u32> {
        self.registry.iter().map(Child::id).collect()
    }

    pub fn has_registry(&self) -> bool {
        self.registry.is_some()
    }

    /// Of images the store has [`BASE`] only.
    ///
    /// # Errors
    /// sampan fails.
    pub fn only_base(&self, room: &Room) -> Result<(), String> {
        room.succeeds("stage", &["image", "prune", "--all", "--force"])?;
        room.succeeds("stage", &["load", "--quiet", "-i", &room.path("base.tar")]).map(drop)
    }

    pub fn end(&mut self, room: &Room) {
        if let Some(registry) = &mut self.registry {
            let _ = registry.kill();
            let _ = registry.wait();
        }
        let _ = Command::new("umount").arg(room.base.join("state")).status();
    }
}

pub fn loaded(worker: u64) -> String {
    format!("localhost/loaded-{worker}:1")
}

pub fn pulled(worker: u64) -> String {
    format!("{REGISTRY}/pulled-{worker}:1")
}

pub fn archive(room: &Room, worker: u64) -> String {
    room.path(&format!("archive-{worker}.tar"))
}

fn rootfs(room: &Room) -> Result<(), String> {
    let busybox = command::find("busybox").ok_or("busybox is not installed (package busybox-static)")?;
    let bin = room.base.join("rootfs/bin");
    let failed = |error| format!("cannot write {}: {error}", bin.display());
    fs::copy(busybox, bin.join("busybox")).map_err(failed)?;
    for applet in ["sh", "cat", "sleep", "true", "echo", "ls"] {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).map_err(failed)?;
    }
    Ok(())
}

fn import(room: &Room, name: &str) -> Result<(), String> {
    let tar = room.path("import.tar");
    command::succeed(Command::new("tar").args(["-C", &room.path("rootfs"), "-cf", &tar, "."]))?;
    room.succeeds("stage", &["import", &tar, name])?;
    fs::remove_file(tar).map_err(|error| format!("cannot remove an archive: {error}"))
}

fn registry(room: &Room) -> Result<Option<Child>, String> {
    let Some(program) = command::find("docker-registry") else {
        println!("skipped: pull: no docker-registry on this machine");
        return Ok(None);
    };
    let folder = room.path("registry");
    let config = room.path("registry.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {folder}}}}}\nhttp: {{addr: {REGISTRY}, secret: of the lab}}\n"
    );
    let mut file = fs::File::create(&config).map_err(|error| format!("cannot write {config}: {error}"))?;
    file.write_all(text.as_bytes()).map_err(|error| format!("cannot write {config}: {error}"))?;
    let mut command = Command::new(program);
    command.args(["serve", &config]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| format!("cannot start docker-registry: {error}"))?;
    let start = Instant::now();
    while TcpStream::connect(REGISTRY).is_err() {
        if start.elapsed() > Duration::from_secs(30) {
            return Err("docker-registry does not answer".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Some(child))
}
