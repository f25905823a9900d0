//! From init steps to the child's program: everything that needs the heap or a name lookup happens here, before the
//! clone. One function, one match; what a step means in syscalls is said here and nowhere else.

use crate::apply::network::InitOp;
use crate::error::{Error, Result};
use crate::process::Process;
use crate::{apply, progress};
use plan::mounts::{self, Opened, Source};
use plan::overlay::Told;
use plan::step::{At, Exec, InitStep, Node, Plan, Upper, Veil};
use rustix::fs::{Mode, OFlags};
use spec::runtime::{Device, Hook, NamespaceKind, State, Status};
use std::ffi::{CStr, CString, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use sys::child::{self, Attributes, Destination, Flags, Listener, Op, Place, Program, Slot, Strings, Target, Trace};

/// A program and the fds that it names, which must stay open until the clone.
#[derive(Debug)]
pub struct Compiled<'a> {
    pub program: Program<'a>,
    _fds: Vec<OwnedFd>,
}

/// What the reaper does, when the process was called as one: pass signals on and reap. Else nothing.
pub fn reap_if_asked(words: &[OsString]) {
    if let [name, pid, ..] = words
        && name.as_bytes() == child::REAPER.to_bytes()
        && let Some(pid) = pid.to_str().and_then(|pid| pid.parse().ok())
    {
        child::reap(pid)
    }
}

/// The fds that the child gets as standard input, output and error when it has no terminal of its own.
pub type Stdio = [RawFd; 3];

/// What the child has from its parent.
#[derive(Debug)]
pub struct Inherited<'a> {
    /// The child's end of the socket.
    pub sync: RawFd,
    /// What it must not hold.
    pub parents: [RawFd; 2],
    pub stdio: Stdio,
    /// So many more after these.
    pub passed: u32,
    pub trace: &'a Trace,
}

/// # Errors
/// When a namespace that is to be joined cannot be opened, or a string has a NUL byte.
pub fn compile<'a>(plan: &Plan, context: &mut apply::Context, inherited: Inherited<'a>) -> Result<Compiled<'a>> {
    let Inherited { sync, parents, stdio, passed, trace } = inherited;
    let root = plan.init.iter().find_map(|step| match step {
        InitStep::Root { path, .. } => Some(path.as_str()),
        _ => None,
    });
    let ops = Vec::with_capacity(plan.init.len() + 16);
    let mut compiler = Compiler { context, root: root.unwrap_or_default(), ops, fds: Vec::new(), step: 0 };
    for (number, step) in plan.init.iter().enumerate() {
        compiler.step = number as u16;
        compiler.step(step).map_err(|error| progress::child_failed(plan, number, error))?;
        // After the session and before anything can fail with a message of the container's own.
        if matches!(step, InitStep::Session) {
            compiler.push(Op::Stdio { fds: stdio });
        }
    }
    compiler.close_others();
    let exec = exec(&plan.exec)?;
    let program = Program {
        ops: compiler.ops,
        exec,
        sync,
        parents,
        die_with_parent: plan.spawn.die_with_parent,
        passed,
        trace,
        #[cfg(debug_assertions)]
        fault: crate::fault::Fault::asked().and_then(|fault| fault.of_child(plan)),
    };
    Ok(Compiled { program, _fds: compiler.fds })
}

fn strings(texts: &[String]) -> Result<Vec<CString>> {
    texts.iter().map(|text| c(text)).collect()
}

fn hook(hook: &Hook, state: &State) -> Result<child::Hook> {
    // The child knows its number as its hook will see it. Inside a string a quote has a backslash before it.
    const PID: &str = "\"pid\":";
    let text = crate::hook::state(&State { pid: 0, ..state.clone() });
    let (before, after) = text.split_once(&format!("{PID}0")).unwrap_or((&text, ""));
    Ok(child::Hook {
        path: c(&hook.path)?,
        argv: Strings::new(strings(crate::hook::arguments(hook))?),
        env: Strings::new(strings(hook.env.as_deref().unwrap_or_default())?),
        state: [format!("{before}{PID}").into_bytes(), after.as_bytes().to_vec()],
        seconds: hook.timeout.map(i64::cast_unsigned),
    })
}

