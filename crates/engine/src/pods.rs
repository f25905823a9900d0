//! Pods: containers that go by one name, and share namespaces which a process of the pod's own holds (ADR 0015).
//!
//! A pod is a record in `data/pods`, and lasts. Who is in it is said by the records of containers, so that there is one
//! truth; who makes or removes a pod, or makes a container in one, holds the directory meanwhile. The process that holds
//! the namespaces is a container like any other, the *infra*: it has the pod's network, ports and names, its monitor
//! their resolver, and its journal undoes them.

mod create;

pub use create::{Create, Infra, admit, create};

use crate::containers::{self, Listed};
use crate::control::{self, Stop};
use crate::durable;
use crate::error::{Error, Result};
use crate::events::{self, Kind, News};
use crate::filter;
use crate::paths::{self, Paths, cannot_use};
use crate::pause;
use crate::request::process::Signal;
use crate::request::{Restart, Run};
use crate::run::Notice;
use crate::start;
use crate::state::State;
use crate::time::Moment;
use serde::{Deserialize, Serialize};
use spec::image::Annotations;
use spec::unit::Invalid;
use std::path::PathBuf;
use std::str::FromStr;

/// One pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub id: String,
    pub name: String,
    pub created: Moment,
    pub labels: Annotations,
    /// What its containers have of the infra container's.
    pub shares: Vec<Share>,
    /// The id of that container.
    pub infra: Option<String>,
    /// Of its containers, where none of their own is asked for.
    pub restart: Restart,
    /// By which it was made.
    pub command: Vec<String>,
}

/// A container's place in a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    pub id: String,
    pub name: String,
    /// It is the one that holds the namespaces.
    pub infra: bool,
}

/// A kind of namespace that the containers of a pod have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    Cgroup,
    Ipc,
    Net,
    Pid,
    User,
    Uts,
}

impl Share {
    /// podman's.
    pub const DEFAULT: [Self; 3] = [Self::Ipc, Self::Net, Self::Uts];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Net => "net",
            Self::Pid => "pid",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }
}

/// Several, as podman takes them: `ipc,net`, `none`, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares(pub Vec<Share>);

impl FromStr for Shares {
    type Err = Invalid;

    fn from_str(text: &str) -> std::result::Result<Self, Invalid> {
        let mut shares = Vec::new();
        for word in text.split(',').filter(|word| !matches!(*word, "" | "none")) {
            shares.push(match word {
                "cgroup" => Share::Cgroup,
                "ipc" => Share::Ipc,
                "net" => Share::Net,
                "pid" => Share::Pid,
                "uts" => Share::Uts,
                _ => {
                    return Err(Invalid::new(format!("{word:?} is no namespace that a pod can share"))
                        .hint("one of cgroup, ipc, net, pid, uts, none"));
                }
            });
        }
        shares.sort_unstable();
        shares.dedup();
        Ok(Self(shares))
    }
}

/// A pod and who is in it: the infra container first, then as they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub pod: Pod,
    pub members: Vec<Listed>,
}

impl Found {
    /// In podman's words.
    #[must_use]
    pub fn state(&self) -> &'static str {
        let states: Vec<State> = self.members.iter().map(State::of).collect();
        let count = |state: State| states.iter().filter(|it| **it == state).count();
        let ended = count(State::Exited) + count(State::Dead);
        match states.len() {
            0 => "Created",
            all if count(State::Running) == all => "Running",
            _ if count(State::Running) > 0 => "Degraded",
            all if count(State::Paused) == all => "Paused",
            all if ended == all => "Exited",
            _ if ended > 0 => "Stopped",
            _ => "Created",
        }
    }

    #[must_use]
    pub fn infra(&self) -> Option<&Listed> {
        self.members.iter().find(|listed| is_infra(listed))
    }

    /// All but the infra container.
    pub fn own(&self) -> impl Iterator<Item = &Listed> {
        self.members.iter().filter(|listed| !is_infra(listed))
    }
}

pub(crate) fn is_infra(listed: &Listed) -> bool {
    listed.record.pod.as_ref().is_some_and(|member| member.infra)
}

/// What came of one that a command could not do it to.
pub type Failed = Vec<Error>;

