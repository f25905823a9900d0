//! The kernel: its version, namespaces, security, and what is left of its limits.

use super::{Finding, Verdict, lacks, number};
use plan::host::Host;
use plan::ids;
use runtime::observe;
use runtime::observe::lsm;

/// openat2, clone3 with pidfds and cgroups, close_range: what every start uses.
const OLDEST: (u32, u32) = (5, 9);

pub fn check(host: &Host) -> Vec<Finding> {
    let mut findings = vec![version(host), rights(host), user_namespaces(host), namespaces(), seccomp()];
    findings.extend(subordinate(host));
    findings.extend([security(), processes(host), files(host), inotify(), keys(host), clock()]);
    findings.push(match observe::in_path("criu") {
        Some(path) => Finding::ok("criu", path.display().to_string()),
        None => Finding::ok("criu", "not installed: sampan oci has no checkpoint and restore"),
    });
    findings
}

fn version(host: &Host) -> Finding {
    let release = observe::release();
    if host.kernel < OLDEST {
        return Finding::failure("kernel", format!("{release} is older than 5.9"), "boot a newer one");
    }
    // overlayfs in user namespaces.
    if host.rootless() && host.kernel < (5, 11) {
        let what = format!("{release} has no overlayfs in user namespaces");
        return Finding::failure("kernel", what, "run as root, boot 5.11 or newer, or use a directory with --rootfs");
    }
    if host.kernel < (6, 8) {
        let what = format!("{release}: the names of an image's layers have to fit into 4095 bytes");
        return Finding::warning("kernel", what, "of images with very many layers use few, or boot 6.8 or newer");
    }
    Finding::ok("kernel", release)
}

