//! `sampan top`: the processes of a container, as `ps -ef` shows them, by podman's descriptors, or by ps(1) itself.

use crate::containers::{self, Which};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::paths::Paths;
use runtime::observe;
use runtime::observe::process::{self, Seen, TICKS};
use std::path::Path;

/// Heads of columns, and a line for each process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Top {
    pub titles: Vec<String>,
    pub processes: Vec<Vec<String>>,
}

/// # Errors
/// The container does not run; words that neither we nor ps(1) know.
pub fn top(paths: &Paths, which: &Which, words: &[String]) -> Result<Top> {
    let record = containers::which(paths, which)?.record;
    let what = format!("cannot list the processes of container {}", record.name);
    let first = containers::first(paths, &record, &what)?;
    let pids = pids(&Model::load(paths, &record)?, first.pid)?;
    // As podman: a word with a dash, and what is no list of descriptors, is for ps.
    let words: Vec<String> = words.iter().flat_map(|word| word.split_whitespace()).map(str::to_owned).collect();
    let descriptors = words.iter().flat_map(|word| word.split(',')).filter(|word| !word.is_empty());
    let columns: Option<Vec<&Column>> = descriptors.map(|word| COLUMNS.iter().find(|it| it.word == word)).collect();
    let seen = || pids.iter().filter_map(|pid| process::seen(*pid));
    match columns {
        _ if words.is_empty() => Ok(full(seen())),
        Some(columns) => {
            let names = Names::of(first.pid)?;
            let line = |seen: Seen| columns.iter().map(|column| (column.text)(&seen, &names)).collect();
            let titles = columns.iter().map(|column| column.title.to_owned()).collect();
            Ok(Top { titles, processes: seen().map(line).collect() })
        }
        None => by_ps(&words, &pids, &what),
    }
}

/// Those in its cgroup; of a container that could have none, those in its pid namespace.
pub(crate) fn pids(model: &Model, first: i32) -> Result<Vec<i32>> {
    let Some(cgroup) = model.all_cgroups().into_iter().next() else { return Ok(process::companions(first)) };
    let mut pids = runtime::apply::cgroup::processes(&cgroup).map_err(runtime::Error::from)?;
    pids.sort_unstable();
    Ok(pids)
}

/// docker's: what `ps -ef` prints.
fn full(seen: impl Iterator<Item = Seen>) -> Top {
    let now = process::uptime();
    let line = |seen: Seen| {
        let load = seen.load(now).min(99.0);
        vec![
            observe::account(seen.uids[1]),
            seen.pid.to_string(),
            seen.parent.to_string(),
            format!("{load:.0}"),
            start(&seen, now),
            terminal(&seen),
            clock(seen.seconds()),
            command(&seen),
        ]
    };
    let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).into();
    Top { titles, processes: seen.map(line).collect() }
}

