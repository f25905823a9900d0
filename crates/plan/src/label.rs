//! SELinux labels of a bundle: of its process, and of the file systems that are made for it.
//!
//! Must not: make one up. Which are given, and how files of the root are labelled, is the caller's business.

use crate::mounts::{Mount, Source};
use crate::step::InitStep;

/// The mount, and what is to be done after it. A file system whose files have no labels of their own gets one for all of
/// them; as with runc, proc and sysfs keep theirs, by which the policy tells their files apart, and so do cgroups.
pub(crate) fn mount(mut mount: Mount, label: &str) -> Vec<InitStep> {
    let mut after = None;
    if let (Source::Filesystem { fstype, data, .. }, false) = (&mut mount.source, label.is_empty()) {
        match fstype.as_str() {
            "proc" | "sysfs" | "cgroup" | "cgroup2" => {}
            // It knows no such option (Linux has it for those that can be mounted more than once only).
            "mqueue" => after = Some(InitStep::Label { path: mount.destination.clone(), label: label.to_owned() }),
            // What the mount itself asks for goes first.
            _ if data.iter().any(|(key, _)| is_context(key)) => {}
            _ => {
                data.push(("context".to_owned(), Some(label.to_owned())));
                mount.options.push(format!("context=\"{label}\""));
            }
        }
    }
    std::iter::once(InitStep::Mount(mount)).chain(after).collect()
}

fn is_context(option: &str) -> bool {
    matches!(option, "context" | "fscontext" | "defcontext" | "rootcontext")
}

#[cfg(test)]
mod tests {
    use super::mount;
    use crate::mounts::parse;
    use crate::step::InitStep;

    #[test]
    fn what_is_labelled_and_how() {
        let steps = |json: &str| mount(parse(&serde_json::from_str(json).unwrap()).unwrap(), "u:r:t:s0:c1,c2");
        let shell = |json: &str| steps(json).iter().map(InitStep::shell).collect::<Vec<_>>().join("\n");
        let of = |kind: &str, options: &str| {
            let kind = format!(r#""destination": "/x", "type": "{kind}", "source": "s""#);
            shell(&format!("{{{kind}, \"options\": [{options}]}}"))
        };
        assert!(of("tmpfs", "").contains("context=\"u:r:t:s0:c1,c2\""));
        assert!(of("devpts", "\"gid=5\"").contains("gid=5,context="));
        assert!(!of("tmpfs", "\"context=other\"").contains("u:r:t"));
        for kind in ["proc", "sysfs", "cgroup2"] {
            assert!(!of(kind, "").contains("u:r:t"), "{kind}");
        }
        let queue = of("mqueue", "");
        assert!(!queue.contains("context") && queue.ends_with("chcon u:r:t:s0:c1,c2 \"$ROOT\"/x"), "{queue}");
        assert!(!of("bind", "").contains("u:r:t"));
    }
}
