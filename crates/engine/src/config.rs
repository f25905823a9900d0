//! From a request, an image's configuration and the host to config.json: docker's defaults, said once.
//!
//! Pure: the same values give the same configuration. Must not: look at the host (the caller did).

use crate::containers::Mounted;
use crate::request::limit::Bound;
use crate::request::mount::{Bind, Devpts, Flags, Image, Kind, Mount as Asked, Recursion, Tmpfs, TmpfsSize};
use crate::request::security::{Seccomp as AskedSeccomp, Unmask};
use crate::request::{Join, Limits, Run};
use plan::host::Host;
use plan::{Rejected, capability, seccomp};
use spec::runtime::{
    BlockIo, Capabilities, Config, ConsoleSize, Cpu, Device, DeviceRule, IdMapping, Linux, Memory, Mount, Namespace,
    NamespaceKind, Pids, Process, Resources, Root, ThrottleDevice, User, WeightDevice,
};
use std::path::{Path, PathBuf};

/// A namespace that is joined, by path.
pub type Joined = (NamespaceKind, String);

/// What resolve found out, beside the request.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub hostname: String,
    pub args: Vec<String>,
    /// The image's variables, `NAME=VALUE`.
    pub env: Vec<String>,
    pub cwd: String,
    pub user: User,
    pub home: String,
    /// Namespaces that are joined, by path.
    pub joined: Vec<Joined>,
    /// Namespaces of the host.
    pub shared: Vec<NamespaceKind>,
    pub uid_map: Vec<IdMapping>,
    pub gid_map: Vec<IdMapping>,
    /// Users and groups of the user namespace that it is in, a new one or another's; empty: sampan's own, or not known.
    pub users: (Vec<IdMapping>, Vec<IdMapping>),
    /// Devices asked for, as they are on the host.
    pub devices: Vec<Device>,
    /// Major and minor of the block devices that limits name, by path.
    pub disks: Vec<(PathBuf, u32, u32)>,
    /// A limit of swap can be in force.
    pub swap: bool,
    /// The profile that the request's file holds.
    pub seccomp: Option<String>,
    /// Empty: none.
    pub apparmor: String,
    pub console: ConsoleSize,
    /// Files of the container's own that cover the image's: (in the container, on the host).
    pub files: Vec<(String, String)>,
    /// Filesystems that the image needs fresh (the `host` image: /run, /tmp).
    pub fresh: Vec<String>,
    /// Where what is mounted is on this host.
    pub mounted: Vec<Mounted>,
    /// Files with secrets: (in the container, on the host).
    pub secrets: Vec<(String, String)>,
}

/// # Errors
/// What contradicts itself, or this host.
pub fn config(request: &Run, facts: &Facts, host: &Host) -> Result<Config, Rejected> {
    let bounding = capabilities(request, facts, host)?;
    let linux = linux(request, facts, host, &bounding)?;
    let user_namespace = !host.initial || linux.namespaces.iter().any(|ns| ns.kind == NamespaceKind::User);
    // Those of a namespace that is shared are somebody else's.
    let own_names = linux.namespaces.iter().any(|ns| ns.kind == NamespaceKind::Uts && ns.path.is_none());
    Ok(Config {
        oci_version: "1.2.0".to_owned(),
        root: Some(Root { path: "rootfs".into(), readonly: request.files.read_only }),
        process: Some(process(request, facts, bounding)),
        hostname: if own_names { facts.hostname.clone() } else { String::new() },
        domainname: request.network.domainname.clone().filter(|_| own_names).unwrap_or_default(),
        mounts: mounts(request, facts, host, user_namespace)?,
        annotations: request.annotations.iter().cloned().collect(),
        linux: Some(linux),
        ..Config::default()
    })
}

