//! Which servers are asked for what is not ours: those that were named, or the host's, whose changes are followed.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

const PORT: u16 = 53;
/// As many as a C library asks (resolv.conf(5)).
const MOST: usize = 3;

/// What a file was when it was read: a new one in its place, or a change of it, is another.
type Stamp = Option<(u64, u64, i64, i64)>;

#[derive(Debug)]
pub struct Upstream {
    /// Named by the user: asked from the container, where they may be containers as well.
    named: Vec<SocketAddr>,
    file: PathBuf,
    read: Stamp,
    servers: Vec<SocketAddr>,
}

impl Upstream {
    #[must_use]
    pub fn new(named: &[IpAddr], file: PathBuf) -> Self {
        let named = named.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect();
        Self { named, file, read: None, servers: Vec::new() }
    }

    /// Whether they are asked from the container's network.
    #[must_use]
    pub fn is_named(&self) -> bool {
        !self.named.is_empty()
    }

    /// One look at the file a question, so that nobody has to wait for changes.
    pub fn servers(&mut self) -> &[SocketAddr] {
        if self.is_named() {
            return &self.named;
        }
        let stamp =
            fs::metadata(&self.file).ok().map(|found| (found.dev(), found.ino(), found.mtime(), found.mtime_nsec()));
        if stamp.is_none() || stamp != self.read {
            let text = fs::read_to_string(&self.file).unwrap_or_default();
            self.servers = text.lines().filter_map(server).take(MOST).collect();
            if self.servers.is_empty() {
                // resolv.conf(5): then it is on the local machine.
                self.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
            }
            self.read = stamp;
        }
        &self.servers
    }
}

fn server(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    let text = words.next().filter(|key| *key == "nameserver").and(words.next())?;
    let (ip, zone) = text.split_once('%').map_or((text, None), |(ip, zone)| (ip, Some(zone)));
    match (ip.parse().ok()?, zone) {
        (IpAddr::V6(ip), Some(zone)) => {
            let index = fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).unwrap_or_default();
            Some(SocketAddrV6::new(ip, PORT, 0, index.trim().parse().or_else(|_| zone.parse()).ok()?).into())
        }
        (ip, _) => Some(SocketAddr::new(ip, PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_servers_and_their_changes() {
        let file = std::env::temp_dir().join(format!("sampan-resolv-{}", std::process::id()));
        fs::write(&file, "# x\nnameserver 192.0.2.1\nnameserver fe80::1%lo\nnameserver\nnameserver x\n").unwrap();
        let mut upstream = Upstream::new(&[], file.clone());
        assert_eq!(upstream.servers(), ["192.0.2.1:53".parse().unwrap(), "[fe80::1%1]:53".parse().unwrap()]);
        fs::write(file.with_extension("new"), "nameserver 127.0.0.53\n").unwrap();
        fs::rename(file.with_extension("new"), &file).unwrap();
        assert_eq!(upstream.servers(), ["127.0.0.53:53".parse().unwrap()]);
        fs::remove_file(&file).unwrap();
        assert_eq!(upstream.servers(), ["127.0.0.1:53".parse().unwrap()]);
        let mut named = Upstream::new(&["9.9.9.9".parse().unwrap()], file);
        assert!(named.is_named() && named.servers() == ["9.9.9.9:53".parse().unwrap()]);
    }
}
