//! What this host is and can do: read-only.

pub mod cgroup;
pub mod lsm;
pub mod mount;
pub mod network;
pub mod process;

use crate::error::Result;
use plan::Rejected;
use plan::host::{Host, Subordinate};
use plan::ids::UserNamespaces;
use plan::mounts::Ids;
use plan::step::namespace_word;
use rustix::io::Errno;
use spec::runtime::{IdMapping, NamespaceKind};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;

/// # Errors
/// When /proc cannot be read.
pub fn host() -> Result<Host> {
    let euid = rustix::process::geteuid().as_raw();
    Ok(Host {
        euid,
        egid: rustix::process::getegid().as_raw(),
        kernel: kernel(),
        capabilities: sys::process::effective_capabilities()?,
        last_capability: last_capability(),
        time_namespace: Path::new("/proc/self/ns/time").exists(),
        hard_limits: sys::process::rlimits().into_iter().map(|(name, _, hard)| (name.to_owned(), hard)).collect(),
        subordinate: (euid != 0).then(|| subordinate(euid)).flatten(),
        user_namespaces: user_namespaces(euid),
        initial: sys::process::in_initial_user_namespace(),
        setgroups: may_set_groups("self"),
        owned: [NamespaceKind::Mount, NamespaceKind::Network].into_iter().filter(|kind| owns(*kind)).collect(),
        ids: Ids { uid: map("/proc/self/uid_map")?, gid: map("/proc/self/gid_map")? },
        machine: rustix::system::uname().machine().to_string_lossy().into_owned(),
    })
}

/// Whether the user namespace of a process lets its processes use setgroups(2) (user_namespaces(7)).
#[must_use]
pub fn may_set_groups(who: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{who}/setgroups")).map_or(true, |text| text.trim() == "allow")
}

fn kernel() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The kernel's release, as uname(2) has it.
#[must_use]
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// What a seccomp filter may do to a call, by the kernel's names; none where there is no seccomp.
#[must_use]
pub fn seccomp_actions() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

fn user_namespaces(euid: u32) -> UserNamespaces {
    let sysctl = |name: &str| std::fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    if !Path::new("/proc/self/ns/user").exists() {
        return UserNamespaces::Absent;
    }
    if sysctl("user/max_user_namespaces").trim() == "0" {
        return UserNamespaces::None;
    }
    if euid == 0 {
        return UserNamespaces::Allowed;
    }
    if sysctl("kernel/unprivileged_userns_clone").trim() == "0" {
        return UserNamespaces::Privileged;
    }
    // A profile that confines us may allow it; the kernel then says so or not at the clone.
    let confined = || std::fs::read_to_string("/proc/self/attr/current").is_ok_and(|text| text.trim() != "unconfined");
    if sysctl("kernel/apparmor_restrict_unprivileged_userns").trim() == "1" && !confined() {
        return UserNamespaces::AppArmor;
    }
    UserNamespaces::Allowed
}

fn owns(kind: NamespaceKind) -> bool {
    let word = match kind {
        NamespaceKind::Mount => "mnt",
        other => namespace_word(other),
    };
    sys::process::open_namespace(&format!("/proc/self/ns/{word}"))
        .is_ok_and(|namespace| sys::process::owns_namespace(namespace.as_fd()))
}

/// A map of a process's user namespace; a kernel without any has them all.
pub(crate) fn map(path: &str) -> Result<Vec<IdMapping>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => "0 0 4294967295".to_owned(),
        other => other.map_err(sys::Error::of_io(|| format!("read({path:?})")))?,
    };
    Ok(text.lines().filter_map(mapping).collect())
}

/// All that the machine has, in bytes.
#[must_use]
pub fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0) * 1024
}

/// The users and groups of a process's user namespace, by the numbers that they have in the caller's.
#[must_use]
pub fn id_maps(pid: i32) -> (Vec<IdMapping>, Vec<IdMapping>) {
    let of = |name| map(&format!("/proc/{pid}/{name}")).unwrap_or_default();
    (of("uid_map"), of("gid_map"))
}

/// user_namespaces(7): three numbers.
fn mapping(line: &str) -> Option<IdMapping> {
    let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(IdMapping { container_id: next()?, host_id: next()?, size: next()? })
}

fn last_capability() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
    // 40 is what Linux 5.9 knows, the oldest that has what sampan needs.
    text.trim().parse().unwrap_or(40)
}

/// The caller's subordinate ids, when there are some for uids and gids and the set-uid helpers to map them.
fn subordinate(euid: u32) -> Option<Subordinate> {
    in_path("newuidmap")?;
    in_path("newgidmap")?;
    let name = name(euid);
    let range = |path| range(&std::fs::read_to_string(path).ok()?, name.as_deref(), euid);
    Some(Subordinate { uid: range("/etc/subuid")?, gid: range("/etc/subgid")? })
}

