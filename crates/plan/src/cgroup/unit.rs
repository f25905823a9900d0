//! A container's scope of systemd's: its name, and the slice that it is in.
//!
//! Invariant: both are names of units, so that no path of a container can lead out of systemd's tree.

use super::CgroupPath;
use crate::Rejected;

/// `slice:prefix:name` of `linux.cgroupsPath`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub slice: String,
    /// `prefix-name.scope`
    pub name: String,
}

impl Unit {
    /// As runc reads it. `user`: of an ordinary user's systemd.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(path: &str, id: &str, user: bool) -> Result<Self, Rejected> {
        let refuse = |why: String| Err(Rejected::new(format!("cannot use {path:?} as a cgroup path"), why));
        let default = if user { "user.slice" } else { "system.slice" };
        let (slice, name) = match path.split(':').collect::<Vec<_>>()[..] {
            [""] => ("", format!("sampan-{id}.scope")),
            [_, _, name] if name.ends_with(".slice") => {
                return refuse(format!("{name} is a slice, which holds no processes"));
            }
            [slice, prefix, name] => (slice, format!("{prefix}-{name}.scope")),
            _ => {
                let why = "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups";
                return refuse(why.to_owned());
            }
        };
        let slice = match slice {
            "" => default,
            "-" => "-.slice",
            slice => slice,
        };
        // systemd.unit(5)
        let proper = |c: char| c.is_ascii_alphanumeric() || ":-_.\\".contains(c);
        if let Some(bad) = [slice, &name].into_iter().find(|name| !name.chars().all(proper) || name.len() > 255) {
            return refuse(format!("{bad:?} is no name of a unit"));
        }
        if slice_components(slice).is_none() {
            return refuse(format!("invalid slice name: {slice}"));
        }
        Ok(Self { slice: slice.to_owned(), name })
    }

    /// Where systemd puts it, whose own cgroup is `above`.
    ///
    /// # Errors
    /// As [`CgroupPath::parse`].
    pub fn path(&self, above: &str) -> Result<CgroupPath, Rejected> {
        let slices = slice_components(&self.slice).unwrap_or_default();
        CgroupPath::parse(&format!("{above}/{}/{}", slices.join("/"), self.name))
    }
}

/// A dash is systemd's slash: `a-b.slice` is in `a.slice` (systemd.slice(5)).
fn slice_components(slice: &str) -> Option<Vec<String>> {
    let name = slice.strip_suffix(".slice")?;
    if name == "-" {
        return Some(Vec::new());
    }
    let parts: Vec<&str> = name.split('-').collect();
    let up_to = |count: usize| format!("{}.slice", parts[..count].join("-"));
    parts.iter().all(|part| !part.is_empty()).then(|| (1..=parts.len()).map(up_to).collect())
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn slice_prefix_name() {
        let path = |path: &str, user| Unit::parse(path, "id", user)?.path("/").map(|path| path.to_string());
        for (written, user, expected) in [
            ("machine.slice:libpod:a1", false, "/machine.slice/libpod-a1.scope"),
            (":x:y", false, "/system.slice/x-y.scope"),
            (":x:y", true, "/user.slice/x-y.scope"),
            ("", true, "/user.slice/sampan-id.scope"),
            ("-:x:y", false, "/x-y.scope"),
            ("-.slice:x:y", false, "/x-y.scope"),
            ("a-b-c.slice:cri-containerd:id", false, "/a.slice/a-b.slice/a-b-c.slice/cri-containerd-id.scope"),
            (":::", false, "error"),
            ("system.slice::y", false, "/system.slice/-y.scope"),
            ("/a/b", false, "error"),
            ("a:b", false, "error"),
            ("a.slice/b.slice:x:y", false, "error"),
            ("a--b.slice:x:y", false, "error"),
            ("-a.slice:x:y", false, "error"),
            (".slice:x:y", false, "error"),
            ("a:x:y", false, "error"),
            (":x:../../y", false, "error"),
            (":x:y z", false, "error"),
            (":x:y.slice", false, "error"),
        ] {
            let found = path(written, user);
            assert_eq!(found.as_deref().unwrap_or("error"), expected, "{written}: {found:?}");
        }
        let user = "/user.slice/user-7.slice/user@7.service";
        let found = Unit::parse("", "id", true).unwrap().path(user).unwrap().to_string();
        assert_eq!(found, format!("{user}/user.slice/sampan-id.scope"));
    }
}
