//! Networks on the real kernel. Every host here is a network namespace of its own; the machine's is never entered.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::{Host, enter};
use plan::network::{Connection, Protocol, Published, Request, connect};
use runtime::apply::network::{
    Context, InitOp, Left, Lock, apply_attach, apply_host, compile, leave, leave_all, retire, undo,
};
use runtime::observe::network as observe;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const OUTSIDE4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const UPLINK4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 2);
const UPLINK6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 1);

impl Host {
    fn shell(&self, script: &str) -> String {
        let output = Command::new("nsenter")
            .args([&format!("--net=/proc/{}/ns/net", self.pid()), "--", "bash", "-euc", script])
            .env("PID", "0")
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Answers every connection and datagram at port 80 with the address that it came from.
    fn serve(&self) {
        let pid = self.pid();
        let (tell, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            enter(pid);
            let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 80);
            let (tcp, udp) = (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap());
            tell.send(()).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 16];
                while let Ok((_, from)) = udp.recv_from(&mut buffer) {
                    let _ = udp.send_to(from.ip().to_canonical().to_string().as_bytes(), from);
                }
            });
            for mut client in tcp.incoming().flatten() {
                let from = client.peer_addr().unwrap().ip().to_canonical();
                let _ = client.write_all(from.to_string().as_bytes());
            }
        });
        ready.recv().unwrap();
    }

    /// Who the server at the other end takes this host for.
    fn ask(&self, ip: impl Into<IpAddr>, port: u16) -> Result<IpAddr, std::io::ErrorKind> {
        let to = SocketAddr::new(ip.into(), port);
        self.inside(move || {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(1700)).map_err(|e| e.kind())?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).map_err(|e| e.kind())?;
            Ok(text.parse().unwrap())
        })
    }

    fn ask_udp(&self, ip: impl Into<IpAddr>, port: u16) -> Result<IpAddr, std::io::ErrorKind> {
        let to = SocketAddr::new(ip.into(), port);
        self.inside(move || {
            let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
            socket.connect(to).map_err(|e| e.kind())?;
            socket.send(b"?").map_err(|e| e.kind())?;
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).map_err(|e| e.kind())?;
            Ok(std::str::from_utf8(&buffer[..length]).unwrap().parse().unwrap())
        })
    }
}

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sampan-network-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("networks")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A host with a neighbour on its uplink, by which its default route goes, and rules of its own.
struct World {
    host: Host,
    outside: Host,
    dir: Dir,
}

