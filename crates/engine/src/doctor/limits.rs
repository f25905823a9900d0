//! cgroups: each limit is planned as for a container that asks for it.

use super::{Finding, Verdict};
use crate::error::Result;
use plan::cgroup::{self, CgroupPath, Layout};
use plan::host::Host;
use spec::runtime::{BlockIo, Cpu, Memory, Pids, Resources};

const ASKED: i64 = 64 << 20;

pub fn check(host: &Host) -> Vec<Finding> {
    let rootless = !host.is_machines_root();
    let layout = match observe(rootless) {
        Ok(layout) => layout,
        Err(error) => return vec![Finding::error("cgroups", Verdict::Warning, &error)],
    };
    let mut findings = vec![kind(&layout), plain(&layout, rootless)];
    findings.extend(wishes(&layout).into_iter().map(|(check, resources)| {
        match cgroup::plan(&layout, &resources, rootless) {
            Ok(_) => Finding::ok(check, "can be set"),
            Err(refused) => Finding::refused(check, Verdict::Warning, refused),
        }
    }));
    findings
}

fn observe(rootless: bool) -> Result<Layout> {
    let path = CgroupPath::of_container(None, "doctor", rootless)?;
    Ok(runtime::observe::cgroup::observe(&path, true).map_err(runtime::Error::from)?)
}

fn kind(layout: &Layout) -> Finding {
    const CHECK: &str = "cgroups";
    match (layout.v1.is_empty(), &layout.v2) {
        (true, None) => Finding::warning(
            CHECK,
            "no hierarchy is mounted that shows sampan's own: no limit can be set",
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        ),
        (true, Some(_)) => Finding::ok(CHECK, "version 2"),
        (false, None) => Finding::ok(CHECK, "version 1"),
        (false, Some(_)) => Finding::ok(CHECK, "version 1 with a version 2 tree beside it"),
    }
}

/// A container that asks for nothing.
fn plain(layout: &Layout, rootless: bool) -> Finding {
    match cgroup::plan(layout, &Resources::default(), rootless) {
        Ok(_) => Finding::ok("a cgroup for a container", "can be made, or is not needed"),
        Err(refused) => Finding::refused("a cgroup for a container", Verdict::Failure, refused),
    }
}

fn wishes(layout: &Layout) -> Vec<(&'static str, Resources)> {
    let memory = |memory| Resources { memory: Some(memory), ..Resources::default() };
    let cpu = |cpu| Resources { cpu: Some(cpu), ..Resources::default() };
    let limit = Memory { limit: Some(ASKED), ..Memory::default() };
    let first = layout.cpus.to_string().split(['-', ',']).next().unwrap_or_default().to_owned();
    let weight = BlockIo { weight: Some(500), ..BlockIo::default() };
    vec![
        ("limit of memory", memory(limit.clone())),
        ("limit of swap", memory(Memory { swap: Some(ASKED), ..limit })),
        ("limit of processes", Resources { pids: Some(Pids { limit: Some(100) }), ..Resources::default() }),
        ("limit of CPU time", cpu(Cpu { quota: Some(50_000), period: Some(100_000), ..Cpu::default() })),
        ("weight of CPU time", cpu(Cpu { shares: Some(512), ..Cpu::default() })),
        ("choice of CPUs", cpu(Cpu { cpus: first, ..Cpu::default() })),
        ("weight of disk I/O", Resources { block_io: Some(weight), ..Resources::default() }),
    ]
}