fn exec(exec: &Exec) -> Result<child::Exec> {
    let mut env = strings(&exec.env)?;
    for hidden in &exec.hidden {
        env.push(crate::secret::variable(&hidden.name, &hidden.from)?);
    }
    Ok(child::Exec {
        candidates: strings(&exec.candidates)?,
        argv: Strings::new(strings(&exec.args)?),
        env: Strings::new(env),
    })
}

pub(crate) fn c(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Nul(text.to_owned()))
}

/// A path inside a slot's directory; `.` and `..` are resolved by text, as the container would see them.
fn place(slot: Slot, path: &str) -> Result<Place> {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let prefixes = (1..=names.len()).map(|length| c(&names[..length].join("/"))).collect::<Result<Vec<_>>>()?;
    // A /proc or /sys that is a link of the image's would put the kernel's files, and what masks them, elsewhere.
    let no_symlinks = matches!(names.first(), Some(&"proc" | &"sys" | &"dev"));
    let names = names.into_iter().map(c).collect::<Result<Vec<_>>>()?;
    Ok(Place { slot, prefixes, names, no_symlinks, follow: true })
}

fn root(path: &str) -> Result<Place> {
    place(Slot::Root, path)
}

struct Compiler<'a> {
    context: &'a mut apply::Context,
    /// The directory that will be the container's root, if it is one.
    root: &'a str,
    ops: Vec<(u16, Op)>,
    fds: Vec<OwnedFd>,
    step: u16,
}

