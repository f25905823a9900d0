//! The loop itself. See the module above for what may not happen here.

use super::{
    Attributes, Console, Destination, Exec, Flags, Hook, Listener, Mount, Op, Place, Program, Report, Slot, Source,
    Target,
};
use libc::{c_char, c_int, c_long};
use std::ffi::{CStr, CString};
use std::os::fd::RawFd;

/// The number of the call, and the errno.
type Failure = (c_long, c_int);
type Outcome<T> = Result<T, Failure>;

const AT_EMPTY_PATH: c_long = 0x1000;
const OPEN_TREE_CLONE: c_long = 1;
const OPEN_TREE_CLOEXEC: c_long = libc::O_CLOEXEC as c_long;
const AT_RECURSIVE: c_long = 0x8000;
const AT_SYMLINK_NOFOLLOW: c_long = libc::AT_SYMLINK_NOFOLLOW as c_long;
const MOVE_MOUNT_F_EMPTY_PATH: c_long = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: c_long = 0x40;
const FSCONFIG_SET_FLAG: c_long = 0;
const FSCONFIG_SET_STRING: c_long = 1;
const FSCONFIG_CMD_CREATE: c_long = 6;
const MOUNT_ATTR_RDONLY: u64 = 1;
/// Read-only, nosuid, nodev and noexec have the same number as an attribute and to statfs(2).
const LOCKABLE: u64 = 0xf;
/// The ways to keep the time of access, and nodiratime: locked all together.
const MOUNT_ATTR_TIMES: u64 = 0x70 | MOUNT_ATTR_NODIRATIME;
const MOUNT_ATTR_NOATIME: u64 = 0x10;
const MOUNT_ATTR_STRICTATIME: u64 = 0x20;
const MOUNT_ATTR_NODIRATIME: u64 = 0x80;
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_IN_ROOT: u64 = 0x10;
const NO_FD: RawFd = -1;
const EMPTY: &CStr = c"";
const DEVICE_NULL: u64 = libc::makedev(1, 3);

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// One raw system call. The arguments are numbers: what they point to must outlive the call, which holds for the
/// program's data and for the locals of the caller.
fn call(number: c_long, args: [c_long; 6]) -> Outcome<c_long> {
    // SAFETY: the kernel checks numbers and pointers; every pointer given in this file is to memory that lives across
    // the call and, where the kernel writes, is exclusively borrowed for it. libc::syscall takes no lock and only sets
    // this thread's errno.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]) };
    if result < 0 {
        // SAFETY: errno of this thread, just set.
        Err((number, unsafe { *libc::__errno_location() }))
    } else {
        Ok(result)
    }
}

macro_rules! sys {
    ($name:ident $(, $arg:expr)*) => {{
        let given: &[c_long] = &[$( ($arg) as c_long ),*];
        let mut args: [c_long; 6] = [0; 6];
        args[..given.len()].copy_from_slice(given);
        call(libc::$name, args)
    }};
}

macro_rules! names {
    ($($name:ident)*) => {
        /// The name of a call that this file makes.
        pub(super) fn call_name(number: i64) -> &'static str {
            const PREFIX: usize = "SYS_".len();
            $( if number == libc::$name { return &stringify!($name)[PREFIX..]; } )*
            "syscall"
        }
    };
}

names!(SYS_setns SYS_unshare SYS_setresuid SYS_setresgid SYS_setgroups SYS_mount SYS_umount2 SYS_fsopen SYS_fsconfig
    SYS_fsmount SYS_open_tree SYS_move_mount SYS_mount_setattr SYS_openat2 SYS_openat SYS_mkdirat SYS_mknodat
    SYS_symlinkat SYS_fchownat SYS_fchmod SYS_fchmodat SYS_write SYS_read SYS_setfsuid SYS_setfsgid SYS_newfstatat
    SYS_dup2 SYS_dup3 SYS_ioctl SYS_setsid SYS_chdir SYS_chroot SYS_fchdir SYS_getcwd SYS_pivot_root SYS_sethostname SYS_setdomainname
    SYS_socket SYS_sendto SYS_recvfrom SYS_sendmsg SYS_keyctl SYS_prlimit64 SYS_prctl SYS_capset SYS_pipe2
    SYS_execveat SYS_fstatfs SYS_readlinkat SYS_seccomp SYS_umask SYS_execve SYS_fork SYS_clone SYS_close_range
    SYS_rt_sigprocmask SYS_rt_sigaction SYS_recvmsg SYS_ppoll SYS_memfd_create SYS_lseek SYS_wait4 SYS_faccessat2
    SYS_sched_setattr SYS_ioprio_set SYS_personality SYS_set_mempolicy SYS_sched_setaffinity
    SYS_fcntl SYS_fsetxattr);

fn text(path: &CStr) -> c_long {
    path.as_ptr() as c_long
}

fn close(fd: RawFd) {
    if fd >= 0 {
        let _ = sys!(SYS_close, fd);
    }
}

struct State<'a> {
    exec: &'a Exec,
    slots: [RawFd; 2],
    /// The empty read-only tmpfs that covers the first directory that is masked.
    mask: RawFd,
    /// Its program, and whether it is all that there is.
    reaper: Option<(RawFd, bool)>,
    listener: RawFd,
    sync: RawFd,
    passed: u32,
    step: u16,
    /// The working directory that only the user may enter, and its step.
    late: Option<(u16, &'a CStr)>,
    /// What the command must not be.
    own: Option<(u64, u64)>,
    die_with_parent: bool,
}

/// Run the program and exec. Never returns: on failure the child reports and exits with 127 or 126, which the parent
/// ignores because of the report.
///
/// To be called in the child of a clone, with the program made before it.
pub fn run(program: &Program<'_>) -> ! {
    let mut state = State {
        exec: &program.exec,
        slots: [NO_FD; 2],
        mask: NO_FD,
        reaper: None,
        listener: NO_FD,
        sync: program.sync,
        passed: program.passed,
        step: 0,
        late: None,
        own: None,
        die_with_parent: program.die_with_parent,
    };
    let outcome = begin(program, &state).and_then(|()| {
        program.trace.begin();
        program.ops.iter().enumerate().try_for_each(|(at, (number, op))| {
            state.step = *number;
            program.trace.at(*number);
            #[cfg(debug_assertions)]
            program.fault.iter().for_each(|fault| fault.before(program.sync, *number));
            let outcome = apply(op, &mut state);
            #[cfg(debug_assertions)]
            let outcome = outcome.and_then(|()| stumble(program, at));
            // The last may be a filter that kills who looks at the clock.
            if at + 1 < program.ops.len() {
                program.trace.done(*number);
            }
            outcome
        })
    });
    if let Err(failure) = outcome {
        fail(state.sync, state.step, failure);
    }
    if let Some((reaper, alone)) = state.reaper
        && let Err(failure) = if alone { become_reaper(reaper, NOBODY) } else { leave_reaper(reaper) }
    {
        fail(state.sync, Report::REAPER, failure);
    }
    let failure = execute(&program.exec);
    fail(state.sync, Report::EXEC, failure)
}

#[cfg(debug_assertions)]
fn stumble(program: &Program<'_>, at: usize) -> Outcome<()> {
    let next = program.ops.get(at + 1).map(|(step, _)| *step);
    program.fault.map_or(Ok(()), |fault| fault.after(program.sync, next))
}

fn begin(program: &Program<'_>, state: &State<'_>) -> Outcome<()> {
    program.parents.into_iter().for_each(close);
    die_with_parent(state)?;
    // Whatever the caller leaked to us, the container shall not get (CVE-2024-21626): close on exec, all of it.
    sys!(SYS_close_range, 3 + program.passed, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)?;
    // What the caller ignores, and Rust SIGPIPE, stays ignored across exec, and the mask of a parent that has blocked its
    // signals stays, too (execve(2)): a container begins as any program does, as with runc and crun.
    crate::signal::reset();
    Ok(())
}