/// All that the filters let through, newest first.
#[must_use]
pub fn select(paths: &Paths, filters: &[filter::Pod]) -> Vec<Found> {
    filter::pods(filters, list(paths))
}

/// All of them, newest first.
#[must_use]
pub fn list(paths: &Paths) -> Vec<Found> {
    let mut pods = records(paths);
    if pods.is_empty() {
        return Vec::new();
    }
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.created));
    let all = containers::list(paths);
    pods.into_iter().map(|pod| Found { members: members(&pod, &all), pod }).collect()
}

fn members(pod: &Pod, all: &[Listed]) -> Vec<Listed> {
    let is_in = |listed: &&Listed| listed.record.pod.as_ref().is_some_and(|member| member.id == pod.id);
    let mut members: Vec<Listed> = all.iter().filter(is_in).cloned().collect();
    members.sort_by_key(|listed| (!is_infra(listed), listed.record.created));
    members
}

fn records(paths: &Paths) -> Vec<Pod> {
    let entries = std::fs::read_dir(paths.pods()).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "json"));
    files.filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok()).collect()
}

/// By name, id, or the start of an id that only one has.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(paths: &Paths, word: &str) -> Result<Found> {
    look_up(paths, word)?.ok_or_else(|| {
        Error::rejected(format!("cannot find pod {word}"), "no pod has this name or id")
            .hint("sampan pod ps shows which there are")
    })
}

fn look_up(paths: &Paths, word: &str) -> Result<Option<Found>> {
    let pods = records(paths);
    let named = pods.iter().find(|pod| pod.name == word);
    let mut begin = pods.iter().filter(|pod| !word.is_empty() && pod.id.starts_with(word));
    let pod = match (named, begin.next(), begin.next()) {
        (Some(pod), ..) | (None, Some(pod), None) => pod,
        (None, None, _) => return Ok(None),
        (None, Some(_), Some(_)) => {
            return Err(Error::rejected(
                format!("cannot tell which pod {word} is"),
                "the id of more than one starts so",
            )
            .hint("sampan pod ps --no-trunc shows the whole ids"));
        }
    };
    let members = members(pod, &containers::list(paths));
    Ok(Some(Found { pod: pod.clone(), members }))
}

/// Those that a command is about.
///
/// # Errors
/// None was ever made, and the last is asked for; a word may be several.
pub fn choose(paths: &Paths, choice: &containers::Choice) -> Result<Vec<String>> {
    let mut words = choice.words.clone();
    if choice.all {
        words = list(paths).into_iter().map(|found| found.pod.name).collect();
    }
    if choice.latest {
        let latest = list(paths).into_iter().next();
        words.push(latest.ok_or_else(|| Error::rejected("cannot find the latest pod", "there is none"))?.pod.name);
    }
    if choice.ignore {
        words.retain(|word| !matches!(look_up(paths, word), Ok(None)));
    }
    Ok(words)
}

/// Start all that do not run, the infra container first.
pub fn start(paths: &Paths, found: &Found, tell: &mut dyn FnMut(Notice)) -> Failed {
    tell_of(paths, &found.pod, "start");
    let waiting = found.members.iter().filter(|listed| !listed.running);
    waiting.filter_map(|listed| start::start(paths, &listed.record.id, tell).err()).collect()
}

/// Stop all that run, the infra container last: the others may still need its network.
pub fn stop(paths: &Paths, found: &Found, stop: Stop) -> Failed {
    let own: Vec<&Listed> = found.own().filter(|listed| listed.running).collect();
    // All at once: each may take its time.
    let _asked: Vec<_> = own.iter().map(|listed| control::ask_for(paths, &listed.record, stop)).collect();
    let ends = own.into_iter().chain(found.infra().filter(|listed| listed.running));
    let failed = ends.filter_map(|listed| control::stop(paths, &listed.record.id, stop).err()).collect();
    tell_of(paths, &found.pod, "stop");
    failed
}

/// Stop all and start all.
pub fn restart(paths: &Paths, found: &Found, tell: &mut dyn FnMut(Notice)) -> Failed {
    let mut failed = stop(paths, found, Stop { keep: true, ..Stop::default() });
    match find(paths, &found.pod.id) {
        Ok(found) => failed.extend(start(paths, &found, tell)),
        Err(error) => failed.push(error),
    }
    failed
}

