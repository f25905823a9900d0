//! The limits that were asked for, checked as far as that needs no host.
//!
//! Invariant: of a new cgroup only what it would not do by itself is `Some`; "unlimited" is what it does by itself.
//! Units are the kernel's: bytes, microseconds.

use super::layout::IdSet;
use crate::Rejected;
use spec::runtime::{BlockIo, Cpu, HugepageLimit, Memory, Resources};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) memory: Option<u64>,
    /// Memory plus swap.
    pub(super) memory_swap: Option<u64>,
    pub(super) reservation: Option<u64>,
    pub(super) swappiness: Option<u64>,
    pub(super) no_oom_killer: bool,
    /// What memory includes on v2, and on v1 since Linux 5.16 for all but TCP's.
    pub(super) kernel_memory: Option<u64>,
    pub(super) tcp_memory: Option<u64>,
    pub(super) shares: Option<u64>,
    pub(super) quota: Option<u64>,
    pub(super) period: Option<u64>,
    pub(super) burst: Option<u64>,
    /// -1: unlimited.
    pub(super) realtime_runtime: Option<i64>,
    pub(super) realtime_period: Option<u64>,
    pub(super) idle: Option<i64>,
    pub(super) cpus: Option<IdSet>,
    pub(super) mems: Option<IdSet>,
    pub(super) pids: Option<u64>,
    pub(super) weight: Option<u16>,
    pub(super) device_weights: BTreeMap<(i64, i64), u16>,
    /// Against what is in the cgroups below.
    pub(super) leaf_weight: Option<u16>,
    pub(super) device_leaf_weights: BTreeMap<(i64, i64), u16>,
    pub(super) throttles: BTreeMap<(i64, i64), Throttle>,
    /// By size of a page, which is `2MB` and the like.
    pub(super) hugepages: BTreeMap<String, HugePages>,
    /// `hca_handle=1 hca_object=2` by device.
    pub(super) rdma: BTreeMap<String, String>,
    /// What the packets of its sockets are marked with.
    pub(super) class: Option<u32>,
    /// By interface.
    pub(super) priorities: BTreeMap<String, u32>,
}

/// What is asked of each controller, in words; `None`: nothing.
impl Request {
    pub(super) fn memory_asked(&self) -> Option<String> {
        let size = |what: &str, bytes: Option<u64>| bytes.map(|bytes| format!("{what} {}", size(bytes)));
        size("limit memory to", self.memory)
            .or_else(|| size("reserve memory of", self.reservation))
            .or_else(|| self.swappiness.map(|it| format!("set swappiness to {it}")))
            .or_else(|| self.no_oom_killer.then(|| "disable the OOM killer".into()))
            .or_else(|| size("limit memory and swap to", self.memory_swap))
            .or_else(|| size("limit the kernel's memory to", self.kernel_memory))
            .or_else(|| size("limit the memory of TCP to", self.tcp_memory))
    }

    pub(super) fn cpu_asked(&self) -> Option<String> {
        let shares = self.shares.map(|it| format!("set CPU shares to {it}"));
        let time = || self.quota.or(self.period).map(|it| format!("limit CPU time to {it} µs in each period"));
        let burst = || self.burst.map(|it| format!("set the CPU burst to {it}"));
        let realtime = || {
            let any = self.realtime_runtime.is_some() || self.realtime_period.is_some();
            any.then(|| "limit the CPU time of real-time processes".to_owned())
        };
        let idle = || self.idle.map(|it| format!("set CPU idle to {it}"));
        shares.or_else(time).or_else(burst).or_else(realtime).or_else(idle)
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

    pub(super) fn rdma_asked(&self) -> Option<String> {
        self.rdma.keys().next().map(|device| format!("limit the RDMA device {device}"))
    }

    pub(super) fn class_asked(&self) -> Option<String> {
        self.class.map(|class| format!("mark packets with the class {class:#x}"))
    }

    pub(super) fn priorities_asked(&self) -> Option<String> {
        self.priorities.keys().next().map(|name| format!("set the priority of packets of {name}"))
    }

    pub(super) fn io_asked(&self) -> Option<String> {
        let weights = || {
            let any = self.weight.is_some() || !self.device_weights.is_empty() || self.leaf_weighted();
            any.then(|| "set the I/O weight".to_owned())
        };
        let first = self.throttles.keys().next();
        first.map(|(major, minor)| format!("limit I/O of the device {major}:{minor}")).or_else(weights)
    }

    pub(super) fn leaf_weighted(&self) -> bool {
        self.leaf_weight.is_some() || !self.device_leaf_weights.is_empty()
    }
}

/// Bytes. The kernel takes for no limit the largest number of pages that a signed one can count in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct HugePages {
    pub(super) limit: Option<u64>,
    pub(super) most: u64,
}

/// Bytes and operations a second; 0 is no limit.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Throttle {
    pub(super) read_bps: Option<u64>,
    pub(super) write_bps: Option<u64>,
    pub(super) read_iops: Option<u64>,
    pub(super) write_iops: Option<u64>,
}