impl World {
    /// `None`: the test is skipped, and why is printed.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: network namespaces need root");
            return None;
        }
        for tool in ["ip", "nft", "nsenter", "unshare"] {
            if Command::new(tool).arg("-V").output().is_err() {
                println!("skipped: {tool} is not installed");
                return None;
            }
        }
        let (host, outside) = (Host::new(), Host::new());
        host.shell(&format!(
            "ip link set lo up
             ip link add up0 mtu 1400 type veth peer name up0 mtu 1400 netns {}
             ip link set up0 up; ip address add {UPLINK4}/24 dev up0; ip address add {UPLINK6}/64 dev up0 nodad
             ip route add default via {OUTSIDE4}; ip route add default via {OUTSIDE6} dev up0
             ip route add 10.137.0.0/20 via {OUTSIDE4}
             sysctl -qw net.ipv4.conf.up0.forwarding=1
             nft add table ip filter
             nft 'add chain ip filter INPUT {{ type filter hook input priority 0; policy accept; }}'
             nft add rule ip filter INPUT counter accept
             nft add table inet mine
             nft 'add set inet mine s {{ type ipv4_addr; elements = {{ 1.2.3.4 }}; }}'",
            outside.pid()
        ));
        // The neighbour knows the way to all containers: only the firewall keeps it out.
        outside.shell(&format!(
            "ip link set lo up; ip link set up0 up
             ip address add {OUTSIDE4}/24 dev up0; ip address add {OUTSIDE6}/64 dev up0 nodad
             ip route add 10.128.0.0/9 via {UPLINK4}; ip route add fd00::/9 via {UPLINK6} dev up0 metric 2000"
        ));
        Some(Self { host, outside, dir: Dir::new() })
    }

    /// All that could be changed: links, addresses, routes, rules, sysctls, files.
    fn picture(&self) -> String {
        let state = self.dir.0.display();
        // lastuse and counters change by themselves; an interface's own directory goes and comes with it.
        self.host.shell(&format!(
            "ip -o link | sed 's/^[0-9]*: //'; ip -o address | sed 's/^[0-9]*: //; s/ tentative//'; ip route; ip -6 route | sort
             nft -s list ruleset
             (cd /proc/sys/net; grep -r . ipv4/ip_forward ipv4/conf ipv6/conf 2>/dev/null | grep -v stable_secret | sort)
             find {state} ! -name nft-dup | sort"
        ))
    }

    fn plan(&self, request: &Request) -> Result<(Connection, observe::Held), plan::Rejected> {
        let (host, held) = self.host.inside(|| observe::host(&self.dir.state(), request)).unwrap();
        connect(request, &host).map(|connection| (connection, held))
    }

    /// As sampan does it: everything between the request and the exec.
    fn run(&self, request: &Request) -> Container {
        let state = self.dir.state();
        let (mut context, connection, held) = self.host.inside(|| {
            let lock = Lock::take(&state).unwrap();
            let (host, held) = observe::host(&state, request).unwrap();
            let connection = connect(request, &host).unwrap();
            let mut context = Context::new();
            for step in &connection.host {
                apply_host(step, &mut context, &lock).unwrap_or_else(|error| panic!("{step:?}: {error}"));
            }
            (context, connection, held)
        });
        let host = Host::new();
        let pid = host.pid();
        let (connection, ops) = self.host.inside(move || {
            for step in &connection.attach {
                apply_attach(step, &mut context, pid).unwrap();
            }
            let ops: Vec<_> = connection.init.iter().map(|step| compile(step).unwrap()).collect();
            (connection, ops)
        });
        host.inside(|| ops.iter().for_each(run));
        Container { host, connection, _held: held }
    }

    fn leave(&self, container: &Container) -> Left {
        let verbs: Vec<_> = container.connection.host.iter().flat_map(plan::network::HostStep::undo).collect();
        let [plan::undo::Verb::Network(verb)] = verbs.as_slice() else { panic!("{verbs:?}") };
        self.host.inside(|| undo(verb)).unwrap()
    }

    fn retire(&self) {
        self.host.inside(|| retire(&self.dir.state())).unwrap();
    }

    /// Waits for links of namespaces that just ended.
    fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.host.shell("ip -o link").contains(" sp") && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Fails with the lines that differ, not with all of both.
fn assert_same(before: &str, after: &str, when: &str) {
    let only = |a: &str, b: &str| {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).collect::<Vec<_>>().join("\n")
    };
    assert!(before == after, "{when}: gone:\n{}\nnew:\n{}", only(before, after), only(after, before));
}

/// As the child does it.
fn run(op: &InitOp) {
    match op {
        InitOp::Netlink(program) | InitOp::Abroad(_, program) => program.run().unwrap(),
        InitOp::Write { path, bytes } => std::fs::write(path, bytes).unwrap(),
    }
}

struct Container {
    host: Host,
    connection: Connection,
    _held: observe::Held,
}

impl Container {
    fn ip4(&self) -> Ipv4Addr {
        self.connection.lease.address4
    }

    fn ip6(&self) -> Ipv6Addr {
        self.connection.lease.address6.unwrap()
    }
}

fn request(id: &str, published: &[Published]) -> Request {
    Request {
        container: id.into(),
        network: "bridge".into(),
        link: "eth0".into(),
        leads_out: true,
        published: published.to_vec(),
        ..Request::default()
    }
}

