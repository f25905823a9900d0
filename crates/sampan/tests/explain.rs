//! `--explain` prints a script that makes the same container: both are run, both are looked at from inside and from the
//! host while they run, and nothing is left of either.
//!
//! Not compared, because the shell has no form of them: the seccomp filter, the session keyring. Ids, addresses, the
//! numbers of links and what is derived from them are replaced by a word.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

const SAMPAN: &str = env!("CARGO_BIN_EXE_sampan");

/// What the container says of itself; then it waits for a line, so that it can be looked at.
const PROBE: &str = r#"
echo "hostname $(hostname)"; echo "id $(id)"; echo "cwd $(pwd)"; echo "umask $(umask)"
env | sort | sed 's/^/env /'
sed 's/^/mount /' /proc/self/mountinfo
grep -E '^(Cap|NoNewPrivs|Groups|Uid|Gid|NSsid|SigIgn|SigBlk)' /proc/self/status
sed 's/^/limit /' /proc/self/limits
sed 's/^/cgroup /' /proc/self/cgroup
ls -la /dev | awk '{ print "dev", $1, $3, $4, $5, $NF }'
ip -o addr | sed 's/^/addr /'
ip route | sed 's/^/route /'
ip -6 route | sed 's/^/route6 /'
ls /proc/self/fd | wc -l
cat /etc/hosts /etc/resolv.conf
echo READY
read line
exit 7
"#;