impl Compiler<'_> {
    fn push(&mut self, op: Op) {
        self.ops.push((self.step, op));
    }

    fn step(&mut self, step: &InitStep) -> Result<()> {
        let op = match step {
            InitStep::Join { kind, path } => self.join(*kind, path)?,
            InitStep::AwaitGo | InitStep::AwaitAttached => Op::Await,
            InitStep::BecomeRoot { clear_groups } => Op::BecomeRoot { clear_groups: *clear_groups },
            InitStep::Cgroup(step) => {
                let fd = apply::cgroup::prepare(step, &mut self.context.dirs)?;
                Op::WriteFd { fd: self.keep(fd), data: b"0".to_vec() }
            }
            InitStep::UnshareCgroup => Op::Unshare { flags: sys::process::CLONE_NEWCGROUP },
            InitStep::TimeNamespace { offsets } => {
                self.push(Op::Unshare { flags: sys::process::CLONE_NEWTIME });
                let path = c"/proc/self/timens_offsets".to_owned();
                self.push(Op::WriteProc { path, data: offsets.clone().into_bytes() });
                Op::EnterTime
            }
            InitStep::Undumpable => Op::Undumpable,
            InitStep::Propagation { flags } => Op::Propagation { flags: *flags },
            InitStep::Scratch { at } => tmpfs(at, Slot::Scratch)?,
            InitStep::EmptyRoot { at } => tmpfs(at, Slot::Root)?,
            InitStep::Veil { slot, under, entries } => return self.veil(*slot, under, entries),
            InitStep::Overlay { told: Told::Page { from }, lower, upper, at: At::Root(at), userxattr, .. } => {
                let options = plan::overlay::options(lower, upper.as_ref(), *userxattr, from);
                Op::MountPage { fstype: c"overlay".to_owned(), from: c(from)?, at: c(at)?, options: c(&options)? }
            }
            InitStep::Overlay { lower, upper, at, reader, userxattr, told } => {
                return self.overlay(layers(lower, told)?, upper.as_ref(), at, *reader, *userxattr);
            }
            InitStep::Private { at } => bind(at, at, false, Slot::Scratch, plan::mounts::PRIVATE)?,
            InitStep::Root { path, at, private } => {
                let propagation = if *private { plan::mounts::PRIVATE | plan::mounts::RECURSIVE } else { 0 };
                bind(path, at, true, Slot::Root, propagation)?
            }
            InitStep::Mount(mount) => match copied_link(mount)? {
                Some(to) => Op::Symlink { place: root(&mount.destination)?, to },
                None => Op::Mount(self.mount(mount)?),
            },
            InitStep::Device { device, node } => self.device(device, node)?,
            InitStep::Symlink { path, to } => Op::Symlink { place: root(path)?, to: c(to)? },
            InitStep::Sysctl { key, value } => Op::Write {
                place: root(&format!("/proc/sys/{}", plan::sysctl::path(key)))?,
                data: value.clone().into_bytes(),
            },
            InitStep::Console { uid, rows, columns, console } => {
                Op::Console(child::Console { uid: *uid, rows: *rows, columns: *columns, bind_console: *console })
            }
            InitStep::Enter { pid, start, kinds } => {
                let first = Process { pid: *pid, start: *start }.open()?.ok_or(Error::Gone(*pid))?;
                let flags = kinds.iter().fold(0, |flags, kind| flags | clone_flag(*kind));
                Op::Enter { pidfd: self.keep(first), flags }
            }
            InitStep::Session => Op::Session,
            InitStep::Null => Op::Null,
            InitStep::StandardFiles { uid, gid } => Op::StandardFiles { uid: *uid, gid: *gid },
            InitStep::Mask { path, label } => {
                let context = if label.is_empty() { None } else { Some((c"context".to_owned(), Some(c(label)?))) };
                Op::Mask { place: root(path)?, config: context.into_iter().collect() }
            }
            InitStep::Label { path, label } => Op::Label { place: root(path)?, label: c(label)? },
            InitStep::Readonly { path } => Op::Readonly { place: root(path)? },
            InitStep::ReadonlyMount { path } => Op::ReadonlyMount { place: root(path)? },
            InitStep::Pivot { .. } => Op::Pivot,
            InitStep::Chroot { .. } => Op::Chroot { to: None },
            InitStep::ChrootOf { pid, start } => {
                let first = Process { pid: *pid, start: *start };
                let root = sys::process::open_root(*pid)?;
                // Looked at after the root was opened: it still is that of this process.
                first.open()?.ok_or(Error::Gone(*pid))?;
                Op::Chroot { to: Some(self.keep(root)) }
            }
            InitStep::Move { hidden, .. } => {
                let hidden = hidden.iter().map(|mount| Ok((c(&mount.path)?, mount.full)));
                Op::Move { hidden: hidden.collect::<Result<Vec<_>>>()? }
            }
            InitStep::Hostname(name) => Op::Hostname(name.clone().into_bytes()),
            InitStep::Domainname(name) => Op::Domainname(name.clone().into_bytes()),
            InitStep::Network(step) => match apply::network::compile(step)? {
                InitOp::Netlink(requests) => Op::Netlink(requests),
                InitOp::Abroad(socket, requests) => {
                    self.fds.push(socket.into());
                    Op::Netlink(requests)
                }
                InitOp::Write { path, bytes } => Op::Write { place: root(&path)?, data: bytes.to_vec() },
            },
            InitStep::Keyring => Op::Keyring,
            InitStep::Rlimit { kind, soft, hard } => Op::Rlimit {
                resource: sys::process::rlimit(kind).ok_or_else(|| Error::Unknown(kind.clone()))?,
                soft: *soft,
                hard: *hard,
            },
            InitStep::Affinity(Some(cpus)) => Op::Affinity(cpus.mask.clone()),
            // As many as any kernel has: it takes what it knows of them.
            InitStep::Affinity(None) => Op::Affinity(vec![u64::MAX; 8192 / 64]),
            InitStep::Scheduler(it) => Op::Scheduler(child::Scheduler {
                size: size_of::<child::Scheduler>() as u32,
                policy: it.policy,
                flags: it.flags,
                nice: it.nice,
                priority: it.priority,
                runtime: it.runtime,
                deadline: it.deadline,
                period: it.period,
            }),
            InitStep::IoPriority(priority) => Op::IoPriority(*priority),
            InitStep::Personality(persona) => Op::Personality(*persona),
            InitStep::MemoryPolicy(it) => Op::MemoryPolicy { mode: it.mode, nodes: it.nodes.clone() },
            InitStep::Umask(mask) => Op::Umask(*mask),
            InitStep::Bounding { keep, last } => Op::Bounding { keep: plan::capability::bits(keep), last: *last },
            InitStep::User { uid, gid, groups } => {
                if let Some(groups) = groups {
                    self.push(Op::Groups(groups.clone()));
                }
                Op::Ids { uid: *uid, gid: *gid }
            }
            InitStep::Capabilities { effective, permitted, inheritable, ambient } => {
                let bits = |names: &[String]| plan::capability::bits(names);
                Op::Capabilities {
                    effective: bits(effective),
                    permitted: bits(permitted),
                    inheritable: bits(inheritable),
                    ambient: bits(ambient),
                }
            }
            // It waits for the exec, so it can be asked for early.
            InitStep::AppArmor { profile } => Op::WriteProc {
                path: c"/proc/thread-self/attr/apparmor/exec".to_owned(),
                data: format!("exec {profile}").into_bytes(),
            },
            InitStep::SelinuxLabel { label, keys } => {
                let write = |file: &CStr| Op::WriteProc { path: file.to_owned(), data: label.clone().into_bytes() };
                if *keys {
                    self.push(write(c"/proc/thread-self/attr/keycreate"));
                }
                write(c"/proc/thread-self/attr/exec")
            }
            InitStep::NoNewPrivileges => Op::NoNewPrivileges,
            InitStep::Seccomp { program, send } => Op::Seccomp {
                program: program.instructions.iter().map(instruction).collect(),
                flags: program.flags,
                listener: program.notifies().then_some(if *send { Listener::Sent } else { Listener::Taken }),
            },
            InitStep::Workdir { path } => Op::Directory { place: root(path)?, mode: 0o755, owner: None },
            InitStep::Chdir { path, create } => {
                Op::Chdir { path: c(path)?, create: create.then(|| root(path)).transpose()? }
            }
            InitStep::Reaper { alone } => {
                let (path, device, inode) = sys::process::own_program()?;
                Op::Reaper { path, device, inode, alone: *alone }
            }
            InitStep::NotSampan => {
                let (_, device, inode) = sys::process::own_program()?;
                Op::NotThis { device, inode }
            }
            InitStep::AwaitHooks => Op::AwaitHooks,
            InitStep::Hook { hook, state, .. } => {
                // As runc: what it names without a path is of the container's root, which is not `/` yet.
                if state.status == Status::Creating {
                    self.push(Op::EnterRoot);
                }
                Op::Hook(self::hook(hook, state)?)
            }
            InitStep::EndBySignals => Op::EndBySignals,
            InitStep::FindCommand => Op::FindCommand,
            InitStep::AwaitStart { gate, outcome } => {
                let gate = self.keep(crate::gate::child(gate)?);
                Op::AwaitStart { gate, outcome: self.keep(crate::gate::child_outcome(outcome)?) }
            }
            InitStep::Ready => Op::Ready,
        };
        self.push(op);
        Ok(())
    }

    /// When the last of the container is made, and before a filter that may not let it through.
    fn close_others(&mut self) {
        let gate = self.ops.iter().find_map(|(_, op)| match op {
            Op::AwaitStart { gate, outcome } => Some([*gate, *outcome]),
            _ => None,
        });
        let [gate, outcome] = gate.unwrap_or([-1; 2]);
        if let Some(at) = self.ops.iter().position(|(_, op)| matches!(op, Op::NotThis { .. })) {
            let step = self.ops[at].0;
            self.ops.insert(at + 1, (step, Op::Close { keep: [gate, outcome] }));
        }
    }

    fn join(&mut self, kind: NamespaceKind, path: &str) -> Result<Op> {
        let fd = sys::process::open_namespace(path)?;
        Ok(Op::Setns { fd: self.keep(fd), flags: clone_flag(kind) as i32 })
    }

    fn overlay(
        &mut self,
        mut config: Vec<(CString, Option<CString>)>,
        upper: Option<&Upper>,
        at: &At,
        reader: Option<(u32, u32)>,
        userxattr: bool,
    ) -> Result<()> {
        if let Some(Upper { upper, work, volatile, .. }) = upper {
            config.push((c"upperdir".to_owned(), Some(c(upper)?)));
            config.push((c"workdir".to_owned(), Some(c(work)?)));
            if *volatile {
                config.push((c"volatile".to_owned(), None));
            }
        }
        if userxattr {
            config.push((c"userxattr".to_owned(), None));
        }
        let destination = match at {
            At::Root(path) => Destination::Host { path: c(path)?, slot: Slot::Root },
            At::Inside(path) => Destination::Place { place: root(path)?, target: Target::Directory },
            At::Scratch(path) => Destination::Place { place: place(Slot::Scratch, path)?, target: Target::Directory },
        };
        if let Some((uid, gid)) = reader {
            self.push(Op::FileSystemIds { uid, gid });
        }
        self.push(Op::Mount(child::Mount {
            source: child::Source::Filesystem { fstype: c"overlay".to_owned(), config, flags: 0, like: false },
            shifted: false,
            destination,
            attributes: Attributes::default(),
        }));
        if reader.is_some() {
            self.push(Op::FileSystemIds { uid: 0, gid: 0 });
        }
        Ok(())
    }

    fn veil(&mut self, slot: plan::step::Slot, under: &str, entries: &[Veil]) -> Result<()> {
        let slot = match slot {
            plan::step::Slot::Root => Slot::Root,
            plan::step::Slot::Scratch => Slot::Scratch,
        };
        for entry in entries {
            let op = match entry {
                Veil::Whiteout { path } => Op::Node {
                    place: place(slot, &format!("{under}{path}"))?,
                    mode: sys::process::S_IFCHR,
                    device: 0,
                    owner: (0, 0),
                },
                Veil::Directory { path, mode, uid, gid } => Op::Directory {
                    place: place(slot, &format!("{under}{path}"))?,
                    mode: *mode,
                    owner: Some((*uid, *gid)),
                },
            };
            self.push(op);
        }
        Ok(())
    }

    /// Open until the clone.
    fn keep(&mut self, fd: OwnedFd) -> RawFd {
        let number = fd.as_raw_fd();
        self.fds.push(fd);
        number
    }

    fn tree(
        &mut self,
        path: &str,
        below: Option<&str>,
        recursive: bool,
        mount: &mounts::Mount,
    ) -> Result<child::Source> {
        let tree = match below {
            Some(below) => sys::mount::tree_below(path, below, recursive)?,
            None => sys::mount::tree(path, recursive, !mount.links.source)?,
        };
        // What is mounted in it in the container, masks among it, is seen on the host only where that was asked for: the
        // child's change of its whole namespace does not reach a copy that is attached nowhere.
        if mount.attributes.propagation & mounts::SHARED == 0 {
            sys::mount::enslave(tree.as_fd())?;
        }
        if let Some(idmap) = &mount.idmap {
            self.context.shift(tree.as_fd(), path, &idmap.maps, idmap.recursive)?;
        }
        Ok(child::Source::Detached { fd: self.keep(tree) })
    }

    fn device(&mut self, device: &Device, node: &Node) -> Result<Op> {
        let source = match node {
            Node::Made => return make_node(device),
            Node::Host => {
                apply::device::check(device)?;
                child::Source::Tree { path: c(&device.path)?, below: None, recursive: false, follow: true }
            }
            Node::Parent(path) => {
                let tree = sys::mount::tree(path, false, false)?;
                // The mount that it was made in may be `nodev`, as /run is.
                sys::mount::allow_devices(tree.as_fd())?;
                child::Source::Detached { fd: self.keep(tree) }
            }
        };
        // A device is neither run nor has it rights to give.
        let own = Flags { set: mounts::NOSUID | mounts::NOEXEC, clear: 0 };
        Ok(Op::Mount(child::Mount {
            source,
            shifted: false,
            destination: Destination::Place { place: root(&device.path)?, target: Target::File },
            attributes: Attributes { own, ..Attributes::default() },
        }))
    }

    fn mount(&mut self, mount: &mounts::Mount) -> Result<child::Mount> {
        let place = Place { follow: !mount.links.destination, ..root(&mount.destination)? };
        let mut attributes = attributes(mount.attributes);
        let (source, target) = match &mount.source {
            Source::Filesystem { fstype, source, data } => {
                (self.filesystem(mount, fstype, source, data, &mut attributes)?, Target::Directory)
            }
            Source::Bind { path, below, recursive, opened } => {
                let source = match opened {
                    Opened::ByParent => self.tree(path, below.as_deref(), *recursive, mount)?,
                    Opened::ByChild => child::Source::Tree {
                        path: c(path)?,
                        below: below.as_deref().map(c).transpose()?,
                        recursive: *recursive,
                        follow: !mount.links.source,
                    },
                    Opened::Inside => {
                        let place = Place { follow: !mount.links.source, ..root(path)? };
                        child::Source::Inside { place, recursive: *recursive }
                    }
                };
                (source, Target::LikeSource)
            }
        };
        // Of what the child opens the parent has to be asked.
        let shifted = mount.idmap.is_some() && !matches!(source, child::Source::Detached { .. });
        Ok(child::Mount { source, shifted, destination: Destination::Place { place, target }, attributes })
    }

    fn filesystem(
        &mut self,
        mount: &mounts::Mount,
        fstype: &str,
        source: &str,
        data: &[(String, Option<String>)],
        attributes: &mut Attributes,
    ) -> Result<child::Source> {
        let mut config = vec![(c"source".to_owned(), Some(c(if source.is_empty() { fstype } else { source })?))];
        for (key, value) in data {
            config.push((c(key)?, value.as_deref().map(c).transpose()?));
        }
        let like = fstype == "tmpfs" && !data.iter().any(|(key, _)| key == "mode");
        if mount.filled {
            let tree = sys::mount::filesystem(&c(fstype)?, &config)?;
            let root = rustix::fs::open(self.root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(sys::Error::of(|| format!("open({:?}, O_DIRECTORY)", self.root)))?;
            sys::copy::fill(tree.as_fd(), root.as_fd(), &mount.destination, like)?;
            return Ok(child::Source::Detached { fd: self.keep(tree) });
        }
        let flags = std::mem::take(&mut attributes.own).set as u32;
        Ok(child::Source::Filesystem { fstype: c(fstype)?, config, flags, like })
    }
}