fn publish(protocol: Protocol, host_ip: Option<IpAddr>, host_port: u16) -> Published {
    Published { host_ip, host_port, container_port: 80, protocol }
}

#[test]
fn a_container_reaches_out_and_is_reached_by_published_ports_only() {
    let Some(world) = World::new() else { return };
    let local = Some(Ipv4Addr::LOCALHOST.into());
    let ports = [
        publish(Protocol::Tcp, None, 8080),
        publish(Protocol::Udp, None, 8080),
        publish(Protocol::Tcp, local, 8081),
        publish(Protocol::Tcp, Some(UPLINK6.into()), 8082),
    ];
    let web = world.run(&request("web", &ports));
    web.host.serve();
    world.outside.serve();

    // Out, with the host's address.
    assert_eq!(web.host.ask(OUTSIDE4, 80), Ok(UPLINK4.into()));
    assert_eq!(web.host.ask(OUTSIDE6, 80), Ok(UPLINK6.into()));
    assert_eq!(web.host.ask_udp(OUTSIDE4, 80), Ok(UPLINK4.into()));
    // In, from outside: the client's own address is seen.
    assert_eq!(world.outside.ask(UPLINK4, 8080), Ok(OUTSIDE4.into()));
    assert_eq!(world.outside.ask(UPLINK6, 8080), Ok(OUTSIDE6.into()));
    assert_eq!(world.outside.ask_udp(UPLINK4, 8080), Ok(OUTSIDE4.into()));
    assert_eq!(world.outside.ask_udp(UPLINK6, 8080), Ok(OUTSIDE6.into()));
    assert_eq!(world.outside.ask(UPLINK6, 8082), Ok(OUTSIDE6.into()));
    // From the host itself: by its address and by the loopback.
    assert_eq!(world.host.ask(UPLINK4, 8080), Ok(UPLINK4.into()));
    assert_eq!(world.host.ask(UPLINK6, 8080), Ok(UPLINK6.into()));
    let gateway = IpAddr::from(web.connection.shared.subnet4.gateway());
    assert_eq!(world.host.ask(Ipv4Addr::LOCALHOST, 8080), Ok(gateway));
    assert_eq!(world.host.ask(Ipv4Addr::LOCALHOST, 8081), Ok(gateway));
    assert_eq!(world.host.ask_udp(Ipv4Addr::LOCALHOST, 8080), Ok(gateway));
    // Of the loopback of IPv6 the kernel forwards nothing; it says so at once.
    assert_eq!(world.host.ask(Ipv6Addr::LOCALHOST, 8080), Err(std::io::ErrorKind::ConnectionRefused));
    // From the container by the host's address, back to itself.
    assert_eq!(web.host.ask(UPLINK4, 8080), Ok(gateway));
    assert!(web.host.ask(UPLINK6, 8080).is_ok());

    // Not published to outside, or not at that address.
    for (ip, port) in [(UPLINK4, 8081), (UPLINK4, 8082), (UPLINK4, 80)] {
        assert!(world.outside.ask(ip, port).is_err(), "{ip}:{port}");
    }
    assert!(world.outside.ask(web.ip4(), 80).is_err());
    assert!(world.outside.ask(web.ip6(), 80).is_err());
    assert!(world.outside.ask_udp(web.ip4(), 80).is_err());
    // The loopback of the host is not the container's business, although answers come from there.
    world.host.inside(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 7000)).unwrap();
        web.host.shell("ip route add 127.0.0.0/8 via $(ip -4 route show default | cut -d' ' -f3) table 7; ip rule add to 127.0.0.0/8 lookup 7 priority 1; ip rule del lookup local; ip rule add lookup local priority 10; sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1");
        assert!(web.host.ask(Ipv4Addr::LOCALHOST, 7000).is_err());
        drop(listener);
    });
    let link = web.host.shell("ip -o link show eth0");
    assert!(link.contains("mtu 1400"), "{link}");
}

