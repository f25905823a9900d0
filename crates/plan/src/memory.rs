//! On which memory nodes a process's pages are: names to numbers.

use crate::{Rejected, list};
use spec::runtime::MemoryPolicy;

/// linux/mempolicy.h, by number.
pub const MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

pub const FLAGS: [&str; 3] = ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];
/// The bit of the first; the others follow.
const FIRST_FLAG: usize = 13;

/// What set_mempolicy(2) takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// With its flags.
    pub mode: u32,
    pub nodes: Vec<u64>,
}

/// # Errors
/// A mode or flag that there is not; nodes that are none, or not for the mode.
pub(crate) fn policy(asked: &MemoryPolicy) -> Result<Policy, Rejected> {
    // In runc's words, which its callers look for.
    let refused =
        |what: String, why: &str| Rejected::new(format!("cannot apply the invalid memory policy {what}"), why);
    let find = |what: &str, name: &str, names: &[&str]| {
        let found = names.iter().position(|known| *known == name);
        found.ok_or_else(|| refused(format!("{what} {name:?}"), "there is no such").hint(names.join(", ")))
    };
    let mode = find("mode", &asked.mode, &MODES)?;
    let nodes = list::mask(&asked.nodes).map_err(|why| refused(format!("nodes {:?}", asked.nodes), &why))?;
    let flag = |flags: u32, name: &String| Ok::<_, Rejected>(flags | 1 << (FIRST_FLAG + find("flag", name, &FLAGS)?));
    let flags = asked.flags.iter().try_fold(0, flag)?;
    let why = match (asked.mode.as_str(), list::count(&nodes)) {
        ("MPOL_DEFAULT" | "MPOL_LOCAL", number @ 1..) => format!("the mode requires 0 nodes but got {number}"),
        // Its node is the one that the process is on.
        ("MPOL_PREFERRED" | "MPOL_DEFAULT" | "MPOL_LOCAL", 0) | (_, 1..) => {
            return Ok(Policy { mode: mode as u32 | flags, nodes });
        }
        (_, 0) => "the mode requires at least one node but got 0".to_owned(),
    };
    Err(refused(format!("nodes {:?}", asked.nodes), &why))
}

#[cfg(test)]
mod tests {
    use super::policy;

    #[test]
    fn names_become_numbers_or_are_refused() {
        let plan = |json: &str| policy(&serde_json::from_str(json).unwrap());
        for (json, mode, nodes) in [
            (r#"{"mode": "MPOL_DEFAULT"}"#, 0, &[][..]),
            (r#"{"mode": "MPOL_PREFERRED"}"#, 1, &[]),
            (r#"{"mode": "MPOL_BIND", "nodes": "0,2", "flags": ["MPOL_F_STATIC_NODES"]}"#, 2 | 1 << 15, &[5]),
            (r#"{"mode": "MPOL_PREFERRED", "nodes": "1", "flags": ["MPOL_F_RELATIVE_NODES"]}"#, 1 | 1 << 14, &[2]),
            (r#"{"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0-1"}"#, 6, &[3]),
        ] {
            let policy = plan(json).unwrap();
            assert_eq!((policy.mode, policy.nodes.as_slice()), (mode, nodes), "{json}");
        }
        for (json, what) in [
            (r"{}", "invalid memory policy mode"),
            (r#"{"mode": "BIND", "nodes": "0"}"#, "invalid memory policy mode"),
            (r#"{"mode": "MPOL_BIND", "nodes": "0", "flags": ["x"]}"#, "invalid memory policy flag"),
            (r#"{"mode": "MPOL_BIND", "nodes": "0-9876543210"}"#, "invalid memory policy node"),
            (r#"{"mode": "MPOL_LOCAL", "nodes": "0"}"#, "mode requires 0 nodes but got 1"),
            (r#"{"mode": "MPOL_INTERLEAVE"}"#, "at least one node"),
        ] {
            let error = plan(json).unwrap_err().to_string();
            assert!(error.contains(what), "{json}: {error}");
        }
    }
}
