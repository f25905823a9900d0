//! `cargo xtask lab power`: power that fails at any moment of pull, load, run, commit, rm and prune.
//!
//! A machine works until its disk has had so many writes and flushes; then it is killed, and the disk loses what a disk may
//! lose (`power::disk`). The next machine must find each object of the store whole or absent, all that was acknowledged, and
//! after the first ordinary command nothing that belongs to nobody. Invariant: nothing is mended by hand in between.

mod disk;
mod images;
mod kernel;
mod machine;
mod work;

use super::Flags;
use super::dice::Dice;
use crate::command;
use disk::Disk;
use machine::{Answer, Awake, Machine};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use work::{KINDS, Model};

pub const FLAGS: [&str; 3] = ["cuts", "seed", "seconds"];

/// The program under test, instead of the release build.
const BINARY: &str = "SAMPAN_LAB_BINARY";

/// Of one command, in a machine that may be emulated.
const PATIENCE: Duration = Duration::from_secs(180);
const MEGABYTES: u64 = 768;
/// After so many the rest says little.
const TOO_MANY: usize = 5;
/// One start in so many finds a store that is emptied.
const EMPTIED: usize = 10;

/// What may be in the data directory when nothing is kept there.
const NOTHING: [&str; 18] = [
    ".",
    "containers",
    "events",
    "events/log",
    "images",
    "images/blobs",
    "images/blobs/sha256",
    "images/index.json",
    "images/oci-layout",
    "layers",
    "names",
    "networks",
    "partial",
    "secrets",
    "tmp",
    "volumes",
    "volumes/.owned",
    "volumes/.partial",
];

/// Whether it can run here, but for a kernel, which may have to be fetched.
///
/// # Errors
/// What it lacks.
pub fn ready() -> Result<(), String> {
    if std::env::consts::ARCH != "x86_64" {
        return Err("its machine is an x86-64, and this is none".to_owned());
    }
    let needs = [
        (machine::QEMU, "qemu-system-x86"),
        ("busybox", "busybox-static"),
        ("mkfs.ext4", "e2fsprogs"),
        ("tar", "tar"),
        ("gzip", "gzip"),
    ];
    let missing = needs.iter().find(|(program, _)| command::find(program).is_none());
    missing.map_or(Ok(()), |(program, package)| Err(format!("{program} is not installed (package {package})")))
}

/// # Errors
/// Something that was acknowledged is gone, something is broken or left; or the lab cannot run here.
pub fn run(flags: &Flags) -> Result<(), String> {
    let seed = flags.number("seed", u64::from(std::process::id()));
    let folder = command::root().join("target/lab-power").join(std::process::id().to_string());
    let made = Lab::new(&folder, seed);
    let done = made.and_then(|mut lab| {
        println!("seed {seed}");
        let limit = Duration::from_secs(flags.number("seconds", u64::MAX / 2));
        lab.run(flags.number("cuts", 200), limit)
    });
    if done.is_err() {
        println!("what there was to see is in {}", folder.display());
        return done;
    }
    fs::remove_dir_all(&folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))
}

/// One is there, or can be fetched.
///
/// # Errors
/// Neither.
pub fn kernel() -> Result<(), String> {
    find_kernel().map(drop)
}

fn find_kernel() -> Result<kernel::Kernel, String> {
    kernel::find(&command::root().join("target/lab-kernel"))
}

struct Lab {
    machine: Machine,
    disk: Disk,
    model: Model,
    dice: Dice,
    wrong: Vec<String>,
    /// What was under way at each cut.
    during: BTreeMap<&'static str, usize>,
    writes: disk::Cut,
}

/// Why a machine is not asked any more.
enum End {
    Cut,
    Failed(String),
}

impl From<String> for End {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl Lab {
    fn new(folder: &Path, seed: u64) -> Result<Self, String> {
        ready()?;
        let kernel = find_kernel()?;
        let mut dice = Dice::of(&[seed]);
        let root = folder.join("root");
        for name in ["bin", "etc", "root"] {
            let name = root.join(name);
            fs::create_dir_all(&name).map_err(|error| format!("cannot make {}: {error}", name.display()))?;
        }
        let binary = binary()?;
        let copied = fs::copy(&binary, root.join("bin/sampan"));
        copied.map_err(|error| format!("cannot copy {}: {error}", binary.display()))?;
        let mut images = images::make(&folder.join("images"), &["one", "two", "three", "loaded"], &mut dice)?;
        let loaded = images.remove("loaded").ok_or("no image to load")?;
        loaded.archive("localhost/loaded:latest", &folder.join("layout"), &root.join("load.tar"))?;
        // The host, as QEMU's user network has it.
        let registry = format!("10.0.2.2:{}", images::serve(images)?);
        let disk = disk(folder)?;
        let machine = Machine::boot(folder, &root, &kernel)?;
        Ok(Self {
            machine,
            disk,
            model: Model::new(registry),
            dice,
            wrong: vec![],
            during: BTreeMap::new(),
            writes: disk::Cut::default(),
        })
    }

