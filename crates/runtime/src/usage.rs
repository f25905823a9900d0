//! What a container uses, in runc's names: read from its cgroups, and of its network from its first process.
//!
//! Invariant: times are nanoseconds, sizes bytes; what the kernel does not tell is 0, and no limit is the largest number.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The container's directory on cgroup v2, and those on v1, each with its hierarchy's controllers.
    pub v2: Option<&'a str>,
    pub v1: &'a [(Vec<String>, String)],
    pub resctrl: Option<&'a str>,
    /// Of its first process.
    pub pid: i32,
}

#[must_use]
pub fn of(places: Places<'_>) -> Value {
    let v2 = places.v2.map(Group::new).unwrap_or_default();
    let serves = |controllers: &[String], name: &str| controllers.iter().any(|known| known == name);
    let v1 = |name: &str| places.v1.iter().find(|(all, _)| serves(all, name)).map(|(_, dir)| Group::new(dir));
    // Whoever has limits of cpu only has no cgroup where it is counted.
    let on_v1 = |acct: Group| cpu_v1(&v1("cpu").unwrap_or_default(), &acct);
    let mut all = json!({
        "cpu": v1("cpuacct").map_or_else(|| cpu_v2(&v2), on_v1),
        "cpuset": v1("cpuset").map_or_else(|| cpuset(&v2, ".effective"), |group| cpuset(&group, "")),
        "memory": v1("memory").map_or_else(|| memory_v2(&v2), |group| memory_v1(&group)),
        "pids": pids(v1("pids").as_ref().unwrap_or(&v2)),
        "blkio": v1("blkio").map_or_else(|| io_v2(&v2), |group| io_v1(&group)),
        "hugetlb": v1("hugetlb").map_or_else(|| pages(&v2, &PAGES_V2), |group| pages(&group, &PAGES_V1)),
        "intel_rdt": places.resctrl.map_or_else(|| json!({}), |dir| resctrl(&Group::new(dir))),
        "network_interfaces": interfaces(places.pid),
    });
    let group = v1("rdma").unwrap_or(v2);
    if let (true, Some(all)) = (group.has("rdma.current"), all.as_object_mut()) {
        let rdma = json!({ "rdma_limit": rdma(&group, "rdma.max"), "rdma_current": rdma(&group, "rdma.current") });
        all.insert("rdma".to_owned(), rdma);
    }
    all
}

/// A cgroup's directory; without one nothing is told.
#[derive(Debug, Clone, Default)]
struct Group(Option<PathBuf>);

impl Group {
    fn new(path: &str) -> Self {
        Self(Some(path.into()))
    }

    fn has(&self, file: &str) -> bool {
        self.0.as_ref().is_some_and(|dir| dir.join(file).exists())
    }

    fn text(&self, file: &str) -> String {
        self.0.as_ref().and_then(|dir| std::fs::read_to_string(dir.join(file)).ok()).unwrap_or_default()
    }

    fn number(&self, file: &str) -> u64 {
        number(self.text(file).trim())
    }

    fn numbers(&self, file: &str) -> Vec<u64> {
        self.text(file).split_whitespace().map(number).collect()
    }

    /// `NAME NUMBER` a line.
    fn fields(&self, file: &str) -> BTreeMap<String, u64> {
        let field = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), number(value)));
        self.text(file).lines().filter_map(field).collect()
    }

    /// How long some, and all, waited for what there is too little of (Documentation/accounting/psi.rst).
    fn pressure(&self, file: &str, into: &mut Value) {
        let mut psi = Map::new();
        for line in self.text(file).lines() {
            let mut words = line.split(' ');
            let Some(name) = words.next() else { continue };
            let pair = |word: &str| {
                let (name, value) = word.split_once('=')?;
                Some((name.to_owned(), serde_json::from_str(value).ok()?))
            };
            psi.insert(name.to_owned(), Value::Object(words.filter_map(pair).collect()));
        }
        if let (false, Some(into)) = (psi.is_empty(), into.as_object_mut()) {
            into.insert("psi".to_owned(), Value::Object(psi));
        }
    }
}

/// `max` is the largest there is.
fn number(text: &str) -> u64 {
    if text == "max" { u64::MAX } else { text.parse().unwrap_or(0) }
}

fn cpu_v1(cpu: &Group, acct: &Group) -> Value {
    // clock_t of proc(5), which every Linux counts in hundredths.
    const TICK: u64 = 10_000_000;
    let used = acct.fields("cpuacct.stat");
    let used = |name: &str| used.get(name).copied().unwrap_or(0).saturating_mul(TICK);
    let stat = cpu.fields("cpu.stat");
    let throttled = |name: &str| stat.get(name).copied().unwrap_or(0);
    // A heading, and for each CPU its number, user and system.
    let all = acct.text("cpuacct.usage_all");
    let column = |at| all.lines().skip(1).filter_map(|line| line.split(' ').nth(at)).map(number).collect::<Vec<_>>();
    json!({
        "usage": {
            "total": acct.number("cpuacct.usage"), "kernel": used("system"), "user": used("user"),
            "percpu": acct.numbers("cpuacct.usage_percpu"), "percpu_user": column(1), "percpu_kernel": column(2),
        },
        "throttling": {
            "periods": throttled("nr_periods"),
            "throttledPeriods": throttled("nr_throttled"),
            "throttledTime": throttled("throttled_time"),
        },
    })
}

