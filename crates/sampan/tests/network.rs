//! The network as a user sees it: what a container has and reaches, who reaches it, and that nothing of it is left.
//!
//! Invariant: every host here is a network namespace of the test's own, with rules and an uplink of its own, and a
//! neighbour behind that; the machine's network is never entered.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::{Ground, Ran, ran, until};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const OUTSIDE4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const UPLINK4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 2);
const UPLINK6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 1);
/// Of the network, when 10.137 is free.
const GATEWAY4: Ipv4Addr = Ipv4Addr::new(10, 137, 0, 1);
/// A packet that nobody answers is given up on after this; one that is lost is sent again after a second.
const PATIENCE: Duration = Duration::from_secs(3);
/// For what shall not be answered.
const MOMENT: Duration = Duration::from_millis(300);

/// A process in a network namespace of its own.
struct Host(Child);

impl Host {
    fn new() -> Self {
        let host = Self(Command::new("unshare").args(["-n", "sleep", "1000"]).stdin(Stdio::null()).spawn().unwrap());
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        until("a network namespace", || {
            std::fs::read_link(format!("/proc/{}/ns/net", host.0.id())).is_ok_and(|link| link != own)
        });
        host
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(self.0.id(), work)
    }

    #[track_caller]
    fn sh(&self, script: &str) -> String {
        shell(self.0.id(), script)
    }

    /// What the server behind that port says: who asks, by what address, and which port was reached.
    fn ask(&self, ip: impl Into<IpAddr>, port: u16) -> Result<String, ErrorKind> {
        let to = SocketAddr::new(ip.into(), port);
        self.inside(|| ask(to, PATIENCE))
    }

    fn ask_udp(&self, ip: impl Into<IpAddr>, port: u16) -> Result<String, ErrorKind> {
        let to = SocketAddr::new(ip.into(), port);
        self.inside(|| ask_udp(&client(to), to, PATIENCE))
    }

