//! Which ports are reached from where, on hosts with each kind of firewall. `cargo xtask lab firewall` prints the table.
//!
//! Invariant: every host is a network namespace of the test's own, so that the machine's rules are never touched. The
//! rules of a host are the same bytes before and after.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::world::{
    MOMENT, OUTSIDE4, PATIENCE, Running, UPLINK4, UPLINK6, World, ask, ask_udp, client, inside, serve,
};
use ground::{Ran, ran};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Not a test: what runs in containers.
#[test]
#[ignore = "a server, run by the others"]
fn server() {
    serve();
}

/// A kind of firewall: its rules, and what of them is asked.
struct Firewall {
    name: &'static str,
    rules: &'static str,
    /// It lets others reach 8443 only.
    denies: bool,
    /// It forwards nothing that no rule names.
    closed: bool,
}

const FIREWALLS: [Firewall; 4] = [
    Firewall { name: "nothing", rules: "", denies: false, closed: false },
    Firewall { name: "nftables", rules: include_str!("rulesets/plain.nft"), denies: true, closed: false },
    Firewall { name: "ufw", rules: include_str!("rulesets/ufw.nft"), denies: true, closed: true },
    Firewall { name: "firewalld", rules: include_str!("rulesets/firewalld.nft"), denies: true, closed: true },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Host,
    Neighbour,
    /// A container of the same network.
    Peer,
    /// One of another network.
    Other,
    /// One of a network without a way out.
    Enclosed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The host's address; the firewall names the port.
    Allowed,
    /// The host's address.
    Published,
    /// The host's loopback, at which the port is published.
    Loopback,
    /// The host's address, at a port that is published at its loopback.
    LoopbacksPort,
    /// The container's own address.
    Direct,
    /// The same, at a port that is not published.
    Unpublished,
}

use Place::{Enclosed, Host, Neighbour, Other, Peer};
use Target::{Allowed, Direct, Loopback, LoopbacksPort, Published, Unpublished};

impl Target {
    const fn port(self) -> u16 {
        match self {
            Allowed => 8443,
            Published => 8080,
            Loopback | LoopbacksPort => 8081,
            Direct => 80,
            Unpublished => 82,
        }
    }
}

/// What is promised. `None`: this is not asked.
fn promised(firewall: &Firewall, from: Place, to: Target, six: bool) -> Option<bool> {
    Some(match (from, to) {
        // The kernel forwards nothing from ::1.
        (_, Loopback) if six => return None,
        (Host, Loopback) => true,
        (_, Loopback) => return None,
        // The host is in all of its networks.
        (Host, Published | Allowed | Direct | Unpublished) => true,
        (Host, LoopbacksPort) => false,
        (Neighbour, Allowed) => true,
        (Neighbour, Published) => !firewall.denies,
        (Neighbour, LoopbacksPort | Direct | Unpublished) => false,
        (Peer, Published | Allowed | Direct | Unpublished) => true,
        (Other, Published | Allowed) => true,
        (Other, Direct | Unpublished) => false,
        (Peer | Other, LoopbacksPort) => false,
        (Enclosed, _) => false,
    })
}

struct Cell {
    from: Place,
    to: Target,
    address: SocketAddr,
    udp: bool,
    promised: bool,
    seen: Result<String, std::io::ErrorKind>,
}

impl Cell {
    fn is_kept(&self) -> bool {
        self.promised == self.seen.is_ok()
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, address, udp, promised, seen } = self;
        let protocol = if *udp { "udp" } else { "tcp" };
        write!(f, "{from:?} to {to:?} ({protocol} {address}): promised {promised}, seen {seen:?}")
    }
}

/// What firewalld's command makes of the rules, and the rest of its hint.
const FIREWALL_CMD: &str = r#"
firewall-cmd() {
    case $* in *--add-interface=*) ;; *) return 0 ;; esac
    nft insert rule inet firewalld filter_FWD_public iifname "${3#*=}" accept
    nft insert rule inet firewalld filter_FWD_public oifname "${3#*=}" accept
}
sampan() { :; }
"#;

/// A host with containers.
struct Lab {
    world: World,
    web: (u32, IpAddr, IpAddr),
    peer: u32,
    other: u32,
    enclosed: u32,
    /// The kernel cannot do what the promise needs.
    direct: bool,
    _running: Vec<Running>,
}

