//! How long to wait before the next try.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest wait that a registry may ask for; beyond it the user is told instead.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is tried again, and after which time each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    pub times: Option<u32>,
    pub delay: Option<Duration>,
}

impl Retry {
    const TIMES: u32 = 6;

    #[must_use]
    pub fn backoff(self) -> Backoff {
        Backoff { retry: self, failures: 0 }
    }
}

/// Doubling waits, so that a registry that restarts is met again and one that is gone is given up, after 16 s; if nobody
/// has said otherwise.
#[derive(Debug)]
pub struct Backoff {
    retry: Retry,
    failures: u32,
}

impl Backoff {
    const FIRST: u64 = 250;

    /// Sleeps. `false`: it is time to give up.
    #[must_use]
    pub fn wait(&mut self) -> bool {
        if self.failures >= self.retry.times.unwrap_or(Retry::TIMES) {
            return false;
        }
        // It doubles up to a minute or so.
        let wait = Self::FIRST << self.failures.min(8);
        // Several that were cut off together must not come back together.
        let spread = u64::from(now().subsec_nanos()) % (wait / 4);
        self.failures += 1;
        std::thread::sleep(self.retry.delay.unwrap_or(Duration::from_millis(wait + spread)));
        true
    }

    /// Something was received: the next failure is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
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