fn cpu_v2(group: &Group) -> Value {
    let stat = group.fields("cpu.stat");
    let field = |name: &str| stat.get(name).copied().unwrap_or(0);
    let time = |name: &str| field(name).saturating_mul(1000);
    let mut cpu = json!({
        "usage": { "total": time("usage_usec"), "kernel": time("system_usec"), "user": time("user_usec") },
        "throttling": {
            "periods": field("nr_periods"),
            "throttledPeriods": field("nr_throttled"),
            "throttledTime": time("throttled_usec"),
        },
    });
    group.pressure("cpu.pressure", &mut cpu);
    cpu
}

fn cpuset(group: &Group, end: &str) -> Value {
    let list = |name: &str| {
        let text = group.text(&format!("cpuset.{name}{end}"));
        let ranges = text.trim().split(',').filter(|range| !range.is_empty());
        let range = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            number(first)..=number(last)
        };
        ranges.flat_map(range).collect::<Vec<u64>>()
    };
    let file = |name: &str| group.number(&format!("cpuset.{name}"));
    json!({
        "cpus": list("cpus"), "mems": list("mems"),
        "cpu_exclusive": file("cpu_exclusive"), "mem_exclusive": file("mem_exclusive"),
        "mem_hardwall": file("mem_hardwall"), "memory_migrate": file("memory_migrate"),
        "memory_pressure": file("memory_pressure"), "memory_spread_page": file("memory_spread_page"),
        "memory_spread_slab": file("memory_spread_slab"), "sched_load_balance": file("sched_load_balance"),
        "sched_relax_domain_level":
            group.text("cpuset.sched_relax_domain_level").trim().parse::<i64>().unwrap_or_default(),
    })
}

fn memory_v1(group: &Group) -> Value {
    let stat = group.fields("memory.stat");
    let entry = |name: &str| {
        let file = |end: &str| group.number(&format!("memory.{name}{end}"));
        json!({
            "limit": file("limit_in_bytes"), "usage": file("usage_in_bytes"), "max": file("max_usage_in_bytes"),
            "failcnt": file("failcnt"),
        })
    };
    json!({
        "cache": stat.get("cache").copied().unwrap_or(0),
        "usage": entry(""), "swap": entry("memsw."), "kernel": entry("kmem."), "kernelTCP": entry("kmem.tcp."),
        "raw": stat,
    })
}

/// The sum of memory and swap stands where it stands on v1.
fn memory_v2(group: &Group) -> Value {
    let stat = group.fields("memory.stat");
    let field = |name: &str| stat.get(name).copied().unwrap_or(0);
    let (limit, usage) = (group.number("memory.max"), group.number("memory.current"));
    let sum = |memory: u64, file| memory.saturating_add(group.number(file));
    let failed = |file| group.fields(file).get("max").copied().unwrap_or(0);
    let mut memory = json!({
        "cache": field("file"),
        "usage": {
            "limit": limit, "usage": usage, "max": group.number("memory.peak"), "failcnt": failed("memory.events")
        },
        "swap": {
            "limit": sum(limit, "memory.swap.max"), "usage": sum(usage, "memory.swap.current"),
            "failcnt": failed("memory.swap.events"),
        },
        "kernel": { "limit": limit, "usage": field("kernel"), "failcnt": 0 },
        "kernelTCP": { "limit": limit, "usage": field("sock"), "failcnt": 0 },
        "raw": stat,
    });
    group.pressure("memory.pressure", &mut memory);
    memory
}

/// Of processes no limit is 0.
fn pids(group: &Group) -> Value {
    let limit = group.number("pids.max");
    json!({ "current": group.number("pids.current"), "limit": if limit == u64::MAX { 0 } else { limit } })
}

fn entry(device: &str, op: &str, value: u64) -> Option<Value> {
    let (major, minor) = device.split_once(':')?;
    Some(json!({ "major": number(major), "minor": number(minor), "op": op, "value": value }))
}

