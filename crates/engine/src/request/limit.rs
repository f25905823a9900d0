//! Resource limits: what the cgroup is asked for.

use super::{DeviceRule, Invalid, text};
use serde::{Deserialize, Serialize};
use spec::unit::{Cpus, DeviceRate, DeviceWeight, Operations, Size};
use std::fmt;
use std::str::FromStr;

/// Absent is the kernel's default. No size, share or weight is 0, which docker takes for "not given".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub memory: Option<Size>,
    /// Memory and swap together, as docker counts.
    pub memory_swap: Option<Bound<Size>>,
    pub memory_reservation: Option<Size>,
    /// Percent, 0 to 100.
    pub memory_swappiness: Option<u8>,
    pub oom_kill_disable: bool,
    pub cpus: Option<Cpus>,
    /// 2 to 262144; the kernel's default is 1024.
    pub cpu_shares: Option<u64>,
    /// Microseconds, 1000 or more.
    pub cpu_quota: Option<Bound<u64>>,
    /// Microseconds, 1000 to 1000000.
    pub cpu_period: Option<u64>,
    pub cpuset_cpus: Option<Numbers>,
    pub cpuset_mems: Option<Numbers>,
    pub pids: Option<Bound<u64>>,
    /// 10 to 1000.
    pub blkio_weight: Option<u16>,
    pub blkio_weight_device: Vec<DeviceWeight>,
    pub device_read_bps: Vec<DeviceRate<Size>>,
    pub device_write_bps: Vec<DeviceRate<Size>>,
    pub device_read_iops: Vec<DeviceRate<Operations>>,
    pub device_write_iops: Vec<DeviceRate<Operations>>,
    /// Where the container's cgroup is made, from the root of the hierarchy.
    pub cgroup_parent: Option<String>,
    pub device_rules: Vec<DeviceRule>,
}

impl Limits {
    /// These, where `asked` does not say it anew.
    ///
    /// # Errors
    /// What cannot be changed, or would contradict what stays: docker's rules.
    pub fn updated(&self, asked: &Self) -> Result<Self, String> {
        let fixed = [
            (asked.oom_kill_disable, "--oom-kill-disable"),
            (asked.cgroup_parent.is_some(), "--cgroup-parent"),
            (!asked.device_rules.is_empty(), "--device-cgroup-rule"),
        ];
        if let Some((_, flag)) = fixed.iter().find(|(is, _)| *is) {
            return Err(format!("{flag} cannot be changed"));
        }
        if self.cpus.is_some() && (asked.cpu_quota.is_some() || asked.cpu_period.is_some()) {
            return Err("it has --cpus, which says quota and period together".to_owned());
        }
        let mut new = self.clone();
        macro_rules! take {
            ($($field:ident),*) => { $(if asked.$field.is_some() { new.$field.clone_from(&asked.$field); })* };
        }
        take!(memory, memory_swap, memory_reservation, memory_swappiness, cpu_shares, cpu_quota, cpu_period);
        take!(cpuset_cpus, cpuset_mems, pids, blkio_weight);
        if asked.cpus.is_some() {
            (new.cpus, new.cpu_quota, new.cpu_period) = (asked.cpus, None, None);
        }
        macro_rules! each {
            ($($field:ident),*) => { $(for it in &asked.$field {
                new.$field.retain(|known| known.device != it.device);
                new.$field.push(it.clone());
            })* };
        }
        each!(blkio_weight_device, device_read_bps, device_write_bps, device_read_iops, device_write_iops);
        Ok(new)
    }
}

/// A limit, or expressly none (`-1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound<T> {
    Unlimited,
    At(T),
}

/// `-1`, or what `T` reads.
impl<T: FromStr<Err = Invalid>> FromStr for Bound<T> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "-1" { Ok(Self::Unlimited) } else { text.parse().map(Self::At) }
    }
}

/// `--pids-limit`: docker takes 0 for unlimited too.
///
/// # Errors
/// [`Invalid`] for what is neither a number nor -1.
pub fn pids(text: &str) -> Result<Bound<u64>, Invalid> {
    match text {
        "-1" | "0" => Ok(Bound::Unlimited),
        _ => {
            text::number(text).map(Bound::At).ok_or_else(|| Invalid::new("not a number of processes").hint("64, or -1"))
        }
    }
}