/// To be said again after every change of ids, which takes it back (prctl(2), PR_SET_PDEATHSIG).
fn die_with_parent(state: &State<'_>) -> Outcome<()> {
    if !state.die_with_parent {
        return Ok(());
    }
    sys!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL)?;
    // A parent that died before that sends no signal any more. getppid(2) cannot tell: across pid namespaces it is 0.
    let mut poll = libc::pollfd { fd: state.sync, events: 0, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    sys!(SYS_ppoll, &raw mut poll, 1, &raw const now, 0, 8)?;
    if poll.revents & libc::POLLHUP != 0 { exit(127) } else { Ok(()) }
}

fn fail(sync: RawFd, step: u16, (number, errno): Failure) -> ! {
    let report = Report { kind: Report::FAILED, step, call: number as u32, errno };
    send(sync, report);
    exit(127)
}

pub(super) fn send(sync: RawFd, report: Report) {
    // Not send(2): it may be a pipe, and the container's own filter is often there already. A SIGPIPE ends what has
    // nobody to tell.
    let bytes = report.bytes();
    let _ = sys!(SYS_write, sync, bytes.as_ptr(), bytes.len());
}

fn exit(code: c_int) -> ! {
    loop {
        let _ = sys!(SYS_exit_group, code);
    }
}

