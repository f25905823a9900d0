//! Where this host keeps its cgroups, as plain values that `runtime::observe::cgroup` fills in.
//!
//! Invariant: names are the kernel's own: a v1 hierarchy is its controllers or `name=systemd`; block I/O is `blkio` on
//! v1 and `io` on v2. Every path is absolute in the observer's mount namespace.

use super::CgroupPath;
use crate::Rejected;
use spec::unit::Cpus;
use std::collections::BTreeSet;

/// Pure v2 has no [`Hierarchy`], pure v1 no [`Unified`], a hybrid has both and each controller in one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The container's path that was looked for while observing.
    pub path: CgroupPath,
    pub v1: Vec<Hierarchy>,
    pub v2: Option<Unified>,
    /// What a container may be given: online, and in force for the cgroup that it will be under.
    pub cpus: IdSet,
    /// Memory nodes, likewise.
    pub mems: IdSet,
    pub features: Features,
    /// Whole disks; `None`: not looked at, because no block I/O limit was asked for.
    pub disks: Option<Vec<Disk>>,
}

/// A mounted v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    pub controllers: Vec<String>,
    pub mount: String,
    pub target: Target,
}

impl Hierarchy {
    pub(super) fn serves(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// The mounted v2 tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unified {
    /// cgroup.controllers of the mount's root: what there is, delegated or not.
    pub offered: BTreeSet<String>,
    pub target: Target,
    /// The existing directories from [`Target::anchor`] to the deepest one above the container's own.
    pub levels: Vec<Level>,
}

/// One directory above the container's on v2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// cgroup.controllers: what can be enabled for its children.
    pub controllers: BTreeSet<String>,
    /// cgroup.subtree_control: what is.
    pub enabled: BTreeSet<String>,
    /// This process may write cgroup.subtree_control: it is root, or the directory was delegated.
    pub delegated: bool,
    /// It holds processes and is not the real root, so the kernel refuses to enable a controller (cgroups(7), the "no
    /// internal processes" rule).
    pub occupied: bool,
}

/// Where the container's directory will stand in one hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Exists; the components of the container's path hang under it.
    pub anchor: String,
    /// How many leading components exist.
    pub present: usize,
    /// A directory can be made in the deepest existing one.
    pub writable: bool,
    /// How many processes there are in the container's directory, and below, when it exists already.
    pub taken: usize,
    /// It exists, and what enters it stands still.
    pub frozen: bool,
}

/// What v2 keeps in one file with what is asked for, or counts apart from it, and so is needed to change a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Current {
    pub memory: Option<u64>,
    /// Without the memory.
    pub swap: Option<u64>,
    pub quota: Option<u64>,
    pub period: Option<u64>,
}

/// What can't be told from the list of controllers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// v1 memory.memsw.*, v2 memory.swap.*: swap is accounted, so it can be limited.
    pub swap: bool,
    /// v1 cpu.cfs_quota_us (CONFIG_CFS_BANDWIDTH).
    pub cfs_quota: bool,
    /// v1 cpu.cfs_burst_us (Linux 5.14).
    pub cfs_burst: bool,
    /// v1 blkio.throttle.* (CONFIG_BLK_DEV_THROTTLING).
    pub throttle: bool,
    /// v1 blkio.bfq.*.
    pub blkio_bfq: bool,
    /// v1 blkio.weight: CFQ, gone since Linux 5.0.
    pub blkio_weight: bool,
    /// v2 io.weight (CONFIG_BLK_CGROUP_IOCOST).
    pub io_cost: bool,
}

/// A whole disk: the kernel limits no partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    pub major: i64,
    pub minor: i64,
    pub name: String,
    /// As queue/scheduler has it: `none [mq-deadline] bfq`.
    pub schedulers: String,
    /// Numbers of its partitions.
    pub partitions: Vec<(i64, i64)>,
}

impl Disk {
    pub(super) fn bfq(&self) -> bool {
        self.schedulers.contains("[bfq]")
    }
}

/// Which v2 directories are switched for which controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Enabled at all levels from here down, or can be: index into [`Unified::levels`].
    From(usize),
    Absent,
    NotDelegated,
    Occupied(usize),
}

impl Layout {
    /// Whether anything here heeds an I/O weight; without it a weight is written down, and waits. io.cost, which is v2's,
    /// is taken at its word.
    #[must_use]
    pub fn weighs_io(&self) -> bool {
        let others = if self.v1("blkio").is_some() { self.features.blkio_weight } else { self.features.io_cost };
        others || self.disks.iter().flatten().any(Disk::bfq)
    }

    #[must_use]
    pub fn v1(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1.iter().find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
    }

    /// # Errors
    /// More CPUs than a container can be given here, which docker refuses too: the limit would be none.
    pub fn check_cpus(&self, cpus: Cpus) -> Result<(), Rejected> {
        let have = self.cpus.len();
        if cpus.nano() <= have as u64 * 1_000_000_000 {
            return Ok(());
        }
        let what = format!("cannot limit the container to {cpus} CPUs");
        Err(Rejected::new(what, format!("there are only {have}")).hint(format!("ask for {have} or less")))
    }
}

impl Unified {
    pub(super) fn reach(&self, controller: &str) -> Reach {
        if !self.offered.contains(controller) {
            return Reach::Absent;
        }
        if !self.levels.first().is_some_and(|level| level.controllers.contains(controller)) {
            return Reach::NotDelegated;
        }
        // The first level that has yet to hand it down; those above it already do.
        let Some(first) = self.levels.iter().position(|level| !level.enabled.contains(controller)) else {
            // New directories below the lowest are our own to switch.
            return if self.target.writable { Reach::From(self.levels.len() - 1) } else { Reach::NotDelegated };
        };
        if !self.target.writable || self.levels[first..].iter().any(|level| !level.delegated) {
            return Reach::NotDelegated;
        }
        match self.levels[first..].iter().position(|level| level.occupied) {
            Some(at) => Reach::Occupied(first + at),
            None => Reach::From(first),
        }
    }
}

/// Numbers of CPUs or memory nodes: `0-3,8`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdSet(BTreeSet<u32>);

impl IdSet {
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The kernel's list format (cpuset(7)); `None` if it isn't one.
    #[must_use]
    pub fn parse(list: &str) -> Option<Self> {
        // No machine has more; the bound keeps `0-4294967295` from eating the memory.
        const MOST: u32 = 1 << 16;
        let mut ids = BTreeSet::new();
        for range in list.trim().split(',').map(str::trim).filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= MOST {
                return None;
            }
            ids.extend(first..=last);
        }
        Some(Self(ids))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.0.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn holds(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }
}

/// `u32::from_str` would take `+1`.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl std::fmt::Display for IdSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut ids = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = ids.next() {
            let mut last = first;
            while ids.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::IdSet;

    #[test]
    fn id_lists() {
        let text = |list| IdSet::parse(list).map(|set| set.to_string());
        assert_eq!(text("0,1,2, 5-5,7\n").as_deref(), Some("0-2,5,7"));
        assert_eq!(text("").as_deref(), Some(""));
        for bad in ["1-0", "x", "1-", "-1", "+1", "0-4294967295"] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }
}
