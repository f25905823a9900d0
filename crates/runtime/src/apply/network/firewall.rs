//! plan's table `inet sampan` as netlink messages.

use super::{entry as cable, state};
use plan::network::entry::{self, AGAIN, ENTERED, INPUT};
use plan::network::firewall::{
    self as table, Action, BRIDGES, Chain, Element, INTERNAL, LOOPS, MASKED, Map, Match, SUBNETS4, SUBNETS6, TABLE,
};
use plan::network::{Lease, Net4, Net6, Protocol, Published, Shared, resolver};
use std::net::IpAddr;
use std::path::Path;
use sys::Result;
use sys::netlink::{self, Socket};
use sys::nft::{self, Base, Bytes, ChainType, Expression as E, Family, Hook, Of, Register, Transaction, Type, Verdict};

/// The table is as plan has it, and knows the bridge; else it is made anew, whole, in one transaction, with all that
/// the state directory names. So it does not matter who changed what (`nft flush ruleset`).
pub(super) fn ensure(socket: &Socket, route: &Socket, state_dir: &Path, shared: &Shared) -> Result<()> {
    let chains = table::chains(shared.direct);
    let names: Vec<&str> = chains.iter().map(|chain| chain.name).collect();
    let expected: Vec<u32> = chains.iter().map(|chain| uses(chain, &chains)).collect();
    match socket.chain_uses((Of::Inet, TABLE), &names, Some((LOOPS, &of_loop(&shared.bridge))))? {
        Some(uses) if uses == expected => Ok(()),
        _ => rebuild(socket, route, state_dir, &state::networks(state_dir)?),
    }
}

/// The kernel counts a chain's rules and the jumps to it.
fn uses(chain: &Chain, all: &[Chain]) -> u32 {
    let to_it = |rule: &&table::Rule| rule.action == Action::Goto(chain.name);
    let jumps = all.iter().flat_map(|other| other.rules).filter(to_it).count();
    (chain.rules.len() + jumps) as u32
}

/// The tables of the second entry are there, and know its cable; else all is made anew.
pub(super) fn ensure_entry(socket: &Socket, route: &Socket, state_dir: &Path) -> Result<()> {
    cable::want(state_dir)?;
    let (_, made) = cable::ensure(route)?;
    // Two ways lead to `again`, which has two rules.
    let expected = [(entry::PASS.len() + 2) as u32, 4, 1];
    for family in entry::FAMILIES {
        let uses = socket.chain_uses((of(family), TABLE), &[INPUT, AGAIN, ENTERED], None)?;
        if made || uses.is_none_or(|uses| uses != expected) {
            return rebuild(socket, route, state_dir, &state::networks(state_dir)?);
        }
    }
    Ok(())
}

/// Whether the kernel has what the tables of the second entry need.
pub(crate) fn can_enter_twice(socket: &Socket) -> Result<bool> {
    const TRIAL: &str = "sampan-trial";
    let mut transaction = Transaction::new();
    for family in entry::FAMILIES {
        transaction.of(of(family));
        transaction.table(TRIAL);
        transaction.chain(TRIAL, AGAIN, None);
        transaction.rule(TRIAL, AGAIN, &send(family, 1));
    }
    transaction.is_possible(socket)
}

const fn of(family: entry::Family) -> Of {
    if family.is_ipv6 { Of::Ipv6 } else { Of::Ipv4 }
}

/// With these networks and all their leases.
pub(super) fn rebuild(socket: &Socket, route: &Socket, state_dir: &Path, networks: &[String]) -> Result<()> {
    let mut transaction = Transaction::new();
    let twice = cable::is_wanted(state_dir);
    drop_tables(&mut transaction, twice);
    // A network without a record was left before it had a container.
    let networks = networks.iter().filter_map(|network| state::shared(state_dir, network));
    let networks: Vec<Shared> = networks.filter(|shared| shared.parent.is_none()).collect();
    create(&mut transaction, networks.iter().any(|shared| shared.direct));
    if twice {
        create_entry(&mut transaction, cable::ensure(route)?.0);
    }
    for shared in networks {
        transaction.add_elements(TABLE, BRIDGES, &[of_bridge(&shared.bridge)]);
        transaction.add_elements(TABLE, LOOPS, &[of_loop(&shared.bridge)]);
        for set in table::sets_of(&shared) {
            transaction.add_elements(TABLE, set, &[of_bridge(&shared.bridge)]);
        }
        transaction.add_elements(TABLE, SUBNETS4, &of_subnet4(shared.subnet4));
        if let Some(net) = shared.subnet6 {
            transaction.add_elements(TABLE, SUBNETS6, &of_subnet6(net));
        }
        for lease in state::all(state_dir, &shared.name)? {
            each_set(&lease, twice, |(of, set), elements| {
                transaction.of(of);
                transaction.add_elements(TABLE, set, elements);
            });
            transaction.of(Of::Inet);
        }
    }
    transaction.commit(socket)
}

