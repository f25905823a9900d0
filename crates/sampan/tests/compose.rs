//! podman-compose, a program of others, with sampan in the place of podman: a project from up to down.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::world::World;
use ground::{Ran, SAMPAN, ran, until};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "1.6.0";

const PROJECT: &str = r#"
services:
  web:
    image: busybox
    stop_signal: SIGKILL
    command: [httpd, -f, -p, "8080", -h, /www]
    volumes: ["pages:/www"]
    networks: [front]
    depends_on: { fill: { condition: service_completed_successfully } }
    healthcheck:
      test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/index.html"]
      interval: 200ms
      start_period: 100ms
  fill:
    image: busybox
    command: [sh, -c, "sleep 0.5; echo hello > /www/index.html"]
    volumes: ["pages:/www"]
    networks: [front]
  client:
    image: busybox
    stop_signal: SIGKILL
    command: [sh, -c, "wget -q -O - http://web:8080/index.html; exec sleep 1000"]
    depends_on: { web: { condition: service_healthy } }
    networks: [front, back]
    environment: { COLOUR: blue }
  worker:
    image: busybox
    stop_signal: SIGKILL
    command: [sleep, "1000"]
    networks: { back: { aliases: [hand] } }
    restart: unless-stopped
    tmpfs: [/scratch]
    ulimits: { nofile: 1000 }
volumes: { pages: }
networks: { front: , back: { internal: true } }
"#;

/// The directory of its module, from the Python package index.
fn installed() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("podman-compose-{VERSION}"));
    if dir.exists() {
        return Some(dir);
    }
    let new = dir.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    let mut pip = Command::new("pip3");
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--retries=1", "--timeout=20", "--target"]);
    match pip.arg(&new).arg(format!("podman-compose=={VERSION}")).stdin(Stdio::null()).output().map(ran) {
        Ok(Ran { code: 0, .. }) => fs::rename(&new, &dir).unwrap(),
        Ok(Ran { err, .. }) => {
            println!("skipped: pip3 cannot install podman-compose: {}", err.lines().last().unwrap_or_default());
            return None;
        }
        Err(_) => {
            println!("skipped: pip3 is not installed");
            return None;
        }
    }
    Some(dir)
}

struct Project {
    world: World,
    module: PathBuf,
}

impl Project {
    fn new() -> Option<Self> {
        let module = installed()?;
        let world = World::new()?;
        let at = |name: &str| world.ground.dir.join(name);
        fs::create_dir(at("shop")).unwrap();
        fs::write(at("shop/compose.yaml"), PROJECT).unwrap();
        symlink(SAMPAN, at("podman")).unwrap();
        let (podman, data, state) = (at("podman"), at("data"), at("state"));
        let (podman, data, state) = (podman.display(), data.display(), state.display());
        fs::write(at("engine"), format!("#!/bin/sh\nexec {podman} --root {data} --state {state} \"$@\"\n")).unwrap();
        fs::set_permissions(at("engine"), fs::Permissions::from_mode(0o755)).unwrap();
        let project = Self { world, module };
        project.sampan(&["image", "bootstrap", "busybox"]).ok();
        Some(project)
    }

    fn sampan(&self, words: &[&str]) -> Ran {
        self.world.host.inside(|| ran(self.world.ground.command(words).output().unwrap()))
    }

    fn compose(&self, words: &[&str]) -> Ran {
        let mut python = Command::new("timeout");
        python.args(["60", "python3", "-m", "podman_compose", "--no-ansi", "--podman-path"]);
        python.arg(self.world.ground.dir.join("engine")).args(words).stdin(Stdio::null());
        python.current_dir(self.world.ground.dir.join("shop")).env("PYTHONPATH", &self.module);
        self.world.host.inside(|| ran(python.output().unwrap()))
    }

    /// The containers of these names and states are there, soon: one that others require is started with them again.
    #[track_caller]
    fn has(&self, expected: &str) {
        until(expected, || {
            let listed = self.compose(&["ps", "--format", "{{.Names}}={{.State}}"]).ok();
            let mut rows: Vec<&str> = listed.lines().collect();
            rows.sort_unstable();
            rows.join(" ") == expected
        });
    }
}

#[test]
fn a_project_goes_up_is_used_and_goes_down() {
    let Some(project) = Project::new() else { return };
    let compose = |words: &[&str]| project.compose(words);
    let own = |line: &&str| !line.contains("/data") && !line.contains("/state");
    let host = || project.world.picture().lines().filter(own).collect::<Vec<_>>().join("\n");
    let before = host();
    compose(&["up", "-d"]).ok();
    let all = "shop_client_1=running shop_fill_1=exited shop_web_1=running shop_worker_1=running";
    project.has(all);
    assert!(compose(&["ps"]).ok().contains("(healthy)"), "the client waited for that");
    // The page was there before the server, and the server well before the client.
    let logs = compose(&["logs", "client"]).ok();
    assert!(logs.contains("hello") && !logs.contains("wget:"), "{logs}");
    let mounted = project.sampan(&["volume", "ls", "--format", "{{.Name}}"]).ok();
    assert_eq!(mounted, "shop_pages");
    let pods = project.sampan(&["pod", "ps", "--format", "{{.Name}} {{.Status}} {{.NumberOfContainers}}"]).ok();
    assert_eq!(pods, "pod_shop Degraded 4", "fill has ended");

    let enter = |words: &[&str]| compose(&[&["exec", "-T"], words].concat());
    assert_eq!(enter(&["client", "wget", "-q", "-O", "-", "http://web:8080/index.html"]).ok(), "hello");
    assert_eq!(enter(&["client", "sh", "-c", "echo $COLOUR"]).ok(), "blue");
    assert_eq!(enter(&["worker", "sh", "-c", "ulimit -n; touch /scratch/file"]).ok(), "1000");
    assert_eq!(enter(&["worker", "sh", "-c", "exit 3"]).code, 3);
    // The two networks of the client do not know each other.
    assert_ne!(enter(&["worker", "nslookup", "web"]).code, 0);
    let once = compose(&["run", "--rm", "-T", "client", "wget", "-q", "-O", "-", "http://web:8080/index.html"]).ok();
    assert!(once.ends_with("\nhello"), "{once}");

    for words in [["stop", "worker"], ["start", "worker"], ["restart", "worker"], ["pause", "web"], ["unpause", "web"]]
    {
        compose(&words).ok();
    }
    project.has(all);
    compose(&["up", "-d", "--scale", "worker=3"]).ok();
    let answers = enter(&["client", "nslookup", "hand"]).ok();
    assert_eq!(answers.lines().filter(|line| line.starts_with("Address: ")).count(), 3, "{answers}");
    project.has(&format!("{all} shop_worker_2=running shop_worker_3=running"));
    // podman-compose knows no other way down: all of the project goes that is not in it any more, and comes back if it is.
    compose(&["up", "-d", "--scale", "worker=1", "--force-recreate", "--remove-orphans", "-t", "0"]).ok();
    project.has(all);
    assert_eq!(enter(&["client", "wget", "-q", "-O", "-", "http://web:8080/index.html"]).ok(), "hello");

    compose(&["down", "-v", "--remove-orphans", "-t", "0"]).ok();
    project.has("");
    assert_eq!(project.sampan(&["volume", "ls", "-q"]).ok(), "");
    assert_eq!(project.sampan(&["pod", "ps", "-q"]).ok(), "");
    assert_eq!(project.sampan(&["network", "ls", "--format", "{{.Name}}"]).ok(), "bridge\nhost\nnone");
    project.world.ground.is_empty();
    // The bridges linger.
    until("the host is as it was", || host() == before);
}
