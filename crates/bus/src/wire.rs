//! Values as bytes, little-endian as both machines are that this is built for (D-Bus specification, "Wire Format").
//!
//! Invariant: a value is aligned to its size from the start of the message; no length that comes in is believed before
//! the bytes are there.

use crate::{Error, Result};
use spec::bus::Value;

/// "Maximum length of an array".
const MOST: usize = 1 << 26;
/// Of containers in each other: more is no honest message.
const DEPTH: usize = 64;

const SHORT: Error = Error::Malformed("it ends within a value");

fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

pub fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

pub fn write(bytes: &mut Vec<u8>, value: &Value) {
    align(bytes, alignment(&value.signature()));
    match value {
        Value::Byte(n) => bytes.push(*n),
        Value::Bool(is) => bytes.extend(u32::from(*is).to_le_bytes()),
        Value::Int16(n) => bytes.extend(n.to_le_bytes()),
        Value::Uint16(n) => bytes.extend(n.to_le_bytes()),
        Value::Int32(n) => bytes.extend(n.to_le_bytes()),
        Value::Uint32(n) => bytes.extend(n.to_le_bytes()),
        Value::Int64(n) => bytes.extend(n.to_le_bytes()),
        Value::Uint64(n) => bytes.extend(n.to_le_bytes()),
        Value::Double(n) => bytes.extend(n.to_le_bytes()),
        Value::Text(text) | Value::Path(text) => {
            bytes.extend(length(text.len()).to_le_bytes());
            bytes.extend(text.bytes().chain([0]));
        }
        Value::Signature(text) => {
            bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            bytes.extend(text.bytes().chain([0]));
        }
        Value::Array(of, values) => {
            let at = bytes.len();
            bytes.extend([0; 4]);
            // The space before the first element does not count.
            align(bytes, alignment(of));
            let first = bytes.len();
            values.iter().for_each(|value| write(bytes, value));
            let size = length(bytes.len() - first);
            bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
        }
        Value::Struct(values) => values.iter().for_each(|value| write(bytes, value)),
        Value::Entry(pair) => pair.iter().for_each(|value| write(bytes, value)),
        Value::Variant(value) => {
            write(bytes, &Value::Signature(value.signature()));
            write(bytes, value);
        }
    }
}

fn length(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// The first complete type of a signature, and the rest.
fn first(signature: &str) -> Option<(&str, &str)> {
    let end = end_of_type(signature.as_bytes(), 0)?;
    Some(signature.split_at(end))
}

fn end_of_type(signature: &[u8], depth: usize) -> Option<usize> {
    if depth > DEPTH {
        return None;
    }
    let close = match signature.first()? {
        b'a' => return Some(1 + end_of_type(&signature[1..], depth + 1)?),
        b'(' => b')',
        b'{' => b'}',
        byte => return b"ybnqiuxtdsogvh".contains(byte).then_some(1),
    };
    let mut at = 1;
    while *signature.get(at)? != close {
        at += end_of_type(&signature[at..], depth + 1)?;
    }
    Some(at + 1)
}

/// Bytes from the start of their message.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    pub fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(SHORT)?;
        let bytes = self.bytes.get(self.at..end).ok_or(SHORT)?;
        self.at = end;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.align(N);
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.number().map(u32::from_le_bytes)
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let bytes = self.take(length)?;
        if self.take(1)? != [0] {
            return Err(Error::Malformed("a text without its end"));
        }
        String::from_utf8(bytes.to_vec()).map_err(|_| Error::Malformed("a text that is not UTF-8"))
    }

    fn short_text(&mut self) -> Result<String> {
        let length = usize::from(self.take(1)?[0]);
        self.text(length)
    }

    fn long_text(&mut self) -> Result<String> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    /// As many values as the signature has types.
    pub fn all(&mut self, mut signature: &str) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (kind, rest) = first(signature).ok_or(Error::Malformed("a signature"))?;
            values.push(self.one(kind)?);
            signature = rest;
        }
        Ok(values)
    }

    fn one(&mut self, kind: &str) -> Result<Value> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Error::Malformed("too many values in each other"));
        }
        let inside = kind.get(1..kind.len().max(2) - 1).unwrap_or_default();
        let value = match kind.as_bytes().first() {
            Some(b'y') => Value::Byte(self.take(1)?[0]),
            Some(b'b') => Value::Bool(self.u32()? != 0),
            Some(b'n') => Value::Int16(self.number().map(i16::from_le_bytes)?),
            Some(b'q') => Value::Uint16(self.number().map(u16::from_le_bytes)?),
            Some(b'i') => Value::Int32(self.number().map(i32::from_le_bytes)?),
            // A file's is the place of the file among those that came along.
            Some(b'u' | b'h') => Value::Uint32(self.u32()?),
            Some(b'x') => Value::Int64(self.number().map(i64::from_le_bytes)?),
            Some(b't') => Value::Uint64(self.number().map(u64::from_le_bytes)?),
            Some(b'd') => Value::Double(self.number().map(f64::from_le_bytes)?),
            Some(b's') => Value::Text(self.long_text()?),
            Some(b'o') => Value::Path(self.long_text()?),
            Some(b'g') => Value::Signature(self.short_text()?),
            Some(b'a') => self.array(&kind[1..])?,
            Some(b'(') => {
                self.align(8);
                Value::Struct(self.all(inside)?)
            }
            Some(b'{') => {
                self.align(8);
                let pair: [Value; 2] =
                    self.all(inside)?.try_into().map_err(|_| Error::Malformed("an entry that is no pair"))?;
                Value::Entry(Box::new(pair))
            }
            Some(b'v') => {
                let kind = self.short_text()?;
                match first(&kind) {
                    Some((_, "")) => Value::Variant(Box::new(self.one(&kind)?)),
                    _ => return Err(Error::Malformed("a variant of more than one value")),
                }
            }
            _ => return Err(Error::Malformed("a signature")),
        };
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self, of: &str) -> Result<Value> {
        let size = self.u32()? as usize;
        self.align(alignment(of));
        let end = self.at + size;
        if size > MOST || end > self.bytes.len() {
            return Err(SHORT);
        }
        let mut values = Vec::new();
        while self.at < end {
            values.push(self.one(of)?);
        }
        if self.at == end { Ok(Value::Array(of.to_owned(), values)) } else { Err(SHORT) }
    }
}

