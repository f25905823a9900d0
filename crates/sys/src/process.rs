//! Processes: clone, wait, ids.

use crate::child::{self, Program};
use crate::{Error, Result};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

/// Proof that this process has one thread, which what runs after a clone relies on (clone(2): only the calling thread
/// is copied, so a lock that another one holds would stay locked).
#[derive(Debug, Clone, Copy)]
pub struct SingleThread(());

/// clone3(2); libc has it with the wrong width.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

impl SingleThread {
    /// For the fork of a test runner, which is threaded; the child may meet a lock that stays locked.
    #[doc(hidden)]
    #[must_use]
    pub fn assume_for_test() -> Self {
        Self(())
    }

    /// # Errors
    /// `EBUSY` when there are more threads.
    pub fn check() -> Result<Self> {
        let status =
            std::fs::metadata("/proc/self/task").map_err(Error::of_io(|| "stat(\"/proc/self/task\")".into()))?;
        // A directory of procfs has two links and one for each subdirectory: no need to read it.
        if std::os::unix::fs::MetadataExt::nlink(&status) == 3 {
            Ok(Self(()))
        } else {
            Err(Error::new("clone3() in a process with several threads", Errno::BUSY))
        }
    }
}

/// A child that runs a [`Program`].
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// `clone3(2)` with the `CLONE_NEW*` flags, a pidfd, and on cgroup v2 straight into the cgroup; the child runs the
/// program.
///
/// # Errors
/// The kernel's, with the call.
pub fn spawn(
    one: SingleThread,
    program: &Program<'_>,
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Child> {
    clone3(one, namespaces, cgroup, || child::run(program))
}

/// Fork, and run the function in the child, which exits with its value. For work that must happen in another user
/// namespace or after this process is gone.
///
/// # Errors
/// The kernel's, with the call.
pub fn fork(one: SingleThread, namespaces: u64, work: impl FnOnce() -> u8) -> Result<Child> {
    clone3(one, namespaces, None, work)
}

/// [`fork`] straight into a cgroup of v2, or, where the kernel has it not be there, beside this process.
///
/// # Errors
/// The kernel's, with the call.
pub fn fork_into(one: SingleThread, cgroup: Option<BorrowedFd<'_>>, work: impl FnOnce() -> u8) -> Result<Child> {
    let mut work = Some(work);
    let mut child = || work.take().map_or(1, |work| work());
    match clone3(one, 0, cgroup, &mut child) {
        Err(_) if cgroup.is_some() => clone3(one, 0, None, &mut child),
        forked => forked,
    }
}

/// [`spawn`] by a process in between, which enters these namespaces first (each with its `CLONE_NEW*`); the child is
/// still one of this process.
///
/// # Errors
/// The kernel's, with the call.
pub fn spawn_through(
    one: SingleThread,
    program: &Program<'_>,
    through: &[(OwnedFd, i32)],
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Child> {
    const WORDS: usize = 3;
    let (ours, theirs) = std::io::pipe().map_err(Error::of_io(|| "pipe2()".into()))?;
    let number = |at: usize| at as i32;
    // Its files are ours, so the pidfd that it gets is ours, too.
    let between = fork(one, libc::CLONE_FILES as u64, || {
        let tell = |step: usize, pid: i32, pidfd: i32| {
            let words = [number(step), pid, pidfd].map(i32::to_ne_bytes);
            u8::from(rustix::io::write(&theirs, words.as_flattened()).is_err())
        };
        for (at, (namespace, flag)) in through.iter().enumerate() {
            if let Err(error) = setns(namespace.as_fd(), *flag) {
                return tell(at, -error.errno.raw_os_error(), 0);
            }
        }
        match clone3(one, namespaces | libc::CLONE_PARENT as u64, cgroup, || child::run(program)) {
            Ok(Child { pid, pidfd }) => tell(through.len(), pid, pidfd.into_raw_fd()),
            Err(error) => tell(through.len(), -error.errno.raw_os_error(), 0),
        }
    })?;
    wait(&between)?;
    drop(theirs);
    let mut words = [[0u8; 4]; WORDS];
    let length = rustix::io::read(&ours, words.as_flattened_mut()).map_err(Error::of(|| "read(pipe)".into()))?;
    let [step, pid, pidfd] = words.map(i32::from_ne_bytes);
    if length < words.as_flattened().len() {
        return Err(Error::new("a process in other namespaces", Errno::SRCH));
    }
    if pid < 0 {
        let call = match through.get(step as usize) {
            Some((_, flag)) => format!("setns({})", clone_flags(*flag as u64)),
            None => format!("clone3({})", clone_flags(namespaces)),
        };
        return Err(Error::new(call, Errno::from_raw_os_error(-pid)));
    }
    // SAFETY: the process in between has made it in our table of files, and left it to us.
    Ok(Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

fn clone3(
    _: SingleThread,
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> u8,
) -> Result<Child> {
    let mut pidfd: i32 = -1;
    let mut flags = namespaces | libc::CLONE_PIDFD as u64;
    if cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    // A sibling has its maker's (clone(2), CLONE_PARENT).
    let signal = if namespaces & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD } else { 0 };
    let args = libc::clone_args {
        flags,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: signal as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // SAFETY: without CLONE_VM this is a fork: the child goes on with a copy of this stack and heap. `SingleThread`
    // says that no other thread held a lock of it.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match pid {
        0 => {
            let code = child();
            // SAFETY: ends this process without running the parent's exit handlers a second time.
            unsafe { libc::_exit(i32::from(code)) }
        }
        1.. => Ok(Child {
            pid: pid as i32,
            // SAFETY: the kernel has just made this fd for us.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
        _ => {
            let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
            Err(Error::new(format!("clone3({})", clone_flags(namespaces)), errno))
        }
    }
}

/// A file that the child has open, by its number there (pidfd_getfd(2)).
///
/// # Errors
/// `EPERM` without the right to look into it.
pub fn take(child: &Child, number: i32) -> Result<OwnedFd> {
    rustix::process::pidfd_getfd(&child.pidfd, number, rustix::process::PidfdGetfdFlags::empty())
        .map_err(Error::of(|| format!("pidfd_getfd({}, {number})", child.pid)))
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(u8),
    Signal(i32),
}

/// Wait for a child to end and reap it.
///
/// # Errors
/// `ECHILD` when it is not ours.
pub fn wait(child: &Child) -> Result<Exit> {
    loop {
        let status = rustix::process::waitid(
            rustix::process::WaitId::PidFd(child.pidfd.as_fd()),
            rustix::process::WaitIdOptions::EXITED,
        );
        match status {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new(format!("waitid(P_PIDFD, {})", child.pid), errno)),
            Ok(None) => return Err(Error::new(format!("waitid(P_PIDFD, {})", child.pid), Errno::CHILD)),
            Ok(Some(status)) => {
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code as u8),
                    (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
                });
            }
        }
    }
}

/// `CLONE_NEWNS | CLONE_NEWPID`, for messages.
#[must_use]
pub fn clone_flags(flags: u64) -> String {
    const NAMES: [(i32, &str); 8] = [
        (libc::CLONE_NEWUSER, "CLONE_NEWUSER"),
        (libc::CLONE_NEWNS, "CLONE_NEWNS"),
        (libc::CLONE_NEWPID, "CLONE_NEWPID"),
        (libc::CLONE_NEWNET, "CLONE_NEWNET"),
        (libc::CLONE_NEWUTS, "CLONE_NEWUTS"),
        (libc::CLONE_NEWIPC, "CLONE_NEWIPC"),
        (libc::CLONE_NEWCGROUP, "CLONE_NEWCGROUP"),
        (0x80, "CLONE_NEWTIME"),
    ];
    let names: Vec<&str> = NAMES.iter().filter(|(flag, _)| flags & *flag as u64 != 0).map(|(_, name)| *name).collect();
    names.join(" | ")
}

/// What proc(5) says of a process in its `stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `Z` …
    pub state: char,
    /// In clock ticks since boot. With the pid it names one process for good.
    pub start: u64,
}

/// `None` when it is gone.
#[must_use]
pub fn stat(pid: i32) -> Option<Stat> {
    // A read gives it whole (proc(5)), and what is looked for is within that.
    let mut bytes = [0; 1024];
    let length = std::io::Read::read(&mut std::fs::File::open(format!("/proc/{pid}/stat")).ok()?, &mut bytes).ok()?;
    let stat = String::from_utf8_lossy(&bytes[..length]);
    // The command's name is in parentheses and may hold anything, so count from the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some(Stat { state: fields.next()?.chars().next()?, start: fields.nth(18)?.parse().ok()? })
}

/// [`Stat::start`]; `None` when it is gone.
#[must_use]
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|stat| stat.start)
}

