//! The files of v2 controllers (Documentation/admin-guide/cgroup-v2.rst), from the spec's v1 terms where it has no
//! others: converted as runc and crun do, so that one config.json means the same under all three.

use super::layout::{Disk, Layout};
use super::limit::Check;
use super::request::{Request, Throttle};
use super::{Values, value};
use crate::Rejected;

pub(super) fn memory(request: &Request) -> Result<Values, Rejected> {
    let no = |what: &str| Err(Rejected::new(format!("cannot {what}"), "cgroup v2 has no such setting"));
    if request.swappiness.is_some() {
        return no("set swappiness for the container");
    }
    if request.no_oom_killer {
        return no("disable the OOM killer for the container");
    }
    if request.kernel_memory.is_some() || request.tcp_memory.is_some() {
        return no("limit the kernel's memory by itself");
    }
    let mut values = Values::new();
    values.extend(request.memory.map(|limit| value("memory", "memory.max", limit, Check::Bytes)));
    if let (Some(sum), Some(memory)) = (request.memory_swap, request.memory) {
        // v2 counts swap by itself, v1 with the memory.
        values.push(value("swap", "memory.swap.max", sum - memory, Check::Bytes));
    }
    values.extend(request.reservation.map(|it| value("memory under pressure", "memory.low", it, Check::Bytes)));
    Ok(values)
}

pub(super) fn cpu(request: &Request) -> Result<Values, Rejected> {
    if request.realtime_runtime.is_some() || request.realtime_period.is_some() {
        let what = "cannot limit the CPU time of real-time processes";
        return Err(Rejected::new(what, "cgroup v2 has no such setting"));
    }
    let mut values = Values::new();
    // An idle one takes no weight.
    let shares = request.shares.filter(|_| request.idle != Some(1));
    values.extend(shares.map(|shares| value("CPU weight", "cpu.weight", weight(shares), Check::Text)));
    if request.quota.is_some() || request.period.is_some() {
        let quota = request.quota.map_or("max".to_owned(), |quota| quota.to_string());
        let period = request.period.map(|period| format!(" {period}")).unwrap_or_default();
        // Without a period the one that is there stays, which is read, too.
        values.push(value("CPU time", "cpu.max", quota + &period, Check::Any));
    }
    values.extend(request.burst.map(|it| value("CPU time", "cpu.max.burst", it, Check::Text)));
    values.extend(request.idle.map(|it| value("CPU idle", "cpu.idle", it, Check::Text)));
    Ok(values)
}

/// Shares (2 to 262144, by default 1024) to a weight (1 to 10000, by default 100): the curve through these three points
/// that runc 1.4 and crun 1.23 draw. The straight line of before gave a container of 1024 shares a weight of 39, so it
/// lost against everything else on the host.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 10000")]
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

pub(super) fn io(request: &Request, layout: &Layout) -> Result<Values, Rejected> {
    let mut values = Values::new();
    if request.weight.is_some() || !request.device_weights.is_empty() {
        weights(request, layout, &mut values)?;
    }
    if request.leaf_weighted() {
        return Err(super::v1::no_leaf_weight());
    }
    for ((major, minor), throttle) in &request.throttles {
        let text = format!("{major}:{minor}{}", io_max(throttle));
        // A line without limits is gone.
        let check = if text.contains("=max") { Check::Told } else { Check::Line(text.clone()) };
        values.push(value("I/O", "io.max", &text, check));
    }
    Ok(values)
}

fn io_max(throttle: &Throttle) -> String {
    [
        ("rbps", throttle.read_bps),
        ("wbps", throttle.write_bps),
        ("riops", throttle.read_iops),
        ("wiops", throttle.write_iops),
    ]
    .into_iter()
    .filter_map(|(key, rate)| match rate? {
        0 => Some(format!(" {key}=max")),
        rate => Some(format!(" {key}={rate}")),
    })
    .collect()
}

const BFQ: (&str, fn(u16) -> u64) = ("io.bfq.weight", |weight| u64::from(weight));
/// 10 to 1000 becomes 1 to 10000, as the runtime-spec's users do it.
const COST: (&str, fn(u16) -> u64) = ("io.weight", |weight| 1 + (u64::from(weight) - 10) * 9999 / 990);

/// Each disk heeds the one or the other, by its scheduler, which may change.
fn weights(request: &Request, layout: &Layout, values: &mut Values) -> Result<(), Rejected> {
    let disks = layout.disks.as_deref().unwrap_or_default();
    let has_bfq = disks.iter().any(|disk| disk.schedulers.contains("bfq"));
    let has_cost = layout.features.io_cost;
    if !has_bfq && !has_cost {
        let why = "this kernel has neither the bfq I/O scheduler nor io.cost";
        return Err(Rejected::new("cannot set the I/O weight", why)
            .hint("modprobe bfq, and echo bfq > /sys/block/DISK/queue/scheduler"));
    }
    for ((file, convert), _) in [(BFQ, has_bfq), (COST, has_cost)].into_iter().filter(|(_, there)| *there) {
        let default = |weight| value("I/O weight", file, format!("default {}", convert(weight)), Check::Any);
        values.extend(request.weight.map(default));
    }
    if !has_cost {
        super::check_bfq(request, layout)?;
    }
    for ((major, minor), weight) in &request.device_weights {
        let is_it = |disk: &&Disk| (disk.major, disk.minor) == (*major, *minor);
        let (file, convert) = if disks.iter().find(is_it).is_some_and(Disk::bfq) { BFQ } else { COST };
        let text = format!("{major}:{minor} {}", convert(*weight));
        values.push(value("I/O weight", file, &text, Check::Line(text.clone())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn shares_to_weight() {
        let pairs = [(2, 1), (256, 35), (512, 59), (1024, 100), (2048, 174), (4096, 303), (262_144, 10_000)];
        for (shares, expected) in pairs {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        assert!((2..262_144).all(|shares| weight(shares) <= weight(shares + 1)));
    }
}
