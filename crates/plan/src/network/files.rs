//! The container's `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname` (resolv.conf(5), hosts(5), hostname(5)).

use crate::Rejected;
use std::fmt::Write as _;
use std::net::IpAddr;

/// What the command line says about name resolution; empty lists mean the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// `--dns`
    pub servers: Vec<IpAddr>,
    /// `--dns-search`; a single `.` means none.
    pub search: Vec<String>,
    /// `--dns-option`
    pub options: Vec<String>,
}

/// The text, and a warning where the container will resolve no names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    pub text: String,
    pub warning: Option<String>,
}

/// From the host's file, with `--dns`, `--dns-search` and `--dns-option` in place of its lines.
///
/// A resolver on the host's loopback (systemd-resolved's 127.0.0.53) is out of a container's reach, so where one is
/// named, `upstream` is used, which is systemd-resolved's list of real ones (`/run/systemd/resolve/resolv.conf`); other
/// servers in `host` stay. When none is left there is none: a public resolver would send the names that are looked up
/// to someone whom nobody asked for, so it is said in a warning instead.
#[must_use]
pub fn resolv_conf(host: &str, upstream: Option<&str>, dns: &Dns) -> ResolvConf {
    let (own, local): (Vec<_>, Vec<_>) = servers(host).into_iter().partition(|(_, ip)| !ip.is_loopback());
    let source = match upstream {
        Some(upstream) if !local.is_empty() && own.is_empty() => upstream,
        _ => host,
    };
    let kept = servers(source).into_iter().filter(|(_, ip)| !ip.is_loopback()).map(|(text, _)| text);
    let servers: Vec<String> =
        if dns.servers.is_empty() { kept.collect() } else { dns.servers.iter().map(ToString::to_string).collect() };
    let search = if dns.search.is_empty() { words(source, &["search", "domain"]) } else { given(&dns.search) };
    let options = if dns.options.is_empty() { words(source, &["options"]) } else { dns.options.clone() };

    let mut text = String::new();
    for (key, list) in [("search", search), ("options", options)] {
        if !list.is_empty() {
            let _ = writeln!(text, "{key} {}", list.join(" "));
        }
    }
    for server in &servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    let warning = servers.is_empty().then(|| {
        let why =
            if local.is_empty() { "the host names no resolver" } else { "the host's resolver is on its loopback" };
        format!("the container cannot resolve names: {why}\nhint: name one with --dns ADDRESS")
    });
    ResolvConf { text, warning }
}

/// For a container that asks its own resolver, which asks the host's servers or those of `--dns`.
#[must_use]
pub fn resolver_conf(host: &str, upstream: Option<&str>, dns: &Dns) -> String {
    let own = servers(host).iter().any(|(_, ip)| !ip.is_loopback());
    let source = upstream.filter(|_| !own && !servers(host).is_empty()).unwrap_or(host);
    let search = if dns.search.is_empty() { words(source, &["search", "domain"]) } else { given(&dns.search) };
    let mut options = if dns.options.is_empty() { words(source, &["options"]) } else { dns.options.clone() };
    if !options.iter().any(|option| option.starts_with("ndots:")) {
        // A name without a dot is a container's first.
        options.push("ndots:0".to_owned());
    }
    let mut text = format!("nameserver {}\n", super::resolver::ADDRESS);
    for (key, list) in [("search", search), ("options", options)] {
        if !list.is_empty() {
            let _ = writeln!(text, "{key} {}", list.join(" "));
        }
    }
    text
}

fn given(search: &[String]) -> Vec<String> {
    search.iter().filter(|domain| *domain != ".").cloned().collect()
}

/// As written (an IPv6 address may have a zone) and as parsed.
fn servers(text: &str) -> Vec<(String, IpAddr)> {
    let value = |line: &str| {
        let mut words = line.split_whitespace();
        let server = words.next().filter(|key| *key == "nameserver").and(words.next())?;
        Some((server.to_owned(), server.split('%').next()?.parse().ok()?))
    };
    text.lines().filter_map(value).collect()
}

/// The words of the last line with one of these keys: the last counts.
fn words(text: &str, keys: &[&str]) -> Vec<String> {
    let value = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|key| keys.contains(key)).map(|_| words.map(str::to_owned).collect())
    };
    text.lines().filter_map(value).next_back().unwrap_or_default()
}

/// One `--add-host NAME:IP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    pub name: String,
    pub ip: HostIp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostIp {
    Address(IpAddr),
    /// `host-gateway`: the host, as the container reaches it.
    Gateway,
}

impl ExtraHost {
    /// `NAME:IP`, `NAME=IP`, `NAME:host-gateway`; an IPv6 address may stand in brackets.
    ///
    /// # Errors
    /// No separator, no name, or no address.
    pub fn parse(text: &str) -> Result<Self, Rejected> {
        let refuse = |why: &str| Rejected::new(format!("cannot add host {text}"), why).hint("write NAME:ADDRESS");
        let (name, ip) =
            text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(|| refuse("there is no address"))?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
            return Err(refuse("the name is not a host name"));
        }
        let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
        let ip = match bare {
            "host-gateway" => HostIp::Gateway,
            bare => HostIp::Address(bare.parse().map_err(|_| refuse("the address is not one"))?),
        };
        Ok(Self { name: name.to_owned(), ip })
    }
}

/// The container's own addresses and the host's, as far as it has them. A container in the host's network has none of
/// its own and reaches the host by 127.0.0.1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    pub addresses: Vec<IpAddr>,
    pub gateway: Option<IpAddr>,
}

/// # Errors
/// `host-gateway` where the container cannot reach the host.
pub fn hosts(hostname: &str, domain: &str, own: &Own, extra: &[ExtraHost]) -> Result<String, Rejected> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for host in extra {
        let ip = match host.ip {
            HostIp::Address(ip) => ip,
            HostIp::Gateway => own.gateway.ok_or_else(|| {
                Rejected::new(format!("cannot add host {}", host.name), "the container has no way to the host")
            })?,
        };
        let _ = writeln!(text, "{ip}\t{}", host.name);
    }
    let names = if domain.is_empty() { hostname.to_owned() } else { format!("{hostname}.{domain} {hostname}") };
    for ip in &own.addresses {
        let _ = writeln!(text, "{ip}\t{names}");
    }
    Ok(text)
}

#[must_use]
pub fn hostname(hostname: &str) -> String {
    format!("{hostname}\n")
}
