//! The network: mode, addresses, names, published ports.

use super::namespace::{Join, elsewhere};
use super::{Invalid, text};
use serde::{Deserialize, Serialize};
use spec::ContainerId;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Absent: the default network, or for an ordinary user pasta or none.
    pub mode: Option<Mode>,
    /// Other names in its first network.
    pub aliases: Vec<String>,
    pub ip: Option<Ipv4Addr>,
    pub ip6: Option<Ipv6Addr>,
    pub mac: Option<Mac>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub dns: Vec<IpAddr>,
    /// A single `.` empties the search list.
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    pub add_host: Vec<AddHost>,
    pub publish: Vec<Publish>,
    /// Every exposed port, on a free port of the host.
    pub publish_all: bool,
    pub expose: Vec<Expose>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Its places in networks, at least one.
    Networks(Vec<Endpoint>),
    None,
    Host,
    Container(ContainerId),
    Path(PathBuf),
    /// User-mode forwarding by pasta.
    Pasta,
}

impl FromStr for Mode {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        match word {
            "none" => return Ok(Self::None),
            "host" => return Ok(Self::Host),
            "pasta" => return Ok(Self::Pasta),
            _ => {}
        }
        match elsewhere(word) {
            Some(Ok(Join::Container(name))) => Ok(Self::Container(name)),
            Some(Ok(Join::Path(path))) => Ok(Self::Path(path)),
            Some(Err(error)) => Err(error),
            _ => word.parse().map(|endpoint| Self::Networks(vec![endpoint])),
        }
    }
}

impl Mode {
    /// Of several `--network`.
    ///
    /// # Errors
    /// [`Invalid`]: they do not go together.
    pub fn of(given: Vec<Self>) -> Result<Option<Self>, Invalid> {
        if given.len() < 2 {
            return Ok(given.into_iter().next());
        }
        let mut all: Vec<Endpoint> = Vec::new();
        for mode in given {
            let Self::Networks(endpoints) = mode else {
                return Err(Invalid::new(
                    "a container has either networks or one of none, host, pasta, container:, ns:",
                )
                .hint("leave one of them out"));
            };
            all.extend(endpoints);
        }
        let twice = (1..all.len()).find(|at| all[..*at].iter().any(|other| other.network == all[*at].network));
        match twice {
            Some(at) => Err(Invalid::new(format!("the network {} is named twice", all[at].network))),
            None => Ok(Some(Self::Networks(all))),
        }
    }
}

/// A container's place in a network, as far as it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    pub network: String,
    pub ip: Option<Ipv4Addr>,
    pub ip6: Option<Ipv6Addr>,
    pub mac: Option<Mac>,
    /// Names beside the container's own.
    pub aliases: Vec<String>,
    /// The link, as the container calls it.
    pub link: Option<String>,
    /// The default route goes by the network that has the highest.
    pub priority: i32,
}

/// The network that a container is in when nothing else is said.
pub const DEFAULT: &str = "bridge";

impl FromStr for Endpoint {
    type Err = Invalid;

    /// `NAME`, podman's `NAME:KEY=VALUE,…`, docker's `name=NAME,KEY=VALUE,…`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut endpoint = Self::default();
        let (name, options) = match text.split_once(':') {
            Some((name, options)) if !name.contains('=') => (Some(name), options),
            _ if text.contains('=') => (None, text),
            _ => (Some(text), ""),
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (key, value) =
                option.split_once('=').ok_or_else(|| Invalid::new(format!("{option:?} has no value")))?;
            endpoint.set(key, value)?;
        }
        if let Some(name) = name {
            endpoint.network = network_name(name)?;
        }
        if endpoint.network.is_empty() {
            return Err(Invalid::new("no name of a network").hint("name=NETWORK,KEY=VALUE"));
        }
        Ok(endpoint)
    }
}

