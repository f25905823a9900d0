//! The clocks of a container that has a time namespace (time_namespaces(7)).

use crate::Rejected;
use crate::host::Host;
use spec::runtime::{Linux, NamespaceKind};

const CLOCKS: [&str; 2] = ["monotonic", "boottime"];

/// # Errors
/// Offsets of a namespace that is not the container's to set, or that are none.
pub(crate) fn check(linux: &Linux, host: &Host) -> Result<(), Rejected> {
    let namespace = linux.namespaces.iter().find(|namespace| namespace.kind == NamespaceKind::Time);
    if namespace.is_some() && !host.time_namespace {
        return Err(Rejected::new("cannot make a time namespace", "this kernel has none (CONFIG_TIME_NS)"));
    }
    if linux.time_offsets.is_empty() {
        return Ok(());
    }
    let refused = |why: &str| Err(Rejected::new("cannot set the linux.timeOffsets of config.json", why));
    match namespace {
        None => return refused("the container has no time namespace"),
        // Those of one that has processes are fixed.
        Some(namespace) if namespace.path.is_some() => return refused("the time namespace is not the container's own"),
        Some(_) => {}
    }
    for (clock, offset) in &linux.time_offsets {
        if !CLOCKS.contains(&clock.as_str()) {
            return refused(&format!("{clock:?} is neither monotonic nor boottime"));
        }
        if offset.nanosecs > 999_999_999 {
            return refused(&format!("{} nanoseconds are more than a second", offset.nanosecs));
        }
    }
    Ok(())
}

/// As /proc/PID/timens_offsets takes them.
pub(crate) fn lines(linux: &Linux) -> String {
    let line = |(clock, offset): (&String, &spec::runtime::TimeOffset)| {
        format!("{clock} {} {}\n", offset.secs, offset.nanosecs)
    };
    linux.time_offsets.iter().map(line).collect()
}

/// The options of unshare(1), which takes whole seconds.
pub(crate) fn options(lines: &str) -> String {
    let words = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    lines.lines().map(|line| format!(" --{}", words(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::{lines, options};

    #[test]
    fn as_the_kernel_and_the_shell_have_them() {
        let json = r#"{"timeOffsets": {"monotonic": {"secs": -7, "nanosecs": 5}, "boottime": {"secs": 9}}}"#;
        let lines = lines(&serde_json::from_str(json).unwrap());
        assert_eq!(lines, "boottime 9 0\nmonotonic -7 5\n");
        assert_eq!(options(&lines), " --boottime 9 --monotonic -7");
    }
}
