//! The container's path inside every hierarchy (`linux.cgroupsPath`).

use crate::Rejected;
use std::fmt;

/// Where a container's cgroup is: the same components in each hierarchy.
///
/// Invariant: one component at least, none of them empty, `.` or `..`, none with a control character or longer than
/// 255 bytes. So no path of a container can name a hierarchy's root, and removing one can't kill the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPath {
    absolute: bool,
    components: Vec<String>,
}

/// The directory that sampan's containers share; the last of them removes it.
pub(super) const SHARED: &str = "sampan";

impl CgroupPath {
    /// runtime-spec, config-linux.md: absolute is below the hierarchy's mount point; relative is below this process's
    /// own cgroup on v1 and, on v2, beside it: a cgroup that holds processes can't have limited children there.
    ///
    /// # Errors
    /// A path that breaks the invariant above.
    pub fn parse(path: &str) -> Result<Self, Rejected> {
        let absolute = path.starts_with('/');
        let components: Vec<String> = path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let bad =
            |name: &String| name == "." || name == ".." || name.len() > 255 || name.chars().any(|c| c.is_control());
        // The kernel's own files have these names in every directory.
        let reserved = |name: &String| name.starts_with("cgroup.");
        if components.is_empty() || components.iter().any(|name| bad(name) || reserved(name)) {
            return Err(Rejected::new(
                format!("cannot use {path:?} as a cgroup path"),
                "it needs one name or more, none of them `.`, `..`, or starting with `cgroup.`",
            ));
        }
        Ok(Self { absolute, components })
    }

    /// The container's place under `--cgroup-parent`, or the default: `/sampan/ID`, and `sampan/ID` where only a part
    /// of the tree was delegated.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of_container(parent: Option<&str>, id: &str, rootless: bool) -> Result<Self, Rejected> {
        let default = if rootless { SHARED.to_owned() } else { format!("/{SHARED}") };
        let parent = parent.filter(|parent| !parent.is_empty()).map_or(default, str::to_owned);
        Self::parse(&format!("{}/{id}", parent.trim_end_matches('/')))
    }

    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.absolute
    }

    #[must_use]
    pub fn components(&self) -> &[String] {
        &self.components
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.absolute { "/" } else { "" }, self.components.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::CgroupPath;

    #[test]
    fn paths() {
        let text = |path| CgroupPath::parse(path).map(|path| path.to_string()).ok();
        assert_eq!(text("/a//b/").as_deref(), Some("/a/b"));
        assert_eq!(text("a/b").as_deref(), Some("a/b"));
        for bad in ["", "/", "//", "a/../b", "./a", "a\nb", "cgroup.procs"] {
            assert_eq!(text(bad), None, "{bad:?}");
        }
        let default = CgroupPath::of_container(None, "id", false).unwrap();
        assert_eq!(default.to_string(), "/sampan/id");
        assert_eq!(CgroupPath::of_container(None, "id", true).unwrap().to_string(), "sampan/id");
        assert_eq!(CgroupPath::of_container(Some("/"), "id", false).unwrap().to_string(), "/id");
        assert_eq!(CgroupPath::of_container(Some("mine"), "id", false).unwrap().to_string(), "mine/id");
    }
}