/// Run in a network namespace of its own. `$1`: how it is started; in `$D` data, state, rootfs.
const STAGE: &str = r#"
set -eu
ip link set lo up
cat /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/*/{forwarding,accept_ra} >"$D/sysctl.before"
look() {
	mkfifo "$D/stdin.$1"
	"${@:2}" <"$D/stdin.$1" >"$D/out.$1" 2>"$D/err.$1" &
	running=$!
	exec 9>"$D/stdin.$1"
	for try in $(seq 200); do grep -qx READY "$D/out.$1" && break; kill -0 $running || break; sleep 0.05; done
	id=$(ls "$D/data/containers")
	{
		pid=$(cat /sys/fs/cgroup/unified/sampan/$id/cgroup.procs /sys/fs/cgroup/sampan/$id/cgroup.procs 2>/dev/null || :)
		for process in $pid; do echo "process $(tr '\0' ' ' </proc/$process/cmdline | head -c 60)"; done
		pid=${pid%%[[:space:]]*}
		for ns in cgroup ipc mnt net pid time user uts; do
			own=yes; [ "$(readlink /proc/$pid/ns/$ns)" != "$(readlink /proc/$$/ns/$ns)" ] || own=no
			echo "namespace $ns own $own"
		done
		sed 's/^/cgroup /' /proc/$pid/cgroup
		for file in /sys/fs/cgroup/*/sampan/$id/{cgroup.procs,memory.limit_in_bytes,memory.max,cpu.cfs_quota_us,cpu.max,pids.max,devices.list}; do
			[ -e $file ] || continue
			case $file in *.procs) echo "$file $(wc -l <$file)" ;; *) sed "s|^|$file |" $file ;; esac
		done
		cat /proc/$pid/oom_score_adj
		ip -o -d link | sed -E 's/_timer +[0-9.]+//g'; ip -o addr; ip route; ip -6 route | sort
		nft -s list ruleset
		cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding
	} >"$D/host.$1"
	echo >&9; exec 9>&-
	code=0; wait $running || code=$?
	echo "code $code" >>"$D/host.$1"
	sed "s/$id/ID/g; s/${id:0:12}/ID/g" -i "$D/host.$1" "$D/out.$1"
	for try in $(seq 100); do [ -e /sys/class/net/sampan0 ] || [ -e "$D/state/networks" ] || break; sleep 0.05; done
	sleep 0.1
	{
		ip -o link; nft list ruleset; ls -A "$D/data/containers"
		find "$D/state" -mindepth 2 || :
		find /sys/fs/cgroup -type d -path "*$id*"
		grep -F "$D" /proc/self/mountinfo || :
		grep -lsF "$id" /proc/[0-9]*/cgroup || :
	} >"$D/left.$1" 2>/dev/null
	cat /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/*/{forwarding,accept_ra} |
		cmp - "$D/sysctl.before" >>"$D/left.$1" || :
}
sampan() { "$SAMPAN" --root "$D/data" --state "$D/state" run -i --rm "$@"; }
explained() { bash "$D/script"; }
look real sampan "$@"
"$SAMPAN" --root "$D/data" --state "$D/state" run --explain -i --rm "$@" >"$D/script"
look script explained
"#;

struct Ground(PathBuf);

impl Ground {
    fn new(name: &str) -> Option<Self> {
        if !std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            eprintln!("skipped: needs root");
            return None;
        }
        let path = std::env::temp_dir().join(format!("sampan-explain-{name}-{}", std::process::id()));
        for directory in ["rootfs/bin", "rootfs/etc", "rootfs/tmp", "rootfs/root", "shared"] {
            std::fs::create_dir_all(path.join(directory)).unwrap();
        }
        std::fs::write(path.join("rootfs/etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        let install = format!(
            "cp /bin/busybox {0}/busybox && chroot {0}/.. /bin/busybox --install -s /bin",
            path.join("rootfs/bin").display()
        );
        assert!(Command::new("sh").args(["-c", &install]).status().unwrap().success());
        Some(Self(path))
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    fn compare(&self, arguments: &[&str]) {
        // One at a time: unlike sampan, a script does not try again when the end of another container takes away the
        // empty cgroup that they share, between the script's two lines that make it and the one beneath.
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let rootfs = format!("{}:O", self.0.join("rootfs").display());
        let mut command = Command::new("unshare");
        command.args(["--net", "bash", "-c", STAGE, "stage", "--rootfs", &rootfs]);
        command.args(arguments).args(["sh", "-c", PROBE]);
        let output = command.env("D", &self.0).env("SAMPAN", SAMPAN).output().unwrap();
        let errors = format!(
            "{}\nreal: {}\nscript: {}",
            String::from_utf8_lossy(&output.stderr),
            self.read("err.real"),
            self.read("err.script")
        );
        assert!(output.status.success(), "{errors}");
        assert!(self.read("out.real").contains("READY"), "{errors}");
        for what in ["out", "host"] {
            let (real, script) =
                (normal(&self.read(&format!("{what}.real"))), normal(&self.read(&format!("{what}.script"))));
            same(what, &real, &script, &errors);
        }
        assert_eq!(self.read("left.real"), self.read("left.script"));
        let left = self.read("left.script");
        assert_eq!(left.lines().filter(|line| !line.contains(": lo:")).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
    }
}

fn same(what: &str, real: &[String], script: &[String], errors: &str) {
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    let (missing, surplus) = (only(real, script), only(script, real));
    let other = real.iter().zip(script).position(|(one, other)| one != other);
    let other = other.map(|at| (&real[at], &script[at]));
    assert!(
        real == script,
        "{what}: only in the real one {missing:#?}, only in the script's {surplus:#?}, first {other:#?}\n{errors}"
    );
}

/// Without numbers that each start has anew. Mounts by their words: the kernel lists them as they were made, and
/// sampan's parent makes those that it hands over first.
fn normal(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(line).collect();
    lines.sort_by_cached_key(|line| line.starts_with("mount ").then(|| line.clone()));
    lines
}

fn line(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        // 32 and 33 are glibc's own: no program of the script's can stop ignoring them, where the caller does.
        ["SigIgn:", mask] => {
            let mask = u64::from_str_radix(mask, 16).unwrap();
            format!("SigIgn: {:016x}", mask & !0x1_8000_0000)
        }
        // Number, parent's number, device; peers. The source of an overlay is a name without meaning.
        ["mount", _, _, _, root, at, options, rest @ ..] => {
            let end = rest.iter().position(|word| *word == "-").unwrap_or(0);
            let after = &rest[end + 1..];
            format!("mount {root} {at} {options} {} {}", after[0], after[2..].join(" "))
        }
        words => words.iter().map(|text| word(text)).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" "),
    }
}

/// Names and numbers that each start has anew, as a word.
fn word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| "{},".contains(c));
    if bare.starts_with("10.137.") && bare != "10.137.0.1/16" && bare != "10.137.0.0/16" && bare != "10.137.0.1" {
        return "ADDRESS".into();
    }
    if bare.starts_with("fd") && bare.contains(":a89:") {
        return "ADDRESS6".into();
    }
    // MAC addresses, link-local addresses, names and numbers of links.
    if bare.matches(':').count() == 5 && bare.len() == 17 || bare.starts_with("fe80:") && bare != "fe80::/64" {
        return "DERIVED".into();
    }
    if bare.starts_with("sp") && bare.len() >= 14 {
        return "LINK".into();
    }
    match bare.split_once("@if") {
        Some((name, _)) => name.to_owned(),
        None if bare.trim_end_matches(':').parse::<u32>().is_ok() && bare.ends_with(':') => String::new(),
        // Duplicate address detection goes on while we look.
        None if matches!(bare, "tentative" | "flags" | "02" | "80" | "linkdown") => String::new(),
        None => word.to_owned(),
    }
}

#[test]
fn on_the_bridge() {
    let Some(ground) = Ground::new("bridge") else { return };
    ground.compare(&[]);
}

#[test]
fn with_limits_and_a_user() {
    let Some(ground) = Ground::new("limits") else { return };
    ground.compare(&[
        "-m",
        "100m",
        "--cpus",
        "0.25",
        "--pids-limit",
        "64",
        "--user",
        "1000:1000",
        "--hostname",
        "my-container",
        "--ulimit",
        "nofile=1000:2000",
        "-w",
        "/made/here",
        "-e",
        "A=it's $HOME",
    ]);
}

#[test]
fn read_only_without_a_network() {
    let Some(ground) = Ground::new("readonly") else { return };
    let shared = format!("{}:/y:ro", ground.0.join("shared").display());
    ground.compare(&["--network", "none", "--read-only", "--tmpfs", "/x", "-v", &shared]);
}

#[test]
fn with_a_published_port() {
    let Some(ground) = Ground::new("port") else { return };
    ground.compare(&["-p", "8080:80", "-p", "127.0.0.1:5353:53/udp"]);
}
