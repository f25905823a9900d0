//! Streams, terminals and signals of a container that its monitor watches: run in the foreground, start -a, attach.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, until};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

/// A command on a terminal of its own, of which this is the other end.
struct Typist {
    child: Child,
    master: File,
    seen: String,
}

impl Typist {
    fn new(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let end = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let size = rustix::termios::Winsize { ws_row: 30, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        Self { child, master: File::from(master), seen: String::new() }
    }

    fn types(&mut self, text: &[u8]) {
        self.master.write_all(text).unwrap();
    }

    #[track_caller]
    fn sees(&mut self, text: &str) {
        until(text, || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = self.master.read(&mut bytes) {
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
            self.seen.contains(text)
        });
        let at = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..at);
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.master, size).unwrap();
        // The terminal is nobody's controlling one, so nobody is told.
        assert!(Command::new("kill").args(["-WINCH", &self.child.id().to_string()]).status().unwrap().success());
    }

    fn ends(mut self) -> i32 {
        // A terminal that is not read holds up who writes to it.
        until("it ends", || {
            let mut bytes = [0; 4096];
            while let Ok(1..) = self.master.read(&mut bytes) {}
            self.child.try_wait().unwrap().is_some()
        });
        self.child.wait().unwrap().code().unwrap()
    }
}

fn kept(ground: &Ground, flags: &[&str], command: &[&str]) -> Command {
    let mut run = ground.command(&["run", "--network=none"]);
    run.args(flags).arg("--rootfs").arg(format!("{}:O", ground.rootfs().display())).args(command);
    run
}

#[test]
fn one_that_is_kept_has_its_output_logged_and_shown() {
    let Some(ground) = Ground::new() else { return };
    let ran = ground.make(&["run", "--name=a"], &["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (3, "out\n", "err\n"));
    let logs = ground.call(&["logs", "a"]);
    assert_eq!((logs.out.as_str(), logs.err.as_str()), ("out\n", "err\n"));
    let again = ground.call(&["start", "-a", "a"]);
    assert_eq!((again.code, again.out.as_str(), again.err.as_str()), (3, "out\n", "err\n"));
    ground.call(&["attach", "a"]).fails(1, "it is not running");
    ground.make(&["run"], &["absent"]).fails(127, "absent");
    assert_eq!(ground.listed().len(), 1);
}

#[test]
fn nothing_is_lost_of_much_in_either_direction() {
    let Some(ground) = Ground::new() else { return };
    let much: Vec<u8> = (0..3 << 20).map(|number: u32| (number % 251) as u8).collect();
    assert_eq!(ground.feed(&["-i"], &["cat"], &much).stdout, much);
    // The reader is slower than the container, which has ended long before.
    let mut child = kept(&ground, &["--name=a"], &["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x"]);
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let mut all = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut all).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(all.len() == 100_000 && all.iter().all(|byte| *byte == b'x'), "{}", all.len());
}

#[test]
fn a_terminal_is_left_and_taken_up_again() {
    let Some(ground) = Ground::new() else { return };
    let mut first = Typist::new(kept(&ground, &["-it", "--name=a"], &["sh"]));
    first.types(b"echo $((40+2)); stty size\n");
    first.sees("42");
    first.sees("30 90");
    first.resize(20, 70);
    first.types(b"sleep 0.3; stty size\n");
    first.sees("20 70");
    first.types(&[16, 17]);
    assert_eq!(first.ends(), 0);
    assert_eq!(ground.state("a"), "running");

    let mut second = Typist::new(ground.command(&["attach", "a"]));
    let mut third = Typist::new(ground.command(&["attach", "--detach-keys=ctrl-x", "a"]));
    until("both are attached", || {
        second.types(b"echo $((50+5))\n");
        std::thread::sleep(std::time::Duration::from_millis(200));
        let mut bytes = [0; 4096];
        let length = third.master.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).contains("55")
    });
    second.sees("55");
    third.types(&[24]);
    assert_eq!(third.ends(), 0);
    second.types(b"exit 6\n");
    assert_eq!(second.ends(), 6);
    assert_eq!(ground.record("a")["exit_code"], 6);
}

#[test]
fn signals_go_to_the_container_of_whoever_is_attached() {
    let Some(ground) = Ground::new() else { return };
    let script = "trap 'echo term; exit 8' TERM; echo up; while :; do usleep 10000; done";
    let mut child = kept(&ground, &["--name=a"], &["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    let signal = |child: &Child| {
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    };
    signal(&child);
    assert_eq!(lines.next().unwrap().unwrap(), "term");
    assert_eq!(child.wait().unwrap().code(), Some(8));

    ground.call(&["start", "a"]).ok();
    let mut attached = ground.command(&["attach", "--sig-proxy=false", "a"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(&attached);
    assert_eq!(attached.wait().unwrap().code(), Some(128 + 15));
    assert_eq!(ground.state("a"), "running");
}

#[test]
fn the_death_of_a_client_is_not_the_containers() {
    let Some(ground) = Ground::new() else { return };
    let script = "echo up; while :; do echo x; usleep 50000; done";
    let mut child = kept(&ground, &["--name=a"], &["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ground.state("a"), "running");
    let pid = ground.record("a")["pid"].clone();
    // One that reads no more holds it up, and one that is gone does not.
    let mut stuck = ground.command(&["attach", "a"]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    stuck.kill().unwrap();
    stuck.wait().unwrap();
    assert_eq!(ground.call(&["stop", "--time=0", "a"]).ok(), "a");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn whoever_reads_no_more_hangs_up() {
    let Some(ground) = Ground::new() else { return };
    for flags in [&["--rm", "-t"][..], &["--rm", "-i"], &["--name=kept"]] {
        let mut run = kept(&ground, flags, &["yes"]);
        let mut child = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut some = [0; 2];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        until("it ends", || child.try_wait().unwrap().is_some());
    }
    assert_eq!(ground.state("kept"), "exited");
}

#[test]
fn an_owned_terminal_needs_no_reader_of_ours() {
    // `-t` without `-i`: the container has a terminal, and nobody types.
    let Some(ground) = Ground::new() else { return };
    let pipe: (OwnedFd, OwnedFd) = {
        let (reads, writes) = std::io::pipe().unwrap();
        (reads.into(), writes.into())
    };
    let mut run = kept(&ground, &["--rm", "-t"], &["sh", "-c", "test -t 1 && echo yes"]);
    let mut child = run.stdout(Stdio::from(pipe.1.try_clone().unwrap())).spawn().unwrap();
    drop(run);
    drop(pipe.1);
    let mut text = String::new();
    File::from(pipe.0.as_fd().try_clone_to_owned().unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "yes\r\n");
    assert!(child.wait().unwrap().success());
}
