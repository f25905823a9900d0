//! Writing netlink messages: headers, attributes, nests (netlink(7); all lengths and alignments are the kernel's).

use super::Protocol;

pub(crate) const HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLA_F_NESTED: u16 = 0x8000;

/// `NLM_F_CREATE | NLM_F_EXCL`
pub const CREATE: u16 = 0x600;
/// `NLM_F_CREATE`: what is there already is left or changed.
pub const ENSURE: u16 = 0x400;

/// In place of a link's index: the link is known by name only when the messages are sent, see [`super::InChild`].
pub const BY_NAME: u32 = u32::MAX;

/// Messages that are sent with one call. Attributes that a name or an address makes too long for netlink (64 KiB)
/// cannot be written: callers split long lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Messages so far; the last one's sequence number.
    count: u32,
    /// How many of them are answered by an acknowledgement or the end of a dump.
    expected: usize,
    /// A transaction in which the message with this number opens, and with whose refusal all is said.
    opened_by: u32,
    /// Where [`BY_NAME`] stands.
    holes: Vec<usize>,
}

impl Batch {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The messages as the kernel takes them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// As [`Batch::request`] about a link, whose index stands in the second word of both families' headers.
    pub(super) fn about_link(
        &mut self,
        kind: u16,
        flags: u16,
        header: &[u8],
        rest: impl FnOnce(&mut Self),
        index: u32,
    ) {
        let at = self.bytes.len() + HEADER + 4;
        self.request(kind, flags, header, rest);
        self.hole(index, at);
    }

    /// One message that is acknowledged. `header` is the family's fixed part.
    pub(crate) fn request(&mut self, kind: u16, flags: u16, header: &[u8], attributes: impl FnOnce(&mut Self)) {
        self.expected += 1;
        self.message(kind, flags | NLM_F_ACK, header, attributes);
    }

    /// One message that asks for a list; its answers end with `NLMSG_DONE`.
    pub(crate) fn dump(&mut self, kind: u16, header: &[u8]) {
        self.dump_of(kind, header, |_| ());
    }

    /// As [`Batch::dump`], of what these attributes name.
    pub(crate) fn dump_of(&mut self, kind: u16, header: &[u8], attributes: impl FnOnce(&mut Self)) {
        self.expected += 1;
        self.message(kind, NLM_F_DUMP, header, attributes);
    }

    /// One message without an answer, unless it is refused.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, header: &[u8], attributes: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.count += 1;
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.put(header);
        attributes(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    pub(crate) fn open_transaction(&mut self) {
        self.opened_by = self.count;
    }

    pub(crate) fn attribute(&mut self, kind: u16, payload: &[u8]) {
        let length = (4 + payload.len()) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.put(payload);
    }

    /// With the terminating zero that the kernel wants.
    pub(crate) fn string(&mut self, kind: u16, text: &str) {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// The same for a link's index, or the hole for it.
    pub(crate) fn link_index(&mut self, kind: u16, index: u32) {
        self.u32(kind, index);
        self.hole(index, self.bytes.len() - 4);
    }

    fn hole(&mut self, index: u32, at: usize) {
        if index == BY_NAME {
            self.holes.push(at);
        }
    }

    /// nftables' numbers are big endian.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    pub(crate) fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.attribute(kind | NLA_F_NESTED, &[]);
        inside(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Raw bytes, padded to four.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(super) fn holes(&self) -> &[usize] {
        &self.holes
    }

    pub(super) fn expected(&self) -> usize {
        self.expected
    }

    pub(super) fn closes_at(&self, sequence: u32) -> bool {
        sequence != 0 && sequence == self.opened_by
    }

    pub(super) fn expects(&self, sequence: u32) -> bool {
        self.at(sequence).is_some_and(|message| field(message, 6) & (NLM_F_ACK | NLM_F_DUMP) != 0)
    }

    fn at(&self, sequence: u32) -> Option<&[u8]> {
        let mut rest = self.bytes.as_slice();
        for _ in 1..sequence {
            rest = rest.get(length(rest)?..)?;
        }
        rest.get(..length(rest)?)
    }

    /// `RTM_NEWLINK sampan0`: the message's name and the first name in it.
    pub(super) fn describe(&self, protocol: Protocol, sequence: u32) -> String {
        let Some(message) = self.at(sequence) else {
            return format!("netlink message {sequence}");
        };
        let kind = field(message, 4);
        let (name, at) = match protocol {
            Protocol::Route => super::link::message_name(kind),
            Protocol::Netfilter => crate::nft::message_name(kind),
        };
        let words: Vec<String> =
            message.get(at..).map(|attributes| names(attributes, protocol)).into_iter().flatten().collect();
        [vec![name.to_owned()], words].concat().join(" ")
    }
}

/// A link's name is its attribute 3; of nftables' objects the table is 1, the chain or set 2 or 3.
fn names(attributes: &[u8], protocol: Protocol) -> Vec<String> {
    let wanted = match protocol {
        Protocol::Route => 3..4,
        Protocol::Netfilter => 1..4,
    };
    Attributes::new(attributes)
        .filter(|(kind, _)| wanted.contains(kind))
        .filter_map(|(_, payload)| payload.strip_suffix(&[0]))
        .filter(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

pub(super) fn length(message: &[u8]) -> Option<usize> {
    let length = message.get(..4)?;
    Some(u32::from_ne_bytes([length[0], length[1], length[2], length[3]]) as usize)
}

fn field(message: &[u8], at: usize) -> u16 {
    message.get(at..at + 2).map_or(0, |bytes| u16::from_ne_bytes([bytes[0], bytes[1]]))
}

/// The attributes of a message: type (flags cleared) and payload. Ends at the first that is cut off.
pub(crate) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(field(self.0, 0));
        let payload = self.0.get(4..length)?;
        let kind = field(self.0, 2) & 0x3fff;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    }
}

/// A native 32-bit number at the start of a payload; 0 when it is cut off.
pub(crate) fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}
