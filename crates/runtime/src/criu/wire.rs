//! Protocol buffers, as far as CRIU's messages need them: numbers, and what has a length (protobuf.dev, "Encoding").

/// A message in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A negative one as its 64 bits.
    pub(super) fn number(&mut self, field: u32, value: i64) {
        self.varint(u64::from(field) << 3);
        self.varint(value.cast_unsigned());
    }

    /// Absent means no.
    pub(super) fn flag(&mut self, field: u32, value: bool) {
        if value {
            self.number(field, 1);
        }
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// Absent where it is empty.
    pub(super) fn text(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    pub(super) fn message(&mut self, field: u32, value: &Self) {
        self.bytes(field, &value.0);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers; those of a kind that CRIU does not use end it.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (value, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(value)
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, Message, Value};

    #[test]
    fn what_is_written_is_read() {
        let mut inner = Message::default();
        inner.text(1, "key");
        let mut message = Message::default();
        message.number(1, 300);
        message.number(2, -1);
        message.flag(3, false);
        message.flag(70, true);
        message.text(4, "");
        message.message(5, &inner);
        let found: Vec<_> = Fields(message.as_bytes()).collect();
        let bytes = Value::Bytes(b"\x0a\x03key");
        let number = Value::Number;
        assert_eq!(found, [(1, number(300)), (2, number(u64::MAX)), (70, number(1)), (5, bytes)]);
        // The documentation's own example.
        assert_eq!(message.as_bytes()[..3], [0x08, 0xac, 0x02]);
    }

    #[test]
    fn what_is_torn_ends() {
        assert_eq!(Fields(b"\x0a\x05abc").count(), 0);
        assert_eq!(Fields(b"\x08\xff").count(), 0);
        assert_eq!(Fields(&[0x80; 20]).count(), 0);
        assert_eq!(Fields(b"\x08\x01\x0d\0\0\0\0").count(), 1);
    }
}