pub(super) fn delete(socket: &Socket, state_dir: &Path) -> Result<()> {
    let mut transaction = Transaction::new();
    drop_tables(&mut transaction, cable::is_wanted(state_dir));
    transaction.commit(socket)
}

/// Whether they are there or not.
fn drop_tables(transaction: &mut Transaction, twice: bool) {
    let families = if twice { &entry::FAMILIES[..] } else { &[] };
    for of in families.iter().map(|family| of(*family)).chain([Of::Inet]) {
        transaction.of(of);
        transaction.table(TABLE);
        transaction.delete_table(TABLE);
    }
}

pub(super) fn publish(socket: &Socket, state_dir: &Path, lease: &Lease) -> Result<()> {
    let mut transaction = Transaction::new();
    each_set(lease, cable::is_wanted(state_dir), |(of, set), elements| {
        transaction.of(of);
        transaction.add_elements(TABLE, set, elements);
    });
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

pub(super) fn withdraw(socket: &Socket, state_dir: &Path, lease: &Lease) -> Result<()> {
    withdraw_elements(socket, lease, cable::is_wanted(state_dir))?;
    forget_flows(socket, lease)
}

/// Elements that are not there (the container was killed before they were made) are as good as deleted.
fn withdraw_elements(socket: &Socket, lease: &Lease, twice: bool) -> Result<()> {
    let mut transaction = Transaction::new();
    each_set(lease, twice, |(of, set), elements| {
        transaction.of(of);
        transaction.delete_elements(TABLE, set, elements);
    });
    let refused = transaction.commit(socket);
    if !refused.as_ref().is_err_and(absent) {
        return refused;
    }
    let mut refused = Ok(());
    each_set(lease, twice, |(of, set), elements| {
        for element in elements {
            let mut transaction = Transaction::new();
            transaction.of(of);
            transaction.delete_elements(TABLE, set, std::slice::from_ref(element));
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

/// The elements of a lease, by the set or map that they are of. `twice`: those of the second entry, too.
fn each_set(lease: &Lease, twice: bool, mut each: impl FnMut((Of, &str), &[nft::Element])) {
    let all = table::elements(&lease.published, lease.address4, lease.address6);
    let mut give = |place, map: Map, make: fn(&Element) -> nft::Element| {
        let elements: Vec<nft::Element> = all.iter().filter(|element| element.map == map).map(make).collect();
        if !elements.is_empty() {
            each(place, &elements);
        }
    };
    for map in Map::ALL {
        give((Of::Inet, map.name()), map, of_map);
    }
    let families = if twice { &entry::FAMILIES[..] } else { &[] };
    for (family, (set, map)) in families.iter().flat_map(|family| family.sets().map(|set| (family, set))) {
        give((of(*family), set), map, |element| nft::Element { value: Bytes::default(), ..of_map(element) });
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

fn create(transaction: &mut Transaction, direct: bool) {
    transaction.of(Of::Inet);
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
    let chains = table::chains(direct);
    for chain in &chains {
        transaction.chain(TABLE, chain.name, chain.hook.map(base));
    }
    for chain in &chains {
        for rule in chain.rules {
            let mut expressions = Vec::new();
            rule.matches.iter().for_each(|part| matches(*part, &mut expressions));
            action(rule.action, &mut expressions);
            transaction.rule(TABLE, chain.name, &expressions);
        }
    }
}

/// `exit`: the index of the link that packets are sent into.
fn create_entry(transaction: &mut Transaction, exit: u32) {
    for family in entry::FAMILIES {
        transaction.of(of(family));
        transaction.table(TABLE);
        for (set, map) in family.sets() {
            transaction.set(TABLE, &nft::Set { name: set, key: &port_key(map), value: &[], interval: false });
        }
        transaction.chain(TABLE, AGAIN, None);
        transaction.chain(TABLE, INPUT, Some(base(table::Hook::Input)));
        transaction.rule(TABLE, AGAIN, &send(family, exit));
        transaction.rule(TABLE, AGAIN, &[E::Verdict(Verdict::Drop)]);
        for link in entry::PASS {
            let [load, compare] = in_by(link);
            transaction.rule(TABLE, INPUT, &[load, compare, E::Verdict(Verdict::Accept)]);
        }
        for (set, map) in family.sets() {
            let mut expressions = Vec::new();
            matches(Match::ToHost, &mut expressions);
            port(map, &mut expressions);
            expressions.extend([member(set, false), E::Verdict(Verdict::Goto(AGAIN))]);
            transaction.rule(TABLE, INPUT, &expressions);
        }
        transaction.chain(TABLE, ENTERED, Some(base(table::Hook::Entered)));
        transaction.rule(TABLE, ENTERED, &[in_by(entry::ENTRY), marked(0)].concat());
    }
    transaction.of(Of::Inet);
}

fn send(family: entry::Family, exit: u32) -> [E<'static>; 5] {
    let (address, link) = (FIRST, Register::at(4));
    let [load, mark] = marked(entry::MARK);
    [
        load,
        mark,
        E::Load { bytes: Bytes::of(&[&octets(family.next)]), into: address },
        E::Load { bytes: Bytes::of(&[&exit.to_ne_bytes()]), into: link },
        E::Duplicate { address, link },
    ]
}

fn marked(mark: u32) -> [E<'static>; 2] {
    [E::Load { bytes: Bytes::of(&[&mark.to_ne_bytes()]), into: FIRST }, E::SetMark(FIRST)]
}

fn in_by(link: &str) -> [E<'static>; 2] {
    [E::InName(FIRST), E::Equal { register: FIRST, bytes: Bytes::exactly(&Bytes::name(link)) }]
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
    let value = [address_type(map), Type::InetService];
    transaction.set(TABLE, &nft::Set { name: map.name(), key: &port_key(map), value: &value, interval: false });
}

fn port_key(map: Map) -> Vec<Type> {
    let address = map.has_address().then(|| address_type(map));
    [Some(Type::InetProtocol), address, Some(Type::InetService)].into_iter().flatten().collect()
}

fn address_type(map: Map) -> Type {
    if map.is_ipv6() { Type::Ipv6Address } else { Type::Ipv4Address }
}

fn base(hook: table::Hook) -> Base {
    let (kind, hook, priority) = match hook {
        table::Hook::Raw => (ChainType::Filter, Hook::Prerouting, -300),
        table::Hook::Prerouting => (ChainType::Nat, Hook::Prerouting, -100),
        table::Hook::Entered => (ChainType::Filter, Hook::Prerouting, 400),
        // Behind what others have there, and before connection tracking takes note.
        table::Hook::Input => (ChainType::Filter, Hook::Input, 400),
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
        Match::FromEntry => out.extend(in_by(entry::ENTRY)),
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

/// What the map says for the key: an address and, behind it, a port.
fn translate(map: Map, out: &mut Vec<E<'_>>) {
    let (family, length) = if map.is_ipv6() { (Family::Ipv6, 16) } else { (Family::Ipv4, 4) };
    if map.has_address() {
        out.extend([E::Family(FIRST), E::Equal { register: FIRST, bytes: Bytes::exactly(&[family as u8]) }]);
    }
    port(map, out);
    out.push(E::Map { set: map.name(), key: FIRST, into: FIRST });
    out.push(E::Translate { family, address: FIRST, port: Register::at(length / 4) });
}

/// The key of such a map, part by part, each in registers of its own.
fn port(map: Map, out: &mut Vec<E<'_>>) {
    let (destination, length) = if map.is_ipv6() { (24, 16) } else { (16, 4) };
    let mut next = 1;
    out.push(E::Protocol(FIRST));
    if map.has_address() {
        out.push(E::Network { offset: destination, length, into: Register::at(next) });
        next += length / 4;
    }
    // The destination port of TCP, UDP and SCTP alike.
    out.push(E::Transport { offset: 2, length: 2, into: Register::at(next) });
}
