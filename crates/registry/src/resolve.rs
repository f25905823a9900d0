//! Host names to addresses: /etc/hosts, then the servers of /etc/resolv.conf. Never NSS, which a static binary cannot
//! load (docs/adr/0002-static-linking.md).
//!
//! Invariant: an answer is believed only if it echoes the question and its random id, from the address that was asked.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

const A: u16 = 1;
const AAAA: u16 = 28;

/// For ureq.
#[derive(Debug)]
pub struct Names;

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let mut found = self.empty();
        let known = addresses(uri.host().unwrap_or_default());
        for address in known.map_err(|error| io::Error::other(Unanswered(error)))?.into_iter().take(16) {
            found.push(SocketAddr::new(address, port));
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

/// The servers that were asked for a name, and why they do not say; what is wrong is not the registry.
#[derive(Debug)]
pub struct Unanswered(io::Error);

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::error::of_io(&self.0))
    }
}

impl std::error::Error for Unanswered {}

/// Those of a literal, of /etc/hosts, or of the DNS; none: there is no such name.
fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let known = in_hosts(&fs::read_to_string("/etc/hosts").unwrap_or_default(), host);
    if !known.is_empty() {
        return Ok(known);
    }
    // RFC 6761, 6.3: never asked of the network.
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    Configuration::read(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()).lookup(host)
}

/// hosts(5).
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let named = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(host)).then_some(address)
    });
    named.collect()
}

/// resolv.conf(5).
#[derive(Debug, PartialEq, Eq)]
struct Configuration {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    dots: usize,
    timeout: Duration,
    attempts: usize,
}

impl Configuration {
    fn read(text: &str) -> Self {
        let mut own = Self { servers: vec![], search: vec![], dots: 1, timeout: Duration::from_secs(5), attempts: 2 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone (fe80::1%eth0) is not said: such servers are skipped.
                    own.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => own.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|word| own.option(word)),
                _ => {}
            }
        }
        own.servers.truncate(3);
        if own.servers.is_empty() {
            own.servers.push(Ipv4Addr::LOCALHOST.into());
        }
        own
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        let Ok(value) = value.parse::<u64>() else { return };
        match name {
            "ndots" => self.dots = usize::try_from(value.min(15)).unwrap_or(15),
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30)),
            "attempts" => self.attempts = usize::try_from(value.clamp(1, 5)).unwrap_or(5),
            _ => {}
        }
    }

    /// The names to ask for, in order: with fewer dots than `ndots` the search list comes first.
    fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{host}.{}", domain.trim_matches('.')));
        let itself = std::iter::once(host.to_owned());
        if host.matches('.').count() >= self.dots {
            itself.chain(searched).collect()
        } else {
            searched.chain(itself).collect()
        }
    }

    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut failure = None;
        for name in self.candidates(host) {
            match self.ask_all(&name) {
                Ok(found) if !found.is_empty() => return Ok(found),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(vec![]), Err)
    }

    /// IPv4 first: a host without a way to IPv6 then connects at the first try.
    fn ask_all(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let v4 = self.ask(name, A);
        let v6 = self.ask(name, AAAA);
        match (v4, v6) {
            (Ok(v4), Ok(v6)) => Ok([v4, v6].concat()),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    fn ask(&self, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
        let mut failure = io::Error::other("no name server answers");
        for _ in 0..self.attempts {
            for server in &self.servers {
                match exchange(SocketAddr::new(*server, 53), name, kind, self.timeout) {
                    Ok(found) => return Ok(found),
                    Err(error) => {
                        let why = crate::error::of_io(&error);
                        failure = io::Error::new(error.kind(), format!("the name server {server} does not: {why}"));
                    }
                }
            }
        }
        Err(failure)
    }
}

fn exchange(server: SocketAddr, name: &str, kind: u16, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let query = query(id()?, name, kind)?;
    let local: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local)?;
    // Connected: the kernel drops what others send.
    socket.connect(server)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.send(&query)?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer)?;
        match answer(&buffer[..length], &query, kind) {
            // Another's answer, or a forged one: the right one may still come.
            Err(Refusal::Stray) => {}
            Err(Refusal::Truncated) => return by_stream(server, &query, kind, timeout),
            Err(Refusal::Failed(why)) => return Err(io::Error::other(why)),
            Ok(found) => return Ok(found),
        }
    }
}

/// RFC 7766: the same, with two bytes of length before each message.
fn by_stream(server: SocketAddr, query: &[u8], kind: u16, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    answer(&message, query, kind).map_err(|_| io::Error::other("an answer that makes no sense"))
}

fn id() -> io::Result<[u8; 2]> {
    let mut id = [0; 2];
    fs::File::open("/dev/urandom")?.read_exact(&mut id)?;
    Ok(id)
}