#[test]
fn containers_of_one_network_talk_and_networks_are_isolated() {
    let Some(world) = World::new() else { return };
    let one = world.run(&request("one", &[publish(Protocol::Tcp, None, 8080)]));
    let two = world.run(&request("two", &[]));
    let mut other = request("other", &[]);
    other.network = "backend".into();
    let other = world.run(&other);
    [&one, &two, &other].iter().for_each(|container| container.host.serve());
    assert_eq!(two.host.ask(one.ip4(), 80), Ok(two.ip4().into()));
    assert_eq!(two.host.ask(one.ip6(), 80), Ok(two.ip6().into()));
    assert_eq!(one.host.ask_udp(two.ip4(), 80), Ok(one.ip4().into()));
    assert!(other.host.ask(one.ip4(), 80).is_err());
    assert!(one.host.ask(other.ip6(), 80).is_err());
    // Published is published to everyone who reaches the host.
    assert!(other.host.ask(UPLINK4, 8080).is_ok());
    assert_eq!(two.host.ask(UPLINK4, 8080), Ok(one.connection.shared.subnet4.gateway().into()));

    // The last to leave one network leaves the other as it is.
    assert_eq!(world.leave(&two), Left::Others);
    assert_eq!(world.leave(&one), Left::Nobody);
    world.retire();
    assert!(!world.host.shell("ip -o link").contains("sampan0"));
    world.outside.serve();
    assert_eq!(other.host.ask(OUTSIDE4, 80), Ok(UPLINK4.into()));
    assert_eq!(world.host.shell("cat /proc/sys/net/ipv4/ip_forward").trim(), "1");
}

#[test]
fn the_last_to_leave_leaves_the_host_as_it_was() {
    let Some(world) = World::new() else { return };
    let before = world.picture();
    let one = world.run(&request("one", &[publish(Protocol::Tcp, None, 8080)]));
    let two = world.run(&request("two", &[publish(Protocol::Udp, None, 8080)]));
    let changed = world.host.shell("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/up0/accept_ra");
    assert_eq!(changed, "1\n1\n2\n");
    // The host's own rules, with everything running, are what they were.
    let foreign = |text: &str| {
        text[text.find("table ip filter").unwrap()..]
            .split("table inet sampan")
            .next()
            .unwrap()
            .lines()
            .take(10)
            .collect::<String>()
    };
    assert_eq!(foreign(&before), foreign(&world.host.shell("nft -s list ruleset")));
    assert_eq!(world.leave(&one), Left::Others);
    // A second replay changes nothing, also not for a container that has the address now.
    assert_eq!(world.leave(&one), Left::Others);
    let lock = world.host.inside(|| Lock::take(&world.dir.state())).unwrap();
    let other = world.host.inside(|| leave(&world.dir.state(), "bridge", two.ip4(), "one", &lock)).unwrap();
    drop(lock);
    assert_eq!(other, Left::Others);
    assert_eq!(world.leave(&two), Left::Nobody);
    drop((one, two));
    world.settle();
    world.retire();
    world.retire();
    assert_same(&before, &world.picture(), "retired");
}

#[test]
fn a_run_that_stops_at_any_step_is_undone() {
    let Some(world) = World::new() else { return };
    let before = world.picture();
    let state = world.dir.state();
    let request = request("half", &[publish(Protocol::Tcp, None, 8080)]);
    for stop in 0..=5 {
        world.host.inside(|| {
            let lock = Lock::take(&state).unwrap();
            let (host, _held) = observe::host(&state, &request).unwrap();
            let connection = connect(&request, &host).unwrap();
            let mut context = Context::new();
            let verbs: Vec<_> = connection.host.iter().take(stop + 1).flat_map(plan::network::HostStep::undo).collect();
            for step in connection.host.iter().take(stop) {
                apply_host(step, &mut context, &lock).unwrap();
            }
            drop(lock);
            for _ in 0..2 {
                for verb in &verbs {
                    let plan::undo::Verb::Network(verb) = verb else { panic!("{verb:?}") };
                    undo(verb).unwrap();
                }
                retire(&state).unwrap();
            }
        });
        assert_same(&before, &world.picture(), &format!("after {stop} steps"));
    }
}

