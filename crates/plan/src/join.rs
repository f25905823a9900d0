//! One more process for a container that runs.

use crate::affinity::{Affinity, affinity};
use crate::host::Host;
use crate::order::{Rights, check_process, command, security, session, standard_files};
use crate::step::{AttachStep, HostStep, InitStep, Plan, Spawn};
use crate::{Rejected, cgroup, ids, seccomp};
use spec::runtime::{MemoryPolicy, NamespaceKind, Personality, Process, SeccompSection};

/// Everything that such a plan is made of.
#[derive(Debug)]
pub struct Input<'a> {
    pub process: &'a Process,
    pub personality: Option<&'a Personality>,
    pub memory: Option<&'a MemoryPolicy>,
    pub filter: Option<&'a SeccompSection>,
    /// What it was compiled to before.
    pub compiled: Option<&'a seccomp::Program>,
    pub host: &'a Host,
    /// The container's first process: its number, and when it started (clock ticks since boot).
    pub first: (i32, u64),
    /// Those of its namespaces that are not the caller's.
    pub namespaces: Vec<NamespaceKind>,
    /// Its root is not that of its mount namespace.
    pub chrooted: bool,
    /// The container's directory on cgroup v2, and those on v1.
    pub cgroup: Option<String>,
    pub cgroups: Vec<String>,
    /// How it gets into the first, where the caller may not put it there.
    pub enter: Option<cgroup::Enter>,
    /// The process ends with the one that started it.
    pub foreground: bool,
}

/// # Errors
/// What can be wrong with the process on this host.
pub fn plan(input: Input<'_>) -> Result<Plan, Rejected> {
    let Input { process, host, .. } = input;
    check_process(process, host)?;
    let enters = |kind| input.namespaces.contains(&kind);
    let (pid, start) = input.first;
    let path = |kind, word: &str| (kind, format!("/proc/{pid}/ns/{word}"));
    // An ordinary user has the right to a pid namespace only in the user namespace that owns it, and only a child of
    // whoever enters it is in it (setns(2)).
    let through = if host.rootless() && enters(NamespaceKind::User) && enters(NamespaceKind::Pid) {
        vec![path(NamespaceKind::User, "user"), path(NamespaceKind::Pid, "pid")]
    } else {
        Vec::new()
    };
    let entered = |kind| through.iter().any(|(there, _)| *there == kind);
    let mut init = Vec::new();
    let mut attach = Vec::new();
    let moved = input.enter.is_some();
    attach.extend(input.enter.map(cgroup::AttachStep::Enter).map(AttachStep::Cgroup));
    attach.extend(process.oom_score_adj.map(AttachStep::OomScoreAdj));
    if !attach.is_empty() {
        attach.push(AttachStep::Go);
        init.push(InitStep::AwaitGo);
    }
    // Before it is where the container's processes see it (CVE-2016-9962).
    init.push(InitStep::Undumpable);
    let join = |dir: &String| InitStep::Cgroup(cgroup::InitStep::Join { file: format!("{dir}/tasks") });
    init.extend(input.cgroups.iter().map(join));
    let Affinity { initial, last } = affinity(process)?;
    // As the spec has it: with an initial one only, the kernel decides what is left of it in the container's cgroup.
    if last.is_some() || initial.is_none() {
        init.push(InitStep::Affinity(last));
    }
    // While /proc is still the caller's.
    if !process.apparmor_profile.is_empty() {
        init.push(InitStep::AppArmor { profile: process.apparmor_profile.clone() });
    }
    if !process.selinux_label.is_empty() {
        init.push(InitStep::SelinuxLabel { label: process.selinux_label.clone(), keys: false });
    }
    let kinds =
        input.namespaces.iter().copied().filter(|kind| *kind != NamespaceKind::Pid && !entered(*kind)).collect();
    init.push(InitStep::Enter { pid, start, kinds });
    if input.chrooted {
        init.push(InitStep::ChrootOf { pid, start });
    }
    if enters(NamespaceKind::User) {
        init.push(InitStep::BecomeRoot { clear_groups: ids::groups_allowed(host, &[]) });
    }
    init.push(session(process, false));
    if !process.terminal {
        init.extend(standard_files(process));
    }
    let rights = Rights {
        process,
        personality: input.personality,
        memory: input.memory,
        filter: input.filter,
        compiled: input.compiled,
        host,
        gid_map: &[],
        keyring: false,
        create_cwd: false,
        after: vec![InitStep::FindCommand],
        hooks: Vec::new(),
    };
    security(rights, &mut init)?;
    let spawn = Spawn {
        namespaces: Vec::new(),
        cgroup: input.cgroup.filter(|_| !moved),
        join_pid: enters(NamespaceKind::Pid).then(|| path(NamespaceKind::Pid, "pid").1).filter(|_| through.is_empty()),
        through,
        die_with_parent: input.foreground,
    };
    // Before the clone, which may put the process into its cgroup.
    let prepare = initial.map(HostStep::Affinity).into_iter().collect();
    Ok(Plan { prepare, spawn, attach, init, exec: command(process) })
}