    /// Neither by TCP nor by UDP.
    #[track_caller]
    fn cannot_reach(&self, ip: impl Into<IpAddr>, port: u16) {
        let to = SocketAddr::new(ip.into(), port);
        self.inside(|| {
            let answer = ask(to, MOMENT).or_else(|_| ask_udp(&client(to), to, MOMENT));
            assert!(answer.is_err(), "{to} answers {answer:?}");
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In a thread that is in the network namespace of this process, as are its children.
fn inside<T: Send>(pid: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind).unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[track_caller]
fn shell(pid: u32, script: &str) -> String {
    let output = inside(pid, || Command::new("bash").args(["-euc", script]).output().unwrap());
    assert!(output.status.success(), "{script}\n{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ask(to: SocketAddr, patience: Duration) -> Result<String, ErrorKind> {
    let mut stream = TcpStream::connect_timeout(&to, patience).map_err(|e| e.kind())?;
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| e.kind())?;
    Ok(text)
}

fn client(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).unwrap()
}

/// Datagrams may get lost, so it is asked more than once.
fn ask_udp(socket: &UdpSocket, to: SocketAddr, patience: Duration) -> Result<String, ErrorKind> {
    let mut buffer = [0; 64];
    // Answers that came too late to the last question.
    socket.set_nonblocking(true).unwrap();
    while socket.recv(&mut buffer).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(patience / 6)).unwrap();
    let mut answer = Err(ErrorKind::TimedOut);
    for _ in 0..6 {
        answer = socket.send_to(b"?", to).and_then(|_| socket.recv(&mut buffer)).map_err(|e| e.kind());
        if answer.is_ok() {
            break;
        }
    }
    answer.map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Not a test: what runs in containers and at the neighbour's. Answers each connection and datagram at these ports with
/// the address that it came from and the port that it came to, until its input ends.
#[test]
#[ignore = "a server, run by the others"]
fn server() {
    let Ok(ports) = std::env::var("SAMPAN_TEST_PORTS") else { return };
    for port in ports.split(' ').map(|port| port.parse().unwrap()) {
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let (tcp, udp) = (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap());
        let answer = move |from: SocketAddr| format!("{} {port}", from.ip().to_canonical());
        std::thread::spawn(move || {
            while let Ok((_, from)) = udp.recv_from(&mut [0; 16]) {
                let _ = udp.send_to(answer(from).as_bytes(), from);
            }
        });
        std::thread::spawn(move || {
            for mut client in tcp.incoming().flatten() {
                let _ = client.write_all(answer(client.peer_addr().unwrap()).as_bytes());
            }
        });
    }
    println!("\nserving");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

const SERVER: [&str; 4] = ["--exact", "server", "--ignored", "--nocapture"];

/// A process that runs until its input ends.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Until it says so.
    #[track_caller]
    fn start(command: &mut Command, sign: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut running = Self { output: BufReader::new(child.stdout.take().unwrap()), child };
        let mut line = String::new();
        while line.trim() != sign {
            line.clear();
            let ended = running.output.read_line(&mut line).unwrap() == 0;
            assert!(!ended, "it did not start: {}", running.complaints());
        }
        running
    }

    fn complaints(&mut self) -> String {
        let mut error = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        error
    }

    #[track_caller]
    fn end(mut self) {
        drop(self.child.stdin.take());
        self.output.read_to_end(&mut Vec::new()).unwrap();
        let complaints = self.complaints();
        assert!(self.child.wait().unwrap().success() && complaints.is_empty(), "{complaints}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A host with a neighbour on its uplink, by which its default route goes, and rules of its own.
struct World {
    host: Host,
    outside: Host,
    ground: Ground,
}

impl World {
    /// `None`: the test is skipped, and why is printed.
    fn new() -> Option<Self> {
        let ground = Ground::new()?;
        for tool in ["ip", "nft", "unshare"] {
            if Command::new(tool).arg("-V").output().is_err() {
                println!("skipped: {tool} is not installed");
                return None;
            }
        }
        let (host, outside) = (Host::new(), Host::new());
        host.sh(&format!(
            "ip link set lo up
             ip link add up0 mtu 1400 type veth peer name up0 mtu 1400 netns {}
             ip link set up0 up; ip address add {UPLINK4}/24 dev up0; ip address add {UPLINK6}/64 dev up0 nodad
             ip route add default via {OUTSIDE4}; ip route add default via {OUTSIDE6} dev up0
             sysctl -qw net.ipv4.conf.up0.forwarding=1
             nft -f - <<'EOF'
             table ip filter {{
                 chain INPUT {{ type filter hook input priority 0; policy accept; counter accept; }}
                 chain FORWARD {{ type filter hook forward priority 0; policy accept; counter; }}
             }}
             table inet mine {{
                 set s {{ type ipv4_addr; elements = {{ 1.2.3.4 }}; }}
             }}
EOF",
            outside.0.id()
        ));
        // The neighbour knows the way to all containers: only the firewall keeps it out.
        outside.sh(&format!(
            "ip link set up0 up
             ip address add {OUTSIDE4}/24 dev up0; ip address add {OUTSIDE6}/64 dev up0 nodad
             ip route add 10.128.0.0/9 via {UPLINK4}; ip route add fd00::/9 via {UPLINK6} dev up0 metric 2000"
        ));
        Some(Self { host, outside, ground })
    }

    /// `sampan run --rm FLAGS`, on the bridge when they do not say otherwise.
    fn command(&self, flags: &[&str], command: &[&str]) -> Command {
        let asked = |name| flags.iter().any(|flag| flag.starts_with(name));
        let network: &[&str] = match (asked("--network"), asked("--dns")) {
            (true, _) => &[],
            (_, true) => &["--network=bridge"],
            // A machine that names no resolver warns of that.
            _ => &["--network=bridge", "--dns=192.0.2.53"],
        };
        self.ground.runner(&[network, flags].concat(), command)
    }

    fn run(&self, flags: &[&str], script: &str) -> Ran {
        self.host.inside(|| ran(self.command(flags, &["sh", "-c", script]).output().unwrap()))
    }

    /// A container that answers at these ports.
    #[track_caller]
    fn serve(&self, flags: &[&str], ports: &str) -> Running {
        let program = format!("{}:/server:ro", std::env::current_exe().unwrap().display());
        let environment = format!("SAMPAN_TEST_PORTS={ports}");
        let flags = [&["-v", &program, "-e", &environment], flags].concat();
        self.start(&flags, &[&["/server"], SERVER.as_slice()].concat(), "serving")
    }

    /// A container that waits.
    #[track_caller]
    fn wait(&self, flags: &[&str]) -> Running {
        self.start(flags, &["sh", "-c", "echo waiting; cat"], "waiting")
    }

    #[track_caller]
    fn start(&self, flags: &[&str], command: &[&str], sign: &str) -> Running {
        // Written when others can find the container, which may be after its first words.
        let file = self.ground.dir.join("pidfile");
        let mut command = self.command(&[&["-i", "--pidfile", file.to_str().unwrap()], flags].concat(), command);
        let running = self.host.inside(|| Running::start(&mut command, sign));
        until("a container", || std::fs::remove_file(&file).is_ok());
        running
    }

    /// The neighbour's own server.
    fn serve_outside(&self) -> Running {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(SERVER).env("SAMPAN_TEST_PORTS", "80");
        self.outside.inside(|| Running::start(&mut command, "serving"))
    }

    fn ps(&self) -> String {
        let output = self.host.inside(|| self.ground.command(&["ps"]).output().unwrap());
        ran(output).ok()
    }

    /// All that could be changed: links, addresses, routes, rules, sysctls, files.
    fn picture(&self) -> String {
        self.host.sh(&format!(
            "ip -o link | sed 's/^[0-9]*: //'; ip -o address | sed 's/^[0-9]*: //; s/ tentative//'; ip route; ip -6 route | sort; ip rule
             nft -s list ruleset
             (cd /proc/sys/net; grep -r . bridge ipv4 ipv6 netfilter 2>/dev/null | grep -v -e stable_secret -e _count: | sort)
             find {0}/state {0}/data | sort",
            self.ground.dir.display()
        ))
    }

    /// The bridge lingers (docs/adr/0006-bridge-removal.md), and the kernel takes a moment for links.
    #[track_caller]
    fn is_as(&self, before: &str, when: &str) {
        let mut now = String::new();
        for _ in 0..200 {
            now = self.picture();
            if now == before {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let only = |a: &str, b: &str| {
            a.lines().filter(|line| !b.lines().any(|other| other == *line)).collect::<Vec<_>>().join("\n")
        };
        panic!("{when}: gone:\n{}\nnew:\n{}", only(before, &now), only(&now, before));
    }
}

#[test]
fn a_container_has_one_link_and_a_way_out() {
    let Some(world) = World::new() else { return };
    let _server = world.serve_outside();
    let look = format!(
        "ip -o link | cut -d: -f2; ip -o -4 address; ip route; ip -6 route; cat /proc/sys/net/ipv6/conf/eth0/accept_ra
         nc {OUTSIDE4} 80; echo; nc {OUTSIDE6} 80"
    );
    let seen = world.run(&["--ip", "10.137.7.8", "--mac-address", "02:00:00:00:07:08"], &look).ok();
    let mut lines = seen.lines().map(str::trim);
    let mut next = || lines.next().unwrap();
    assert_eq!([next(), next()].map(|link| link.split('@').next().unwrap()), ["lo", "eth0"], "{seen}");
    assert!(next().contains("lo    inet 127.0.0.1/8 "), "{seen}");
    assert!(next().contains("eth0    inet 10.137.7.8/16 brd 10.137.255.255 "), "{seen}");
    assert_eq!(next(), "default via 10.137.0.1 dev eth0", "{seen}");
    assert_eq!(next(), "10.137.0.0/16 dev eth0 scope link  src 10.137.7.8", "{seen}");
    for part in ["\ndefault via fd", "::1 dev eth0  metric 1024 \n", "\n0\n192.0.2.1 80\nfd02::1 80"] {
        assert!(seen.contains(part), "{part:?} is not in\n{seen}");
    }
    let link = world.run(&["--mac-address", "02:00:00:00:07:08"], "ip -o link show eth0").ok();
    assert!(link.contains("link/ether 02:00:00:00:07:08 ") && link.contains(" mtu 1400 "), "{link}");
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let Some(world) = World::new() else { return };
    let at_uplink = format!("{UPLINK4}:8082:80");
    let at_uplink6 = format!("[{UPLINK6}]:8083:80/tcp");
    let flags = [
        ["-p", "8080:80"],
        ["-p", "8080:81/udp"],
        ["-p", &at_uplink],
        ["-p", &at_uplink6],
        ["-p", "8090-8092:80-82"],
        ["-p", "80"],
        ["-p", "8100-8109:82/udp"],
    ]
    .concat();
    let web = world.serve(&[flags.as_slice(), &["--name", "web"]].concat(), "80 81 82");
    let from_outside4 = |port| Ok(format!("{OUTSIDE4} {port}"));
    let from_outside6 = |port| Ok(format!("{OUTSIDE6} {port}"));
    let outside = &world.outside;
    for (port, inside) in [(8080, 80), (8090, 80), (8091, 81), (8092, 82)] {
        assert_eq!(outside.ask(UPLINK4, port), from_outside4(inside));
        assert_eq!(outside.ask(UPLINK6, port), from_outside6(inside));
    }
    assert_eq!(outside.ask_udp(UPLINK4, 8080), from_outside4(81));
    assert_eq!(outside.ask_udp(UPLINK6, 8080), from_outside6(81));
    assert_eq!(outside.ask(UPLINK4, 8082), from_outside4(80));
    assert_eq!(outside.ask(UPLINK6, 8083), from_outside6(80));
    // The host itself, at its own address, and at its loopback, from which nothing can be forwarded as it is.
    assert_eq!(world.host.ask(UPLINK4, 8080), Ok(format!("{UPLINK4} 80")));
    assert_eq!(world.host.ask(UPLINK6, 8091), Ok(format!("{UPLINK6} 81")));
    assert_eq!(world.host.ask(Ipv4Addr::LOCALHOST, 8080), Ok(format!("{GATEWAY4} 80")));
    assert_eq!(world.host.ask_udp(Ipv4Addr::LOCALHOST, 8080), Ok(format!("{GATEWAY4} 81")));

    let listed = world.ps();
    let ports = listed.lines().nth(1).unwrap();
    for part in [
        "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 0.0.0.0:8080->81/udp, [::]:8080->81/udp, 192.0.2.1:8082->80/tcp, ",
        "[fd02::1]:8083->80/tcp, 0.0.0.0:8090->80/tcp, ",
    ] {
        assert!(ports.contains(part), "{part} is not in {ports}");
    }
    // The free ones that sampan chose.
    for (end, ask) in [
        ("->80/tcp", Host::ask as fn(&Host, Ipv4Addr, u16) -> _),
        ("->82/udp", Host::ask_udp as fn(&Host, Ipv4Addr, u16) -> _),
    ] {
        let mut chosen = ports.split_whitespace().filter_map(|port| {
            let port = port.trim_end_matches(',').strip_suffix(end)?.strip_prefix("0.0.0.0:")?;
            port.parse::<u16>().ok().filter(|port| !matches!(port, 8080..=8092))
        });
        let port = chosen.next().unwrap();
        let answer: Result<String, ErrorKind> = ask(outside, UPLINK4, port);
        assert!(answer.is_ok(), "{port}: {answer:?}");
    }

    // What was not published, and what was at another address.
    for port in [80, 81, 82, 8082] {
        outside.cannot_reach(UPLINK6, port);
    }
    outside.cannot_reach(UPLINK4, 8083);
    web.end();
    outside.cannot_reach(UPLINK4, 8080);
}

#[test]
fn publish_all_gives_each_exposed_port_one_of_the_host() {
    let Some(world) = World::new() else { return };
    let flags = ["-P", "--expose=81-82", "--expose=82/udp", "--expose=81", "-p", "8080:80", "--expose=80"];
    let web = world.serve(&flags, "80 81 82");
    let listed = world.ps();
    let ports: Vec<&str> = listed.split_whitespace().filter_map(|word| word.strip_prefix("0.0.0.0:")).collect();
    // In the order of the flags, each once; and the one that has its port already gets no other.
    let (chosen, inside): (Vec<u16>, Vec<&str>) = ports
        .iter()
        .map(|port| port.trim_end_matches(',').split_once("->").unwrap())
        .map(|(port, inside)| (port.parse::<u16>().unwrap(), inside))
        .unzip();
    assert_eq!(inside, ["80/tcp", "81/tcp", "82/tcp", "82/udp"], "{listed}");
    for (port, inside) in chosen[..3].iter().zip(80..) {
        assert_eq!(world.outside.ask(UPLINK4, *port), Ok(format!("{OUTSIDE4} {inside}")));
    }
    assert_eq!(world.outside.ask_udp(UPLINK4, chosen[3]), Ok(format!("{OUTSIDE4} 82")));
    web.end();

    // Without -P a word for who reads it, as in docker.
    let web = world.serve(&["--expose=81"], "81");
    assert!(!world.ps().contains("->"));
    web.end();
}

#[test]
fn a_container_is_not_reached_by_other_ways() {
    let Some(world) = World::new() else { return };
    let flags = ["-p", "127.0.0.1:8081:80", "-p", "8080:80", "--ip", "10.137.7.8"];
    let web = world.serve(&flags, "80 81");
    assert_eq!(world.host.ask(Ipv4Addr::LOCALHOST, 8081), Ok(format!("{GATEWAY4} 80")));
    // Published for the host only; and nothing is by the container's own address, of which the neighbour knows the way.
    world.outside.cannot_reach(UPLINK4, 8081);
    world.outside.cannot_reach(Ipv4Addr::new(10, 137, 7, 8), 80);
    world.outside.cannot_reach(Ipv4Addr::new(10, 137, 7, 8), 81);
    assert_eq!(world.outside.ask(UPLINK4, 8080), Ok(format!("{OUTSIDE4} 80")));
    // A neighbour may send what is addressed to 127.0.0.1 (CVE-2020-8558).
    world.outside.sh(&format!(
        "sysctl -qw net.ipv4.conf.up0.route_localnet=1; ip route add 127.0.0.0/8 via {UPLINK4} dev up0 src {OUTSIDE4}"
    ));
    world.outside.cannot_reach(Ipv4Addr::LOCALHOST, 8081);
    world.outside.cannot_reach(Ipv4Addr::LOCALHOST, 8080);
    web.end();
}

#[test]
fn a_port_that_is_taken_is_refused_before_anything_is_touched() {
    let Some(world) = World::new() else { return };
    let web = world.serve(&["--name", "web", "-p", "8080:80"], "80");
    let listener = world.host.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 9000)).unwrap());
    let before = world.picture();
    let refused = |port: &str, message: &str| {
        let ran = world.run(&["-p", port], "true");
        ran.fails(125, message);
        assert!(ran.err.starts_with("error: cannot publish ") && ran.err.contains("\nhint: "), "{}", ran.err);
        world.is_as(&before, port);
    };
    refused("9000:80", "cannot publish 9000/tcp\n  a process of this host has that port\n");
    refused("127.0.0.1:9000:80", "cannot publish 127.0.0.1:9000/tcp\n  a process of this host has that port\n");
    refused("8080:81", "cannot publish 8080/tcp\n  container web has that port\n");
    refused("127.0.0.1:8080:81", "cannot publish 127.0.0.1:8080/tcp\n  container web has that port\n");
    refused("198.51.100.1:80:80", "no link of this host has that address\n");
    world.run(&["-p", "9000:80/udp", "-p", "8080:80/udp"], "true").ok();
    drop(listener);
    web.end();
    world.run(&["-p", "9000:80", "-p", "8080:80"], "true").ok();
}

#[test]
fn names_are_as_asked() {
    let Some(world) = World::new() else { return };
    let look = "cat /etc/hosts; cat /etc/resolv.conf; hostname; cat /etc/hostname";
    let flags = [
        ["--ip", "10.137.7.8"],
        ["--hostname", "box"],
        ["--add-host", "db:10.0.0.7"],
        ["--add-host", "me:host-gateway"],
        ["--dns", "192.0.2.53"],
        ["--dns", "fd02::53"],
        ["--dns-search", "example.org"],
        ["--dns-option", "ndots:2"],
    ]
    .concat();
    let seen = world.run(&flags, look).ok();
    for line in [
        "127.0.0.1\tlocalhost",
        "10.0.0.7\tdb",
        "10.137.0.1\tme",
        "10.137.7.8\tbox",
        "search example.org",
        "options ndots:2",
        "nameserver 192.0.2.53",
        "nameserver fd02::53",
        "box",
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line:?} is not in\n{seen}");
    }
    assert_eq!(seen.matches("nameserver").count(), 2, "{seen}");
    // Whatever this machine's resolvers are: none on a loopback, which would be the container's own.
    let seen = world.run(&["--network=bridge"], "cat /etc/resolv.conf").ok();
    assert!(!seen.contains("nameserver 127.") && !seen.contains("nameserver ::1"), "{seen}");
}

#[test]
fn a_container_may_have_no_network_or_anothers() {
    let Some(world) = World::new() else { return };
    let look = "ip -o link | cut -d' ' -f2; ip route";
    assert_eq!(world.run(&["--network=none"], look).ok(), "lo:");
    let hosts = world.host.sh("readlink /proc/self/ns/net");
    let _server = world.serve_outside();
    let script = format!("readlink /proc/self/ns/net; nc {OUTSIDE4} 80");
    assert_eq!(world.run(&["--network=host"], &script).ok(), format!("{hosts}{UPLINK4} 80"));
    let web = world.serve(&["--name", "web", "--ip", "10.137.7.8"], "80");
    let seen = world.run(&["--network=container:web"], "nc 127.0.0.1 80; echo; cat /etc/hosts").ok();
    assert!(seen.starts_with("127.0.0.1 80\n") && seen.contains("\n10.137.7.8\t"), "{seen}");
    // A neighbour of the same bridge.
    assert_eq!(world.run(&["--ip", "10.137.7.9"], "nc 10.137.7.8 80").ok(), "10.137.7.9 80");
    web.end();
}

#[test]
fn a_firewall_that_drops_is_named_and_the_hint_helps() {
    let Some(world) = World::new() else { return };
    let _server = world.serve_outside();
    let out = |seconds| world.run(&[], &format!("nc -w {seconds} {OUTSIDE4} 80; true"));
    world.host.sh("nft 'chain ip filter FORWARD { policy drop; }'");
    let ran = out(1);
    assert_eq!(ran.out, "", "{ran:?}");
    assert!(ran.err.starts_with("warning: the firewall of this host drops "), "{ran:?}");
    assert!(ran.err.contains(": chain ip filter FORWARD has the policy drop"), "{ran:?}");
    let hint = ran.err.lines().find_map(|line| line.trim().strip_prefix("hint: ")).unwrap();
    world.host.sh(hint);
    let ran = out(9);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("192.0.2.1 80", ""));
    assert!(world.host.sh("nft list chain ip filter FORWARD").contains("oifname \"sampan0\" accept"));
}

/// A client that never falls silent, such as a game's or a tunnel's: to the kernel all of it is one flow.
#[test]
fn a_client_that_goes_on_sending_reaches_the_next_container() {
    let Some(world) = World::new() else { return };
    let to = SocketAddr::new(UPLINK4.into(), 8080);
    let client = world.outside.inside(|| client(to));
    let reaches = |when: &str, expected: Option<u16>| {
        let expected = expected.map(|port| format!("{OUTSIDE4} {port}"));
        let patience = if expected.is_some() { PATIENCE } else { MOMENT };
        assert_eq!(ask_udp(&client, to, patience).ok(), expected, "{when}");
    };
    reaches("before", None);
    let first = world.serve(&["-p", "8080:80/udp", "--ip", "10.137.7.8"], "80 81");
    reaches("first", Some(80));
    first.end();
    reaches("after the first", None);
    let second = world.serve(&["-p", "8080:81/udp"], "80 81");
    reaches("second", Some(81));
    // Not published, but at the address of one that was.
    second.end();
    let third = world.serve(&["--ip", "10.137.7.8"], "80 81");
    reaches("third", None);
    third.end();
}

#[test]
fn nothing_is_left_of_a_network() {
    let Some(world) = World::new() else { return };
    world.run(&["--network=none"], "true").ok();
    let before = world.picture();
    let flags = ["-p", "8080:80", "-p", "127.0.0.1:8080:80/udp"];
    world.wait(&flags).end();
    world.is_as(&before, "a container");
    // Killed, with a port that somebody else's leaves alone.
    drop(world.wait(&flags));
    world.ps();
    world.is_as(&before, "kill -9 of sampan");
    let other = world.wait(&["-p", "9090:90"]);
    let with_other = world.picture();
    drop(world.wait(&flags));
    world.ps();
    world.is_as(&with_other, "kill -9 of one of two");
    other.end();
    world.is_as(&before, "the last");
}