#[cfg(test)]
mod tests {
    use super::{DEPTH, Reader, first, write};
    use spec::bus::Value;

    fn bytes(values: &[Value]) -> (String, Vec<u8>) {
        let mut bytes = Vec::new();
        values.iter().for_each(|value| write(&mut bytes, value));
        (values.iter().map(Value::signature).collect(), bytes)
    }

    #[test]
    fn as_the_specification_has_it() {
        // An array of one int64: its length without the four bytes before the element.
        let (_, array) = bytes(&[Value::Array("x".into(), vec![Value::Int64(5)])]);
        assert_eq!(array, [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let (_, text) = bytes(&[Value::Byte(1), Value::text("foo")]);
        assert_eq!(text, [1, 0, 0, 0, 3, 0, 0, 0, b'f', b'o', b'o', 0]);
        let (_, variant) = bytes(&[Value::Variant(Box::new(Value::Uint32(9)))]);
        assert_eq!(variant, [1, b'u', 0, 0, 9, 0, 0, 0]);
        assert_eq!(bytes(&[Value::Array("(sv)".into(), Vec::new())]).1, [0; 8]);
    }

    #[test]
    fn what_is_written_is_read() {
        let property = |name: &str, value| Value::Struct(vec![Value::text(name), Value::Variant(Box::new(value))]);
        let allow = |path: &str| Value::Struct(vec![Value::text(path), Value::text("rwm")]);
        let entry = Value::Entry(Box::new([Value::text("k"), Value::Variant(Box::new(Value::Bool(true)))]));
        let values = [
            Value::Byte(1),
            Value::Array(
                "(sv)".into(),
                vec![
                    property("A", Value::bytes(&[1, 2, 3])),
                    property("B", Value::Uint64(u64::MAX)),
                    property("C", Value::Array("(ss)".into(), vec![allow("/dev/null"), allow("char-*")])),
                    property("D", Value::Double(1.5)),
                ],
            ),
            Value::Array("{sv}".into(), vec![entry]),
            Value::Path("/a".into()),
            Value::Signature("a(sv)".into()),
            Value::Int16(-2),
            Value::Uint16(2),
            Value::Int32(-3),
            Value::Int64(-4),
        ];
        let (signature, bytes) = bytes(&values);
        assert_eq!(Reader::new(&bytes).all(&signature).unwrap(), values);
        // Whatever of it is missing.
        for end in 0..bytes.len() {
            assert!(Reader::new(&bytes[..end]).all(&signature).is_err(), "{end}");
        }
    }

    #[test]
    fn what_is_no_message() {
        let bad = |signature: &str, bytes: &[u8]| Reader::new(bytes).all(signature).unwrap_err();
        bad("s", &[4, 0, 0, 0, b'a', b'b', b'c', b'd', 1]);
        bad("s", &[1, 0, 0, 0, 0xff, 0]);
        bad("ay", &[0xff, 0xff, 0xff, 0xff]);
        bad("au", &[3, 0, 0, 0, 0, 0, 0]);
        bad("v", &[2, b'u', b'u', 0]);
        bad("(u", &[0; 8]);
        bad("a{u}", &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bad("z", &[0; 8]);
        // A variant in a variant in …
        bad("v", &[1, b'v', 0].repeat(DEPTH + 1));
        assert_eq!(first(&"a".repeat(DEPTH + 2)), None);
        assert_eq!(first("a(sa{sv})u"), Some(("a(sa{sv})", "u")));
    }
}
