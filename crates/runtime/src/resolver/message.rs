//! DNS messages (RFC 1035, RFC 6891): reading a question, writing an answer. Pure.
//!
//! Invariant: whatever bytes a container or a server sends, reading them ends, and nothing is read behind their end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const HEADER: usize = 12;
/// What any client takes by UDP (RFC 1035, section 4.2.1).
const LEAST: usize = 512;
/// What we say that we take (RFC 9715: what no link must cut).
const PAYLOAD: u16 = 1232;

pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
const OPT: u16 = 41;
const IN: u16 = 1;
const ANY_CLASS: u16 = 255;

/// Response codes.
pub const MALFORMED: u8 = 1;
pub const FAILED: u8 = 2;
pub const NOT_DONE: u8 = 4;
pub const REFUSED: u8 = 5;

const RESPONSE: u16 = 1 << 15;
const OPCODE: u16 = 0xf << 11;
const AUTHORITATIVE: u16 = 1 << 10;
const CUT: u16 = 1 << 9;
const WANTED: u16 = 1 << 8;
const AVAILABLE: u16 = 1 << 7;

/// A question, of which the rest of the message is no matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    id: u16,
    /// Whether recursion is wanted, to be given back.
    flags: u16,
    /// As it came: name, type and class.
    bytes: Vec<u8>,
    /// Lower case, without the last dot; `None`: there is something in it that no name of ours has.
    pub name: Option<String>,
    pub kind: u16,
    /// Of the Internet.
    pub is_in: bool,
    /// How long an answer by UDP may be; with an OPT record.
    limit: usize,
    extended: bool,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Address(IpAddr),
    Name(String),
}

/// What is no question: to be answered with this code, or not at all.
pub type Bad = Option<Vec<u8>>;

/// # Errors
/// The answer to what is no question that is understood, if it is one at all.
pub fn question(message: &[u8]) -> Result<Question, Bad> {
    let (id, flags) = (word(message, 0).ok_or(None)?, word(message, 2).ok_or(None)?);
    if flags & RESPONSE != 0 || message.len() < HEADER {
        return Err(None);
    }
    let bad = |code: u8| Some(header(id, flags & (WANTED | OPCODE), code, [0; 4]).to_vec());
    if flags & OPCODE != 0 {
        return Err(bad(NOT_DONE));
    }
    if word(message, 4) != Some(1) {
        return Err(bad(MALFORMED));
    }
    let (end, name) = labels(message).ok_or_else(|| bad(MALFORMED))?;
    let (kind, class) = (word(message, end), word(message, end + 2));
    let (Some(kind), Some(class)) = (kind, class) else { return Err(bad(MALFORMED)) };
    let bytes = message.get(HEADER..end + 4).unwrap_or_default().to_vec();
    let payload = extension(message, end + 4);
    Ok(Question {
        id,
        flags: flags & WANTED,
        bytes,
        name,
        kind,
        is_in: matches!(class, IN | ANY_CLASS),
        limit: payload.map_or(LEAST, |size| usize::from(size).clamp(LEAST, usize::from(PAYLOAD))),
        extended: payload.is_some(),
    })
}

/// Whether this is an answer to that message: a stray or forged datagram is not.
#[must_use]
pub fn answers(message: &[u8], asked: &[u8]) -> bool {
    let same = |at: usize| word(message, at).is_some_and(|word| Some(word) == self::word(asked, at));
    let is_response = word(message, 2).is_some_and(|flags| flags & RESPONSE != 0);
    let Some((end, _)) = labels(asked) else { return false };
    // A server that understood nothing may leave the question out.
    let repeated = match word(message, 4) {
        Some(0) => true,
        _ => message
            .get(HEADER..end + 4)
            .is_some_and(|part| part.eq_ignore_ascii_case(asked.get(HEADER..end + 4).unwrap_or_default())),
    };
    same(0) && is_response && repeated
}

/// Whether it is one that another server may do better.
#[must_use]
pub fn failed(message: &[u8]) -> bool {
    matches!(message.get(3).map(|byte| byte & 0xf), Some(FAILED | NOT_DONE | REFUSED))
}