fn apply<'a>(op: &'a Op, state: &mut State<'a>) -> Outcome<()> {
    match op {
        Op::Await => wait(state.sync),
        Op::Setns { fd, flags } => {
            sys!(SYS_setns, *fd, *flags)?;
            die_with_parent(state)
        }
        Op::Enter { pidfd, flags } => {
            if *flags != 0 {
                sys!(SYS_setns, *pidfd, *flags)?;
            }
            state.slots[Slot::Root as usize] = open_plainly(c"/", libc::O_PATH | libc::O_DIRECTORY)?.keep();
            die_with_parent(state)
        }
        Op::Unshare { flags } => sys!(SYS_unshare, *flags).map(drop),
        Op::EnterTime => {
            let made = open_plainly(c"/proc/self/ns/time_for_children", libc::O_RDONLY)?;
            sys!(SYS_setns, made.0, crate::process::CLONE_NEWTIME).map(drop)
        }
        Op::BecomeRoot { clear_groups } => {
            become_root(*clear_groups)?;
            die_with_parent(state)
        }
        Op::Undumpable => sys!(SYS_prctl, libc::PR_SET_DUMPABLE, 0).map(drop),
        Op::Propagation { flags } => sys!(SYS_mount, 0, c"/".as_ptr(), 0, *flags, 0).map(drop),
        Op::Mount(mount) => self::mount(mount, state),
        Op::MountPage { fstype, from, at, options } => {
            sys!(SYS_chdir, text(from))?;
            sys!(SYS_mount, text(fstype), text(at), text(fstype), 0, text(options))?;
            let how =
                OpenHow { flags: (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64, mode: 0, resolve: 0 };
            state.slots[Slot::Root as usize] = openat2(libc::AT_FDCWD, at, &how)?.keep();
            Ok(())
        }
        Op::Directory { place, mode, owner } => directory(place, *mode, *owner, state),
        Op::Node { place, mode, device, owner } => node(place, *mode, *device, *owner, state),
        Op::Symlink { place, to } => {
            let (parent, name) = parent(place, state)?;
            let made = sys!(SYS_symlinkat, text(to), parent.0, text(name));
            match made {
                Err((_, libc::EEXIST)) => Ok(()),
                other => other.map(drop),
            }
        }
        Op::Write { place, data } => write(place, data, state),
        Op::WriteFd { fd, data } => sys!(SYS_write, *fd, data.as_ptr(), data.len()).map(drop),
        Op::WriteProc { path, data } => {
            let fd = open_plainly(path, libc::O_WRONLY)?;
            sys!(SYS_write, fd.0, data.as_ptr(), data.len()).map(drop)
        }
        Op::FileSystemIds { uid, gid } => {
            sys!(SYS_setgroups, 0, 0)?;
            // They return the old ids and no error: a second call tells (setfsuid(2)).
            sys!(SYS_setfsgid, *gid)?;
            sys!(SYS_setfsuid, *uid)?;
            let (now_gid, now_uid) = (sys!(SYS_setfsgid, *gid)?, sys!(SYS_setfsuid, *uid)?);
            if now_gid as u32 == *gid && now_uid as u32 == *uid {
                die_with_parent(state)
            } else {
                Err((libc::SYS_setfsuid, libc::EPERM))
            }
        }
        Op::Mask { place, config } => mask(place, config, state),
        Op::Label { place, label } => {
            let at = open(place, libc::O_RDONLY | libc::O_DIRECTORY, state)?;
            let value = label.as_bytes_with_nul();
            sys!(SYS_fsetxattr, at.0, c"security.selinux".as_ptr(), value.as_ptr(), value.len(), 0).map(drop)
        }
        Op::Readonly { place } => readonly(place, state),
        Op::ReadonlyMount { place } => set_flags(open(place, libc::O_PATH, state)?.0, READ_ONLY, false),
        Op::Console(console) => self::console(*console, state),
        Op::Stdio { fds } => stdio(*fds),
        Op::Session => sys!(SYS_setsid).map(drop),
        Op::Null => null(),
        Op::StandardFiles { uid, gid } => standard_files(*uid, *gid),
        Op::Pivot => pivot(state),
        Op::Chroot { to } => {
            sys!(SYS_fchdir, to.unwrap_or(state.slots[Slot::Root as usize]))?;
            sys!(SYS_chroot, c".".as_ptr())?;
            sys!(SYS_chdir, c"/".as_ptr())?;
            if to.is_some() {
                state.slots[Slot::Root as usize] = open_plainly(c"/", libc::O_PATH | libc::O_DIRECTORY)?.keep();
            }
            Ok(())
        }
        Op::Move { hidden } => move_root(hidden, state),
        Op::EnterRoot => sys!(SYS_fchdir, state.slots[Slot::Root as usize]).map(drop),
        Op::Hostname(name) => sys!(SYS_sethostname, name.as_ptr(), name.len()).map(drop),
        Op::Domainname(name) => sys!(SYS_setdomainname, name.as_ptr(), name.len()).map(drop),
        Op::Netlink(requests) => requests.run().map_err(|(_, errno)| (libc::SYS_sendto, errno.raw_os_error())),
        // A new anonymous session keyring: the host's keys are not the container's (keyctl(2)).
        Op::Keyring => match sys!(SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0) {
            // ENOSYS: a kernel without keys has none to leak; EDQUOT and EACCES leave the caller's, as runc does.
            Err((_, libc::ENOSYS)) => Ok(()),
            other => other.map(drop),
        },
        Op::Rlimit { resource, soft, hard } => {
            let limit = [*soft, *hard];
            sys!(SYS_prlimit64, 0, *resource, limit.as_ptr(), 0).map(drop)
        }
        Op::Groups(groups) => sys!(SYS_setgroups, groups.len(), groups.as_ptr()).map(drop),
        Op::Ids { uid, gid } => {
            sys!(SYS_prctl, libc::PR_SET_KEEPCAPS, 1)?;
            sys!(SYS_setresgid, *gid, *gid, *gid)?;
            sys!(SYS_setresuid, *uid, *uid, *uid)?;
            sys!(SYS_prctl, libc::PR_SET_KEEPCAPS, 0)?;
            die_with_parent(state)?;
            late_chdir(state)
        }
        Op::Bounding { keep, last } => (0..=*last).filter(|cap| keep & (1 << cap) == 0).try_for_each(|cap| {
            match sys!(SYS_prctl, libc::PR_CAPBSET_DROP, cap) {
                // A capability that this kernel has no name for cannot be held.
                Err((_, libc::EINVAL)) => Ok(()),
                other => other.map(drop),
            }
        }),
        Op::Capabilities { effective, permitted, inheritable, ambient } => {
            capabilities(*effective, *permitted, *inheritable, *ambient)
        }
        Op::NoNewPrivileges => sys!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).map(drop),
        Op::Seccomp { program, flags, listener } => {
            let fd = seccomp(program, *flags)?;
            let report = Report { kind: Report::LISTENER, step: 0, call: fd as u32, errno: 0 };
            match listener {
                None => return Ok(()),
                Some(Listener::Taken) => send(state.sync, report),
                Some(Listener::Sent) => send_fd(state.sync, report, fd)?,
            }
            state.listener = fd;
            Ok(())
        }
        Op::Affinity(mask) => sys!(SYS_sched_setaffinity, 0, size_of_val(mask.as_slice()), mask.as_ptr()).map(drop),
        Op::Scheduler(attributes) => sys!(SYS_sched_setattr, 0, &raw const *attributes, 0).map(drop),
        // 1 is IOPRIO_WHO_PROCESS.
        Op::IoPriority(priority) => sys!(SYS_ioprio_set, 1, 0, *priority).map(drop),
        Op::Personality(persona) => sys!(SYS_personality, *persona).map(drop),
        // One bit more than there are: the kernel takes one off.
        Op::MemoryPolicy { mode, nodes } => {
            sys!(SYS_set_mempolicy, *mode, nodes.as_ptr(), nodes.len() * 64 + 1).map(drop)
        }
        Op::Umask(mask) => sys!(SYS_umask, *mask).map(drop),
        Op::Chdir { path, create } => match chdir(path, create.as_ref(), state) {
            // A directory of a file system that knows no root (NFS), or whose root this user namespace's is not.
            Err((_, libc::EACCES)) => {
                state.late = Some((state.step, path));
                Ok(())
            }
            other => other,
        },
        Op::Reaper { path, device, inode, alone } => {
            let tree = sys!(SYS_open_tree, libc::AT_FDCWD, text(path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
                .map(|fd| Fd(fd as RawFd))?;
            let found = stat(tree.0)?;
            // Replaced by another version since this one was started.
            if (found.st_dev, found.st_ino) != (*device, *inode) {
                return Err((libc::SYS_open_tree, libc::ESTALE));
            }
            set_flags(tree.0, READ_ONLY, false)?;
            state.reaper = Some((tree.keep(), *alone));
            Ok(())
        }
        Op::Close { keep } => close_others(*keep, state),
        Op::NotThis { device, inode } => {
            state.own = Some((*device, *inode));
            not_own(state)
        }
        Op::Ready => {
            send(state.sync, Report { kind: Report::READY, step: 0, call: 0, errno: 0 });
            wait(state.sync)?;
            // The parent has it. As long as it is open here, a call waits for an agent that may be gone.
            close(std::mem::replace(&mut state.listener, NO_FD));
            Ok(())
        }
        Op::AwaitHooks => {
            send(state.sync, Report { kind: Report::HOOKS, step: 0, call: 0, errno: 0 });
            wait(state.sync)
        }
        Op::Hook(hook) => self::hook(hook),
        Op::EndBySignals => end_by_signals(),
        Op::FindCommand => find(state.exec),
        Op::AwaitStart { gate, outcome } => {
            close(std::mem::replace(&mut state.sync, *outcome));
            let mut byte = 0u8;
            while let Err(failure) = sys!(SYS_read, *gate, &raw mut byte, 1) {
                if failure.1 != libc::EINTR {
                    return Err(failure);
                }
            }
            close(*gate);
            Ok(())
        }
    }
}

fn close_others([gate, outcome]: [RawFd; 2], state: &mut State<'_>) -> Outcome<()> {
    let mut keep = [gate, outcome, state.sync, state.reaper.map_or(NO_FD, |(program, _)| program)];
    keep.sort_unstable();
    let mut from = 3 + state.passed as RawFd;
    for fd in keep.into_iter().filter(|fd| *fd >= 0) {
        if fd > from {
            sys!(SYS_close_range, from, fd - 1, 0)?;
        }
        from = from.max(fd + 1);
    }
    (state.slots, state.mask) = ([NO_FD; 2], NO_FD);
    sys!(SYS_close_range, from, u32::MAX, 0).map(drop)
}

fn not_own(state: &State<'_>) -> Outcome<()> {
    let is_own = |path: &CString| state.own.is_some_and(|own| leads_to(path, own));
    if state.exec.candidates.iter().any(is_own) { Err((libc::SYS_execve, libc::EPERM)) } else { Ok(()) }
}

fn late_chdir(state: &mut State<'_>) -> Outcome<()> {
    let Some((step, path)) = state.late.take() else { return Ok(()) };
    let now = std::mem::replace(&mut state.step, step);
    chdir(path, None, state)?;
    // A relative command is looked for from there.
    not_own(state)?;
    state.step = now;
    Ok(())
}

/// As [`execute`] will choose; what it cannot know, such as a missing interpreter, the exec tells.
fn find(exec: &Exec) -> Outcome<()> {
    let mut errno = libc::ENOENT;
    for candidate in &exec.candidates {
        let Ok(fd) = open_plainly(candidate, libc::O_PATH) else { continue };
        let is_file = stat(fd.0)?.st_mode & libc::S_IFMT == libc::S_IFREG;
        let may = sys!(SYS_faccessat2, libc::AT_FDCWD, text(candidate), libc::X_OK, libc::AT_EACCESS);
        match may {
            // ENOSYS, EPERM: an older kernel's, or a filter's; then the exec has to tell.
            Ok(_) | Err((_, libc::ENOSYS | libc::EPERM)) if is_file => return Ok(()),
            _ => errno = libc::EACCES,
        }
    }
    Err((libc::SYS_execve, errno))
}

/// Its standard input is a file in memory: a pipe that it does not read would hold us up, or kill us.
fn hook(hook: &Hook) -> Outcome<()> {
    let state = Fd(sys!(SYS_memfd_create, c"state".as_ptr(), libc::MFD_CLOEXEC)? as RawFd);
    let mut digits = [0u8; 11];
    decimal(sys!(SYS_getpid)? as u32, &mut digits);
    let length = digits.iter().position(|byte| *byte == 0).unwrap_or(digits.len());
    for part in [hook.state[0].as_slice(), &digits[..length], &hook.state[1]] {
        sys!(SYS_write, state.0, part.as_ptr(), part.len())?;
    }
    sys!(SYS_lseek, state.0, 0, libc::SEEK_SET)?;
    let mut pidfd: c_int = NO_FD;
    let child = sys!(SYS_clone, libc::SIGCHLD | libc::CLONE_PIDFD, 0, &raw mut pidfd, 0, 0)?;
    if child == 0 {
        if sys!(SYS_dup3, state.0, 0, 0).is_ok() {
            let _ = sys!(SYS_execve, text(&hook.path), hook.argv.as_ptr(), hook.env.as_ptr());
        }
        exit(127);
    }
    let pidfd = Fd(pidfd);
    let mut poll = libc::pollfd { fd: pidfd.0, events: libc::POLLIN, revents: 0 };
    let limit = libc::timespec { tv_sec: hook.seconds.unwrap_or(0) as i64, tv_nsec: 0 };
    let limit = hook.seconds.map_or(std::ptr::null(), |_| &raw const limit);
    let ended = loop {
        match sys!(SYS_ppoll, &raw mut poll, 1, limit, 0, 8) {
            Err((_, libc::EINTR)) => {}
            other => break other? > 0,
        }
    };
    if !ended {
        sys!(SYS_kill, child, libc::SIGKILL)?;
    }
    let mut status: c_int = 0;
    while let Err(failure) = sys!(SYS_wait4, child, &raw mut status, 0, 0) {
        if failure.1 != libc::EINTR {
            return Err(failure);
        }
    }
    match status {
        _ if !ended => Err((libc::SYS_wait4, libc::ETIMEDOUT)),
        0 => Ok(()),
        status => Err((c_long::from(Report::ENDED), status)),
    }
}

/// A handler and not a signalfd: what waits by read(2) alone needs no call that a filter may refuse. The exec takes it
/// back (execve(2)).
fn end_by_signals() -> Outcome<()> {
    // Of the kernel: handler, flags, restorer, mask. Without a restorer x86 delivers nothing (arch/x86/kernel/signal_64.c);
    // this one is not come back to.
    const SA_RESTORER: u64 = 0x0400_0000;
    let handler = ended as extern "C" fn(c_int) as usize as u64;
    let handled = [handler, SA_RESTORER, handler, 0];
    (1..=64)
        .filter(|signal| ends(*signal))
        .try_for_each(|signal| sys!(SYS_rt_sigaction, signal, handled.as_ptr(), 0, 8).map(drop))
}

/// What it does without a handler (signal(7)). SIGSYS says what a filter refused, and kills pid 1, too.
fn ends(signal: c_int) -> bool {
    let stops = matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
    let ignored = matches!(signal, libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH);
    !stops && !ignored && !matches!(signal, libc::SIGKILL | libc::SIGSYS)
}

extern "C" fn ended(signal: c_int) {
    exit(128 + signal)
}

fn wait(sync: RawFd) -> Outcome<()> {
    let mut byte = 0u8;
    loop {
        // Not recvfrom(2), which the filter of a container without a network may not let through.
        match sys!(SYS_read, sync, &raw mut byte, 1) {
            Ok(0) => exit(127),
            Err((_, libc::EINTR)) => {}
            other => return other.map(drop),
        }
    }
}

fn become_root(clear_groups: bool) -> Outcome<()> {
    if clear_groups {
        sys!(SYS_setgroups, 0, 0)?;
    }
    let dumpable = sys!(SYS_prctl, libc::PR_GET_DUMPABLE)?;
    sys!(SYS_setresgid, 0, 0, 0)?;
    sys!(SYS_setresuid, 0, 0, 0)?;
    // The change of ids may have made the process undumpable, and with it its /proc/PID root's, where an ordinary user's
    // parent has yet to look (proc(5)). `Undumpable` says when that is over.
    sys!(SYS_prctl, libc::PR_SET_DUMPABLE, dumpable & 1).map(drop)
}

/// An fd that is closed at the end of its scope.
struct Fd(RawFd);

impl Drop for Fd {
    fn drop(&mut self) {
        close(self.0);
    }
}

impl Fd {
    fn keep(self) -> RawFd {
        let fd = self.0;
        std::mem::forget(self);
        fd
    }
}

fn resolve(root: RawFd, path: &CStr, flags: c_int, no_symlinks: bool) -> Outcome<Fd> {
    let strict = if no_symlinks { RESOLVE_NO_SYMLINKS } else { 0 };
    let how = OpenHow {
        flags: (flags | libc::O_CLOEXEC) as u64,
        mode: 0,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | strict,
    };
    openat2(root, path, &how)
}

fn openat2(at: RawFd, path: &CStr, how: &OpenHow) -> Outcome<Fd> {
    loop {
        match sys!(SYS_openat2, at, text(path), &raw const *how, size_of::<OpenHow>()) {
            // A rename elsewhere raced the walk of `..`; the kernel asks to try again (openat2(2)).
            Err((_, libc::EAGAIN)) => {}
            other => return other.map(|fd| Fd(fd as RawFd)),
        }
    }
}

fn open(place: &Place, flags: c_int, state: &State<'_>) -> Outcome<Fd> {
    let path = place.prefixes.last().map_or(c".", CString::as_c_str);
    let flags = if place.follow { flags } else { flags | libc::O_NOFOLLOW };
    resolve(state.slots[place.slot as usize], path, flags, place.no_symlinks)
}

/// The directory that holds the place, made where it is missing, and the place's last name.
fn parent<'a>(place: &'a Place, state: &State<'_>) -> Outcome<(Fd, &'a CStr)> {
    let Some((name, above)) = place.names.split_last() else {
        return Err((libc::SYS_openat2, libc::EINVAL));
    };
    let root = state.slots[place.slot as usize];
    let Some(last) = above.len().checked_sub(1) else {
        return Ok((resolve(root, c".", libc::O_PATH | libc::O_DIRECTORY, false)?, name));
    };
    match resolve(root, &place.prefixes[last], libc::O_PATH | libc::O_DIRECTORY, place.no_symlinks) {
        Err((_, libc::ENOENT)) => {}
        other => return Ok((other?, name)),
    }
    Ok((make_path(root, &place.prefixes[last], true, place.no_symlinks)?, name))
}

