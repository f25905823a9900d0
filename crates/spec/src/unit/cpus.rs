//! Numbers of CPUs.

use super::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A share of CPU time in billionths of a CPU: `0.25` is a quarter of one. 0 is docker's "not given".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cpus(u64);

const HOW: &str = "write a number of CPUs: 0.25, 1.5, 2";

impl Cpus {
    /// Microseconds; the kernel's default period.
    pub const PERIOD: u64 = 100_000;
    /// The kernel takes no quota under a millisecond.
    const MIN: u64 = 10_000_000;
    /// More than any machine has, and the quota stays far from overflow.
    const MAX: u64 = 1_000_000 * 1_000_000_000;

    #[must_use]
    pub const fn nano(self) -> u64 {
        self.0
    }

    /// The CFS quota for [`Self::PERIOD`], in microseconds.
    #[must_use]
    pub const fn quota(self) -> i64 {
        // At most 10^11, so it fits.
        (self.0 / (1_000_000_000 / Self::PERIOD)).cast_signed()
    }
}

impl FromStr for Cpus {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return Err(Invalid::new("not a number of CPUs").hint(HOW));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 9 {
            return Err(Invalid::new("finer than a billionth of a CPU").hint(HOW));
        }
        let nano: Option<u64> = format!("0{whole}{fraction:0<9}").parse().ok();
        let nano = nano.filter(|nano| *nano <= Self::MAX).ok_or_else(|| Invalid::new("too many CPUs").hint(HOW))?;
        if (1..Self::MIN).contains(&nano) {
            return Err(Invalid::new("less than the kernel can grant").hint("ask for 0.01 CPUs or more"));
        }
        Ok(Self(nano))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn becomes_a_quota() {
        for (text, nano, quota) in [
            ("0.25", 250_000_000, 25_000),
            (".5", 500_000_000, 50_000),
            ("1", 1_000_000_000, 100_000),
            ("1.", 1_000_000_000, 100_000),
            ("1.5000000000000", 1_500_000_000, 150_000),
            ("0", 0, 0),
            ("0.01", 10_000_000, 1_000),
            ("64", 64_000_000_000, 6_400_000),
        ] {
            let cpus: Cpus = text.parse().unwrap();
            assert_eq!((cpus.nano(), cpus.quota()), (nano, quota), "{text}");
        }
        assert_eq!("0.250".parse::<Cpus>().unwrap().to_string(), "0.25");
        assert_eq!("2".parse::<Cpus>().unwrap().to_string(), "2");
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "not a number of CPUs"),
            (".", "not a number of CPUs"),
            ("-1", "not a number of CPUs"),
            ("two", "not a number of CPUs"),
            ("1.5.1", "not a number of CPUs"),
            ("+1", "not a number of CPUs"),
            ("0.0000000001", "finer than a billionth of a CPU"),
            ("0.009", "less than the kernel can grant"),
            ("1000001", "too many CPUs"),
            ("99999999999999999999999", "too many CPUs"),
        ] {
            assert_eq!(text.parse::<Cpus>().unwrap_err().why, why, "{text}");
        }
    }
}
