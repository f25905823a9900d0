//! Health checks: asked by the monitor, told by ps and inspect, and what becomes of who is not well.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, until};

const QUICK: [&str; 2] = ["--health-interval=100ms", "--health-retries=2"];

fn status(ground: &Ground, name: &str) -> String {
    ground.record(name)["health"]["Status"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn one_that_answers_is_healthy_and_one_that_does_not_is_not() {
    let Some(ground) = Ground::new() else { return };
    let check = "--health-cmd=test -e /well && echo fine || { echo bad; exit 3; }";
    let flags = [&["run", "-d", "--name=a", check][..], &QUICK].concat();
    ground.make(&flags, &["sh", "-c", "sleep 1000"]).ok();
    until("it is unhealthy", || status(&ground, "a") == "unhealthy");
    let row = ground.listed().into_iter().find(|row| row["Names"] == "a").unwrap();
    assert!(row["Status"].as_str().unwrap().ends_with("(unhealthy)"), "{row}");
    assert_eq!(ground.state("a"), "running", "nobody asked for more");
    let health = ground.record("a")["health"].clone();
    assert!(health["FailingStreak"].as_u64() >= Some(2) && health["Log"].as_array().unwrap().len() <= 5, "{health}");
    assert_eq!((&health["Log"][0]["ExitCode"], &health["Log"][0]["Output"]), (&3.into(), &"bad\n".into()));
    assert_eq!(ground.call(&["healthcheck", "run", "a"]).code, 1);
    ground.call(&["exec", "a", "touch", "/well"]).ok();
    until("it is healthy", || status(&ground, "a") == "healthy");
    assert_eq!(ground.call(&["healthcheck", "run", "a"]).code, 0);
    let inspected = ground.call(&["inspect", "--format", "{{.State.Health.Status}}", "a"]).ok();
    assert_eq!(inspected, "healthy");

    ground.make(&["run", "-d", "--name=b"], &["sleep", "1000"]).ok();
    ground.call(&["healthcheck", "run", "b"]).fails(1, "it has no health check");
}

#[test]
fn an_answer_that_takes_too_long_is_none() {
    let Some(ground) = Ground::new() else { return };
    let flags = ["run", "-d", "--name=a", "--health-cmd=sleep 1000", "--health-timeout=200ms", QUICK[0], QUICK[1]];
    ground.make(&flags, &["sleep", "1000"]).ok();
    until("it is unhealthy", || status(&ground, "a") == "unhealthy");
    let answer = ground.record("a")["health"]["Log"][0].clone();
    assert_eq!(answer["ExitCode"], -1);
    assert!(answer["Output"].as_str().unwrap().contains("exceeded timeout"), "{answer}");
    // Who was asked in vain is not left there.
    let left = || ground.call(&["exec", "a", "sh", "-c", "pgrep -x sleep | wc -l"]).ok();
    until("no more than the container's own and one probe", || left().trim().parse::<u32>().unwrap() <= 2);
}

#[test]
fn who_is_not_well_is_ended_or_started_again() {
    let Some(ground) = Ground::new() else { return };
    let run = |name: &str, action: &str, more: &[&str]| {
        let (name, action) = (format!("--name={name}"), format!("--health-on-failure={action}"));
        let flags =
            [&["run", "-d", &name, &action, "--health-cmd=false", "--stop-timeout=0"][..], &QUICK, more].concat();
        ground.make(&flags, &["sleep", "1000"]).ok();
    };
    run("kill", "kill", &[]);
    run("stop", "stop", &["--restart=always"]);
    run("restart", "restart", &[]);
    run("again", "kill", &["--restart=on-failure"]);
    for name in ["kill", "stop"] {
        until("it has ended", || ground.state(name) == "exited");
    }
    for name in ["restart", "again"] {
        until("it was started again", || ground.record(name)["restarts"].as_u64() >= Some(1));
    }
}
