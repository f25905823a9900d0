//! The cgroup layout: which hierarchies are mounted where, and what this process may do in each.
//!
//! Invariant: reads only. A hierarchy that is not mounted, or hidden under another mount, is left out.

use plan::cgroup::{
    CgroupPath, Current, Disk, Features, Hierarchy, IdSet, Layout, Level, Resctrl, Target, Unified, names,
};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::io::Read as _;
use std::path::Path;
use sys::Result;
use sys::cgroup::Dir;

/// For a container at `path`. `block_io`: it has limits on disks, so the host's disks are looked at too.
///
/// # Errors
/// /proc/self/mountinfo or /proc/self/cgroup can't be read.
pub fn observe(path: &CgroupPath, block_io: bool) -> Result<Layout> {
    look(path, block_io, false)
}

/// The same where systemd makes the cgroup and moves processes into it, from wherever we are.
///
/// # Errors
/// As [`observe`].
pub fn observe_for_systemd(path: &CgroupPath, block_io: bool) -> Result<Layout> {
    look(path, block_io, true)
}

fn look(path: &CgroupPath, block_io: bool, moved: bool) -> Result<Layout> {
    let mounts = mounts(&read("/proc/self/mountinfo")?);
    let mut layout = Layout {
        path: path.clone(),
        v1: Vec::new(),
        v2: None,
        cpus: IdSet::default(),
        mems: IdSet::default(),
        features: Features::default(),
        disks: block_io.then(disks),
    };
    for membership in memberships(&read("/proc/self/cgroup")?) {
        // The last one mounted hides those before it at the same place.
        let Some(place) = mounts.iter().rev().find_map(|mount| Place::find(mount, &membership)) else {
            continue;
        };
        if membership.controllers.is_empty() {
            let tree = unified(&place, path, moved);
            layout.features.io_cost = place.root.has("io.cost.model");
            if tree.levels.first().is_some_and(|level| level.controllers.contains("memory")) {
                layout.features.swap = accounts_swap(&place.root);
            }
            layout.v2 = Some(tree);
        } else {
            note_features(&place.root, &membership.controllers, &mut layout.features);
            let target = target(&place, path);
            layout.v1.push(Hierarchy { controllers: membership.controllers, mount: place.mount, target });
        }
    }
    layout.cpus = allowed(&layout, ["cpuset.effective_cpus", "cpuset.cpus.effective"], "cpu");
    layout.mems = allowed(&layout, ["cpuset.effective_mems", "cpuset.mems.effective"], "node");
    Ok(layout)
}

/// Whether v2 has all controllers, and the usual place.
#[must_use]
pub fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn read(path: &str) -> Result<String> {
    // These files have no size to tell, and std would start with 32 bytes.
    let mut bytes = Vec::with_capacity(16 << 10);
    std::fs::File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(sys::Error::of_io(|| format!("read({path:?})")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A mounted cgroup filesystem (proc_pid_mountinfo(5)).
struct Mount {
    /// The directory of the hierarchy that is mounted.
    root: String,
    point: String,
    /// v1: its controllers or name, among other words; `None`: v2.
    options: Option<Vec<String>>,
}

fn mounts(mountinfo: &str) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = mountinfo.lines().filter_map(mount).collect();
    // The usual place counts most. A container without a mount namespace of its own has mounts of the same hierarchies in
    // ours, read-only and later.
    mounts.sort_by_key(|mount| Path::new(&mount.point).starts_with("/sys/fs/cgroup"));
    mounts
}

fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
    let options = match *right.first()? {
        "cgroup2" => None,
        "cgroup" => Some(right.get(2)?.split(',').map(str::to_owned).collect()),
        _ => return None,
    };
    Some(Mount { root: unescape(left.get(3)?), point: unescape(left.get(4)?), options })
}

/// `\040` is a space, and so on.
pub(super) fn unescape(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|octal| u8::from_str_radix(octal, 8).ok());
        out.push(code.map_or('\\', char::from));
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    out + rest
}

