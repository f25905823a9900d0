//! `sampan stats`: what containers use.
//!
//! What no controller counts for a container (blkio and pids, where it has no limit of theirs on cgroup v1) is summed up
//! over its processes: of those that have ended it knows nothing.

use crate::containers::{self, Listed};
use crate::model::Model;
use crate::paths::Paths;
use runtime::observe::{self, process};
use runtime::usage::{self, Places};
use serde_json::Value;
use spec::runtime::NamespaceKind;
use std::time::Instant;

/// Of one moment. Bytes, but for `cpu`: nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    at: Instant,
    cpu: u64,
    pub memory: u64,
    /// The container's, or what the machine has.
    pub limit: u64,
    pub received: u64,
    pub sent: u64,
    pub read: u64,
    pub written: u64,
    pub processes: u64,
}

impl Sample {
    /// `None`: it does not run.
    #[must_use]
    pub fn of(paths: &Paths, listed: &Listed) -> Option<Self> {
        let record = &listed.record;
        let first = containers::first(paths, record, "").ok()?;
        let model = Model::load(paths, record).ok()?;
        let places = Places { v2: model.cgroup.as_deref(), v1: &model.cgroups, resctrl: None, pid: first.pid };
        let all = usage::of(places);
        let seen = process::Sum::of(&crate::top::pids(&model, first.pid).ok()?);
        let (received, sent) = network(&all, first.pid);
        let (read, written) = blocks(&all).unwrap_or((seen.read, seen.written));
        let counted = |pointer: &str| all.pointer(pointer).and_then(Value::as_u64).filter(|count| *count > 0);
        Some(Self {
            at: Instant::now(),
            cpu: counted("/cpu/usage/total").unwrap_or(seen.cpu),
            memory: memory(&all).unwrap_or(seen.resident),
            limit: counted("/memory/usage/limit").unwrap_or(u64::MAX).min(observe::memory()),
            received,
            sent,
            read,
            written,
            processes: counted("/pids/current").unwrap_or(seen.threads),
        })
    }

    /// Percent of one CPU since then.
    #[must_use]
    pub fn load(&self, before: &Self) -> f64 {
        let passed = self.at.saturating_duration_since(before.at).as_secs_f64();
        let used = self.cpu.saturating_sub(before.cpu) as f64 / 1e9;
        if passed > 0.0 { used * 100.0 / passed } else { 0.0 }
    }
}

/// As docker: without the files that are kept in memory as long as there is room.
fn memory(all: &Value) -> Option<u64> {
    let memory = &all["memory"];
    let used = memory["usage"]["usage"].as_u64().filter(|used| *used > 0)?;
    let raw = &memory["raw"];
    let files = raw["total_inactive_file"].as_u64().or_else(|| raw["inactive_file"].as_u64()).unwrap_or(0);
    Some(if files < used { used - files } else { used })
}

/// Of a network of its own.
fn network(all: &Value, first: i32) -> (u64, u64) {
    if !observe::foreign_namespaces(first).contains(&NamespaceKind::Network) {
        return (0, 0);
    }
    let links = all["network_interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sum = |key: &str| links.iter().filter_map(|link| link[key].as_u64()).sum();
    (sum("RxBytes"), sum("TxBytes"))
}

fn blocks(all: &Value) -> Option<(u64, u64)> {
    let entries = all["blkio"]["ioServiceBytesRecursive"].as_array().filter(|entries| !entries.is_empty())?;
    let sum = |op: &str| {
        let own = entries.iter().filter(|entry| entry["op"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(op)));
        own.filter_map(|entry| entry["value"].as_u64()).sum()
    };
    Some((sum("read"), sum("write")))
}

/// All that run, and with `all` those that do not, too.
#[must_use]
pub fn containers(paths: &Paths, all: bool) -> Vec<Listed> {
    containers::list(paths).into_iter().filter(|listed| all || listed.running).collect()
}
