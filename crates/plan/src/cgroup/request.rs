//! The limits that were asked for, checked as far as that needs no host.
//!
//! Invariant: only what a fresh cgroup would not do by itself is `Some`; "unlimited" is what it does by itself.
//! Units are the kernel's: bytes, microseconds.

use super::layout::IdSet;
use crate::Rejected;
use spec::runtime::{BlockIo, Cpu, HugepageLimit, Memory, Resources};
use std::collections::BTreeMap;

/// docker's floor: with less no container starts.
const LEAST_MEMORY: u64 = 6 << 20;

#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) memory: Option<u64>,
    /// Memory plus swap.
    pub(super) memory_swap: Option<u64>,
    pub(super) reservation: Option<u64>,
    pub(super) swappiness: Option<u64>,
    pub(super) no_oom_killer: bool,
    pub(super) shares: Option<u64>,
    pub(super) quota: Option<u64>,
    pub(super) period: Option<u64>,
    pub(super) burst: Option<u64>,
    pub(super) cpus: Option<IdSet>,
    pub(super) mems: Option<IdSet>,
    pub(super) pids: Option<u64>,
    pub(super) weight: Option<u16>,
    pub(super) device_weights: BTreeMap<(i64, i64), u16>,
    pub(super) throttles: BTreeMap<(i64, i64), Throttle>,
    /// Bytes by size of a page, which is `2MB` and the like.
    pub(super) hugepages: BTreeMap<String, u64>,
}

/// What is asked of each controller, in words; `None`: nothing.
impl Request {
    pub(super) fn memory_asked(&self) -> Option<String> {
        let size = |what: &str, bytes: Option<u64>| bytes.map(|bytes| format!("{what} {}", size(bytes)));
        size("limit memory to", self.memory)
            .or_else(|| size("reserve memory of", self.reservation))
            .or_else(|| self.swappiness.map(|it| format!("set swappiness to {it}")))
            .or_else(|| self.no_oom_killer.then(|| "disable the OOM killer".into()))
    }

    pub(super) fn cpu_asked(&self) -> Option<String> {
        let shares = self.shares.map(|it| format!("set CPU shares to {it}"));
        let time = || self.quota.or(self.period).map(|it| format!("limit CPU time to {it} µs in each period"));
        shares.or_else(time)
    }

    pub(super) fn cpuset_asked(&self) -> Option<String> {
        let bind =
            |what: &str, ids: &Option<IdSet>| ids.as_ref().map(|ids| format!("bind the container to {what} {ids}"));
        bind("CPUs", &self.cpus).or_else(|| bind("memory nodes", &self.mems))
    }

    pub(super) fn pids_asked(&self) -> Option<String> {
        self.pids.map(|limit| format!("limit processes to {limit}"))
    }

    pub(super) fn hugepages_asked(&self) -> Option<String> {
        self.hugepages.keys().next().map(|page| format!("limit huge pages of {page}"))
    }

    pub(super) fn io_asked(&self) -> Option<String> {
        let weights = || {
            let any = self.weight.is_some() || !self.device_weights.is_empty();
            any.then(|| "set the I/O weight".to_owned())
        };
        let first = self.throttles.keys().next();
        first.map(|(major, minor)| format!("limit I/O of the device {major}:{minor}")).or_else(weights)
    }
}

/// Bytes and operations a second.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Throttle {
    pub(super) read_bps: Option<u64>,
    pub(super) write_bps: Option<u64>,
    pub(super) read_iops: Option<u64>,
    pub(super) write_iops: Option<u64>,
}

pub(super) fn check(resources: &Resources) -> Result<Request, Rejected> {
    let mut request = Request::default();
    if let Some(memory) = &resources.memory {
        check_memory(memory, &mut request)?;
    }
    if let Some(cpu) = &resources.cpu {
        check_cpu(cpu, &mut request)?;
    }
    if let Some(io) = &resources.block_io {
        check_io(io, &mut request)?;
    }
    for limit in &resources.hugepage_limits {
        check_hugepages(limit, &mut request)?;
    }
    request.pids = resources.pids.and_then(|pids| positive(Some(pids.limit)));
    Ok(request)
}

fn check_hugepages(asked: &HugepageLimit, request: &mut Request) -> Result<(), Rejected> {
    // What the kernel takes for no limit is near the largest number of pages that a signed one can count in bytes.
    const UNLIMITED: u64 = i64::MAX as u64 & !0xfff;
    let size = &asked.page_size;
    let shift = [("KB", 10), ("MB", 20), ("GB", 30)].into_iter().find_map(|(unit, shift)| {
        let count: u64 = size.strip_suffix(unit)?.parse().ok()?;
        count.checked_shl(shift).filter(|page| page.is_power_of_two())
    });
    let Some(page) = shift else {
        let what = format!("cannot limit huge pages of {size:?}");
        return Err(
            Rejected::new(what, "that is no size of a page").hint("ls /sys/kernel/mm/hugepages lists them: 2MB")
        );
    };
    if asked.limit < UNLIMITED {
        // The kernel rounds it down, too.
        request.hugepages.insert(size.clone(), asked.limit - asked.limit % page);
    }
    Ok(())
}