impl Endpoint {
    /// The place of a container that asks for nothing.
    #[must_use]
    pub fn of(network: &str) -> Self {
        Self { network: network.to_owned(), ..Self::default() }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Invalid> {
        let wrong = |what: &str| Invalid::new(format!("{value:?} is no {what}"));
        match key {
            "name" => self.network = network_name(value)?,
            "alias" => self.aliases.push(hostname(value)?),
            "ip" => self.ip = Some(value.parse().map_err(|_| wrong("IPv4 address"))?),
            "ip6" => self.ip6 = Some(value.parse().map_err(|_| wrong("IPv6 address"))?),
            "mac" | "mac-address" => self.mac = Some(value.parse()?),
            "interface_name" => self.link = Some(link(value)?),
            "gw-priority" => self.priority = value.parse().map_err(|_| wrong("whole number"))?,
            "driver-opt" => match value.split_once('=') {
                Some(("com.docker.network.endpoint.ifname", name)) => self.link = Some(link(name)?),
                _ => return Err(wrong("option that sampan knows").hint("com.docker.network.endpoint.ifname=NAME")),
            },
            _ => {
                let keys = "alias, ip, ip6, mac, mac-address, interface_name, gw-priority and driver-opt";
                return Err(Invalid::new(format!("unknown key {key:?}")).hint(format!("{keys} are known")));
            }
        }
        Ok(())
    }
}

impl Network {
    /// The places that are asked for; none where it has no network of sampan's.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let mut endpoints = match &self.mode {
            None => vec![Endpoint::of(DEFAULT)],
            Some(Mode::Networks(endpoints)) => endpoints.clone(),
            Some(_) => Vec::new(),
        };
        if let Some(first) = endpoints.first_mut() {
            first.ip = self.ip.or(first.ip);
            first.ip6 = self.ip6.or(first.ip6);
            first.mac = self.mac.or(first.mac);
            first.aliases.extend(self.aliases.iter().cloned());
        }
        endpoints
    }
}

/// A network's name; docker's `default` is the default one's.
///
/// # Errors
/// [`Invalid`] for what a network cannot be called.
pub fn network_name(text: &str) -> Result<String, Invalid> {
    if text == "default" {
        return Ok(DEFAULT.to_owned());
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let ok = (1..=128).contains(&text.len())
        && text.bytes().all(known)
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    let hint =
        "a letter or digit, then letters, digits, _, . and -; or one of none, host, pasta, container:NAME, ns:PATH";
    if ok { Ok(text.to_owned()) } else { Err(Invalid::new("no name of a network").hint(hint)) }
}

/// A link's name, as the kernel takes it and a shell, too.
///
/// # Errors
/// [`Invalid`] for any other text.
pub fn link(text: &str) -> Result<String, Invalid> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let ok = (1..16).contains(&text.len()) && text.bytes().all(known) && !matches!(text, "." | ".." | "lo");
    if ok {
        Ok(text.to_owned())
    } else {
        Err(Invalid::new(format!("{text:?} is no name of a link")).hint("up to 15 letters and digits"))
    }
}

/// A unicast Ethernet address; the kernel refuses others for an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new("not an Ethernet address").hint("six bytes in hex: 02:42:ac:11:00:02");
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = part.and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(malformed)?;
        }
        if parts.next().is_some() {
            return Err(malformed());
        }
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(Invalid::new("a group address, or all zeros").hint("make the first byte 02"));
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// `first..=last`, neither 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    pub first: u16,
    pub last: u16,
}

impl Ports {
    /// At least one.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl FromStr for Ports {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let port = |text: &str| {
            let number: Option<u16> = text::number(text).filter(|port| *port != 0);
            number.ok_or_else(|| Invalid::new(format!("{text:?} is not a port")).hint("a number from 1 to 65535"))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(Invalid::new(format!("the range {text} runs backwards")).hint(format!("{last}-{first}")));
        }
        Ok(Self { first, last })
    }
}

/// One `-p`: `[[ADDRESS:][HOST]:]CONTAINER[/tcp|/udp]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Absent: every address of the host, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// Absent: a free port for each. As many as container ports, each to each; or, where there is only one container
    /// port, a range of which any free one is taken.
    pub host: Option<Ports>,
    pub container: Ports,
    pub protocol: Protocol,
}

const PUBLISH: &str = "write [[ADDRESS:]HOST-PORT:]CONTAINER-PORT[/tcp|/udp]: 127.0.0.1:8080:80";

