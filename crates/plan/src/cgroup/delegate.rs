//! Who may divide what the container has: its own user, where he can see and write its cgroup (config-linux.md, "Cgroup
//! ownership").
//!
//! Invariant: on v2 only, and only of a cgroup that is the root of the container's own namespace.

use super::{AttachStep, HostStep, Plan};
use crate::ids::on_host;
use spec::runtime::{Config, Linux, Mount, NamespaceKind};

/// The last step, if it is one, of a plan that the machine's root made.
pub fn delegate(config: &Config, linux: &Linux, plan: &mut Plan) {
    let has = |kind| linux.namespaces.iter().any(|namespace| namespace.kind == kind);
    let own = |kind| linux.namespaces.iter().any(|namespace| namespace.kind == kind && namespace.path.is_none());
    let uid = config.process.as_ref().map_or(0, |process| process.user.uid);
    let owner = match (own(NamespaceKind::User), has(NamespaceKind::User)) {
        (true, _) => on_host(&linux.uid_mappings, uid),
        // What its ids are outside of another's namespace is not known.
        (false, true) => None,
        (false, false) => Some(uid),
    };
    let writable = own(NamespaceKind::Cgroup) && config.mounts.iter().any(is_writable);
    let (Some(dir), Some(uid)) = (&plan.cgroup.v2, owner.filter(|owner| *owner != 0)) else { return };
    if !writable || !plan.cgroup.v1.is_empty() {
        return;
    }
    let step = HostStep::Delegate { dir: dir.clone(), uid };
    if plan.attach.is_empty() {
        plan.prepare.push(step);
    } else {
        plan.attach.push(AttachStep::Host(step));
    }
}

fn is_writable(mount: &Mount) -> bool {
    let is_it = mount.source == "cgroup" && mount.destination.trim_end_matches('/') == "/sys/fs/cgroup";
    is_it && !mount.options.iter().any(|option| option == "ro")
}

#[cfg(test)]
mod tests {
    use super::delegate;
    use crate::cgroup::{Cgroup, Plan};

    fn planned(config: &str, v1: bool) -> Vec<String> {
        let config = serde_json::from_str(config).unwrap();
        let v1 = if v1 { vec![(vec!["memory".to_owned()], "/m".to_owned())] } else { Vec::new() };
        let cgroup = Cgroup { v2: Some("/c".into()), v2_controllers: Vec::new(), v1 };
        let mut plan = Plan { cgroup, ..Plan::default() };
        let spec::runtime::Config { linux: Some(linux), .. } = &config else { panic!("{config:?}") };
        delegate(&config, linux, &mut plan);
        plan.prepare.iter().map(|step| step.shell()).collect()
    }

    #[test]
    fn to_the_user_who_can_write_it() {
        let config = |options: &str, namespaces: &str, uid: u32| {
            format!(
                r#"{{ "ociVersion": "1.0.0", "process": {{ "args": ["x"], "cwd": "/", "user": {{ "uid": {uid}, "gid": 0 }} }},
                "mounts": [{{ "destination": "/sys/fs/cgroup", "source": "cgroup", "type": "cgroup", "options": [{options}] }}],
                "linux": {{ "namespaces": [{namespaces}],
                "uidMappings": [{{ "containerID": 0, "hostID": 100, "size": 10 }}] }} }}"#
            )
        };
        let both = r#"{ "type": "user" }, { "type": "cgroup" }"#;
        assert_eq!(
            planned(&config("", both, 3), false),
            ["chown 103 /c; (cd /c && chown 103 $(ls -d $(cat /sys/kernel/cgroup/delegate) 2>/dev/null))"]
        );
        for (config, v1) in [
            (config("", both, 3), true),
            (config(r#""ro""#, both, 3), false),
            (config("", both, 30), false),
            (config("", r#"{ "type": "user" }"#, 3), false),
            (config("", r#"{ "type": "user", "path": "/x" }, { "type": "cgroup" }"#, 3), false),
            (config("", r#"{ "type": "cgroup" }"#, 0), false),
        ] {
            assert_eq!(planned(&config, v1), [""; 0], "{config}");
        }
    }
}
