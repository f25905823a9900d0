//! The expressions of a rule: each loads, changes or compares registers, or decides (linux/netfilter/nf_tables.h).

use crate::netlink::Batch;

/// A register of four bytes. A value longer than that goes on into the following ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(u32);

impl Register {
    /// The 16 registers are numbered from `NFT_REG32_00`.
    ///
    /// The first is also what older rules call `NFT_REG_1`.
    #[must_use]
    pub const fn at(word: u32) -> Self {
        Self(8 + word)
    }
}

/// Up to 32 bytes as registers hold them: each part is padded with zeroes to a multiple of four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bytes {
    bytes: [u8; 32],
    length: u8,
}

impl Bytes {
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut out = Self::default();
        for part in parts {
            let at = usize::from(out.length);
            for (to, from) in out.bytes[at..].iter_mut().zip(*part) {
                *to = *from;
            }
            out.length = (at + part.len()).next_multiple_of(4).min(32) as u8;
        }
        out
    }

    /// As they are: what is compared is as long as what was loaded.
    #[must_use]
    pub fn exactly(part: &[u8]) -> Self {
        Self { length: part.len().min(32) as u8, ..Self::of(&[part]) }
    }

    /// An interface's name: 16 bytes.
    #[must_use]
    pub fn name(name: &str) -> [u8; 16] {
        let mut out = [0; 16];
        for (to, from) in out.iter_mut().zip(name.as_bytes().iter().take(15)) {
            *to = *from;
        }
        out
    }

    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Ipv4 = 2,
    Ipv6 = 10,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    Accept,
    Drop,
    Goto(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expression<'a> {
    /// `iifname`
    InName(Register),
    /// `oifname`
    OutName(Register),
    /// `meta nfproto`: one byte.
    Family(Register),
    /// `meta l4proto`: one byte.
    Protocol(Register),
    /// Bytes of the network header.
    Network {
        offset: u32,
        length: u32,
        into: Register,
    },
    /// Bytes of the transport header.
    Transport {
        offset: u32,
        length: u32,
        into: Register,
    },
    /// `ct state`, a bit mask in host order.
    ConnectionState(Register),
    /// `ct status`, a bit mask in host order.
    ConnectionStatus(Register),
    /// `fib daddr type`, in host order.
    DestinationType(Register),
    /// A bitwise and with a mask in host order.
    Mask {
        register: Register,
        mask: u32,
    },
    Equal {
        register: Register,
        bytes: Bytes,
    },
    NotEqual {
        register: Register,
        bytes: Bytes,
    },
    /// Ends the rule unless the key is in the set (with `negated`: is not).
    In {
        set: &'a str,
        key: Register,
        negated: bool,
    },
    /// Ends the rule unless the key is in the map; loads what it maps to.
    Map {
        set: &'a str,
        key: Register,
        into: Register,
    },
    /// `dnat`, to an address and a port.
    Translate {
        family: Family,
        address: Register,
        port: Register,
    },
    Masquerade,
    /// `meta mark set`
    SetMark(Register),
    /// A value.
    Load {
        bytes: Bytes,
        into: Register,
    },
    /// `dup`: a copy of the packet goes to the address by the link of that index. Not in tables of `inet`.
    Duplicate {
        address: Register,
        link: Register,
    },
    Verdict(Verdict<'a>),
}

pub(super) fn write(m: &mut Batch, expression: &Expression<'_>) {
    use Expression as E;
    match *expression {
        E::InName(into) => load(m, "meta", 6, into),
        E::OutName(into) => load(m, "meta", 7, into),
        E::Family(into) => load(m, "meta", 15, into),
        E::Protocol(into) => load(m, "meta", 16, into),
        E::Network { offset, length, into } => payload(m, 1, offset, length, into),
        E::Transport { offset, length, into } => payload(m, 2, offset, length, into),
        E::ConnectionState(into) => load(m, "ct", 0, into),
        E::ConnectionStatus(into) => load(m, "ct", 2, into),
        E::DestinationType(into) => numbers(m, "fib", &[(1, into.0), (2, 3), (3, 2)]),
        E::Mask { register, mask } => bitwise(m, register, mask),
        E::Equal { register, bytes } => compare(m, 0, register, &bytes),
        E::NotEqual { register, bytes } => compare(m, 1, register, &bytes),
        E::In { set, key, negated } => lookup(m, set, &[(2, key.0), (5, negated.into())]),
        E::Map { set, key, into } => lookup(m, set, &[(2, key.0), (3, into.0)]),
        // Type 1 is destination; both flags, "map the address" and "the port is given", follow from the attributes.
        E::Translate { family, address, port } => {
            numbers(m, "nat", &[(1, 1), (2, family as u32), (3, address.0), (5, port.0)]);
        }
        E::Masquerade => numbers(m, "masq", &[]),
        E::SetMark(from) => numbers(m, "meta", &[(2, 3), (3, from.0)]),
        E::Load { bytes, into } => value(m, &bytes, into),
        E::Duplicate { address, link } => numbers(m, "dup", &[(1, address.0), (2, link.0)]),
        E::Verdict(decision) => verdict(m, decision),
    }
}

fn expression(m: &mut Batch, name: &str, data: impl FnOnce(&mut Batch)) {
    m.nest(1, |m| {
        m.string(1, name);
        m.nest(2, data);
    });
}

fn numbers(m: &mut Batch, name: &str, values: &[(u16, u32)]) {
    expression(m, name, |m| values.iter().for_each(|&(kind, value)| m.be32(kind, value)));
}

fn load(m: &mut Batch, name: &str, key: u32, into: Register) {
    numbers(m, name, &[(1, into.0), (2, key)]);
}

fn payload(m: &mut Batch, base: u32, offset: u32, length: u32, into: Register) {
    numbers(m, "payload", &[(1, into.0), (2, base), (3, offset), (4, length)]);
}

fn bitwise(m: &mut Batch, register: Register, mask: u32) {
    expression(m, "bitwise", |m| {
        m.be32(1, register.0);
        m.be32(2, register.0);
        m.be32(3, 4);
        m.nest(4, |m| m.attribute(1, &mask.to_ne_bytes()));
        m.nest(5, |m| m.attribute(1, &[0; 4]));
    });
}

fn compare(m: &mut Batch, operation: u32, register: Register, bytes: &Bytes) {
    expression(m, "cmp", |m| {
        m.be32(1, register.0);
        m.be32(2, operation);
        m.nest(3, |m| m.attribute(1, bytes.as_slice()));
    });
}

fn lookup(m: &mut Batch, set: &str, values: &[(u16, u32)]) {
    expression(m, "lookup", |m| {
        m.string(1, set);
        values.iter().filter(|(_, value)| *value != 0).for_each(|&(kind, value)| m.be32(kind, value));
    });
}

fn value(m: &mut Batch, bytes: &Bytes, into: Register) {
    expression(m, "immediate", |m| {
        m.be32(1, into.0);
        m.nest(2, |m| m.attribute(1, bytes.as_slice()));
    });
}

fn verdict(m: &mut Batch, verdict: Verdict<'_>) {
    const GOTO: i32 = -4;
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Goto(chain) => (GOTO, Some(chain)),
    };
    expression(m, "immediate", |m| {
        m.be32(1, 0);
        m.nest(2, |m| {
            m.nest(2, |m| {
                m.be32(1, code.cast_unsigned());
                if let Some(chain) = chain {
                    m.string(2, chain);
                }
            });
        });
    });
}