/// One line of /proc/self/cgroup (cgroups(7)); no controllers: the v2 tree.
struct Membership {
    controllers: Vec<String>,
    path: String,
}

fn memberships(text: &str) -> Vec<Membership> {
    let line = |line: &str| {
        let mut words = line.splitn(3, ':').skip(1);
        let names = words.next()?.split(',').filter(|name| !name.is_empty());
        Some(Membership { controllers: names.map(str::to_owned).collect(), path: words.next()?.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

/// The settings of the v2 filesystem, and where it is mounted, if it is.
///
/// # Errors
/// It cannot be read.
pub fn unified_settings() -> Result<Option<(String, Vec<String>)>> {
    let line = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.strip_prefix("cgroup2 ")?.split(' ').skip(1);
        let words = right.next()?.split(',').filter(|word| !matches!(*word, "rw" | "ro"));
        Some((unescape(left.split(' ').nth(4)?), words.map(str::to_owned).collect()))
    };
    Ok(read("/proc/self/mountinfo")?.lines().find_map(line))
}

/// Where a process is: each controller, or nothing for the v2 tree, and the path.
///
/// # Errors
/// It is gone.
pub fn places(pid: i32) -> Result<Vec<(String, String)>> {
    let all = memberships(&read(&format!("/proc/{pid}/cgroup"))?);
    let each = |Membership { controllers, path }| {
        let names = if controllers.is_empty() { vec![String::new()] } else { controllers };
        names.into_iter().map(move |name| (name, path.clone()))
    };
    Ok(all.into_iter().flat_map(each).collect())
}

/// A hierarchy as this process reaches it.
struct Place {
    mount: String,
    root: Dir,
    /// Our own directory below the mount; `None` if it is out of sight, above a namespace's or a bind mount's root.
    own: Option<Vec<String>>,
}

impl Place {
    fn find(mount: &Mount, membership: &Membership) -> Option<Self> {
        match &mount.options {
            Some(_) if membership.controllers.is_empty() => return None,
            Some(options) if !membership.controllers.iter().all(|name| options.contains(name)) => return None,
            None if !membership.controllers.is_empty() => return None,
            // Mounted outside of our cgroup namespace, which no process of it can leave on v2 (cgroup_namespaces(7)).
            None if mount.root.starts_with("/..") => return None,
            _ => {}
        }
        let root = Dir::open(&mount.point).ok().filter(|root| root.has("cgroup.procs"))?;
        let below = membership.path.strip_prefix(mount.root.trim_end_matches('/'));
        let own = below.filter(|below| below.is_empty() || below.starts_with('/'));
        let own: Option<Vec<String>> =
            own.map(|path| path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect());
        let own = own.filter(|own| !own.iter().any(|name| name == ".."));
        Some(Self { mount: mount.point.clone(), root, own })
    }

    /// The components of the directory under which the container's path hangs.
    fn anchor(&self, path: &CgroupPath, v2: bool) -> Vec<String> {
        let mut own = self.own.clone().unwrap_or_default();
        if path.is_absolute() {
            own.clear();
        } else if v2 {
            // Beside us: a cgroup that holds processes can have no children with controllers.
            own.pop();
        }
        own
    }

    fn look<T>(&self, components: &[String], look: impl FnOnce(&Dir) -> Option<T>) -> Option<T> {
        if components.is_empty() { look(&self.root) } else { look(&Dir::open(&self.path(components)).ok()?) }
    }

    fn path(&self, components: &[String]) -> String {
        std::iter::once(self.mount.trim_end_matches('/'))
            .chain(components.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("/")
    }
}

/// As often as the last of the shared directory's containers may remove it while we look at it.
const RACES: usize = 100;

/// What there is of resctrl for a container's group of this name.
///
/// # Errors
/// /proc/self/mountinfo can't be read.
pub fn resctrl(group: &str) -> Result<Resctrl> {
    let mountinfo = read("/proc/self/mountinfo")?;
    let point = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        right.starts_with("resctrl ").then(|| left.split(' ').nth(4).map(unescape))?
    };
    let mount = mountinfo.lines().filter_map(point).next_back();
    let schemata = mount.as_ref().and_then(|mount| read(&format!("{mount}/{group}/schemata")).ok());
    Ok(Resctrl { mount, schemata })
}

/// What `look` sees in the anchor and the directories of `path` under it that exist. If the deepest was removed before
/// all was seen, again: then its files are gone, and nothing would seem to be delegated.
fn steady<T>(anchor: &Dir, path: &CgroupPath, look: impl Fn(&[&Dir]) -> T) -> Option<T> {
    for _ in 0..RACES {
        let below = walk(anchor, path.components());
        let seen = look(&std::iter::once(anchor).chain(&below).collect::<Vec<_>>());
        if below.last().is_none_or(|dir| dir.has("cgroup.procs")) {
            return Some(seen);
        }
    }
    None
}

fn walk(from: &Dir, components: &[String]) -> Vec<Dir> {
    let mut dirs: Vec<Dir> = Vec::new();
    for name in components {
        let Ok(name) = CString::new(name.as_str()) else { break };
        match dirs.last().unwrap_or(from).below(&name) {
            Ok(dir) => dirs.push(dir),
            Err(_) => break,
        }
    }
    dirs
}

fn target(place: &Place, path: &CgroupPath) -> Target {
    let anchor = place.anchor(path, false);
    let name = place.path(&anchor);
    let seen = place.look(&anchor, |dir| steady(dir, path, |dirs| describe(dirs, &name, path)));
    seen.unwrap_or_else(|| Target { anchor: name, ..Target::default() })
}

fn describe(dirs: &[&Dir], anchor: &str, path: &CgroupPath) -> Target {
    let present = dirs.len() - 1;
    let own = dirs.last().filter(|_| present == path.components().len());
    Target {
        anchor: anchor.to_owned(),
        present,
        writable: dirs.last().is_some_and(|dir| dir.may_write(".")),
        taken: own.map(|dir| processes(dir)).unwrap_or_default(),
        frozen: own.is_some_and(|dir| is_frozen(dir)),
    }
}

/// How many there are in the tree.
fn processes(dir: &Dir) -> usize {
    let children = dir.children().unwrap_or_default();
    let below = children.iter().filter_map(|name| dir.below(name).ok()).map(|below| processes(&below)).sum::<usize>();
    dir.processes().unwrap_or_default().len() + below
}

fn is_frozen(dir: &Dir) -> bool {
    let says = |file, word| dir.read(file).is_ok_and(|text| text.trim() == word);
    says("cgroup.freeze", "1") || says("freezer.state", "FROZEN") || says("freezer.state", "FREEZING")
}

/// Where one more process of a container can be that has this v2 directory: there, or where the kernel lets nobody be,
/// as controllers are enabled for those below (cgroups(7), "no internal processes"), where its first process is. It may
/// have left, and somebody removed what it left.
///
/// # Errors
/// It cannot be read.
pub fn of_another(path: &str, first: i32) -> Result<String> {
    if !Path::new(path).exists() {
        return Ok(unified_of(first).unwrap_or_else(|| path.to_owned()));
    }
    if read(&format!("{path}/cgroup.subtree_control"))?.trim().is_empty() {
        return Ok(path.to_owned());
    }
    Ok(holder(Dir::open(path)?, first).unwrap_or_else(|| path.to_owned()))
}

/// The v2 directory that the process is in, wherever that is.
fn unified_of(pid: i32) -> Option<String> {
    let mounts = mounts(&read("/proc/self/mountinfo").ok()?);
    let memberships = memberships(&read("/proc/self/cgroup").ok()?);
    let own = memberships.iter().find(|membership| membership.controllers.is_empty())?;
    let place = mounts.iter().rev().find_map(|mount| Place::find(mount, own))?;
    let (_, path) = places(pid).ok()?.into_iter().find(|(controller, _)| controller.is_empty())?;
    let dir = format!("{}{path}", place.mount.trim_end_matches('/'));
    Dir::open(&dir).and_then(|dir| dir.processes()).is_ok_and(|pids| pids.contains(&pid)).then_some(dir)
}

/// The cgroup of this tree that the process is in.
fn holder(dir: Dir, pid: i32) -> Option<String> {
    if dir.processes().is_ok_and(|pids| pids.contains(&pid)) {
        return Some(dir.path().to_owned());
    }
    dir.children().ok()?.iter().find_map(|name| holder(dir.below(name).ok()?, pid))
}

fn unified(place: &Place, path: &CgroupPath, moved: bool) -> Unified {
    let anchor = place.anchor(path, true);
    let name = place.path(&anchor);
    let shared = path.components().len();
    let look = |dirs: &[&Dir]| {
        let levels = dirs.iter().take(shared).map(|dir| level(dir)).collect();
        (describe(dirs, &name, path), levels)
    };
    let seen = place.look(&anchor, |dir| steady(dir, path, look));
    let (mut target, levels) =
        seen.unwrap_or_else(|| (Target { anchor: name.clone(), ..Target::default() }, Vec::new()));
    target.writable &= moved || may_enter(place, &anchor, path);
    let offered = list(&place.root, "cgroup.controllers");
    Unified { offered, target, levels }
}

/// Whether a process can be cloned into this v2 directory.
///
/// # Errors
/// As [`observe`].
pub fn may_clone_into(dir: &str) -> Result<bool> {
    let mounts = mounts(&read("/proc/self/mountinfo")?);
    let memberships = memberships(&read("/proc/self/cgroup")?);
    let own = memberships.iter().find(|membership| membership.controllers.is_empty());
    let place = own.and_then(|own| mounts.iter().rev().find_map(|mount| Place::find(mount, own)));
    let path = |place: &Place| CgroupPath::parse(dir.strip_prefix(&place.mount)?).ok();
    Ok(place.is_none_or(|place| path(&place).is_none_or(|path| may_enter(&place, &[], &path))))
}

/// Whoever moves a process on v2 must be able to write to cgroup.procs of the lowest common ancestor (cgroups(7)), and
/// so must who clones into a cgroup.
fn may_enter(place: &Place, anchor: &[String], path: &CgroupPath) -> bool {
    let Some(own) = &place.own else { return true };
    let target = anchor.iter().chain(path.components());
    let common = own.iter().zip(target).take_while(|(own, target)| own == target).count();
    place.look(&own[..common], |dir| Some(dir.may_write("cgroup.procs"))).unwrap_or(false)
}

fn list(dir: &Dir, file: &str) -> BTreeSet<String> {
    dir.read(file).map_or_else(|_| BTreeSet::new(), |list| names(&list))
}

fn level(dir: &Dir) -> Level {
    Level {
        controllers: list(dir, "cgroup.controllers"),
        enabled: list(dir, "cgroup.subtree_control"),
        delegated: dir.may_write("cgroup.subtree_control"),
        // Only the real root lacks cgroup.type. A process of another pid namespace is listed as 0.
        occupied: dir.has("cgroup.type") && dir.read("cgroup.procs").is_ok_and(|list| !list.is_empty()),
    }
}

fn note_features(root: &Dir, controllers: &[String], features: &mut Features) {
    for controller in controllers {
        match controller.as_str() {
            "memory" => features.swap = root.has("memory.memsw.limit_in_bytes"),
            "cpu" => {
                features.cfs_quota = root.has("cpu.cfs_quota_us");
                features.cfs_burst = root.has("cpu.cfs_burst_us");
            }
            "blkio" => {
                features.throttle = root.has("blkio.throttle.read_bps_device");
                // The root has bfq's statistics, but no weight.
                features.blkio_bfq = root.has("blkio.bfq.io_serviced") || root.has("blkio.bfq.weight");
                features.blkio_weight = root.has("blkio.weight");
            }
            _ => {}
        }
    }
}

/// On v2 the real root has no memory files; any cgroup that has them tells for all. In this order: the files of one
/// that is removed meanwhile are gone, and the second says that it still is there.
fn accounts_swap(root: &Dir) -> bool {
    let told = |dir: &Dir| match dir.has("memory.swap.max") {
        true => Some(true),
        false => dir.has("memory.max").then_some(false),
    };
    let below = || root.children().ok()?.iter().find_map(|name| told(&root.below(name).ok()?));
    told(root).or_else(below).unwrap_or_else(|| Path::new("/proc/swaps").exists())
}

/// The limits that the v2 directory of a container has, and how much memory it uses; what it has not is unlimited.
#[must_use]
pub fn current(path: &str) -> (Current, Option<u64>) {
    let dir = Dir::open(path).ok();
    let number = |file| dir.as_ref()?.read(file).ok()?.split_whitespace().next()?.parse().ok();
    let limits = Current {
        memory: number("memory.max"),
        swap: number("memory.swap.max"),
        quota: number("cpu.max"),
        period: dir.as_ref().and_then(|dir| dir.read("cpu.max").ok()?.split_whitespace().nth(1)?.parse().ok()),
    };
    (limits, number("memory.current"))
}

/// CPUs or memory nodes in force above the container: `files` are v1's and v2's.
fn allowed(layout: &Layout, files: [&str; 2], class: &str) -> IdSet {
    let v1 = layout.v1("cpuset").map(|hierarchy| (&hierarchy.target.anchor, files[0]));
    let v2 = layout.v2.as_ref().map(|tree| (&tree.target.anchor, files[1]));
    let in_cpuset = v1.or(v2).and_then(|(dir, file)| Dir::open(dir).ok()?.read(file).ok());
    let online = || read(&format!("/sys/devices/system/{class}/online")).ok();
    let list = in_cpuset.or_else(online).unwrap_or_else(|| "0".to_owned());
    IdSet::parse(&list).unwrap_or_default()
}

fn disks() -> Vec<Disk> {
    let Ok(entries) = std::fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| disk(&entry.file_name().to_string_lossy())).collect()
}

fn disk(name: &str) -> Option<Disk> {
    let dir = format!("/sys/block/{name}");
    let (major, minor) = number(&dir)?;
    let below = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let partitions = below.filter(|path| path.join("partition").exists());
    Some(Disk {
        major,
        minor,
        name: name.to_owned(),
        schedulers: read(&format!("{dir}/queue/scheduler")).unwrap_or_default().trim().to_owned(),
        partitions: partitions.filter_map(|path| number(path.to_str()?)).collect(),
    })
}

fn number(dir: &str) -> Option<(i64, i64)> {
    let text = read(&format!("{dir}/dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_place_counts_most() {
        let lines = "35 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n36 31 0:31 / /srv/c/sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu";
        let points: Vec<_> = mounts(lines).into_iter().map(|mount| mount.point).collect();
        assert_eq!(points, ["/srv/c/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu"]);
    }

    #[test]
    fn mountinfo_lines() {
        let mount =
            mount(r"35 31 0:31 /a /sys/fs/my\040cg rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct").unwrap();
        assert_eq!((mount.root.as_str(), mount.point.as_str()), ("/a", "/sys/fs/my cg"));
        assert_eq!(mount.options.unwrap(), ["rw", "cpu", "cpuacct"]);
        assert!(mounts("22 27 0:21 / /proc rw,relatime - proc proc rw").is_empty());
        assert_eq!(unescape(r"a\134b\"), r"a\b\");
    }

    #[test]
    fn membership_lines() {
        let lines = memberships("9:name=systemd:/x\n1:cpu,cpuacct:/a:b\n0::/\n");
        assert_eq!(lines[0].controllers, ["name=systemd"]);
        assert_eq!((lines[1].controllers.len(), lines[1].path.as_str()), (2, "/a:b"));
        assert!(lines[2].controllers.is_empty());
    }
}
