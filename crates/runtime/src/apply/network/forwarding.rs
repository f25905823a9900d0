//! Forwarding on, and back to what it was (kernel documentation: networking/ip-sysctl).
//!
//! Writing the main switch also changes every link's own switch and, for IPv4, `accept_redirects`. What differs from
//! what the main switch would set is written down before, in the order in which it is put back.

use super::state::{host, names, replace, sysctl};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use sys::{Error, Result};

const SWITCH4: &str = "/proc/sys/net/ipv4/ip_forward";
const SWITCH6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";
const LINKS4: &str = "/proc/sys/net/ipv4/conf";
const LINKS6: &str = "/proc/sys/net/ipv6/conf";

type Value = (PathBuf, String);

pub(super) fn switch_on(state_dir: &Path, ipv6: bool) -> Result<()> {
    let off4 = sysctl(Path::new(SWITCH4))?.as_deref() == Some("0");
    let off6 = ipv6 && sysctl(Path::new(SWITCH6))?.as_deref() == Some("0");
    if !off4 && !off6 {
        return Ok(());
    }
    let listeners = if off6 { listeners()? } else { Vec::new() };
    let mut before = Vec::new();
    if off4 {
        before.extend(before4()?);
    }
    if off6 {
        before.extend(before6()?);
        before.extend(listeners.iter().map(|path| (path.clone(), "1".to_owned())));
    }
    remember(state_dir, before)?;
    // First, because a router that does not listen loses the default route that it was told of.
    listeners.iter().try_for_each(|path| write(path, "2"))?;
    if off4 {
        write(Path::new(SWITCH4), "1")?;
    }
    if off6 {
        write(Path::new(SWITCH6), "1")?;
    }
    Ok(())
}

fn before4() -> Result<Vec<Value>> {
    let mut before = vec![(PathBuf::from(SWITCH4), "0".to_owned())];
    let redirects = Path::new(LINKS4).join("all/accept_redirects");
    before.extend(sysctl(&redirects)?.map(|value| (redirects, value)));
    before.extend(links_with(LINKS4, "forwarding", "1")?.into_iter().map(|path| (path, "1".to_owned())));
    Ok(before)
}

fn before6() -> Result<Vec<Value>> {
    let mut before = vec![(PathBuf::from(SWITCH6), "0".to_owned())];
    before.extend(links_with(LINKS6, "forwarding", "1")?.into_iter().map(|path| (path, "1".to_owned())));
    Ok(before)
}

/// Links that would stop to listen to router advertisements. Not `default`: it would make listeners of links that come
/// later, whatever they are.
fn listeners() -> Result<Vec<PathBuf>> {
    let real = |path: &PathBuf| !["all", "default"].iter().any(|name| path.starts_with(Path::new(LINKS6).join(name)));
    Ok(links_with(LINKS6, "accept_ra", "1")?.into_iter().filter(real).collect())
}

fn links_with(directory: &str, file: &str, value: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for link in names(Path::new(directory))? {
        let path = Path::new(directory).join(link).join(file);
        if sysctl(&path)?.as_deref() == Some(value) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What is written down already is older, so it stays.
fn remember(state_dir: &Path, new: Vec<Value>) -> Result<()> {
    let mut known = remembered(state_dir);
    for (path, value) in new {
        if !known.iter().any(|(other, _)| *other == path) {
            known.push((path, value));
        }
    }
    let line = |(path, value): &Value| format!("{} {value}\n", path.display());
    replace(&host(state_dir), &known.iter().map(line).collect::<String>())
}

fn remembered(state_dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(host(state_dir)).unwrap_or_default();
    let value = |line: &str| line.split_once(' ').map(|(path, value)| (PathBuf::from(path), value.to_owned()));
    text.lines().filter_map(value).collect()
}

/// Puts back what [`switch_on`] found; a link that has gone needs nothing.
pub(super) fn put_back(state_dir: &Path) -> Result<()> {
    for (path, value) in remembered(state_dir) {
        if sysctl(&path)?.is_some_and(|now| now != value) {
            write(&path, &value)?;
        }
    }
    Ok(())
}

/// The bridge's own: answers from containers may be for 127.0.0.1, and no container is a router.
pub(super) fn prepare_bridge(name: &str) -> Result<()> {
    write(&Path::new(LINKS4).join(name).join("route_localnet"), "1")?;
    write(&Path::new(LINKS6).join(name).join("accept_ra"), "0")
}

/// A file that is not there belongs to a link that has gone, or to a kernel without IPv6.
fn write(path: &Path, value: &str) -> Result<()> {
    match fs::write(path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(Error::of_io(|| format!("write({}, {value:?})", path.display()))),
    }
}