impl Question {
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// `by_udp`: as long as the client takes it; what is cut says so.
    #[must_use]
    pub fn answer(&self, code: u8, records: &[Record], ttl: u32, by_udp: bool) -> Vec<u8> {
        let limit = if by_udp { self.limit } else { usize::from(u16::MAX) };
        let extension: &[u8] = if self.extended { &[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0] } else { &[] };
        let mut body = self.bytes.clone();
        let mut count = 0u16;
        for record in records {
            let mark = body.len();
            write(&mut body, record, ttl);
            if HEADER + body.len() + extension.len() > limit {
                body.truncate(mark);
                break;
            }
            count += 1;
        }
        let cut = if usize::from(count) < records.len() { CUT } else { 0 };
        body.extend_from_slice(extension);
        let flags = self.flags | AVAILABLE | cut | if code == 0 { AUTHORITATIVE } else { 0 };
        let counts = [1, count, 0, u16::from(self.extended)];
        [header(self.id, flags, code, counts).as_slice(), &body].concat()
    }
}

fn header(id: u16, flags: u16, code: u8, counts: [u16; 4]) -> [u8; HEADER] {
    let words = [id, RESPONSE | flags | u16::from(code), counts[0], counts[1], counts[2], counts[3]];
    let mut bytes = [0; HEADER];
    for (to, word) in bytes.chunks_mut(2).zip(words) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

fn write(body: &mut Vec<u8>, record: &Record, ttl: u32) {
    // The name is that of the question, which stands behind the header.
    let (kind, data) = match record {
        Record::Address(IpAddr::V4(ip)) => (A, ip.octets().to_vec()),
        Record::Address(IpAddr::V6(ip)) => (AAAA, ip.octets().to_vec()),
        Record::Name(name) => (PTR, wire(name)),
    };
    body.extend_from_slice(&[0xc0, HEADER as u8]);
    body.extend_from_slice(&kind.to_be_bytes());
    body.extend_from_slice(&IN.to_be_bytes());
    body.extend_from_slice(&ttl.to_be_bytes());
    body.extend_from_slice(&(data.len() as u16).to_be_bytes());
    body.extend_from_slice(&data);
}

/// A name that is too long for DNS is left out, label by label.
fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| (1..64).contains(&label.len())) {
        if bytes.len() + label.len() + 2 > 255 {
            break;
        }
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?))
}

/// The name behind the header: where it ends, and what it says. There is nothing before it that it could point to.
fn labels(message: &[u8]) -> Option<(usize, Option<String>)> {
    let (mut at, mut name, mut plain) = (HEADER, String::new(), true);
    loop {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            at += 1;
            break;
        }
        let label = message.get(at + 1..at + 1 + length).filter(|_| length < 64)?;
        plain &= label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        at += 1 + length;
        if at - HEADER > 254 {
            return None;
        }
    }
    Some((at, Some(name).filter(|name| plain && !name.is_empty())))
}