/// RFC 1035, 4.1: header with "recursion desired", one question.
fn query(id: [u8; 2], name: &str, kind: u16) -> io::Result<Vec<u8>> {
    let mut query = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        query.push(length.ok_or_else(|| io::Error::other(format!("{name:?} is no host name")))?);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend([0, 0, 0, 0, 1]);
    let at = query.len() - 4;
    query[at..at + 2].copy_from_slice(&kind.to_be_bytes());
    Ok(query)
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Stray,
    Truncated,
    Failed(&'static str),
}

/// The addresses of a message. A recursive server puts the whole chain of CNAMEs into it, so their names are not followed.
fn answer(message: &[u8], query: &[u8], kind: u16) -> Result<Vec<IpAddr>, Refusal> {
    let (Some(header), Some(question)) = (message.get(..12), message.get(12..query.len())) else {
        return Err(Refusal::Stray);
    };
    if header[..2] != query[..2] || header[2] & 0x80 == 0 || !question.eq_ignore_ascii_case(&query[12..]) {
        return Err(Refusal::Stray);
    }
    if header[2] & 2 != 0 {
        return Err(Refusal::Truncated);
    }
    match header[3] & 15 {
        0 => {}
        // NXDOMAIN is an answer.
        3 => return Ok(vec![]),
        2 => return Err(Refusal::Failed("it failed (SERVFAIL)")),
        5 => return Err(Refusal::Failed("it refuses to answer (REFUSED)")),
        _ => return Err(Refusal::Failed("it answers with an error")),
    }
    let malformed = Refusal::Failed("a malformed answer");
    records(message, query.len(), kind).ok_or(malformed)
}

fn records(message: &[u8], mut at: usize, kind: u16) -> Option<Vec<IpAddr>> {
    let count = u16::from_be_bytes(message.get(6..8)?.try_into().ok()?);
    let mut found = Vec::new();
    for _ in 0..count {
        at = skip_name(message, at)?;
        let fixed: &[u8; 10] = message.get(at..at + 10)?.try_into().ok()?;
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let data = message.get(at + 10..at + 10 + length)?;
        at += 10 + length;
        // Class IN.
        if u16::from_be_bytes([fixed[0], fixed[1]]) != kind || fixed[2..4] != [0, 1] {
            continue;
        }
        match kind {
            A => found.push(<[u8; 4]>::try_from(data).ok()?.into()),
            _ => found.push(<[u8; 16]>::try_from(data).ok()?.into()),
        }
    }
    Some(found)
}

/// Labels up to the root or to a pointer, which ends a name (RFC 1035, 4.1.4).
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_and_resolv_conf() {
        let hosts = "127.0.0.1 localhost\n::1 localhost # six\n#10.0.0.1 no\n10.0.0.2 Reg.example reg\nbad line\n";
        assert_eq!(in_hosts(hosts, "localhost").len(), 2);
        assert_eq!(in_hosts(hosts, "reg.Example"), [IpAddr::from([10, 0, 0, 2])]);
        assert!(in_hosts(hosts, "no").is_empty());
        let text =
            "search a.example b.example.\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\noptions ndots:2 timeout:1";
        let read = Configuration::read(text);
        assert_eq!((read.servers.len(), read.dots, read.timeout), (1, 2, Duration::from_secs(1)));
        assert_eq!(read.candidates("x.y"), ["x.y.a.example", "x.y.b.example", "x.y"]);
        assert_eq!(read.candidates("x.y.z")[0], "x.y.z");
        assert_eq!(read.candidates("x."), ["x"]);
        assert_eq!(Configuration::read("").servers, [IpAddr::from([127, 0, 0, 1])]);
    }

    /// A question for h.example with a CNAME and an address as its answer.
    fn message(query: &[u8], data: &[u8]) -> Vec<u8> {
        let mut message = query.to_vec();
        message[2] |= 0x80;
        message[7] = 2;
        let alias = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'c', 0xc0, 14];
        let length = u8::try_from(data.len()).unwrap();
        let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, length];
        [&message[..], &alias, &address, data].concat()
    }

    #[test]
    fn believes_only_an_answer() {
        let query = query([7, 8], "h.example", A).unwrap();
        let good = message(&query, &[1, 2, 3, 4]);
        assert_eq!(answer(&good, &query, A), Ok(vec![IpAddr::from([1, 2, 3, 4])]));
        let changed = |at: usize, value: u8| {
            let mut bad = good.clone();
            bad[at] = value;
            answer(&bad, &query, A)
        };
        assert_eq!(changed(0, 9), Err(Refusal::Stray));
        assert_eq!(changed(2, 1), Err(Refusal::Stray));
        assert_eq!(changed(13, b'i'), Err(Refusal::Stray));
        assert_eq!(changed(2, 0x83), Err(Refusal::Truncated));
        assert_eq!(changed(3, 3), Ok(vec![]));
        assert!(matches!(changed(3, 2), Err(Refusal::Failed(_))));
        assert!(matches!(answer(&message(&query, &[1, 2, 3]), &query, A), Err(Refusal::Failed(_))));
        for cut in 0..good.len() {
            let _ = answer(&good[..cut], &query, A);
        }
        assert!(super::query([0, 0], "a..b", A).is_err() && super::query([0, 0], &"a".repeat(64), A).is_err());
    }
}
