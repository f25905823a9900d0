//! What docker's users are used to.

use super::{call, message, run, split};
use crate::cli::Verb;
use engine::request::process::Variable;
use engine::request::{Pull, Rootfs};

fn image(words: &str) -> (String, Vec<String>) {
    let request = run(words);
    match request.rootfs {
        Rootfs::Image { reference, .. } => (reference, request.process.command),
        other @ (Rootfs::Directory { .. } | Rootfs::Nothing) => panic!("{other:?}"),
    }
}

#[test]
fn flags_end_at_the_image() {
    for (words, command) in [
        ("busybox", ""),
        ("--rm busybox sh -c ls", "sh -c ls"),
        ("busybox --rm -it", "--rm -it"),
        ("busybox -x --nosuch=1", "-x --nosuch=1"),
        ("busybox -- ls", "-- ls"),
        ("-- busybox --rm", "--rm"),
        ("busybox ls --", "ls --"),
        ("busybox --help", "--help"),
        ("-it busybox -e A=b", "-e A=b"),
    ] {
        assert_eq!(image(words), ("busybox".into(), split(command)), "{words}");
    }
    assert!(!run("busybox --rm").remove);
    assert_eq!(run("--rootfs /srv/root -- sh -x").process.command, ["sh", "-x"]);
    assert_eq!(run("--rootfs=/srv/root sh").process.command, ["sh"]);
    let empty = call(&["run", "busybox", ""]);
    assert!(matches!(empty, Ok(Verb::Run(request)) if request.process.command == [""]));
}

#[test]
fn short_flags_combine() {
    for words in ["-it x", "-ti x", "-i -t x", "-itq x", "--interactive --tty x", "-i=true -t=1 x", "-it=true x"] {
        let request = run(words);
        assert!(request.terminal.interactive && request.terminal.tty, "{words}");
    }
    let request = run("-itm5m -eA=b -e C=d x");
    assert_eq!(request.limits.memory.unwrap().bytes(), 5 << 20);
    assert_eq!(request.process.env.len(), 2);
    let request = run("-it=false x");
    assert!(request.terminal.interactive && !request.terminal.tty);
}

#[test]
fn switches_take_a_value_after_an_equals_sign() {
    for (words, remove) in [
        ("--rm x", true),
        ("--rm=true x", true),
        ("--rm=1 x", true),
        ("--rm=T x", true),
        ("--rm=false x", false),
        ("--rm=0 x", false),
        ("--rm --rm=false x", false),
        ("--rm=false --rm x", true),
    ] {
        assert_eq!(run(words).remove, remove, "{words}");
    }
    // Not a value: docker takes it for the image.
    assert_eq!(image("--rm false"), ("false".into(), vec![]));
    assert!(run("x").terminal.forward_signals);
    assert!(!run("--sig-proxy=false x").terminal.forward_signals);
    assert!(run("--sig-proxy x").terminal.forward_signals);
}

#[test]
fn values_are_attached_or_follow() {
    for words in ["-m 1g x", "-m1g x", "-m=1g x", "--memory 1g x", "--memory=1g x", "-m 1m -m 1g x"] {
        assert_eq!(run(words).limits.memory.unwrap().bytes(), 1 << 30, "{words}");
    }
    // A value may start with a dash.
    assert!(run("--pids-limit -1 --memory-swap -1 x").limits.memory_swap.is_some());
    assert_eq!(run("--entrypoint -x x").process.entrypoint.unwrap(), ["-x"]);
    assert_eq!(run("--env A=--b x").process.env[0].value.as_deref(), Some("--b"));
    // An empty value is a value.
    let request = call(&["run", "--entrypoint", "", "--detach-keys=", "x"]);
    let Ok(Verb::Run(request)) = request else { panic!("{request:?}") };
    assert_eq!(request.process.entrypoint, Some(vec![]));
    assert_eq!(request.terminal.detach_keys, [0; 0]);
}

