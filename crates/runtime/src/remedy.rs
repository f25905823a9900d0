//! The fix for a step that failed, where the step and the errno leave no doubt about it.
//!
//! One table: the step's own lines first, then what an errno means for whatever is done with files.

use crate::apply::cgroup::Error as Failed;
use crate::error::Error;
use crate::progress::Doing;
use plan::cgroup;
use plan::mounts::{Mount, Source};
use plan::step::{AttachStep, HostStep, InitStep, Node, Spawn};
use rustix::io::Errno;
use spec::runtime::NamespaceKind;
use sys::process::Exit;

const AFFINITY: &str = "none of these CPUs is there and in the cpuset: see cpuset.cpus.effective of the cgroup";

/// What to do about it; none is better than a guess.
pub(crate) fn hint(doing: Doing<'_>, error: &Error) -> Option<String> {
    if let Error::Died(exit) = error {
        return died(*exit).map(str::to_owned);
    }
    let errno = errno(error)?;
    let own = match doing {
        Doing::Spawn(spawn) => self::spawn(spawn, errno),
        Doing::Init(step) => init(step, errno),
        Doing::Host(HostStep::Idmapped { from, .. }) if errno == Errno::INVAL => {
            Some(format!("the file system of {from} has no mounts with shifted ids: keep images on ext4, xfs or btrfs"))
        }
        Doing::Host(HostStep::Cgroup(cgroup::HostStep::Limit(limit)))
        | Doing::Attach(AttachStep::Cgroup(cgroup::AttachStep::Host(cgroup::HostStep::Limit(limit))))
            if errno == Errno::INVAL && limit.file.starts_with("cpu.rt_") =>
        {
            Some(format!(
                "each cgroup above needs as much of it, for all below together: write {} there first",
                limit.file
            ))
        }
        Doing::Host(HostStep::Affinity(_)) if errno == Errno::INVAL => Some(AFFINITY.to_owned()),
        Doing::Host(HostStep::Cgroup(_)) if matches!(errno, Errno::PERM | Errno::ACCESS | Errno::ROFS) => {
            Some("these cgroups are not sampan's to change: run as the host's root, or have some delegated".to_owned())
        }
        Doing::Attach(AttachStep::Network(plan::network::AttachStep::Pasta(_))) if errno == Errno::IO => {
            Some("pasta needs a link with a way out: --network none and host do without".to_owned())
        }
        Doing::Host(_) | Doing::Attach(_) => None,
    };
    own.or_else(|| sys::remedy(errno).map(str::to_owned))
}

fn errno(error: &Error) -> Option<Errno> {
    match error {
        Error::Sys(error) => Some(error.errno),
        Error::Cgroup(Failed::Call(source) | Failed::Limit { source, .. }) => Some(source.errno),
        Error::Child { errno, .. } => Some(*errno),
        _ => None,
    }
}

/// The exec itself, for what only it can find out.
pub(crate) fn of_exec(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::ACCESS => "it must be executable for the container's user, on a file system without noexec",
        Errno::NOENT => "the program, or the interpreter or loader that it names, is not in the container",
        Errno::NOEXEC => "it must be a program for this machine, or a script with a first line such as #!/bin/sh",
        Errno::TOOBIG => "one argument or variable takes 128 KiB at most, all together a quarter of --ulimit stack",
        _ => return sys::remedy(errno),
    })
}

fn died(exit: Exit) -> Option<&'static str> {
    use rustix::process::Signal;
    match exit {
        Exit::Signal(signal) if signal == Signal::KILL.as_raw() => {
            Some("if memory ran out, dmesg says so: ask for a higher --memory, or end something else")
        }
        Exit::Signal(signal) if signal == Signal::SYS.as_raw() => {
            Some("the seccomp profile kills a call that is needed up to the exec: let it return an errno instead")
        }
        _ => None,
    }
}

fn spawn(spawn: &Spawn, errno: Errno) -> Option<String> {
    Some(match errno {
        // clone(2): one of the limits on namespaces, or 32 of them in each other.
        Errno::NOSPC | Errno::USERS => {
            let names = spawn.namespaces.iter().map(|kind| format!("user.max_{}_namespaces", sysctl_word(*kind)));
            format!("one of these limits is reached, raise it as root: sysctl {}", names.collect::<Vec<_>>().join(" "))
        }
        Errno::PERM if spawn.namespaces.contains(&NamespaceKind::User) => {
            "user namespaces are restricted here, by AppArmor, a seccomp filter or a chroot: run as root, or outside of it"
                .to_owned()
        }
        Errno::PERM => "run as root with CAP_SYS_ADMIN, or as an ordinary user".to_owned(),
        Errno::INVAL => "the kernel lacks one of these namespaces: see CONFIG_NAMESPACES".to_owned(),
        Errno::AGAIN => {
            "the limit on processes is reached: ulimit -u, kernel.pid_max, or pids.max of sampan's own cgroup".to_owned()
        }
        Errno::NOMEM if spawn.join_pid.is_some() => "the container whose processes were to be shared has ended".to_owned(),
        _ => return None,
    })
}

