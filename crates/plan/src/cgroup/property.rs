//! A container's limits and device rules in systemd's words (systemd.resource-control(5), org.freedesktop.systemd1(5)).
//!
//! systemd writes the files of a unit again whenever a property of the same controller changes, or it reads its
//! configuration anew. So what it has a word for is told to it as well; the files are written after, and they count: some
//! have no property, and of a quota systemd keeps whole percents only.

use super::device::{Kind, Rule, exceptions};
use super::layout::IdSet;
use super::limit::{Limit, bytes};
use super::variant;
use crate::Rejected;
use spec::bus::Value;
use std::collections::BTreeMap;

/// Name and value.
pub type Property = (String, Value);

/// What says "no limit".
const INFINITY: u64 = u64::MAX;

/// A list in which a name stands once: the last value counts, as with systemd.
#[derive(Debug, Default)]
pub(super) struct Properties(Vec<Property>);

impl Properties {
    pub(super) fn set(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    pub(super) fn done(self) -> Vec<Property> {
        self.0
    }
}

/// For an update: those of the limits that have one. `period`: of its quota, where the limits do not say it.
#[must_use]
pub fn properties(limits: &[Limit], systemd: u32, period: Option<u64>) -> Vec<Property> {
    let mut properties = Properties::default();
    of_limits(&mut properties, limits, systemd, period);
    properties.done()
}

pub(super) fn of_limits(properties: &mut Properties, limits: &[Limit], systemd: u32, period: Option<u64>) {
    let mut time = CpuTime { quota: None, period: None };
    for Limit { file, value, .. } in limits {
        let amount = || amount(value).map(Value::Uint64);
        let property = match file.as_str() {
            "memory.max" => amount().map(|value| ("MemoryMax", value)),
            "memory.high" => amount().map(|value| ("MemoryHigh", value)),
            "memory.low" => amount().map(|value| ("MemoryLow", value)),
            "memory.min" => amount().map(|value| ("MemoryMin", value)),
            "memory.swap.max" => amount().map(|value| ("MemorySwapMax", value)),
            "memory.limit_in_bytes" => amount().map(|value| ("MemoryLimit", value)),
            "pids.max" => amount().map(|value| ("TasksMax", value)),
            "cpu.weight" => amount().map(|value| ("CPUWeight", value)),
            "cpu.shares" => amount().map(|value| ("CPUShares", value)),
            // A weight of 0 is systemd's word for an idle one, and the highest number for the default.
            "cpu.idle" if systemd >= 252 => match value.as_str() {
                "1" => Some(("CPUWeight", Value::Uint64(0))),
                "0" if limits.iter().any(|limit| limit.file == "cpu.weight") => None,
                "0" => Some(("CPUWeight", Value::Uint64(INFINITY))),
                _ => None,
            },
            "cpuset.cpus" => mask(value).map(|value| ("AllowedCPUs", value)),
            "cpuset.mems" => mask(value).map(|value| ("AllowedMemoryNodes", value)),
            "io.weight" => value.strip_prefix("default ").and_then(number).map(|value| ("IOWeight", value)),
            "blkio.weight" | "blkio.bfq.weight" => number(value).map(|value| ("BlockIOWeight", value)),
            "cpu.max" | "cpu.cfs_quota_us" | "cpu.cfs_period_us" => {
                time.note(file, value);
                None
            }
            _ => None,
        };
        if let Some((name, value)) = property {
            properties.set(name, value);
        }
    }
    time.tell(properties, period);
}

fn number(text: &str) -> Option<Value> {
    text.trim().parse().ok().map(Value::Uint64)
}

fn amount(text: &str) -> Option<u64> {
    match text.trim() {
        "max" | "-1" => Some(INFINITY),
        text => bytes(text),
    }
}

/// A bit each, the lowest first.
fn mask(list: &str) -> Option<Value> {
    let ids = IdSet::parse(list)?;
    let last = ids.iter().next_back()?;
    let mut bytes = vec![0; last as usize / 8 + 1];
    ids.iter().for_each(|id| bytes[id as usize / 8] |= 1 << (id % 8));
    Some(Value::bytes(&bytes))
}

/// Microseconds; the quota may be [`INFINITY`].
struct CpuTime {
    quota: Option<u64>,
    period: Option<u64>,
}

impl CpuTime {
    fn note(&mut self, file: &str, text: &str) {
        match file {
            "cpu.cfs_quota_us" => self.quota = amount(text),
            "cpu.cfs_period_us" => self.period = text.parse().ok(),
            _ => {
                let mut words = text.split_whitespace();
                self.quota = words.next().and_then(amount);
                self.period = words.next().and_then(|word| word.parse().ok()).or(self.period);
            }
        }
    }

