//! plan's table `inet sampan` as netlink messages.

use super::state;
use plan::network::firewall::{
    self as table, Action, BRIDGES, CHAINS, Chain, Element, INTERNAL, LOOPS, MASKED, Map, Match, SUBNETS4, SUBNETS6,
    TABLE,
};
use plan::network::{Lease, Net4, Net6, Protocol, Published, resolver};
use std::net::IpAddr;
use std::path::Path;
use sys::Result;
use sys::netlink::{self, Socket};
use sys::nft::{self, Base, Bytes, ChainType, Expression as E, Family, Hook, Register, Transaction, Type, Verdict};

/// The table is as plan has it, and knows the bridge; else it is made anew, whole, in one transaction, with all that
/// the state directory names. So it does not matter who changed what (`nft flush ruleset`).
pub(super) fn ensure(socket: &Socket, state_dir: &Path, bridge: &str) -> Result<()> {
    let names: Vec<&str> = CHAINS.iter().map(|chain| chain.name).collect();
    let expected: Vec<u32> = CHAINS.iter().map(uses).collect();
    match socket.chain_uses(TABLE, &names, LOOPS, &of_loop(bridge))? {
        Some(uses) if uses == expected => Ok(()),
        _ => rebuild(socket, state_dir, &state::networks(state_dir)?),
    }
}

/// The kernel counts a chain's rules and the jumps to it.
fn uses(chain: &Chain) -> u32 {
    let to_it = |rule: &&table::Rule| rule.action == Action::Goto(chain.name);
    let jumps = CHAINS.iter().flat_map(|other| other.rules).filter(to_it).count();
    (chain.rules.len() + jumps) as u32
}

/// With these networks and all their leases.
pub(super) fn rebuild(socket: &Socket, state_dir: &Path, networks: &[String]) -> Result<()> {
    let mut transaction = Transaction::new();
    drop_table(&mut transaction);
    create(&mut transaction);
    for network in networks {
        // A network without a record was left before it had a container.
        let Some(shared) = state::shared(state_dir, network) else {
            continue;
        };
        transaction.add_elements(TABLE, BRIDGES, &[of_bridge(&shared.bridge)]);
        transaction.add_elements(TABLE, LOOPS, &[of_loop(&shared.bridge)]);
        for set in table::sets_of(&shared) {
            transaction.add_elements(TABLE, set, &[of_bridge(&shared.bridge)]);
        }
        transaction.add_elements(TABLE, SUBNETS4, &of_subnet4(shared.subnet4));
        if let Some(net) = shared.subnet6 {
            transaction.add_elements(TABLE, SUBNETS6, &of_subnet6(net));
        }
        for lease in state::all(state_dir, network)? {
            each_map(&lease, |map, elements| transaction.add_elements(TABLE, map, elements));
        }
    }
    transaction.commit(socket)
}

pub(super) fn delete(socket: &Socket) -> Result<()> {
    let mut transaction = Transaction::new();
    drop_table(&mut transaction);
    transaction.commit(socket)
}

/// Whether it is there or not.
fn drop_table(transaction: &mut Transaction) {
    transaction.table(TABLE);
    transaction.delete_table(TABLE);
}

pub(super) fn publish(socket: &Socket, lease: &Lease) -> Result<()> {
    let mut transaction = Transaction::new();
    each_map(lease, |map, elements| transaction.add_elements(TABLE, map, elements));
    transaction.commit(socket)?;
    forget_flows(socket, lease)
}

/// The kernel treats all of a flow as it treated its first packet, and UDP has no end: a client that goes on sending
/// from the same port would never reach a container that came later, and still reach the address of one that left.
fn forget_flows(socket: &Socket, lease: &Lease) -> Result<()> {
    let udp = |port: &&Published| port.protocol == Protocol::Udp;
    let ports: Vec<u16> = lease.published.iter().filter(udp).map(|port| port.host_port).collect();
    if ports.is_empty() {
        return Ok(());
    }
    let own = Socket::open(netlink::Protocol::Route)?.addresses()?;
    let is_own = |ip: IpAddr| ip.is_loopback() || own.iter().any(|address| address.ip == ip);
    socket.forget_flows(Protocol::Udp.number(), |to| ports.contains(&to.port()) && is_own(to.ip()))
}

pub(super) fn withdraw(socket: &Socket, lease: &Lease) -> Result<()> {
    withdraw_elements(socket, lease)?;
    forget_flows(socket, lease)
}

/// Elements that are not there (the container was killed before they were made) are as good as deleted.
fn withdraw_elements(socket: &Socket, lease: &Lease) -> Result<()> {
    let mut transaction = Transaction::new();
    each_map(lease, |map, elements| transaction.delete_elements(TABLE, map, elements));
    let refused = transaction.commit(socket);
    if !refused.as_ref().is_err_and(absent) {
        return refused;
    }
    let mut refused = Ok(());
    each_map(lease, |map, elements| {
        for element in elements {
            let mut transaction = Transaction::new();
            transaction.delete_elements(TABLE, map, std::slice::from_ref(element));
            match transaction.commit(socket) {
                Err(error) if !absent(&error) => refused = Err(error),
                _ => (),
            }
        }
    });
    refused
}