fn sysctl_word(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Mount => "mnt",
        other => plan::step::namespace_word(other),
    }
}

fn init(step: &InitStep, errno: Errno) -> Option<String> {
    Some(match (step, errno) {
        (InitStep::Chdir { path, .. }, Errno::NOTDIR) => {
            format!("part of {path} is a file in there: name a directory with --workdir")
        }
        (InitStep::Chdir { path, .. }, Errno::NOENT) => {
            format!("there is no {path} in there: name a directory with --workdir")
        }
        (InitStep::Chdir { path, .. }, Errno::LOOP) => {
            format!("{path} goes round in links, or through /proc to what is not the container's: name its real path")
        }
        (InitStep::Overlay { .. }, Errno::NODEV) => "the kernel has no overlayfs: modprobe overlay, as root".to_owned(),
        (InitStep::Overlay { userxattr: true, .. }, Errno::PERM) => {
            "overlayfs in a user namespace needs Linux 5.11: run as root, or use a directory with --rootfs".to_owned()
        }
        (InitStep::Overlay { upper: Some(_), .. }, Errno::INVAL) => {
            "overlayfs does not write to every file system: keep containers on ext4, xfs, btrfs or tmpfs with --root"
                .to_owned()
        }
        (InitStep::TimeNamespace { .. }, Errno::RANGE) => {
            "a clock would begin before 0, or end too soon: see time_namespaces(7)".to_owned()
        }
        (InitStep::Affinity(_), Errno::INVAL) => AFFINITY.to_owned(),
        // sched_setattr(2), 6 is SCHED_DEADLINE.
        (InitStep::Scheduler(it), Errno::PERM) if it.policy == 6 => {
            "SCHED_DEADLINE needs CAP_SYS_NICE, and a cpuset with all CPUs: leave linux.resources.cpu.cpus out"
                .to_owned()
        }
        // 1 and 2 are SCHED_FIFO and SCHED_RR. With CONFIG_RT_GROUP_SCHED a new cgroup has no time for them.
        (InitStep::Scheduler(it), Errno::PERM) if matches!(it.policy, 1 | 2) => {
            "a realtime policy needs CAP_SYS_NICE, and on cgroup v1 a cgroup whose cpu.rt_runtime_us is not 0: set \
             linux.resources.cpu.realtimeRuntime"
                .to_owned()
        }
        (InitStep::MemoryPolicy(_), Errno::NOSYS) => "the kernel has no memory policies (CONFIG_NUMA)".to_owned(),
        (InitStep::MemoryPolicy(_), Errno::INVAL) => {
            "a node is not there or not in the cpuset, or the mode does not go with the flags: see set_mempolicy(2)"
                .to_owned()
        }
        (InitStep::SelinuxLabel { label, .. } | InitStep::Label { label, .. }, Errno::INVAL) => {
            format!("the policy knows no {label}: seinfo and sestatus show what it has")
        }
        (InitStep::SelinuxLabel { label, .. }, Errno::ACCESS) => {
            format!("the policy lets sampan start nothing as {label}: ausearch -m avc says what is missing")
        }
        (InitStep::Cgroup(_), Errno::NOSPC) => {
            "that cgroup has no CPUs or no memory nodes: write its cpuset.cpus and cpuset.mems first".to_owned()
        }
        (InitStep::Mount(mount), errno) => return self::mount(mount, errno),
        (InitStep::Sysctl { key, .. }, Errno::NOENT) => {
            format!("this kernel, or the container's kind of network, has no {key}: sysctl -a shows what there is")
        }
        (InitStep::Sysctl { key, .. }, Errno::INVAL | Errno::RANGE) => {
            format!("{key} does not take that value: see the kernel's Documentation/admin-guide/sysctl")
        }
        (InitStep::Sysctl { key, .. }, Errno::PERM | Errno::ACCESS | Errno::ROFS) => {
            format!("{key} is not for a user namespace to set: run as root, or set it on the host")
        }
        (InitStep::Join { kind, .. }, Errno::PERM) => {
            format!("the {} namespace belongs to somebody else: run as root", plan::step::namespace_word(*kind))
        }
        (InitStep::Join { kind, .. }, Errno::INVAL) => {
            format!("that is no {} namespace, or the caller is in it", plan::step::namespace_word(*kind))
        }
        (InitStep::Rlimit { .. }, Errno::PERM) => "ask for no more than sampan's own hard limit: ulimit -Ha".to_owned(),
        (InitStep::User { .. }, Errno::INVAL) => "the user namespace has no such id: see its uid_map".to_owned(),
        (InitStep::Seccomp { .. }, Errno::INVAL) => {
            "the kernel cannot do what the profile asks: sampan info shows which actions it has".to_owned()
        }
        (InitStep::Device { .. }, Errno::EXIST) => {
            "the image has something else there: give the device another path, --device HOST:CONTAINER".to_owned()
        }
        (InitStep::Device { device, node: Node::Host }, Errno::NOENT) => {
            let (path, kind, major, minor) = (&device.path, &device.kind, device.major, device.minor);
            format!("a user namespace gets the host's own node, and it has none: mknod {path} {kind} {major} {minor}")
        }
        (InitStep::Device { .. }, Errno::PERM) => {
            "the device cgroup that sampan is in forbids the device, or CAP_MKNOD is missing".to_owned()
        }
        _ => return None,
    })
}

