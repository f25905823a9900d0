//! Intel RDT: shares of caches and of memory bandwidth (Documentation/filesystems/resctrl.rst). No cgroups, but
//! directories that processes enter in the same way.
//!
//! Invariant: a group that was named may be others', too, so only those that bear the container's id go with it
//! (config-linux.md, "IntelRdt").

use super::limit::Check;
use super::step::{Create, HostStep, InitStep, Version};
use super::{Plan, limits, value};
use crate::Rejected;
use spec::runtime::IntelRdt;

/// What there is of it here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resctrl {
    /// Where the file system is mounted.
    pub mount: Option<String>,
    /// What the container's group is allowed, if it exists.
    pub schemata: Option<String>,
}

/// The container's group below the mount; empty is the default one.
///
/// # Errors
/// It is no name of a directory.
pub fn group<'a>(asked: &'a IntelRdt, id: &'a str) -> Result<&'a str, Rejected> {
    match asked.clos_id.as_str() {
        "" => Ok(id),
        "/" => Ok(""),
        name if matches!(name, "." | "..") || name.contains(['/', '\n']) => {
            Err(Rejected::new(format!("cannot use the closID {name:?}"), "it is no name of a directory"))
        }
        name => Ok(name),
    }
}

/// The steps, which come after those of the cgroups; and the directories that every process of the container enters.
///
/// # Errors
/// The kernel or the processor has none; a group that is not there, or is allowed something else.
pub fn plan(asked: &IntelRdt, id: &str, host: &Resctrl, plan: &mut Plan) -> Result<Vec<String>, Rejected> {
    let name = group(asked, id)?;
    let what = format!("cannot put the container into the resctrl group {name:?}");
    let refuse = |why: &str| Err(Rejected::new(what.clone(), why));
    let Some(mount) = &host.mount else {
        let none = Rejected::new("cannot use linux.intelRdt", "no resctrl file system is mounted");
        return Err(none.hint("mount -t resctrl resctrl /sys/fs/resctrl, where the processor has Intel RDT"));
    };
    let lines = schemata(asked);
    let dir = if name.is_empty() { mount.clone() } else { format!("{mount}/{name}") };
    let is_named = !asked.clos_id.is_empty();
    match &host.schemata {
        Some(_) if !is_named => return refuse("there is such a group already"),
        Some(allowed) => {
            if let Some(other) = lines.iter().find(|line| !allows(allowed, line)) {
                return refuse(&format!("it is allowed something else than {other}"));
            }
        }
        None if is_named && lines.is_empty() => return refuse("there is no such group, and no schemata to make it"),
        None => {
            make(plan, mount, name, !is_named);
            let line = |line: String| value("caches and memory bandwidth", "schemata", line, Check::Told);
            limits(plan, &dir, lines.into_iter().map(line));
        }
    }
    let mut groups = vec![dir];
    if asked.enable_monitoring {
        let above = format!("{}/mon_groups", groups[0]);
        make(plan, &above, id, true);
        groups.push(format!("{above}/{id}"));
    }
    plan.join.extend(groups.iter().map(|dir| InitStep::Join { file: format!("{dir}/tasks") }));
    Ok(groups)
}

fn make(plan: &mut Plan, above: &str, name: &str, ours: bool) {
    let version = Version::Resctrl { ours };
    let create = Create { anchor: above.to_owned(), components: vec![name.to_owned()], keep: 0, version };
    plan.prepare.push(HostStep::Create(create));
}

/// The lines for the group's file of that name.
#[must_use]
pub fn schemata(asked: &IntelRdt) -> Vec<String> {
    if !asked.schemata.is_empty() {
        return asked.schemata.clone();
    }
    let both = [&asked.l3_cache_schema, &asked.mem_bw_schema];
    both.into_iter().flat_map(|text| text.lines()).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// `L3:0=ff;1=f` is in force; what the line leaves out is not asked for. The kernel writes masks with leading zeros.
fn allows(schemata: &str, line: &str) -> bool {
    let parse = |line: &str| {
        let (resource, domains) = line.trim().split_once(':')?;
        let domain = |domain: &str| {
            let (id, value) = domain.split_once('=')?;
            Some((id.trim().trim_start_matches('0').to_owned(), value.trim().trim_start_matches('0').to_lowercase()))
        };
        Some((resource.trim().to_owned(), domains.split(';').map(domain).collect::<Option<Vec<_>>>()?))
    };
    let Some((resource, asked)) = parse(line) else { return false };
    let have = schemata.lines().filter_map(parse).find(|(name, _)| *name == resource);
    have.is_some_and(|(_, have)| asked.iter().all(|domain| have.contains(domain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str) -> IntelRdt {
        serde_json::from_str(json).unwrap()
    }

    fn planned(json: &str, schemata: Option<&str>) -> Result<String, String> {
        let host = Resctrl { mount: Some("/r".into()), schemata: schemata.map(str::to_owned) };
        let mut plan = Plan::default();
        super::plan(&asked(json), "id", &host, &mut plan).map_err(|error| error.to_string())?;
        let mut lines: Vec<String> = plan.prepare.iter().map(HostStep::shell).collect();
        lines.extend(plan.join.iter().map(InitStep::shell));
        let undo = plan.prepare.iter().flat_map(HostStep::undo).map(|verb| verb.words().join(" "));
        lines.extend(undo);
        Ok(lines.join("\n"))
    }

    #[test]
    fn groups() {
        let schema = r#"{ "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=50" }"#;
        let own = "mkdir /r/id\necho L3:0=f > /r/id/schemata\necho MB:0=50 > /r/id/schemata\n\
                   echo 0 > /r/id/tasks\nremove-cgroup /r /r/id";
        assert_eq!(planned(schema, None).as_deref(), Ok(own));
        assert!(planned(schema, Some("L3:0=f")).unwrap_err().contains("already"));
        let named = r#"{ "closID": "gold", "schemata": ["L3:0=f"] }"#;
        let made = "mkdir /r/gold\necho L3:0=f > /r/gold/schemata\necho 0 > /r/gold/tasks";
        assert_eq!(planned(named, None).as_deref(), Ok(made));
        assert_eq!(planned(named, Some("MB:0=100\nL3:0=00f;1=ff")).as_deref(), Ok("echo 0 > /r/gold/tasks"));
        assert!(planned(named, Some("L3:0=ff;1=ff")).unwrap_err().contains("something else"));
        let monitored = r#"{ "closID": "/", "enableMonitoring": true }"#;
        let expected = "mkdir /r/mon_groups/id\necho 0 > /r/tasks\necho 0 > /r/mon_groups/id/tasks\n\
                        remove-cgroup /r/mon_groups /r/mon_groups/id";
        assert_eq!(planned(monitored, Some("L3:0=ff")).as_deref(), Ok(expected));
        for (bad, why) in [(r#"{ "closID": "gold" }"#, "no such group"), (r#"{ "closID": "../x" }"#, "no name")] {
            assert!(planned(bad, None).unwrap_err().contains(why), "{bad}");
        }
        let error = super::plan(&asked("{}"), "id", &Resctrl::default(), &mut Plan::default()).unwrap_err();
        assert_eq!(error.why, "no resctrl file system is mounted");
    }
}