fn absent(error: &sys::Error) -> bool {
    error.errno == rustix::io::Errno::NOENT
}

fn each_map(lease: &Lease, mut each: impl FnMut(&str, &[nft::Element])) {
    let all = table::elements(&lease.published, lease.address4, lease.address6);
    for map in Map::ALL {
        let elements: Vec<nft::Element> = all.iter().filter(|element| element.map == map).map(of_map).collect();
        if !elements.is_empty() {
            each(map.name(), &elements);
        }
    }
}

fn of_bridge(bridge: &str) -> nft::Element {
    key(Bytes::of(&[&Bytes::name(bridge)]), false)
}

fn of_loop(bridge: &str) -> nft::Element {
    let name = Bytes::name(bridge);
    key(Bytes::of(&[&name, &name]), false)
}

fn of_subnet4(net: Net4) -> [nft::Element; 2] {
    [(net.at(0), false), (net.end(), true)].map(|(ip, ends)| key(Bytes::of(&[&ip.octets()]), ends))
}

fn of_subnet6(net: Net6) -> [nft::Element; 2] {
    [(net.at(0), false), (net.end(), true)].map(|(ip, ends)| key(Bytes::of(&[&ip.octets()]), ends))
}

fn key(key: Bytes, ends: bool) -> nft::Element {
    nft::Element { key, value: Bytes::default(), ends }
}

fn of_map(element: &Element) -> nft::Element {
    let protocol = [element.published.protocol.number()];
    let port = element.published.host_port.to_be_bytes();
    let (to_port, host, to) =
        (element.published.container_port.to_be_bytes(), octets(element.host), octets(element.to));
    let key =
        if element.map.has_address() { Bytes::of(&[&protocol, &host, &port]) } else { Bytes::of(&[&protocol, &port]) };
    nft::Element { key, value: Bytes::of(&[&to, &to_port]), ends: false }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn create(transaction: &mut Transaction) {
    transaction.table(TABLE);
    let plain = |name, key, interval| nft::Set { name, key, value: &[], interval };
    for set in [BRIDGES, INTERNAL, MASKED] {
        transaction.set(TABLE, &plain(set, &[Type::InterfaceName], false));
    }
    transaction.set(TABLE, &plain(LOOPS, &[Type::InterfaceName, Type::InterfaceName], false));
    transaction.set(TABLE, &plain(SUBNETS4, &[Type::Ipv4Address], true));
    transaction.set(TABLE, &plain(SUBNETS6, &[Type::Ipv6Address], true));
    for map in Map::ALL {
        port_map(transaction, map);
    }
    for chain in CHAINS {
        transaction.chain(TABLE, chain.name, chain.hook.map(base));
    }
    for chain in CHAINS {
        for rule in chain.rules {
            let mut expressions = Vec::new();
            rule.matches.iter().for_each(|part| matches(*part, &mut expressions));
            action(rule.action, &mut expressions);
            transaction.rule(TABLE, chain.name, &expressions);
        }
    }
}

/// In a container's own network namespace: port 53 of the resolver's address leads to these ports.
pub(crate) fn redirect(socket: &Socket, udp: u16, tcp: u16) -> Result<()> {
    let mut transaction = Transaction::new();
    transaction.table(TABLE);
    port_map(&mut transaction, Map::At4);
    transaction.chain(TABLE, resolver::CHAIN, Some(base(table::Hook::Output)));
    let mut expressions = Vec::new();
    translate(Map::At4, &mut expressions);
    transaction.rule(TABLE, resolver::CHAIN, &expressions);
    let elements: Vec<nft::Element> = resolver::redirects(udp, tcp).iter().map(of_map).collect();
    transaction.add_elements(TABLE, Map::At4.name(), &elements);
    transaction.commit(socket)
}

fn port_map(transaction: &mut Transaction, map: Map) {
    let address = if map.is_ipv6() { Type::Ipv6Address } else { Type::Ipv4Address };
    let full = [Type::InetProtocol, address, Type::InetService];
    let short = [Type::InetProtocol, Type::InetService];
    let key: &[Type] = if map.has_address() { &full } else { &short };
    transaction.set(TABLE, &nft::Set { name: map.name(), key, value: &[address, Type::InetService], interval: false });
}

fn base(hook: table::Hook) -> Base {
    let (kind, hook, priority) = match hook {
        table::Hook::Raw => (ChainType::Filter, Hook::Prerouting, -300),
        table::Hook::Prerouting => (ChainType::Nat, Hook::Prerouting, -100),
        table::Hook::Output => (ChainType::Nat, Hook::Output, -100),
        table::Hook::Forward => (ChainType::Filter, Hook::Forward, 0),
        table::Hook::Postrouting => (ChainType::Nat, Hook::Postrouting, 100),
    };
    Base { kind, hook, priority }
}

const FIRST: Register = Register::at(0);
/// Where the second of two names stands: a name fills four registers.
const SECOND_NAME: Register = Register::at(4);

fn matches(part: Match, out: &mut Vec<E<'_>>) {
    match part {
        Match::FromBridge => out.extend([E::InName(FIRST), member(BRIDGES, false)]),
        Match::FromInternal => out.extend([E::InName(FIRST), member(INTERNAL, false)]),
        Match::FromMasked => out.extend([E::InName(FIRST), member(MASKED, false)]),
        Match::ToBridge => out.extend([E::OutName(FIRST), member(BRIDGES, false)]),
        Match::NotToBridge => out.extend([E::OutName(FIRST), member(BRIDGES, true)]),
        Match::WithinBridge => out.extend([E::InName(FIRST), E::OutName(SECOND_NAME), member(LOOPS, false)]),
        Match::FromSubnet4 => {
            out.extend(address(Family::Ipv4, 12, 4));
            out.push(member(SUBNETS4, false));
        }
        Match::FromSubnet6 => {
            out.extend(address(Family::Ipv6, 8, 16));
            out.push(member(SUBNETS6, false));
        }
        // 127.0.0.0/8 is the first byte of the address; source and destination are at 12 and 16 (RFC 791).
        Match::FromLoopback4 => {
            out.extend(address(Family::Ipv4, 12, 1));
            out.push(E::Equal { register: FIRST, bytes: Bytes::exactly(&[127]) });
        }
        Match::ToLoopback4 => {
            out.extend(address(Family::Ipv4, 16, 1));
            out.push(E::Equal { register: FIRST, bytes: Bytes::exactly(&[127]) });
        }
        // The destination is at 24 (RFC 8200).
        Match::NotToLoopback6 => {
            out.extend(address(Family::Ipv6, 24, 16));
            let loopback = std::net::Ipv6Addr::LOCALHOST.octets();
            out.push(E::NotEqual { register: FIRST, bytes: Bytes::exactly(&loopback) });
        }
        Match::Established => out.extend(any_bit(E::ConnectionState(FIRST), ESTABLISHED | RELATED)),
        Match::Translated => out.extend(any_bit(E::ConnectionStatus(FIRST), DESTINATION_TRANSLATED)),
        Match::ToHost => out.extend([
            E::DestinationType(FIRST),
            E::Equal { register: FIRST, bytes: Bytes::exactly(&LOCAL.to_ne_bytes()) },
        ]),
    }
}

/// `NF_CT_STATE_BIT(IP_CT_ESTABLISHED)` and `(IP_CT_RELATED)`
const ESTABLISHED: u32 = 1 << 1;
const RELATED: u32 = 1 << 2;
/// `IPS_DST_NAT`
const DESTINATION_TRANSLATED: u32 = 1 << 5;
/// `RTN_LOCAL`
const LOCAL: u32 = 2;

fn member(set: &str, negated: bool) -> E<'_> {
    E::In { set, key: FIRST, negated }
}

