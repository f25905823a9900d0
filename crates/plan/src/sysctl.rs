//! Which kernel settings a container may have of its own.
//!
//! Invariant: what no namespace of the container holds is refused. It would be set for the whole host, and stay so.

use crate::Rejected;
use spec::runtime::{Config, Linux, NamespaceKind};

/// Of ipc_namespaces(7), and no others below `kernel.`.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// # Errors
/// A setting of the host's, or of a namespace that the container shares with it; one that config.json says elsewhere.
pub(crate) fn check(config: &Config, linux: &Linux) -> Result<(), Rejected> {
    linux.sysctl.iter().try_for_each(|(key, value)| {
        let what = format!("cannot set {key} for the container");
        // As the others have it: the one that is set last would win, and nobody told.
        if let Some(field) = said_otherwise(config, key, value) {
            let why = format!("that is what the {field} of a container is");
            return Err(Rejected::new(what, why).hint(format!("set the {field} only")));
        }
        let Some(kind) = namespace(key) else {
            let why = "the kernel has no such setting for each container: it would be the whole host's";
            return Err(Rejected::new(what, why).hint("as root, on the host: sysctl -w"));
        };
        if linux.namespaces.iter().any(|namespace| namespace.kind == kind) {
            return Ok(());
        }
        let word = crate::step::namespace_word(kind);
        let why = format!("the container has no {word} namespace of its own: it would be the host's");
        Err(Rejected::new(what, why).hint("leave it out, or give the container such a namespace"))
    })
}

/// The property of config.json for the same, where it says something else.
fn said_otherwise(config: &Config, key: &str, value: &str) -> Option<&'static str> {
    match key {
        "kernel.hostname" => Some("hostname"),
        "kernel.domainname" if !matches!(&config.domainname, name if name.is_empty() || name == value) => {
            Some("domainname")
        }
        _ => None,
    }
}

/// Below /proc/sys. A link's name may have a dot: `net.ipv4.conf.eth0/5.forwarding` is that of `eth0.5`, and the other way
/// round where the first of both is a slash (sysctl(8)).
#[must_use]
pub fn path(key: &str) -> String {
    if key.find(['.', '/']).is_some_and(|first| key[first..].starts_with('/')) {
        return key.to_owned();
    }
    key.chars().map(swapped).collect()
}

/// The other separator.
#[must_use]
pub fn swapped(letter: char) -> char {
    match letter {
        '.' => '/',
        '/' => '.',
        letter => letter,
    }
}

fn namespace(key: &str) -> Option<NamespaceKind> {
    if IPC.contains(&key) || key.starts_with("fs.mqueue.") {
        Some(NamespaceKind::Ipc)
    } else if key.starts_with("net.") {
        Some(NamespaceKind::Network)
    } else if matches!(key, "kernel.hostname" | "kernel.domainname") {
        Some(NamespaceKind::Uts)
    } else if key.starts_with("user.") {
        // How many namespaces may be made in it (namespaces(7)).
        Some(NamespaceKind::User)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::runtime::Namespace;

    #[test]
    fn dots_and_slashes_change_places() {
        assert_eq!(path("kernel.sem"), "kernel/sem");
        assert_eq!(path("net.ipv4.conf.eth0/5.forwarding"), "net/ipv4/conf/eth0.5/forwarding");
        assert_eq!(path("net/ipv4/conf/eth0.5/forwarding"), "net/ipv4/conf/eth0.5/forwarding");
    }

    #[test]
    fn the_hosts_settings_are_refused() {
        let why = |key: &str, kinds: &[NamespaceKind]| {
            let namespaces = kinds.iter().map(|kind| Namespace { kind: *kind, path: None }).collect();
            let sysctl = [(key.to_owned(), "1".to_owned())].into();
            let linux = Linux { namespaces, sysctl, ..Linux::default() };
            check(&Config::default(), &linux).err().map(|rejected| rejected.why)
        };
        let own = [NamespaceKind::Network, NamespaceKind::Ipc, NamespaceKind::Uts, NamespaceKind::User];
        for key in [
            "net.ipv4.ip_default_ttl",
            "kernel.sem",
            "fs.mqueue.msg_max",
            "kernel.domainname",
            "user.max_pid_namespaces",
        ] {
            assert_eq!(why(key, &own), None, "{key}");
            assert!(why(key, &[]).is_some_and(|why| why.contains("namespace of its own")), "{key}");
        }
        for key in ["vm.swappiness", "kernel.panic", "kernel.sem.x", "fs.file-max", "network.x", "users.x"] {
            assert!(why(key, &own).is_some_and(|why| why.contains("whole host")), "{key}");
        }
    }

    #[test]
    fn what_has_a_property_is_set_by_it() {
        let refused = |key: &str, domainname: &str| {
            let namespaces = vec![Namespace { kind: NamespaceKind::Uts, path: None }];
            let linux = Linux { namespaces, sysctl: [(key.to_owned(), "x".to_owned())].into(), ..Linux::default() };
            check(&Config { domainname: domainname.to_owned(), ..Config::default() }, &linux).is_err()
        };
        assert!(refused("kernel.hostname", ""));
        assert!(refused("kernel.domainname", "y"));
        assert!(!refused("kernel.domainname", "x"));
        assert!(!refused("kernel.domainname", ""));
    }
}
