//! nftables over netlink: tables, chains, sets, maps, rules and elements, in transactions.
//!
//! A [`Transaction`] happens as a whole or not at all (nft(8), "atomic rule replacement").
//! Must not: know which table or rules sampan has; that is plan's.

mod expression;

pub use expression::{Bytes, Expression, Family, Register, Verdict};

use crate::netlink::message::{Attributes, CREATE, ENSURE, HEADER};
use crate::netlink::{Batch, Socket};
use crate::{Error, Result};
use expression::write as write_expression;
use rustix::io::Errno;

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
const GET_ELEMENT: u16 = SUBSYSTEM | 13;
const DELETE_ELEMENT: u16 = SUBSYSTEM | 14;
const NLM_F_APPEND: u16 = 0x800;
const NFPROTO_UNSPEC: u8 = 0;
const NFPROTO_INET: u8 = 1;

/// An attribute holds at most 64 KiB; an element needs less than 100 bytes.
const ELEMENTS_A_MESSAGE: usize = 500;

pub(crate) fn message_name(kind: u16) -> (&'static str, usize) {
    let name = match kind {
        NEW_TABLE => "NFT_MSG_NEWTABLE",
        DELETE_TABLE => "NFT_MSG_DELTABLE",
        NEW_CHAIN => "NFT_MSG_NEWCHAIN",
        GET_CHAIN => "NFT_MSG_GETCHAIN",
        NEW_RULE => "NFT_MSG_NEWRULE",
        NEW_SET => "NFT_MSG_NEWSET",
        NEW_ELEMENT => "NFT_MSG_NEWSETELEM",
        GET_ELEMENT => "NFT_MSG_GETSETELEM",
        DELETE_ELEMENT => "NFT_MSG_DELSETELEM",
        BATCH_BEGIN => "NFNL_MSG_BATCH_BEGIN",
        _ => "nftables message",
    };
    (name, HEADER + 4)
}

/// Where the kernel calls a base chain, as numbered by `enum nf_inet_hooks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// `filter` chains see every packet, `nat` chains the first of each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainType {
    Filter,
    Nat,
}

/// What makes a chain a base chain; its policy is `accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    pub kind: ChainType,
    pub hook: Hook,
    pub priority: i32,
}

/// The types of keys and values, as userland numbers them (nftables' datatype.h): the kernel only keeps the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Ipv4Address = 7,
    Ipv6Address = 8,
    InetProtocol = 12,
    InetService = 13,
    InterfaceName = 41,
}

impl Type {
    /// Bytes in a register: each part of a concatenation begins at a multiple of four.
    const fn width(self) -> u32 {
        match self {
            Self::Ipv4Address | Self::InetProtocol | Self::InetService => 4,
            Self::Ipv6Address | Self::InterfaceName => 16,
        }
    }
}

/// A set of `key`; with `value`, a map to it. Each is a concatenation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set<'a> {
    pub name: &'a str,
    pub key: &'a [Type],
    pub value: &'a [Type],
    /// Elements are the ends of ranges.
    pub interval: bool,
}

/// An element, as the registers hold it: see [`Bytes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub key: Bytes,
    /// Empty for the element of a set.
    pub value: Bytes,
    /// In a set of ranges: the first that is no longer in the range, not the first that is.
    pub ends: bool,
}

/// What a table is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Of {
    /// IPv4 and IPv6.
    #[default]
    Inet = NFPROTO_INET as isize,
    Ipv4 = 2,
    Ipv6 = 10,
}

impl Of {
    /// `struct nfgenmsg` of a message about the family.
    const fn header(self) -> [u8; 4] {
        [self as u8, 0, 0, 0]
    }
}

/// Changes that happen together or not at all, to tables of one family after another.
#[derive(Debug, Clone)]
pub struct Transaction {
    batch: Batch,
    sets: u32,
    of: Of,
}

