//! `--health-*`: whether a container that runs does what it is for, asked of it again and again.

use super::{Invalid, text};
use serde::{Deserialize, Serialize};
use spec::unit::Duration;
use std::str::FromStr;

/// What is absent is the image's, then docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Not even what the image says.
    pub none: bool,
    pub command: Option<Vec<String>>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub start_period: Option<Duration>,
    pub start_interval: Option<Duration>,
    pub retries: Option<u32>,
    pub on_failure: OnFailure,
}

/// What becomes of a container that is unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    #[default]
    None,
    /// As if it had failed: so its restart policy may have it started again.
    Kill,
    Restart,
    Stop,
}

impl FromStr for OnFailure {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "none" => Ok(Self::None),
            "kill" => Ok(Self::Kill),
            "restart" => Ok(Self::Restart),
            "stop" => Ok(Self::Stop),
            _ => Err(Invalid::new(format!("unknown action {text:?}")).hint("one of none, kill, restart, stop")),
        }
    }
}

/// `--health-cmd`: a line for a shell, or as podman a list in JSON; `none` for no check.
///
/// # Errors
/// [`Invalid`] for nothing, and for what starts like a list and is none.
pub fn command(text: &str) -> Result<Vec<String>, Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("no command").hint("write a line for a shell: curl -f localhost"));
    }
    if text == "none" {
        return Ok(vec!["NONE".to_owned()]);
    }
    if !text.starts_with('[') {
        return Ok(vec!["CMD-SHELL".to_owned(), text.to_owned()]);
    }
    let words: Vec<String> = serde_json::from_str(text)
        .map_err(|_| Invalid::new("neither a line nor a list in JSON").hint("[\"program\", \"argument\"]"))?;
    let named = words.first().is_some_and(|word| ["CMD", "CMD-SHELL", "NONE"].contains(&word.as_str()));
    Ok(if named { words } else { [vec!["CMD".to_owned()], words].concat() })
}

/// # Errors
/// [`Invalid`] for what is no number from 1 on.
pub fn retries(number: &str) -> Result<u32, Invalid> {
    text::number(number).filter(|number| *number > 0).ok_or_else(|| Invalid::new("not a number of times").hint("3"))
}

/// All of it settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub command: Vec<String>,
    pub interval: std::time::Duration,
    pub timeout: std::time::Duration,
    pub start_period: std::time::Duration,
    pub start_interval: std::time::Duration,
    pub retries: u32,
    pub on_failure: OnFailure,
}

/// docker's form in an image; lengths of time in nanoseconds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct OfImage {
    test: Vec<String>,
    interval: u64,
    timeout: u64,
    start_period: u64,
    start_interval: u64,
    retries: u32,
}

impl Health {
    /// With what the image says; `None`: nothing is asked.
    #[must_use]
    pub fn settle(&self, image: Option<&serde_json::Value>) -> Option<Check> {
        if self.none {
            return None;
        }
        let image: OfImage = image.and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default();
        let mut words = self.command.clone().unwrap_or(image.test).into_iter();
        let command = match words.next()?.as_str() {
            "CMD" => words.collect(),
            "CMD-SHELL" => vec!["/bin/sh".to_owned(), "-c".to_owned(), words.next()?],
            _ => return None,
        };
        let time = |asked: Option<Duration>, image: u64, seconds: u64| match (asked, image) {
            (Some(Duration(time)), _) if !time.is_zero() => time,
            (_, 1..) => std::time::Duration::from_nanos(image),
            _ => std::time::Duration::from_secs(seconds),
        };
        Some(Check {
            command,
            interval: time(self.interval, image.interval, 30),
            timeout: time(self.timeout, image.timeout, 30),
            start_period: time(self.start_period, image.start_period, 0),
            start_interval: time(self.start_interval, image.start_interval, 5),
            retries: self.retries.unwrap_or(if image.retries > 0 { image.retries } else { 3 }),
            on_failure: self.on_failure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration as Time;

    #[test]
    fn what_is_asked_goes_before_the_image_and_that_before_the_default() {
        let image = json!({"Test": ["CMD", "/check", "-q"], "Interval": 5_000_000_000u64, "Retries": 7});
        let check = Health::default().settle(Some(&image)).unwrap();
        assert_eq!(check.command, ["/check", "-q"]);
        assert_eq!((check.interval, check.timeout, check.retries), (Time::from_secs(5), Time::from_secs(30), 7));
        let asked = Health { command: Some(command("true").unwrap()), retries: Some(1), ..Health::default() };
        let check = asked.settle(Some(&image)).unwrap();
        assert_eq!((check.command.as_slice(), check.retries), (&["/bin/sh", "-c", "true"].map(String::from)[..], 1));
        assert_eq!(Health::default().settle(None), None);
        assert_eq!(Health { none: true, ..Health::default() }.settle(Some(&image)), None);
        assert_eq!(Health { command: Some(command("none").unwrap()), ..Health::default() }.settle(Some(&image)), None);
        assert_eq!(command("[\"a\",\"b\"]").unwrap(), ["CMD", "a", "b"]);
        assert!(command("[\"a\"").is_err() && command("").is_err());
    }
}