/// All that it says but for the processes of others, which it has to know by their numbers.
fn by_ps(words: &[String], pids: &[i32], what: &str) -> Result<Top> {
    let text = process::ps(words)?;
    let mut lines = text.lines();
    let titles: Vec<String> = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let Some(at) = titles.iter().position(|title| title == "PID") else {
        return Err(
            Error::rejected(what, format!("ps {} prints no PID", words.join(" "))).hint("add pid to what it prints")
        );
    };
    let cells = |line: &str| -> Vec<String> {
        let mut rest = line.trim_start();
        let mut cells: Vec<String> = Vec::new();
        // The last has blanks of its own.
        while cells.len() + 1 < titles.len() {
            let (cell, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            cells.push(cell.to_owned());
            rest = after.trim_start();
        }
        cells.push(rest.trim_end().to_owned());
        cells
    };
    let is_own = |cells: &Vec<String>| cells[at].parse().is_ok_and(|pid| pids.contains(&pid));
    let processes = lines.map(cells).filter(is_own).collect();
    Ok(Top { titles, processes })
}

struct Column {
    /// podman's descriptor.
    word: &'static str,
    title: &'static str,
    text: fn(&Seen, &Names) -> String,
}

const fn column(word: &'static str, title: &'static str, text: fn(&Seen, &Names) -> String) -> Column {
    Column { word, title, text }
}

static COLUMNS: [Column; 31] = [
    column("args", "COMMAND", |seen, _| command(seen)),
    column("capamb", "AMBIENT CAPS", |seen, _| capabilities(seen.capabilities[4])),
    column("capbnd", "BOUNDING CAPS", |seen, _| capabilities(seen.capabilities[3])),
    column("capeff", "EFFECTIVE CAPS", |seen, _| capabilities(seen.capabilities[2])),
    column("capinh", "INHERITED CAPS", |seen, _| capabilities(seen.capabilities[0])),
    column("capprm", "PERMITTED CAPS", |seen, _| capabilities(seen.capabilities[1])),
    column("comm", "COMMAND", |seen, _| seen.name.clone()),
    column("elapsed", "ELAPSED", |seen, names| elapsed(seen, names.now)),
    column("etime", "ELAPSED", |seen, names| elapsed(seen, names.now)),
    column("group", "GROUP", |seen, names| names.group(seen.gids[1])),
    column("groups", "GROUPS", |seen, names| joined(seen.groups.iter().map(|gid| names.group(*gid)))),
    column("hgroup", "HGROUP", |seen, _| seen.gids[1].to_string()),
    column("hgroups", "HGROUPS", |seen, _| joined(seen.groups.iter().map(u32::to_string))),
    column("hpid", "HPID", |seen, _| seen.pid.to_string()),
    column("huser", "HUSER", |seen, _| observe::account(seen.uids[1])),
    column("label", "LABEL", |seen, _| seen.label.clone()),
    column("nice", "NI", |seen, _| seen.nice.to_string()),
    column("pcpu", "%CPU", |seen, names| format!("{:.3}", seen.load(names.now))),
    column("pgid", "PGID", |seen, _| own(seen, seen.group)),
    column("pid", "PID", |seen, _| seen.own_pid.to_string()),
    column("ppid", "PPID", |seen, _| own(seen, seen.parent)),
    column("rgroup", "RGROUP", |seen, names| names.group(seen.gids[0])),
    column("rss", "RSS", |seen, _| (seen.resident / 1024).to_string()),
    column("ruser", "RUSER", |seen, names| names.user(seen.uids[0])),
    column("seccomp", "SECCOMP", |seen, _| {
        ["disabled", "strict", "filter"].get(seen.seccomp as usize).copied().unwrap_or("?").to_owned()
    }),
    column("state", "STATE", |seen, _| seen.state.clone()),
    column("stime", "STIME", |seen, names| start(seen, names.now)),
    column("time", "TIME", |seen, _| duration(seen.seconds())),
    column("tty", "TTY", |seen, _| terminal(seen)),
    column("user", "USER", |seen, names| names.user(seen.uids[1])),
    column("vsz", "VSZ", |seen, _| (seen.virtual_size / 1024).to_string()),
];

/// By which the container knows them.
struct Names {
    now: f64,
    users: Vec<(u32, String)>,
    groups: Vec<(u32, String)>,
    uids: Vec<spec::runtime::IdMapping>,
    gids: Vec<spec::runtime::IdMapping>,
}

impl Names {
    fn of(first: i32) -> Result<Self> {
        let view = image::Rootfs::open(&[format!("/proc/{first}/root")])?;
        let names = |path| -> Result<Vec<(u32, String)>> {
            let text = view.read(Path::new(path), 1 << 20)?.unwrap_or_default();
            let name = |line: &str| {
                let mut fields = line.split(':');
                let name = fields.next()?.to_owned();
                Some((fields.nth(1)?.parse().ok()?, name))
            };
            Ok(String::from_utf8_lossy(&text).lines().filter_map(name).collect())
        };
        let (uids, gids) = observe::id_maps(first);
        Ok(Self { now: process::uptime(), users: names("/etc/passwd")?, groups: names("/etc/group")?, uids, gids })
    }

    fn user(&self, id: u32) -> String {
        name(&self.users, plan::ids::inside(&self.uids, id).unwrap_or(id))
    }

    fn group(&self, id: u32) -> String {
        name(&self.groups, plan::ids::inside(&self.gids, id).unwrap_or(id))
    }
}

/// As the process itself knows it; 0: it does not.
fn own(seen: &Seen, pid: i32) -> String {
    let is_inside = |other: &Seen| other.depth == seen.depth;
    process::seen(pid).filter(is_inside).map_or(0, |other| other.own_pid).to_string()
}

fn name(names: &[(u32, String)], id: u32) -> String {
    names.iter().find(|(known, _)| *known == id).map_or_else(|| id.to_string(), |(_, name)| name.clone())
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(",")
}

fn capabilities(bits: u64) -> String {
    let names = plan::capability::NAMES;
    let has = |name: &&&str| plan::capability::bits(&[(**name).to_owned()]) & bits != 0;
    match names.iter().filter(has).map(|name| name[4..].to_owned()).collect::<Vec<_>>() {
        none if none.is_empty() => "none".to_owned(),
        all if all.len() == names.len() => "full".to_owned(),
        some => some.join(","),
    }
}

fn command(seen: &Seen) -> String {
    if seen.arguments.is_empty() { format!("[{}]", seen.name) } else { seen.arguments.join(" ") }
}

fn terminal(seen: &Seen) -> String {
    if seen.terminal.is_empty() { "?".to_owned() } else { seen.terminal.clone() }
}

/// The time of a day that has begun less than a day ago, else the day; in UTC.
fn start(seen: &Seen, now: f64) -> String {
    let ago = (now - seen.start as f64 / TICKS as f64).max(0.0) as u64;
    // 2026-11-30T09:08:43Z
    let time = i64::try_from(containers::now().saturating_sub(ago)).ok();
    let time = time.and_then(|time| jiff::Timestamp::from_second(time).ok()).unwrap_or_default().to_string();
    let part = |range: std::ops::Range<usize>| time.get(range).unwrap_or_default();
    if ago < 24 * 3600 {
        return part(11..16).to_owned();
    }
    let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{}{}", month.unwrap_or(&"?"), part(8..10))
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn elapsed(seen: &Seen, now: f64) -> String {
    duration((now - seen.start as f64 / TICKS as f64).max(0.0) as u64)
}

/// Go's.
fn duration(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{capabilities, clock, duration};

    #[test]
    fn words_of_ps() {
        assert_eq!(
            (clock(3_725).as_str(), duration(3_725).as_str(), duration(9).as_str()),
            ("01:02:05", "1h2m5s", "9s")
        );
        assert_eq!((capabilities(0).as_str(), capabilities(3).as_str()), ("none", "CHOWN,DAC_OVERRIDE"));
        assert_eq!(capabilities((1 << 41) - 1), "full");
    }
}
