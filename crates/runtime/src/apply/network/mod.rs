//! Network steps to syscalls, and undoing them.
//!
//! Invariant: host steps and undoing run under the [`Lock`] of the state directory, so that nobody sees a network half
//! made. Whatever a `kill -9` leaves behind, the state directory still names it, and [`leave`] and [`retire`] find it.

pub(crate) mod device;
mod end;
mod entry;
pub(crate) mod firewall;
mod forwarding;
pub mod live;
mod pasta;
mod reload;
pub mod state;

pub use crate::lock::Lock;
pub use end::{leave, leave_all, retire};
pub use pasta::end_pasta;
pub use reload::reload;

use crate::resolver::Sockets;
use plan::network::{AttachStep, HostStep, InitStep, Mac, Mode, Part, Shared, Undo};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::Path;
use sys::netlink::address::Address;
use sys::netlink::link::{self, Namespace, Veth};
use sys::netlink::{BY_NAME, Batch, InChild, Protocol, Socket};
use sys::{Error, Result};

/// What the steps of one container hand on to each other: sockets, opened when first needed, and the bridge's index.
#[derive(Debug, Default)]
pub struct Context {
    route: OnceCell<Socket>,
    netfilter: OnceCell<Socket>,
    bridge: Option<(String, u32)>,
    resolver: Option<Sockets>,
}

impl Context {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the container asks for names, if it does.
    pub fn take_resolver(&mut self) -> Option<Sockets> {
        self.resolver.take()
    }

    fn route(&self) -> Result<&Socket> {
        open(&self.route, Protocol::Route)
    }

    fn netfilter(&self) -> Result<&Socket> {
        open(&self.netfilter, Protocol::Netfilter)
    }

    fn bridge_index(&self, name: &str) -> Result<u32> {
        match &self.bridge {
            Some((known, index)) if known == name => Ok(*index),
            _ => Ok(bridge_link(self.route()?, name)?.ok_or_else(|| no_link(name))?.index),
        }
    }
}

fn open(cell: &OnceCell<Socket>, protocol: Protocol) -> Result<&Socket> {
    if let Some(socket) = cell.get() {
        return Ok(socket);
    }
    let socket = Socket::open(protocol)?;
    Ok(cell.get_or_init(|| socket))
}

/// # Errors
/// The call that was refused.
pub fn apply_host(step: &HostStep, context: &mut Context, _locked: &Lock) -> Result<()> {
    match step {
        HostStep::Claim { state_dir, shared, lease } => state::claim(Path::new(state_dir), shared, lease),
        HostStep::Forwarding { state_dir, ipv6 } => forwarding::switch_on(Path::new(state_dir), *ipv6),
        HostStep::Bridge { shared } => bridge(shared, context),
        HostStep::Firewall { state_dir, shared } => {
            firewall::ensure(context.netfilter()?, context.route()?, Path::new(state_dir), shared)
        }
        HostStep::Entry { state_dir } => {
            firewall::ensure_entry(context.netfilter()?, context.route()?, Path::new(state_dir))
        }
        HostStep::Publish { state_dir, lease, .. } => {
            firewall::publish(context.netfilter()?, Path::new(state_dir), lease)
        }
    }
}

/// `pid` is the container's first process; its network namespace is still as the clone made it.
///
/// # Errors
/// The call that was refused, or what pasta says.
pub fn apply_attach(step: &AttachStep, context: &mut Context, pid: u32) -> Result<()> {
    match step {
        AttachStep::Veth { name, bridge, link, mac, mtu, hairpin, apart } => {
            let mut batch = Batch::new();
            batch.add_veth(&Veth {
                name,
                master: context.bridge_index(bridge)?,
                mtu: *mtu,
                peer: link,
                peer_mac: *mac,
                namespace: Namespace::Pid(pid),
            });
            if *hairpin {
                batch.set_hairpin(name);
            }
            if *apart {
                batch.set_isolated(name);
            }
            context.route()?.apply(&batch)
        }
        AttachStep::Pasta(step) => pasta::start(step, pid),
        AttachStep::Part(step) => part(step, context.route()?, pid),
        AttachStep::Device(step) => device::give(step, context.route()?, pid),
        AttachStep::Resolver => {
            context.resolver = Some(Sockets::open(pid)?);
            Ok(())
        }
    }
}