/// The place as an `O_PATH` fd, made as a directory or an empty file where it is missing.
fn place_fd(place: &Place, is_directory: bool, state: &State<'_>) -> Outcome<Fd> {
    match (open(place, libc::O_PATH, state), place.prefixes.last()) {
        (Err((_, libc::ENOENT)), Some(path)) => {
            let root = state.slots[place.slot as usize];
            match make_last(place, path, is_directory, root)? {
                Some(made) => Ok(made),
                None => make_path(root, path, is_directory, place.no_symlinks),
            }
        }
        (other, _) => other,
    }
}

/// The place, made where only its last name is missing, as nearly always; none where each name must be looked at.
fn make_last(place: &Place, path: &CStr, is_directory: bool, root: RawFd) -> Outcome<Option<Fd>> {
    let Some((name, above)) = place.names.split_last() else { return Ok(None) };
    let above = above.len().checked_sub(1).map_or(c".", |last| place.prefixes[last].as_c_str());
    let above = match resolve(root, above, libc::O_PATH | libc::O_DIRECTORY, place.no_symlinks) {
        Err((_, libc::ENOENT)) => return Ok(None),
        other => other?,
    };
    make(&above, name, is_directory)?;
    match resolve(root, path, libc::O_PATH, place.no_symlinks) {
        Err((_, libc::ENOENT)) => Ok(None), // a link is there that names nothing
        other => other.map(Some),
    }
}

/// Name by name, each made where it is missing, the last as a directory or not. What a dangling link means is made
/// inside the root: an image's /etc/resolv.conf is often one into /run, where nothing is yet.
fn make_path(root: RawFd, path: &CStr, is_directory: bool, no_symlinks: bool) -> Outcome<Fd> {
    const MAX: usize = libc::PATH_MAX as usize;
    /// As path_resolution(7).
    const LINKS: usize = 40;
    let mut words = [0u8; MAX];
    let mut end = path.count_bytes();
    if end >= MAX {
        return Err((libc::SYS_openat2, libc::ENAMETOOLONG));
    }
    words[..end].copy_from_slice(path.to_bytes());
    let mut at = resolve(root, c".", libc::O_PATH | libc::O_DIRECTORY, false)?;
    let (mut start, mut links) = (0, 0);
    while start < end {
        let stop = words[start..end].iter().position(|byte| *byte == b'/').map_or(end, |length| start + length);
        let byte = std::mem::replace(&mut words[stop], 0);
        let names = (CStr::from_bytes_until_nul(&words), CStr::from_bytes_until_nul(&words[start..]));
        let (Ok(so_far), Ok(name)) = names else { return Err((libc::SYS_openat2, libc::EINVAL)) };
        let found = match resolve(root, so_far, libc::O_PATH, no_symlinks) {
            Err((_, libc::ENOENT)) if !name.is_empty() => {
                make(&at, name, is_directory || stop < end)?;
                resolve(root, so_far, libc::O_PATH, no_symlinks)
            }
            other => other,
        };
        match found {
            _ if start == stop => {}
            Err((_, libc::ENOENT)) => {
                // The name is there and names nothing: a link. What it says takes its place, as a path from the root.
                let mut link = [0u8; MAX];
                let length = sys!(SYS_readlinkat, at.0, text(name), link.as_mut_ptr(), MAX)? as usize;
                links += 1;
                let from = if link[0] == b'/' { 0 } else { start };
                let after = from + length + 1;
                let rest = end.saturating_sub(stop + 1);
                if links > LINKS || after + rest >= MAX {
                    return Err((libc::SYS_readlinkat, libc::ELOOP));
                }
                words.copy_within((stop + 1).min(end)..end, after);
                words[from..from + length].copy_from_slice(&link[..length]);
                end = if rest == 0 { from + length } else { after + rest };
                words[from + length] = if rest == 0 { 0 } else { b'/' };
                words[end] = 0;
                start = from;
                at = match from {
                    0 => resolve(root, c".", libc::O_PATH | libc::O_DIRECTORY, false)?,
                    _ => at,
                };
                continue;
            }
            other => at = other?,
        }
        words[stop] = byte;
        start = stop + 1;
    }
    Ok(at)
}