impl Lab {
    fn new(firewall: &Firewall) -> Option<Self> {
        let world = World::new()?;
        for network in [&["front", "--ipv6"][..], &["back", "--ipv6"], &["closed", "--ipv6", "--internal"]] {
            sampan(&world, &[&["network", "create"], network].concat()).ok();
        }
        world.host.sh("nft flush ruleset");
        load(&world, firewall.rules);
        let warned = world.run(&["--network=front", "-p=9:9"], "true").err;
        let direct = warned.contains("the kernel has no nft_dup_ipv4");
        if direct {
            println!("skipped: this kernel has no nft_dup_ipv4, so what {} denies is reached", firewall.name);
        }
        if firewall.closed {
            // What the warning says that the administrator has to do.
            let hints: Vec<&str> = warned.lines().filter_map(|line| line.trim().strip_prefix("hint: ")).collect();
            assert!(!hints.is_empty(), "{warned}");
            hints.iter().for_each(|hint| drop(world.host.sh(&format!("{FIREWALL_CMD}\n{hint}"))));
        }
        let ports = ["-p=8080:80", "-p=8080:80/udp", "-p=8443:81", "-p=8443:81/udp"];
        let local = ["-p=127.0.0.1:8081:80", "-p=127.0.0.1:8081:80/udp"];
        let web = [&["--network=front", "--name=web"], &ports[..], &local].concat();
        let running = vec![
            world.serve(&web, "80 81 82"),
            world.serve(&["--network=front", "--name=peer"], "80"),
            world.serve(&["--network=back", "--name=other"], "80"),
            world.serve(&["--network=closed", "--name=enclosed"], "80"),
        ];
        let field = |name: &str, field: &str| sampan(&world, &["inspect", "--format", field, name]).ok();
        let pid = |name: &str| field(name, "{{.State.Pid}}").parse::<u32>().unwrap();
        let address =
            |of: &str| field("web", &format!("{{{{.NetworkSettings.Networks.front.{of}}}}}")).parse().unwrap();
        let web = (pid("web"), address("IPAddress"), address("GlobalIPv6Address"));
        let (peer, other, enclosed) = (pid("peer"), pid("other"), pid("enclosed"));
        Some(Self { web, peer, other, enclosed, direct, world, _running: running })
    }

    fn pid(&self, from: Place) -> u32 {
        match from {
            Host => self.world.host.0.id(),
            Neighbour => self.world.outside.0.id(),
            Peer => self.peer,
            Other => self.other,
            Enclosed => self.enclosed,
        }
    }

    fn address(&self, to: Target, six: bool) -> SocketAddr {
        let ip: IpAddr = match (to, six) {
            (Loopback, _) => Ipv4Addr::LOCALHOST.into(),
            (Direct | Unpublished, false) => self.web.1,
            (Direct | Unpublished, true) => self.web.2,
            (_, false) => UPLINK4.into(),
            (_, true) => UPLINK6.into(),
        };
        SocketAddr::new(ip, to.port())
    }

    /// All that is promised, asked at once.
    fn ask(&self, firewall: &Firewall) -> Vec<Cell> {
        let mut cells = Vec::new();
        for from in [Host, Neighbour, Peer, Other, Enclosed] {
            for to in [Allowed, Published, Loopback, LoopbacksPort, Direct, Unpublished] {
                for (six, udp) in [(false, false), (false, true), (true, false), (true, true)] {
                    let Some(mut promised) = promised(firewall, from, to, six) else { continue };
                    promised |= self.direct && (from, to) == (Neighbour, Published);
                    let seen = Err(std::io::ErrorKind::Other);
                    cells.push(Cell { from, to, address: self.address(to, six), udp, promised, seen });
                }
            }
        }
        std::thread::scope(|scope| {
            for cell in &mut cells {
                let pid = self.pid(cell.from);
                scope.spawn(move || {
                    // What shall not be reached is given up on early.
                    let patience = if cell.promised { PATIENCE } else { 3 * MOMENT };
                    let (to, udp) = (cell.address, cell.udp);
                    cell.seen =
                        inside(pid, || if udp { ask_udp(&client(to), to, patience) } else { ask(to, patience) });
                });
            }
        });
        cells
    }
}

