//! The CPUs on which a process may be (sched_setaffinity(2)).

use crate::{Rejected, list};
use spec::runtime::Process;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus {
    /// As taskset(1) takes it.
    pub list: String,
    pub mask: Vec<u64>,
}

/// What `execCPUAffinity` asks for: until the process is in the container's cgroup, and from then on.
#[derive(Debug, Default)]
pub(crate) struct Affinity {
    pub(crate) initial: Option<Cpus>,
    pub(crate) last: Option<Cpus>,
}

/// # Errors
/// A list that is none.
pub(crate) fn affinity(process: &Process) -> Result<Affinity, Rejected> {
    let Some(asked) = &process.exec_cpu_affinity else { return Ok(Affinity::default()) };
    Ok(Affinity { initial: cpus("initial", &asked.initial)?, last: cpus("final", &asked.last)? })
}

fn cpus(which: &str, list: &str) -> Result<Option<Cpus>, Rejected> {
    if list.is_empty() {
        return Ok(None);
    }
    let refused = |why: String| Rejected::new(format!("cannot use the {which} CPU affinity {list:?}"), why);
    let mask = list::mask(list).map_err(refused)?;
    if list::count(&mask) == 0 {
        return Err(refused("it has no CPU".to_owned()));
    }
    Ok(Some(Cpus { list: list.to_owned(), mask }))
}
