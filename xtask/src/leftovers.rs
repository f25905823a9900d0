//! What of the host a container engine could leave changed, taken before and after the suite and compared.
//!
//! Invariant: reads only. Kernel modules that the kernel loaded by itself are no leftover.

use crate::command;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Where to look.
#[derive(Debug, Clone)]
pub enum Scope {
    Host,
    /// Namespaces with processes, mounts and links of their own, where sampan keeps its files below these folders and
    /// its cgroups below one with this name.
    Room {
        folders: Vec<PathBuf>,
        cgroup: String,
    },
}

/// Each fact as one line of text: its kind, a colon, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

/// How long the network's last user may take to remove what it lingers on (docs/adr/0006-bridge-removal.md), and a
/// monitor to end.
pub const SETTLE: Duration = Duration::from_secs(10);

impl Snapshot {
    pub fn take() -> Self {
        Self::of(&Scope::Host)
    }

    pub fn of(scope: &Scope) -> Self {
        let mut facts = BTreeSet::new();
        let mut add = |kind: &str, lines: Vec<String>| facts.extend(lines.iter().map(|line| format!("{kind}: {line}")));
        add("mount", mounts());
        add("link", names("/sys/class/net"));
        add("named netns", names("/run/netns"));
        add("address", addresses());
        add("route", routes());
        add("rule", rules());
        add("cgroup", cgroups(scope));
        add("sysctl", sysctls());
        add("process", processes());
        add("file", files(scope));
        Self(facts)
    }

    /// Waits up to `settle` until the host is as it was; else what is more (`+`) and what is less (`-`).
    pub fn differences(&self, settle: Duration) -> Vec<String> {
        self.differences_of(&Scope::Host, settle)
    }

    pub fn differences_of(&self, scope: &Scope, settle: Duration) -> Vec<String> {
        let start = Instant::now();
        loop {
            let now = Self::of(scope);
            if now == *self || start.elapsed() >= settle {
                let more = now.0.difference(&self.0).map(|fact| format!("+ {fact}"));
                let less = self.0.difference(&now.0).map(|fact| format!("- {fact}"));
                return more.chain(less).collect();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn lines(file: &str) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn names(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Equal lines are numbered, so that a mount stacked on its like is seen.
fn numbered(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let number = |line: String| {
        let times = seen.entry(line.clone()).and_modify(|times| *times += 1).or_insert(1);
        if *times == 1 { line } else { format!("{line} ({times})") }
    };
    lines.map(number).collect()
}

/// proc_pid_mountinfo(5) without the ids and the optional fields.
fn mounts() -> Vec<String> {
    numbered(lines("/proc/self/mountinfo").into_iter().filter_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let head: Vec<&str> = head.split(' ').skip(3).take(3).collect();
        let tail: Vec<&str> = tail.split(' ').take(2).collect();
        Some(format!("{} {}", head.join(" "), tail.join(" ")))
    }))
}

/// IPv4 from the routing trie's local addresses, IPv6 with its link.
fn addresses() -> Vec<String> {
    let trie = lines("/proc/net/fib_trie");
    let local = trie.windows(2).filter(|pair| pair[1].contains("/32 host LOCAL"));
    let mut found: BTreeSet<String> =
        local.map(|pair| pair[0].trim_start_matches([' ', '|', '-']).to_owned()).collect();
    found.extend(lines("/proc/net/if_inet6").iter().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(format!("{} {}", words.first()?, words.get(5)?))
    }));
    found.into_iter().collect()
}

fn routes() -> Vec<String> {
    let four = lines("/proc/net/route").into_iter().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(format!("{} {} via {} mask {}", words.first()?, words.get(1)?, words.get(2)?, words.get(7)?))
    });
    let six = lines("/proc/net/ipv6_route").into_iter().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // The end of each table, not a route in it; the kernel keeps a table that was used once.
        if words.get(1) == Some(&"00") && words.get(9) == Some(&"lo") {
            return None;
        }
        Some(format!("{} {}/{} via {}", words.get(9)?, words.first()?, words.get(1)?, words.get(4)?))
    });
    numbered(four.chain(six))
}

/// The ruleset without counters (`--stateless`); nothing where nft is missing or not allowed.
fn rules() -> Vec<String> {
    let Some(nft) = command::find("nft") else {
        return Vec::new();
    };
    let text = command::output(Command::new(nft).args(["--stateless", "list", "ruleset"])).unwrap_or_default();
    numbered(text.lines().map(str::to_owned))
}

/// Every cgroup but those of other programs that come and go meanwhile: the units of a systemd, and what holds
/// processes (a process that a container left is found by itself).
fn cgroups(scope: &Scope) -> Vec<String> {
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &mut |path, is_dir| {
        let text = path.to_string_lossy().into_owned();
        let foreign = || {
            text.contains(".service") || text.contains(".scope") || !lines(&format!("{text}/cgroup.procs")).is_empty()
        };
        let is_ours = match scope {
            Scope::Host => text.contains("sampan") || !foreign(),
            Scope::Room { cgroup, .. } => text.split_once(cgroup).is_some_and(|(_, below)| below.starts_with('/')),
        };
        if is_dir && is_ours {
            found.push(text);
        }
    });
    found
}

