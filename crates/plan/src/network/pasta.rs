//! The network of an ordinary user: pasta(1) moves packets between sockets of the host and a tap in the container.

use super::{Protocol, Published};
use crate::shell::quote;
use std::net::IpAddr;

/// One pasta for one container. It forks into the background when the tap is ready. It cannot watch a namespace
/// that is named by a process's `/proc` entry, so it does not end by itself: the verb is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pasta {
    /// The program.
    pub path: String,
    pub pid_file: String,
    /// Whether the container has a user namespace of its own.
    pub user_namespace: bool,
    /// Bytes; `None`: pasta's own choice.
    pub mtu: Option<u32>,
    pub published: Vec<Published>,
}

impl Pasta {
    /// The arguments; `pid` is the child's, in the shell form `$PID`.
    #[must_use]
    pub fn arguments(&self, pid: &str) -> Vec<String> {
        let mut words: Vec<String> =
            ["--config-net", "--quiet", "--ns-ifname", "eth0", "--pid"].map(str::to_owned).to_vec();
        words.push(self.pid_file.clone());
        // A container's own loopback services are its own; the host's are not its business.
        words.extend(["-T", "none", "-U", "none", "--no-map-gw"].map(str::to_owned));
        for (flag, protocol) in [("-t", Protocol::Tcp), ("-u", Protocol::Udp)] {
            let ports: Vec<String> = self.published.iter().filter(|p| p.protocol == protocol).map(forward).collect();
            let values = if ports.is_empty() { vec!["none".to_owned()] } else { ports };
            words.extend(values.into_iter().flat_map(|value| [flag.to_owned(), value]));
        }
        if let Some(mtu) = self.mtu {
            words.extend(["--mtu".to_owned(), mtu.to_string()]);
        }
        if self.user_namespace {
            words.extend(["--userns".to_owned(), format!("/proc/{pid}/ns/user")]);
        }
        words.extend(["--netns".to_owned(), format!("/proc/{pid}/ns/net")]);
        words
    }

    pub(super) fn shell(&self) -> String {
        let word = |word: &String| match word.strip_prefix("/proc/$PID/") {
            Some(rest) => format!("/proc/$PID/{}", quote(rest)),
            None => quote(word),
        };
        let words = [self.path.clone()].into_iter().chain(self.arguments("$PID"));
        words.map(|text| word(&text)).collect::<Vec<_>>().join(" ")
    }
}

/// `ADDRESS/HOST:CONTAINER`
fn forward(port: &Published) -> String {
    let address = match port.host_ip {
        None => String::new(),
        Some(IpAddr::V4(ip)) => format!("{ip}/"),
        Some(IpAddr::V6(ip)) => format!("{ip}/"),
    };
    format!("{address}{}:{}", port.host_port, port.container_port)
}