/// "All" is all that can be given: what the host's bounding set lacks, no process of it can have (capabilities(7)). In
/// a user namespace the sets start full.
fn capabilities(request: &Run, facts: &Facts, host: &Host) -> Result<Vec<String>, Rejected> {
    let security = &request.security;
    let mut chosen = capability::select(security.privileged, &security.cap_add, &security.cap_drop);
    let user_namespace = !facts.uid_map.is_empty() || facts.joined.iter().any(|(kind, _)| *kind == NamespaceKind::User);
    if !user_namespace {
        let has = |name: &String| capability::bits(std::slice::from_ref(name)) & host.capabilities != 0;
        let by_name = |name: &&String| security.cap_add.iter().any(|asked| asked.is(name));
        if let Some(name) = chosen.iter().filter(by_name).find(|name| !has(name)) {
            return Err(Rejected::new(format!("cannot give the container {name}"), "sampan does not have it itself")
                .hint("run sampan with it: CapEff and CapBnd of /proc/self/status show what it has"));
        }
        chosen.retain(has);
    }
    Ok(chosen)
}

fn process(request: &Run, facts: &Facts, bounding: Vec<String>) -> Process {
    Process {
        terminal: request.terminal.tty,
        console_size: request.terminal.tty.then_some(facts.console),
        user: facts.user.clone(),
        args: facts.args.clone(),
        env: env(request, facts),
        cwd: facts.cwd.clone(),
        capabilities: Some(Capabilities {
            effective: bounding.clone(),
            permitted: bounding.clone(),
            // Empty, against what docker did before CVE-2022-24769: inheritable ones would let a file with inheritable
            // bits give them to any user.
            inheritable: Vec::new(),
            ambient: Vec::new(),
            bounding,
        }),
        rlimits: request.process.ulimits.clone(),
        no_new_privileges: request.security.no_new_privileges,
        apparmor_profile: facts.apparmor.clone(),
        selinux_label: String::new(),
        oom_score_adj: request.process.oom_score_adj,
        ..Process::default()
    }
}

/// docker's order: PATH, HOSTNAME, TERM, HOME; the image's; what was asked for.
fn env(request: &Run, facts: &Facts) -> Vec<String> {
    const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut env: Vec<String> = vec![PATH.to_owned(), format!("HOSTNAME={}", facts.hostname)];
    if request.terminal.tty {
        env.push("TERM=xterm".to_owned());
    }
    for var in &facts.env {
        set_variable(&mut env, var.split('=').next().unwrap_or_default(), Some(var.clone()));
    }
    for var in &request.process.env {
        let value = var.value.as_ref().map(|value| format!("{}={value}", var.name));
        set_variable(&mut env, &var.name, value);
    }
    if !env.iter().any(|var| var.starts_with("HOME=") && var.len() > 5) {
        set_variable(&mut env, "HOME", Some(format!("HOME={}", facts.home)));
    }
    env
}

/// Without a line there is no such variable any more.
pub fn set_variable(env: &mut Vec<String>, name: &str, line: Option<String>) {
    let at = env.iter().position(|known| known.split('=').next() == Some(name));
    match (at, line) {
        (Some(at), Some(line)) => env[at] = line,
        (Some(at), None) => drop(env.remove(at)),
        (None, Some(line)) => env.push(line),
        (None, None) => {}
    }
}

