//! Hosts of the test's own, each a network namespace: one with rules and an uplink, and a neighbour behind that. The
//! machine's own network is never entered. A test that uses it has a `server` that calls [`serve`].

#![allow(clippy::print_stdout, reason = "a skip is printed, and a server says that it serves")]

use super::{Ground, Ran, ran, until};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

pub const OUTSIDE4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub const UPLINK4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 2);
pub const UPLINK6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 1);
/// Of the network, when 10.137 is free.
pub const GATEWAY4: Ipv4Addr = Ipv4Addr::new(10, 137, 0, 1);
/// A packet that nobody answers is given up on after this; one that is lost is sent again after a second.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// For what shall not be answered.
pub const MOMENT: Duration = Duration::from_millis(300);

/// A process in a network namespace of its own.
pub struct Host(pub Child);

impl Host {
    pub fn new() -> Self {
        let host = Self(Command::new("unshare").args(["-n", "sleep", "1000"]).stdin(Stdio::null()).spawn().unwrap());
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        until("a network namespace", || {
            std::fs::read_link(format!("/proc/{}/ns/net", host.0.id())).is_ok_and(|link| link != own)
        });
        host
    }

    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(self.0.id(), work)
    }

    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        shell(self.0.id(), script)
    }

    /// What the server behind that port says: who asks, by what address, and which port was reached.
    pub fn ask(&self, ip: impl Into<IpAddr>, port: u16) -> Result<String, ErrorKind> {
        let to = SocketAddr::new(ip.into(), port);
        self.inside(|| ask(to, PATIENCE))
    }

    pub fn ask_udp(&self, ip: impl Into<IpAddr>, port: u16) -> Result<String, ErrorKind> {
        let to = SocketAddr::new(ip.into(), port);
        self.inside(|| ask_udp(&client(to), to, PATIENCE))
    }

    /// Neither by TCP nor by UDP.
    #[track_caller]
    pub fn cannot_reach(&self, ip: impl Into<IpAddr>, port: u16) {
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
pub fn inside<T: Send>(pid: u32, work: impl FnOnce() -> T + Send) -> T {
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
pub fn shell(pid: u32, script: &str) -> String {
    let output = inside(pid, || Command::new("bash").args(["-euc", script]).output().unwrap());
    assert!(output.status.success(), "{script}\n{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn ask(to: SocketAddr, patience: Duration) -> Result<String, ErrorKind> {
    let mut stream = TcpStream::connect_timeout(&to, patience).map_err(|e| e.kind())?;
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| e.kind())?;
    Ok(text)
}

pub fn client(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).unwrap()
}

/// Datagrams may get lost, so it is asked more than once.
pub fn ask_udp(socket: &UdpSocket, to: SocketAddr, patience: Duration) -> Result<String, ErrorKind> {
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

/// What runs in containers and at the neighbour's. Answers each connection and datagram at these ports with the address
/// that it came from and the port that it came to, until its input ends.
pub fn serve() {
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

pub const SERVER: [&str; 4] = ["--exact", "server", "--ignored", "--nocapture"];

/// A process that runs until its input ends.
pub struct Running {
    pub child: Child,
    pub output: BufReader<ChildStdout>,
}

impl Running {
    /// Until it says so.
    #[track_caller]
    pub fn start(command: &mut Command, sign: &str) -> Self {
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

    pub fn complaints(&mut self) -> String {
        let mut error = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        error
    }

    #[track_caller]
    pub fn end(mut self) {
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
pub struct World {
    pub host: Host,
    pub outside: Host,
    pub ground: Ground,
}

impl World {
    /// `None`: the test is skipped, and why is printed.
    pub fn new() -> Option<Self> {
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
    pub fn command(&self, flags: &[&str], command: &[&str]) -> Command {
        let asked = |name| flags.iter().any(|flag| flag.starts_with(name));
        let network: &[&str] = match (asked("--network"), asked("--dns")) {
            (true, _) => &[],
            (_, true) => &["--network=bridge"],
            // A machine that names no resolver warns of that.
            _ => &["--network=bridge", "--dns=192.0.2.53"],
        };
        self.ground.runner(&[network, flags].concat(), command)
    }

    pub fn run(&self, flags: &[&str], script: &str) -> Ran {
        self.host.inside(|| ran(self.command(flags, &["sh", "-c", script]).output().unwrap()))
    }

    /// A container that answers at these ports.
    #[track_caller]
    pub fn serve(&self, flags: &[&str], ports: &str) -> Running {
        let program = format!("{}:/server:ro", std::env::current_exe().unwrap().display());
        let environment = format!("SAMPAN_TEST_PORTS={ports}");
        let flags = [&["-v", &program, "-e", &environment], flags].concat();
        self.start(&flags, &[&["/server"], SERVER.as_slice()].concat(), "serving")
    }

    /// A container that waits.
    #[track_caller]
    pub fn wait(&self, flags: &[&str]) -> Running {
        self.start(flags, &["sh", "-c", "echo waiting; cat"], "waiting")
    }

    #[track_caller]
    pub fn start(&self, flags: &[&str], command: &[&str], sign: &str) -> Running {
        // Written when others can find the container, which may be after its first words.
        let file = self.ground.dir.join("pidfile");
        let mut command = self.command(&[&["-i", "--pidfile", file.to_str().unwrap()], flags].concat(), command);
        let running = self.host.inside(|| Running::start(&mut command, sign));
        until("a container", || std::fs::remove_file(&file).is_ok());
        running
    }

    /// The neighbour's own server.
    pub fn serve_outside(&self) -> Running {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(SERVER).env("SAMPAN_TEST_PORTS", "80");
        self.outside.inside(|| Running::start(&mut command, "serving"))
    }

    pub fn ps(&self) -> String {
        let output = self.host.inside(|| self.ground.command(&["ps"]).output().unwrap());
        ran(output).ok()
    }

    /// All that could be changed: links, addresses, routes, rules, sysctls, files.
    pub fn picture(&self) -> String {
        self.host.sh(&format!(
            "ip -o link | sed 's/^[0-9]*: //'; ip -o address | sed 's/^[0-9]*: //; s/ tentative//'; ip route; ip -6 route | sort; ip rule
             nft -s list ruleset
             (cd /proc/sys/net; grep -r . bridge ipv4 ipv6 netfilter 2>/dev/null | grep -v -e stable_secret -e _count: | sort)
             find {0}/state {0}/data ! -name nft-dup | sort",
            self.ground.dir.display()
        ))
    }

    /// The bridge lingers (docs/adr/0006-bridge-removal.md), and the kernel takes a moment for links.
    #[track_caller]
    pub fn is_as(&self, before: &str, when: &str) {
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
