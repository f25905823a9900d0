//! The resolver on the real kernel: a host and a container, each a network namespace, and servers on the host.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::{Host, enter};
use plan::network::{Definition, HostNetwork, HostStep, Lease, Net4, Net6, Request, Traits, connect};
use runtime::apply::network::{Context, Lock, apply_host, leave_all};
use runtime::resolver::{Resolver, Sockets, View};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

const A: u16 = 1;
const PTR: u16 = 12;
const MX: u16 = 15;
const AAAA: u16 = 28;

/// A host whose loopback is up.
fn new_host() -> Host {
    let script = "ip link set lo up && exec sleep 1000";
    Host::started(Command::new("unshare").args(["-n", "sh", "-c", script]).stdin(Stdio::null()).spawn().unwrap())
}

/// A host with one container, `me`, that asks, and a state directory in which others come and go.
struct World {
    host: Host,
    me: Host,
    dir: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<bool>>,
}

impl World {
    fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            println!("skipped: network namespaces need root");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("sampan-resolver-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let world = Self { host: new_host(), me: new_host(), dir, stop: Arc::default(), thread: None };
        world.servers("127.0.0.1");
        Some(world)
    }

    fn servers(&self, list: &str) {
        let text: String = list.split(' ').map(|server| format!("nameserver {server}\n")).collect();
        std::fs::write(self.dir.join("new"), text).unwrap();
        std::fs::rename(self.dir.join("new"), self.dir.join("resolv.conf")).unwrap();
    }

    /// In this network from now on.
    fn join(&self, container: &str, network: &Definition, names: &[&str]) -> Lease {
        let state = self.dir.join("networks");
        let request = Request {
            container: container.into(),
            network: network.name.clone(),
            definition: Some(network.clone()),
            link: "eth0".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Request::default()
        };
        let host = HostNetwork { state_dir: state.to_str().unwrap().into(), ipv6: true, ..HostNetwork::default() };
        let made = connect(&request, &host).unwrap();
        let lock = Lock::take(&state).unwrap();
        for step in made.host.iter().filter(|step| matches!(step, HostStep::Claim { .. })) {
            apply_host(step, &mut Context::new(), &lock).unwrap();
        }
        made.lease
    }

    fn leave(&self, container: &str) {
        leave_all(&self.dir.join("networks"), container).unwrap();
    }

    /// As the process that watches the container does it: one thread, one descriptor.
    fn start(&mut self, servers: &[IpAddr]) {
        let (host, me, stop) = (self.host.pid(), self.me.pid(), self.stop.clone());
        let view = View { state_dir: self.dir.join("networks"), container: "me".into() };
        let (file, servers) = (self.dir.join("resolv.conf"), servers.to_vec());
        let (tell, ready) = std::sync::mpsc::channel();
        self.thread = Some(std::thread::spawn(move || {
            enter(host);
            let mut resolver = Resolver::new(Sockets::open(me).unwrap(), view, &servers, file).unwrap();
            tell.send(()).unwrap();
            let ready = |resolver: &Resolver, milliseconds: i64| {
                let fd = resolver.fd();
                let wait = Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
                poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait)).unwrap() > 0
            };
            while !stop.load(Ordering::Relaxed) {
                if ready(&resolver, 50) {
                    resolver.serve();
                }
            }
            while ready(&resolver, 50) {
                resolver.serve();
            }
            // When nobody asks there is nothing to do, and no timer is due.
            !ready(&resolver, 300)
        }));
        ready.recv().unwrap();
    }

    /// It was idle in the end.
    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.thread.take().unwrap().join().unwrap());
    }

    fn ask(&self, name: &str, kind: u16) -> Answer {
        let asked = question(name, kind, None);
        self.me.inside(|| Answer::of(&asked, &by_udp(&asked)))
    }

    fn ask_by_tcp(&self, name: &str, kind: u16) -> Answer {
        let asked = question(name, kind, None);
        self.me.inside(|| {
            let mut stream = TcpStream::connect("127.0.0.11:53").unwrap();
            Answer::of(&asked, &by_tcp(&mut stream, &asked))
        })
    }

    fn addresses(&self, name: &str) -> Vec<String> {
        let mut answer = self.ask(name, A);
        assert_eq!(answer.code, 0, "{name}");
        answer.data.sort();
        answer.data
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn network(name: &str, third: u8, internal: bool) -> Definition {
    let six = Ipv6Addr::new(0xfd09, third.into(), 0, 0, 0, 0, 0, 0);
    Definition {
        name: name.into(),
        bridge: format!("br-{name}"),
        subnet4: Net4::new(Ipv4Addr::new(10, 9, third, 0), 24).unwrap(),
        subnet6: Some(Net6::new(six, 64).unwrap()),
        mtu: None,
        traits: Traits { internal, named: true, ..Traits::default() },
        parent: None,
    }
}

fn question(name: &str, kind: u16, payload: Option<u16>) -> Vec<u8> {
    static ID: AtomicU32 = AtomicU32::new(1);
    let id = (ID.fetch_add(1, Ordering::Relaxed) as u16).to_be_bytes();
    let mut message = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(payload.is_some())];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    if let Some(payload) = payload {
        message.extend([0, 0, 41]);
        message.extend(payload.to_be_bytes());
        message.extend([0, 0, 0, 0, 0, 0]);
    }
    message
}