pub fn kill(paths: &Paths, found: &Found, signal: Signal) -> Failed {
    let running = found.members.iter().rev().filter(|listed| listed.running);
    let failed = running.filter_map(|listed| control::kill(paths, &listed.record.id, signal).err()).collect();
    tell_of(paths, &found.pod, "kill");
    failed
}

/// Those that run, and are not paused.
pub fn pause(paths: &Paths, found: &Found) -> Failed {
    let running = found.members.iter().filter(|listed| State::of(listed) == State::Running);
    let failed = running.filter_map(|listed| pause::pause(paths, listed).err()).collect();
    tell_of(paths, &found.pod, "pause");
    failed
}

pub fn unpause(paths: &Paths, found: &Found) -> Failed {
    let paused = found.members.iter().filter(|listed| State::of(listed) == State::Paused);
    let failed = paused.filter_map(|listed| pause::unpause(paths, listed).err()).collect();
    tell_of(paths, &found.pod, "unpause");
    failed
}

/// Remove a pod and the containers in it; with `stop` those that run, too.
///
/// # Errors
/// One runs, or cannot be removed: then the pod is still there.
pub fn remove(paths: &Paths, word: &str, stop: Option<Stop>) -> Result<Pod> {
    paths.ensure()?;
    let _held = hold(paths)?;
    let found = find(paths, word)?;
    let pod = &found.pod;
    match stop {
        Some(stop) => {
            if let Some(error) = self::stop(paths, &found, stop).pop() {
                return Err(error);
            }
        }
        None => {
            if let Some(listed) = found.own().find(|listed| listed.running) {
                let why = format!("its container {} is running", listed.record.name);
                return Err(Error::rejected(format!("cannot remove pod {}", pod.name), why)
                    .hint(format!("sampan pod stop {}, or use --force", pod.name)));
            }
        }
    }
    for listed in found.own().chain(found.infra()) {
        containers::take_out(paths, &listed.record.id, true, true)?;
    }
    let path = file(paths, &pod.name);
    durable::remove(&path).map_err(|error| cannot_use(format!("cannot remove {}", path.display()), &error))?;
    tell_of(paths, pod, "remove");
    Ok(found.pod)
}

/// Remove those of which nothing runs that once did. Their ids.
///
/// # Errors
/// One cannot be removed.
pub fn prune(paths: &Paths) -> Result<Vec<String>> {
    let ended = list(paths).into_iter().filter(|found| matches!(found.state(), "Exited" | "Stopped"));
    ended.map(|found| Ok(remove(paths, &found.pod.id, None)?.id)).collect()
}

/// What the container that holds the namespaces was made with: the pod's network, names and ports.
///
/// # Errors
/// It cannot be read.
pub fn infra_request(paths: &Paths, infra: &Listed) -> Result<Run> {
    start::load(paths, &infra.record)
}

/// Whether the container may go without its pod.
pub(crate) fn check_removal(paths: &Paths, member: Option<&Member>, what: impl Fn() -> String) -> Result<()> {
    match member.filter(|member| member.infra) {
        // One whose pod was never written down is nobody's.
        Some(member) if file(paths, &member.name).exists() => {
            Err(Error::rejected(what(), format!("it holds the namespaces of pod {}", member.name))
                .hint(format!("sampan pod rm {} removes both", member.name)))
        }
        _ => Ok(()),
    }
}

/// Whether a container is still wanted there, for who holds the directory.
pub(crate) fn check_member(paths: &Paths, member: &Member) -> Result<()> {
    match find(paths, &member.id) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::rejected("cannot make the container", format!("its pod {} is gone", member.name))),
    }
}

fn tell_of(paths: &Paths, pod: &Pod, action: &str) {
    events::tell(paths, [News::new(Kind::Pod, action, &pod.id).with("name", &pod.name)]);
}

fn file(paths: &Paths, name: &str) -> PathBuf {
    paths.pods().join(format!("{name}.json"))
}

/// Who holds it changes the records, or who is in a pod; let go when dropped.
pub(crate) fn hold(paths: &Paths) -> Result<std::fs::File> {
    paths::hold(&paths.pods())
}
