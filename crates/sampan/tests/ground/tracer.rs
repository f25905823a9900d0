//! `kill -9` at one chosen system call: a process is followed by ptrace(2), and dies before the call is made.
//!
//! Invariant: only calls that change something outside of the process are counted, so each number is another state that a
//! kill can leave; nobody but the one that is followed is held up or killed.

use super::SAMPAN;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The command itself.
    Command,
    /// The process that it leaves behind: it starts a container, and is its monitor then.
    Heir,
    /// A process that is there already.
    Process(i32),
}

/// What came of a command.
#[derive(Debug)]
pub struct Shot {
    /// The number of counted calls that the victim made, if it was not killed.
    pub survived: Option<usize>,
    /// At which call it was killed.
    pub call: String,
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

/// To be put before a command's words: it waits until it is followed.
pub const HELD: [&str; 4] = ["sh", "-c", "kill -STOP $$; exec \"$@\"", "sh"];

/// A process that is asleep for so long has done all that it will.
const IDLE: Duration = Duration::from_millis(400);

/// Run a command, which begins with [`HELD`] unless a process that is there is to be killed, and kill the victim at this
/// one of its calls; at none with `usize::MAX`.
pub fn shoot(mut command: Command, victim: Victim, number: usize, dir: &Path) -> Shot {
    let file = |name: &str| (dir.join(name), fs::File::create(dir.join(name)).unwrap());
    let ((out, to_out), (err, to_err)) = (file("shot.out"), file("shot.err"));
    let mut tracer = Tracer { number, count: 0, counts: false, enters: true, call: String::new() };
    // Before it is spoken to: it must not be missed.
    if let Victim::Process(pid) = victim {
        ptrace::seize(Pid::from_raw(pid), options(false)).unwrap();
        ptrace::interrupt(Pid::from_raw(pid)).unwrap();
        tracer.counts = true;
    }
    let child = command.stdin(Stdio::null()).stdout(to_out).stderr(to_err).spawn().unwrap();
    let (survived, status) = tracer.follow(child, victim);
    let read = |path| fs::read_to_string(path).unwrap();
    let survived = survived.then_some(tracer.count);
    Shot { survived, call: tracer.call, status, out: read(out), err: read(err) }
}

fn options(children: bool) -> Options {
    let own = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC;
    let forks = Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
    if children { own | forks } else { own }
}

struct Tracer {
    number: usize,
    count: usize,
    /// It is the program that is meant, and not what comes before it.
    counts: bool,
    /// The next stop is before a call, and not after one.
    enters: bool,
    call: String,
}

impl Tracer {
    /// Whether the victim lives on, or ended by itself; how the command ended.
    fn follow(&mut self, mut child: Child, victim: Victim) -> (bool, ExitStatus) {
        let command = Pid::from_raw(child.id() as i32);
        match victim {
            Victim::Process(pid) => {
                let dead = self.until_its_end(Pid::from_raw(pid), &mut || child.try_wait().unwrap().is_some());
                (!dead, child.wait().unwrap())
            }
            Victim::Command => {
                begin(command, false);
                let mut status = None;
                let dead = self.run(command, &mut |_| {}, &mut || false, &mut status);
                (!dead, status.unwrap())
            }
            Victim::Heir => {
                begin(command, true);
                let mut heir = None;
                let mut status = None;
                let number = std::mem::replace(&mut self.number, usize::MAX);
                // Until it has one; from then on the command runs unfollowed.
                let dead = self.run(command, &mut |pid| heir = Some(pid), &mut || false, &mut status);
                assert!(!dead);
                let Some(heir) = heir else { return (true, status.unwrap()) };
                (self.number, self.count, self.counts, self.enters) = (number, 0, true, true);
                // Its own children are not followed.
                waitpid(heir, Some(WaitPidFlag::__WALL)).unwrap();
                ptrace::setoptions(heir, options(false)).unwrap();
                ptrace::syscall(heir, None).unwrap();
                let mut ended = None;
                let dead = self.until_its_end(heir, &mut || {
                    ended = ended.or_else(|| reaped(command));
                    ended.is_some()
                });
                let status = ended.unwrap_or_else(|| {
                    loop {
                        if let Some(status) = reaped(command) {
                            break status;
                        }
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
                (!dead, status)
            }
        }
    }

    fn until_its_end(&mut self, pid: Pid, over: &mut dyn FnMut() -> bool) -> bool {
        self.run(pid, &mut |_| {}, over, &mut None)
    }

    /// Whether it was killed. Its first child is told of and lets the process go; all others are let go themselves.
    /// `over`: nothing more is to come once it sleeps.
    fn run(
        &mut self,
        pid: Pid,
        born: &mut dyn FnMut(Pid),
        over: &mut dyn FnMut() -> bool,
        status: &mut Option<ExitStatus>,
    ) -> bool {
        let mut last = Instant::now();
        loop {
            let stop = match waitpid(pid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {
                    if last.elapsed() > Duration::from_millis(2) {
                        std::thread::sleep(Duration::from_micros(500));
                    }
                    if last.elapsed() > IDLE && over() && sleeps(pid) {
                        release(pid);
                        return false;
                    }
                    continue;
                }
                Err(Errno::ECHILD) => return false,
                stop => stop.unwrap(),
            };
            last = Instant::now();
            let signal = match stop {
                WaitStatus::Exited(_, code) => {
                    *status = Some(ExitStatus::from_raw(code << 8));
                    return false;
                }
                WaitStatus::Signaled(_, signal, _) => {
                    *status = Some(ExitStatus::from_raw(signal as i32));
                    return self.count >= self.number;
                }
                WaitStatus::PtraceSyscall(_) => {
                    self.at_call(pid);
                    None
                }
                WaitStatus::PtraceEvent(_, _, event) => match event {
                    libc::PTRACE_EVENT_EXEC => {
                        self.counts |=
                            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(SAMPAN));
                        None
                    }
                    libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE if self.counts => {
                        let child = Pid::from_raw(ptrace::getevent(pid).unwrap() as i32);
                        born(child);
                        ptrace::detach(pid, None).unwrap();
                        return false;
                    }
                    _ => None,
                },
                WaitStatus::Stopped(_, signal) => Some(signal),
                other => panic!("{other:?}"),
            };
            // Killed in between, by whoever.
            let _ = ptrace::syscall(pid, signal.filter(|signal| *signal != Signal::SIGSTOP));
        }
    }

    fn at_call(&mut self, pid: Pid) {
        let enters = self.enters;
        self.enters = !enters;
        if enters && self.counts {
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/syscall")) else { return };
            if changes(&text) {
                self.count += 1;
                if self.count == self.number {
                    self.call = text;
                    kill(pid, Signal::SIGKILL).unwrap();
                }
            }
        }
    }
}

fn begin(pid: Pid, children: bool) {
    let stop = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert!(matches!(stop, WaitStatus::Stopped(..)), "{stop:?}");
    ptrace::seize(pid, options(children)).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
}

fn reaped(pid: Pid) -> Option<ExitStatus> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code << 8)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
        _ => None,
    }
}