fn by_udp(asked: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send_to(asked, "127.0.0.11:53").unwrap();
    let mut buffer = [0; 4096];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from, "127.0.0.11:53".parse().unwrap());
    buffer[..length].to_vec()
}

fn by_tcp(stream: &mut TcpStream, asked: &[u8]) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&[&(asked.len() as u16).to_be_bytes(), asked].concat()).unwrap();
    read_framed(stream)
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).unwrap();
    message
}

#[derive(Debug)]
struct Answer {
    code: u8,
    cut: bool,
    data: Vec<String>,
}

impl Answer {
    /// Names in answers point to the question, as ours do and the test's server does.
    fn of(asked: &[u8], message: &[u8]) -> Self {
        assert_eq!(message[..2], asked[..2]);
        let mut at = 12;
        while message.get(at).is_some_and(|length| *length != 0) {
            at += 1 + usize::from(message[at]);
        }
        let (mut rest, mut data) = (message.get(at + 5..).unwrap_or_default(), Vec::new());
        for _ in 0..u16::from_be_bytes([message[6], message[7]]) {
            let kind = u16::from_be_bytes([rest[2], rest[3]]);
            let (value, behind) = rest[12..].split_at(u16::from_be_bytes([rest[10], rest[11]]).into());
            data.push(match kind {
                A => Ipv4Addr::from(*value.first_chunk().unwrap()).to_string(),
                AAAA => Ipv6Addr::from(*value.first_chunk().unwrap()).to_string(),
                _ => text(value),
            });
            rest = behind;
        }
        Self { code: message[3] & 0xf, cut: message[2] & 2 != 0, data }
    }
}

fn text(mut wire: &[u8]) -> String {
    let mut labels = Vec::new();
    while let Some((length, rest)) = wire.split_first().filter(|(length, _)| **length != 0) {
        let (label, behind) = rest.split_at((*length).into());
        labels.push(String::from_utf8_lossy(label).into_owned());
        wire = behind;
    }
    labels.join(".")
}

/// A server that answers each question with this address, or says that it cannot.
fn serve(host: &Host, at: &str, says: Option<Ipv4Addr>) -> Arc<AtomicU32> {
    let (pid, at) = (host.pid(), SocketAddr::new(at.parse().unwrap(), 53));
    let asked = Arc::new(AtomicU32::new(0));
    let (count, (tell, ready)) = (asked.clone(), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        enter(pid);
        let (udp, tcp) = (UdpSocket::bind(at).unwrap(), TcpListener::bind(at).unwrap());
        tell.send(()).unwrap();
        let counted = count.clone();
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let message = read_framed(&mut stream);
                let reply = reply(&message, says, false);
                counted.fetch_add(1, Ordering::Relaxed);
                let _ = stream.write_all(&[&(reply.len() as u16).to_be_bytes(), reply.as_slice()].concat());
            }
        });
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::Relaxed);
            // Somebody else's answer first: it must not be taken for this one.
            let mut forged = reply(&buffer[..length], Some(Ipv4Addr::new(6, 6, 6, 6)), true);
            forged[0] ^= 0xff;
            let _ = udp.send_to(&forged, from);
            let _ = udp.send_to(&reply(&buffer[..length], says, true), from);
        }
    });
    ready.recv().unwrap();
    asked
}