/// Not a test: the process that the next one kills.
#[test]
#[ignore = "run by killed_at_any_moment"]
fn victim() {
    let Ok(state) = std::env::var("SAMPAN_TEST_STATE") else {
        return;
    };
    enter(std::env::var("SAMPAN_TEST_HOST").unwrap().parse().unwrap());
    let state = Path::new(&state);
    let request = request("victim", &[publish(Protocol::Tcp, None, 8080)]);
    loop {
        let lock = Lock::take(state).unwrap();
        let (host, _held) = observe::host(state, &request).unwrap();
        let connection = connect(&request, &host).unwrap();
        let mut context = Context::new();
        for step in &connection.host {
            apply_host(step, &mut context, &lock).unwrap();
        }
        drop(lock);
        assert_eq!(leave_all(state, "victim").unwrap(), Left::Nobody);
        retire(state).unwrap();
    }
}

#[test]
fn killed_at_any_moment() {
    let Some(world) = World::new() else { return };
    let before = world.picture();
    let state = world.dir.state();
    // The same address every time, because the subnet is free every time.
    for round in 0..40u64 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim", "--ignored", "--nocapture"])
            .env("SAMPAN_TEST_STATE", &state)
            .env("SAMPAN_TEST_HOST", world.host.pid().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while !state.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(50));
        }
        std::thread::sleep(Duration::from_micros(round * 211));
        victim.kill().unwrap();
        victim.wait().unwrap();
        world.host.inside(|| {
            leave_all(&state, "victim").unwrap();
            retire(&state).unwrap();
        });
        assert_same(&before, &world.picture(), &format!("round {round}"));
    }
}

#[test]
fn what_others_took_away_comes_back() {
    let Some(world) = World::new() else { return };
    let one = world.run(&request("one", &[publish(Protocol::Tcp, None, 8080)]));
    one.host.serve();
    let full = world.host.shell("nft -s list table inet sampan");
    for (number, damage) in [
        "nft flush ruleset",
        "nft flush table inet sampan",
        "nft flush set inet sampan loops",
        "ip address flush dev sampan0; ip link set sampan0 down",
        "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
    ]
    .into_iter()
    .enumerate()
    {
        world.host.shell(damage);
        let two = world.run(&request(&format!("two{number}"), &[]));
        assert_same(&full, &world.host.shell("nft -s list table inet sampan"), damage);
        assert_eq!(world.outside.ask(UPLINK4, 8080), Ok(OUTSIDE4.into()), "{damage}");
        assert_eq!(two.host.ask(one.ip4(), 80), Ok(two.ip4().into()), "{damage}");
        assert_eq!(world.leave(&two), Left::Others);
    }
    // A container whose elements someone else took away leaves all the same.
    world.host.shell("nft flush ruleset");
    assert_eq!(world.leave(&one), Left::Nobody);
    world.retire();
    assert!(!world.dir.state().exists());
}