impl FromStr for Publish {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (rest, protocol) = protocol(text)?;
        let (rest, container) = match rest.rsplit_once(':') {
            Some((before, container)) => (Some(before), container),
            None => (None, rest),
        };
        if container.is_empty() {
            return Err(Invalid::new("no container port").hint(PUBLISH));
        }
        let container: Ports = container.parse()?;
        let (address, host) = match rest {
            None => (None, None),
            Some(rest) => listen(rest)?,
        };
        if let Some(host) = host
            && host.count() != container.count()
            && container.count() != 1
        {
            let why = format!("{} host ports for {} container ports", host.count(), container.count());
            return Err(Invalid::new(why).hint("give two ranges of the same length"));
        }
        Ok(Self { address, host, container, protocol })
    }
}

/// What stands before the last colon: `HOST`, `ADDRESS:HOST`, `ADDRESS:`, with IPv6 in brackets.
fn listen(text: &str) -> Result<(Option<IpAddr>, Option<Ports>), Invalid> {
    let (address, host) = match text.rsplit_once(':') {
        Some((address, host)) => (Some(listen_address(address)?), host),
        None => (None, text),
    };
    let host = if matches!(host, "" | "0") { None } else { Some(host.parse()?) };
    Ok((address.flatten(), host))
}

fn listen_address(text: &str) -> Result<Option<IpAddr>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let address = inner.parse::<Ipv6Addr>().map(IpAddr::V6);
        return address.map(Some).map_err(|_| Invalid::new(format!("{inner:?} is not an IPv6 address")).hint(PUBLISH));
    }
    if text.contains(':') {
        return Err(Invalid::new("more colons than expected").hint("put an IPv6 address in brackets: [::1]:8080:80"));
    }
    let address = text.parse::<Ipv4Addr>().map(IpAddr::V4);
    address.map(Some).map_err(|_| Invalid::new(format!("{text:?} is not an IP address of the host")).hint(PUBLISH))
}

/// The text before the `/`, and the protocol after it.
fn protocol(text: &str) -> Result<(&str, Protocol), Invalid> {
    let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Ok((rest, Protocol::Tcp)),
        "udp" => Ok((rest, Protocol::Udp)),
        _ => Err(Invalid::new(format!("unknown protocol {protocol:?}")).hint("tcp or udp")),
    }
}

/// `--expose`: `80`, `80-90/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expose {
    pub ports: Ports,
    pub protocol: Protocol,
}

impl FromStr for Expose {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (ports, protocol) = protocol(text)?;
        Ok(Self { ports: ports.parse()?, protocol })
    }
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddHost {
    pub names: Vec<String>,
    /// Absent for `host-gateway`: the address at which the host is reached from the container.
    pub address: Option<IpAddr>,
}

impl FromStr for AddHost {
    type Err = Invalid;

    /// `NAME:ADDRESS`, `NAME=ADDRESS`, `NAME;NAME:ADDRESS`; an IPv6 address with or without brackets.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let how = "write NAME:ADDRESS: db:10.0.0.7, or NAME:host-gateway";
        let cut = text.find(['=', ':']).ok_or_else(|| Invalid::new("no address after the name").hint(how))?;
        let (names, address) = (&text[..cut], &text[cut + 1..]);
        let names: Vec<String> = names.split(';').map(str::to_owned).collect();
        let name = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if !names.iter().all(name) {
            return Err(Invalid::new("a host name that is empty or not plain text").hint(how));
        }
        if address == "host-gateway" {
            return Ok(Self { names, address: None });
        }
        let inner = address.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(address);
        let parsed = inner.parse().map_err(|_| Invalid::new(format!("{address:?} is not an IP address")).hint(how))?;
        Ok(Self { names, address: Some(parsed) })
    }
}

/// A host name as the kernel and `/etc/hosts` can hold it: at most 64 bytes of letters, digits, `-`, `_` and `.`,
/// not starting with `-` or `.`.
///
/// # Errors
/// [`Invalid`] for any other text.
pub fn hostname(text: &str) -> Result<String, Invalid> {
    let ok = (1..=64).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let why = "not a host name";
    if ok { Ok(text.into()) } else { Err(Invalid::new(why).hint("up to 64 letters, digits, -, _ and .")) }
}