/// 0 and every negative number are "unlimited", as in docker.
fn positive(value: Option<i64>) -> Option<u64> {
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
}

fn check_memory(memory: &Memory, request: &mut Request) -> Result<(), Rejected> {
    request.memory = positive(memory.limit);
    request.reservation = positive(memory.reservation);
    request.memory_swap = positive(memory.swap);
    request.swappiness = memory.swappiness;
    request.no_oom_killer = memory.disable_oom_killer == Some(true);
    let reject = |what: &str, bytes, why: &str| Err(Rejected::new(format!("cannot {what} {}", size(bytes)), why));
    if let Some(limit) = request.memory.filter(|limit| *limit < LEAST_MEMORY) {
        return Err(Rejected::new(format!("cannot limit memory to {}", size(limit)), "a container needs at least 6m")
            .hint("ask for 6m or more"));
    }
    match (request.memory_swap, request.memory) {
        (Some(swap), None) => {
            return reject("limit memory and swap to", swap, "this needs a memory limit too");
        }
        (Some(swap), Some(limit)) if swap < limit => {
            let why = format!("the sum of memory and swap can't be less than the memory, {}", size(limit));
            return reject("limit memory and swap to", swap, &why);
        }
        _ => {}
    }
    match (request.reservation, request.memory) {
        (Some(reservation), Some(limit)) if reservation > limit => {
            return reject("reserve memory of", reservation, &format!("that is more than its limit, {}", size(limit)));
        }
        _ => {}
    }
    if let Some(swappiness) = request.swappiness.filter(|swappiness| *swappiness > 100) {
        return Err(Rejected::new(format!("cannot set swappiness to {swappiness}"), "the range is from 0 to 100"));
    }
    Ok(())
}

fn check_cpu(cpu: &Cpu, request: &mut Request) -> Result<(), Rejected> {
    request.shares = cpu.shares.filter(|shares| *shares != 0);
    request.quota = positive(cpu.quota);
    request.period = cpu.period.filter(|period| *period != 0);
    request.burst = cpu.burst.filter(|burst| *burst != 0);
    let reject = |what: &str, value: u64, why: String| Err(Rejected::new(format!("cannot set {what} to {value}"), why));
    if let Some(shares) = request.shares.filter(|shares| !(2..=262_144).contains(shares)) {
        return reject("CPU shares", shares, "the range is from 2 to 262144".into());
    }
    if let Some(quota) = request.quota.filter(|quota| *quota < 1000) {
        return reject("the CPU quota", quota, "it can't be less than 1 ms (1000)".into());
    }
    if let Some(period) = request.period.filter(|period| !(1000..=1_000_000).contains(period)) {
        return reject("the CPU period", period, "the range is from 1 ms (1000) to 1 s (1000000)".into());
    }
    if let Some(burst) = request.burst.filter(|burst| request.quota.is_none_or(|quota| *burst > quota)) {
        return reject("the CPU burst", burst, "it can't be more than the CPU quota".into());
    }
    request.cpus = ids("CPUs", &cpu.cpus)?;
    request.mems = ids("memory nodes", &cpu.mems)?;
    Ok(())
}

fn ids(what: &str, list: &str) -> Result<Option<IdSet>, Rejected> {
    if list.is_empty() {
        return Ok(None);
    }
    match IdSet::parse(list) {
        Some(set) if !set.is_empty() => Ok(Some(set)),
        _ => Err(Rejected::new(format!("cannot bind the container to {what} {list:?}"), "that is no list like 0-2,4")),
    }
}

fn check_io(io: &BlockIo, request: &mut Request) -> Result<(), Rejected> {
    let check = |weight: u16| match weight {
        10..=1000 => Ok(weight),
        _ => Err(Rejected::new(format!("cannot set the I/O weight to {weight}"), "the range is from 10 to 1000")),
    };
    request.weight = io.weight.filter(|weight| *weight != 0).map(check).transpose()?;
    for device in &io.weight_device {
        request.device_weights.insert((device.major, device.minor), check(device.weight)?);
    }
    type Field = fn(&mut Throttle) -> &mut Option<u64>;
    let lists: [(_, Field); 4] = [
        (&io.throttle_read_bps_device, |throttle| &mut throttle.read_bps),
        (&io.throttle_write_bps_device, |throttle| &mut throttle.write_bps),
        (&io.throttle_read_iops_device, |throttle| &mut throttle.read_iops),
        (&io.throttle_write_iops_device, |throttle| &mut throttle.write_iops),
    ];
    for (list, field) in lists {
        for device in list.iter().filter(|device| device.rate != 0) {
            let throttle = request.throttles.entry((device.major, device.minor)).or_default();
            *field(throttle) = Some(device.rate);
        }
    }
    Ok(())
}

/// `100m` for what is a whole number of mebibytes, and so on.
pub(super) fn size(bytes: u64) -> String {
    for (shift, unit) in [(30, "g"), (20, "m"), (10, "k")] {
        if bytes >> shift != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}