    /// systemd counts by the second, and what it writes down itself in whole percents, so up to the next: it is a limit
    /// above the one in the file.
    fn tell(&self, properties: &mut Properties, known: Option<u64>) {
        const PERCENT: u128 = 10_000;
        if let Some(period) = self.period {
            properties.set("CPUQuotaPeriodUSec", Value::Uint64(period));
        }
        let period = u128::from(self.period.or(known).unwrap_or(100_000).max(1));
        let a_second = |quota: u64| match quota {
            INFINITY => INFINITY,
            quota => {
                u64::try_from((u128::from(quota) * 1_000_000 / period).next_multiple_of(PERCENT)).unwrap_or(INFINITY)
            }
        };
        if let Some(quota) = self.quota {
            properties.set("CPUQuotaPerSecUSec", Value::Uint64(a_second(quota)));
        }
    }
}

/// `alone`: systemd's word is the only one in force until the rules are written (v1); else it is one more, and must not
/// refuse what they allow, so what it cannot say is left to them.
pub(super) fn of_devices(properties: &mut Properties, rules: &[Rule], alone: bool) {
    let pair = |path: String, access: String| Value::Struct(vec![Value::Text(path), Value::Text(access)]);
    let mut tell = |policy: &str, list: Vec<Value>| {
        properties.set("DevicePolicy", Value::text(policy));
        properties.set("DeviceAllow", Value::Array("(ss)".into(), list));
    };
    let rules = match exceptions(rules) {
        Ok(rules) if rules.allow_by_default && rules.list.is_empty() => return tell("auto", Vec::new()),
        Ok(rules) if !rules.allow_by_default => rules.list,
        _ if alone => Vec::new(),
        _ => return,
    };
    let words = |rule: &super::device::Exception| {
        let kind = if rule.devices.kind == Kind::Block { "block" } else { "char" };
        let path = match (rule.devices.major, rule.devices.minor) {
            (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
            (Some(major), None) => format!("{kind}-{major}"),
            (None, None) => format!("{kind}-*"),
            (None, Some(_)) => return None,
        };
        Some(pair(path, rule.access.to_string()))
    };
    let list: Vec<Option<Value>> = rules.iter().map(words).collect();
    if alone || list.iter().all(Option::is_some) {
        tell("strict", list.into_iter().flatten().collect());
    }
}

/// `org.systemd.property.NAME` of the annotations. As in runc seconds become microseconds, which systemd's interface
/// counts in.
pub(super) fn of_annotations(
    properties: &mut Properties,
    annotations: &BTreeMap<String, String>,
) -> Result<(), Rejected> {
    const PREFIX: &str = "org.systemd.property.";
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let refuse = |why: String| Rejected::new(format!("cannot set the systemd property {name}={text}"), why);
        if name.len() < 3 || !name.chars().all(|c| c.is_ascii_alphabetic()) {
            return Err(refuse("its name is not made of three letters or more".to_owned()));
        }
        let value = variant::parse(text).map_err(|why| refuse(format!("its value is no GVariant text: {why}")))?;
        let in_seconds = name.strip_suffix("Sec").filter(|name| name.ends_with(|c: char| c.is_ascii_lowercase()));
        match in_seconds {
            Some(name) => {
                let value = microseconds(&value).ok_or_else(|| refuse("it is no number of seconds".to_owned()))?;
                properties.set(&format!("{name}USec"), Value::Uint64(value));
            }
            None => properties.set(name, value),
        }
    }
    Ok(())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of seconds, checked")]
fn microseconds(value: &Value) -> Option<u64> {
    let whole = match value {
        Value::Byte(n) => u64::from(*n),
        Value::Uint16(n) => u64::from(*n),
        Value::Uint32(n) => u64::from(*n),
        Value::Uint64(n) => *n,
        Value::Int16(n) => u64::try_from(*n).ok()?,
        Value::Int32(n) => u64::try_from(*n).ok()?,
        Value::Int64(n) => u64::try_from(*n).ok()?,
        Value::Double(n) if (0.0..1e12).contains(n) => return Some((*n * 1e6) as u64),
        _ => return None,
    };
    whole.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::limit::Check;

    fn told(limits: &[(&str, &str)], period: Option<u64>) -> String {
        let limit = |(file, value): &(&str, &str)| Limit {
            dir: "/d".into(),
            file: (*file).into(),
            value: (*value).into(),
            check: Check::Any,
            what: "",
        };
        text(&properties(&limits.iter().map(limit).collect::<Vec<_>>(), 257, period))
    }

    fn text(properties: &[Property]) -> String {
        properties.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn limits() {
        for (limits, expected) in [
            (
                &[("memory.max", "104857600"), ("memory.swap.max", "max"), ("memory.low", "5M")][..],
                "MemoryMax=104857600 MemorySwapMax=18446744073709551615 MemoryLow=5242880",
            ),
            (&[("pids.max", "7"), ("hugetlb.2MB.max", "0")], "TasksMax=7"),
            (&[("cpu.weight", "59"), ("cpu.idle", "1")], "CPUWeight=0"),
            (&[("cpu.weight", "59"), ("cpu.idle", "0")], "CPUWeight=59"),
            (&[("cpu.idle", "0")], "CPUWeight=18446744073709551615"),
            (&[("cpu.max", "max 50000")], "CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=18446744073709551615"),
            (&[("cpu.max", "3333 10000")], "CPUQuotaPeriodUSec=10000 CPUQuotaPerSecUSec=340000"),
            (
                &[("cpu.cfs_period_us", "10000"), ("cpu.cfs_quota_us", "-1")],
                "CPUQuotaPeriodUSec=10000 CPUQuotaPerSecUSec=18446744073709551615",
            ),
            (&[("cpuset.cpus", "0,9"), ("cpuset.mems", "1")], "AllowedCPUs=2 1 2 AllowedMemoryNodes=1 2"),
            (&[("io.weight", "default 50"), ("io.weight", "8:0 70")], "IOWeight=50"),
            (&[("memory.max", "much")], ""),
        ] {
            assert_eq!(told(limits, None), expected);
        }
        assert_eq!(told(&[("cpu.max", "50000")], Some(200_000)), "CPUQuotaPerSecUSec=250000");
        assert_eq!(told(&[("cpu.max", "50000")], None), "CPUQuotaPerSecUSec=500000");
    }

    #[test]
    fn devices() {
        let told = |rules: &[&str], alone| {
            let rule = |text: &&str| {
                let words: Vec<&str> = text.split(' ').collect();
                let numbers = words[2].split_once(':').unwrap();
                let number = |text: &str| text.parse().ok();
                spec::runtime::DeviceRule {
                    allow: words[0] == "allow",
                    kind: words[1].into(),
                    major: number(numbers.0),
                    minor: number(numbers.1),
                    access: words[3].into(),
                }
            };
            let rules = super::super::device::parse(&rules.iter().map(rule).collect::<Vec<_>>()).unwrap();
            let mut properties = Properties::default();
            of_devices(&mut properties, &rules, alone);
            text(&properties.done())
        };
        assert_eq!(
            told(&["deny a *:* rwm", "allow c 1:3 rwm", "allow b *:* m", "allow c 136:* rw"], false),
            "DevicePolicy=strict DeviceAllow=3 /dev/char/1:3 rwm block-* m char-136 rw"
        );
        assert_eq!(told(&["allow a *:* rwm"], false), "DevicePolicy=auto DeviceAllow=0");
        // What it has no words for.
        for rules in [&["allow a *:* rwm", "deny c 1:3 w"][..], &["allow c *:3 rwm"]] {
            assert_eq!(told(rules, false), "");
            assert_eq!(told(rules, true), "DevicePolicy=strict DeviceAllow=0");
        }
    }

    #[test]
    fn annotations() {
        let told = |pairs: &[(&str, &str)]| {
            let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let mut properties = Properties::default();
            properties.set("CollectMode", Value::text("ours"));
            of_annotations(&mut properties, &pairs.iter().map(pair).collect())?;
            Ok::<_, Rejected>(text(&properties.done()))
        };
        let prefix = |name: &str| format!("org.systemd.property.{name}");
        for (name, value, expected) in [
            ("CollectMode", "'inactive'", "CollectMode=inactive"),
            ("TimeoutStopSec", "uint32 5", "CollectMode=ours TimeoutStopUSec=5000000"),
            ("TimeoutStopUSec", "uint64 5", "CollectMode=ours TimeoutStopUSec=5"),
            ("TimeoutStopSec", "1.5", "CollectMode=ours TimeoutStopUSec=1500000"),
        ] {
            assert_eq!(told(&[("other", "x"), (&prefix(name), value)]).unwrap(), expected);
        }
        for (name, value) in [("ab", "1"), ("A-b", "1"), ("Abc", "x"), ("AbcSec", "'5'"), ("AbcSec", "-5")] {
            assert!(told(&[(&prefix(name), value)]).is_err(), "{name}={value}");
        }
    }
}
