//! The contestants: each a command that runs `true` in a container and is done when nothing of it is left.

use crate::command;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub struct Row {
    pub name: &'static str,
    /// What it makes, so that the numbers are not compared blindly.
    pub makes: &'static str,
    command: Vec<String>,
}

impl Row {
    /// # Errors
    /// It did not end with 0.
    pub fn time(&self) -> Result<Duration, String> {
        let (program, words) = self.command.split_first().ok_or("no command")?;
        super::time(Command::new(program).args(words))
    }
}

/// Every row, or why it is not there.
pub fn all(folder: &Path) -> Vec<Result<Row, String>> {
    let rootfs = folder.join("rootfs");
    vec![
        floor(folder, &rootfs),
        sampan(),
        oci("crun run", "crun", folder, &rootfs),
        oci("runc run", "runc", folder, &rootfs),
        bwrap(&rootfs),
        podman(folder, &rootfs),
    ]
}

fn row(name: &'static str, makes: &'static str, program: PathBuf, words: Vec<String>) -> Row {
    let command = std::iter::once(text(&program)).chain(words).collect();
    Row { name, makes, command }
}

fn floor(folder: &Path, rootfs: &Path) -> Result<Row, String> {
    let mut words = vec![text(rootfs), text(&folder.join("scratch")), "floor0".to_owned(), "7".to_owned()];
    words.extend(hierarchies());
    Ok(row("floor", "overlay, cgroup, veth, address, route: bare system calls", folder.join("floor"), words))
}

/// The version 2 tree where it is alone, else the version 1 hierarchies that a container is put into.
fn hierarchies() -> Vec<String> {
    let base = Path::new("/sys/fs/cgroup");
    if base.join("cgroup.controllers").exists() {
        return vec![text(base)];
    }
    let names = ["memory", "pids", "cpu", "cpuacct", "devices", "freezer", "blkio"];
    // Where two controllers share a hierarchy, one name is a link to "cpu,cpuacct".
    let mut found: Vec<String> =
        names.iter().filter_map(|name| Some(text(&base.join(name).canonicalize().ok()?))).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn sampan() -> Result<Row, String> {
    let binary = command::binary("release")?;
    let bootstrap = command::output(Command::new(&binary).args(["image", "bootstrap", "busybox"]));
    bootstrap.map_err(|error| format!("sampan: {error}"))?;
    // A binary that does nothing would win: it must show a network namespace that is not ours.
    let link = "/proc/self/ns/net";
    let mut witness = Command::new(&binary);
    let theirs = command::output(witness.args(["run", "--rm", "busybox", "readlink", link]))?;
    let ours = fs::read_link(link).map_err(|error| format!("cannot read {link}: {error}"))?;
    if !theirs.starts_with("net:[") || theirs.trim() == text(&ours) {
        return Err("sampan: ran no container".to_owned());
    }
    let words = ["run", "--rm", "busybox", "true"].map(str::to_owned).to_vec();
    Ok(row("sampan run --rm", "the whole engine: image, overlay, bridge network, firewall, seccomp", binary, words))
}

/// A bundle with the runtime's own default configuration, on the plain folder.
fn oci(name: &'static str, program: &str, folder: &Path, rootfs: &Path) -> Result<Row, String> {
    let program = find(program)?;
    let bundle = folder.join(name.replace(' ', "-"));
    let failed = |error: &dyn std::fmt::Display| format!("{name}: cannot write its bundle: {error}");
    fs::create_dir_all(&bundle).map_err(|error| failed(&error))?;
    command::output(Command::new(&program).arg("spec").current_dir(&bundle))?;
    let file = bundle.join("config.json");
    let config = fs::read(&file).map_err(|error| failed(&error))?;
    let mut config: Value = serde_json::from_slice(&config).map_err(|error| failed(&error))?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["true"]);
    config["root"] = json!({ "path": text(rootfs), "readonly": false });
    fs::write(&file, config.to_string()).map_err(|error| failed(&error))?;
    let state = text(&folder.join("run").join(name));
    let words = vec!["--root".to_owned(), state, "run".to_owned(), "--bundle".to_owned(), text(&bundle)];
    let words = words.into_iter().chain(["bench".to_owned()]).collect();
    Ok(row(name, "a bare runtime: plain folder, cgroup; no overlay, no veth, no seccomp", program, words))
}

fn bwrap(rootfs: &Path) -> Result<Row, String> {
    let program = find("bwrap")?;
    let line = "--unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup --hostname bench \
                --proc /proc --dev /dev --tmpfs /tmp --chdir / --cap-drop ALL /bin/true";
    let mut words = vec!["--bind".to_owned(), text(rootfs), "/".to_owned()];
    words.extend(line.split_whitespace().map(str::to_owned));
    Ok(row("bwrap", "a sandbox: plain folder; no cgroup, no overlay, no veth, no seccomp", program, words))
}

fn podman(folder: &Path, rootfs: &Path) -> Result<Row, String> {
    let layers = format!("{}:O", text(rootfs));
    let run = ["run", "--rm", LIMITS[0], LIMITS[1], "--rootfs", &layers, "true"].map(str::to_owned);
    let command = podman_words(folder)?.into_iter().chain(run).collect();
    Ok(Row { name: "podman run --rm", makes: "a whole engine: overlay, bridge network, firewall, seccomp", command })
}

/// podman raises these as far as the host's root may, which not each root can without CAP_SYS_RESOURCE.
pub const LIMITS: [&str; 2] = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];

/// podman with a store of its own, and the words before its command's.
pub fn podman_words(folder: &Path) -> Result<Vec<String>, String> {
    let (root, state) = (text(&folder.join("podman")), text(&folder.join("run/podman")));
    let flags = ["--root", &root, "--runroot", &state, "--cgroup-manager", "cgroupfs"];
    Ok(std::iter::once(text(&find("podman")?)).chain(flags.map(str::to_owned)).collect())
}

pub fn find(program: &str) -> Result<PathBuf, String> {
    command::find(program).ok_or_else(|| format!("{program}: not installed"))
}

pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
