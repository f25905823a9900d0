//! What there is: `state`, `list`, `ps`.

use crate::record::Record;
use crate::root::Root;
use crate::{Id, io};
use runtime::Result;
use serde::Serialize;
use spec::runtime::{State, Status};
use std::collections::BTreeMap;

/// The spec's state, and what runc adds to it; in its order, for those who look for text.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    pub oci_version: String,
    pub id: String,
    pub pid: i32,
    pub status: Status,
    pub bundle: String,
    pub rootfs: String,
    /// RFC 3339.
    pub created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Who made it, by name where it has one.
    pub owner: String,
}

/// # Errors
/// There is no such container.
pub fn state(root: &Root, id: &Id) -> Result<Seen> {
    let (home, record) = Record::load(root, id, &format!("cannot find the container {id}"))?;
    let State { oci_version, id, status, pid, bundle, annotations } = record.state(record.status(&home));
    let Record { rootfs, created, .. } = record;
    Ok(Seen { oci_version, id, pid, status, bundle, rootfs, created, annotations, owner: owner(record.owner) })
}

/// By id. What goes away while we look is left out.
///
/// # Errors
/// The root cannot be read; one that the caller named is not there.
pub fn list(root: &Root) -> Result<Vec<Seen>> {
    let entries = match std::fs::read_dir(root.path()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && root.is_usual() => return Ok(Vec::new()),
        entries => entries.map_err(io(format!("cannot read {}", root.path().display())))?,
    };
    let id = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<Id>().ok();
    let mut ids: Vec<Id> = entries.filter_map(id).collect();
    ids.sort();
    Ok(ids.iter().filter_map(|id| state(root, id).ok()).collect())
}

/// The processes of a container, by the numbers that they have here.
///
/// # Errors
/// There is no such container.
pub fn processes(root: &Root, id: &Id) -> Result<Vec<i32>> {
    let (_, record) = Record::load(root, id, &format!("cannot list the processes of the container {id}"))?;
    match record.any_cgroup() {
        Some(cgroup) => Ok(runtime::apply::cgroup::processes(cgroup)?),
        None => Ok(record.process().lives().then_some(record.pid).into_iter().collect()),
    }
}

/// Not by getpwuid(3), which may load what a static program must not.
fn owner(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    passwd.lines().find_map(name).unwrap_or_else(|| format!("#{uid}"))
}
