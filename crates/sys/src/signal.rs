//! Signals as file descriptors, and their names.
//!
//! Invariant: while a [`Signals`] exists no signal it covers ends or interrupts this process; each is read from the fd,
//! in its turn, so that undo always runs. What the caller ignores (`nohup`, a shell's background job) stays ignored.
//! Must not: install handlers, decide what a signal means.

use crate::{Error, Result};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use std::fmt;
use std::mem::MaybeUninit;
use std::str::FromStr;

/// A signal's number, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

/// RTMIN as the kernel and every container engine count it, glibc's two private ones left out.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

macro_rules! named {
    ($($name:ident = $number:ident),* $(,)?) => {
        impl Signal {
            $(pub const $name: Self = Self(libc::$number);)*
        }
        /// First name of a number wins when printing; the later ones are aliases.
        const NAMES: &[(&str, Signal)] = &[$((stringify!($name), Signal::$name)),*];
    };
}
named! {
    HUP = SIGHUP, INT = SIGINT, QUIT = SIGQUIT, ILL = SIGILL, TRAP = SIGTRAP, ABRT = SIGABRT, BUS = SIGBUS, FPE = SIGFPE,
    KILL = SIGKILL, USR1 = SIGUSR1, SEGV = SIGSEGV, USR2 = SIGUSR2, PIPE = SIGPIPE, ALRM = SIGALRM, TERM = SIGTERM,
    STKFLT = SIGSTKFLT, CHLD = SIGCHLD, CONT = SIGCONT, STOP = SIGSTOP, TSTP = SIGTSTP, TTIN = SIGTTIN, TTOU = SIGTTOU,
    URG = SIGURG, XCPU = SIGXCPU, XFSZ = SIGXFSZ, VTALRM = SIGVTALRM, PROF = SIGPROF, WINCH = SIGWINCH, IO = SIGIO,
    PWR = SIGPWR, SYS = SIGSYS, IOT = SIGIOT, CLD = SIGCHLD, POLL = SIGPOLL,
}

impl Signal {
    #[must_use]
    pub fn from_raw(number: i32) -> Option<Self> {
        (1..=RTMAX).contains(&number).then_some(Self(number))
    }

    #[must_use]
    pub fn as_raw(self) -> i32 {
        self.0
    }

    fn all() -> impl Iterator<Item = Self> {
        (1..=RTMAX).map(Self)
    }

    /// Left to act on this process as they do on any: they cannot be caught, they tell of a fault of our own, std has
    /// dealt with them (PIPE), a pidfd tells it better (CHLD), or a shell's job control needs them (TTIN, TTOU: a
    /// background process stops before it touches the terminal).
    fn is_ours(self) -> bool {
        use Signal as S;
        let faults = [S::ILL, S::TRAP, S::BUS, S::FPE, S::SEGV, S::SYS];
        let others = [S::KILL, S::STOP, S::PIPE, S::CHLD, S::TTIN, S::TTOU];
        faults.contains(&self) || others.contains(&self) || (32..RTMIN).contains(&self.0)
    }
}

/// `SIGTERM`; `SIGRTMIN+3` or, nearer to the other end, `SIGRTMAX-2`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMES.iter().find(|(_, signal)| signal == self) {
            return write!(f, "SIG{name}");
        }
        match self.0 {
            RTMIN => f.write_str("SIGRTMIN"),
            RTMAX => f.write_str("SIGRTMAX"),
            n if n < RTMIN => write!(f, "{n}"),
            n if n - RTMIN <= 15 => write!(f, "SIGRTMIN+{}", n - RTMIN),
            n => write!(f, "SIGRTMAX-{}", RTMAX - n),
        }
    }
}

/// Not the name or number of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no signal is called {:?}", self.0)
    }
}

impl std::error::Error for Unknown {}

/// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `SIGRTMAX-1`.
impl FromStr for Signal {
    type Err = Unknown;

