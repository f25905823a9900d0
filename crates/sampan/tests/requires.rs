//! Containers that need others: started after them, and waited for by what is true of them.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, until};
use serde_json::Value;

#[test]
fn what_it_requires_is_started_before_it() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["create", "--name=base"], &["sleep", "1000"]).ok();
    ground.make(&["create", "--name=middle", "--requires=base"], &["sleep", "1000"]).ok();
    ground.make(&["create", "--name=top", "--requires=middle,base"], &["sleep", "1000"]).ok();
    let states = || ["base", "middle", "top"].map(|name| ground.state(name));
    assert_eq!(states(), ["created", "created", "created"]);
    ground.call(&["rename", "base", "other"]).ok();
    ground.call(&["start", "top"]).ok();
    assert_eq!(["other", "middle", "top"].map(|name| ground.state(name)), ["running", "running", "running"]);
    let ids = ["middle", "other"].map(|name| ground.record(name)["id"].clone());
    assert_eq!(ground.record("top")["requires"], Value::from(ids.to_vec()));
    let inspected = ground.call(&["inspect", "--format", "{{len .Dependencies}}", "top"]).ok();
    assert_eq!(inspected, "2");

    ground.call(&["stop", "--time=0", "other"]).ok();
    let flags = ["run", "--rm", "--requires=other"];
    assert_eq!(ground.make(&flags, &["echo", "ran"]).ok(), "ran");
    assert_eq!(ground.state("other"), "running");
    ground.make(&["create", "--requires=none"], &["true"]).fails(1, "no container has this name or id");
    ground.call(&["rm", "--force", "other"]).ok();
    ground.call(&["stop", "--time=0", "top"]).ok();
    ground.call(&["start", "top"]).fails(1, "no container has this name or id");
}

#[test]
fn what_is_true_of_a_container_can_be_waited_for() {
    let Some(ground) = Ground::new() else { return };
    let check = ["--health-cmd=test -e /well", "--health-interval=100ms", "--health-retries=1"];
    ground.make(&[&["create", "--name=a"], check.as_slice()].concat(), &["sleep", "1000"]).ok();
    assert_eq!(ground.call(&["wait", "--condition=created", "a"]).ok(), "-1");
    let waiting = |condition: &str| {
        let words = ["wait", "--interval=20ms", &format!("--condition={condition}"), "a"];
        ground.command(&words).stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let mut ended = waiting("stopped");
    let mut healthy = waiting("healthy");
    ground.call(&["start", "a"]).ok();
    assert_eq!(ground.call(&["wait", "--condition=running,exited", "a"]).ok(), "-1");
    assert_eq!(ground.call(&["wait", "--condition=unhealthy", "a"]).ok(), "-1");
    assert!(healthy.try_wait().unwrap().is_none() && ended.try_wait().unwrap().is_none());
    ground.call(&["exec", "a", "touch", "/well"]).ok();
    until("it is healthy", || healthy.try_wait().unwrap().is_some());
    assert!(ended.try_wait().unwrap().is_none());
    ground.call(&["kill", "a"]).ok();
    assert_eq!(ended.wait_with_output().unwrap().stdout, b"137\n");

    ground.make(&["run", "-d", "--name=b"], &["sleep", "1000"]).ok();
    ground.call(&["wait", "--condition=healthy", "b"]).fails(1, "it has no health check");
    ground.call(&["wait", "--condition=sleepy", "b"]).fails(1, "unknown condition \"sleepy\"");
    ground.call(&["wait", "--condition=healthy", "none"]).fails(1, "no container has this name or id");
}