    fn run(&mut self, cuts: u64, limit: Duration) -> Result<(), String> {
        let start = Instant::now();
        let mut count = 0;
        while count < cuts && start.elapsed() < limit && self.wrong.len() < TOO_MANY {
            let before = self.wrong.len();
            let at = self.until_the_cut()?;
            count += 1;
            *self.during.entry(at).or_default() += 1;
            for wrong in &self.wrong[before..] {
                println!("WRONG, before cut {count}: {wrong}");
            }
            let cut = self.disk.cut(&mut self.dice).map_err(|error| format!("cannot write the disk: {error}"))?;
            self.writes.kept += cut.kept;
            self.writes.lost += cut.lost;
            self.writes.torn += cut.torn;
        }
        // What the last cut left.
        let mut last = self.machine.wake()?;
        match self.verify(&mut last).and_then(|()| self.empty(&mut last)) {
            Ok(()) => {}
            Err(End::Cut) => return Err("the power failed without being cut".to_owned()),
            Err(End::Failed(why)) => self.wrong.push(why),
        }
        let disk::Cut { kept, lost, torn } = self.writes;
        let during: Vec<String> = self.during.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("{count} cuts in {} s, during: {}", start.elapsed().as_secs(), during.join(", "));
        println!(
            "writes behind the last flush: {kept} kept, {lost} lost, {torn} torn; {} flushes",
            self.disk.flushes()
        );
        println!("{} wrong", self.wrong.len());
        if self.wrong.is_empty() { Ok(()) } else { Err(self.wrong.join("\n")) }
    }

    /// One machine, from its start to its end; what it did then.
    fn until_the_cut(&mut self) -> Result<&'static str, String> {
        let mut machine = self.machine.wake()?;
        let most = [30, 120, 400][self.dice.index(3)];
        let requests = 1 + self.dice.index(most) as u64;
        // Who looks at what the last cut left may be cut off, too.
        let early = self.dice.index(8) == 0;
        if early {
            self.disk.fail_after(requests);
        }
        let mut during = "the first commands";
        let mut work = || -> Result<(), End> {
            self.verify(&mut machine)?;
            if self.dice.index(EMPTIED) == 0 {
                self.empty(&mut machine)?;
            }
            if !early {
                self.disk.fail_after(requests);
            }
            let start = Instant::now();
            // Not all that is done writes.
            while start.elapsed() < PATIENCE {
                let deed = self.model.choose(&mut self.dice);
                during = deed.name;
                self.model.begin(&deed);
                self.ask(&mut machine, &deed.line, deed.code)?;
                self.model.done(&deed);
            }
            Ok(())
        };
        match work() {
            Ok(()) => during = "nothing",
            Err(End::Cut) => {}
            Err(End::Failed(why)) => self.wrong.push(why),
        }
        machine.kill();
        Ok(during)
    }

    fn ask(&self, machine: &mut Awake, line: &str, code: i32) -> Result<String, End> {
        match machine.ask(line, PATIENCE, &|| self.disk.has_failed())? {
            Answer::Cut => Err(End::Cut),
            Answer::Ended(ended, text) if ended == code => Ok(text),
            Answer::Ended(ended, text) => Err(End::Failed(format!("{line}: ended with {ended}: {text}"))),
        }
    }

    /// The first command is an ordinary one, which is to find all in order.
    fn verify(&mut self, machine: &mut Awake) -> Result<(), End> {
        let listed = self.ask(machine, work::Kind::Container.list(), 0)?;
        let checked = self.ask(machine, "sampan system check", 0)?;
        if !checked.ends_with("0 bad") && !checked.is_empty() {
            self.wrong.push(format!("system check: {checked}"));
        }
        let mut lists = vec![(work::Kind::Container, listed)];
        for kind in KINDS.into_iter().filter(|kind| *kind != work::Kind::Container) {
            lists.push((kind, self.ask(machine, kind.list(), 0)?));
        }
        // Only now: a cut in between says nothing of what is left out.
        for (kind, listed) in &lists {
            let wrong = self.model.compare(*kind, listed);
            self.wrong.extend(wrong);
        }
        let left = "cd /var/lib/sampan 2>/dev/null || exit 0; ls -A tmp volumes/.partial secrets/.partial 2>/dev/null \
                    | grep -v ':$' | grep .; for all in containers names; do ls -A $all 2>/dev/null | wc -l; done; true";
        let left = self.ask(machine, &format!("({left})"), 0)?;
        let containers = self.model.containers();
        for name in &containers {
            self.ask(machine, &format!("sampan inspect {name} && sampan logs {name}"), 0)?;
        }
        self.ask(machine, "sampan events --since 24h --until 0s", 0)?;
        let count = containers.len();
        if !left.is_empty() && left != format!("{count}\n{count}") {
            let all =
                self.ask(machine, "cd /var/lib/sampan; find containers names tmp volumes -maxdepth 2; cd /", 0)?;
            self.wrong.push(format!("left with {count} containers: {left:?}: {all}"));
        }
        Ok(())
    }

    /// All is removed: the disk is as it was without anything.
    fn empty(&mut self, machine: &mut Awake) -> Result<(), End> {
        for deed in self.model.empty() {
            self.model.begin(&deed);
            self.ask(machine, &deed.line, deed.code)?;
            self.model.done(&deed);
        }
        let list = self.ask(machine, "(cd /var/lib/sampan 2>/dev/null && find . | sed s,^./,, | sort; true)", 0)?;
        let left: Vec<&str> = list.lines().map(str::trim).filter(|path| !NOTHING.contains(path)).collect();
        if !left.is_empty() {
            self.wrong.push(format!("an emptied store has {left:?}"));
        }
        Ok(())
    }
}

fn binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(BINARY) {
        return Ok(path.into());
    }
    command::succeed(&mut command::cargo(&["build", "--release", "--quiet", "--package", "sampan"]))?;
    command::binary("release")
}

/// An empty ext4 with its journal.
fn disk(folder: &Path) -> Result<Disk, String> {
    let (kept, live) = (folder.join("kept.img"), folder.join("live.img"));
    command::output(Command::new("truncate").args(["-s", &format!("{MEGABYTES}M")]).arg(&kept))?;
    let make = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
    command::output(Command::new("mkfs.ext4").args(make).arg(&kept))?;
    command::output(Command::new("cp").arg("--sparse=always").args([&kept, &live]))?;
    Disk::start(&folder.join("disk.socket"), &kept, &live).map_err(|error| format!("cannot make a disk: {error}"))
}