#[test]
fn variables_come_from_the_caller_and_from_files() {
    let path = std::env::temp_dir().join(format!("sampan-env-{}", std::process::id()));
    std::fs::write(&path, "# one\nA=file\nB=file\nPATH\nSAMPAN_NO_SUCH\n").unwrap();
    let words =
        ["run", "-e", "A=flag", "--env-file", path.to_str().unwrap(), "-e", "PATH", "-e", "SAMPAN_NO_SUCH", "x"];
    let request = call(&words);
    let labels = call(&["run", "--label-file", path.to_str().unwrap(), "-l", "c=d", "x"]);
    std::fs::remove_file(&path).unwrap();

    let Ok(Verb::Run(request)) = request else { panic!("{request:?}") };
    let search = std::env::var("PATH").unwrap();
    let variable = |name: &str, value: Option<&str>| Variable { name: name.into(), value: value.map(str::to_owned) };
    let expected = [
        variable("A", Some("file")),
        variable("B", Some("file")),
        variable("PATH", Some(&search)),
        variable("A", Some("flag")),
        variable("PATH", Some(&search)),
        variable("SAMPAN_NO_SUCH", None),
    ];
    assert_eq!(request.process.env, expected);

    let Ok(Verb::Run(request)) = labels else { panic!("{labels:?}") };
    assert_eq!(request.labels[0], ("A".into(), "file".into()));
    assert_eq!(request.labels.last(), Some(&("c".into(), "d".into())));
}

#[test]
fn paths_of_the_host_become_absolute() {
    let here = std::env::current_dir().unwrap();
    let request = run("-v ./a:/a --mount type=bind,src=b,dst=/b --cidfile c --security-opt seccomp=p.json x");
    let text = format!("{:?}", request.files.mounts);
    assert!(
        text.contains(here.join("a").to_str().unwrap()) && text.contains(here.join("b").to_str().unwrap()),
        "{text}"
    );
    assert_eq!(request.cidfile, Some(here.join("c")));
    assert_eq!(request.security.seccomp, engine::request::security::Seccomp::File(here.join("p.json")));
    assert_eq!(run("--rootfs d:O x").rootfs, Rootfs::Directory { path: here.join("d"), overlay: true });
    let image = Rootfs::Image { reference: "x".into(), pull: Pull::Missing, platform: None };
    assert_eq!(run("x").rootfs, image);
}

#[test]
fn zero_is_not_given() {
    let words = "-m 0 --memory-swap 0 --memory-reservation 0 --cpu-shares 0 --cpu-quota 0 --cpu-period 0 \
                 --blkio-weight 0 --memory-swappiness -1 x";
    assert_eq!(run(words).limits, engine::request::Limits::default());
    assert_eq!(run("--shm-size 0 x").files.shm_size, None);
}

#[test]
fn a_later_limit_of_a_kind_replaces_the_earlier() {
    let limits = run("--ulimit nofile=1 --ulimit core=0 --ulimit nofile=5 x").process.ulimits;
    assert_eq!(limits.iter().map(|limit| limit.soft).collect::<Vec<_>>(), [0, 5]);
}

#[test]
fn usage_errors_have_a_way_out() {
    for (words, text) in [
        ("", "error: no image given\nhint: name one after the flags: sampan run --rm -it host sh\n"),
        ("--rm", "error: no image given\nhint: name one after the flags: sampan run --rm -it host sh\n"),
        ("--memry 4m x", "error: unknown flag --memry\nhint: did you mean --memory?\n"),
        ("--qqqq=4 x", "error: unknown flag --qqqq\nhint: see 'sampan run --help'\n"),
        ("-Q x", "error: unknown flag -Q\nhint: see 'sampan run --help'\n"),
        ("-itQ x", "error: unknown flag -Q\nhint: see 'sampan run --help'\n"),
        ("-a stdin x", "error: unknown flag -a\nhint: output is always shown; add -i to connect the input\n"),
        ("--memory", "error: --memory needs a value\nhint: see 'sampan run --help'\n"),
        ("-h", "error: --hostname needs a value\nhint: see 'sampan run --help'\n"),
    ] {
        let words = split(words);
        let words: Vec<&str> = std::iter::once("run").chain(words.iter().map(String::as_str)).collect();
        assert_eq!(message(&words), (text.into(), Some(125)), "{words:?}");
    }
}

#[test]
fn arguments_are_utf8() {
    use std::os::unix::ffi::OsStringExt as _;
    let word = std::ffi::OsString::from_vec(vec![b'x', 0xff]);
    let failure = crate::cli::parse(vec!["run".into(), "busybox".into(), word]).unwrap_err();
    assert_eq!(failure.what, "an argument is not UTF-8");
}