#[test]
fn a_port_is_had_once() {
    let Some(world) = World::new() else { return };
    let _one = world.run(&request("one", &[publish(Protocol::Tcp, Some(Ipv4Addr::LOCALHOST.into()), 8080)]));
    let refused = |port: Published| world.plan(&request("two", &[port])).map(|_| ()).unwrap_err().why;
    assert_eq!(refused(publish(Protocol::Tcp, None, 8080)), "container one has that port");
    assert!(world.plan(&request("two", &[publish(Protocol::Udp, None, 8080)])).is_ok());
    assert!(world.plan(&request("two", &[publish(Protocol::Tcp, Some(UPLINK4.into()), 8080)])).is_ok());
    world.host.inside(|| {
        let _tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 9000)).unwrap();
        let _udp = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 9000)).unwrap();
        let process = "a process of this host has that port";
        assert_eq!(refused(publish(Protocol::Tcp, None, 9000)), process);
        assert_eq!(refused(publish(Protocol::Tcp, Some(UPLINK4.into()), 9000)), process);
        assert_eq!(refused(publish(Protocol::Udp, Some(UPLINK6.into()), 9000)), process);
    });
    let elsewhere = Some(Ipv4Addr::new(198, 51, 100, 1).into());
    assert_eq!(refused(publish(Protocol::Tcp, elsewhere, 9000)), "no link of this host has that address");
    // While it is published nobody else can bind it.
    let ports = [publish(Protocol::Udp, None, 9001)];
    let _two = world.run(&request("two", &ports));
    assert!(world.host.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 9001)).is_err()));
}

#[test]
fn addresses_are_chosen_and_asked_for() {
    let Some(world) = World::new() else { return };
    let mut wish = request("one", &[]);
    wish.ip = Some(Ipv4Addr::new(10, 138, 9, 9));
    wish.mac = Some([2, 0, 0, 0, 0, 9]);
    wish.mtu = Some(1300);
    let first = world.run(&wish);
    // 10.137 is routed elsewhere.
    assert_eq!(first.connection.shared.subnet4.to_string(), "10.138.0.0/16");
    let seen = first.host.shell("ip -o link show eth0; ip -o address show eth0; ip route; ip -6 route");
    for part in ["02:00:00:00:00:09", "mtu 1300", "10.138.9.9/16 brd 10.138.255.255", "default via 10.138.0.1 dev eth0"]
    {
        assert!(seen.contains(part), "{part} in\n{seen}");
    }
    wish.container = "two".into();
    assert_eq!(world.plan(&wish).map(|_| ()).unwrap_err().why, "container one has it");
    // An end that leaves its link dying does not hinder the next.
    world.leave(&first);
    drop(first);
    let again = world.run(&wish);
    again.host.serve();
    assert_eq!(world.host.ask(again.ip4(), 80), Ok(again.connection.shared.subnet4.gateway().into()));
}

#[test]
fn the_printed_rules_are_the_applied_ones() {
    let Some(world) = World::new() else { return };
    let ports = [
        publish(Protocol::Tcp, None, 8080),
        publish(Protocol::Sctp, Some(UPLINK4.into()), 8081),
        publish(Protocol::Udp, Some(UPLINK6.into()), 8082),
    ];
    let (connection, _) = world.plan(&request("one", &ports)).unwrap();
    let typed = World::new().unwrap();
    let script: String = connection.host.iter().map(|step| step.shell() + "\n").collect();
    let there = |script: &str| script.replace(&world.dir.0.display().to_string(), &typed.dir.0.display().to_string());
    typed.host.shell(&there(&script));
    // Typed again, by the second container, it must not fail either, but for its own lease.
    let again: String = connection.host[1..].iter().map(|step| step.shell() + "\n").collect();
    typed.host.shell(&there(&again));
    let container = Host::new();
    let attach: String = connection.attach.iter().map(|step| step.shell() + "\n").collect();
    typed.host.shell(&format!("PID={}\n{attach}", container.pid()));
    container.shell(&connection.init.iter().map(|step| step.shell() + "\n").collect::<String>());

    let applied = world.run(&request("one", &ports));
    let rules = "nft list table inet sampan";
    assert_same(&typed.host.shell(rules), &world.host.shell(rules), rules);
    let links = "ip -o -d link show sampan0 | sed 's/^[0-9]*: //; s/_timer *[0-9.]*//g; s/brid[a-z_]* [0-9a-f.:]*//g'; ip -o address show sampan0 | sed 's/^[0-9]*: //' | grep -v ' fe80'; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv4.conf.sampan0.route_localnet net.ipv6.conf.sampan0.accept_ra net.ipv6.conf.up0.accept_ra; ip -o -d link show master sampan0 | sed 's/^[0-9]*: //; s/link.ether [0-9a-f:]*//; s/@if[0-9]*//; s/link-netnsid [0-9]*//; s/0x[0-9a-f]*//g; s/_timer *[0-9.]*//g; s/designated[^ ]* [0-9a-f.:]*//g; s/state [A-Z]*//'";
    assert_eq!(typed.host.shell(links), world.host.shell(links));
    let inside = "ip -o link | sed 's/@if[0-9]*//; s/link-netnsid.*//'; ip -o address | grep -v ' fe80'; ip route; ip -6 route | grep -v fe80; sysctl net.ipv6.conf.eth0.accept_ra";
    assert_eq!(container.shell(inside), applied.host.shell(inside));
    let files = |world: &World| {
        let listing = format!(
            "cd {}; find . ! -name nft-dup | sort; grep -r . networks/*/record networks/*/leases",
            world.dir.0.display()
        );
        world.host.shell(&listing)
    };
    assert_eq!(files(&typed), files(&world));
}