/// The path, device and inode of the file that this process executes.
///
/// # Errors
/// There is no /proc.
pub fn own_program() -> Result<(CString, u64, u64)> {
    const LINK: &str = "/proc/self/exe";
    let path = rustix::fs::readlink(LINK, Vec::new()).map_err(Error::of(|| format!("readlink({LINK:?})")))?;
    let found = rustix::fs::stat(LINK).map_err(Error::of(|| format!("stat({LINK:?})")))?;
    Ok((path, found.st_dev, found.st_ino))
}

pub use libc::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, S_IFBLK,
    S_IFCHR, S_IFIFO,
};

/// clone(2); not in libc for this target.
pub const CLONE_NEWTIME: i32 = 0x80;

/// A device number as mknod(2) takes it.
#[must_use]
pub fn device_number(major: u32, minor: u32) -> u64 {
    rustix::fs::makedev(major, minor)
}

/// The number of an `RLIMIT_*` name.
#[must_use]
pub fn rlimit(name: &str) -> Option<u32> {
    RLIMITS.iter().position(|known| *known == name).map(|at| at as u32)
}

/// By number (asm-generic/resource.h; the same on x86 and ARM).
const RLIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// This process's limits by name, soft and hard, `u64::MAX` for none.
#[must_use]
pub fn rlimits() -> Vec<(&'static str, u64, u64)> {
    RLIMITS
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let mut limit = libc::rlimit64 { rlim_cur: u64::MAX, rlim_max: u64::MAX };
            // SAFETY: a valid struct to write to; an unknown number leaves it as it is.
            unsafe {
                libc::syscall(libc::SYS_prlimit64, 0, number, std::ptr::null::<libc::rlimit64>(), &raw mut limit)
            };
            (*name, limit.rlim_cur, limit.rlim_max)
        })
        .collect()
}

