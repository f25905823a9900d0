//! What a config.json of others says that cannot be meant, whatever the host.
//!
//! Invariant: found before anything is looked at or made. What only the kernel can tell is left to it.

use crate::Rejected;
use spec::runtime::{Config, Device, Hook, IdMapping, Linux, NamespaceKind, Process};

/// # Errors
/// The first that cannot be meant.
pub fn check(config: &Config) -> Result<(), Rejected> {
    config.process.as_ref().map_or(Ok(()), check_process)?;
    for (name, what) in [(&config.hostname, "hostname"), (&config.domainname, "domainname")] {
        // sethostname(2).
        if name.len() > 64 {
            return refused(what, "it is longer than 64 bytes");
        }
        no_nul(what, name)?;
    }
    if config.mounts.iter().any(|mount| mount.destination.is_empty()) {
        return refused("mounts", "one has no destination");
    }
    let hooks = config.hooks.iter().flat_map(|hooks| {
        let early = [&hooks.prestart, &hooks.create_runtime, &hooks.create_container];
        early.into_iter().chain([&hooks.start_container, &hooks.poststart, &hooks.poststop]).flatten()
    });
    hooks.into_iter().try_for_each(check_hook)?;
    config.linux.as_ref().map_or(Ok(()), check_linux)
}

/// # Errors
/// The first that cannot be meant.
pub fn check_process(process: &Process) -> Result<(), Rejected> {
    absolute("process.cwd", &process.cwd)?;
    check_env("process.env", &process.env)?;
    let user = &process.user;
    // To setresuid(2) and setgroups(2) it is none.
    if let Some(none) = [&user.uid, &user.gid].into_iter().chain(&user.additional_gids).find(|id| **id == u32::MAX) {
        return refused("process.user", &format!("{none} is no id"));
    }
    if user.umask.is_some_and(|mask| mask > 0o777) {
        return refused("process.user.umask", "it has more than the permission bits");
    }
    if process.oom_score_adj.is_some_and(|value| !(-1000..=1000).contains(&value)) {
        return refused("process.oomScoreAdj", "it is not between -1000 and 1000");
    }
    for (number, limit) in process.rlimits.iter().enumerate() {
        if process.rlimits[..number].iter().any(|other| other.kind == limit.kind) {
            return refused("process.rlimits", &format!("{} is named twice", limit.kind));
        }
    }
    Ok(())
}

fn refused<T>(what: &str, why: &str) -> Result<T, Rejected> {
    Err(Rejected::new(format!("cannot use {what} of config.json"), why))
}

fn absolute(what: &str, path: &str) -> Result<(), Rejected> {
    if path.starts_with('/') { Ok(()) } else { refused(what, &format!("{path:?} is not an absolute path")) }
}

fn no_nul(what: &str, text: &str) -> Result<(), Rejected> {
    if text.contains('\0') { refused(what, &format!("{text:?} has a NUL byte")) } else { Ok(()) }
}

fn check_env(what: &str, env: &[String]) -> Result<(), Rejected> {
    match env.iter().find(|variable| variable.find('=').is_none_or(|at| at == 0)) {
        Some(variable) => refused(what, &format!("{variable:?} is not NAME=VALUE")),
        None => Ok(()),
    }
}

fn check_hook(hook: &Hook) -> Result<(), Rejected> {
    absolute("hooks", &hook.path)?;
    // Here, because what is called when all is over has nobody left to tell.
    [&hook.path]
        .into_iter()
        .chain(&hook.args)
        .chain(hook.env.iter().flatten())
        .try_for_each(|text| no_nul("hooks", text))?;
    check_env("hooks", hook.env.as_deref().unwrap_or_default())?;
    if hook.timeout.is_some_and(|seconds| seconds < 1) {
        return refused("hooks", "a timeout is not above 0");
    }
    Ok(())
}

fn check_linux(linux: &Linux) -> Result<(), Rejected> {
    for namespace in &linux.namespaces {
        if let Some(path) = &namespace.path {
            absolute("linux.namespaces", &path.to_string_lossy())?;
        }
    }
    check_maps("linux.uidMappings", &linux.uid_mappings)?;
    check_maps("linux.gidMappings", &linux.gid_mappings)?;
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    if mapped && !linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::User) {
        return refused("linux.uidMappings and gidMappings", "there is no user namespace");
    }
    linux.devices.iter().try_for_each(check_device)?;
    linux.masked_paths.iter().try_for_each(|path| absolute("linux.maskedPaths", path))?;
    linux.readonly_paths.iter().try_for_each(|path| absolute("linux.readonlyPaths", path))
}

/// Of user_namespaces(7): no empty range, none beyond the last id, none that meets another.
fn check_maps(what: &str, maps: &[IdMapping]) -> Result<(), Rejected> {
    let overlap = |a: u32, b: u32, one: &IdMapping, other: &IdMapping| {
        u64::from(a) < u64::from(b) + u64::from(other.size) && u64::from(b) < u64::from(a) + u64::from(one.size)
    };
    for (number, map) in maps.iter().enumerate() {
        let end = u64::from(map.container_id.max(map.host_id)) + u64::from(map.size);
        if map.size == 0 || end > u64::from(u32::MAX) {
            return refused(what, "a range is empty, or goes beyond the last id");
        }
        let meets = |other: &IdMapping| {
            overlap(map.container_id, other.container_id, map, other) || overlap(map.host_id, other.host_id, map, other)
        };
        if maps[..number].iter().any(meets) {
            return refused(what, "two ranges have ids in common");
        }
    }
    Ok(())
}

fn check_device(device: &Device) -> Result<(), Rejected> {
    absolute("linux.devices", &device.path)?;
    if !matches!(device.kind.as_str(), "c" | "u" | "b" | "p") {
        return refused("linux.devices", &format!("there is no device type {}", device.kind));
    }
    // A dev_t of the kernel's: 12 and 20 bits.
    for (number, bits) in [(device.major, 12), (device.minor, 20)] {
        if !(0..1 << bits).contains(&number) {
            return refused("linux.devices", &format!("{number} is no number of a device"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn ranges_of_ids() {
        let json =
            |maps: &str| format!(r#"{{"linux": {{"namespaces": [{{"type": "user"}}], "gidMappings": [{maps}]}}}}"#);
        let is_ok = |maps: &str| check(&serde_json::from_str(&json(maps)).unwrap()).is_ok();
        let map = |inside: u32, outside: u32, size: u32| {
            format!(r#"{{"containerID": {inside}, "hostID": {outside}, "size": {size}}}"#)
        };
        assert!(is_ok(&format!("{},{}", map(0, 1000, 1), map(1, 100_000, 65536))));
        assert!(is_ok(&map(0, 0, u32::MAX)));
        for (first, second) in
            [((0, 1, 2), (1, 9, 1)), ((0, 5, 2), (7, 6, 9)), ((0, 1, 0), (1, 2, 1)), ((9, 9, u32::MAX), (0, 0, 1))]
        {
            let maps = format!("{},{}", map(first.0, first.1, first.2), map(second.0, second.1, second.2));
            assert!(!is_ok(&maps), "{maps}");
        }
    }
}
