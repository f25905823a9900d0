//! Sparse files in PAX form, as GNU tar writes them (its manual, "PAX Sparse Format"): versions 0.0, 0.1 and 1.0.
//!
//! Invariant: a map is accepted only if its pieces lie one behind the other within the file's size.

use crate::error::{Error, Kind, Result};
use std::io::Read;

const PREFIX: &[u8] = b"GNU.sparse.";
/// Pieces of one file. GNU tar makes one of each run of blocks.
const PIECES: u64 = 1 << 16;

/// What an entry's PAX records say of a sparse file.
#[derive(Debug, Default)]
pub struct Sparse {
    pub name: Option<Vec<u8>>,
    size: Option<u64>,
    major: Option<u64>,
    /// Offsets and lengths in turn, as they stand in the records.
    numbers: Vec<u64>,
}

/// Where content lies in a file of that size.
#[derive(Debug, PartialEq, Eq)]
pub struct Map {
    pub size: u64,
    pub pieces: Vec<(u64, u64)>,
}

impl Sparse {
    /// Whether the record was one of these.
    pub fn record(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        let Some(key) = key.strip_prefix(PREFIX) else { return Ok(false) };
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(number(value)?),
            b"major" => self.major = Some(number(value)?),
            b"offset" | b"numbytes" => self.numbers.push(number(value)?),
            b"map" if value.is_empty() => {}
            b"map" => self.numbers = value.split(|b| *b == b',').map(number).collect::<Result<_>>()?,
            b"minor" | b"numblocks" => {}
            _ => return Err(wrong("an unknown record")),
        }
        Ok(true)
    }

    /// The map, which version 1 has before the content. `None`: the file is not sparse.
    pub fn map(self, content: &mut impl Read) -> Result<Option<Map>> {
        let Some(size) = self.size else {
            return if self.major.is_some() || !self.numbers.is_empty() { Err(wrong("no size")) } else { Ok(None) };
        };
        let numbers = match self.major {
            None | Some(0) => self.numbers,
            Some(1) => in_front(content)?,
            Some(_) => return Err(wrong("an unknown version")),
        };
        let pieces = numbers.chunks(2).map(|pair| match *pair {
            [offset, length] => Ok((offset, length)),
            _ => Err(wrong("an offset without a length")),
        });
        let map = Map { size, pieces: pieces.collect::<Result<_>>()? };
        map.check()?;
        Ok(Some(map))
    }
}

impl Map {
    pub fn check(&self) -> Result<()> {
        let mut end = 0;
        for (offset, length) in &self.pieces {
            if *offset < end {
                return Err(wrong("pieces that overlap"));
            }
            end = offset.checked_add(*length).ok_or_else(|| wrong("a piece beyond all numbers"))?;
        }
        if end > self.size { Err(wrong("a piece behind its end")) } else { Ok(()) }
    }
}

/// Decimal numbers, a line each: how many pieces, then those; filled up to a block.
fn in_front(content: &mut impl Read) -> Result<Vec<u64>> {
    let mut block = [0; 512];
    let (mut numbers, mut digits, mut wanted) = (Vec::new(), Vec::new(), None);
    loop {
        content.read_exact(&mut block).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => wrong("a map that breaks off"),
            _ => crate::entries::broken(error),
        })?;
        for byte in block {
            if byte != b'\n' {
                digits.push(byte);
                continue;
            }
            let found = number(&digits)?;
            digits.clear();
            match wanted {
                None if found > PIECES => return Err(wrong("more pieces than anybody has written")),
                None => wanted = Some(found * 2),
                Some(_) => numbers.push(found),
            }
            if wanted == Some(numbers.len() as u64) {
                return Ok(numbers);
            }
        }
        if digits.len() > 20 {
            return Err(wrong("a number beyond all numbers"));
        }
    }
}

pub fn number(text: &[u8]) -> Result<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let parsed = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| {
        let text = String::from_utf8_lossy(text).escape_debug().take(40).collect::<String>();
        Error::new(Kind::Corrupt, "", format!("\"{text}\" is no number"))
    })
}

fn wrong(what: &str) -> Error {
    Error::new(Kind::Corrupt, "", format!("a sparse file with {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(records: &[(&str, &str)], content: &[u8]) -> Result<Option<Map>> {
        let mut sparse = Sparse::default();
        for (key, value) in records {
            assert!(sparse.record(format!("GNU.sparse.{key}").as_bytes(), value.as_bytes())?);
        }
        let mut content = content.to_vec();
        content.resize(content.len().next_multiple_of(512), 0);
        sparse.map(&mut content.as_slice())
    }

    #[test]
    fn each_version_is_read() {
        let expected = Map { size: 100, pieces: vec![(10, 5), (90, 10)] };
        let old = [("size", "100"), ("numblocks", "2"), ("offset", "10"), ("numbytes", "5"), ("offset", "90")];
        let old = [&old[..], &[("numbytes", "10")]].concat();
        assert_eq!(map(&old, b"").unwrap().as_ref(), Some(&expected));
        assert_eq!(map(&[("size", "100"), ("map", "10,5,90,10")], b"").unwrap().as_ref(), Some(&expected));
        let new = [("major", "1"), ("minor", "0"), ("realsize", "100")];
        assert_eq!(map(&new, b"2\n10\n5\n90\n10\n").unwrap().as_ref(), Some(&expected));
        assert_eq!(map(&[], b"").unwrap(), None);
    }

    #[test]
    fn absurd_maps_are_refused() {
        let new = [("major", "1"), ("realsize", "100")];
        let contents =
            ["", "99999999\n", "1\n90\n11\n", "2\n50\n10\n55\n1\n", "1\n18446744073709551615\n2\n", "-1\n", "1\n\n"];
        for content in contents {
            assert_eq!(map(&new, content.as_bytes()).unwrap_err().kind, Kind::Corrupt, "{content:?}");
        }
        assert!(map(&new, &[b'1'; 4096]).is_err());
        for records in [&[("size", "-1")][..], &[("size", "9"), ("map", "1,2,3")], &[("map", "1,2")], &[("major", "2")]]
        {
            assert!(map(records, b"").is_err(), "{records:?}");
        }
    }
}