fn sampan(world: &World, words: &[&str]) -> Ran {
    world.host.inside(|| ran(world.ground.command(words).output().unwrap()))
}

fn load(world: &World, rules: &str) {
    world.host.sh(&format!("nft -f - <<'EOF'\n{rules}\nEOF"));
}

/// All tables but sampan's, to the byte.
fn rules(world: &World) -> String {
    world.host.sh("for table in $(nft list tables | grep -v ' sampan$' | sed 's/^table //; s/ /:/'); do nft -s list table ${table/:/ }; done")
}

/// A row for each place to come from, a column for each to go to.
fn print(firewall: &Firewall, cells: &[Cell]) {
    let columns = [Allowed, Published, Loopback, LoopbacksPort, Direct, Unpublished];
    println!("\n{:12}{}", firewall.name, columns.map(|to| format!("{:>15}", format!("{to:?}"))).concat());
    for from in [Host, Neighbour, Peer, Other, Enclosed] {
        let word = |to: Target| {
            let of: Vec<&Cell> = cells.iter().filter(|cell| cell.from == from && cell.to == to).collect();
            let reached = of.iter().filter(|cell| cell.seen.is_ok()).count();
            let mark = if of.iter().all(|cell| cell.is_kept()) { "" } else { " !" };
            match (of.len(), reached) {
                (0, _) => String::from("-"),
                (all, reached) if all == reached => format!("yes{mark}"),
                (_, 0) => format!("no{mark}"),
                (all, reached) => format!("{reached} of {all}{mark}"),
            }
        };
        println!("  {:10}{}", format!("{from:?}"), columns.map(|to| format!("{:>15}", word(to))).concat());
    }
}

fn firewall(firewall: &Firewall) {
    let Some(lab) = Lab::new(firewall) else { return };
    let before = rules(&lab.world);
    let cells = lab.ask(firewall);
    print(firewall, &cells);
    let broken: Vec<String> = cells.iter().filter(|cell| !cell.is_kept()).map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{}:\n{}", firewall.name, broken.join("\n"));
    // Who asks is known.
    for cell in cells.iter().filter(|cell| cell.from == Neighbour && cell.address.is_ipv4()) {
        assert!(cell.seen.as_ref().map_or(true, |who| who.starts_with(&OUTSIDE4.to_string())), "{cell}");
    }
    assert_eq!(rules(&lab.world), before, "{}", firewall.name);
}

#[test]
fn a_host_with_nothing() {
    firewall(&FIREWALLS[0]);
}

#[test]
fn a_host_with_rules_of_its_own() {
    firewall(&FIREWALLS[1]);
}

#[test]
fn a_host_with_ufw() {
    firewall(&FIREWALLS[2]);
}

#[test]
fn a_host_with_firewalld() {
    firewall(&FIREWALLS[3]);
}

/// Somebody's script begins with `nft flush ruleset`, as many do, while clients come and go.
#[test]
fn one_command_restores_what_a_flush_took() {
    let firewall = &FIREWALLS[1];
    let Some(lab) = Lab::new(firewall) else { return };
    let world = &lab.world;
    let reach = || world.outside.inside(|| ask(SocketAddr::new(UPLINK4.into(), 8443), MOMENT));
    assert!(reach().is_ok());
    // A restored table is as it was, but for the order of its sets' elements.
    let all = || world.host.sh("nft -s list table inet sampan | grep -v elements");
    let (before, bridge) = (all(), sampan(world, &["network", "inspect", "-f", "{{.NetworkInterface}}", "front"]).ok());
    world.host.sh("nft flush ruleset");
    load(world, firewall.rules);
    assert!(reach().is_err());
    let start = Instant::now();
    sampan(world, &["network", "reload", "web"]).ok();
    assert!(reach().is_ok());
    let took = start.elapsed();
    println!("reachable again {} ms after `sampan network reload` began", took.as_millis());
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(all(), before);
    // The bridge, too, with its address and its cables; and what the next container starts makes whole what was flushed.
    world.host.sh(&format!("nft flush ruleset; ip link delete {bridge}"));
    let ids = sampan(world, &["network", "reload", "--all"]).ok();
    assert_eq!(ids.lines().count(), 4, "{ids}");
    assert!(reach().is_ok());
    world.host.sh("nft flush ruleset");
    world.run(&["--network=front"], "true").ok();
    assert!(reach().is_ok());
}