/// `MAJOR:MINOR OP NUMBER` a line, of what the scheduler counts that the disk has; the throttle counts for each.
fn io_v1(group: &Group) -> Value {
    let list = |names: &[&str]| -> Vec<Value> {
        let file = names.iter().find(|name| group.has(name)).map(|name| group.text(name)).unwrap_or_default();
        let line = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                [device, op, value] => entry(device, op, number(value)),
                [device, value] => entry(device, "", number(value)),
                _ => None,
            }
        };
        file.lines().filter_map(line).collect()
    };
    json!({
        "ioServiceBytesRecursive": list(&[
            "blkio.bfq.io_service_bytes_recursive", "blkio.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes",
        ]),
        "ioServicedRecursive": list(&[
            "blkio.bfq.io_serviced_recursive", "blkio.io_serviced_recursive", "blkio.throttle.io_serviced_recursive",
            "blkio.throttle.io_serviced",
        ]),
        "ioQueueRecursive": list(&["blkio.bfq.io_queued_recursive", "blkio.io_queued_recursive"]),
        "ioServiceTimeRecursive": list(&["blkio.bfq.io_service_time_recursive", "blkio.io_service_time_recursive"]),
        "ioWaitTimeRecursive": list(&["blkio.bfq.io_wait_time_recursive", "blkio.io_wait_time_recursive"]),
        "ioMergedRecursive": list(&["blkio.bfq.io_merged_recursive", "blkio.io_merged_recursive"]),
        "ioTimeRecursive": list(&["blkio.bfq.time_recursive", "blkio.time_recursive"]),
        "sectorsRecursive": list(&["blkio.bfq.sectors_recursive", "blkio.sectors_recursive"]),
    })
}

/// `MAJOR:MINOR rbytes=NUMBER …` a line.
fn io_v2(group: &Group) -> Value {
    let text = group.text("io.stat");
    let list = |names: [(&str, &str); 3]| -> Vec<Value> {
        let device = |line: &str| {
            let (device, pairs) = line.split_once(' ')?;
            let value = |(name, op): (&str, &str)| {
                let value = pairs.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
                entry(device, op, number(value))
            };
            Some(names.into_iter().filter_map(value).collect::<Vec<_>>())
        };
        text.lines().filter_map(device).flatten().collect()
    };
    let mut io = json!({
        "ioServiceBytesRecursive": list([("rbytes", "Read"), ("wbytes", "Write"), ("dbytes", "Discard")]),
        "ioServicedRecursive": list([("rios", "Read"), ("wios", "Write"), ("dios", "Discard")]),
    });
    group.pressure("io.pressure", &mut io);
    io
}

/// How the files end that tell of huge pages what is used, and what was used at most; and of how often that was too
/// much, in which file and, where that has several, which field.
struct Pages {
    used: &'static str,
    most: &'static str,
    failed: (&'static str, Option<&'static str>),
}

const PAGES_V1: Pages = Pages { used: "usage_in_bytes", most: "max_usage_in_bytes", failed: ("failcnt", None) };
/// Which tells no maximum.
const PAGES_V2: Pages = Pages { used: "current", most: "peak", failed: ("events", Some("max")) };

/// By a page's size.
fn pages(group: &Group, files: &Pages) -> Value {
    let names = group.0.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    let size = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let size = name.strip_prefix("hugetlb.")?.strip_suffix(files.used)?.strip_suffix('.')?;
        (!size.contains('.')).then(|| size.to_owned())
    };
    let of = |size: String| {
        let file = |end: &str| format!("hugetlb.{size}.{end}");
        let failed = match files.failed {
            (end, None) => group.number(&file(end)),
            (end, Some(field)) => group.fields(&file(end)).get(field).copied().unwrap_or(0),
        };
        let (used, most) = (group.number(&file(files.used)), group.number(&file(files.most)));
        (size, json!({ "usage": used, "max": most, "failcnt": failed }))
    };
    Value::Object(names.filter_map(size).map(of).collect())
}

fn resctrl(group: &Group) -> Value {
    let text = group.text("schemata");
    let line = |name: &str| text.lines().map(str::trim).find(|line| line.starts_with(name));
    json!({ "l3_cache_schema": line("L3:"), "mem_bw_schema": line("MB:") })
}

/// `DEVICE hca_handle=NUMBER hca_object=NUMBER` a line.
fn rdma(group: &Group, file: &str) -> Vec<Value> {
    let line = |line: &str| {
        let (device, pairs) = line.split_once(' ')?;
        let value = |name: &str| {
            let value = pairs.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.map_or(0, number).min(u64::from(u32::MAX))
        };
        Some(json!({ "device": device, "hca_handles": value("hca_handle"), "hca_objects": value("hca_object") }))
    };
    group.text(file).lines().filter_map(line).collect()
}

/// Those of the container's network namespace but for its loopback, as it counts them (proc_pid_net(5), `dev`).
fn interfaces(pid: i32) -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("net/dev")).unwrap_or_default();
    let interface = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let counts: Vec<u64> = counts.split_whitespace().map(number).collect();
        let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] =
            counts[..]
        else {
            return None;
        };
        (name.trim() != "lo").then(|| {
            json!({
                "Name": name.trim(), "RxBytes": rx_bytes, "RxPackets": rx_packets, "RxErrors": rx_errors,
                "RxDropped": rx_dropped, "TxBytes": tx_bytes, "TxPackets": tx_packets, "TxErrors": tx_errors,
                "TxDropped": tx_dropped,
            })
        })
    };
    text.lines().skip(2).filter_map(interface).collect()
}