fn address(family: Family, offset: u32, length: u32) -> [E<'static>; 3] {
    [
        E::Family(FIRST),
        E::Equal { register: FIRST, bytes: Bytes::exactly(&[family as u8]) },
        E::Network { offset, length, into: FIRST },
    ]
}

fn any_bit(load: E<'static>, mask: u32) -> [E<'static>; 3] {
    let zero = Bytes::exactly(&[0; 4]);
    [load, E::Mask { register: FIRST, mask }, E::NotEqual { register: FIRST, bytes: zero }]
}

fn action<'a>(action: Action, out: &mut Vec<E<'a>>) {
    match action {
        Action::Accept => out.push(E::Verdict(Verdict::Accept)),
        Action::Drop => out.push(E::Verdict(Verdict::Drop)),
        Action::Goto(chain) => out.push(E::Verdict(Verdict::Goto(chain))),
        Action::Masquerade => out.push(E::Masquerade),
        Action::Translate(map) => translate(map, out),
    }
}

/// The key, part by part, each in registers of its own; then what the map says: an address and, behind it, a port.
fn translate(map: Map, out: &mut Vec<E<'_>>) {
    let (family, destination, length) = if map.is_ipv6() { (Family::Ipv6, 24, 16) } else { (Family::Ipv4, 16, 4) };
    let mut next = 1;
    if map.has_address() {
        out.extend([E::Family(FIRST), E::Equal { register: FIRST, bytes: Bytes::exactly(&[family as u8]) }]);
    }
    out.push(E::Protocol(FIRST));
    if map.has_address() {
        out.push(E::Network { offset: destination, length, into: Register::at(next) });
        next += length / 4;
    }
    // The destination port of TCP, UDP and SCTP alike.
    out.push(E::Transport { offset: 2, length: 2, into: Register::at(next) });
    out.push(E::Map { set: map.name(), key: FIRST, into: FIRST });
    out.push(E::Translate { family, address: FIRST, port: Register::at(length / 4) });
}