fn sleeps(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") S "))
}

/// It goes on by itself.
fn release(pid: Pid) {
    if ptrace::interrupt(pid).is_ok() && waitpid(pid, Some(WaitPidFlag::__WALL)).is_ok() {
        let _ = ptrace::detach(pid, None);
    }
}

/// Whether this call, as /proc/PID/syscall has it, may change something outside of the process.
fn changes(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let Some(number) = words.next().and_then(|word| word.parse::<libc::c_long>().ok()) else { return false };
    let arguments: Vec<u64> =
        words.filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()).collect();
    let makes = |flags: u64| flags & (libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY) as u64 != 0;
    match number {
        libc::SYS_openat => arguments.get(2).is_some_and(|flags| makes(*flags)),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => arguments.get(1).is_some_and(|flags| makes(*flags)),
        // A process that asks for its own lock only changes nothing; one that ends leaves what it had.
        number => CHANGES.contains(&number),
    }
}

const CHANGES: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mknodat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_ftruncate,
    libc::SYS_fsetxattr,
    libc::SYS_setxattr,
    libc::SYS_utimensat,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_execve,
    libc::SYS_setsid,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_fsconfig,
    libc::SYS_mount_setattr,
    libc::SYS_kill,
    libc::SYS_pidfd_send_signal,
    libc::SYS_ioctl,
];
