//! `sampan doctor`: what will fail on this host, each made for real, and said before it fails.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, Ran, SAMPAN, ran};
use std::process::{Command, Stdio};

/// In a mount and a network namespace of its own, with a /run of its own, after `script`.
fn after(ground: &Ground, script: &str, flags: &str) -> Ran {
    let mut command = Command::new("unshare");
    let all = format!("mount -t tmpfs -o mode=755 run /run; ip link set lo up; {script}; exec $SAMPAN doctor {flags}");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", &all]);
    let sampan = format!("{SAMPAN} --root {0}/data --state /run/state", ground.dir.display());
    command.env("SAMPAN", sampan).env("DIR", &ground.dir).env("HOME", &ground.dir).stdin(Stdio::null());
    ran(command.output().unwrap())
}

/// The line of a check: its verdict, and what it says.
#[track_caller]
fn says(ran: &Ran, check: &str, verdict: &str, words: &[&str]) {
    let of_check = |line: &&str| line.get(9..).is_some_and(|rest| rest.starts_with(check));
    let line = ran.out.lines().find(of_check).unwrap_or_else(|| panic!("{check} is not looked at: {ran:?}"));
    assert!(line.starts_with(verdict) && words.iter().all(|word| line.contains(word)), "{check}: {line}");
}

#[test]
fn a_host_on_which_containers_start() {
    let Some(ground) = Ground::new() else { return };
    let well = after(&ground, "true", "");
    assert_eq!((well.code, well.err.as_str()), (0, ""), "{well:?}");
    for check in ["kernel", "seccomp", "clock", "data directory", "state directory", "what is left of containers"] {
        says(&well, check, "ok", &[]);
    }
    assert!(!ground.dir.join("data").exists(), "it changes nothing");
    let json = after(&ground, "true", "--format json").ok();
    let rows: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), well.out.lines().count());
    assert!(rows.iter().all(|row| row["Verdict"].is_string() && row["Check"].is_string() && row["Fix"].is_string()));
}

/// What doctor says is what the command says that fails.
#[test]
fn what_will_fail_is_said_before() {
    let Some(ground) = Ground::new() else { return };
    let no_pids = "[ ! -e /sys/fs/cgroup/pids/tasks ] || umount /sys/fs/cgroup/pids";
    if std::path::Path::new("/sys/fs/cgroup/pids/tasks").exists() {
        let without = after(&ground, no_pids, "");
        assert_eq!(without.code, 0);
        says(
            &without,
            "limit of processes",
            "warning",
            &["cannot limit processes to 100: ", "no cgroup controller `pids`"],
        );
    } else {
        eprintln!("skipped: the pids controller is not a mount of its own here");
    }
    let little = "mkdir $DIR/data; mount -t tmpfs -o size=4m d $DIR/data";
    let full = after(&ground, little, "");
    full.fails(1, "error: no container can start on this host");
    says(&full, "data directory", "failure", &["4MiB are left", "--root"]);
    let read_only = after(&ground, "mount -t tmpfs -o ro d $DIR/data", "");
    read_only.fails(1, "no container can start");
    says(&read_only, "data directory", "failure", &["read-only", "mount it writable"]);
    let layered = "mkdir $DIR/up $DIR/work; mount -t overlay -o lowerdir=$DIR/rootfs,upperdir=$DIR/up,workdir=$DIR/work o $DIR/data";
    says(&after(&ground, layered, ""), "overlayfs", "warning", &["is on overlayfs", "--root"]);
    says(
        &after(&ground, "mkdir /run/d; mount --bind $DIR /run/d; export SAMPAN=\"$SAMPAN --state /run/d/state\"", ""),
        "state directory",
        "warning",
        &["no tmpfs", "--state"],
    );
    let names = "mkdir -p $DIR/.config/containers; echo '[[registry' >$DIR/.config/containers/registries.conf";
    says(&after(&ground, names, ""), "registries.conf", "warning", &["registries.conf", "no image can be pulled"]);
    let login = "mkdir -p $DIR/.docker; rm -r $DIR/.config; echo '{\"auths\":' >$DIR/.docker/config.json";
    says(&after(&ground, login, ""), "logins", "warning", &["config.json"]);
    let deaf = "rm -r $DIR/.docker; : >/run/empty; mount --bind /run/empty /etc/resolv.conf";
    says(&after(&ground, deaf, ""), "name servers", "warning", &["names no resolver", "--dns"]);
    let rules = "nft 'add table ip mine; add chain ip mine f { type filter hook forward priority 0; policy drop; }'";
    if Command::new("nft").arg("--version").output().is_ok() {
        says(&after(&ground, rules, ""), "bridge and nftables", "warning", &["ip mine f"]);
    } else {
        eprintln!("skipped: no nft on this machine");
    }
    let record = "mkdir -p $DIR/data/containers/abc; echo junk >$DIR/data/containers/abc/record.json";
    says(&after(&ground, record, ""), "records", "warning", &["containers/abc", "rm -r"]);
    let few = "ulimit -n 500; true";
    says(&after(&ground, few, ""), "open files", "warning", &["500", "ulimit -Hn"]);
}

/// Root without a right, and an ordinary user without what he needs.
#[test]
fn who_may_not() {
    let Some(ground) = Ground::new() else { return };
    let as_whom = |words: &str| {
        format!("cp ${{SAMPAN%% *}} $DIR/sampan; chmod 755 $DIR; export SAMPAN=\"{words} $DIR/sampan ${{SAMPAN#* }}\"")
    };
    let weak = after(&ground, &as_whom("setpriv --bounding-set=-net_admin --inh-caps=-net_admin"), "");
    says(&weak, "capabilities", "warning", &["CAP_NET_ADMIN"]);
    says(&weak, "bridge and nftables", "warning", &["cannot look at this host's network", "CAP_NET_ADMIN"]);
    let powerless = after(&ground, &as_whom("setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin"), "");
    powerless.fails(1, "no container can start");
    says(&powerless, "capabilities", "failure", &["CAP_SYS_ADMIN"]);

    let user = format!(
        "mkdir -p /run/state $DIR/data; chown 4321 /run/state $DIR/data; {}",
        as_whom("setpriv --reuid=4321 --regid=4321 --clear-groups env PATH=/nowhere")
    );
    let user = after(&ground, &user, "");
    says(&user, "pasta", "warning", &["no network without it", "install passt"]);
    says(&user, "subordinate ids", "warning", &["newuidmap is not installed"]);
    says(&user, "limit of memory", "warning", &["cannot limit memory to 64m"]);
}
