//! Capability names and numbers (capabilities(7), linux/capability.h).

use crate::Rejected;

/// By number.
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

pub const SETFCAP: u32 = 31;
pub const MKNOD: u32 = 27;
pub const SYS_ADMIN: u32 = 21;
pub const SYS_RESOURCE: u32 = 24;

/// What docker gives a container.
pub const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// `net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN` are the same.
///
/// # Errors
/// For a name that is no capability.
pub fn normalize(name: &str) -> Result<&'static str, Rejected> {
    let upper = name.to_ascii_uppercase();
    NAMES.into_iter().find(|known| *known == upper || known[4..] == upper).ok_or_else(|| {
        Rejected::new(format!("cannot use capability {name:?}"), "there is no such capability")
            .hint("capabilities(7) lists them; ALL stands for every one")
    })
}

/// Bit set of the names that are known; the OCI spec has unknown ones ignored with a warning.
#[must_use]
pub fn bits(names: &[String]) -> u64 {
    let number = |name: &String| NAMES.iter().position(|known| known == name);
    names.iter().filter_map(number).fold(0, |set, number| set | 1 << number)
}

/// docker's rule: start from the default (or all, for privileged), add, drop; `ALL` first.
///
/// # Errors
/// For a name that is no capability.
pub fn select(privileged: bool, add: &[String], drop: &[String]) -> Result<Vec<String>, Rejected> {
    let is_all = |name: &String| name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("cap_all");
    let normal = |names: &[String]| {
        names.iter().filter(|name| !is_all(name)).map(|name| normalize(name)).collect::<Result<Vec<_>, _>>()
    };
    let (added, dropped) = (normal(add)?, normal(drop)?);
    let all = privileged || add.iter().any(is_all);
    let none = drop.iter().any(is_all);
    let chosen = |name: &&str| {
        let given = if none && !privileged { false } else { all || DEFAULT.contains(name) };
        if all && none {
            !dropped.contains(name) && added.contains(name)
        } else {
            (given && !dropped.contains(name)) || (added.contains(name) && !dropped.contains(name))
        }
    };
    Ok(NAMES.iter().filter(|name| privileged || chosen(name)).map(|name| (*name).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn adds_and_drops_as_docker_does() {
        assert_eq!(select(false, &[], &[]).unwrap().len(), DEFAULT.len());
        let admin = select(false, &strings(&["net_admin"]), &strings(&["CHOWN"])).unwrap();
        assert!(admin.contains(&"CAP_NET_ADMIN".to_owned()) && !admin.contains(&"CAP_CHOWN".to_owned()));
        assert_eq!(select(false, &strings(&["KILL"]), &strings(&["ALL"])).unwrap(), ["CAP_KILL"]);
        assert_eq!(select(false, &strings(&["ALL"]), &strings(&["sys_admin"])).unwrap().len(), NAMES.len() - 1);
        assert_eq!(select(true, &[], &[]).unwrap().len(), NAMES.len());
        assert!(select(false, &strings(&["fly"]), &[]).is_err());
    }
}
