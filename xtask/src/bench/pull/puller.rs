//! The contestants: the commands that each has to pull an image and to forget it, and what they cost with their daemons.

use super::registry::HOST;
use crate::bench::{make, row};
use crate::command;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From the command's start to its end.
    pub wall: Duration,
    /// Until the disk has all of it.
    pub disk: Duration,
    /// Of the command, of its children and of the daemon that works for it.
    pub cpu: Duration,
    /// The most that one of these had resident, in KiB.
    pub peak: u64,
}

pub struct Puller {
    pub name: &'static str,
    /// For sh, which has `$image`, `$name`, `$home`, `$run` and `$program`.
    pull: &'static str,
    again: &'static str,
    forget: &'static str,
    program: PathBuf,
    folder: PathBuf,
    home: PathBuf,
    run: PathBuf,
    daemon: Option<Daemon>,
}

/// All of them, sampan first, or why one is not there.
pub fn all(folder: &Path, disk: &Path) -> Vec<Result<Puller, String>> {
    let sampan = command::binary("release").and_then(|program| {
        let pull = "exec $program --root $home --state $run pull -q $image";
        Puller::new("sampan", [pull, pull, "exec $program --root $home --state $run rmi $image"], program, folder, disk)
    });
    vec![sampan, podman(folder, disk), umoci(folder, disk), containerd(folder, disk), docker(folder, disk)]
}

fn podman(folder: &Path, disk: &Path) -> Result<Puller, String> {
    let pull = "exec $program --root $home --runroot $run --storage-driver overlay pull -q --tls-verify=false $image";
    let forget = "exec $program --root $home --runroot $run --storage-driver overlay rmi -f $image";
    Puller::new("podman", [pull, pull, forget], row::find("podman")?, folder, disk)
}

fn umoci(folder: &Path, disk: &Path) -> Result<Puller, String> {
    row::find("umoci")?;
    let again = "exec $program copy -q --src-tls-verify=false docker://$image oci:$home/layout:$name";
    let pull = "$program copy -q --src-tls-verify=false docker://$image oci:$home/layout:$name && \
                exec umoci unpack --image $home/layout:$name $home/bundle";
    let forget = "rm -r $home/layout $home/bundle";
    Puller::new("skopeo + umoci", [pull, again, forget], row::find("skopeo")?, folder, disk)
}

fn containerd(folder: &Path, disk: &Path) -> Result<Puller, String> {
    let pull = "exec $program --address $run/socket images pull --plain-http $image";
    let forget = "exec $program --address $run/socket images rm --sync $image";
    let puller = Puller::new("containerd", [pull, pull, forget], row::find("ctr")?, folder, disk)?;
    let config = puller.run.join("config.toml");
    let text = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = {:?}\n",
        puller.home,
        puller.run.join("state"),
        puller.run.join("socket")
    );
    fs::write(&config, text).map_err(|error| format!("cannot write {}: {error}", config.display()))?;
    let words = vec!["--config".to_owned(), row::text(&config)];
    puller.with_daemon("containerd", &words, "exec $program --address $run/socket version")
}

fn docker(folder: &Path, disk: &Path) -> Result<Puller, String> {
    let pull = "exec $program --host unix://$run/socket pull -q $image";
    let forget = "exec $program --host unix://$run/socket rmi -f $image";
    let puller = Puller::new("docker", [pull, pull, forget], row::find("docker")?, folder, disk)?;
    let run = |name: &str| row::text(&puller.run.join(name));
    let config = run("daemon.json");
    fs::write(&config, "{}").map_err(|error| format!("cannot write {config}: {error}"))?;
    let words = [
        ["--config-file", &config],
        ["--data-root", &row::text(&puller.home)],
        ["--exec-root", &run("exec")],
        ["--pidfile", &run("pid")],
        ["--host", &format!("unix://{}", run("socket"))],
        ["--bridge", "none"],
        ["--iptables=false", "--ip6tables=false"],
        ["--storage-driver", "overlay2"],
    ];
    let words: Vec<String> = words.as_flattened().iter().map(|word| (*word).to_owned()).collect();
    puller.with_daemon("dockerd", &words, "exec $program --host unix://$run/socket version")
}

