//! PAX records (pax(1), "pax Extended Header"): `LENGTH KEY=VALUE\n`, one behind the other.
//!
//! Invariant: a record ends where its length says. A value may hold any byte, newlines too: an attribute's often does.

use crate::error::{Error, Kind, Result};
use crate::sparse::number;

/// All records of an entry, each of them well formed.
#[derive(Debug, Default)]
pub struct Records(Vec<u8>);

impl Records {
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let first = first(rest);
            rest = first.ok_or_else(|| Error::new(Kind::Corrupt, "", "a PAX record that is not as long as it says"))?.2;
        }
        Ok(Self(bytes))
    }

    /// Key and value, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (key, value, behind) = first(rest)?;
            rest = behind;
            Some((key, value))
        })
    }

    /// The value that counts: the last one. An empty one takes back those before, and what the header says counts again.
    pub fn last(&self, key: &[u8]) -> Option<&[u8]> {
        self.iter().filter(|(name, _)| *name == key).last().map(|(_, value)| value).filter(|value| !value.is_empty())
    }
}

/// Key, value, and what is behind the record.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&bytes[..space]).ok()?).ok()?;
    let [text @ .., b'\n'] = bytes.get(space + 1..length)? else { return None };
    let equals = text.iter().position(|byte| *byte == b'=').filter(|equals| *equals > 0)?;
    Some((&text[..equals], &text[equals + 1..], &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::Records;

    fn parse(text: &[u8]) -> Option<Records> {
        Records::parse(text.to_vec()).ok()
    }

    #[test]
    fn a_value_holds_any_byte() {
        let records = parse(b"8 a=\n=\0\n8 path=\n6 b=c\n").unwrap();
        let all: Vec<_> = records.iter().collect();
        assert_eq!(all, [(&b"a"[..], &b"\n=\0"[..]), (b"path", b""), (b"b", b"c")]);
    }

    #[test]
    fn the_last_of_a_key_counts() {
        let records = parse(b"6 a=1\n6 a=2\n6 b=1\n5 b=\n").unwrap();
        assert_eq!((records.last(b"a"), records.last(b"b"), records.last(b"c")), (Some(&b"2"[..]), None, None));
    }

    #[test]
    fn lengths_that_lie() {
        for text in [
            "a",
            " ",
            "6",
            "6 ",
            "6 a=b",
            "6 a=bc",
            "7 a=b\n",
            "5 a=b\n",
            "6 a=b\n\n",
            "5 ab\n",
            "5 =b\n",
            "0 a=b\n",
            "1 a=b\n",
            "2 a=b\n",
            "3 a=b\n",
            "-6 a=b\n",
            "+6 a=b\n",
            "18446744073709551615 a=b\n",
            "18446744073709551616 a=b\n",
            "6 a=b\n6 a=\n",
        ] {
            assert!(parse(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(parse(b"").is_some());
    }
}
