//! What is done to containers that run, and shown of them: `pause`, `unpause`, `top`, `port`, `stats`.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::live::Live;
use serde_json::Value;
use std::time::Duration;

#[test]
fn a_paused_container_stands_still() {
    let Some(live) = Live::new(&[]) else { return };
    live.sampan(&["exec", "-d", "c", "sh", "-c", "while :; do echo x >>/tmp/count; usleep 2000; done"]).ok();
    let count = || std::fs::metadata(format!("/proc/{}/root/tmp/count", live.pid())).map_or(0, |found| found.len());
    ground::until("it counts", || count() > 0);
    assert_eq!(live.sampan(&["pause", "c"]).ok(), "c");
    let then = count();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(count(), then);
    live.sampan(&["container", "pause", "c"]).fails(1, "it is paused already");
    live.sampan(&["exec", "c", "true"]).fails(125, "it is paused");
    assert_eq!(live.sampan(&["unpause", "--latest"]).ok(), live.id());
    ground::until("it goes on", || count() > then);
    live.sampan(&["unpause", "c"]).fails(1, "it is not paused");
    assert_eq!(live.sampan(&["pause", "--all"]).ok(), live.id());
    assert_eq!(live.sampan(&["unpause", "-a"]).ok(), live.id());
    assert_eq!(live.sampan(&["unpause", "-a"]).ok(), "");
    let some = live.sampan(&["pause", "absent", "c"]);
    assert_eq!((some.code, some.out.as_str()), (1, "c\n"));
    assert!(some.err.contains("absent"), "{some:?}");
    // It can be killed as it is.
    live.sampan(&["rm", "-f", "c"]).ok();
    live.end();
}

#[test]
fn its_processes() {
    let Some(live) = Live::new(&[]) else { return };
    live.sampan(&["exec", "-d", "-u", "app", "c", "sleep", "77"]).ok();
    let lines = |words: &[&str]| -> Vec<String> {
        let out = live.sampan(&[&["top", "c"], words].concat()).ok();
        out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let all = lines(&[]);
    assert_eq!(all[0], "UID PID PPID C STIME TTY TIME CMD");
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(
        all[1].starts_with(&format!("root {} ", live.pid())) && all[1].ends_with("? 00:00:00 sleep 1000"),
        "{all:?}"
    );
    let own = lines(&["pid", "user,ppid", "args"]);
    assert_eq!(own[0], "PID USER PPID COMMAND");
    assert_eq!(own[1], "1 root 0 sleep 1000");
    assert!(own[2].contains(" app 0 sleep 77"), "{own:?}");
    let rights = lines(&["user", "capeff", "seccomp", "state", "comm", "hpid", "vsz", "rss", "nice", "groups"]);
    let pid = live.pid().to_string();
    assert!(
        rights[1].contains("CHOWN,DAC_OVERRIDE") && rights[1].contains(" filter S sleep ") && rights[1].contains(&pid)
    );
    assert!(rights[2].starts_with("app none filter S sleep ") && rights[2].ends_with(" wheel"), "{rights:?}");
    if ground::room::find("ps").is_some() {
        let by_ps = lines(&["-o", "pid,args"]);
        assert_eq!((by_ps[0].as_str(), by_ps[1].as_str()), ("PID COMMAND", format!("{pid} sleep 1000").as_str()));
        assert_eq!(lines(&["aux"]).len(), 3);
        live.sampan(&["top", "c", "-o", "args"]).fails(1, "prints no PID");
        live.sampan(&["top", "c", "--no-such"]).fails(1, "cannot call ps");
    } else {
        eprintln!("skipped: no ps on this machine");
    }
    assert_eq!(live.sampan(&["top", "-l", "comm"]).ok(), "COMMAND\nsleep\nsleep");
    live.sampan(&["top", "absent"]).fails(1, "absent");
}

#[test]
fn its_ports() {
    let Some(live) = Live::new(&["--network=bridge", "-p", "127.0.0.1:39181:80", "-p", "39182:53/udp"]) else { return };
    let out = live.sampan(&["port", "c"]).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "53/udp -> 0.0.0.0:39182");
    assert_eq!(*lines.last().unwrap(), "80/tcp -> 127.0.0.1:39181");
    assert_eq!(live.sampan(&["port", "c", "80"]).ok(), "127.0.0.1:39181");
    assert!(live.sampan(&["container", "port", "--latest", "53/udp"]).ok().starts_with("0.0.0.0:39182"));
    live.sampan(&["port", "c", "81"]).fails(1, "not published");
    assert!(live.sampan(&["port", "-a"]).ok().contains(&format!("{}\t80/tcp -> 127.0.0.1:39181", &live.id()[..12])));
}

#[test]
fn what_it_uses() {
    let Some(live) = Live::new(&["--memory=64m"]) else { return };
    let script = "dd if=/dev/zero of=/dev/shm/big bs=1M count=20 2>/dev/null; touch /tmp/done; while :; do :; done";
    live.sampan(&["exec", "-d", "c", "sh", "-c", script]).ok();
    ground::until("it is busy", || live.sampan(&["exec", "c", "test", "-e", "/tmp/done"]).code == 0);
    let json = |words: &[&str]| -> Value {
        let out = live.sampan(&[&["stats", "--no-stream", "--format", "json"], words].concat()).ok();
        serde_json::from_str(&out).unwrap()
    };
    let row = json(&["c"]);
    let number = |key: &str| -> f64 { row[key].as_str().unwrap().trim_end_matches('%').parse().unwrap() };
    // How much of a CPU it gets is the machine's to say.
    assert!(number("CPUPerc") > 5.0 && number("CPUPerc") < 130.0, "{row}");
    assert!(number("MemPerc") > 30.0 && number("MemPerc") < 100.0, "{row}");
    let memory = row["MemUsage"].as_str().unwrap();
    assert!(memory.ends_with("MiB / 64MiB"), "{row}");
    assert_eq!(row["PIDs"], "2", "{row}");
    assert_eq!((&row["Name"], &row["Container"], &row["NetIO"]), (&"c".into(), &"c".into(), &"0B / 0B".into()));
    assert_eq!(json(&["--no-trunc"])["ID"], live.id());
    let table = live.sampan(&["stats", "--no-stream", "-l"]).ok();
    let head = "CONTAINER ID   NAME      CPU %";
    assert!(table.starts_with(head), "{table}");
    let line = live.sampan(&["container", "stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "c"]).ok();
    assert_eq!(line, "c 2");
    live.sampan(&["pause", "c"]).ok();
    assert_eq!(json(&["c"])["CPUPerc"], "0.00%");
    live.sampan(&["unpause", "c"]).ok();
    live.sampan(&["stats", "--no-stream", "absent"]).fails(1, "absent");
}