/// Whether [`retire`] has something to do: since when there is a network without a lease.
#[must_use]
pub fn idle(state_dir: &Path) -> Option<std::time::SystemTime> {
    let networks = state::networks(state_dir).unwrap_or_default();
    if networks.is_empty() {
        // Made for a container that came no further.
        return state_dir.metadata().ok()?.modified().ok();
    }
    let idle = networks.iter().filter(|network| !state::leases(state_dir, network).exists());
    // The directory of the leases goes with the last and comes with the first, which changes its parent.
    idle.filter_map(|network| state_dir.join(network).metadata().ok()?.modified().ok()).max()
}

/// [`retire`] in a short-lived process that nobody waits for: a bridge takes the kernel 20 to 100 ms to remove
/// (docs/adr/0006-bridge-removal.md). It lingers, so that the next of many short containers finds the network there; one
/// lingers for all of them.
///
/// # Errors
/// The kernel's.
pub fn retire_later(state_dir: &Path) -> Result<()> {
    if idle(state_dir).is_none() {
        return Ok(());
    }
    let Some(turn) = Turn::take(state_dir)? else { return Ok(()) };
    let work = || u8::from(turn.linger(state_dir).is_err());
    sys::process::fork(sys::process::SingleThread::check()?, 0, work).map(drop)
}

/// The right to linger: a lock on the directory that has the networks' in it, so it leaves no file behind.
///
/// Invariant: given back only by who has the networks' lock, too. Whoever leaves a network needs that one, so whoever
/// finds this one taken after he left knows that the one who lingers has yet to look.
struct Turn(std::fs::File);