/// # Errors
/// The kernel's, with the call.
pub fn open_namespace(path: &str) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::of(|| format!("open({path:?}, O_RDONLY)")))
}

/// The root directory of a process.
///
/// # Errors
/// The kernel's, with the call.
pub fn open_root(pid: i32) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let path = format!("/proc/{pid}/root");
    rustix::fs::open(path.as_str(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::of(|| format!("open({path:?}, O_PATH)")))
}

/// The `CLONE_NEW*` flag of what the fd stands for (ioctl_nsfs(2)).
///
/// # Errors
/// `ENOTTY` when it is no namespace.
pub fn namespace_flag(fd: BorrowedFd<'_>) -> Result<i32> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: takes no argument.
    match unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) } {
        flag @ 0.. => Ok(flag),
        _ => Err(Error::of_io(|| format!("ioctl({}, NS_GET_NSTYPE)", fd.as_raw_fd()))(std::io::Error::last_os_error())),
    }
}

/// Whether this process is in the initial user namespace. A map of all ids does not tell: another may have it, too.
#[must_use]
pub fn in_initial_user_namespace() -> bool {
    /// `USER_NS_INIT_INO` of linux/nsfs.h.
    const INITIAL: u64 = 0xefff_fffd;
    let found = std::fs::metadata("/proc/self/ns/user");
    // A kernel that has none has only this one.
    found.map_or(true, |found| std::os::unix::fs::MetadataExt::ino(&found) == INITIAL)
}

/// Whether the namespace belongs to this process's user namespace, or to one below it (ioctl_nsfs(2)).
#[must_use]
pub fn owns_namespace(fd: BorrowedFd<'_>) -> bool {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: takes no argument.
    let owner = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_USERNS) };
    // SAFETY: a new descriptor, which nobody else has.
    (owner >= 0).then(|| unsafe { OwnedFd::from_raw_fd(owner) }).is_some()
}

