//! Secrets: what a container gets of them, and that nothing else does.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, Ran, ran, until};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SECRET: &str = "hush-4711";

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// `db`, in a file of the ground's.
fn db(ground: &Ground) -> String {
    let file = ground.dir.join("pw");
    fs::write(&file, format!("{SECRET}\nsecond\n")).unwrap();
    sampan(ground, &["secret", "create", "-l", "a=b", "db", &file.to_string_lossy()]).ok()
}

#[test]
fn made_listed_shown_removed() {
    let Some(ground) = Ground::new() else { return };
    let id = db(&ground);
    let secret = |words: &[&str]| sampan(&ground, &[&["secret"], words].concat());
    assert_eq!(id.len(), 25);
    secret(&["create", "db", "/etc/hostname"]).fails(1, "there is one of this name");
    assert_eq!(secret(&["create", "--ignore", "db", "/etc/hostname"]).ok(), id);
    secret(&["create", "none", "/dev/null"]).fails(1, "it has 0 bytes");
    secret(&["create", "a/b", "/etc/hostname"]).fails(1, "is no name of a secret");
    secret(&["create", "--env", "x", "SAMPAN_NO_SUCH"]).fails(1, "no variable SAMPAN_NO_SUCH");
    let from_env = ground.command(&["secret", "create", "--env", "other", "PW"]).env("PW", "x").output().unwrap();
    ran(from_env).ok();
    let table = secret(&["ls"]).ok();
    assert!(table.starts_with("ID ") && table.contains("db        file      "), "{table}");
    assert_eq!(secret(&["ls", "--filter", "name=d", "--format", "{{.Name}} {{.Label \"a\"}}"]).ok(), "db b");
    let shown = secret(&["inspect", "db"]).ok();
    assert!(shown.contains(&format!("\"ID\": \"{id}\"")) && shown.contains("\"Name\": \"file\""), "{shown}");
    assert!(!shown.contains(SECRET), "{shown}");
    assert_eq!((secret(&["exists", &id[..9]]).code, secret(&["exists", "nosuch"]).code), (0, 1));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let kept = ground.dir.join("data/secrets");
    assert_eq!((mode(&kept), mode(&kept.join("db"))), (0o700, 0o600));
    assert_ne!(secret(&["create", "--replace", "db", "/etc/hostname"]).ok(), id);
    secret(&["rm", "db", "nosuch"]).fails(1, "cannot find secret nosuch");
    assert_eq!(secret(&["rm", "-i", "nosuch"]).ok(), "");
    secret(&["rm", "-a"]).ok();
    assert!(fs::read_dir(&kept).unwrap().next().is_none());
}

#[test]
fn as_files_and_variables() {
    let Some(ground) = Ground::new() else { return };
    db(&ground);
    let flags =
        ["--secret", "db", "--secret", "db,target=/x/pw,uid=1000,gid=1001,mode=0440", "--secret=db,type=env,target=PW"];
    let script =
        "cat /run/secrets/db; stat -c %a-%u-%g /run/secrets/db /x/pw; echo \"$PW\"; touch /x/pw 2>&1 || echo ro";
    let expected = format!("{SECRET}\nsecond\n444-0-0\n440-1000-1001\n{SECRET}\nsecond\n");
    let seen = ground.sh(&flags, script).ok();
    assert!(seen.starts_with(&expected) && seen.ends_with("ro"), "{seen}");
    // Who it belongs to is as the container counts.
    let mapped = ["--uidmap=0:100000:65536", "-u", "app", "--secret", "db,uid=1000,gid=1001,mode=0400"];
    assert_eq!(
        ground.sh(&mapped, "head -n1 /run/secrets/db; stat -c %u /run/secrets/db").ok(),
        format!("{SECRET}\n1000")
    );
    // It goes before one that is given openly.
    assert_eq!(
        ground.sh(&["-e", "PW=open", "--secret=db,type=env,target=PW"], "echo $PW; env | grep -c ^PW=").ok(),
        format!("{SECRET} second\n1")
    );
    ground.sh(&["--secret", "none"], "true").fails(125, "cannot find secret none");
    ground.sh(&["--secret", "db,target=/x", "-v", "/tmp:/x"], "true").fails(125, "two mounts have this target");
    fs::write(ground.dir.join("zero"), b"a\0b").unwrap();
    sampan(&ground, &["secret", "create", "zero", &ground.dir.join("zero").to_string_lossy()]).ok();
    assert_eq!(ground.sh(&["--secret", "zero"], "wc -c </run/secrets/zero").ok(), "3");
    ground.sh(&["--secret", "zero,type=env"], "true").fails(125, "it has a byte of zeros in it");
    let left: Vec<_> = fs::read_dir(ground.dir.join("state/containers")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Whatever sampan says or keeps of the container.
#[test]
fn nothing_else_has_it() {
    let Some(ground) = Ground::new() else { return };
    db(&ground);
    let flags = ["--secret", "db", "--secret=db,type=env,target=PW"];
    let script = ground.sh(&[&flags[..], &["--explain"]].concat(), "echo $PW; cat /run/secrets/db").ok();
    assert!(!script.contains(SECRET) && script.contains("HIDDEN_0="), "{script}");
    let printed = ran(Command::new("bash").arg("-c").arg(&script).current_dir("/").output().unwrap()).ok();
    assert_eq!(printed, format!("{SECRET} second\n{SECRET}\nsecond"));
    let rootfs = format!("{}:O", ground.rootfs().display());
    let run =
        ["run", "--name=a", "--network=none", "--rootfs", &rootfs, "sh", "-c", "touch /up; while :; do sleep 1; done"];
    let words = [&run[..1], &flags, &run[1..]].concat();
    let mut child = ground.command(&words).stdout(Stdio::null()).spawn().unwrap();
    let up = || Command::new("find").arg(ground.dir.join("data/containers")).args(["-name", "up"]).output().unwrap();
    until("it runs", || !up().stdout.is_empty());
    assert!(!sampan(&ground, &["inspect", "a"]).ok().contains(SECRET));
    let found =
        Command::new("grep").args(["-rl", SECRET]).args([ground.dir.join("data"), ground.dir.join("state")]).output();
    let found = String::from_utf8(found.unwrap().stdout).unwrap();
    let places: Vec<&str> = found.lines().collect();
    let known = |place: &&str| place.ends_with("/secrets/db") || place.ends_with(".secrets/0");
    assert!(places.len() == 2 && places.iter().all(known), "{found}");
    child.kill().unwrap();
    child.wait().unwrap();
    sampan(&ground, &["rm", "-f", "a"]).ok();
    assert!(fs::read_dir(ground.dir.join("state/containers")).unwrap().next().is_none());
}