impl Turn {
    /// `None`: somebody lingers.
    fn take(state_dir: &Path) -> Result<Option<Self>> {
        let above = state_dir.parent().unwrap_or(state_dir);
        let file = std::fs::File::open(above).map_err(Error::of_io(|| format!("open({})", above.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => {
                Err(Error::of_io(|| format!("flock({})", above.display()))(error))
            }
        }
    }

    fn linger(&self, state_dir: &Path) -> Result<()> {
        const LINGER: std::time::Duration = std::time::Duration::from_millis(500);
        let null = std::fs::File::open("/dev/null").map_err(Error::of_io(|| "open(/dev/null)".into()))?;
        // As its input, since all but the standard ones is closed.
        sys::process::leave_caller_with(self.0.as_fd(), null.as_fd());
        loop {
            let since = idle(state_dir);
            std::thread::sleep(LINGER);
            let Some(lock) = Lock::take_existing(state_dir)? else { return Ok(()) };
            let now = idle(state_dir);
            // Somebody was there meanwhile.
            if now.is_some() && now != since {
                continue;
            }
            let _ = rustix::fs::flock(std::io::stdin(), rustix::fs::FlockOperation::Unlock);
            // Who is there lingers after his end.
            return if now.is_some() { end::retire_with(state_dir, &lock) } else { Ok(()) };
        }
    }
}

/// What undoing found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Others are still there, or nothing shared was.
    Others,
    /// Nobody is left in the network: [`retire`] has something to do.
    Nobody,
}

/// # Errors
/// The call that was refused; "already gone" is none.
pub fn undo(verb: &Undo) -> Result<Left> {
    match verb {
        Undo::Leave { state_dir, container } => leave_all(Path::new(state_dir), container),
        Undo::EndPasta { pid_file } => end_pasta(Path::new(pid_file)).map(|()| Left::Others),
    }
}

/// A step of the child, ready to run without a heap.
#[derive(Debug)]
pub enum InitOp {
    Netlink(InChild),
    /// The same, in the network namespace of the socket.
    Abroad(Socket, InChild),
    /// Write the bytes to the file.
    Write {
        path: String,
        bytes: &'static [u8],
    },
}

/// # Errors
/// None of the steps that plan makes is refused.
pub fn compile(step: &InitStep) -> Result<InitOp> {
    let mut batch = Batch::new();
    let mut name = "lo";
    match step {
        InitStep::NoAdvertisements { link } => {
            return Ok(InitOp::Write { path: InitStep::accept_ra(link), bytes: b"0" });
        }
        InitStep::NoIpv6 { link } => {
            return Ok(InitOp::Write { path: InitStep::disable_ipv6(link), bytes: b"1" });
        }
        InitStep::Loopback => batch.set_up(LOOPBACK),
        InitStep::Configure { link, address4, address6, gateway4, gateway6 } => {
            name = link;
            batch.set_up(LOOPBACK);
            configure(&mut batch, BY_NAME, (*address4, *address6), (*gateway4, *gateway6));
        }
        InitStep::Connected { name, bridge } => {
            batch.get_link(name);
            batch.get_link(bridge);
        }
    }
    let program = InChild::new(name, &batch).ok_or_else(|| Error::new(format!("compile {step:?}"), Errno::TOOBIG))?;
    if !matches!(step, InitStep::Connected { .. }) {
        return Ok(InitOp::Netlink(program));
    }
    let socket = Socket::open(Protocol::Route)?;
    let program = program.by(&socket);
    Ok(InitOp::Abroad(socket, program))
}

/// The loopback of another process's namespace.
///
/// # Errors
/// The kernel's.
pub fn loopback(pid: i32) -> Result<()> {
    up(&sys::process::open_namespace(&format!("/proc/{pid}/ns/net"))?)
}

fn up(namespace: &std::os::fd::OwnedFd) -> Result<()> {
    let mut batch = Batch::new();
    batch.set_up(LOOPBACK);
    device::socket_in(namespace)?.apply(&batch)
}

/// The loopback is the first link of every namespace.
pub(crate) const LOOPBACK: u32 = 1;

fn configure(
    batch: &mut Batch,
    link: u32,
    (address4, address6): ((Ipv4Addr, u8), Option<(Ipv6Addr, u8)>),
    (gateway4, gateway6): (Option<Ipv4Addr>, Option<Ipv6Addr>),
) {
    batch.set_up(link);
    let addresses = [Some((IpAddr::from(address4.0), address4.1)), address6.map(|(ip, prefix)| (ip.into(), prefix))];
    for (ip, prefix) in addresses.into_iter().flatten() {
        batch.add_address(Address { link, ip, prefix, peer: None });
    }
    for gateway in [gateway4.map(IpAddr::from), gateway6.map(IpAddr::from)].into_iter().flatten() {
        batch.add_default_route(gateway, link);
    }
}

fn part(part: &Part, route: &Socket, pid: u32) -> Result<()> {
    let Part { parent, link, mac, mtu } = part;
    let index = route.link(&parent.link)?.ok_or_else(|| no_link(&parent.link))?.index;
    let mode = match parent.mode {
        Mode::Macvlan(mode) => mode.to_ne_bytes().to_vec(),
        Mode::Ipvlan(mode) => mode.to_ne_bytes().to_vec(),
    };
    let mut batch = Batch::new();
    let (name, kind) = (link.as_str(), parent.mode.kind());
    batch.add_part(&link::Part { name, parent: index, pid, mac: *mac, mtu: *mtu, kind, mode: &mode });
    route.apply(&batch)
}

/// The bridge and its addresses; addresses that someone took away come back.
fn bridge(shared: &Shared, context: &mut Context) -> Result<()> {
    let socket = context.route()?;
    let name = shared.bridge.as_str();
    let found = bridge_link(socket, name)?;
    let index = match &found {
        Some(link) => link.index,
        None => create_bridge(socket, name, shared.bridge_mac(), shared.mtu)?,
    };
    let mut batch = Batch::new();
    if found.is_some_and(|link| !link.up) {
        batch.set_up(index);
    }
    let net = shared.subnet4;
    batch.add_address(Address { link: index, ip: net.gateway().into(), prefix: net.prefix(), peer: None });
    if let Some(net) = shared.subnet6 {
        batch.add_address(Address { link: index, ip: net.gateway().into(), prefix: net.prefix(), peer: None });
    }
    socket.ensure(&batch)?;
    context.bridge = Some((name.to_owned(), index));
    Ok(())
}

fn create_bridge(socket: &Socket, name: &str, mac: Mac, mtu: u32) -> Result<u32> {
    let mut batch = Batch::new();
    batch.add_bridge(name, mac, mtu);
    socket.apply(&batch)?;
    forwarding::prepare_bridge(name)?;
    Ok(bridge_link(socket, name)?.ok_or_else(|| no_link(name))?.index)
}

fn bridge_link(socket: &Socket, name: &str) -> Result<Option<sys::netlink::link::Link>> {
    match socket.link(name)? {
        Some(link) if link.kind != "bridge" => {
            Err(Error::new(format!("RTM_NEWLINK {name}: there is a link of that name that is no bridge"), Errno::EXIST))
        }
        found => Ok(found),
    }
}

fn no_link(name: &str) -> Error {
    Error::new(format!("RTM_GETLINK {name}"), Errno::NODEV)
}