impl Default for Transaction {
    fn default() -> Self {
        let mut batch = Batch::new();
        batch.message(BATCH_BEGIN, 0, &frame(), |_| ());
        batch.open_transaction();
        Self { batch, sets: 0, of: Of::Inet }
    }
}

impl Transaction {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What comes next is about tables of this family; at first it is `inet`.
    pub fn of(&mut self, family: Of) {
        self.of = family;
    }

    /// A table that may be there already.
    pub fn table(&mut self, table: &str) {
        self.batch.request(NEW_TABLE, ENSURE, &self.of.header(), |m| m.string(1, table));
    }

    /// A table with all that is in it.
    pub fn delete_table(&mut self, table: &str) {
        self.batch.request(DELETE_TABLE, 0, &self.of.header(), |m| m.string(1, table));
    }

    pub fn chain(&mut self, table: &str, chain: &str, base: Option<Base>) {
        self.batch.request(NEW_CHAIN, CREATE, &self.of.header(), |m| {
            m.string(1, table);
            m.string(3, chain);
            let Some(base) = base else { return };
            m.nest(4, |m| {
                m.be32(1, base.hook as u32);
                m.be32(2, base.priority.cast_unsigned());
            });
            m.be32(5, ACCEPT);
            m.string(7, if base.kind == ChainType::Nat { "nat" } else { "filter" });
        });
    }

    pub fn set(&mut self, table: &str, set: &Set<'_>) {
        const INTERVAL: u32 = 4;
        const MAP: u32 = 8;
        let flags = if set.interval { INTERVAL } else { 0 } | if set.value.is_empty() { 0 } else { MAP };
        self.sets += 1;
        let id = self.sets;
        self.batch.request(NEW_SET, CREATE, &self.of.header(), |m| {
            m.string(1, table);
            m.string(2, set.name);
            m.be32(3, flags);
            m.be32(4, concatenation(set.key));
            m.be32(5, width(set.key));
            if !set.value.is_empty() {
                m.be32(6, concatenation(set.value));
                m.be32(7, width(set.value));
            }
            m.be32(10, id);
            if set.key == [Type::InterfaceName] {
                m.attribute(13, &HOST_ORDER);
            }
        });
    }

