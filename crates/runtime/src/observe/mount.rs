//! The mount that a path is in.

use crate::error::{Error, Result};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::path::Path;

/// What it has to do with mounts and unmounts below other ones (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Propagation {
    /// They are passed on to its peers, and come from them.
    pub shared: bool,
    /// They come from a master.
    pub slave: bool,
}

/// # Errors
/// The kernel's.
pub fn propagation(path: &Path) -> Result<Propagation> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)
        .map_err(sys::Error::of(|| format!("statx({path:?}, STATX_MNT_ID)")))?;
    let mounts = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(mounts).map_err(sys::Error::of_io(|| format!("read({mounts:?})")))?;
    let number = found.stx_mnt_id.to_string();
    parse(&text, &number).ok_or_else(|| Error::Unknown(format!("mount {number} in {mounts}")))
}

/// proc_pid_mountinfo(5): the number first, the optional fields between the sixth and a hyphen.
fn parse(text: &str, number: &str) -> Option<Propagation> {
    let mut fields = text.lines().map(|line| line.split(' ')).find(|fields| fields.clone().next() == Some(number))?;
    let optional: Vec<&str> = fields.by_ref().skip(6).take_while(|field| *field != "-").collect();
    let has = |tag: &str| optional.iter().any(|field| field.starts_with(tag));
    Some(Propagation { shared: has("shared:"), slave: has("master:") })
}

/// Where this process sees mounts.
///
/// # Errors
/// The kernel's.
pub fn points() -> Result<Vec<String>> {
    let mounts = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(mounts).map_err(sys::Error::of_io(|| format!("read({mounts:?})")))?;
    Ok(text.lines().filter_map(|line| line.split(' ').nth(4)).map(super::cgroup::unescape).collect())
}

#[cfg(test)]
mod tests {
    use super::{Propagation, parse};

    #[test]
    fn reads_the_optional_fields() {
        let text = "36 35 98:0 / /a rw - ext3 shared:x rw\n37 36 0:1 / /b rw master:1 shared:7 - tmpfs none rw\n";
        assert_eq!(parse(text, "36"), Some(Propagation::default()));
        assert_eq!(parse(text, "37"), Some(Propagation { shared: true, slave: true }));
        assert_eq!(parse(text, "3"), None);
    }
}