fn sysctls() -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for family in ["ipv4", "ipv6"] {
        for link in names(&format!("/proc/sys/net/{family}/conf")) {
            for key in ["forwarding", "route_localnet", "rp_filter", "proxy_arp", "accept_ra", "disable_ipv6"] {
                keys.push(format!("net/{family}/conf/{link}/{key}"));
            }
        }
    }
    let rest = [
        "net/ipv4/ip_forward",
        "net/ipv4/ip_unprivileged_port_start",
        "net/ipv4/ping_group_range",
        "net/bridge/bridge-nf-call-iptables",
        "net/bridge/bridge-nf-call-ip6tables",
        "kernel/hostname",
        "kernel/domainname",
        "kernel/core_pattern",
        "user/max_user_namespaces",
    ];
    keys.extend(rest.map(str::to_owned));
    let value = |key: String| Some(format!("{key} = {}", fs::read_to_string(format!("/proc/sys/{key}")).ok()?.trim()));
    keys.into_iter().filter_map(value).collect()
}

/// Processes that are sampan, or that live in a pid or network namespace other than ours.
fn processes() -> Vec<String> {
    let namespace = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let ours = ["pid", "net"].map(|kind| namespace("self", kind));
    let foreign = |pid: &str| {
        let theirs = ["pid", "net"].map(|kind| namespace(pid, kind));
        theirs.iter().zip(&ours).any(|(theirs, ours)| theirs.is_some() && theirs != ours)
    };
    let pids = names("/proc").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    pids.filter_map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let name = name.trim();
        (name.starts_with("sampan") || foreign(&pid)).then(|| format!("{pid} {name}"))
    })
    .collect()
}

/// Everything under the folders where sampan and its tests keep state.
fn files(scope: &Scope) -> Vec<String> {
    let folders = match scope {
        Scope::Host => folders(),
        Scope::Room { folders, .. } => folders.clone(),
    };
    let mut found = Vec::new();
    for folder in folders {
        // The checkout itself may have that name.
        if folder.symlink_metadata().is_ok() && !command::root().starts_with(&folder) {
            found.push(folder.to_string_lossy().into_owned());
            walk(&folder, &mut |path, _| found.push(path.to_string_lossy().into_owned()));
        }
    }
    // Compiled filters are kept on purpose, a few, until the next boot, and so is the folder around them; what else is
    // in that is listed by itself.
    found.retain(|path| !path.contains("/sampan/filters") && !Path::new(path).join("filters").is_dir());
    found
}

fn folders() -> Vec<PathBuf> {
    let var = |key: &str| std::env::var_os(key).map(PathBuf::from);
    let mut folders: Vec<PathBuf> = vec!["/run/sampan".into(), "/var/lib/sampan".into()];
    folders.extend(var("XDG_RUNTIME_DIR").map(|folder| folder.join("sampan")));
    let data = var("XDG_DATA_HOME").or_else(|| Some(var("HOME")?.join(".local/share")));
    folders.extend(data.map(|folder| folder.join("sampan")));
    let temporary = [std::env::temp_dir(), "/run".into(), "/dev/shm".into(), "/var/tmp".into()];
    for folder in temporary {
        let names = names(&folder.to_string_lossy()).into_iter().filter(|name| name.contains("sampan"));
        folders.extend(names.map(|name| folder.join(name)));
    }
    folders
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, bool)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        visit(&entry.path(), is_dir);
        if is_dir {
            walk(&entry.path(), visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Snapshot;
    use std::time::Duration;

    #[test]
    fn filters_are_kept_and_nothing_else_beside_them() -> std::io::Result<()> {
        let before = Snapshot::take();
        let folder = std::env::temp_dir().join(format!("sampan-filters-{}", std::process::id()));
        let other = folder.join("other");
        std::fs::create_dir_all(folder.join("filters"))?;
        std::fs::write(&other, "")?;
        let found = before.differences(Duration::ZERO);
        std::fs::remove_dir_all(&folder)?;
        let line = |path: &std::path::Path| format!("+ file: {}", path.display());
        assert!(found.contains(&line(&other)) && !found.contains(&line(&folder)), "{found:?}");
        Ok(())
    }

    #[test]
    fn sees_what_is_left_behind() -> std::io::Result<()> {
        let before = Snapshot::take();
        let folder = std::env::temp_dir().join(format!("sampan-leftovers-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let found = before.differences(Duration::ZERO);
        std::fs::remove_dir(&folder)?;
        assert!(found.contains(&format!("+ file: {}", folder.display())), "{found:?}");
        Ok(())
    }
}