fn mount(mount: &Mount, errno: Errno) -> Option<String> {
    Some(match (&mount.source, errno) {
        (Source::Filesystem { fstype, .. }, Errno::LOOP | Errno::NOTDIR)
            if matches!(fstype.as_str(), "proc" | "sysfs") =>
        {
            format!(
                "{fstype} must be mounted on ordinary directory: what the root has at {} is none",
                mount.destination
            )
        }
        (Source::Filesystem { fstype, .. }, Errno::NODEV) => {
            format!("the kernel has no file system {fstype}: modprobe {fstype}, as root")
        }
        (Source::Filesystem { fstype, .. }, Errno::INVAL | Errno::NOTDIR) => {
            let at = &mount.destination;
            format!(
                "{at} is a file there, or {fstype} does not know one of the options, or a value of them: see mount(8)"
            )
        }
        (Source::Filesystem { fstype, .. }, Errno::PERM) if fstype == "proc" => {
            "sampan is in a container that covers part of /proc: start that one with \
             --security-opt systempaths=unconfined (podman: unmask=ALL)"
                .to_owned()
        }
        (Source::Bind { path, .. }, Errno::NOENT) => format!("{path} is not there any more"),
        (Source::Bind { path, .. }, Errno::NOTDIR | Errno::ISDIR) => {
            format!("{path} and {} must both be directories, or both be files", mount.destination)
        }
        (Source::Bind { path, .. }, Errno::ACCESS) => format!("the caller may not look into {path}: change its mode"),
        (_, Errno::ROFS) => "make the place to mount it in the image, whose files cannot be changed here".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::step::{At, Upper};

    fn says(doing: Doing<'_>, errno: Errno, part: &str) {
        let hint = hint(doing, &Error::Child { call: "x", errno });
        assert!(hint.as_deref().is_some_and(|hint| hint.contains(part)), "{hint:?}");
    }

    #[test]
    fn what_a_kernel_lacks_is_named() {
        let namespaces = vec![NamespaceKind::Mount, NamespaceKind::User];
        let mut spawn = Spawn { namespaces, cgroup: None, join_pid: None, through: Vec::new(), die_with_parent: true };
        says(Doing::Spawn(&spawn), Errno::NOSPC, "user.max_mnt_namespaces user.max_user_namespaces");
        says(Doing::Spawn(&spawn), Errno::PERM, "AppArmor");
        says(Doing::Spawn(&spawn), Errno::AGAIN, "pids.max");
        spawn.namespaces.pop();
        says(Doing::Spawn(&spawn), Errno::PERM, "CAP_SYS_ADMIN");

        let upper = Some(Upper { upper: "/u".into(), work: "/w".into(), volatile: false, limit: None });
        let at = At::Root("/r".into());
        let (lower, told) = (vec!["/l".into()], plan::overlay::Told::Together);
        let overlay = InitStep::Overlay { lower, upper, at, reader: None, userxattr: true, told };
        says(Doing::Init(&overlay), Errno::NODEV, "modprobe overlay");
        says(Doing::Init(&overlay), Errno::PERM, "Linux 5.11");
        says(Doing::Init(&overlay), Errno::INVAL, "--root");
        says(Doing::Init(&overlay), Errno::NOSPC, "df -i");
        says(Doing::Init(&InitStep::Keyring), Errno::NOSYS, "older than sampan needs");
        assert_eq!(hint(Doing::Init(&InitStep::Ready), &Error::Child { call: "x", errno: Errno::IO }), None);
    }
}