fn attributes(mount: mounts::Attributes) -> Attributes {
    let flags = |flags: mounts::Flags| Flags { set: flags.set, clear: flags.clear };
    Attributes {
        own: flags(mount.own),
        named: mount.named,
        all: flags(mount.all),
        locked: mount.locked,
        propagation: mount.propagation,
    }
}

/// What the source of a mount names, where it is a link that is to be made anew.
fn copied_link(mount: &mounts::Mount) -> Result<Option<CString>> {
    let (true, Source::Bind { path, .. }) = (mount.links.copied, &mount.source) else { return Ok(None) };
    match rustix::fs::readlink(path, Vec::new()) {
        Err(rustix::io::Errno::INVAL) => Ok(None),
        other => Ok(Some(other.map_err(sys::Error::of(|| format!("readlink({path:?})")))?)),
    }
}

/// A directory of the host's on another, which is kept in the slot.
fn bind(from: &str, at: &str, recursive: bool, slot: Slot, propagation: u64) -> Result<Op> {
    Ok(Op::Mount(child::Mount {
        source: child::Source::Tree { path: c(from)?, below: None, recursive, follow: true },
        shifted: false,
        destination: Destination::Host { path: c(at)?, slot },
        attributes: Attributes { propagation, ..Attributes::default() },
    }))
}

