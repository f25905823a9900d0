//! A process as proc(5) tells of it.
//!
//! Invariant: what is gone meanwhile is `None`, and no thread is taken for a process.

use plan::Rejected;
use std::fs;
use std::process::{Command, Stdio};

/// Ids are the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub pid: i32,
    /// In its own pid namespace.
    pub own_pid: i32,
    /// How many of these it is in, one in another.
    pub depth: usize,
    pub parent: i32,
    pub group: i32,
    /// `R`, `S`, `D` …
    pub state: String,
    /// As `pts/0`; empty: it has none.
    pub terminal: String,
    /// Ticks: in user mode, in the kernel, and from the boot to its start.
    pub user_time: u64,
    pub system_time: u64,
    pub start: u64,
    pub nice: i64,
    pub threads: u64,
    /// Bytes.
    pub virtual_size: u64,
    pub resident: u64,
    pub read: u64,
    pub written: u64,
    pub name: String,
    /// Empty: it is a thread of the kernel's, or has overwritten them.
    pub arguments: Vec<String>,
    /// Real and effective.
    pub uids: [u32; 2],
    pub gids: [u32; 2],
    pub groups: Vec<u32>,
    /// `CapInh`, `CapPrm`, `CapEff`, `CapBnd`, `CapAmb`, as bits.
    pub capabilities: [u64; 5],
    /// 0, 1 or 2: none, strict, by a filter.
    pub seccomp: u32,
    /// Of AppArmor or SELinux.
    pub label: String,
}

const CAPABILITIES: [&str; 5] = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];

/// What the kernel counts in a second, for proc(5) (sysconf(3), `_SC_CLK_TCK`).
pub const TICKS: u64 = 100;

/// What the process with this number is now.
#[must_use]
pub fn seen(pid: i32) -> Option<Seen> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
    let text = |name: &str| read(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let stat = text("stat")?;
    let status = text("status")?;
    let (head, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let numbers = |name: &str| -> Vec<u32> {
        line(name).into_iter().flat_map(str::split_whitespace).filter_map(|word| word.parse().ok()).collect()
    };
    let pair = |name: &str| numbers(name).first_chunk::<2>().copied().unwrap_or_default();
    let bits = |name: &str| line(name).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
    // Of who may look into it.
    let io = text("io").unwrap_or_default();
    let counted = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0);
    let arguments = read("cmdline").unwrap_or_default();
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(&arguments).split(|byte| *byte == 0);
    let arguments: Vec<String> = arguments.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    Some(Seen {
        pid,
        own_pid: numbers("NSpid:").last().map_or(pid, |pid| pid.cast_signed()),
        depth: numbers("NSpid:").len(),
        parent: number(1) as i32,
        group: number(2) as i32,
        state: fields.first().copied().unwrap_or_default().to_owned(),
        terminal: terminal(number(4)),
        user_time: number(11),
        system_time: number(12),
        start: number(19),
        nice: fields.get(16).and_then(|word| word.parse().ok()).unwrap_or(0),
        threads: number(17),
        virtual_size: number(20),
        resident: number(21).saturating_mul(rustix::param::page_size() as u64),
        read: counted("read_bytes:"),
        written: counted("write_bytes:"),
        name: head.split_once('(').map_or(head, |(_, name)| name).to_owned(),
        arguments: if arguments == [""] { Vec::new() } else { arguments },
        uids: pair("Uid:"),
        gids: pair("Gid:"),
        groups: numbers("Groups:"),
        capabilities: CAPABILITIES.map(bits),
        seccomp: numbers("Seccomp:").first().copied().unwrap_or(0),
        label: text("attr/current").unwrap_or_default().trim_matches(['\0', '\n']).to_owned(),
    })
}

/// Of its number, in which the kernel has put the parts (proc_pid_stat(5), `tty_nr`).
fn terminal(number: u64) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
    match major {
        0 => String::new(),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        5 => "console".to_owned(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major}:{minor}"),
    }
}

/// All in the pid namespace of this process, itself among them, lowest number first.
#[must_use]
pub fn companions(pid: i32) -> Vec<i32> {
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(own) = namespace(pid) else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut all: Vec<i32> = pids.filter(|pid| namespace(*pid).as_ref() == Some(&own)).collect();
    all.sort_unstable();
    all
}

/// Seconds since the boot, as the starts of processes are counted.
#[must_use]
pub fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// What ps(1) says with these words, if it is there.
///
/// # Errors
/// It is not, or it does not know them.
pub fn ps(words: &[String]) -> Result<String, Rejected> {
    let what = || format!("cannot call ps {}", words.join(" "));
    let output = Command::new("ps").args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        crate::refused(what(), &error).hint("install procps, or name columns: sampan top CONTAINER pid user args")
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Rejected::new(what(), why.lines().next().unwrap_or("it failed")))
}

impl Seen {
    /// That it has had of a CPU.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        (self.user_time + self.system_time) / TICKS
    }

    /// Percent of one CPU since it was started. `now`: [`uptime`].
    #[must_use]
    pub fn load(&self, now: f64) -> f64 {
        let lived = now - self.start as f64 / TICKS as f64;
        let used = (self.user_time + self.system_time) as f64 / TICKS as f64;
        if lived > 0.0 { used * 100.0 / lived } else { 0.0 }
    }
}

/// What processes use together: bytes, and nanoseconds of CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    pub cpu: u64,
    pub resident: u64,
    pub read: u64,
    pub written: u64,
    pub threads: u64,
}

impl Sum {
    #[must_use]
    pub fn of(pids: &[i32]) -> Self {
        pids.iter().filter_map(|pid| seen(*pid)).fold(Self::default(), |sum, seen| Self {
            cpu: sum.cpu + (seen.user_time + seen.system_time) * (1_000_000_000 / TICKS),
            resident: sum.resident + seen.resident,
            read: sum.read + seen.read,
            written: sum.written + seen.written,
            threads: sum.threads + seen.threads,
        })
    }
}