    /// At the end of the chain.
    pub fn rule(&mut self, table: &str, chain: &str, expressions: &[Expression<'_>]) {
        self.batch.request(NEW_RULE, CREATE | NLM_F_APPEND, &self.of.header(), |m| {
            m.string(1, table);
            m.string(2, chain);
            m.nest(4, |m| expressions.iter().for_each(|expression| write_expression(m, expression)));
        });
    }

    /// Elements that may be there already; one that is there with another value is refused (`EEXIST`).
    pub fn add_elements(&mut self, table: &str, set: &str, elements: &[Element]) {
        self.elements(NEW_ELEMENT, ENSURE, table, set, elements);
    }

    /// Elements that are there; one that is not refuses all (`ENOENT`).
    pub fn delete_elements(&mut self, table: &str, set: &str, elements: &[Element]) {
        self.elements(DELETE_ELEMENT, 0, table, set, elements);
    }

    fn elements(&mut self, kind: u16, flags: u16, table: &str, set: &str, elements: &[Element]) {
        for elements in elements.chunks(ELEMENTS_A_MESSAGE) {
            write_elements(&mut self.batch, kind, flags, (self.of, table, set), elements);
        }
    }

    /// # Errors
    /// The first change that was refused; then none of them happened.
    pub fn commit(mut self, socket: &Socket) -> Result<()> {
        self.batch.message(BATCH_END, 0, &frame(), |_| ());
        socket.apply(&self.batch)
    }

    /// Whether the kernel would do it: what is not ended is undone.
    ///
    /// # Errors
    /// Only when the exchange itself fails.
    pub fn is_possible(self, socket: &Socket) -> Result<bool> {
        Ok(socket.try_send(&self.batch, |_, _| ())?.is_none())
    }
}

/// A set's user data, by which nft(8) knows how to print its keys (libnftnl's `NFTNL_UDATA_SET_KEYBYTEORDER`, a type,
/// a length and a number): the kernel does not look at it.
const HOST_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

/// `NF_DROP`
const DROP: u32 = 0;
/// `NF_ACCEPT`
const ACCEPT: u32 = 1;

/// A table with its family.
type OfTable = (&'static str, String);

fn write_elements(batch: &mut Batch, kind: u16, flags: u16, (of, table, set): (Of, &str, &str), elements: &[Element]) {
    batch.request(kind, flags, &of.header(), |m| {
        m.string(1, table);
        m.string(2, set);
        m.nest(3, |m| elements.iter().for_each(|element| write_element(m, element)));
    });
}

const INTERVAL_END: u32 = 1;

fn write_element(m: &mut Batch, element: &Element) {
    m.nest(1, |m| {
        m.nest(1, |m| m.attribute(1, element.key.as_slice()));
        if !element.value.as_slice().is_empty() {
            m.nest(2, |m| m.attribute(1, element.value.as_slice()));
        }
        if element.ends {
            m.be32(3, INTERVAL_END);
        }
    });
}

/// `struct nfgenmsg` of a transaction's first and last message: it names the subsystem.
fn frame() -> [u8; 4] {
    [NFPROTO_UNSPEC, 0, 0, 10]
}

fn width(types: &[Type]) -> u32 {
    types.iter().map(|kind| kind.width()).sum()
}

/// Six bits a type, the first type highest.
fn concatenation(types: &[Type]) -> u32 {
    types.iter().fold(0, |sum, &kind| sum << 6 | kind as u32)
}

/// A base chain of some table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseChain {
    /// `ip`, `ip6` or `inet`.
    pub family: &'static str,
    pub of: Of,
    pub table: String,
    pub name: String,
    /// As [`Hook`] numbers them.
    pub hook: u32,
    /// The policy is `drop`.
    pub drops: bool,
}

impl Socket {
    /// How many references (rules in it, jumps to it) each of these chains has. `None`: one of them, or the element of
    /// the set, is not there.
    ///
    /// # Errors
    /// What nftables says.
    pub fn chain_uses(
        &self,
        (of, table): (Of, &str),
        chains: &[&str],
        element: Option<(&str, &Element)>,
    ) -> Result<Option<Vec<u32>>> {
        let mut batch = Batch::new();
        for chain in chains {
            batch.request(GET_CHAIN, 0, &of.header(), |m| {
                m.string(1, table);
                m.string(3, chain);
            });
        }
        if let Some((set, element)) = element {
            write_elements(&mut batch, GET_ELEMENT, 0, (of, table, set), std::slice::from_ref(element));
        }
        let mut uses = Vec::with_capacity(chains.len());
        let read =
            |kind: u16, payload: &[u8]| uses.extend(Some(payload).filter(|_| kind == NEW_CHAIN).and_then(chain_use));
        match self.try_send(&batch, read)? {
            None => Ok(Some(uses)),
            Some(Errno::NOENT) => Ok(None),
            Some(errno) => Err(Error::new(format!("NFT_MSG_GETCHAIN {table}"), errno)),
        }
    }

    /// The base chains of all tables of IPv4 and IPv6.
    ///
    /// # Errors
    /// What nftables says.
    pub fn base_chains(&self) -> Result<Vec<BaseChain>> {
        let mut batch = Batch::new();
        batch.dump(GET_CHAIN, &[NFPROTO_UNSPEC, 0, 0, 0]);
        let mut chains = Vec::new();
        self.send(&batch, |_, payload| chains.extend(read_base_chain(payload)))?;
        Ok(chains)
    }