impl Puller {
    fn new(
        name: &'static str,
        [pull, again, forget]: [&'static str; 3],
        program: PathBuf,
        folder: &Path,
        disk: &Path,
    ) -> Result<Self, String> {
        let word = name.split(' ').next().unwrap_or(name);
        let (home, run) = (disk.join(word), folder.join("run").join(word));
        make(&home)?;
        make(&run)?;
        Ok(Self { name, pull, again, forget, program, folder: folder.to_owned(), home, run, daemon: None })
    }

    fn with_daemon(mut self, program: &'static str, words: &[String], answers: &str) -> Result<Self, String> {
        let log = self.folder.join(format!("{program}.log"));
        let file = File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut daemon = Command::new(row::find(program)?);
        let err = file.try_clone().map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let spawned = daemon.args(words).stdin(Stdio::null()).stdout(file).stderr(err).spawn();
        self.daemon = Some(Daemon(spawned.map_err(|error| format!("{program}: {error}"))?));
        let start = Instant::now();
        while let Err(why) = self.sh(answers, "") {
            if start.elapsed() > Duration::from_secs(60) {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{why}; {}", log.lines().last().unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(self)
    }

    fn command(&self, script: &str, image: &str, words: &[&Path]) -> Command {
        let mut command = match words {
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg("/bin/sh");
                command
            }
            [] => Command::new("sh"),
        };
        command.args(["-c", script]).env("image", format!("{HOST}/{image}:latest")).env("name", image);
        command.env("home", &self.home).env("run", &self.run).env("program", &self.program);
        command
    }

    fn sh(&self, script: &str, image: &str) -> Result<(), String> {
        command::output(&mut self.command(script, image, &[])).map(drop).map_err(|why| format!("{}: {why}", self.name))
    }

    /// # Errors
    /// It did not end with 0.
    pub fn pull(&self, image: &str) -> Result<Cost, String> {
        self.cost(self.pull, image)
    }

    /// # Errors
    /// It did not end with 0.
    pub fn again(&self, image: &str) -> Result<Cost, String> {
        self.cost(self.again, image)
    }

    /// # Errors
    /// It did not end with 0.
    pub fn forget(&self, image: &str) -> Result<(), String> {
        self.sh(self.forget, image)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// du cannot be run.
    pub fn kept(&self) -> Result<u64, String> {
        let text = command::output(Command::new("du").args(["-s", "--block-size=1"]).arg(&self.home))?;
        Ok(text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default())
    }

    fn sync(&self) -> Result<(), String> {
        command::output(Command::new("sync").arg("-f").arg(&self.home)).map(drop)
    }

    fn cost(&self, script: &str, image: &str) -> Result<Cost, String> {
        // Nobody pays for what another one has left in memory.
        self.sync()?;
        let file = self.folder.join("run/peak");
        let mut command = self.command(script, image, &[&self.folder.join("peak"), &file]);
        let before = self.daemon.as_ref().map(Daemon::cpu);
        self.daemon.iter().for_each(Daemon::forget_peak);
        let start = Instant::now();
        command::output(&mut command).map_err(|why| format!("{}: {why}", self.name))?;
        let wall = start.elapsed();
        self.sync()?;
        let disk = start.elapsed();
        let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or_default());
        let mut number = || numbers.next().unwrap_or_default();
        let (mut peak, mut cpu) = (number(), Duration::from_micros(number()));
        if let (Some(daemon), Some(before)) = (&self.daemon, before) {
            cpu += daemon.cpu().saturating_sub(before);
            peak = peak.max(daemon.peak());
        }
        Ok(Cost { wall, disk, cpu, peak })
    }
}

struct Daemon(Child);

impl Daemon {
    /// It and its children, and theirs.
    fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.0.id()];
        let mut at = 0;
        while let Some(pid) = found.get(at) {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
            let children: Vec<u32> = children
                .flat_map(|text| text.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
                .collect();
            found.extend(children);
            at += 1;
        }
        found
    }

    /// With that of children which have ended (proc_pid_stat: fields 14 to 17, in hundredths of a second).
    fn cpu(&self) -> Duration {
        let ticks = |pid: u32| -> u64 {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            rest.split(' ').skip(11).take(4).filter_map(|number| number.parse::<u64>().ok()).sum()
        };
        Duration::from_millis(10 * self.processes().into_iter().map(ticks).sum::<u64>())
    }

    /// `proc_pid_clear_refs`: 5 sets the peak to what is resident now.
    fn forget_peak(&self) {
        for pid in self.processes() {
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    fn peak(&self) -> u64 {
        let peak = |pid: u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
            line.trim().split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default()
        };
        self.processes().into_iter().map(peak).max().unwrap_or_default()
    }
}

impl Drop for Daemon {
    /// Asked first: a daemon has children to end.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let start = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
