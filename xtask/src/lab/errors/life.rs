//! Containers in the wrong state, or not there at all.

use super::{Case, case};

pub const CASES: &[Case] = &[
    case(
        "a name in use",
        125,
        "already in use by container",
        "sampan rm one",
        r#"
        quietly engine create --network=none --name=one lab true; fails engine run --network=none --name=one lab true"#,
    ),
    case("a container that is not there", 1, "absent", "sampan ps -a", "fails engine rm absent"),
    case(
        "exec in a container that does not run",
        125,
        "not running",
        "sampan start one",
        r#"
        quietly engine create --network=none --name=one lab true; fails engine exec one true"#,
    ),
    case(
        "exec in a container that has ended",
        125,
        "not running",
        "sampan start one",
        r#"
        quietly engine run --network=none --name=one lab true; fails engine exec one true"#,
    ),
    case(
        "exec in a paused container",
        125,
        "paused",
        "sampan unpause one",
        r#"
        quietly engine run -d --network=none --name=one lab sleep 100; quietly engine pause one; fails engine exec one true"#,
    ),
    case(
        "exec of what is not there",
        127,
        "executable file not found",
        "is not in the container",
        r#"
        quietly engine run -d --network=none --name=one lab sleep 100; fails engine exec one nosuch"#,
    ),
    case(
        "exec in a directory that is not there",
        125,
        "/nosuch",
        "--workdir",
        r#"
        quietly engine run -d --network=none --name=one lab sleep 100; fails engine exec --workdir /nosuch one true"#,
    ),
    case(
        "exec as a user that is not there",
        125,
        "nobody-here",
        "/etc/passwd",
        r#"
        quietly engine run -d --network=none --name=one lab sleep 100; fails engine exec --user nobody-here one true"#,
    ),
    case(
        "kill of a container that does not run",
        1,
        "not running",
        "",
        r#"
        quietly engine create --network=none --name=one lab true; fails engine kill one"#,
    ),
    case(
        "kill with a signal that is none",
        1,
        "NOSUCH",
        "SIG",
        r#"
        quietly engine run -d --network=none --name=one lab sleep 100; fails engine kill -s NOSUCH one"#,
    ),
    case(
        "pause of a container that does not run",
        1,
        "not running",
        "",
        r#"
        quietly engine create --network=none --name=one lab true; fails engine pause one"#,
    ),
    case(
        "pause of one that is paused",
        1,
        "paused",
        "",
        r#"
        quietly engine run -d --network=none --name=one lab sleep 100; quietly engine pause one; fails engine pause one"#,
    ),
    case(
        "unpause of one that is not",
        1,
        "not paused",
        "",
        r#"
        quietly engine run -d --network=none --name=one lab sleep 100; fails engine unpause one"#,
    ),
    case(
        "removal of one that runs",
        1,
        "it is running",
        "--force",
        r#"
        quietly engine run -d --network=none --name=one lab sleep 100; fails engine rm one"#,
    ),
    case(
        "attach to one that has ended",
        1,
        "not running",
        "sampan start --attach one",
        r#"
        quietly engine run --network=none --name=one lab true; fails engine attach one"#,
    ),
    case(
        "a name that is taken, by rename",
        1,
        "already in use",
        "",
        r#"
        quietly engine create --network=none --name=one lab true; quietly engine create --network=none --name=two lab true
        fails engine rename one two"#,
    ),
    case(
        "detached, a command that is not there",
        127,
        "executable file not found",
        "spelling",
        "fails engine run -d --network=none --rm lab nosuch",
    ),
    case(
        "logs that are not kept",
        1,
        "none",
        "--log-driver",
        r#"
        quietly engine run --network=none --log-driver none --name=one lab true; fails engine logs one"#,
    ),
    case(
        "logs since when",
        1,
        "yesterday",
        "",
        r#"
        quietly engine run --network=none --name=one lab true; fails engine logs --since yesterday one"#,
    ),
    case(
        "logs of how many lines",
        1,
        "many",
        "",
        r#"
        quietly engine run --network=none --name=one lab true; fails engine logs --tail many one"#,
    ),
    case("inspect of what is not there", 1, "absent", "", "fails engine inspect absent"),
    case("wait for what is not there", 1, "absent", "sampan ps -a", "fails engine wait absent"),
    case(
        "top of one that does not run",
        1,
        "not running",
        "",
        r#"
        quietly engine create --network=none --name=one lab true; fails engine top one"#,
    ),
    case(
        "an update below what is in use",
        1,
        "memory",
        "",
        r#"
        quietly engine run -d --network=none --name=one -m 64m --memory-swap 64m --tmpfs /big lab sh -c 'head -c 40m /dev/zero >/big/file; echo done; sleep 100'
        for _ in {1..100}; do [ -z "$(engine logs one 2>/dev/null)" ] || break; sleep 0.1; done
        fails engine update -m 16m --memory-swap 16m one"#,
    ),
    case(
        "an update to more CPUs than there are",
        1,
        "there are only",
        "ask for",
        r#"
        quietly engine run -d --network=none --name=one lab sleep 100; fails engine update --cpus 4096 one"#,
    ),
    case("commit of what is not there", 1, "absent", "sampan ps -a", "fails engine commit absent image"),
    case(
        "a health check that is not there",
        1,
        "health",
        "--health-cmd",
        r#"
        only; quietly engine run -d --network=none --name=one lab sleep 100; fails engine healthcheck run one"#,
    ),
    case(
        "a container whose image is gone",
        1,
        "cannot open layer",
        "sampan system check --repair",
        r#"
        only; mkdir data; DATA=$DIR/data; quietly engine import $LAB/rootfs.tar lab; quietly engine create --network=none --name=one lab true
        rm -r data/layers/*; fails engine start -a one"#,
    ),
    case(
        "a record that is damaged",
        1,
        "record.json is damaged",
        "rm -r",
        r#"
        only; quietly engine run --network=none --name=one lab true; for record in $DATA/containers/*/record.json; do echo junk >$record; done
        fails engine rm one; rm -r $DATA/containers/* $DATA/names/*"#,
    ),
];