/// As the host calls the user; by number where /etc/passwd does not know him.
#[must_use]
pub fn account(uid: u32) -> String {
    name(uid).unwrap_or_else(|| uid.to_string())
}

fn name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The largest range of the user, by name or by number (subuid(5)).
fn range(text: &str, name: Option<&str>, euid: u32) -> Option<(u32, u32)> {
    let own = |line: &str| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        let range = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (Some(who) == name || who.parse() == Ok(euid)).then_some(range)
    };
    text.lines().filter_map(own).max_by_key(|(_, size)| *size)
}

/// Major and minor of a device's own number.
#[must_use]
pub fn device_number(found: &std::fs::Metadata) -> (u32, u32) {
    let number = std::os::unix::fs::MetadataExt::rdev(found);
    (rustix::fs::major(number), rustix::fs::minor(number))
}

/// Those that this process can give to others.
///
/// # Errors
/// The kernel's, with the call.
pub fn capabilities() -> Result<u64> {
    Ok(sys::process::effective_capabilities()?)
}

/// As [`Host::is_machines_root`].
#[must_use]
pub fn is_machines_root() -> bool {
    euid() == 0 && sys::process::in_initial_user_namespace()
}

#[must_use]
pub fn euid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[must_use]
pub fn egid() -> u32 {
    rustix::process::getegid().as_raw()
}

/// When a process started, in clock ticks since boot; 0 when it is gone.
#[must_use]
pub fn start_time(pid: i32) -> u64 {
    sys::process::start_time(pid).unwrap_or_default()
}

/// Whether this is a container's monitor, by the name that it gives itself.
#[must_use]
pub fn is_monitor(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|name| name.trim_end() == crate::monitor::handover::NAME)
}

/// As uname(2) has it.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// That this is a namespace of the kind that is to be joined.
///
/// # Errors
/// It is not there, no namespace, or one of another kind.
pub fn check_namespace(kind: NamespaceKind, path: &str) -> std::result::Result<(), Rejected> {
    let word = namespace_word(kind);
    let what = format!("cannot share the {word} namespace {path}");
    let refused = |error: sys::Error| {
        let refused = crate::refused(what.clone(), &error.errno.into());
        // proc_pid_ns(5): PTRACE_MODE_READ.
        if error.errno == Errno::ACCESS { refused.hint("it is somebody else's: run as root") } else { refused }
    };
    let fd = sys::process::open_namespace(path).map_err(refused)?;
    let why = match sys::process::namespace_flag(fd.as_fd()) {
        Ok(flag) if flag as u64 == crate::init::clone_flag(kind) => return Ok(()),
        Ok(flag) => format!("it is another kind of namespace ({})", sys::process::clone_flags(flag as u64)),
        Err(_) => "it is no namespace".to_owned(),
    };
    Err(Rejected::new(what, why).hint(format!("name one such as /proc/PID/ns/{word}")))
}

/// A regular file of a tree, resolved inside it; `None` when it is not there, or too large to be believed.
#[must_use]
pub fn read_inside(root: &Path, path: &str) -> Option<String> {
    use rustix::fs::{Mode, OFlags, ResolveFlags};
    use std::io::Read;
    const MOST: u64 = 16 << 20;
    let directory = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // O_NONBLOCK: a named pipe there would hold us up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = std::fs::File::from(rustix::fs::openat2(&directory, path, flags, Mode::empty(), inside).ok()?);
    let found = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).ok()?;
    (found.len() < MOST).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// Those of a process's namespaces that are not ours.
#[must_use]
pub fn foreign_namespaces(pid: i32) -> Vec<NamespaceKind> {
    use NamespaceKind as Kind;
    let all = [
        (Kind::User, "user"),
        (Kind::Mount, "mnt"),
        (Kind::Pid, "pid"),
        (Kind::Network, "net"),
        (Kind::Uts, "uts"),
        (Kind::Ipc, "ipc"),
        (Kind::Cgroup, "cgroup"),
        (Kind::Time, "time"),
    ];
    let link = |who: &str, name: &str| std::fs::read_link(format!("/proc/{who}/ns/{name}")).ok();
    let who = pid.to_string();
    all.into_iter().filter(|(_, name)| link(&who, name) != link("self", name)).map(|(kind, _)| kind).collect()
}

/// # Errors
/// The kernel's.
pub fn random() -> Result<[u8; 32]> {
    Ok(sys::process::random()?)
}

/// Where a program is, by `PATH`.
#[must_use]
pub fn in_path(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn finds_the_range_by_name_or_number() {
        let text = "root:1:2\nann:100000:65536\n1000:300000:10\n";
        assert_eq!(range(text, Some("ann"), 1000), Some((100_000, 65536)));
        assert_eq!(range(text, None, 1000), Some((300_000, 10)));
        assert_eq!(range(text, Some("bob"), 1001), None);
    }
}
