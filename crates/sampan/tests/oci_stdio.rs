//! Whose the standard files of a container are.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::json;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

/// What a shell does with `>/dev/stderr`.
const BY_NAME: &str = "echo one; echo two >>/proc/self/fd/1; echo three >>/proc/self/fd/2";

fn owner(path: &Path) -> (u32, u32) {
    let file = fs::metadata(path).unwrap();
    (file.uid(), file.gid())
}

#[test]
fn the_user_opens_them_by_name() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("stdio");
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1001 });
    bundle.sh(&format!("{BY_NAME}; sleep 1000"));
    assert_eq!(bundle.create(&id, &[]).code, 0);
    bundle.oci(&["start", &id]).ok();
    ground::until("three", || fs::read_to_string(bundle.at("errors")).unwrap() == "three\n");
    assert_eq!(bundle.output(), "one\ntwo\n");
    assert_eq!(owner(&bundle.at("output")), (1000, 1001));

    let output = File::create(bundle.at("more")).unwrap();
    let mut exec = bundle.command(&bundle.at("sampan-oci"), &["exec", "--user", "7:8", &id, "sh", "-c", BY_NAME]);
    let status = exec.stderr(output.try_clone().unwrap()).stdout(output).status().unwrap();
    assert!(status.success());
    assert_eq!(owner(&bundle.at("more")), (7, 8));
    // Standard input was it.
    assert_eq!(owner(Path::new("/dev/null")), (0, 0));
}

#[test]
fn closed_ones_are_no_matter() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1001 });
    bundle.sh("exit 3");
    let name = bundle.at("sampan-oci");
    bundle.oci(&["features"]).ok();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"]).arg(name).arg("--root").arg(bundle.at("root"));
    let ran = shell.args(["run", &id("closed")]).current_dir(bundle.at("")).status();
    assert_eq!(ran.unwrap().code(), Some(3));
}

/// An address holds no more than 108 bytes (unix(7)).
#[test]
fn a_console_socket_may_have_a_long_path() {
    use std::os::{fd::AsRawFd as _, unix::net::UnixListener};
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("far");
    let folder = bundle.at(&"far/".repeat(40));
    fs::create_dir_all(&folder).unwrap();
    let open = File::open(&folder).unwrap();
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/socket", open.as_raw_fd())).unwrap();
    bundle.config["process"]["terminal"] = true.into();
    bundle.sh("tty");
    let socket = folder.join("socket");
    bundle.create(&id, &["--console-socket", socket.to_str().unwrap()]).ok();
    assert_eq!(ground::bundle::receive(&listener).1, b"/dev/ptmx");
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.create(&id, &["--console-socket", folder.join("absent").to_str().unwrap()]).fails(1, "connect(");
    bundle.nothing_left(&id);
}