/// For a new cgroup.
pub(super) fn check(resources: &Resources) -> Result<Request, Rejected> {
    let mut request = parse(resources)?;
    check_together(&request)?;
    let unless_zero = |value: Option<i64>| value.filter(|value| *value != 0);
    request.burst = request.burst.filter(|burst| *burst != 0);
    request.idle = unless_zero(request.idle);
    request.realtime_runtime = unless_zero(request.realtime_runtime);
    request.class = request.class.filter(|class| *class != 0);
    request.hugepages.retain(|_, pages| pages.limit.is_some());
    request.throttles.retain(|_, throttle| {
        let mut rates =
            [&mut throttle.read_bps, &mut throttle.write_bps, &mut throttle.read_iops, &mut throttle.write_iops];
        rates.iter_mut().for_each(|rate| **rate = rate.filter(|rate| *rate != 0));
        rates.iter().any(|rate| rate.is_some())
    });
    Ok(request)
}

/// Value by value: with what else it must agree in a cgroup that has limits, the kernel knows.
pub(super) fn parse(resources: &Resources) -> Result<Request, Rejected> {
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
    // Nobody asks for no process at all: as runc, the container's first and no other.
    let limit = resources.pids.and_then(|pids| pids.limit);
    request.pids = limit.and_then(|limit| u64::try_from(limit).ok()).map(|limit| limit.max(1));
    for (device, limit) in &resources.rdma {
        let words = [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)];
        let words = words.into_iter().filter_map(|(name, limit)| Some(format!("{name}={}", limit?)));
        request.rdma.insert(device.clone(), words.collect::<Vec<_>>().join(" "));
    }
    if let Some((device, _)) = request.rdma.iter().find(|(_, limit)| limit.is_empty()) {
        let what = format!("cannot limit the RDMA device {device}");
        return Err(Rejected::new(what, "neither hcaHandles nor hcaObjects is there"));
    }
    if let Some(network) = &resources.network {
        request.class = network.class_id;
        request.priorities = network.priorities.iter().map(|it| (it.name.clone(), it.priority)).collect();
    }
    Ok(request)
}

fn check_hugepages(asked: &HugepageLimit, request: &mut Request) -> Result<(), Rejected> {
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
    // The kernel rounds it down, too.
    let most = i64::MAX.cast_unsigned();
    let round = |limit: u64| limit - limit % page;
    let limit = if asked.limit < most & !0xfff { Some(round(asked.limit)) } else { None };
    request.hugepages.insert(size.clone(), HugePages { limit, most: round(most) });
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
    request.kernel_memory = positive(memory.kernel);
    request.tcp_memory = positive(memory.kernel_tcp);
    if memory.use_hierarchy == Some(false) {
        let what = "cannot account memory without the cgroups below (useHierarchy: false)";
        return Err(Rejected::new(what, "the kernel knows no other way"));
    }
    if let Some(swappiness) = request.swappiness.filter(|swappiness| *swappiness > 100) {
        return Err(Rejected::new(format!("cannot set swappiness to {swappiness}"), "the range is from 0 to 100"));
    }
    Ok(())
}

fn check_together(request: &Request) -> Result<(), Rejected> {
    let reject = |what: &str, value: String, why: &str| Err(Rejected::new(format!("cannot {what} {value}"), why));
    check_swap(request)?;
    match request.burst {
        Some(burst) if request.quota.is_none_or(|quota| burst > quota) && burst != 0 => {
            reject("set the CPU burst to", burst.to_string(), "it can't be more than the CPU quota")
        }
        _ => Ok(()),
    }
}

/// # Errors
/// The sum of memory and swap is less than the memory.
pub(super) fn check_swap(request: &Request) -> Result<(), Rejected> {
    let reject = |what: &str, bytes, why: &str| Err(Rejected::new(format!("cannot {what} {}", size(bytes)), why));
    match (request.memory_swap, request.memory) {
        (Some(swap), None) => reject("limit memory and swap to", swap, "this needs a memory limit too"),
        (Some(swap), Some(limit)) if swap < limit => {
            let why = format!("the sum of memory and swap can't be less than the memory, {}", size(limit));
            reject("limit memory and swap to", swap, &why)
        }
        _ => Ok(()),
    }
}

fn check_cpu(cpu: &Cpu, request: &mut Request) -> Result<(), Rejected> {
    request.shares = cpu.shares.filter(|shares| *shares != 0);
    request.quota = positive(cpu.quota);
    request.period = cpu.period.filter(|period| *period != 0);
    request.burst = cpu.burst;
    request.realtime_runtime = cpu.realtime_runtime;
    request.realtime_period = cpu.realtime_period.filter(|period| *period != 0);
    request.idle = cpu.idle;
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
    let asked = |weight: Option<u16>| weight.filter(|weight| *weight != 0).map(check).transpose();
    request.weight = asked(io.weight)?;
    request.leaf_weight = asked(io.leaf_weight)?;
    for device in &io.weight_device {
        let number = (device.major, device.minor);
        request.device_weights.extend(asked(Some(device.weight))?.map(|weight| (number, weight)));
        request.device_leaf_weights.extend(asked(device.leaf_weight)?.map(|weight| (number, weight)));
    }
    type Field = fn(&mut Throttle) -> &mut Option<u64>;
    let lists: [(_, Field); 4] = [
        (&io.throttle_read_bps_device, |throttle| &mut throttle.read_bps),
        (&io.throttle_write_bps_device, |throttle| &mut throttle.write_bps),
        (&io.throttle_read_iops_device, |throttle| &mut throttle.read_iops),
        (&io.throttle_write_iops_device, |throttle| &mut throttle.write_iops),
    ];
    for (list, field) in lists {
        for device in list {
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