fn reply(asked: &[u8], says: Option<Ipv4Addr>, by_udp: bool) -> Vec<u8> {
    let end = 12 + asked[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut message = asked[..end].to_vec();
    // Without what the question extends DNS by.
    message[11] = 0;
    message[2] |= 0x80;
    message[3] |= 0x80;
    // Of one name there is more than a datagram can take.
    if by_udp && text(&asked[12..]).starts_with("big") {
        message[2] |= 2;
        return message;
    }
    match says {
        None => message[3] |= 2,
        Some(ip) => {
            message[7] = 1;
            message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            message.extend(ip.octets());
        }
    }
    message
}

#[test]
fn names_of_the_networks_are_known() {
    let Some(mut world) = World::new() else { return };
    let (one, two, other) = (network("one", 1, false), network("Two", 2, true), network("other", 3, false));
    world.join("me", &one, &["me"]);
    world.join("me", &two, &["me"]);
    let web = world.join("w".repeat(64).as_str(), &one, &["web", "www", "wwwwwwwwwwww", "box.lan"]);
    let db = world.join("db", &two, &["DB"]);
    world.join("far", &other, &["far", "web"]);
    world.start(&[]);
    let upstream = serve(&world.host, "127.0.0.1", None);

    let four = web.address4.to_string();
    for name in ["web", "www", "WWW", "wwwwwwwwwwww", "box.lan", "web.one", "web.ONE"] {
        assert_eq!(world.addresses(name), [four.as_str()], "{name}");
        assert_eq!(world.ask_by_tcp(name, A).data, [four.as_str()], "{name}");
        assert_eq!(world.ask(name, AAAA).data, [web.address6.unwrap().to_string()], "{name}");
    }
    assert_eq!(world.addresses("db"), [db.address4.to_string()]);
    // A name that is there has no other records; one of another network is not there.
    let mail = world.ask("web", MX);
    assert_eq!((mail.code, mail.data.len()), (0, 0));
    assert_eq!(upstream.load(Ordering::Relaxed), 0);
    for name in ["far", "web.other", "web.two", "we"] {
        assert_eq!(world.ask(name, A).code, 2, "{name}");
    }
    let [a, b, c, d] = web.address4.octets();
    assert_eq!(world.ask(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"), PTR).data, ["web.one"]);
    let nibbles: Vec<String> =
        format!("{:032x}", web.address6.unwrap().to_bits()).chars().rev().map(String::from).collect();
    assert_eq!(world.ask(&format!("{}.ip6.arpa", nibbles.join(".")), PTR).data, ["web.one"]);

    // Who comes, shares a name, or leaves is known at once.
    let twin = world.join("twin", &one, &["twin", "www"]);
    let mut both = [four, twin.address4.to_string()];
    both.sort();
    assert_eq!(world.addresses("www"), both);
    let firsts: std::collections::BTreeSet<String> = (0..8).map(|_| world.ask("www", A).data[0].clone()).collect();
    assert_eq!(firsts.len(), 2);
    world.leave(&"w".repeat(64));
    assert_eq!(world.addresses("www"), [twin.address4.to_string()]);
    assert_eq!(world.ask("web", A).code, 2);
    world.join("me2", &other, &["me2"]);
    world.join("me", &other, &["me"]);
    assert_eq!(world.ask("me2", A).code, 0);
    world.end();
}

#[test]
fn all_others_are_asked_of_the_host_whose_changes_are_followed() {
    let Some(mut world) = World::new() else { return };
    world.join("me", &network("one", 1, false), &["me"]);
    world.start(&[]);
    // On the loopback of the host, as systemd-resolved's.
    serve(&world.host, "127.0.0.1", Some(Ipv4Addr::new(203, 0, 113, 1)));
    serve(&world.host, "127.0.0.2", Some(Ipv4Addr::new(203, 0, 113, 2)));
    let cannot = serve(&world.host, "127.0.0.3", None);
    assert_eq!(world.addresses("example.org"), ["203.0.113.1"]);
    assert_eq!(world.ask_by_tcp("example.org", A).data, ["203.0.113.1"]);
    world.servers("127.0.0.2");
    assert_eq!(world.addresses("example.org"), ["203.0.113.2"]);
    // One that says that it cannot, one that is not there, one that is silent.
    world.servers("127.0.0.3 127.0.0.9 127.0.0.1");
    assert_eq!(world.addresses("example.org"), ["203.0.113.1"]);
    assert_eq!(world.ask_by_tcp("example.org", A).data, ["203.0.113.1"]);
    assert!(cannot.load(Ordering::Relaxed) >= 2);
    let silent =
        world.host.inside(|| (UdpSocket::bind("127.0.0.4:53").unwrap(), TcpListener::bind("127.0.0.4:53").unwrap()));
    world.servers("127.0.0.4 127.0.0.1");
    assert_eq!(world.addresses("example.org"), ["203.0.113.1"]);
    assert_eq!(world.ask_by_tcp("example.org", A).data, ["203.0.113.1"]);
    drop(silent);
    world.servers("127.0.0.3 127.0.0.9");
    assert_eq!((world.ask("example.org", A).code, world.ask_by_tcp("example.org", A).code), (2, 2));
    // What a datagram cannot take.
    world.servers("127.0.0.1");
    assert!(world.ask("big.example.org", A).cut);
    assert_eq!(world.ask_by_tcp("big.example.org", A).data, ["203.0.113.1"]);

    // Many at once, several over one connection, and a server of the container's own at port 53.
    world.me.inside(|| {
        let own = UdpSocket::bind("0.0.0.0:53").unwrap();
        let mut stream = TcpStream::connect("127.0.0.11:53").unwrap();
        let asked: Vec<Vec<u8>> = (0..20).map(|n| question(&format!("n{n}.example.org"), A, None)).collect();
        for asked in &asked {
            stream.write_all(&[&(asked.len() as u16).to_be_bytes(), asked.as_slice()].concat()).unwrap();
        }
        for asked in &asked {
            assert_eq!(Answer::of(asked, &read_framed(&mut stream)).data, ["203.0.113.1"]);
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut open: std::collections::BTreeMap<[u8; 2], Vec<u8>> = std::collections::BTreeMap::new();
        for n in 0..150 {
            let asked = question(&format!("m{n}.example.org"), A, None);
            socket.send_to(&asked, "127.0.0.11:53").unwrap();
            open.insert([asked[0], asked[1]], asked);
        }
        let mut buffer = [0; 512];
        while !open.is_empty() {
            let length = socket.recv(&mut buffer).unwrap();
            let asked = open.remove(&[buffer[0], buffer[1]]).unwrap();
            assert_eq!(Answer::of(&asked, &buffer[..length]).data, ["203.0.113.1"]);
        }
        // What is no question, and half of one, harm nobody.
        for junk in [&[][..], &[0; 5], &[0xff; 600], &question("a", A, None)[..14]] {
            socket.send_to(junk, "127.0.0.11:53").unwrap();
        }
        let mut half = TcpStream::connect("127.0.0.11:53").unwrap();
        half.write_all(&[0, 200, 1]).unwrap();
        drop(half);
        let asked = question("example.org", A, Some(1232));
        assert_eq!(Answer::of(&asked, &by_udp(&asked)).data, ["203.0.113.1"]);
        drop(own);
    });
    world.end();
}

#[test]
fn named_servers_are_asked_from_the_container_and_internal_networks_ask_nobody() {
    let Some(mut world) = World::new() else { return };
    world.join("me", &network("one", 1, false), &["me"]);
    world.start(&["127.0.0.5".parse().unwrap()]);
    // At the same address on the host is another.
    serve(&world.host, "127.0.0.5", Some(Ipv4Addr::new(203, 0, 113, 6)));
    serve(&world.me, "127.0.0.5", Some(Ipv4Addr::new(203, 0, 113, 5)));
    assert_eq!(world.addresses("example.org"), ["203.0.113.5"]);
    assert_eq!(world.ask_by_tcp("example.org", A).data, ["203.0.113.5"]);
    world.end();

    let Some(mut world) = World::new() else { return };
    world.join("me", &network("inner", 1, true), &["me"]);
    let upstream = serve(&world.host, "127.0.0.1", Some(Ipv4Addr::new(203, 0, 113, 1)));
    world.start(&[]);
    assert_eq!((world.ask("example.org", A).code, world.ask_by_tcp("example.org", A).code), (5, 5));
    assert_eq!(world.ask("me", A).code, 0);
    assert_eq!(upstream.load(Ordering::Relaxed), 0);
    world.join("me", &network("two", 2, false), &["me"]);
    assert_eq!(world.addresses("example.org"), ["203.0.113.1"]);
    world.end();
}
