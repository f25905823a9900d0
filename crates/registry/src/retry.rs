//! How long to wait before the next try.

use std::time::Duration;

/// The longest wait that a registry may ask for; beyond it the user is told instead.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Doubling waits, so that a registry that restarts is met again and one that is gone is given up, after 16 s.
#[derive(Debug, Default)]
pub struct Backoff(u32);

impl Backoff {
    const TRIES: u32 = 6;
    const FIRST: u64 = 250;

    /// Sleeps. `false`: it is time to give up.
    #[must_use]
    pub fn wait(&mut self) -> bool {
        if self.0 >= Self::TRIES {
            return false;
        }
        let wait = Self::FIRST << self.0;
        // Several that were cut off together must not come back together.
        let spread = u64::from(now().subsec_nanos()) % (wait / 4);
        self.0 += 1;
        std::thread::sleep(Duration::from_millis(wait + spread));
        true
    }

    /// Something was received: the next failure is a first one.
    pub fn reset(&mut self) {
        self.0 = 0;
    }
}

/// What a `Retry-After` header asks for: seconds, or a date (RFC 9110, 10.2.3).
#[must_use]
pub fn after(header: &str) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(header.trim()).ok()?;
    let then = Duration::from_secs(u64::try_from(date.timestamp().as_second()).ok()?);
    Some(then.saturating_sub(now()))
}

fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::after;
    use std::time::Duration;

    #[test]
    fn reads_seconds_and_dates() {
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        assert!(after("Tue, 31 Dec 2999 23:59:59 GMT").unwrap() > Duration::from_secs(1 << 30));
        assert_eq!(after("soon"), None);
    }
}
