//! The mount that a path is in.

use crate::error::{Error, Result};
use plan::order::Hidden;
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
    let number = found.stx_mnt_id.to_string();
    parse(&table()?, &number).ok_or_else(|| Error::Unknown(format!("mount {number} in {TABLE}")))
}

/// Its file system, as mount(8) calls it.
///
/// # Errors
/// The kernel's.
pub fn kind(path: &Path) -> Result<String> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)
        .map_err(sys::Error::of(|| format!("statx({path:?}, STATX_MNT_ID)")))?;
    let number = found.stx_mnt_id.to_string();
    let table = table()?;
    let line = table.lines().find(|line| line.split(' ').next() == Some(&number));
    let kind = line.and_then(|line| line.split(" - ").nth(1)?.split(' ').next().map(str::to_owned));
    kind.ok_or_else(|| Error::Unknown(format!("mount {number} in {TABLE}")))
}

const TABLE: &str = "/proc/self/mountinfo";

fn table() -> Result<String> {
    Ok(std::fs::read_to_string(TABLE).map_err(sys::Error::of_io(|| format!("read({TABLE:?})")))?)
}

/// What stands right below the root of all, and everything that shows a whole procfs or sysfs: what a container must not
/// find below its root where that is moved and not pivoted.
///
/// # Errors
/// The kernel's.
pub fn beside_root() -> Result<Vec<Hidden>> {
    Ok(of_table(&table()?))
}

fn of_table(text: &str) -> Vec<Hidden> {
    let all: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let field = |fields: &[&str], at: usize| fields.get(at).copied().unwrap_or_default().to_owned();
    let root = all.iter().rfind(|fields| field(fields, 4) == "/").map(|fields| field(fields, 0));
    let hidden = |fields: &Vec<&str>| {
        let kind = fields.iter().position(|field| *field == "-").map(|hyphen| field(fields, hyphen + 1));
        let full = field(fields, 3) == "/" && kind.is_some_and(|kind| matches!(kind.as_str(), "proc" | "sysfs"));
        let path = unescape(&field(fields, 4));
        (path != "/" && (full || Some(field(fields, 1)) == root)).then_some(Hidden { path, full })
    };
    all.iter().filter_map(hidden).collect()
}

/// `\040` and its like are a space, a tab, a newline and a backslash.
fn unescape(text: &str) -> String {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    plain.into_iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
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

/// What kind of filesystem holds this path, or what will be above it, in docker's words or as its number (statfs(2)).
#[must_use]
pub fn filesystem(path: &Path) -> String {
    const KINDS: [(u64, &str); 8] = [
        (0xef53, "extfs"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (0x0102_1994, "tmpfs"),
        (0x794c_7630, "overlayfs"),
        (0x6969, "nfs"),
        (0x6573_5546, "fuse"),
        (0x2fc1_2fc1, "zfs"),
    ];
    let found = path.ancestors().find_map(|path| rustix::fs::statfs(path).ok());
    let number = found.map_or(0, |found| found.f_type as u64);
    let known = KINDS.iter().find(|(kind, _)| *kind == number);
    known.map_or_else(|| format!("{number:#x}"), |(_, name)| (*name).to_owned())
}

/// What is left where this path is, or will be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this user may still write.
    pub free: u64,
    /// `None`: of a file system that does not count them (btrfs).
    pub inodes: Option<u64>,
    pub read_only: bool,
    /// This user may make something there.
    pub writable: bool,
}

/// # Errors
/// statvfs(2) on the path, or the nearest directory above it.
pub fn space(path: &Path) -> Result<Space> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let found = rustix::fs::statvfs(there).map_err(sys::Error::of(|| format!("statvfs({there:?})")))?;
    Ok(Space {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        inodes: (found.f_files > 0).then_some(found.f_favail),
        read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        writable: rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Propagation, of_table, parse};

    #[test]
    fn finds_what_must_not_be_left_below_a_moved_root() {
        let text = "1 1 0:2 / / rw - rootfs none rw\n2 1 0:3 / /proc rw shared:4 - proc proc rw\n\
            3 2 0:4 / /proc/x rw - tmpfs none rw\n4 1 0:5 / /a\\040b rw - tmpfs none rw\n\
            5 4 0:6 / /a\\040b/sys rw - sysfs none rw\n6 4 0:3 /bus /a\\040b/bus rw - proc proc rw\n";
        let found: Vec<_> = of_table(text).into_iter().map(|mount| (mount.path, mount.full)).collect();
        let expected = [("/proc", true), ("/a b", false), ("/a b/sys", true)];
        assert_eq!(found, expected.map(|(path, full)| (path.to_owned(), full)));
    }

    #[test]
    fn reads_the_optional_fields() {
        let text = "36 35 98:0 / /a rw - ext3 shared:x rw\n37 36 0:1 / /b rw master:1 shared:7 - tmpfs none rw\n";
        assert_eq!(parse(text, "36"), Some(Propagation::default()));
        assert_eq!(parse(text, "37"), Some(Propagation { shared: true, slave: true }));
        assert_eq!(parse(text, "3"), None);
    }
}
