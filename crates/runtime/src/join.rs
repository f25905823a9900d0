//! One more process for a container that runs: what is looked at before it is planned.
//!
//! Invariant: reads only. By what the container's first process is now, not by what was asked for when it was made.

use crate::error::Result;
use crate::observe;
use crate::process::Process;
use plan::Plan;
use plan::capability::bits;
use plan::cgroup::Enter;
use plan::host::Host;
use plan::seccomp::Program;
use spec::runtime::{self, MemoryPolicy, NamespaceKind, Personality, SeccompSection};
use std::collections::BTreeSet;

/// The container, as who made it has kept it.
#[derive(Debug)]
pub struct Container<'a> {
    pub first: Process,
    /// Its root is not that of its mount namespace.
    pub chrooted: bool,
    /// Where the process is to be on cgroup v2, and on v1.
    pub cgroup: Option<String>,
    pub cgroups: Vec<String>,
    /// By whom, where the caller may not put it there.
    pub enter: Option<Enter>,
    pub personality: Option<&'a Personality>,
    pub memory: Option<&'a MemoryPolicy>,
    pub filter: Option<&'a SeccompSection>,
    /// The caller's supplementary groups stay, instead of the process's own.
    pub keeps_groups: bool,
}

/// The plan, and what the process asks for in vain. `compiled`: what the filter was made to before; `foreground`: the
/// process ends with the one that started it.
///
/// # Errors
/// What can be wrong with the process on this host.
pub fn plan(
    container: Container<'_>,
    process: &mut runtime::Process,
    compiled: impl FnOnce(&Host) -> Option<Program>,
    foreground: bool,
) -> Result<(Plan, Vec<String>)> {
    let Process { pid, start } = container.first;
    let namespaces = observe::foreign_namespaces(pid);
    let elsewhere = namespaces.contains(&NamespaceKind::User);
    let lacking = grant(process, elsewhere)?;
    let mut host = observe::host()?;
    if elsewhere {
        host.setgroups = observe::may_set_groups(&pid.to_string());
    }
    host.setgroups &= !container.keeps_groups;
    let compiled = compiled(&host);
    let plan = plan::join::plan(plan::join::Input {
        process,
        personality: container.personality,
        memory: container.memory,
        filter: container.filter,
        compiled: compiled.as_ref(),
        host: &host,
        first: (pid, start),
        namespaces,
        chrooted: container.chrooted,
        cgroup: container.cgroup,
        cgroups: container.cgroups,
        enter: container.enter,
        foreground,
    })?;
    Ok((plan, lacking))
}

/// What cannot be given is left out and told (config.md, "process.capabilities"): what the kernel does not know, and
/// what the caller lacks, unless the process is in another user namespace than the caller.
///
/// # Errors
/// The kernel's.
pub fn grant(process: &mut runtime::Process, elsewhere: bool) -> Result<Vec<String>> {
    let Some(sets) = &mut process.capabilities else { return Ok(Vec::new()) };
    let given = if elsewhere { u64::MAX } else { observe::capabilities()? };
    let mut lacking = BTreeSet::new();
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted, &mut sets.inheritable, &mut sets.ambient]
    {
        lacking.extend(set.extract_if(.., |name| bits(std::slice::from_ref(name)) & given == 0));
    }
    Ok(lacking.iter().map(|name| format!("cannot grant {name}: it is unknown, or the caller has it not")).collect())
}