    /// Whether its last rule drops or rejects all that comes to it.
    ///
    /// # Errors
    /// What nftables says.
    pub fn closes(&self, chain: &BaseChain) -> Result<bool> {
        let mut batch = Batch::new();
        batch.dump_of(GET_RULE, &chain.of.header(), |m| {
            m.string(1, &chain.table);
            m.string(2, &chain.name);
        });
        let mut closes = false;
        self.send(&batch, |_, payload| closes = read_rule(payload).unwrap_or(false))?;
        Ok(closes)
    }

    /// The tables, with their family, of which a rule compares something with this link's name.
    ///
    /// # Errors
    /// What nftables says.
    pub fn tables_naming(&self, link: &str) -> Result<Vec<OfTable>> {
        let mut batch = Batch::new();
        batch.dump(GET_RULE, &[NFPROTO_UNSPEC, 0, 0, 0]);
        let name = [link.as_bytes(), &[0]].concat();
        let mut tables = Vec::new();
        self.send(&batch, |_, payload| {
            if payload.windows(name.len()).any(|bytes| bytes == name) {
                tables.extend(read_table(payload));
            }
        })?;
        Ok(tables)
    }
}

fn chain_use(payload: &[u8]) -> Option<u32> {
    Attributes::new(payload.get(4..)?).find(|(kind, _)| *kind == 6).map(|(_, value)| big_endian(value))
}

fn read_family(payload: &[u8]) -> Option<(&'static str, Of)> {
    match *payload.first()? {
        NFPROTO_INET => Some(("inet", Of::Inet)),
        2 => Some(("ip", Of::Ipv4)),
        10 => Some(("ip6", Of::Ipv6)),
        _ => None,
    }
}

fn read_table(payload: &[u8]) -> Option<OfTable> {
    let (_, table) = Attributes::new(payload.get(4..)?).find(|(kind, _)| *kind == 1)?;
    Some((read_family(payload)?.0, text(table)))
}

/// Whether all that comes to it ends there and goes no further.
fn read_rule(payload: &[u8]) -> Option<bool> {
    let list = Attributes::new(payload.get(4..)?).find(|(kind, _)| *kind == 4).map_or(&[][..], |(_, list)| list);
    let mut others = Attributes::new(list).filter(|(_, one)| name_of(one).as_deref() != Some("counter"));
    Some(others.next().is_some_and(|(_, one)| is_final(one)) && others.next().is_none())
}

fn name_of(expression: &[u8]) -> Option<String> {
    Attributes::new(expression).find(|(kind, _)| *kind == 1).map(|(_, name)| text(name))
}

/// `reject`, or the verdict `drop`.
fn is_final(expression: &[u8]) -> bool {
    let inner = |bytes: &[u8], kind: u16| Attributes::new(bytes).find(|a| a.0 == kind).map(|a| a.1.to_vec());
    match name_of(expression).as_deref() {
        Some("reject") => true,
        Some("immediate") => {
            let verdict = [2, 2, 2].iter().try_fold(expression.to_vec(), |bytes, kind| inner(&bytes, *kind));
            verdict.and_then(|bytes| inner(&bytes, 1)).is_some_and(|code| big_endian(&code) == DROP)
        }
        _ => false,
    }
}

fn read_base_chain(payload: &[u8]) -> Option<BaseChain> {
    let (family, of) = read_family(payload)?;
    let (mut chain, mut hooked) = (BaseChain { family, of, ..BaseChain::default() }, false);
    for (kind, value) in Attributes::new(payload.get(4..)?) {
        match kind {
            1 => chain.table = text(value),
            3 => chain.name = text(value),
            4 => {
                hooked = true;
                chain.hook = Attributes::new(value).find(|a| a.0 == 1).map_or(u32::MAX, |a| big_endian(a.1));
            }
            5 => chain.drops = big_endian(value) != ACCEPT,
            _ => (),
        }
    }
    hooked.then_some(chain)
}

fn big_endian(value: &[u8]) -> u32 {
    value.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}
