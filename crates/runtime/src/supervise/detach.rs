//! The keys that leave a container running.

use plan::Rejected;

/// Control bytes that `--detach-keys` can name beyond the letters: `ctrl-@` is 0, `ctrl-[` 27, and so on.
const PUNCTUATION: &[u8] = b"@[\\]^_";

/// A sequence of keys as `--detach-keys` writes it; empty means that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// docker's and podman's `ctrl-p,ctrl-q`.
impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![b'p' & 0x1f, b'q' & 0x1f])
    }
}

impl DetachKeys {
    /// The bytes that the keys send.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Reads keys separated by commas: one ASCII character, `ctrl-` and a letter or one of `@[\]^_`, or `DEL`. As with
    /// podman, the empty text switches detaching off.
    ///
    /// # Errors
    /// A key that is none of these.
    pub fn parse(text: &str) -> Result<Self, Rejected> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let keys = text.split(',').map(|name| key(name).ok_or_else(|| unknown(text, name)));
        keys.collect::<Result<_, _>>().map(Self)
    }
}

fn key(name: &str) -> Option<u8> {
    if name == "DEL" {
        return Some(0x7f);
    }
    match (name.strip_prefix("ctrl-").map(str::as_bytes), name.as_bytes()) {
        (Some(&[byte]), _) if byte.is_ascii_lowercase() || PUNCTUATION.contains(&byte) => Some(byte & 0x1f),
        (None, &[byte]) if byte.is_ascii() => Some(byte),
        _ => None,
    }
}

fn unknown(text: &str, name: &str) -> Rejected {
    let rejected = Rejected::new(format!("cannot detach with the keys {text:?}"), format!("{name:?} is no key"));
    rejected.hint("write one character or ctrl- and a-z, @, [, \\, ], ^ or _, with commas between keys")
}

/// Finds the keys in what is typed. The beginning of a sequence is held back until it is clear what follows.
pub struct Matcher {
    keys: Vec<u8>,
    /// How many of `keys` were typed last.
    held: usize,
}

impl Matcher {
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys: keys.0, held: 0 }
    }

    /// Appends to `out` what is not part of the sequence; true if the sequence is complete, and what was typed after
    /// it is lost.
    pub fn pass(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        typed.iter().any(|&byte| self.pass_byte(byte, out))
    }

    fn pass_byte(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        loop {
            if self.keys.get(self.held) == Some(&byte) {
                self.held += 1;
                return self.held == self.keys.len();
            }
            if self.held == 0 {
                out.push(byte);
                return false;
            }
            // Of what is held only the longest end that is also a beginning can still become the sequence.
            let held = &self.keys[..self.held];
            let kept = (0..self.held).rev().find(|&len| held.ends_with(&held[..len])).unwrap_or(0);
            out.extend_from_slice(&held[..self.held - kept]);
            self.held = kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_docker_writes_them() {
        assert_eq!(DetachKeys::parse("ctrl-p,ctrl-q"), Ok(DetachKeys::default()));
        assert_eq!(DetachKeys::parse("a,ctrl-@,ctrl-[,ctrl-_,DEL,A"), Ok(DetachKeys(b"a\x00\x1b\x1f\x7fA".to_vec())));
        assert_eq!(DetachKeys::parse(""), Ok(DetachKeys(Vec::new())));
        for text in ["ctrl-", "ctrl-P", "ctrl-ab", "ab", "a,,b", ",", "é", "ctrl-?"] {
            assert!(DetachKeys::parse(text).is_err(), "{text}");
        }
    }

    /// What comes out of `reads`, and whether it detached.
    fn typed(keys: &str, reads: &[&str]) -> (String, bool) {
        let mut matcher = Matcher::new(DetachKeys::parse(keys).unwrap());
        let mut out = Vec::new();
        let detached = reads.iter().any(|read| matcher.pass(read.as_bytes(), &mut out));
        (String::from_utf8(out).unwrap(), detached)
    }

    #[test]
    fn sequences_are_found_across_reads_and_nothing_else_is_lost() {
        assert_eq!(typed("x,y", &["axy"]), ("a".into(), true));
        assert_eq!(typed("x,y", &["ax", "y"]), ("a".into(), true));
        assert_eq!(typed("x,y", &["xx", "y"]), ("x".into(), true));
        assert_eq!(typed("x,y", &["xa", "xb"]), ("xaxb".into(), false));
        assert_eq!(typed("a,a,b", &["aa", "ab"]), ("a".into(), true));
        assert_eq!(typed("a,b,a,c", &["abab", "ac"]), ("ab".into(), true));
        assert_eq!(typed("", &["any", "thing"]), ("anything".into(), false));
    }
}