    fn from_str(text: &str) -> std::result::Result<Self, Unknown> {
        parse(text).ok_or_else(|| Unknown(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Signal> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Signal::from_raw(text.parse().ok()?);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, signal)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*signal);
    }
    let offset = |rest: &str, sign| match rest.strip_prefix(sign) {
        _ if rest.is_empty() => Some(0),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<u8>().ok().map(i32::from),
        _ => None,
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => RTMIN + offset(rest, '+')?,
        (_, Some(rest)) => RTMAX - offset(rest, '-')?,
        _ => return None,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(Signal(number))
}

/// The signals of this process, blocked and readable. Stays in force until the process ends: there is no way back, so
/// that nothing can interrupt the undo either.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks what can be caught and is not ignored by the caller, and opens the signalfd. Call it before the clone
    /// (and before any thread exists), so that none falls between; the child then calls [`reset`].
    ///
    /// SIGCHLD goes back to its default: if the caller ignores it, the kernel reaps the container and its exit status
    /// is lost (wait(2), NOTES).
    ///
    /// # Errors
    /// `signalfd`, `sigaction` or `sigprocmask` failed: no fd or memory left.
    pub fn take() -> Result<Self> {
        set_default(Signal::CHLD)?;
        let mut set = empty_set();
        for signal in Signal::all().filter(|signal| !signal.is_ours()) {
            if !is_ignored(signal)? {
                add(&mut set, signal);
            }
        }
        change_mask(libc::SIG_BLOCK, &set)?;
        // SAFETY: `set` is an initialised signal set that outlives the call.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
        let fd = check(fd, || "signalfd(-1, …, SFD_NONBLOCK|SFD_CLOEXEC)".to_owned())?;
        // SAFETY: signalfd has just returned this fd, so it is open and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// The next signal, or None if there is none now.
    ///
    /// # Errors
    /// `read` failed.
    pub fn next(&self) -> Result<Option<Signal>> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut info)) {
            // `ssi_signo` comes first (signalfd(2)).
            Ok(_) => Ok(Some(Signal(i32::from_ne_bytes([info[0], info[1], info[2], info[3]])))),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(Error::new("read(signalfd)", errno)),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Every signal to its default and none blocked, as a program expects to be started. For the child between clone and
/// exec: CLONE_CLEAR_SIGHAND and exec both leave ignored signals ignored.
/// Async-signal-safe, no heap.
pub fn reset() {
    for signal in Signal::all() {
        // KILL and STOP refuse; they are at their default anyway.
        let _ = set_default_raw(signal);
    }
    let _ = set_mask(libc::SIG_SETMASK, &empty_set());
}

/// # Errors
/// `pidfd_send_signal` failed; ESRCH says that the process has ended.
pub fn send(pidfd: impl AsFd, signal: Signal) -> Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    let null = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: no memory is passed (a null siginfo asks for what kill(2) sends). rustix has the call, but cannot name
    // a real-time signal.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal.0, null, 0) };
    check(result, || format!("pidfd_send_signal({fd}, {signal}, NULL, 0)")).map(drop)
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set that it is given, and cannot fail on a valid pointer.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn add(set: &mut libc::sigset_t, signal: Signal) {
    // SAFETY: `set` is initialised and exclusively borrowed; a number out of range is refused, not written.
    unsafe { libc::sigaddset(set, signal.0) };
}

fn change_mask(how: i32, set: &libc::sigset_t) -> Result<()> {
    set_mask(how, set).map_err(Error::of(|| format!("rt_sigprocmask({how}, …)")))
}

fn set_mask(how: i32, set: &libc::sigset_t) -> std::result::Result<(), Errno> {
    // SAFETY: `set` is initialised and outlives the call; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}

fn is_ignored(signal: Signal) -> Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `action` is valid for writes of a sigaction, and no new one is set.
    let result = unsafe { libc::sigaction(signal.0, std::ptr::null(), action.as_mut_ptr()) };
    check(result, || format!("rt_sigaction({signal}, NULL, …)"))?;
    // SAFETY: zeroed above, and all-zero is a valid sigaction; the kernel filled it in.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

fn set_default(signal: Signal) -> Result<()> {
    set_default_raw(signal).map_err(Error::of(|| format!("rt_sigaction({signal}, SIG_DFL)")))
}

/// The bare call: glibc's refuses its own two signals, which a caller can have left ignored like any other.
fn set_default_raw(signal: Signal) -> std::result::Result<(), Errno> {
    // As the kernel has it: handler, flags, restorer and mask, a word each. All zero is SIG_DFL.
    let action = [0u64; 4];
    let null = std::ptr::null_mut::<u64>();
    // SAFETY: `action` is as long as the longest kernel sigaction and outlives the call; SIG_DFL names no code of ours.
    match unsafe { libc::syscall(libc::SYS_rt_sigaction, signal.0, action.as_ptr(), null, size_of::<u64>()) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

fn check<T: PartialEq + From<i8>>(result: T, call: impl FnOnce() -> String) -> Result<T> {
    if result == T::from(-1) { Err(Error::new(call(), last_errno())) } else { Ok(result) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_its_name() {
        for signal in Signal::all() {
            assert_eq!(signal.to_string().parse(), Ok(signal));
            assert_eq!(signal.as_raw().to_string().parse(), Ok(signal));
        }
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        for (text, number) in [("TERM", 15), ("SIGTERM", 15), ("sigterm", 15), ("15", 15), ("IOT", 6), ("POLL", 29)] {
            assert_eq!(text.parse(), Ok(Signal(number)), "{text}");
        }
        for (text, number) in [("RTMIN", 34), ("SIGRTMIN+3", 37), ("rtmax-1", 63), ("RTMAX", 64), ("RTMIN+30", 64)] {
            assert_eq!(text.parse(), Ok(Signal(number)), "{text}");
        }
        for text in
            ["", "0", "65", "-1", "+15", "SIG", "SIGSIGTERM", "RTMIN-1", "RTMIN+31", "RTMIN++1", "RTMAX+1", "TERM "]
        {
            assert_eq!(text.parse::<Signal>(), Err(Unknown(text.to_owned())));
        }
        assert_eq!(Signal(37).to_string(), "SIGRTMIN+3");
        assert_eq!(Signal(62).to_string(), "SIGRTMAX-2");
    }

    /// Blocked and ignored signals, as the kernel has them for this process.
    fn masks() -> (u64, u64) {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mask = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        (mask("SigBlk:"), mask("SigIgn:"))
    }

    #[test]
    fn a_child_starts_with_nothing_blocked_or_ignored() {
        let bit = |signal: Signal| 1 << (signal.0 - 1);
        // SAFETY: the child calls what is safe in a copy of one thread of many: glibc keeps malloc usable after fork.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let signals = Signals::take();
            let taken = masks();
            reset();
            let ok = signals.is_ok() && taken.0 & bit(Signal::TERM) != 0 && taken.1 & bit(Signal::PIPE) != 0;
            // SAFETY: ends the copy without running what the other threads registered.
            unsafe { libc::_exit(i32::from(!ok || masks() != (0, 0))) };
        }
        let mut status = 0;
        // SAFETY: `status` is writable, and the child is ours.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0);
    }
}
