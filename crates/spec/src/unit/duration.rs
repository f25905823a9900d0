//! Durations.

use super::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A length of time as Go writes it: `1m30s`, `500ms`, `1.5h`. Not negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Duration(pub std::time::Duration);

const HOW: &str = "write numbers with h, m, s, ms, us or ns: 1m30s";

const UNITS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl FromStr for Duration {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "0" {
            return Ok(Self::default());
        }
        if text.is_empty() {
            return Err(Invalid::new("an empty duration").hint(HOW));
        }
        let mut rest = text;
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (nanos, after) = term(rest)?;
            total = total.saturating_add(nanos);
            rest = after;
        }
        // Go counts nanoseconds in 63 bits: 292 years.
        let nanos = i64::try_from(total).ok().and_then(|nanos| u64::try_from(nanos).ok());
        let nanos = nanos.ok_or_else(|| Invalid::new("longer than 292 years").hint(HOW))?;
        Ok(Self(std::time::Duration::from_nanos(nanos)))
    }
}

/// One number with its unit, and what follows.
fn term(text: &str) -> Result<(u128, &str), Invalid> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    if unit.is_empty() {
        return Err(Invalid::new(format!("no unit after {number}")).hint(HOW));
    }
    let nanos = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| *nanos);
    let nanos = nanos.ok_or_else(|| Invalid::new(format!("unknown unit {unit:?}")).hint(HOW))?;
    let malformed = || Invalid::new(format!("{number:?} is not a number")).hint(HOW);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 18 || fraction.len() > 18 || (whole.is_empty() && fraction.is_empty()) {
        return Err(malformed());
    }
    let parse = |digits: &str| {
        if digits.is_empty() { Ok(0) } else { digits.parse::<u64>().map_err(|_| malformed()) }
    };
    let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(18));
    Ok((u128::from(parse(whole)?) * nanos + u128::from(parse(fraction)?) * nanos / scale, rest))
}

/// As Go prints it: `1m30s`, `1.5ms`, `0s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let second = 1_000_000_000;
        if nanos < second && nanos > 0 {
            let (unit, size) = match nanos {
                0..1_000 => ("ns", 1),
                1_000..1_000_000 => ("µs", 1_000),
                _ => ("ms", 1_000_000),
            };
            return write!(f, "{}{unit}", fraction(nanos, size));
        }
        let (hours, minutes) = (nanos / second / 3600, nanos / second / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", fraction(nanos % (60 * second), second))
    }
}

/// `value / unit` for a unit that is a power of ten, without trailing zeros.
fn fraction(value: u128, unit: u128) -> String {
    let places = unit.to_string().len() - 1;
    let text = format!("{}.{:0places$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The one or two words docker's tables use for an age of so many seconds: `About a minute`, `3 hours`, `2 weeks`.
#[must_use]
pub fn rough(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".into(),
        120..3600 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_as_go() {
        for (text, nanos, printed) in [
            ("0", 0, "0s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("1.5h", 5_400_000_000_000, "1h30m0s"),
            (".5s", 500_000_000, "500ms"),
            ("1500us", 1_500_000, "1.5ms"),
            ("2µs", 2_000, "2µs"),
            ("7ns", 7, "7ns"),
            ("1m0.25s", 60_250_000_000, "1m0.25s"),
            ("30s1m", 90_000_000_000, "1m30s"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.0.as_nanos(), nanos, "{text}");
            assert_eq!(duration.to_string(), printed);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "an empty duration"),
            ("30", "no unit after 30"),
            ("1m30", "no unit after 30"),
            ("1d", "unknown unit \"d\""),
            ("-1s", "unknown unit \"-\""),
            ("s", "\"\" is not a number"),
            ("1.2.3s", "\"1.2.3\" is not a number"),
            ("9999999h", "longer than 292 years"),
        ] {
            let error = text.parse::<Duration>().unwrap_err();
            assert_eq!((error.why.as_str(), error.hint.as_deref()), (why, Some(HOW)), "{text}");
        }
    }

    #[test]
    fn an_age_in_words() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (47, "47 seconds"),
            (60, "About a minute"),
            (3 * 60 + 40, "3 minutes"),
            (3600, "About an hour"),
            (3 * 3600 + 1200, "3 hours"),
            (24 * 3600, "24 hours"),
            (3 * 24 * 3600, "3 days"),
            (15 * 24 * 3600, "2 weeks"),
            (90 * 24 * 3600, "3 months"),
            (3 * 365 * 24 * 3600, "3 years"),
        ] {
            assert_eq!(rough(seconds), words);
        }
    }
}