/// A search domain; `.` alone empties the list.
///
/// # Errors
/// [`Invalid`] for what is not a domain name.
pub fn search_domain(text: &str) -> Result<String, Invalid> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text == "." || (text.len() <= 253 && name.split('.').all(label)) {
        Ok(text.into())
    } else {
        Err(Invalid::new("not a domain name").hint("example.org, or . for no search list"))
    }
}

/// A word for the `options` line of resolv.conf(5), such as `ndots:2`.
///
/// # Errors
/// [`Invalid`] for an empty text or one with spaces, which would be several options or a new line.
pub fn resolver_option(text: &str) -> Result<String, Invalid> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text.into())
    } else {
        Err(Invalid::new("not a resolver option").hint("one word of resolv.conf(5), such as ndots:2"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(address: Option<&str>, host: Option<(u16, u16)>, container: (u16, u16), protocol: Protocol) -> Publish {
        let ports = |(first, last)| Ports { first, last };
        let address = address.map(|text| text.parse().unwrap());
        Publish { address, host: host.map(ports), container: ports(container), protocol }
    }

    #[test]
    fn reads_published_ports() {
        use Protocol::{Tcp, Udp};
        for (text, expected) in [
            ("80", publish(None, None, (80, 80), Tcp)),
            ("80/udp", publish(None, None, (80, 80), Udp)),
            ("80/TCP", publish(None, None, (80, 80), Tcp)),
            ("8080:80", publish(None, Some((8080, 8080)), (80, 80), Tcp)),
            (":80", publish(None, None, (80, 80), Tcp)),
            ("0:80", publish(None, None, (80, 80), Tcp)),
            ("127.0.0.1:8080:80", publish(Some("127.0.0.1"), Some((8080, 8080)), (80, 80), Tcp)),
            ("127.0.0.1::80", publish(Some("127.0.0.1"), None, (80, 80), Tcp)),
            ("[::1]:8080:80/udp", publish(Some("::1"), Some((8080, 8080)), (80, 80), Udp)),
            ("[::]::80", publish(Some("::"), None, (80, 80), Tcp)),
            ("7000-7002:80-82", publish(None, Some((7000, 7002)), (80, 82), Tcp)),
            ("7000-7002:80", publish(None, Some((7000, 7002)), (80, 80), Tcp)),
            ("80-82", publish(None, None, (80, 82), Tcp)),
            ("::80", publish(None, None, (80, 80), Tcp)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_port() {
        for (text, why) in [
            ("", "no container port"),
            ("8080:", "no container port"),
            ("http", "\"http\" is not a port"),
            ("8080:0", "\"0\" is not a port"),
            ("8080:65536", "\"65536\" is not a port"),
            ("-1:80", "\"\" is not a port"),
            ("+1:80", "\"+1\" is not a port"),
            ("82-80", "the range 82-80 runs backwards"),
            ("1-2:80-82", "2 host ports for 3 container ports"),
            ("1:80-82", "1 host ports for 3 container ports"),
            ("80/sctp", "unknown protocol \"sctp\""),
            ("80/", "unknown protocol \"\""),
            ("::1:8080:80", "more colons than expected"),
            ("1.2.3:8080:80", "\"1.2.3\" is not an IP address of the host"),
            ("localhost:8080:80", "\"localhost\" is not an IP address of the host"),
            ("[127.0.0.1]:80:80", "\"127.0.0.1\" is not an IPv6 address"),
        ] {
            assert_eq!(text.parse::<Publish>().unwrap_err().why, why, "{text}");
        }
        assert_eq!("80-90/udp".parse::<Expose>().unwrap().ports.count(), 11);
        assert_eq!("8080:80".parse::<Expose>().unwrap_err().why, "\"8080:80\" is not a port");
    }

    #[test]
    fn reads_addresses() {
        assert_eq!("02:42:AC:11:00:02".parse(), Ok(Mac([2, 0x42, 0xac, 0x11, 0, 2])));
        assert_eq!("02-42-ac-11-00-02".parse::<Mac>().unwrap().to_string(), "02:42:ac:11:00:02");
        for text in ["", "02:42", "02:42:ac:11:00:02:03", "2:42:ac:11:00:02", "02:42:ac:11:00:0g", "+2:42:ac:11:00:02"]
        {
            assert_eq!(text.parse::<Mac>().unwrap_err().why, "not an Ethernet address", "{text}");
        }
        for text in ["01:42:ac:11:00:02", "00:00:00:00:00:00"] {
            assert_eq!(text.parse::<Mac>().unwrap_err().why, "a group address, or all zeros");
        }
    }

    #[test]
    fn reads_hosts() {
        for (text, names, address) in [
            ("db:10.0.0.7", vec!["db"], Some("10.0.0.7")),
            ("db=10.0.0.7", vec!["db"], Some("10.0.0.7")),
            ("db:::1", vec!["db"], Some("::1")),
            ("db:[::1]", vec!["db"], Some("::1")),
            ("a;b:10.0.0.7", vec!["a", "b"], Some("10.0.0.7")),
            ("gw:host-gateway", vec!["gw"], None),
        ] {
            let host: AddHost = text.parse().unwrap();
            assert_eq!(
                (host.names, host.address),
                (names.iter().map(|n| (*n).into()).collect(), address.map(|a| a.parse().unwrap()))
            );
        }
        for (text, why) in [
            ("db", "no address after the name"),
            (":1.2.3.4", "a host name that is empty or not plain text"),
            ("a\nb:1.2.3.4", "a host name that is empty or not plain text"),
            ("db:", "\"\" is not an IP address"),
            ("db:1.2.3", "\"1.2.3\" is not an IP address"),
        ] {
            assert_eq!(text.parse::<AddHost>().unwrap_err().why, why);
        }
    }

    #[test]
    fn reads_modes_and_names() {
        assert_eq!("bridge".parse(), Ok(Mode::Networks(vec![Endpoint::of("bridge")])));
        assert_eq!("default".parse::<Endpoint>().unwrap(), Endpoint::of("bridge"));
        assert_eq!("ns:/run/netns/a".parse(), Ok(Mode::Path("/run/netns/a".into())));
        let podman: Endpoint =
            "a:ip=10.0.0.7,mac=02:00:00:00:00:01,alias=x,alias=y,interface_name=lan0".parse().unwrap();
        assert_eq!((podman.network.as_str(), podman.link.as_deref(), podman.aliases.len()), ("a", Some("lan0"), 2));
        let docker: Endpoint = "name=a,ip6=fd00::7,gw-priority=-3,alias=z".parse().unwrap();
        assert_eq!((docker.network.as_str(), docker.priority, docker.ip6.is_some()), ("a", -3, true));
        for (text, why) in [
            ("", "no name of a network"),
            ("a/b", "no name of a network"),
            ("alias=x", "no name of a network"),
            ("a:ip", "\"ip\" has no value"),
            ("a:ip=7", "\"7\" is no IPv4 address"),
            ("a:x=y", "unknown key \"x\""),
            ("a:interface_name=lo", "\"lo\" is no name of a link"),
            ("a:alias=-", "not a host name"),
        ] {
            assert_eq!(text.parse::<Mode>().unwrap_err().why, why, "{text}");
        }
        let of = |words: &[&str]| Mode::of(words.iter().map(|word| word.parse().unwrap()).collect());
        assert!(of(&["a", "host"]).is_err() && of(&["a", "a:ip=10.0.0.7"]).is_err());
        assert!(matches!(of(&["a", "b"]), Ok(Some(Mode::Networks(two))) if two.len() == 2));
        assert!(hostname("my-container.a_b").is_ok());
        for text in ["", "-a", ".a", "a b", "a/b", &"a".repeat(65)] {
            assert_eq!(hostname(text).unwrap_err().why, "not a host name");
        }
        for text in [".", "example.org", "example.org.", "_tcp.local"] {
            assert!(search_domain(text).is_ok(), "{text}");
        }
        for text in ["", "..", "a..b", "-a.b", "a b", "a\nb"] {
            assert_eq!(search_domain(text).unwrap_err().why, "not a domain name", "{text}");
        }
        assert!(resolver_option("ndots:2").is_ok());
        assert!(resolver_option("a b").is_err());
    }
}