/// `--cpu-quota`, in microseconds; 0 is docker's "not given".
///
/// # Errors
/// [`Invalid`] for what is neither -1, 0 nor at least 1000.
pub fn quota(text: &str) -> Result<Bound<u64>, Invalid> {
    match (text, text::number::<u64>(text)) {
        ("-1", _) => Ok(Bound::Unlimited),
        // The kernel takes less than 2^44 (MAX_BW, kernel/sched/sched.h).
        (_, Some(quota @ (0 | 1000..=17_592_186_044_415))) => Ok(Bound::At(quota)),
        _ => Err(Invalid::new("not a quota in microseconds").hint("1000 or more, or -1 for no quota")),
    }
}

/// A number from `min` to `max`, or 0, docker's "not given".
///
/// # Errors
/// [`Invalid`] for what is no number or out of the range.
pub fn ranged(text: &str, min: u64, max: u64) -> Result<u64, Invalid> {
    match text::number::<u64>(text) {
        Some(number) if number == 0 || (min..=max).contains(&number) => Ok(number),
        _ => Err(Invalid::new(format!("{text:?} is not from {min} to {max}"))),
    }
}

/// CPUs or memory nodes: `0-3,5`. Sorted, without overlaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// First and last of each run.
    pub runs: Vec<(u32, u32)>,
}

/// The kernel's own limit is `CONFIG_NR_CPUS`, at most 8192 today.
const MOST: u32 = 65_535;

impl FromStr for Numbers {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new(format!("{text:?} is not a list of numbers")).hint("0-3,5");
        let mut runs = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: u32 = text::number(first).ok_or_else(malformed)?;
            let last: u32 = text::number(last).ok_or_else(malformed)?;
            if first > last || last > MOST {
                return Err(malformed());
            }
            runs.push((first, last));
        }
        runs.sort_unstable();
        runs.dedup_by(|next, run| {
            let joined = next.0 <= run.1 + 1;
            if joined {
                run.1 = run.1.max(next.1);
            }
            joined
        });
        Ok(Self { runs })
    }
}

/// As the kernel prints it.
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.runs.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}

/// A path of cgroup names from the root of the hierarchy; docker's leading `/` is optional.
///
/// # Errors
/// [`Invalid`] for an empty path or one that leaves the hierarchy.
pub fn cgroup_parent(text: &str) -> Result<String, Invalid> {
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let printable = |part: &&str| *part != ".." && !part.contains(|c: char| c.is_control());
    if parts.is_empty() || !parts.iter().all(printable) {
        return Err(Invalid::new("not a path of cgroups").hint("names joined by /: /batch/night"));
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bounds() {
        assert_eq!("-1".parse(), Ok(Bound::<Size>::Unlimited));
        assert_eq!("1g".parse(), Ok(Bound::At(Size::from_bytes(1 << 30))));
        assert_eq!("-2".parse::<Bound<Size>>().unwrap_err().why, "a size cannot be negative");
        assert_eq!((pids("0"), pids("64")), (Ok(Bound::Unlimited), Ok(Bound::At(64))));
        assert_eq!(pids("many").unwrap_err().why, "not a number of processes");
        assert_eq!(
            (quota("-1"), quota("0"), quota("50000")),
            (Ok(Bound::Unlimited), Ok(Bound::At(0)), Ok(Bound::At(50000)))
        );
        for text in ["", "999", "x", "-2", "17592186044416"] {
            assert_eq!(quota(text).unwrap_err().why, "not a quota in microseconds");
        }
        assert_eq!((ranged("0", 10, 1000), ranged("10", 10, 1000)), (Ok(0), Ok(10)));
        assert_eq!(ranged("9", 10, 1000).unwrap_err().why, "\"9\" is not from 10 to 1000");
    }

    #[test]
    fn reads_lists() {
        for (text, printed) in
            [("0", "0"), ("0-3,5", "0-3,5"), ("5,0-3", "0-3,5"), ("0,1,2", "0-2"), ("0-5,2-3,7", "0-5,7")]
        {
            assert_eq!(text.parse::<Numbers>().unwrap().to_string(), printed);
        }
        for text in ["", ",", "a", "3-1", "-1", "0-", "0,,1", "70000", "1-2-3"] {
            assert!(text.parse::<Numbers>().unwrap_err().why.ends_with("is not a list of numbers"), "{text}");
        }
    }

    #[test]
    fn reads_cgroup_parents() {
        assert_eq!(cgroup_parent("batch").as_deref(), Ok("/batch"));
        assert_eq!(cgroup_parent("/batch//night/").as_deref(), Ok("/batch/night"));
        for text in ["", "/", "/a/../b", "a\nb"] {
            assert_eq!(cgroup_parent(text).unwrap_err().why, "not a path of cgroups");
        }
    }
}
