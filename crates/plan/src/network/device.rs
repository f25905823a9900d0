//! Links of the host that become the container's (config-linux.md, "Network Devices").
//!
//! They are not taken back: with the namespace the kernel gives hardware back to the host, and removes the rest.

use super::AttachStep;
use crate::Rejected;
use crate::host::Host;
use crate::order::joined;
use crate::shell::quote;
use spec::runtime::{Linux, NamespaceKind};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    /// As the container will call it.
    pub inside: String,
    /// The container's network namespace, where it is another's, too.
    pub namespace: Option<String>,
}

/// The links that there are on the host, and in the container's namespace.
#[derive(Debug, Default)]
pub struct Links {
    pub here: Vec<String>,
    pub there: Vec<String>,
}

/// # Errors
/// A name that is none, a link that is not there, or one that is there already.
pub fn devices(linux: &Linux, host: &Host, links: Links) -> Result<Vec<AttachStep>, Rejected> {
    let Links { here, mut there } = links;
    let mut steps = Vec::new();
    for (name, device) in &linux.net_devices {
        let refused = |why: String| Rejected::new(format!("cannot give the network device {name:?} away"), why);
        if !linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::Network) {
            return Err(refused("the container has no network namespace of its own".to_owned()));
        }
        if host.rootless() {
            return Err(refused("it is not an ordinary user's".to_owned()).hint("run as root"));
        }
        let asked = if device.name.is_empty() { name } else { &device.name };
        let template = asked.strip_suffix("%d");
        if let Some(bad) = [name, template.unwrap_or(asked)].into_iter().find(|name| !is_name(name)) {
            return Err(refused(format!("invalid network device name {bad:?}")));
        }
        if !here.contains(name) {
            return Err(refused("there is no such device".to_owned()).hint("ip link shows what there is"));
        }
        let inside = match template {
            // As the kernel itself counts, in a namespace where nobody else makes links yet.
            Some(stem) => (0..u32::MAX).map(|number| format!("{stem}{number}")).find(|name| !there.contains(name)),
            None => Some(asked.clone()).filter(|name| !there.contains(name)),
        };
        let Some(inside) = inside.filter(|name| is_name(name)) else {
            return Err(refused(format!("the container has a network device {asked:?} already")));
        };
        there.push(inside.clone());
        let namespace = joined(linux, NamespaceKind::Network);
        steps.push(AttachStep::Device(Device { name: name.clone(), inside, namespace }));
    }
    Ok(steps)
}

/// As the kernel has it (`dev_valid_name`), and without what makes a template.
fn is_name(name: &str) -> bool {
    let bad = |c: char| c == '/' || c == ':' || c == '%' || c == '\0' || c.is_whitespace();
    (1..16).contains(&name.len()) && !matches!(name, "." | "..") && !name.contains(bad)
}

impl Device {
    pub(super) fn why(&self) -> String {
        format!("the host's {} is the container's {}", self.name, self.inside)
    }

    pub(super) fn shell(&self) -> String {
        let (name, inside) = (quote(&self.name), quote(&self.inside));
        let namespace = self.namespace.as_deref().map_or_else(|| "/proc/$PID/ns/net".to_owned(), quote);
        format!(
            "LASTING=$(ip -o address show dev {name} scope global permanent | awk '{{ print $4 }}')\n\
             ip link set dev {name} netns {namespace} name {inside}\n\
             for address in $LASTING; do nsenter --net={namespace} ip address add \"$address\" dev {inside}; done\n\
             nsenter --net={namespace} ip link set dev {inside} up"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_of_links() {
        for good in ["eth0", "a", "x23456789012345", "enp0s3.5", "é"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "x234567890123456", "a/b", "a:b", "a b", "eth%d", "%", "a\0", "a\n"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
