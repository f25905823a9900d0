//! One more process in a container that runs: engines and runtimes, each in a container of its own making.

use super::row::{LIMITS, find, podman_words, text};
use super::table::{self, Line};
use super::{bundle, present, take_turns};
use crate::command;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

struct Contestant {
    name: &'static str,
    makes: &'static str,
    /// The program, with the words before its command's.
    program: Vec<String>,
    /// Each has a name of its own: it is the cgroup's, and runc refuses one that another's container is in.
    container: &'static str,
    start: Vec<String>,
    end: Vec<String>,
}

/// # Errors
/// Sampan's failed.
pub fn run(folder: &Path, runs: usize) -> Result<(), String> {
    let sleeper = bundle::write(folder, "exec", &["busybox", "sleep", "100000"])?;
    let all = vec![sampan(folder), oci("crun", folder, &sleeper), oci("runc", folder, &sleeper), podman(folder)];
    let contestants = present(all, |one| one.time(&one.start));
    let times = take_turns(contestants.len(), runs, |at| contestants[at].exec());
    println!("\n{}; {runs} runs of each, taking turns\n\nexec true", table::machine());
    let line = |(one, times): (&Contestant, _)| Line { name: one.name, makes: one.makes, times };
    let printed = table::print(&contestants.iter().zip(&times).map(line).collect::<Vec<Line>>(), ["floor", "crun"]);
    let ended: Vec<_> = contestants.iter().map(|one| one.time(&one.end).map(drop)).collect();
    printed.and(ended.into_iter().collect())
}

impl Contestant {
    fn exec(&self) -> Result<Duration, String> {
        self.time(&["exec", self.container, "true"].map(str::to_owned))
    }

    fn time(&self, words: &[String]) -> Result<Duration, String> {
        let mut command = Command::new(self.program.first().map_or("false", String::as_str));
        super::time(command.args(&self.program[1..]).args(words))
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn engine(name: &'static str, container: &'static str, program: Vec<String>, folder: &Path) -> Contestant {
    let layers = format!("{}:O", text(&folder.join("rootfs")));
    let limits =
        ["--network=none", LIMITS[0], LIMITS[1], "--memory=256m", "--cpus=1", "--cpu-shares=512", "--pids-limit=100"];
    let run = [&["run", "-d", "--name", container], &limits[..], &["--rootfs", &layers, "busybox", "sleep", "100000"]]
        .concat();
    let makes = "a whole engine: it finds the container, and tells its events";
    Contestant { name, makes, program, container, start: words(&run), end: words(&["rm", "-f", container]) }
}

fn sampan(folder: &Path) -> Result<Contestant, String> {
    Ok(engine("sampan exec", "bench-sampan", vec![text(&command::binary("release")?)], folder))
}

fn podman(folder: &Path) -> Result<Contestant, String> {
    Ok(engine("podman exec", "bench-podman", podman_words(folder)?, folder))
}

fn oci(name: &'static str, folder: &Path, sleeper: &Path) -> Result<Contestant, String> {
    let state = text(&folder.join("run").join(name));
    let program = [vec![text(&find(name)?)], words(&["--root", &state])].concat();
    let (name, container) = if name == "crun" { ("crun exec", "bench-crun") } else { ("runc exec", "bench-runc") };
    Ok(Contestant {
        name,
        container,
        makes: "a bare runtime",
        program,
        start: words(&["run", "--detach", "--bundle", &text(sleeper), container]),
        end: words(&["delete", "--force", container]),
    })
}
