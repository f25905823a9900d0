//! `sampan logs`: what containers printed.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, Ran, ran};
use serde_json::json;
use std::fs;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// A container that has ended, with a log that others wrote; its id.
fn with_log(ground: &Ground, name: &str, log: serde_json::Value, file: &str, text: &str) -> String {
    let mut run = ground.command(&["run", "--network=none", "--name", name, "-l", "kind=it", "-e", "A=b"]);
    ran(run.arg("--rootfs").arg(format!("{}:O", ground.rootfs().display())).arg("true").output().unwrap()).ok();
    let id = sampan(ground, &["ps", "-aq", "--no-trunc", "-f", &format!("name=^{name}$")]).ok();
    let directory = ground.dir.join("data/containers").join(&id);
    fs::write(directory.join("request.json"), json!({ "log": log }).to_string()).unwrap();
    fs::create_dir_all(directory.join("logs")).unwrap();
    fs::write(directory.join("logs").join(file), text).unwrap();
    id
}

const KUBELETS: &str = "2016-10-06T00:17:09.669794202Z stdout F one\n\
                        2016-10-06T00:17:10.5Z stderr F bad\n\
                        2016-10-06T00:17:11.000000000Z stdout P tw\n\
                        2016-10-06T02:17:12.000000000+02:00 stdout F o\n";

#[test]
fn a_log_of_the_kubelets_form_is_printed_as_it_was_written() {
    let Some(ground) = Ground::new() else { return };
    with_log(&ground, "web", json!({ "driver": "k8s-file", "labels": ["kind"], "env": ["A"] }), "ctr.log", KUBELETS);
    let logs = |flags: &[&str]| {
        let ran = sampan(&ground, &[&["logs"], flags, &["web"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        (ran.out, ran.err)
    };
    let both = |out: &str, err: &str| (out.to_owned(), err.to_owned());
    assert_eq!(logs(&[]), both("one\ntwo\n", "bad\n"));
    assert_eq!(logs(&["-n", "1"]), both("two\n", ""));
    assert_eq!(logs(&["--tail=2"]), both("two\n", "bad\n"));
    assert_eq!(logs(&["--tail", "-1"]), logs(&["--tail=all"]));
    assert_eq!(logs(&["--since", "2016-10-06T00:17:10"]), both("two\n", "bad\n"));
    assert_eq!(logs(&["--since", "2016-10-06T00:17:10", "--until=2016-10-06T00:17:10.9Z"]), both("", "bad\n"));
    assert_eq!(logs(&["--since", "1h"]), both("", ""));
    assert_eq!(logs(&["-ft"]).0, "2016-10-06T00:17:09.669794202Z one\n2016-10-06T00:17:11.000000000Z two\n");
    assert_eq!(logs(&["--details", "--names"]).1, "web A=b,kind=it bad\n");
    assert_eq!(logs(&["--latest"][..0]), logs(&["--color"]));
    assert_eq!(sampan(&ground, &["container", "logs", "-l"]).ok(), "one\ntwo");
    sampan(&ground, &["logs", "--tail", "x", "web"]).fails(1, "not a number of lines");
    sampan(&ground, &["logs", "none"]).fails(1, "no container has this name or id");
    sampan(&ground, &["logs"]).fails(1, "CONTAINER");
}

#[test]
fn logs_of_several_are_in_the_order_of_time() {
    let Some(ground) = Ground::new() else { return };
    let text = "{\"log\":\"half\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:10Z\"}\n";
    let web = with_log(&ground, "web", json!({}), "ctr.log", KUBELETS);
    let db = with_log(&ground, "db", json!({ "driver": "json-file" }), "json.log", text);
    let (web, db) = (&web[..12], &db[..12]);
    let merged = sampan(&ground, &["logs", "web", "db"]);
    assert_eq!(merged.out, format!("{web} one\n{db} half{web} two\n"));
    let coloured = sampan(&ground, &["logs", "--color", "--names", "web", "db"]).out;
    assert!(coloured.starts_with("\x1b[36mweb\x1b[0m one\n\x1b[33mdb\x1b[0m half"), "{coloured:?}");
}

#[test]
fn what_keeps_no_log_says_why() {
    let Some(ground) = Ground::new() else { return };
    let id = with_log(&ground, "quiet", json!({ "driver": "none" }), "ctr.log", "");
    sampan(&ground, &["logs", "quiet"]).fails(1, "its log driver is none");
    fs::remove_file(ground.dir.join("data/containers").join(id).join("request.json")).unwrap();
    sampan(&ground, &["logs", "quiet"]).fails(1, "none is kept");
    ground.run(&["--log-opt", "max-size=0"], &["true"]).fails(125, "a log file of no bytes");
    ground.run(&["--log-driver=none", "--log-opt", "max-size=1m"], &["true"]).fails(125, "has no option max-size");
    ground.run(&["--log-driver=none"], &["true"]).ok();
}
