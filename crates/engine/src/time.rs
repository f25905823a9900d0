//! Moments, as logs and events have them: written and read without a calendar of anybody's, as the monitor writes one
//! for every piece of a container's output.
//!
//! Invariant: nanoseconds since 1970, UTC; what is written here is read here.

use serde::{Deserialize, Serialize};
use spec::unit::{Duration, Invalid};
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch: up to the year 2554.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(pub u64);

/// Seconds since the epoch, as docker's lists print them, in UTC.
#[must_use]
pub fn date(seconds: u64) -> String {
    let whole = rfc3339(seconds);
    whole.replacen('T', " ", 1).replace('Z', " +0000 UTC")
}

/// The same for programs.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let text = Moment::of_seconds(seconds).text();
    let whole: String = text[..WIDTH - ".000000000Z".len()].iter().copied().map(char::from).collect();
    whole + "Z"
}

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// `2026-11-30T08:46:27.123456789Z`: always so long, so that it sorts.
pub const WIDTH: usize = 30;

impl Moment {
    #[must_use]
    pub fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    #[must_use]
    pub const fn of_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / SECOND
    }

    /// RFC 3339 with nine digits, in UTC.
    #[must_use]
    pub fn text(self) -> [u8; WIDTH] {
        let (days, rest) = (self.seconds() / DAY, self.seconds() % DAY);
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        let parts = [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, rest / 3600),
            (14, 2, rest / 60 % 60),
            (17, 2, rest % 60),
            (20, 9, self.0 % SECOND),
        ];
        for (start, digits, number) in parts {
            put(&mut text[start..start + digits], number);
        }
        text
    }

    /// What [`Moment::text`] writes, and other forms of RFC 3339: fewer digits, another zone.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let number = |start: usize, digits: usize| take(text.get(start..start + digits)?);
        let at = |index: usize, any: &[u8]| text.get(index).is_some_and(|byte| any.contains(byte));
        if !(at(4, b"-") && at(7, b"-") && at(10, b"Tt ") && at(13, b":") && at(16, b":")) {
            return None;
        }
        let (month, day) = (number(5, 2)?, number(8, 2)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let seconds =
            days(number(0, 4)?, month, day)? * DAY + number(11, 2)? * 3600 + number(14, 2)? * 60 + number(17, 2)?;
        let mut rest = &text[19..];
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            nanos = take(&fraction[..digits.min(9)])? * 10u64.pow(9 - u32::try_from(digits.min(9)).ok()?);
            rest = &fraction[digits..];
        }
        let ahead = zone(rest)?;
        seconds.checked_add_signed(-ahead)?.checked_mul(SECOND)?.checked_add(nanos).map(Self)
    }
}

/// So long ago, seconds since the epoch, or a date, as docker's `--since` and `until` take them. A date without a zone
/// is UTC, as dates are printed.
///
/// # Errors
/// [`Invalid`] for anything else.
pub fn moment(text: &str) -> Result<Moment, Invalid> {
    if let Some(moment) = unix(text) {
        return Ok(moment);
    }
    if let Ok(Duration(ago)) = text.parse() {
        return Ok(Moment(Moment::now().0.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX))));
    }
    let forms = [text.to_owned(), format!("{text}Z"), format!("{text}:00Z"), format!("{text}T00:00:00Z")];
    forms.iter().find_map(|form| Moment::read(form.as_bytes())).ok_or_else(|| {
        Invalid::new(format!("{text:?} is no time"))
            .hint("write 24h, 2024-05-06, 2024-05-06T07:08:09Z or seconds since 1970")
    })
}

/// `SECONDS[.NANOSECONDS]`
fn unix(text: &str) -> Option<Moment> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos = take(fraction.as_bytes())? * 10u64.pow(9 - u32::try_from(fraction.len()).ok()?);
    seconds.parse::<u64>().ok()?.checked_mul(SECOND)?.checked_add(nanos).map(Moment)
}

fn put(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn take(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'));
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// Seconds that this zone is ahead of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    let sign = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let [_, h1, h2, b':', m1, m2] = text else { return None };
    let ahead = take(&[*h1, *h2])? * 3600 + take(&[*m1, *m2])? * 60;
    i64::try_from(ahead).ok().map(|ahead| sign * ahead)
}

/// Year, month and day, so many days after 1970-01-01. Years that begin in March have their odd day last; the rule is
/// Zeller's.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to a day that is not before it.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_as_lists_have_them() {
        assert_eq!(super::date(1_704_067_200), "2024-01-01 00:00:00 +0000 UTC");
        assert_eq!(super::rfc3339(1_704_067_201), "2024-01-01T00:00:01Z");
    }

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399_000_000_001, "2000-02-28T23:59:59.000000001Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(std::str::from_utf8(&Moment(nanos).text()), Ok(text));
            assert_eq!(Moment::read(text.as_bytes()), Some(Moment(nanos)), "{text}");
        }
        // Every day for four hundred years and more, against another's calendar.
        for day in 0..160_000 {
            let text = Moment::of_seconds(day * DAY).text();
            let other: jiff::Timestamp = std::str::from_utf8(&text).unwrap().parse().unwrap();
            assert_eq!(other.as_second(), i64::try_from(day * DAY).unwrap());
            assert_eq!(Moment::read(&text), Some(Moment::of_seconds(day * DAY)));
        }
    }

    #[test]
    fn other_forms_are_read() {
        for (text, nanos) in [
            ("1970-01-01T00:00:01Z", Some(SECOND)),
            ("1970-01-01T01:00:01.5+01:00", Some(SECOND + SECOND / 2)),
            ("1970-01-01T00:00:00.25-00:30", Some(1800 * SECOND + SECOND / 4)),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01", None),
            ("1970-13-01T00:00:00Z", None),
            ("1969-12-31T00:00:00Z", None),
            ("1970-01-01T00:00:00.Z", None),
            ("x970-01-01T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(Moment::read(text.as_bytes()).map(|moment| moment.0), nanos, "{text}");
        }
    }

    #[test]
    fn a_user_writes_dates_ages_and_numbers() {
        let of = |text: &str| moment(text).unwrap().0;
        assert_eq!(of("10"), 10 * SECOND);
        assert_eq!(of("10.5"), 10 * SECOND + SECOND / 2);
        assert_eq!(of("1970-01-02"), DAY * SECOND);
        assert_eq!(of("1970-01-02T00:00"), DAY * SECOND);
        assert_eq!(of("1970-01-02T00:00:01.5"), (DAY + 1) * SECOND + SECOND / 2);
        assert_eq!(of("1970-01-02T01:00:00+01:00"), DAY * SECOND);
        let now = Moment::now().0;
        let ago = of("1h30m").abs_diff(now - 5400 * SECOND);
        assert!(ago < 60 * SECOND, "{ago}");
        assert_eq!(moment("yesterday").unwrap_err().why, "\"yesterday\" is no time");
    }
}