fn make(above: &Fd, name: &CStr, is_directory: bool) -> Outcome<()> {
    let made = if is_directory {
        sys!(SYS_mkdirat, above.0, text(name), 0o755)
    } else {
        // O_EXCL: never through a dangling link, which would make the file where the link says.
        sys!(SYS_openat, above.0, text(name), libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC, 0o644)
            .inspect(|fd| close(*fd as RawFd))
    };
    match made {
        Ok(_) | Err((_, libc::EEXIST)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn is_directory(fd: RawFd) -> Outcome<bool> {
    stat(fd).map(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

fn stat(fd: RawFd) -> Outcome<libc::stat> {
    // SAFETY: all-zero bytes are a valid `struct stat`.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    sys!(SYS_newfstatat, fd, text(EMPTY), &raw mut stat, AT_EMPTY_PATH)?;
    Ok(stat)
}

fn statfs(fd: RawFd) -> Outcome<libc::statfs64> {
    // SAFETY: all-zero bytes are a valid `struct statfs`.
    let mut found: libc::statfs64 = unsafe { std::mem::zeroed() };
    sys!(SYS_fstatfs, fd, &raw mut found)?;
    Ok(found)
}

fn source(source: &Source, mode: Option<&CStr>, state: &State<'_>) -> Outcome<Fd> {
    match source {
        Source::Filesystem { fstype, config, flags, .. } => filesystem(fstype, config, mode, *flags),
        Source::Tree { path, below: Some(below), recursive, .. } => {
            let flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
            let top = openat2(libc::AT_FDCWD, path, &OpenHow { flags, mode: 0, resolve: 0 })?;
            let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
            let part = openat2(top.0, below, &OpenHow { flags, mode: 0, resolve })?;
            clone_tree(part.0, *recursive)
        }
        Source::Tree { path, below: None, recursive, follow } => {
            let deep = if *recursive { AT_RECURSIVE } else { 0 };
            let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | deep | if *follow { 0 } else { AT_SYMLINK_NOFOLLOW };
            sys!(SYS_open_tree, libc::AT_FDCWD, text(path), flags).map(|fd| Fd(fd as RawFd))
        }
        Source::Detached { fd } => Ok(Fd(*fd)),
        Source::Inside { place, recursive } => {
            let fd = open(place, libc::O_PATH, state)?;
            clone_tree(fd.0, *recursive)
        }
    }
}

fn clone_tree(fd: RawFd, recursive: bool) -> Outcome<Fd> {
    let deep = if recursive { AT_RECURSIVE } else { 0 };
    sys!(SYS_open_tree, fd, text(EMPTY), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | deep)
        .map(|fd| Fd(fd as RawFd))
}

fn filesystem(fstype: &CStr, config: &[(CString, Option<CString>)], mode: Option<&CStr>, flags: u32) -> Outcome<Fd> {
    let context = Fd(sys!(SYS_fsopen, text(fstype), 1)? as RawFd);
    if let Some(mode) = mode {
        sys!(SYS_fsconfig, context.0, FSCONFIG_SET_STRING, text(c"mode"), text(mode), 0)?;
    }
    for (key, value) in config {
        match value {
            Some(value) => sys!(SYS_fsconfig, context.0, FSCONFIG_SET_STRING, text(key), text(value), 0)?,
            None => sys!(SYS_fsconfig, context.0, FSCONFIG_SET_FLAG, text(key), 0, 0)?,
        };
    }
    sys!(SYS_fsconfig, context.0, FSCONFIG_CMD_CREATE, 0, 0, 0)?;
    sys!(SYS_fsmount, context.0, 1, flags).map(|fd| Fd(fd as RawFd))
}

const READ_ONLY: Flags = Flags { set: MOUNT_ATTR_RDONLY, clear: 0 };

fn set_attributes(fd: RawFd, wanted: Attributes) -> Outcome<()> {
    let Attributes { own, named, all, locked, .. } = wanted;
    let outcome = if locked { Err((libc::SYS_mount_setattr, libc::EPERM)) } else { set_flags(fd, own, false) };
    match outcome {
        // A user namespace cannot take off what came from outside: the caller's, or what the container has would be one.
        Err((_, libc::EPERM)) if own != Flags::default() || all != Flags::default() => {
            set_flags(fd, keep_locked(fd, own, named)?, false)?;
        }
        Err((_, libc::EPERM)) => {}
        other => other?,
    }
    set_flags(fd, all, true)
}

/// What is wanted, as far as it was named, and what is there, as far as it may not go.
fn keep_locked(fd: RawFd, wanted: Flags, named: u64) -> Outcome<Flags> {
    let refused = Err((libc::SYS_mount_setattr, libc::EPERM));
    let found = statfs(fd)?.f_flags as u64;
    let kept = found & LOCKABLE;
    if kept & named != 0 {
        return refused;
    }
    let mut wanted = Flags { set: wanted.set | kept, clear: wanted.clear & !kept };
    if wanted.clear & MOUNT_ATTR_TIMES != 0 {
        let is = |flag: u64, attribute| if found & flag == 0 { 0 } else { attribute };
        let strict = if found & (libc::ST_NOATIME | libc::ST_RELATIME) == 0 { MOUNT_ATTR_STRICTATIME } else { 0 };
        let times = strict | is(libc::ST_NOATIME, MOUNT_ATTR_NOATIME) | is(libc::ST_NODIRATIME, MOUNT_ATTR_NODIRATIME);
        if times != wanted.set & MOUNT_ATTR_TIMES {
            return refused;
        }
        wanted = Flags { set: wanted.set & !MOUNT_ATTR_TIMES, clear: wanted.clear & !MOUNT_ATTR_TIMES };
    }
    Ok(wanted)
}

fn set_flags(fd: RawFd, flags: Flags, recursive: bool) -> Outcome<()> {
    let attr = MountAttr { set: flags.set, clear: flags.clear, propagation: 0, userns_fd: 0 };
    mount_setattr(fd, &attr, recursive)
}

fn propagate(fd: RawFd, flags: u64) -> Outcome<()> {
    let attr = MountAttr { set: 0, clear: 0, propagation: flags & !libc::MS_REC, userns_fd: 0 };
    mount_setattr(fd, &attr, flags & libc::MS_REC != 0)
}

fn mount_setattr(fd: RawFd, attr: &MountAttr, recursive: bool) -> Outcome<()> {
    if attr.set == 0 && attr.clear == 0 && attr.propagation == 0 {
        return Ok(());
    }
    let deep = if recursive { AT_RECURSIVE } else { 0 };
    sys!(SYS_mount_setattr, fd, text(EMPTY), AT_EMPTY_PATH | deep, &raw const *attr, size_of::<MountAttr>()).map(drop)
}

fn attach(mount: RawFd, to: RawFd) -> Outcome<()> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    sys!(SYS_move_mount, mount, text(EMPTY), to, text(EMPTY), flags).map(drop)
}

fn mount(mount: &Mount, state: &mut State<'_>) -> Outcome<()> {
    if let Destination::Place { place, target: Target::SkipAbsent } = &mount.destination
        && let Err((_, libc::ENOENT | libc::ENOTDIR)) = open(place, libc::O_PATH, state)
    {
        return Ok(());
    }
    let mode = covered_mode(mount, state)?;
    let mode = mode.as_ref().and_then(|digits| CStr::from_bytes_until_nul(digits).ok());
    let tree = source(&mount.source, mode, state)?;
    if mount.shifted {
        send_fd(state.sync, Report { kind: Report::SHIFT, step: state.step, call: 0, errno: 0 }, tree.0)?;
        wait(state.sync)?;
    }
    // Attributes before it is attached, so that nobody sees it without them. Propagation only after: a detached
    // mount has no peers yet, and `shared` would make it a group of its own.
    set_attributes(tree.0, mount.attributes)?;
    match &mount.destination {
        Destination::Host { path, slot } => {
            sys!(SYS_move_mount, tree.0, text(EMPTY), libc::AT_FDCWD, text(path), MOVE_MOUNT_F_EMPTY_PATH)?;
            propagate(tree.0, mount.attributes.propagation)?;
            state.slots[*slot as usize] = tree.keep();
            return Ok(());
        }
        Destination::Place { place, target } => {
            let directory = match target {
                Target::Directory => true,
                Target::File => false,
                Target::LikeSource | Target::SkipAbsent => is_directory(tree.0)?,
            };
            let to = place_fd(place, directory, state)?;
            // The kernel's own word for a directory on a file, or a file on a directory, is EINVAL.
            if is_directory(to.0)? != directory {
                return Err((libc::SYS_move_mount, if directory { libc::ENOTDIR } else { libc::EISDIR }));
            }
            not_on_proc(place, to.0, state)?;
            attach(tree.0, to.0)?;
        }
    }
    propagate(tree.0, mount.attributes.propagation)
}

/// By its name a place may be in /proc when the plan lets it; by a link of the image's never (CVE-2019-16884).
fn not_on_proc(place: &Place, to: RawFd, state: &State<'_>) -> Outcome<()> {
    let by_name = place.names.first().is_some_and(|name| name.as_c_str() == c"proc");
    if by_name || statfs(to)?.f_type != libc::PROC_SUPER_MAGIC {
        return Ok(());
    }
    let own = resolve(state.slots[Slot::Root as usize], c"proc", libc::O_PATH, true)?;
    if stat(own.0)?.st_dev == stat(to)?.st_dev { Err((libc::SYS_move_mount, libc::EXDEV)) } else { Ok(()) }
}

/// The mode of what a filesystem will cover, in octal; none where that is not wanted, or there is nothing yet.
fn covered_mode(mount: &Mount, state: &State<'_>) -> Outcome<Option<[u8; 5]>> {
    let (Source::Filesystem { like: true, .. }, Destination::Place { place, .. }) = (&mount.source, &mount.destination)
    else {
        return Ok(None);
    };
    let covered = match open(place, libc::O_PATH, state) {
        Err((_, libc::ENOENT)) => return Ok(None),
        other => stat(other?.0)?.st_mode,
    };
    let digit = |place: u32| b'0' + (covered >> (3 * place) & 7) as u8;
    Ok(Some([digit(3), digit(2), digit(1), digit(0), 0]))
}

fn directory(place: &Place, mode: u32, owner: Option<(u32, u32)>, state: &mut State<'_>) -> Outcome<()> {
    let (above, name) = parent(place, state)?;
    match sys!(SYS_mkdirat, above.0, text(name), mode) {
        Ok(_) => {}
        Err((_, libc::EEXIST)) => return Ok(()),
        Err(failure) => return Err(failure),
    }
    // The umask took its part of the mode.
    sys!(SYS_fchmodat, above.0, text(name), mode)?;
    let Some((uid, gid)) = owner else { return Ok(()) };
    match sys!(SYS_fchownat, above.0, text(name), uid, gid, libc::AT_SYMLINK_NOFOLLOW) {
        // In a user namespace that has no such owner: what cannot be named there cannot be owned there.
        Err((_, libc::EINVAL | libc::EPERM)) => Ok(()),
        other => other.map(drop),
    }
}

fn node(place: &Place, mode: u32, device: u64, (uid, gid): (u32, u32), state: &State<'_>) -> Outcome<()> {
    let (above, name) = parent(place, state)?;
    // Not chmod(2) after it: that goes by the name once more, and in a volume who shares it may have put a link there.
    let umask = sys!(SYS_umask, 0)?;
    let made = sys!(SYS_mknodat, above.0, text(name), mode, device);
    sys!(SYS_umask, umask)?;
    made?;
    if (uid, gid) != (0, 0) {
        sys!(SYS_fchownat, above.0, text(name), uid, gid, libc::AT_SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn write(place: &Place, data: &[u8], state: &State<'_>) -> Outcome<()> {
    let fd = open(place, libc::O_WRONLY, state)?;
    // All that is written so is of /proc: never a file that another mount has put there (CVE-2025-52881).
    if statfs(fd.0)?.f_type != libc::PROC_SUPER_MAGIC {
        return Err((libc::SYS_fstatfs, libc::EXDEV));
    }
    // One write: the files of /proc/sys take a value whole or not at all (proc(5)).
    sys!(SYS_write, fd.0, data.as_ptr(), data.len()).map(drop)
}

fn mask(place: &Place, config: &[(CString, Option<CString>)], state: &mut State<'_>) -> Outcome<()> {
    let at = match open(place, libc::O_PATH, state) {
        Err((_, libc::ENOENT | libc::ENOTDIR)) => return Ok(()),
        other => other?,
    };
    if is_directory(at.0)? {
        if state.mask == NO_FD {
            state.mask = filesystem(c"tmpfs", config, None, MOUNT_ATTR_RDONLY as u32)?.keep();
            return attach(state.mask, at.0);
        }
        // Of one that is attached: before Linux 6.15 a detached mount cannot be cloned.
        let copy = clone_tree(state.mask, false)?;
        return attach(copy.0, at.0);
    }
    let null = resolve(state.slots[Slot::Root as usize], c"dev/null", libc::O_PATH, true)?;
    // What covers a secret must be the device, not a link or file that the image put there (CVE-2025-31133).
    let stat = stat(null.0)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || stat.st_rdev != DEVICE_NULL {
        return Err((libc::SYS_newfstatat, libc::ENODEV));
    }
    let copy = clone_tree(null.0, false)?;
    attach(copy.0, at.0)
}

fn readonly(place: &Place, state: &State<'_>) -> Outcome<()> {
    let at = match open(place, libc::O_PATH, state) {
        Err((_, libc::ENOENT | libc::ENOTDIR)) => return Ok(()),
        other => other?,
    };
    let copy = clone_tree(at.0, true)?;
    set_flags(copy.0, READ_ONLY, true)?;
    attach(copy.0, at.0)
}

/// A pty of the container's own devpts; its master goes to the parent.
fn console(console: Console, state: &State<'_>) -> Outcome<()> {
    let root = state.slots[Slot::Root as usize];
    let master = resolve(root, c"dev/pts/ptmx", libc::O_RDWR | libc::O_NOCTTY, true)?;
    let unlock: c_int = 0;
    sys!(SYS_ioctl, master.0, libc::TIOCSPTLCK, &raw const unlock)?;
    // By ioctl and not by name: the name could have been swapped (CVE-2025-52565).
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let slave = Fd(sys!(SYS_ioctl, master.0, libc::TIOCGPTPEER, flags)? as RawFd);
    if console.rows != 0 || console.columns != 0 {
        let size = libc::winsize { ws_row: console.rows, ws_col: console.columns, ws_xpixel: 0, ws_ypixel: 0 };
        sys!(SYS_ioctl, slave.0, libc::TIOCSWINSZ, &raw const size)?;
    }
    if console.uid != 0 {
        sys!(SYS_fchownat, slave.0, text(EMPTY), console.uid, u32::MAX, AT_EMPTY_PATH)?;
    }
    if console.bind_console {
        let place = resolve_or_make_console(root)?;
        let copy = clone_tree(slave.0, false)?;
        attach(copy.0, place.0)?;
    }
    send_fd(state.sync, Report { kind: Report::CONSOLE, step: 0, call: 0, errno: 0 }, master.0)?;
    sys!(SYS_setsid)?;
    sys!(SYS_ioctl, slave.0, libc::TIOCSCTTY, 0)?;
    stdio([slave.0; 3])
}

fn resolve_or_make_console(root: RawFd) -> Outcome<Fd> {
    match resolve(root, c"dev/console", libc::O_PATH | libc::O_NOFOLLOW, true) {
        Err((_, libc::ENOENT)) => {}
        other => return other,
    }
    let dev = resolve(root, c"dev", libc::O_PATH | libc::O_DIRECTORY, true)?;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    close(sys!(SYS_openat, dev.0, c"console".as_ptr(), flags, 0o600)? as RawFd);
    resolve(root, c"dev/console", libc::O_PATH | libc::O_NOFOLLOW, true)
}

fn send_fd(sync: RawFd, report: Report, fd: RawFd) -> Outcome<()> {
    let bytes = report.bytes();
    let iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // A cmsghdr and one int, aligned as cmsg(3) wants it.
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        fd: c_int,
        padding: c_int,
    }
    let control = Control {
        header: libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + size_of::<c_int>(),
            cmsg_level: libc::SOL_SOCKET,
            cmsg_type: libc::SCM_RIGHTS,
        },
        fd,
        padding: 0,
    };
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = (&raw const iov).cast_mut();
    message.msg_iovlen = 1;
    message.msg_control = (&raw const control).cast_mut().cast();
    message.msg_controllen = size_of::<Control>();
    sys!(SYS_sendmsg, sync, &raw const message, libc::MSG_NOSIGNAL).map(drop)
}

fn stdio(fds: [RawFd; 3]) -> Outcome<()> {
    for (to, fd) in fds.into_iter().enumerate() {
        if fd == to as RawFd {
            continue;
        }
        sys!(SYS_dup3, fd, to, 0)?;
    }
    Ok(())
}

fn standard_files(uid: u32, gid: u32) -> Outcome<()> {
    for fd in 0..3 {
        // It may be closed.
        let Ok(file) = stat(fd) else { continue };
        let device = file.st_mode & libc::S_IFMT == libc::S_IFCHR;
        if file.st_uid == uid || device && file.st_rdev == DEVICE_NULL {
            continue;
        }
        // The group of a terminal is that of those who may write to it (tty(4)).
        let gid = if device { u32::MAX } else { gid };
        match sys!(SYS_fchownat, fd, text(EMPTY), uid, gid, AT_EMPTY_PATH) {
            // Its owner is none of the user namespace's, or it lies where nothing is written: then it stays his.
            Ok(_) | Err((_, libc::EPERM | libc::EINVAL | libc::EROFS)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Whatever the root has by that name, only the device is taken.
fn null() -> Outcome<()> {
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let Ok(own) = sys!(SYS_openat, libc::AT_FDCWD, c"/dev/null".as_ptr(), flags) else { return Ok(()) };
    let own = Fd(own as RawFd);
    let is_null = |fd| stat(fd).is_ok_and(|it| it.st_mode & libc::S_IFMT == libc::S_IFCHR && it.st_rdev == DEVICE_NULL);
    if is_null(own.0) {
        sys!(SYS_fcntl, own.0, libc::F_SETFL, 0)?;
        for fd in (0..3).filter(|fd| is_null(*fd)) {
            sys!(SYS_dup3, own.0, fd, 0)?;
        }
    }
    Ok(())
}

/// pivot_root(2)'s own idiom: the new root onto itself, then the old one, which now lies on top, away.
fn pivot(state: &mut State<'_>) -> Outcome<()> {
    let root = state.slots[Slot::Root as usize];
    sys!(SYS_fchdir, root)?;
    sys!(SYS_pivot_root, c".".as_ptr(), c".".as_ptr())?;
    sys!(SYS_umount2, c".".as_ptr(), libc::MNT_DETACH)?;
    sys!(SYS_chdir, c"/".as_ptr()).map(drop)
}

/// As switch_root(8). Whoever is left in the old root finds no full procfs or sysfs there: the kernel takes one for leave
/// to mount another in a user namespace (mount_too_revealing() of fs/namespace.c).
fn move_root(hidden: &[(CString, bool)], state: &State<'_>) -> Outcome<()> {
    let root = state.slots[Slot::Root as usize];
    sys!(SYS_move_mount, root, text(EMPTY), libc::AT_FDCWD, c"/".as_ptr(), MOVE_MOUNT_F_EMPTY_PATH)?;
    // Paths still begin at the old root, which is below now.
    for (path, full) in hidden {
        match sys!(SYS_umount2, text(path), libc::MNT_DETACH) {
            // Gone with one above it.
            Ok(_) | Err((_, libc::ENOENT | libc::ENOTDIR)) => {}
            // Locked, in a user namespace.
            Err((_, libc::EINVAL | libc::EPERM)) if *full => cover(path)?,
            Err((_, libc::EINVAL | libc::EPERM)) => {}
            Err(failure) => return Err(failure),
        }
    }
    sys!(SYS_fchdir, root)?;
    sys!(SYS_chroot, c".".as_ptr())?;
    sys!(SYS_chdir, c"/".as_ptr()).map(drop)
}

fn cover(path: &CStr) -> Outcome<()> {
    let config: [(CString, Option<CString>); 0] = [];
    let empty = filesystem(c"tmpfs", &config, None, MOUNT_ATTR_RDONLY as u32)?;
    sys!(SYS_move_mount, empty.0, text(EMPTY), libc::AT_FDCWD, text(path), MOVE_MOUNT_F_EMPTY_PATH).map(drop)
}

fn capabilities(effective: u64, permitted: u64, inheritable: u64, ambient: u64) -> Outcome<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let (low, high) = (|set: u64| set as u32, |set: u64| (set >> 32) as u32);
    let data = [low(effective), low(permitted), low(inheritable), high(effective), high(permitted), high(inheritable)];
    sys!(SYS_capset, header.as_ptr(), data.as_ptr())?;
    sys!(SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)?;
    (0..64)
        .filter(|cap| ambient & (1u64 << cap) != 0)
        .try_for_each(|cap| sys!(SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, cap, 0, 0).map(drop))
}

/// The listener, if the flags ask for one.
fn seccomp(program: &[[u8; 8]], flags: u32) -> Outcome<RawFd> {
    #[repr(C)]
    struct Fprog {
        length: u16,
        filter: *const [u8; 8],
    }
    let fprog = Fprog { length: program.len() as u16, filter: program.as_ptr() };
    const SET_MODE_FILTER: c_int = 1;
    sys!(SYS_seccomp, SET_MODE_FILTER, flags, &raw const fprog).map(|fd| fd as RawFd)
}

fn chdir(path: &CStr, create: Option<&Place>, state: &State<'_>) -> Outcome<()> {
    // Not chdir(2), which follows /proc/self/fd/N to a directory of whoever called sampan, or to one that this program
    // still has open (CVE-2024-21626).
    let how = OpenHow {
        flags: (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64,
        mode: 0,
        resolve: RESOLVE_NO_MAGICLINKS,
    };
    let fd = match (openat2(libc::AT_FDCWD, path, &how), create) {
        (Err((_, libc::ENOENT)), Some(place)) => place_fd(place, true, state)?,
        (other, _) => other?,
    };
    sys!(SYS_fchdir, fd.0)?;
    // getcwd(2): a directory outside of the root is reported as "(unreachable)…".
    let mut buffer = [0 as c_char; libc::PATH_MAX as usize];
    sys!(SYS_getcwd, buffer.as_mut_ptr(), buffer.len())?;
    if buffer[0] == b'/' as c_char { Ok(()) } else { Err((libc::SYS_getcwd, libc::EXDEV)) }
}

/// Whether to execute `path` is to execute that file, by itself or as the interpreter of a script. What cannot be opened
/// here is left to execve(2).
fn leads_to(path: &CStr, file: (u64, u64)) -> bool {
    // Of the kernel: so much of a file does it look at, and so many scripts may name scripts (fs/exec.c).
    const HEAD: usize = 256;
    const SCRIPTS: usize = 5;
    let mut head = [0u8; HEAD + 1];
    let mut name = [0u8; HEAD + 1];
    let mut path = path;
    for _ in 0..=SCRIPTS {
        // Without opening it first: what is no regular file may do something when it is opened.
        let Ok(found) = open_plainly(path, libc::O_PATH).and_then(|fd| stat(fd.0)) else { return false };
        if (found.st_dev, found.st_ino) == file {
            return true;
        }
        if found.st_mode & libc::S_IFMT != libc::S_IFREG {
            return false;
        }
        let Ok(fd) = open_plainly(path, libc::O_RDONLY | libc::O_NONBLOCK) else { return false };
        let Ok(length) = sys!(SYS_pread64, fd.0, head.as_mut_ptr(), HEAD, 0) else { return false };
        let Some(interpreter) = interpreter(&head[..length as usize]) else { return false };
        name[..interpreter.len()].copy_from_slice(interpreter);
        name[interpreter.len()] = 0;
        let Ok(next) = CStr::from_bytes_until_nul(&name) else { return false };
        path = next;
    }
    false
}

/// What follows `#!`, up to the next blank (execve(2)).
fn interpreter(head: &[u8]) -> Option<&[u8]> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = head.strip_prefix(b"#!")?;
    let line = &line[line.iter().position(|byte| !blank(byte))?..];
    let end = line.iter().position(|byte| blank(byte) || matches!(byte, b'\n' | 0)).unwrap_or(line.len());
    Some(&line[..end])
}

fn open_plainly(path: &CStr, flags: c_int) -> Outcome<Fd> {
    sys!(SYS_openat, libc::AT_FDCWD, text(path), flags | libc::O_CLOEXEC | libc::O_NOCTTY).map(|fd| Fd(fd as RawFd))
}

fn execute(exec: &Exec) -> Failure {
    let mut failure = (libc::SYS_execve, libc::ENOENT);
    for candidate in &exec.candidates {
        match sys!(SYS_execve, text(candidate), exec.argv.as_ptr(), exec.env.as_ptr()) {
            // As execvp(3): go on, but remember that one was there.
            Err((_, libc::EACCES)) => failure.1 = libc::EACCES,
            Err((_, libc::ENOENT | libc::ENOTDIR)) => {}
            Err(other) => return other,
            Ok(_) => {}
        }
    }
    failure
}

/// A process group of its own and the terminal's foreground: else a ^C would reach the program twice, from the
/// terminal and through pid 1.
fn take_foreground() {
    let _ = sys!(SYS_setpgid, 0, 0);
    // Asked from the background this would stop us with SIGTTOU, were it not blocked (tcsetpgrp(3)).
    if let Ok(group) = sys!(SYS_getpgid, 0) {
        let group = group as c_int;
        let _ = sys!(SYS_ioctl, 0, libc::TIOCSPGRP, &raw const group);
    }
    let none: u64 = 0;
    let _ = sys!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, 0, 8);
}

/// Fork, and execute the reaper; this returns in the child.
fn leave_reaper(program: RawFd) -> Outcome<()> {
    block_signals()?;
    let mut gate: [c_int; 2] = [NO_FD; 2];
    sys!(SYS_pipe2, gate.as_mut_ptr(), libc::O_CLOEXEC)?;
    let child = sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)?;
    if child == 0 {
        close(gate[1]);
        // Its end of file says that pid 1 is sampan's process no more.
        let mut byte = 0u8;
        while let Err((_, libc::EINTR)) = sys!(SYS_read, gate[0], &raw mut byte, 1) {}
        take_foreground();
        return Ok(());
    }
    become_reaper(program, child as c_int)
}

/// Before the clone: to pid 1 a signal without a handler, the SIGCHLD of a program that ends at once too, is lost unless
/// it is blocked (pid_namespaces(7)). The mask survives the exec.
fn block_signals() -> Outcome<()> {
    let all: u64 = !0;
    sys!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, 0, 8).map(drop)
}

/// The reaper is a program of its own, with an empty environment and from a mount that cannot be written to: a copy of
/// sampan's process would show the container its memory, its caller's environment, and, to who may trace, its file
/// (CVE-2019-5736).
fn become_reaper(program: RawFd, child: c_int) -> Outcome<()> {
    block_signals()?;
    let mut digits = [0u8; 11];
    decimal(child as u32, &mut digits);
    let argv = [REAPER.as_ptr(), digits.as_ptr().cast(), std::ptr::null()];
    let env: [*const c_char; 1] = [std::ptr::null()];
    sys!(SYS_execveat, program, text(EMPTY), argv.as_ptr(), env.as_ptr(), AT_EMPTY_PATH).map(drop)
}

/// With a NUL after it.
fn decimal(mut number: u32, out: &mut [u8; 11]) {
    let mut length = 1;
    let mut above = number / 10;
    while above > 0 {
        above /= 10;
        length += 1;
    }
    for place in out[..length].iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// `argv[0]` of the reaper.
pub const REAPER: &CStr = c"sampan-init";

/// The child of a reaper that has none.
const NOBODY: c_int = 0;

/// Pid 1 for a program that is not made for it: pass signals on, reap what is orphaned, exit as the program does. Without
/// one: until it is asked to end. To be called with all signals blocked.
pub fn reap(child: c_int) -> ! {
    let _ = sys!(SYS_prctl, libc::PR_SET_NAME, c"init".as_ptr());
    let all: u64 = !0;
    // Not sigtimedwait(2), which unblocks while it waits: to who looks, we would seem to ignore what we pass on.
    let Ok(signals) = sys!(SYS_signalfd4, -1, &raw const all, 8, libc::O_CLOEXEC) else { exit(127) };
    loop {
        // SAFETY: all-zero bytes are a valid signalfd_siginfo.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        if sys!(SYS_read, signals, &raw mut info, size).is_err() {
            continue;
        }
        let signal = info.ssi_signo as c_int;
        match signal {
            libc::SIGCHLD => {}
            libc::SIGTERM | libc::SIGINT | libc::SIGHUP if child == NOBODY => exit(0),
            _ if child == NOBODY => continue,
            _ => {
                let _ = sys!(SYS_kill, child, signal);
                continue;
            }
        }
        let mut status: c_int = 0;
        while let Ok(pid @ 1..) = sys!(SYS_wait4, -1, &raw mut status, libc::WNOHANG, 0) {
            if pid != c_long::from(child) {
                continue;
            }
            exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) });
        }
    }
}