fn mounts(request: &Run, facts: &Facts, host: &Host, user_namespace: bool) -> Result<Vec<Mount>, Rejected> {
    let has = |kind: NamespaceKind| !facts.shared.contains(&kind);
    // Its user namespace's: new ones, and those of the process whose user namespace it joins, too.
    let whose = |kind: NamespaceKind| facts.joined.iter().find(|(joined, _)| *joined == kind).map(|(_, path)| path);
    let process = |path: &String| path.rsplit_once('/').map(|(directory, _)| directory.to_owned());
    let owned = |kind: NamespaceKind| match (whose(kind), whose(NamespaceKind::User)) {
        (None, _) => has(kind),
        (Some(path), Some(user)) => process(path) == process(user),
        (Some(_), None) => false,
    };
    let privileged = request.security.privileged;
    let mut mounts = Vec::new();
    // The kernel lets root of a user namespace mount only a procfs of a pid namespace and a sysfs of a network
    // namespace that it owns (mount_too_revealing, fs/namespace.c); of others it may show what is there already.
    mounts.push(if user_namespace && !owned(NamespaceKind::Pid) {
        bind("/proc", "/proc", &["rbind", "nosuid", "noexec", "nodev"])
    } else {
        new("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])
    });
    mounts.push(new("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]));
    let gid = plan::ids::on_host(plan::ids::own_or(&facts.users.1, &host.ids.gid), 5).map(|_| "gid=5");
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"].into_iter().chain(gid);
    mounts.push(new("/dev/pts", "devpts", "devpts", &pts.collect::<Vec<_>>()));
    let write = if privileged { "rw" } else { "ro" };
    mounts.push(if user_namespace && !owned(NamespaceKind::Network) {
        bind("/sys", "/sys", &["rbind", "nosuid", "noexec", "nodev", "rro"])
    } else {
        new("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", write])
    });
    mounts.push(new("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", write]));
    // The queues are those of the IPC namespace that the process is in, joined or not, and the host may have no
    // /dev/mqueue to show. But only its owner may mount them (mq_overview(7)).
    mounts.push(if owned(NamespaceKind::Ipc) || !user_namespace {
        new("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])
    } else {
        bind("/dev/mqueue", "/dev/mqueue", &["bind", "nosuid", "noexec", "nodev"])
    });
    let shm = request.files.shm_size.map_or(64 << 20, spec::unit::Size::bytes);
    mounts.push(if has(NamespaceKind::Ipc) {
        let size = format!("size={shm}");
        new("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size])
    } else {
        bind("/dev/shm", "/dev/shm", &["bind", "nosuid", "noexec", "nodev"])
    });
    mounts.extend(facts.fresh.iter().map(|at| {
        let mode = if at.ends_with("tmp") { "mode=1777" } else { "mode=755" };
        new(at, "tmpfs", "tmpfs", &["nosuid", "nodev", mode])
    }));
    // What the user mounts there himself wins; a /dev of his own has all that is to be in it.
    let taken = |to: &str| {
        let by = |target: &str| target == to || target == "/dev" && to.starts_with("/dev/");
        request.files.mounts.iter().any(|mount| by(&mount.target))
    };
    mounts.retain(|mount| !taken(&mount.destination));
    let files = facts.files.iter().filter(|(to, _)| !taken(to));
    let mut own: Vec<Mount> = files.map(|(to, from)| bind(to, from, &["bind", "rprivate"])).collect();
    let secret =
        |(to, from): &(String, String)| bind(to, from, &["bind", "ro", "nosuid", "nodev", "noexec", "rprivate"]);
    own.extend(facts.secrets.iter().map(secret));
    for mount in &request.files.mounts {
        let found = facts.mounted.iter().find(|mounted| mounted.mount.target == mount.target);
        own.push(asked(mount, found, user_namespace, host)?);
    }
    // As docker: what is mounted above comes first, so that nothing is covered by what was named later.
    own.sort_by_key(|mount| mount.destination.matches('/').count());
    mounts.extend(own);
    Ok(mounts)
}

fn new(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: source.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn bind(destination: &str, source: &str, options: &[&str]) -> Mount {
    new(destination, "bind", source, options)
}

fn asked(mount: &Asked, found: Option<&Mounted>, user_namespace: bool, host: &Host) -> Result<Mount, Rejected> {
    let Asked { target, flags, .. } = mount;
    Ok(match &mount.kind {
        Kind::Bind(kind) => asked_bind(target, *flags, kind),
        Kind::Tmpfs(kind) => asked_tmpfs(target, *flags, kind),
        Kind::Devpts(kind) => asked_devpts(target, *flags, kind),
        Kind::Volume(object) => {
            let source = found.map(|found| PathBuf::from(&found.source)).unwrap_or_default();
            let flags = found.map_or(*flags, |found| found.mount.flags);
            asked_bind(target, flags, &Bind { source, idmap: object.idmap.clone(), ..Bind::default() })
        }
        Kind::Image(image) => match found {
            Some(found) => asked_image(target, image, found, user_namespace, host)?,
            None => new(target, "tmpfs", "tmpfs", &["ro"]),
        },
    })
}

/// The layers as one tree; of one layer, that.
fn asked_image(
    target: &str,
    image: &Image,
    found: &Mounted,
    user_namespace: bool,
    host: &Host,
) -> Result<Mount, Rejected> {
    if found.copied {
        let how = if image.writable { "rw" } else { "ro" };
        return Ok(bind(target, &found.source, &["bind", how, "rprivate"]));
    }
    let foreign = user_namespace && !host.rootless();
    if let ([layer], false) = (found.layers.as_slice(), image.writable) {
        let mut mount = bind(target, &layer.to_string_lossy(), &["bind", "ro", "rprivate"]);
        mount.options.extend(foreign.then(|| "idmap".to_owned()));
        return Ok(mount);
    }
    let refuse = |why: &str, hint: &str| {
        Err(Rejected::new(format!("cannot mount image {} on {target}", image.reference), why).hint(hint))
    };
    if foreign {
        return refuse(
            "its layers belong to ids that the user namespace does not have",
            "mount an image of one layer, read-only, or leave the user namespace out",
        );
    }
    let mut mount = new(target, "overlay", "overlay", if image.writable { &[] } else { &["ro"] });
    let layers: Vec<String> = found.layers.iter().map(|layer| layer.to_string_lossy().into_owned()).collect();
    let joined = plan::overlay::join(&layers);
    if host.kernel >= (6, 8) {
        mount.options.extend(layers.iter().map(|layer| format!("lowerdir+={layer}")));
    } else if joined.len() < 256 {
        mount.options.push(format!("lowerdir={joined}"));
    } else {
        return refuse("this kernel takes no names of layers as long as these (since Linux 6.8)", "use a newer kernel");
    }
    if image.writable {
        mount.options.push(format!("upperdir={}/upper", found.source));
        mount.options.push(format!("workdir={}/work", found.source));
    }
    mount.options.extend((user_namespace || !host.initial).then(|| "userxattr".to_owned()));
    Ok(mount)
}

fn asked_devpts(target: &str, flags: Flags, kind: &Devpts) -> Mount {
    let mut mount = new(target, "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666"]);
    mount.options.extend(flags.read_only.then(|| "ro".to_owned()));
    mount.options.push(format!("mode={:04o}", kind.mode.unwrap_or(0o620)));
    for (key, value) in [("uid", kind.uid), ("gid", kind.gid), ("max", kind.max)] {
        mount.options.extend(value.map(|value| format!("{key}={value}")));
    }
    mount
}

fn asked_bind(target: &str, flags: Flags, kind: &Bind) -> Mount {
    let mut options = vec![if kind.recursion == Recursion::Alone { "bind" } else { "rbind" }];
    // Not `rw` otherwise: what the host has read-only stays so.
    options.extend(flags.read_only.then_some(match kind.recursion {
        Recursion::Recursive | Recursion::ReadOnlyBelow => "rro",
        Recursion::WritableBelow | Recursion::Alone => "ro",
    }));
    options.extend(switches(flags));
    options.push(kind.propagation.map_or("rprivate", crate::request::mount::Propagation::option));
    let mut mount = bind(target, &kind.source.to_string_lossy(), &options);
    if let Some(idmap) = &kind.idmap {
        mount.uid_mappings.clone_from(&idmap.uids);
        mount.gid_mappings.clone_from(&idmap.gids);
        mount.options.push("idmap".to_owned());
    }
    mount
}

fn switches(flags: Flags) -> impl Iterator<Item = &'static str> {
    let switch = |value: Option<bool>, on, off| value.map(|value| if value { on } else { off });
    [switch(flags.exec, "exec", "noexec"), switch(flags.dev, "dev", "nodev"), switch(flags.suid, "suid", "nosuid")]
        .into_iter()
        .flatten()
}

fn asked_tmpfs(target: &str, flags: Flags, kind: &Tmpfs) -> Mount {
    // docker's defaults for --tmpfs.
    let defaults = Flags {
        exec: flags.exec.or(Some(false)),
        dev: flags.dev.or(Some(false)),
        suid: flags.suid.or(Some(false)),
        ..flags
    };
    let mut mount = new(target, "tmpfs", "tmpfs", &switches(defaults).collect::<Vec<_>>());
    mount.options.retain(|option| option.starts_with("no"));
    let mut push = |text: String| mount.options.push(text);
    if flags.read_only {
        push("ro".to_owned());
    }
    push(format!("mode={:o}", kind.mode.unwrap_or(0o1777)));
    match kind.size {
        Some(TmpfsSize::Bytes(size)) => push(format!("size={}", size.bytes())),
        Some(TmpfsSize::Percent(percent)) => push(format!("size={percent}%")),
        None => {}
    }
    for (key, value) in [("uid", kind.uid.map(u64::from)), ("gid", kind.gid.map(u64::from)), ("nr_inodes", kind.inodes)]
    {
        if let Some(value) = value {
            push(format!("{key}={value}"));
        }
    }
    mount
}

fn linux(request: &Run, facts: &Facts, host: &Host, bounding: &[String]) -> Result<Linux, Rejected> {
    let security = &request.security;
    let (masked_paths, readonly_paths) = hidden(request);
    Ok(Linux {
        namespaces: namespaces(facts, host),
        uid_mappings: facts.uid_map.clone(),
        gid_mappings: facts.gid_map.clone(),
        sysctl: security.sysctls.iter().cloned().collect(),
        resources: Some(resources(request, facts)?),
        devices: facts.devices.clone(),
        seccomp: profile(request, facts, host, bounding)?.map(Into::into),
        masked_paths,
        readonly_paths,
        ..Linux::default()
    })
}

fn namespaces(facts: &Facts, host: &Host) -> Vec<Namespace> {
    use NamespaceKind as Kind;
    let all = [Kind::User, Kind::Mount, Kind::Pid, Kind::Network, Kind::Uts, Kind::Ipc, Kind::Cgroup, Kind::Time];
    let wanted = all.into_iter().filter(|kind| match kind {
        Kind::User => !facts.uid_map.is_empty() || facts.joined.iter().any(|(joined, _)| joined == kind),
        Kind::Time => host.time_namespace && !facts.shared.contains(kind),
        kind => !facts.shared.contains(kind),
    });
    wanted
        .map(|kind| Namespace {
            kind,
            path: facts.joined.iter().find(|(joined, _)| *joined == kind).map(|(_, path)| path.into()),
        })
        .collect()
}

/// docker's lists of what is masked and what is read-only.
fn hidden(request: &Run) -> (Vec<String>, Vec<String>) {
    const MASKED: [&str; 12] = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ];
    const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
    let security = &request.security;
    let shown = |path: &&&str| match &security.unmask {
        _ if security.privileged => false,
        Unmask::All => false,
        Unmask::Paths(paths) => !paths.iter().any(|shown| shown == **path),
    };
    let own = |paths: &[&str]| paths.iter().filter(shown).map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let mut masked = own(&MASKED);
    masked.extend(security.mask.iter().cloned());
    (masked, own(&READONLY))
}

fn profile(
    request: &Run,
    facts: &Facts,
    host: &Host,
    bounding: &[String],
) -> Result<Option<spec::runtime::Seccomp>, Rejected> {
    let default = || Ok::<_, Rejected>(Some(seccomp::default_profile(bounding, seccomp::Arch::of(host)?)));
    match (&request.security.seccomp, &facts.seccomp) {
        (AskedSeccomp::Unconfined, _) => Ok(None),
        (AskedSeccomp::Default, _) if request.security.privileged => Ok(None),
        (AskedSeccomp::File(_), Some(json)) => seccomp::parse(json, bounding, seccomp::Arch::of(host)?, host.kernel),
        (AskedSeccomp::Default | AskedSeccomp::File(_), _) => default(),
    }
}

fn resources(request: &Run, facts: &Facts) -> Result<Resources, Rejected> {
    Ok(Resources { devices: device_rules(request, facts), ..limits(&request.limits, facts)? })
}

/// Of the facts only those about swap and disks are looked at.
///
/// # Errors
/// A device that this host does not have.
pub fn limits(limits: &Limits, facts: &Facts) -> Result<Resources, Rejected> {
    Ok(Resources {
        memory: memory(limits, facts),
        cpu: cpu(limits),
        pids: limits.pids.map(|limit| Pids { limit: Some(bound(limit, u64::cast_signed)) }),
        block_io: block_io(limits, facts)?,
        ..Resources::default()
    })
}

fn bound<T>(bound: Bound<T>, number: impl FnOnce(T) -> i64) -> i64 {
    match bound {
        Bound::Unlimited => -1,
        Bound::At(value) => number(value),
    }
}

fn bytes(size: spec::unit::Size) -> i64 {
    size.bytes().try_into().unwrap_or(i64::MAX)
}

fn memory(limits: &Limits, facts: &Facts) -> Option<Memory> {
    let limit = limits.memory.map(bytes);
    let memory = Memory {
        limit,
        reservation: limits.memory_reservation.map(bytes),
        // docker: with a memory limit alone, as much again may be swapped.
        swap: match limits.memory_swap {
            Some(swap) => Some(bound(swap, bytes)),
            None => limit.filter(|_| facts.swap).map(|limit| limit.saturating_mul(2)),
        },
        swappiness: limits.memory_swappiness.map(u64::from),
        disable_oom_killer: limits.oom_kill_disable.then_some(true),
        ..Memory::default()
    };
    (memory != Memory::default()).then_some(memory)
}

fn cpu(limits: &Limits) -> Option<Cpu> {
    let numbers = |numbers: &Option<crate::request::limit::Numbers>| {
        numbers.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    let (quota, period) = match limits.cpus {
        Some(cpus) => (Some(cpus.quota()), Some(spec::unit::Cpus::PERIOD)),
        None => (limits.cpu_quota.map(|quota| bound(quota, u64::cast_signed)), limits.cpu_period),
    };
    let cpu = Cpu {
        shares: limits.cpu_shares,
        quota,
        period,
        burst: None,
        cpus: numbers(&limits.cpuset_cpus),
        mems: numbers(&limits.cpuset_mems),
        ..Cpu::default()
    };
    (cpu != Cpu::default()).then_some(cpu)
}

fn block_io(limits: &Limits, facts: &Facts) -> Result<Option<BlockIo>, Rejected> {
    let number = |path: &Path| {
        let found = facts.disks.iter().find(|(known, ..)| known == path);
        found.map(|(_, major, minor)| (i64::from(*major), i64::from(*minor))).ok_or_else(|| {
            Rejected::new(format!("cannot limit the device {}", path.display()), "it is no block device of this host")
                .hint("lsblk lists them")
        })
    };
    let throttle = |path: &Path, rate: u64| number(path).map(|(major, minor)| ThrottleDevice { major, minor, rate });
    let sizes = |rates: &[spec::unit::DeviceRate<spec::unit::Size>]| {
        rates.iter().map(|rate| throttle(&rate.device, rate.rate.bytes())).collect::<Result<Vec<_>, _>>()
    };
    let operations = |rates: &[spec::unit::DeviceRate<spec::unit::Operations>]| {
        rates.iter().map(|rate| throttle(&rate.device, rate.rate.0)).collect::<Result<Vec<_>, _>>()
    };
    let weight = |device: &spec::unit::DeviceWeight| {
        number(&device.device).map(|(major, minor)| WeightDevice {
            major,
            minor,
            weight: device.weight,
            leaf_weight: None,
        })
    };
    let block_io = BlockIo {
        weight: limits.blkio_weight,
        weight_device: limits.blkio_weight_device.iter().map(weight).collect::<Result<_, _>>()?,
        throttle_read_bps_device: sizes(&limits.device_read_bps)?,
        throttle_write_bps_device: sizes(&limits.device_write_bps)?,
        throttle_read_iops_device: operations(&limits.device_read_iops)?,
        throttle_write_iops_device: operations(&limits.device_write_iops)?,
        ..BlockIo::default()
    };
    Ok((block_io != BlockIo::default()).then_some(block_io))
}

/// Nothing but the usual devices and those asked for; everything for `--privileged`.
fn device_rules(request: &Run, facts: &Facts) -> Vec<DeviceRule> {
    if request.security.privileged {
        return vec![DeviceRule { allow: true, access: "rwm".to_owned(), ..DeviceRule::default() }];
    }
    let mut rules = plan::cgroup::default_rules();
    rules.extend(facts.devices.iter().zip(&request.files.devices).map(|(device, asked)| DeviceRule {
        allow: true,
        kind: device.kind.clone(),
        major: Some(device.major),
        minor: Some(device.minor),
        access: asked.access.letters(),
    }));
    rules.extend(request.limits.device_rules.iter().map(|rule| {
        DeviceRule {
            allow: true,
            kind: match rule.kind {
                crate::request::device::DeviceKind::All => "a",
                crate::request::device::DeviceKind::Char => "c",
                crate::request::device::DeviceKind::Block => "b",
            }
            .to_owned(),
            major: rule.major.map(i64::from),
            minor: rule.minor.map(i64::from),
            access: rule.access.letters(),
        }
    }));
    rules
}

/// Which namespaces are the host's, and which of containers or paths are joined, resolved by `pid_of`.
///
/// # Errors
/// What `pid_of` says of a container that is not running.
pub fn joins<E>(
    request: &Run,
    rootless: bool,
    pid_of: impl Fn(&spec::ContainerId) -> Result<i32, E>,
) -> Result<(Vec<Joined>, Vec<NamespaceKind>), E> {
    let names = &request.namespaces;
    let network = match request.network.mode.clone() {
        Some(crate::request::network::Mode::Host) => Join::Host,
        Some(crate::request::network::Mode::Container(id)) => Join::Container(id),
        Some(crate::request::network::Mode::Path(path)) => Join::Path(path),
        _ => Join::Private,
    };
    let user = match names.user.clone() {
        Some(crate::request::User::Container(id)) => Join::Container(id),
        Some(crate::request::User::Path(path)) => Join::Path(path),
        // What an ordinary user's container has belongs to its user namespace, and only who is in that may enter it
        // (setns(2)).
        None if rootless => {
            let all = [&names.pid, &names.ipc, &names.uts, &names.cgroup, &network];
            all.into_iter().find(|join| matches!(join, Join::Container(_))).cloned().unwrap_or_default()
        }
        _ => Join::Private,
    };
    let asked = [
        (NamespaceKind::User, user, "user"),
        (NamespaceKind::Pid, names.pid.clone(), "pid"),
        (NamespaceKind::Ipc, names.ipc.clone(), "ipc"),
        (NamespaceKind::Uts, names.uts.clone(), "uts"),
        (NamespaceKind::Cgroup, names.cgroup.clone(), "cgroup"),
        (NamespaceKind::Network, network, "net"),
    ];
    let (mut joined, mut shared) = (Vec::new(), Vec::new());
    for (kind, join, word) in asked {
        match join {
            Join::Private => {}
            Join::Host => shared.push(kind),
            Join::Container(id) => joined.push((kind, format!("/proc/{}/ns/{word}", pid_of(&id)?))),
            Join::Path(path) => joined.push((kind, path.to_string_lossy().into_owned())),
        }
    }
    Ok((joined, shared))
}