fn tmpfs(at: &str, slot: Slot) -> Result<Op> {
    let config = vec![(c"mode".to_owned(), Some(c"755".to_owned()))];
    Ok(Op::Mount(child::Mount {
        source: child::Source::Filesystem { fstype: c"tmpfs".to_owned(), config, flags: 0, like: false },
        shifted: false,
        destination: Destination::Host { path: c(at)?, slot },
        attributes: Attributes::default(),
    }))
}

pub(crate) fn layers(lower: &[String], told: &Told) -> Result<Vec<(CString, Option<CString>)>> {
    match told {
        Told::Each => lower.iter().map(|path| Ok((c"lowerdir+".to_owned(), Some(c(path)?)))).collect(),
        Told::Together | Told::Page { .. } => Ok(vec![(c"lowerdir".to_owned(), Some(c(&plan::overlay::join(lower))?))]),
    }
}

fn make_node(device: &Device) -> Result<Op> {
    Ok(Op::Node {
        place: root(&device.path)?,
        mode: apply::device::kind(device)? | device.file_mode.unwrap_or(0o666),
        device: apply::device::number(device),
        owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)),
    })
}

/// A `struct sock_filter`.
fn instruction(instruction: &plan::seccomp::Instruction) -> [u8; 8] {
    let [c0, c1] = instruction.code.to_ne_bytes();
    let [k0, k1, k2, k3] = instruction.k.to_ne_bytes();
    [c0, c1, instruction.jt, instruction.jf, k0, k1, k2, k3]
}

/// The clone flag of a namespace.
#[must_use]
pub fn clone_flag(kind: NamespaceKind) -> u64 {
    use sys::process as p;
    let flag = match kind {
        NamespaceKind::Pid => p::CLONE_NEWPID,
        NamespaceKind::Network => p::CLONE_NEWNET,
        NamespaceKind::Mount => p::CLONE_NEWNS,
        NamespaceKind::Ipc => p::CLONE_NEWIPC,
        NamespaceKind::Uts => p::CLONE_NEWUTS,
        NamespaceKind::User => p::CLONE_NEWUSER,
        NamespaceKind::Cgroup => p::CLONE_NEWCGROUP,
        NamespaceKind::Time => p::CLONE_NEWTIME,
    };
    flag as u64
}
