//! The files of v1 controllers (Documentation/admin-guide/cgroup-v1).
//!
//! Invariant: the order is one that the kernel takes in a fresh cgroup: memory before memory and swap, which can't be
//! less; a period before its quota or runtime, which is checked against it; the quota before the burst.

use super::layout::Layout;
use super::limit::Check;
use super::request::Request;
use super::{Values, value};
use crate::Rejected;

pub(super) fn memory(request: &Request) -> Values {
    let mut values = Values::new();
    values.extend(request.memory.map(|limit| value("memory", "memory.limit_in_bytes", limit, Check::Bytes)));
    values.extend(
        request.memory_swap.map(|it| value("memory and swap", "memory.memsw.limit_in_bytes", it, Check::Bytes)),
    );
    values.extend(
        request.reservation.map(|it| value("memory under pressure", "memory.soft_limit_in_bytes", it, Check::Bytes)),
    );
    // Before any process is there: with one, kernels before 5.16 refuse it.
    values
        .extend(request.kernel_memory.map(|it| value("kernel memory", "memory.kmem.limit_in_bytes", it, Check::Bytes)));
    values.extend(
        request.tcp_memory.map(|it| value("memory of TCP", "memory.kmem.tcp.limit_in_bytes", it, Check::Bytes)),
    );
    values.extend(request.swappiness.map(|it| value("swapping", "memory.swappiness", it, Check::Text)));
    if request.no_oom_killer {
        let check = Check::Line("oom_kill_disable 1".into());
        values.push(value("the OOM killer", "memory.oom_control", 1, check));
    }
    values
}

pub(super) fn cpu(request: &Request, layout: &Layout) -> Result<Values, Rejected> {
    let features = &layout.features;
    let lacks = |what: &str, option: &str| {
        Err(Rejected::new(format!("cannot limit {what}"), format!("this kernel lacks {option}")))
    };
    if (request.quota.is_some() || request.period.is_some()) && !features.cfs_quota {
        return lacks("CPU time", "CPU quotas (CONFIG_CFS_BANDWIDTH)");
    }
    if request.burst.is_some() && !features.cfs_burst {
        return lacks("the CPU burst", "cpu.cfs_burst_us (Linux 5.14)");
    }
    let mut values = Values::new();
    values.extend(request.shares.map(|it| value("CPU shares", "cpu.shares", it, Check::Text)));
    values.extend(request.period.map(|it| value("CPU time", "cpu.cfs_period_us", it, Check::Text)));
    values.extend(request.quota.map(|it| value("CPU time", "cpu.cfs_quota_us", it, Check::Text)));
    values.extend(request.burst.map(|it| value("CPU time", "cpu.cfs_burst_us", it, Check::Text)));
    values.extend(request.realtime_period.map(|it| value("real-time CPU time", "cpu.rt_period_us", it, Check::Text)));
    values.extend(request.realtime_runtime.map(|it| value("real-time CPU time", "cpu.rt_runtime_us", it, Check::Text)));
    // The last, as an idle one takes no shares.
    values.extend(request.idle.map(|it| value("CPU idle", "cpu.idle", it, Check::Text)));
    Ok(values)
}

pub(super) fn io(request: &Request, layout: &Layout) -> Result<Values, Rejected> {
    let mut values = Values::new();
    if request.weight.is_some() || !request.device_weights.is_empty() {
        let (all, each) = weight_files(layout)?;
        if layout.features.blkio_bfq {
            super::check_bfq(request, layout)?;
        }
        values.extend(request.weight.map(|it| value("I/O weight", all, it, Check::Text)));
        for ((major, minor), weight) in &request.device_weights {
            values.push(line("I/O weight", each, format!("{major}:{minor} {weight}")));
        }
    }
    if request.leaf_weighted() && !layout.features.blkio_weight {
        return Err(no_leaf_weight());
    }
    values.extend(request.leaf_weight.map(|it| value("I/O weight", "blkio.leaf_weight", it, Check::Text)));
    for ((major, minor), weight) in &request.device_leaf_weights {
        values.push(line("I/O weight", "blkio.leaf_weight_device", format!("{major}:{minor} {weight}")));
    }
    if !request.throttles.is_empty() && !layout.features.throttle {
        return Err(Rejected::new("cannot limit I/O", "this kernel lacks blkio.throttle (CONFIG_BLK_DEV_THROTTLING)"));
    }
    for ((major, minor), throttle) in &request.throttles {
        for (what, file, rate) in [
            ("bytes read", "blkio.throttle.read_bps_device", throttle.read_bps),
            ("bytes written", "blkio.throttle.write_bps_device", throttle.write_bps),
            ("reads", "blkio.throttle.read_iops_device", throttle.read_iops),
            ("writes", "blkio.throttle.write_iops_device", throttle.write_iops),
        ] {
            let limit = |rate| match (rate, format!("{major}:{minor} {rate}")) {
                // The line is gone then.
                (0, text) => value(what, file, text, Check::Told),
                (_, text) => line(what, file, text),
            };
            values.extend(rate.map(limit));
        }
    }
    Ok(values)
}

pub(super) fn no_leaf_weight() -> Rejected {
    Rejected::new(
        "cannot set leafWeight",
        "this kernel has no such weight: it went with the CFQ scheduler in Linux 5.0",
    )
}

fn line(what: &'static str, file: &str, text: String) -> super::Value {
    value(what, file, &text, Check::Line(text.clone()))
}

fn weight_files(layout: &Layout) -> Result<(&'static str, &'static str), Rejected> {
    if layout.features.blkio_bfq {
        Ok(("blkio.bfq.weight", "blkio.bfq.weight_device"))
    } else if layout.features.blkio_weight {
        Ok(("blkio.weight", "blkio.weight_device"))
    } else {
        Err(Rejected::new(
            "cannot set the I/O weight",
            "the bfq I/O scheduler is not loaded, and this kernel has no other",
        )
        .hint("modprobe bfq, and echo bfq > /sys/block/DISK/queue/scheduler"))
    }
}
