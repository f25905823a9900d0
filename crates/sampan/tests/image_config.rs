//! What an image's configuration says is what its containers do, unless the command line says otherwise.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran, until};
use serde_json::{Value, json};
use spec::Digest;
use std::fs;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// An image of busybox with this configuration, loaded from an OCI layout: nobody has put it in order before.
fn image(ground: &Ground, name: &str, config: &Value) {
    let (tar, blob) = registry::layer_of(&ground.rootfs());
    let dir = ground.dir.join(format!("layout-{name}"));
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": bytes.len() })
    };
    let layer = put("layer.v1.tar+gzip", &blob);
    let architecture = spec::image::Platform::native().architecture;
    let text = json!({ "architecture": architecture, "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&tar)] } });
    let config = put("config.v1+json", text.to_string().as_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let mut entry = put("manifest.v1+json", manifest.to_string().as_bytes());
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), spec::image::LAYOUT).unwrap();
    sampan(ground, &["load", "-q", "-i", dir.to_str().unwrap()]).ok();
}

fn run(ground: &Ground, flags: &[&str], image: &str, words: &[&str]) -> Ran {
    sampan(ground, &[&["run", "--rm", "--network=none", "--pull=never"], flags, &[image], words].concat())
}

#[test]
fn entrypoint_and_command() {
    let Some(ground) = Ground::new() else { return };
    let (path, echo) = ("PATH=/bin", ["echo", "entry"]);
    image(&ground, "both", &json!({ "Env": [path], "Entrypoint": echo, "Cmd": ["command"] }));
    image(&ground, "entry", &json!({ "Env": [path], "Entrypoint": echo }));
    image(&ground, "command", &json!({ "Env": [path], "Cmd": ["echo", "command"] }));
    image(&ground, "none", &json!({ "Env": [path] }));
    assert_eq!(run(&ground, &[], "both", &[]).ok(), "entry command");
    assert_eq!(run(&ground, &[], "both", &["other", "words"]).ok(), "entry other words");
    // Another entrypoint takes the image's command away (docker run --help).
    assert_eq!(run(&ground, &["--entrypoint=echo"], "both", &[]).ok(), "");
    assert_eq!(run(&ground, &["--entrypoint=echo"], "both", &["mine"]).ok(), "mine");
    assert_eq!(run(&ground, &["--entrypoint="], "both", &["echo", "bare"]).ok(), "bare");
    assert_eq!(run(&ground, &[], "entry", &[]).ok(), "entry");
    assert_eq!(run(&ground, &[], "command", &[]).ok(), "command");
    assert_eq!(run(&ground, &[], "command", &["echo", "other"]).ok(), "other");
    run(&ground, &[], "none", &[]).fails(125, "command");
}

#[test]
fn environment_directory_and_user() {
    let Some(ground) = Ground::new() else { return };
    let config =
        json!({ "Env": ["PATH=/bin", "A=image", "B=kept", "EMPTY="], "WorkingDir": "/made/deep", "User": "app" });
    image(&ground, "all", &config);
    let report = "pwd; id -u; id -g; id -G; echo $A $B ${EMPTY-unset} $HOME; stat -c %u .";
    let out = run(&ground, &[], "all", &["sh", "-c", report]).ok();
    // The group that /etc/group adds; a directory that is not there is made, and root's.
    assert_eq!(out, "/made/deep\n1000\n1001\n1001 10\nimage kept /home/app\n0");
    let out = run(&ground, &["-e", "A=mine", "-w", "/tmp", "-u", "0"], "all", &["sh", "-c", report]).ok();
    assert!(out.starts_with("/tmp\n0\n0\n") && out.contains("mine kept /root"), "{out}");
    for (user, ids) in [("1234", "1234 0"), ("1234:5678", "1234 5678"), ("app:audio", "1000 29"), (":10", "0 10")] {
        image(&ground, "user", &json!({ "Env": ["PATH=/bin"], "User": user }));
        assert_eq!(run(&ground, &[], "user", &["sh", "-c", "echo $(id -u) $(id -g)"]).ok(), ids, "{user}");
    }
    image(&ground, "user", &json!({ "Env": ["PATH=/bin"], "User": "nobody-here" }));
    run(&ground, &[], "user", &["true"]).fails(125, "nobody-here");
    image(&ground, "relative", &json!({ "Env": ["PATH=/bin"], "WorkingDir": "etc" }));
    let relative = run(&ground, &[], "relative", &["pwd"]);
    assert!(relative.code == 125 || relative.out == "/etc\n", "{relative:?}");
}

#[test]
fn what_is_kept_for_others_is_shown() {
    let Some(ground) = Ground::new() else { return };
    let check = json!({ "Test": ["CMD-SHELL", "true"], "Interval": 30_000_000_000_u64, "Retries": 3 });
    let config = json!({ "Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": { "a": "b", "c.d/e": "f" }, "StopSignal": "SIGUSR1",
        "ExposedPorts": { "80/tcp": {}, "53/udp": {} }, "Volumes": { "/data": {} }, "Healthcheck": check, "OnBuild": ["RUN x"] });
    image(&ground, "kept", &config);
    let shown = sampan(&ground, &["image", "inspect", "--format={{json .Config}}", "kept"]).ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    for key in ["Labels", "StopSignal", "ExposedPorts", "Volumes", "Healthcheck", "OnBuild", "Cmd", "Env"] {
        assert_eq!(shown[key], config[key], "{key}");
    }
    // A container has the labels, and its own beside and over them.
    sampan(&ground, &["run", "--name=one", "--network=none", "-l", "a=mine", "-l", "x=y", "kept", "true"]).ok();
    let labels = sampan(&ground, &["ps", "-a", "--format={{.Label \"a\"}} {{.Label \"c.d/e\"}} {{.Label \"x\"}}"]).ok();
    assert_eq!(labels, "mine f y");
    sampan(&ground, &["rm", "one"]).ok();
}

/// `stop` sends what the image asks for.
#[test]
fn the_images_signal_stops_it() {
    let Some(ground) = Ground::new() else { return };
    let script = "trap 'echo asked; exit 7' USR1; trap 'exit 8' TERM; echo up; while :; do sleep 0.05; done";
    let config = json!({ "Env": ["PATH=/bin"], "Cmd": ["sh", "-c", script], "StopSignal": "SIGUSR1" });
    image(&ground, "stops", &config);
    sampan(&ground, &["run", "-d", "--name=one", "--network=none", "stops"]).ok();
    until("it is up", || sampan(&ground, &["logs", "one"]).out.contains("up"));
    sampan(&ground, &["stop", "-t", "20", "one"]).ok();
    assert_eq!(sampan(&ground, &["inspect", "--format={{.State.ExitCode}}", "one"]).ok(), "7");
    assert!(sampan(&ground, &["logs", "one"]).ok().contains("asked"));
    sampan(&ground, &["rm", "one"]).ok();
}
