//! Supervision on real ptys: a "user's terminal" that the test drives, and the container's, a plain process here.
//!
//! This binary runs itself as the supervising process (`supervise FLAGS -- COMMAND`), since signals, raw mode and the
//! panic hook belong to a whole process.

// A test without the harness is no test to clippy.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

use runtime::supervise::{Container, DetachKeys, Event, Terminal, supervise};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};
use std::fs;
use std::io::{Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use sys::signal::{self, Signal, Signals};
use sys::terminal::{Size, peer};

macro_rules! tests {
    ($($name:ident),* $(,)?) => { const TESTS: &[(&str, fn())] = &[$((stringify!($name), $name)),*]; };
}
tests! {
    reports_how_it_ended,
    a_hundred_quick_ends,
    no_tail_is_lost,
    a_slow_reader_gets_everything,
    a_large_paste_arrives,
    size_follows_the_window,
    raw_while_it_runs_and_restored_after,
    raw_again_after_a_stop,
    restored_after_an_error,
    restored_after_a_kill,
    restored_after_a_panic,
    keys_reach_the_container_and_it_answers_with_crlf,
    detaches_with_the_keys_in_two_reads,
    signals_reach_the_container,
    a_second_sigterm_kills,
    signals_are_ours_without_forwarding,
    what_the_caller_ignores_stays_ignored,
    a_broken_pipe_hangs_up,
    a_closed_window_hangs_up,
    end_of_file_on_stdin_is_not_the_end,
    idle_without_a_wakeup,
}

const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "supervise") {
        return supervisor(&args[1..]);
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-')).map_or("", String::as_str);
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(filter)) {
        let ok = panic::catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        failed += usize::from(!ok);
    }
    println!("{failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

// The supervising process.

fn supervisor(args: &[String]) -> ExitCode {
    let at = args.iter().position(|arg| arg == "--").unwrap();
    let (flags, command) = (&args[..at], &args[at + 1..]);
    let has = |flag: &str| flags.iter().any(|arg| arg == flag);
    let signals = Signals::take().unwrap();
    let mut master = has("-t").then(open_pty);
    let mut child = spawn_container(command, master.as_ref());
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    if has("--reaped") {
        child.wait().unwrap();
    }
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let terminal = has("-t").then(|| Terminal {
        master: &mut master,
        stdin: has("-i").then(|| stdin.as_fd()),
        stdout: stdout.as_fd(),
        plain: false,
        detach_keys: DetachKeys::default(),
    });
    let container = Container { pidfd: pidfd.as_fd(), terminal, forward_signals: !has("--no-proxy"), beside: None };
    let mut tell = |event: Event| {
        eprintln!("event: {event:?}");
        if has("--panic") {
            // Caught, so that only the hook runs, as where a panic aborts.
            let _ = panic::catch_unwind(|| panic!("asked to"));
        }
    };
    match supervise(container, &signals, &mut tell) {
        Ok(exit) => eprintln!("exit: {exit:?}"),
        Err(error) => eprintln!("error: {error}"),
    }
    if child.try_wait().is_ok_and(|status| status.is_none()) {
        let _ = child.kill();
        let _ = child.wait();
    }
    ExitCode::SUCCESS
}

fn spawn_container(command: &[String], master: Option<&OwnedFd>) -> Child {
    let mut setsid = Command::new("setsid");
    if let Some(master) = master {
        let slave = peer(master).unwrap();
        setsid.arg("--ctty").stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
    }
    setsid.args(command).spawn().unwrap()
}

fn open_pty() -> OwnedFd {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    master
}

// The user.

struct User {
    master: OwnedFd,
    /// Keeps the terminal's mode readable, and the terminal open, after the supervisor has gone.
    slave: OwnedFd,
}

impl User {
    fn new() -> Self {
        let master = open_pty();
        let slave = peer(&master).unwrap();
        Self { master, slave }
    }

    /// The supervisor in a session of its own, with this terminal as its controlling one.
    fn run(&self, flags: &str, script: &str) -> Run {
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(std::env::current_exe().unwrap()).args(arguments(flags, script));
        command.stdin(self.slave.try_clone().unwrap()).stdout(self.slave.try_clone().unwrap());
        Run::spawn(command)
    }

    fn types(&self, text: &str) {
        rustix::io::write(&self.master, text.as_bytes()).unwrap();
    }

    fn sees(&self, text: &str) -> String {
        read_until(self.master.as_fd(), |seen| seen.contains(text))
    }

    fn mode(&self) -> (LocalModes, OutputModes) {
        let mode = tcgetattr(&self.slave).unwrap();
        (mode.local_modes, mode.output_modes)
    }

    fn is_raw(&self) -> bool {
        let (local, output) = self.mode();
        !local.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
            && !output.contains(OutputModes::OPOST)
    }
}

struct Run(Child);

fn arguments<'a>(flags: &'a str, script: &'a str) -> impl Iterator<Item = &'a str> {
    ["supervise"].into_iter().chain(flags.split_whitespace()).chain(["--", "sh", "-c", script])
}

impl Run {
    fn piped(flags: &str, script: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(arguments(flags, script)).stdin(Stdio::null()).stdout(Stdio::piped());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        Self(command.stderr(Stdio::piped()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        let pidfd = pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty()).unwrap();
        signal::send(&pidfd, signal).unwrap();
    }

    fn out(&self) -> BorrowedFd<'_> {
        self.0.stdout.as_ref().unwrap().as_fd()
    }

    fn sees(&self, text: &str) -> String {
        read_until(self.out(), |seen| seen.contains(text))
    }

    /// What the supervisor said on stderr until its end.
    fn end(mut self) -> String {
        let fd = self.0.stderr.take().unwrap();
        let said = read_until(fd.as_fd(), |_| false);
        self.0.wait().unwrap();
        said
    }

    fn field(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Until `enough` or the end of what can be read.
fn read_until(fd: BorrowedFd<'_>, enough: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen);
        if enough(&text) {
            return text.into_owned();
        }
        assert!(Instant::now() < deadline, "too late; seen: {text:?}");
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        if poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap() == 0 {
            continue;
        }
        let mut chunk = [0; 4096];
        match rustix::io::read(fd, &mut chunk) {
            Ok(0) | Err(_) => return text.into_owned(),
            Ok(len) => seen.extend_from_slice(&chunk[..len]),
        }
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: too late");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// The tests.

fn reports_how_it_ended() {
    assert_eq!(Run::piped("", "exit 7").end(), "exit: Code(7)\n");
    assert_eq!(Run::piped("", "kill -9 $$").end(), "exit: Signal(Signal(9))\n");
    assert_eq!(Run::piped("-t", "exit 7").end(), "exit: Code(7)\n");
}

fn a_hundred_quick_ends() {
    for _ in 0..100 {
        assert_eq!(Run::piped("", ":").end(), "exit: Code(0)\n");
    }
}

fn no_tail_is_lost() {
    for _ in 0..100 {
        let mut run = Run::piped("-t", "echo last words");
        let mut out = String::new();
        run.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(out, "last words\r\n");
        assert_eq!(run.end(), "exit: Code(0)\n");
    }
}

fn a_slow_reader_gets_everything() {
    let expected: String = (1..=160_000).map(|n| format!("{n}\r\n")).collect();
    assert!(expected.len() > 1 << 20);
    let run = Run::piped("-t", "seq 1 160000");
    let mut out = Vec::new();
    let mut chunk = [0; 16 * 1024];
    while let len @ 1.. = rustix::io::read(run.out(), &mut chunk).unwrap() {
        out.extend_from_slice(&chunk[..len]);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(out == expected.as_bytes(), "{} bytes of {}", out.len(), expected.len());
    assert_eq!(run.end(), "exit: Code(0)\n");

    let user = User::new();
    let run = user.run("-t -i", "seq 1 160000; echo done");
    let out = user.sees("done");
    assert!(out.starts_with(&expected), "{} bytes of {}", out.len(), expected.len());
    assert_eq!(run.end(), "exit: Code(0)\n");
}

fn a_large_paste_arrives() {
    let user = User::new();
    let run = user.run("-t -i", "stty raw -echo; echo ready; head -c 200000 | { sleep 0.3; cksum; }");
    user.sees("ready");
    let text = "0123456789".repeat(20_000);
    std::thread::scope(|scope| {
        scope.spawn(|| fs::File::from(user.master.try_clone().unwrap()).write_all(text.as_bytes()).unwrap());
        user.sees(" 200000");
    });
    assert_eq!(run.end(), "exit: Code(0)\n");
}

fn size_follows_the_window() {
    let user = User::new();
    Size { rows: 11, columns: 22 }.apply(&user.slave).unwrap();
    // The first size is set before the supervisor copies anything, so after the first byte it is in force.
    let run = user
        .run("-t -i", "read line; stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done");
    user.types("\r");
    // Together, for they may come in one piece.
    let first = user.sees("ready");
    assert!(first.contains("11 22"), "{first:?}");
    Size { rows: 33, columns: 44 }.apply(&user.slave).unwrap();
    user.sees("33 44");
    assert_eq!(run.end(), "exit: Code(0)\n");
}

fn raw_while_it_runs_and_restored_after() {
    let user = User::new();
    let before = user.mode();
    let run = user.run("-t -i", "read line");
    wait_for("raw mode", || user.is_raw());
    user.types("\r");
    assert_eq!(run.end(), "exit: Code(0)\n");
    assert_eq!(user.mode(), before);

    let run = user.run("-t", "sleep 0.2");
    wait_for("the end", || fs::read_to_string(format!("/proc/{}/stat", run.0.id())).unwrap().contains(") Z "));
    assert_eq!(user.mode(), before, "without -i nothing is read, so nothing is raw");
}

fn raw_again_after_a_stop() {
    let user = User::new();
    let cooked = tcgetattr(&user.slave).unwrap();
    let run = user.run("-t -i", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done");
    user.sees("ready");
    run.signal(Signal::STOP);
    wait_for("the stop", || fs::read_to_string(format!("/proc/{}/stat", run.0.id())).unwrap().contains(") T "));
    tcsetattr(&user.slave, OptionalActions::Now, &cooked).unwrap();
    run.signal(Signal::CONT);
    wait_for("raw mode", || user.is_raw());
    Size { rows: 5, columns: 6 }.apply(&user.slave).unwrap();
    user.sees("5 6");
    assert_eq!(run.end(), "exit: Code(0)\n");
}

fn restored_after_an_error() {
    let user = User::new();
    let before = user.mode();
    let said = user.run("-t -i --reaped", "exit 3").end();
    assert_eq!(said, "error: waitid(P_PIDFD, …, WEXITED): ECHILD (no child processes)\n");
    assert_eq!(user.mode(), before);
}

fn restored_after_a_kill() {
    let user = User::new();
    let before = user.mode();
    let run = user.run("-t -i", "trap '' TERM; echo ready; sleep 1000");
    user.sees("ready");
    assert!(user.is_raw());
    run.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(200));
    run.signal(Signal::TERM);
    let said = run.end();
    assert_eq!(said, "event: Ignored(Signal(15))\nevent: Killing(Signal(15))\nexit: Signal(Signal(9))\n");
    assert_eq!(user.mode(), before);
}

fn restored_after_a_panic() {
    let user = User::new();
    let before = user.mode();
    let run = user.run("-t -i --panic", "trap '' TERM; echo ready; read line");
    user.sees("ready");
    assert!(user.is_raw());
    run.signal(Signal::TERM);
    wait_for("the old mode", || user.mode() == before);
    user.types("\r");
    assert!(run.end().contains("asked to"));
}

fn keys_reach_the_container_and_it_answers_with_crlf() {
    let user = User::new();
    let run = user.run("-t -i", "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done");
    assert_eq!(user.sees("ready\r\n"), "ready\r\n");
    user.types("\x03");
    user.sees("interrupted\r\n");
    assert_eq!(run.end(), "exit: Code(5)\n");
}

fn detaches_with_the_keys_in_two_reads() {
    let user = User::new();
    let before = user.mode();
    let run = user.run("-t -i", "stty raw -echo; echo ready; cat -v");
    user.sees("ready");
    user.types("\x10");
    std::thread::sleep(Duration::from_millis(100));
    // Not the sequence, so both keys are the container's.
    user.types("x");
    user.sees("^Px");
    user.types("\x10");
    std::thread::sleep(Duration::from_millis(100));
    user.types("\x11");
    assert_eq!(run.end(), "exit: Detached\n");
    assert_eq!(user.mode(), before);
}

fn signals_reach_the_container() {
    for name in ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "TSTP", "CONT", "ALRM", "RTMIN+3"] {
        let signal: Signal = name.parse().unwrap();
        let script =
            format!("trap 'echo got it; exit 9' {}; echo ready; while :; do sleep 0.02; done", signal.as_raw());
        for flags in ["", "-t"] {
            let run = Run::piped(flags, &script);
            run.sees("ready");
            run.signal(signal);
            run.sees("got it");
            assert_eq!(run.end(), "exit: Code(9)\n", "{name} {flags}");
        }
    }
}

fn a_second_sigterm_kills() {
    let run = Run::piped("", "trap 'echo not yet' TERM; echo ready; while :; do sleep 0.02; done");
    run.sees("ready");
    run.signal(Signal::TERM);
    run.sees("not yet");
    // Twice at once is once: timeout(1) signals the process and its group.
    run.signal(Signal::TERM);
    run.sees("not yet");
    std::thread::sleep(Duration::from_millis(200));
    run.signal(Signal::INT);
    assert_eq!(run.end(), "event: Killing(Signal(2))\nexit: Signal(Signal(9))\n");
}

fn signals_are_ours_without_forwarding() {
    let run = Run::piped("--no-proxy", "trap 'echo wrong' TERM; echo ready; exec sleep 1000");
    run.sees("ready");
    run.signal(Signal::WINCH);
    run.signal(Signal::TERM);
    assert_eq!(run.end(), "exit: Interrupted(Signal(15))\n");
}

fn what_the_caller_ignores_stays_ignored() {
    let shell = |ignored: &str, flags: &str, script: &str| {
        let mut command = Command::new("sh");
        let exec = format!("trap '' {ignored}; exec \"$@\"");
        command.args(["-c", &exec, "sh"]).arg(std::env::current_exe().unwrap()).args(arguments(flags, script));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Run::spawn(command)
    };
    let run = shell("HUP", "--no-proxy", "echo ready; sleep 0.3; exit 4");
    run.sees("ready");
    run.signal(Signal::HUP);
    assert_eq!(run.end(), "exit: Code(4)\n");
    // Here it is the exit status that would be lost.
    assert_eq!(shell("CHLD", "", "exit 4").end(), "exit: Code(4)\n");
}

fn a_broken_pipe_hangs_up() {
    let mut run = Run::piped("-t", "while echo y; do :; done; exit 6");
    run.sees("y");
    drop(run.0.stdout.take());
    let said = run.end();
    assert!(said.starts_with("event: HungUp(Error { call: \"write(stdout)\""), "{said}");
    // Of the SIGHUP and the failing echo either may come first.
    assert!(said.ends_with("exit: Signal(Signal(1))\n") || said.ends_with("exit: Code(6)\n"), "{said}");
}

fn a_closed_window_hangs_up() {
    let user = User::new();
    // A trap, so that it is the closed terminal that ends it.
    let run =
        user.run("-t -i", "trap : HUP; echo ready; while read line; do :; done; while read line; do :; done; exit 6");
    user.sees("ready");
    drop(user);
    let said = run.end();
    assert!(said.contains("event: HungUp("), "{said}");
    assert!(said.ends_with("exit: Code(6)\n"), "{said}");
}

fn end_of_file_on_stdin_is_not_the_end() {
    let run = Run::piped("-t -i", "sleep 0.2; echo still here");
    run.sees("still here\r\n");
    assert_eq!(run.end(), "exit: Code(0)\n");
}

fn idle_without_a_wakeup() {
    // The second one closes its terminal, which must not make poll spin on the hang-up, and opens it again.
    let reopen = "exec </dev/null >/dev/null 2>&1; sleep 0.9; echo again >/dev/tty";
    for script in ["sleep 0.9; echo again".to_owned(), reopen.to_owned()] {
        let user = User::new();
        let run = user.run("-t -i", &format!("echo ready; {script}"));
        user.sees("ready");
        std::thread::sleep(Duration::from_millis(200));
        let switches = || run.field("status", "voluntary_ctxt_switches:");
        let involuntary = || run.field("status", "nonvoluntary_ctxt_switches:");
        let before = (switches(), involuntary());
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!((switches(), involuntary()), before);
        user.sees("again");
        assert_eq!(run.end(), "exit: Code(0)\n");
    }
}