/// How much the client takes by UDP, of the OPT record behind the question.
fn extension(message: &[u8], mut at: usize) -> Option<u16> {
    if word(message, 6) != Some(0) || word(message, 8) != Some(0) {
        return None;
    }
    for _ in 0..word(message, 10)? {
        at = skip_name(message, at)?;
        let (kind, class, length) = (word(message, at)?, word(message, at + 2)?, word(message, at + 8)?);
        if kind == OPT {
            return Some(class);
        }
        at += 10 + usize::from(length);
    }
    None
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// The address that a PTR question is about (RFC 1035, section 3.5; RFC 3596, section 2.5).
#[must_use]
pub fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0u8; 4];
        let mut labels = rest.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = labels.next()?.parse().ok()?;
        }
        return labels.next().is_none().then(|| Ipv4Addr::from(octets).into());
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0u128;
    let mut labels = rest.rsplit('.');
    for _ in 0..32 {
        let label = labels.next().filter(|label| label.len() == 1)?;
        bits = bits << 4 | u128::from(label.chars().next()?.to_digit(16)?);
    }
    labels.next().is_none().then(|| Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: u16, payload: Option<u16>) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(payload.is_some())];
        message.extend(wire(name));
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        if let Some(size) = payload {
            message.extend([0, 0, 41]);
            message.extend(size.to_be_bytes());
            message.extend([0, 0, 0, 0, 0, 0]);
        }
        message
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let asked = ask("Web.One", A, None);
        let read = question(&asked).unwrap();
        assert_eq!((read.name.as_deref(), read.kind, read.is_in), (Some("web.one"), A, true));
        let answer = read.answer(0, &[Record::Address("10.1.2.3".parse().unwrap())], 5, true);
        assert_eq!(&answer[..12], [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(&answer[12..21], b"\x03Web\x03One\0");
        assert_eq!(&answer[25..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 1, 2, 3]);
        assert!(answers(&answer, &asked) && !answers(&asked, &asked) && !answers(&answer, &ask("other", A, None)));
        assert!(!failed(&answer) && failed(&read.answer(FAILED, &[], 0, true)));
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let many: Vec<Record> = (0..60).map(|n| Record::Address(Ipv4Addr::new(10, 0, 0, n).into())).collect();
        for (payload, least, most) in
            [(None, 400, 512), (Some(1232), 900, 1232), (Some(65535), 900, 1232), (Some(9), 400, 512)]
        {
            let read = question(&ask("many", A, payload)).unwrap();
            let answer = read.answer(0, &many, 5, true);
            assert!((least..=most).contains(&answer.len()), "{payload:?}: {}", answer.len());
            assert_eq!(answer[2] & 2 != 0, answer.len() < 900, "{payload:?}");
            assert!(read.answer(0, &many, 5, false)[2] & 2 == 0);
            assert_eq!(answer[11], u8::from(payload.is_some()));
        }
    }

    #[test]
    fn what_is_no_question_is_none() {
        assert_eq!(question(&[]), Err(None));
        assert_eq!(question(&ask("a", A, None)[..11]), Err(None));
        let mut response = ask("a", A, None);
        response[2] |= 0x80;
        assert_eq!(question(&response), Err(None));
        for (at, value, code) in
            [(2, 0x28, NOT_DONE), (5, 2, MALFORMED), (5, 0, MALFORMED), (12, 0xc0, MALFORMED), (12, 64, MALFORMED)]
        {
            let mut message = ask("abc", A, None);
            message[at] = value;
            let answer = question(&message).unwrap_err().unwrap();
            assert_eq!((answer[3] & 0xf, answer.len()), (code, HEADER), "{at}={value}");
        }
        let long = vec!["x".repeat(63); 4].join(".");
        let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in long.split('.') {
            message.push(63);
            message.extend(label.bytes());
        }
        message.extend([1, b'y', 0, 0, 1, 0, 1]);
        assert!(question(&message).is_err());
        for odd in ["a/b", "..", "a b", "é", "a\0"] {
            let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, odd.len() as u8];
            message.extend(odd.bytes());
            message.extend([0, 0, 1, 0, 1]);
            assert_eq!(question(&message).unwrap().name, None, "{odd:?}");
        }
    }

    #[test]
    fn addresses_of_ptr_questions() {
        assert_eq!(reversed("3.2.1.10.in-addr.arpa"), Some("10.1.2.3".parse().unwrap()));
        let six = "7.0.2.0.9.0.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.9.0.d.f.ip6.arpa";
        assert_eq!(reversed(six), Some("fd09:2::a09:207".parse().unwrap()));
        for none in
            ["1.10.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "1.2.3.256.in-addr.arpa", "a.ip6.arpa", "web", &six[2..]]
        {
            assert_eq!(reversed(none), None, "{none}");
        }
    }

    /// Whatever comes: it is read to its end or refused, and what is answered fits and is itself an answer.
    #[test]
    fn any_bytes() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        let corpus =
            [ask("web", A, None), ask("a.b.c", AAAA, Some(4096)), ask("1.0.0.10.in-addr.arpa", PTR, Some(512))];
        for _ in 0..200_000 {
            let mut message = corpus[random(3)].clone();
            for _ in 0..random(6) {
                let at = random(message.len().max(1));
                match random(4) {
                    0 if !message.is_empty() => message[at] = random(256) as u8,
                    1 => message.truncate(at),
                    2 => message.insert(at.min(message.len()), random(256) as u8),
                    _ => message.extend_from_within(at.min(message.len())..),
                }
            }
            let Ok(read) = question(&message) else { continue };
            let records = vec![Record::Name("web.one".into()); random(90)];
            let answer = read.answer(0, &records, 5, true);
            assert!(answer.len() <= usize::from(PAYLOAD) && answers(&answer, &message), "{message:?}");
            read.name.as_deref().map(reversed);
            let _ = failed(&message);
        }
    }
}