#[test]
fn a_dropping_firewall_is_named() {
    let Some(world) = World::new() else { return };
    world.host.shell("nft add table ip docker; nft 'add chain ip docker FORWARD { type filter hook forward priority 0; policy drop; }'");
    let (connection, _) = world.plan(&request("one", &[])).unwrap();
    assert!(connection.warnings[0].contains("chain ip docker FORWARD ends with a drop"));
}

/// A background process that must not outlive the test, however that ends.
struct PidFile(String);

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = undo(&plan::network::Undo::EndPasta { pid_file: self.0.clone() });
    }
}

/// Not a test: an ordinary user in the host of the next one.
#[test]
#[ignore = "run by an_ordinary_user_is_connected_by_pasta"]
fn ordinary_user() {
    use plan::network::{AttachStep, Pasta, Undo};
    let (Ok(path), Ok(directory)) = (std::env::var("SAMPAN_TEST_PASTA"), std::env::var("SAMPAN_TEST_DIR")) else {
        return;
    };
    let unshared = Command::new("unshare").args(["-Urn", "sleep", "1000"]).stdin(Stdio::null()).spawn().unwrap();
    let host = Host::started(unshared);
    let pid_file = format!("{directory}/pasta.pid");
    let _end = PidFile(pid_file.clone());
    let published = vec![publish(Protocol::Tcp, None, 8080)];
    let pasta = Pasta { path, pid_file: pid_file.clone(), user_namespace: true, mtu: Some(1400), published };
    apply_attach(&AttachStep::Pasta(pasta), &mut Context::new(), host.pid()).unwrap();
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();

    let user = |script: &str| {
        let pid = host.pid().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-U", "--preserve-credentials", "-n", "sh", "-euc", script]);
        command
    };
    // Some versions of pasta now and then forget the end of a connection that is as short as this one.
    let ask = format!("ip -o link show eth0; timeout 2 busybox nc {OUTSIDE4} 80 </dev/null");
    let right = |text: &String| text.contains("mtu 1400") && text.ends_with(&UPLINK4.to_string());
    let mut asked = (0..5).map(|_| String::from_utf8(user(&ask).output().unwrap().stdout).unwrap());
    assert!(asked.any(|text| right(&text)), "no way out");
    let mut server = user("exec timeout 10 busybox nc -l -p 80 -e echo hello").spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut answer = String::new();
    while answer != "hello\n" && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        answer.clear();
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, 8080)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = stream.read_to_string(&mut answer);
        }
    }
    let _ = server.kill();
    let _ = server.wait();
    assert_eq!(answer, "hello\n");

    for _ in 0..2 {
        undo(&Undo::EndPasta { pid_file: pid_file.clone() }).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(Instant::now() < deadline, "pasta is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!Path::new(&pid_file).exists());
}

#[test]
fn an_ordinary_user_is_connected_by_pasta() {
    // A user that owns nothing, in a directory of its own, on a machine where the device has its usual mode.
    const USER: u32 = 54321;
    let Some(world) = World::new() else { return };
    let Some(pasta) = observe::pasta(&std::env::var("PATH").unwrap()) else {
        println!("skipped: pasta is not installed");
        return;
    };
    if Command::new("busybox").output().is_err() {
        println!("skipped: busybox is not installed");
        return;
    }
    world.outside.serve();
    std::os::unix::fs::chown(&world.dir.0, Some(USER), Some(USER)).unwrap();
    let become_user = format!(
        "mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200
         exec timeout 60 setpriv --reuid {USER} --regid {USER} --clear-groups -- \"$@\""
    );
    let output = Command::new("nsenter")
        .arg(format!("--net=/proc/{}/ns/net", world.host.pid()))
        .args(["unshare", "-m", "--propagation", "private", "sh", "-euc", &become_user, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "ordinary_user", "--ignored", "--nocapture"])
        .env("SAMPAN_TEST_PASTA", pasta)
        .env("SAMPAN_TEST_DIR", &world.dir.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Prints what connecting costs; `cargo test … -- --ignored --nocapture measure`.
#[test]
#[ignore = "a measurement"]
fn measure() {
    let Some(world) = World::new() else { return };
    let state = world.dir.state();
    let mut all = Vec::new();
    for number in 0..60 {
        let ports = [publish(Protocol::Tcp, None, 10000 + number)];
        let request = request(&format!("c{number}"), if number % 2 == 0 { &[] } else { &ports });
        let host = Host::new();
        let pid = host.pid();
        let mut times = world.host.inside(|| {
            let mut times = Vec::new();
            let mut clock = Instant::now();
            let mut lap = |name: String| {
                times.push((name, clock.elapsed().as_micros()));
                clock = Instant::now();
            };
            let lock = Lock::take(&state).unwrap();
            lap("lock".into());
            let (seen, _held) = observe::host(&state, &request).unwrap();
            lap("observe".into());
            let connection = connect(&request, &seen).unwrap();
            lap("plan".into());
            let mut context = Context::new();
            for step in &connection.host {
                apply_host(step, &mut context, &lock).unwrap();
                let name = format!("{step:?}");
                lap(name.split([' ', '{']).next().unwrap().to_owned());
            }
            drop(lock);
            apply_attach(&connection.attach[0], &mut context, pid).unwrap();
            lap("Veth".into());
            let steps: Vec<_> = connection.init.iter().map(|step| compile(step).unwrap()).collect();
            lap("compile".into());
            drop(connection);
            host.inside(move || {
                let clock = Instant::now();
                steps.iter().for_each(run);
                times.push(("init".into(), clock.elapsed().as_micros()));
                times
            })
        });
        let total = times.iter().map(|(_, time)| time).sum();
        times.push(("total".into(), total));
        all.push((times, host));
    }
    let line = |times: &[(String, u128)]| times.iter().map(|(n, t)| format!("{n} {t}")).collect::<Vec<_>>().join(", ");
    println!("first (µs): {}", line(&all[0].0));
    for (name, offset) in [("following", 2), ("following with a port", 1)] {
        let rows: Vec<_> = all.iter().skip(offset).step_by(2).map(|(times, _)| times).collect();
        let median = |column: usize| {
            let mut times: Vec<u128> = rows.iter().map(|row| row[column].1).collect();
            times.sort_unstable();
            (rows[0][column].0.clone(), times[times.len() / 2])
        };
        println!("{name}, median (µs): {}", line(&(0..rows[0].len()).map(median).collect::<Vec<_>>()));
    }
}
