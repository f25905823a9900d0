//! Sizes in bytes.

use super::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Size(u64);

const HOW: &str = "write a number and b, k, m, g, t or p: 100m";

impl Size {
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// docker's grammar: a decimal number, an optional space, a unit out of `b k m g t p`, which a `b` or `ib` may
/// follow, in any case. All multiples are binary. A fraction of a byte is dropped.
impl FromStr for Size {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        if number.is_empty() {
            let why = if text.starts_with('-') { "a size cannot be negative" } else { "a size starts with a number" };
            return Err(Invalid::new(why).hint(HOW));
        }
        let shift = shift(unit.strip_prefix(' ').unwrap_or(unit))
            .ok_or_else(|| Invalid::new(format!("unknown unit {unit:?}")).hint(HOW))?;
        scaled(number, shift).map(Self)
    }
}

fn shift(unit: &str) -> Option<u32> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    })
}

/// `number * 2^shift` in integers: a float would lose bytes above 2^53.
fn scaled(number: &str, shift: u32) -> Result<u64, Invalid> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let malformed = || Invalid::new(format!("{number:?} is not a number")).hint(HOW);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(fraction) {
        return Err(malformed());
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_large())? };
    // 18 digits of a fraction are finer than a byte of the largest unit.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(18));
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| malformed())? };
    let bytes = whole.checked_mul(1 << shift).and_then(|bytes| bytes.checked_add((part << shift) / scale));
    // The kernel's and the OCI configuration's sizes are signed.
    bytes.and_then(|bytes| i64::try_from(bytes).ok()).and_then(|b| u64::try_from(b).ok()).ok_or_else(too_large)
}

fn too_large() -> Invalid {
    Invalid::new("larger than 8 EiB").hint(HOW)
}

/// The shortest text that parses back: `100m`, `1536k`, `7`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, unit) = [(50, "p"), (40, "t"), (30, "g"), (20, "m"), (10, "k")]
            .into_iter()
            .find(|(shift, _)| self.0 != 0 && self.0.is_multiple_of(1 << shift))
            .unwrap_or((0, ""));
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

/// `4.096kB`: decimal multiples with at most `digits` significant digits, as docker prints the size of images (3)
/// and containers (4).
#[must_use]
pub fn decimal(bytes: u64, digits: usize) -> String {
    printed(bytes, digits, 1000.0, ["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// `100MiB`: binary multiples with at most four significant digits, as docker prints memory.
#[must_use]
pub fn binary(bytes: u64) -> String {
    printed(bytes, 4, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

#[expect(clippy::cast_precision_loss, reason = "a handful of digits is printed")]
fn printed(bytes: u64, digits: usize, base: f64, units: [&str; 7]) -> String {
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= base && unit + 1 < units.len() {
        number /= base;
        unit += 1;
    }
    let whole = format!("{number:.0}").len();
    let mut text = format!("{number:.*}", digits.saturating_sub(whole));
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{text}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_reads() {
        for (text, bytes) in [
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32B", 32),
            ("512k", 512 << 10),
            ("32 kb", 32 << 10),
            ("32KiB", 32 << 10),
            ("100m", 100 << 20),
            ("1g", 1 << 30),
            ("1.5g", 3 << 29),
            (".5k", 512),
            ("5.k", 5 << 10),
            ("0.3k", 307),
            ("1.7", 1),
            ("2t", 2 << 40),
            ("3PiB", 3 << 50),
            ("9007199254740993", 9_007_199_254_740_993),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_how_to_write_it() {
        for (text, why) in [
            ("", "a size starts with a number"),
            ("m", "a size starts with a number"),
            ("-1", "a size cannot be negative"),
            ("100q", "unknown unit \"q\""),
            ("100mbit", "unknown unit \"mbit\""),
            ("100  m", "unknown unit \"  m\""),
            ("1.2.3m", "\"1.2.3\" is not a number"),
            (".", "\".\" is not a number"),
            ("8192p", "larger than 8 EiB"),
            ("99999999999999999999999999999999999999999g", "larger than 8 EiB"),
        ] {
            let error = text.parse::<Size>().unwrap_err();
            assert_eq!(error.why, why, "{text}");
            assert_eq!(error.hint.as_deref(), Some(HOW), "{text}");
        }
    }

    #[test]
    fn prints_back() {
        for text in ["0", "7", "1536k", "100m", "1g"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn prints_bytes_as_docker() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (4096, "4.096kB"),
            (4_263_000, "4.263MB"),
            (1_000_000_000, "1GB"),
            (1_024_000, "1.024MB"),
            (123_456_789, "123.5MB"),
        ] {
            assert_eq!(decimal(bytes, 4), text);
        }
        assert_eq!(decimal(4_263_000, 3), "4.26MB");
        assert_eq!(decimal(77_900_000, 3), "77.9MB");
        assert_eq!(binary(100 << 20), "100MiB");
        assert_eq!(binary(1_234_567), "1.177MiB");
        assert_eq!(binary(u64::MAX), "16EiB");
    }
}
