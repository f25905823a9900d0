//! Messages (D-Bus specification, "Message Format").

use crate::wire::{self, Reader};
use crate::{Error, Result};
use spec::bus::Value;

pub const CALL: u8 = 1;
pub const RETURN: u8 = 2;
pub const ERROR: u8 = 3;
pub const SIGNAL: u8 = 4;

/// Codes of header fields.
pub const PATH: u8 = 1;
pub const INTERFACE: u8 = 2;
pub const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
pub const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Bytes before the header's fields, and how long that header says that the message is.
pub const FIXED: usize = 16;
/// "Maximum length of a message".
const MOST: usize = 1 << 27;

/// What came.
#[derive(Debug, PartialEq)]
pub struct Message {
    pub kind: u8,
    /// Of the call that it answers.
    pub answers: Option<u32>,
    pub interface: String,
    pub member: String,
    pub error: String,
    pub body: Vec<Value>,
}

/// A call, as bytes; `fields` are names by their code.
pub fn call(serial: u32, fields: &[(u8, Value)], body: &[Value]) -> Vec<u8> {
    let mut content = Vec::new();
    body.iter().for_each(|value| wire::write(&mut content, value));
    let signature: String = body.iter().map(Value::signature).collect();
    let field = |(code, value): (u8, Value)| Value::Struct(vec![Value::Byte(code), Value::Variant(Box::new(value))]);
    let all = fields.iter().cloned().chain([(SIGNATURE, Value::Signature(signature))]);
    let mut bytes = vec![b'l', CALL, 0, 1];
    wire::write(&mut bytes, &Value::Uint32(u32::try_from(content.len()).unwrap_or(u32::MAX)));
    wire::write(&mut bytes, &Value::Uint32(serial));
    wire::write(&mut bytes, &Value::Array("(yv)".into(), all.map(field).collect()));
    wire::align(&mut bytes, 8);
    bytes.extend(content);
    bytes
}

/// How long the message is that begins so.
pub fn length(start: &[u8; FIXED]) -> Result<usize> {
    if start[0] != b'l' || start[3] != 1 {
        return Err(Error::Malformed("neither little-endian nor version 1"));
    }
    let number = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]) as usize;
    let length = (FIXED + number(12)).next_multiple_of(8) + number(4);
    if length > MOST { Err(Error::Malformed("it is longer than a message can be")) } else { Ok(length) }
}

/// A whole message.
pub fn parse(bytes: &[u8]) -> Result<Message> {
    let start = bytes.first_chunk().ok_or(Error::Malformed("it is too short"))?;
    if length(start)? != bytes.len() {
        return Err(Error::Malformed("its length"));
    }
    let mut message = Message {
        kind: start[1],
        answers: None,
        interface: String::new(),
        member: String::new(),
        error: String::new(),
        body: Vec::new(),
    };
    let mut signature = String::new();
    let mut reader = Reader::new(bytes);
    let header = reader.all("yyyyuua(yv)")?;
    let Some(Value::Array(_, fields)) = header.into_iter().next_back() else {
        return Err(Error::Malformed("its header"));
    };
    for field in fields {
        let Value::Struct(pair) = field else { continue };
        let [Value::Byte(code), Value::Variant(value)] = pair.as_slice() else { continue };
        match (*code, &**value) {
            (INTERFACE, Value::Text(text)) => message.interface.clone_from(text),
            (MEMBER, Value::Text(text)) => message.member.clone_from(text),
            (ERROR_NAME, Value::Text(text)) => message.error.clone_from(text),
            (REPLY_SERIAL, Value::Uint32(serial)) => message.answers = Some(*serial),
            (SIGNATURE, Value::Signature(text)) => signature.clone_from(text),
            _ => {}
        }
    }
    reader.align(8);
    message.body = reader.all(&signature)?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Vec<u8> {
        let text = |text: &str| Value::text(text);
        let fields = [(PATH, Value::Path("/org/freedesktop/DBus".into())), (MEMBER, text("Hello"))];
        call(1, &fields, &[text("x"), Value::Bool(false)])
    }

    #[test]
    fn a_call_reads_back() {
        let bytes = hello();
        assert_eq!(length(bytes.first_chunk().unwrap()).unwrap(), bytes.len());
        let message = parse(&bytes).unwrap();
        assert_eq!((message.kind, message.member.as_str()), (CALL, "Hello"));
        assert_eq!(message.body, [Value::text("x"), Value::Bool(false)]);
    }

    #[test]
    fn a_damaged_one_is_refused_or_read() {
        let whole = hello();
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "{end}");
        }
        // Whatever byte is another: no panic.
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = parse(&bytes);
            }
        }
    }
}