/// A cgroup namespace for this process, whose root is where it is now.
///
/// # Errors
/// The kernel's.
pub fn unshare_cgroup() -> Result<()> {
    // SAFETY: takes a number, and of this process's memory nothing changes.
    if unsafe { libc::unshare(libc::CLONE_NEWCGROUP) } == 0 {
        return Ok(());
    }
    Err(Error::of_io(|| "unshare(CLONE_NEWCGROUP)".into())(std::io::Error::last_os_error()))
}

/// setns(2) of this process.
///
/// # Errors
/// The kernel's, with the call.
pub fn setns(fd: BorrowedFd<'_>, namespace: i32) -> Result<()> {
    // SAFETY: takes two numbers.
    if unsafe { libc::setns(fd.as_raw_fd(), namespace) } == 0 {
        return Ok(());
    }
    let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
    Err(Error::new(format!("setns({}, {})", fd.as_raw_fd(), clone_flags(namespace as u64)), errno))
}

/// Bit set of this process's effective capabilities that are in its bounding set too: what it can pass on.
///
/// # Errors
/// The kernel's.
pub fn effective_capabilities() -> Result<u64> {
    let sets = rustix::thread::capabilities(None).map_err(Error::of(|| "capget(0)".into()))?;
    Ok(sets.effective.bits())
}

/// The CPUs on which this thread may be, as a mask.
///
/// # Errors
/// The kernel's, with the call.
pub fn set_affinity(mask: &[u64]) -> Result<()> {
    // SAFETY: a buffer of the length that goes with it.
    match unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Error::of_io(|| "sched_setaffinity(0)".into())(std::io::Error::last_os_error())),
    }
}

/// 256 bits of getrandom(2).
///
/// # Errors
/// The kernel's.
pub fn random() -> Result<[u8; 32]> {
    let mut bytes = [0u8; 32];
    // SAFETY: a valid buffer of that length; up to 256 bytes the call is never short (getrandom(2)).
    if unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) } == bytes.len() as isize {
        return Ok(bytes);
    }
    let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
    Err(Error::new("getrandom(32)", errno))
}

/// A file that this process's next program has open, too.
///
/// # Errors
/// The kernel's.
pub fn keep_open(fd: &OwnedFd) -> Result<()> {
    let call = || format!("fcntl({}, F_SETFD, 0)", fd.as_raw_fd());
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).map_err(Error::of(call))
}

/// What this process's last program has left open under this number, for this one alone. To be called once for each.
///
/// # Errors
/// `EBADF` when there is no such file.
pub fn take_over(number: i32) -> Result<OwnedFd> {
    // SAFETY: takes numbers.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(Error::new(format!("fcntl({number}, F_SETFD, FD_CLOEXEC)"), Errno::BADF));
    }
    // SAFETY: it is open, as has just been seen, and nothing of this program has opened it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Of everything but standard input, output and error no next program has a copy: a caller's own files are not a
/// monitor's to hold.
pub fn close_on_exec() {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: takes numbers. A kernel without it (before 5.11) leaves open what the caller did not close.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, CLOSE_RANGE_CLOEXEC) };
}

/// What ps(1) calls it.
pub fn set_name(name: &std::ffi::CStr) {
    let _ = rustix::thread::set_name(name);
}

/// A session of its own, and nothing of the caller's terminal.
pub fn leave_terminal() {
    leave_session(None, None);
}

/// For a child that outlives its caller: a session of its own, and none of the caller's files, so that who reads the
/// caller's output meets its end.
pub fn leave_caller() {
    leave_with(None, None);
}

/// [`leave_caller`], but for these two, which become its standard input and output.
pub fn leave_caller_with(input: BorrowedFd<'_>, output: BorrowedFd<'_>) {
    leave_with(Some(input), Some(output));
}

fn leave_session(input: Option<BorrowedFd<'_>>, output: Option<BorrowedFd<'_>>) {
    let _ = rustix::process::setsid();
    if let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(input.unwrap_or(null.as_fd()));
        let _ = rustix::stdio::dup2_stdout(output.unwrap_or(null.as_fd()));
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

fn leave_with(input: Option<BorrowedFd<'_>>, output: Option<BorrowedFd<'_>>) {
    leave_session(input, output);
    // SAFETY: takes three numbers; what is closed is not used by the child, which only goes on with what it opens.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
}