/// Of root; who is not root has them in his user namespace.
fn rights(host: &Host) -> Finding {
    if host.rootless() {
        return Finding::ok("capabilities", "an ordinary user's, in a user namespace of the container's");
    }
    let needed: Vec<&str> = lacks(host, &["CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]).collect();
    if !needed.is_empty() {
        let what = format!("root without {}", needed.join(", "));
        return Finding::failure("capabilities", what, "give them back to sampan: CapBnd of /proc/self/status");
    }
    let useful: Vec<&str> =
        lacks(host, &["CAP_NET_ADMIN", "CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYS_RESOURCE", "CAP_CHOWN"]).collect();
    if useful.is_empty() {
        return Finding::ok("capabilities", "all that are needed");
    }
    let what = format!("root without {}: some networks, devices or limits cannot be made", useful.join(", "));
    Finding::warning("capabilities", what, "give them back to sampan: CapBnd of /proc/self/status")
}

fn user_namespaces(host: &Host) -> Finding {
    // Root needs none unless he asks for one.
    let verdict = if host.rootless() { Verdict::Failure } else { Verdict::Warning };
    match ids::check_namespace(host) {
        Ok(()) => Finding::ok("user namespaces", "can be made"),
        Err(refused) => Finding::refused("user namespaces", verdict, refused),
    }
}

/// user_namespaces(7), namespaces(7): how many this user may have at once.
fn namespaces() -> Finding {
    const KINDS: [&str; 7] = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"];
    const FEW: u64 = 64;
    let limit = |kind: &str| number(&format!("/proc/sys/user/max_{kind}_namespaces"));
    let few: Vec<String> = KINDS
        .iter()
        .filter_map(|kind| limit(kind).filter(|most| *most < FEW).map(|most| format!("{kind} {most}")))
        .collect();
    if few.is_empty() {
        return Finding::ok("namespaces", "as many as containers need");
    }
    let none = few.iter().any(|words| words.ends_with(" 0") && !words.starts_with("user "));
    let what = format!("so few of them may there be at once: {}", few.join(", "));
    let fix = "as root: sysctl -w user.max_KIND_namespaces=10000";
    if none { Finding::failure("namespaces", what, fix) } else { Finding::warning("namespaces", what, fix) }
}

fn seccomp() -> Finding {
    let actions = observe::seccomp_actions();
    if actions.is_empty() {
        let fix = "boot a kernel with CONFIG_SECCOMP_FILTER, or run with --security-opt seccomp=unconfined";
        return Finding::failure("seccomp", "this kernel has no filters", fix);
    }
    Finding::ok("seccomp", actions.join(" "))
}

fn subordinate(host: &Host) -> Option<Finding> {
    if !host.rootless() {
        return None;
    }
    const CHECK: &str = "subordinate ids";
    Some(match host.subordinate {
        Some(own) if own.uid.1.min(own.gid.1) < 65536 => {
            let what = format!("{} users and {} groups: images have files of up to 65535", own.uid.1, own.gid.1);
            Finding::warning(CHECK, what, ids::SUBORDINATE)
        }
        Some(own) => Finding::ok(CHECK, format!("{} from {}", own.uid.1, own.uid.0)),
        None => {
            let tool = ["newuidmap", "newgidmap"].into_iter().find(|tool| observe::in_path(tool).is_none());
            let why = tool.map_or("no range of this user in /etc/subuid and /etc/subgid".to_owned(), |tool| {
                format!("{tool} is not installed")
            });
            Finding::warning(CHECK, format!("{why}: a container has a single user, root"), ids::SUBORDINATE)
        }
    })
}

fn security() -> Finding {
    match (lsm::apparmor(), lsm::selinux()) {
        (_, true) => Finding::warning(
            "AppArmor, SELinux",
            "SELinux is on, and this version does not label containers: volumes may be closed to them",
            "ausearch -m avc says what was refused",
        ),
        (true, false) => Finding::ok("AppArmor, SELinux", "AppArmor is on: --security-opt apparmor=PROFILE confines"),
        (false, false) => Finding::ok("AppArmor, SELinux", "neither is on"),
    }
}

fn processes(host: &Host) -> Finding {
    let hard = host.hard_limits.get("RLIMIT_NPROC").copied().filter(|_| host.rootless());
    let most = [hard, number("/proc/sys/kernel/pid_max"), number("/proc/sys/kernel/threads-max")];
    let most = most.into_iter().flatten().min().unwrap_or(u64::MAX);
    if most < 1024 {
        let fix = "raise ulimit -u, kernel.pid_max or kernel.threads-max";
        return Finding::warning("processes", format!("{most} at most"), fix);
    }
    Finding::ok("processes", format!("{most} at most"))
}

fn files(host: &Host) -> Finding {
    let hard = host.hard_limits.get("RLIMIT_NOFILE").copied().unwrap_or(u64::MAX);
    if hard < 1024 {
        let what = format!("{hard} in a process at most, and so in the container's");
        return Finding::warning("open files", what, "raise the hard limit: ulimit -Hn, or LimitNOFILE= of the unit");
    }
    // proc_sys_fs(5): allocated, free, most.
    let text = std::fs::read_to_string("/proc/sys/fs/file-nr").unwrap_or_default();
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [open, _, most] if open > most / 10 * 9 => {
            Finding::warning("open files", format!("{open} of {most} on this machine"), "raise the sysctl fs.file-max")
        }
        _ => Finding::ok("open files", format!("{hard} in a process at most")),
    }
}

/// inotify(7): what programs in containers, who are all one user's, often run out of first.
fn inotify() -> Finding {
    let limit = |name: &str| number(&format!("/proc/sys/fs/inotify/{name}")).unwrap_or(0);
    let (instances, watches) = (limit("max_user_instances"), limit("max_user_watches"));
    let what = format!("{instances} instances, {watches} watches a user");
    if instances < 128 || watches < 8192 {
        let fix = "as root: sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536";
        return Finding::warning("inotify", what, fix);
    }
    Finding::ok("inotify", what)
}

/// keyrings(7): each container has a session keyring. /proc/key-users: `uid: usage keys/… used/most bytes/most`.
fn keys(host: &Host) -> Finding {
    let text = std::fs::read_to_string("/proc/key-users").unwrap_or_default();
    let own = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{}:", host.euid)));
    let shares = own.into_iter().flat_map(|line| line.split_whitespace().skip(2)).filter_map(|word| {
        let (used, most) = word.split_once('/')?;
        Some((used.parse::<u64>().ok()?, most.parse::<u64>().ok()?))
    });
    match shares.into_iter().find(|(used, most)| *used > most / 10 * 9) {
        Some((used, most)) => Finding::warning(
            "keys",
            format!("{used} of {most} that this user may have"),
            "raise the sysctl kernel.keys.maxkeys, or maxbytes; root_maxkeys, or root_maxbytes, for root",
        ),
        None => Finding::ok("keys", "enough are left of the quota"),
    }
}

/// Certificates are of a time.
fn clock() -> Finding {
    // 2026-01-01.
    const WRITTEN: u64 = 1_767_225_600;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if now < WRITTEN {
        let what = "it is set to a time before this program was written: certificates will not be valid";
        return Finding::warning("clock", what, "set it: date -s, or timedatectl set-ntp true");
    }
    Finding::ok("clock", "it is set")
}
