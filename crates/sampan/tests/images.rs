//! What lists of images and containers say when an image is damaged or its name has moved on; prune's filters; proxies of
//! docker's client; a registry that is tried again.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use registry::{Kind, Registry, Server, layer_of, noise, reply};
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

fn command(ground: &Ground, words: &[&str]) -> Command {
    let mut command = ground.command(words);
    command.env("HOME", &ground.dir).env_remove("XDG_RUNTIME_DIR").env_remove("REGISTRY_AUTH_FILE");
    command.env_remove("DOCKER_CONFIG").env_remove("DOCKER_HOST");
    command
}

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(command(ground, words).output().unwrap())
}

fn prepared() -> Option<Ground> {
    let ground = Ground::new()?;
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    Some(ground)
}

/// Of busybox and what a container did.
fn commit(ground: &Ground, name: &str, words: &[&str]) -> String {
    sampan(ground, &["run", "--name=made", "--network=none", "busybox", "sh", "-c", &format!("echo {name} >/f")]).ok();
    let id = sampan(ground, &[&["commit"], words, &["made", name]].concat()).ok();
    sampan(ground, &["rm", "made"]).ok();
    id
}

#[test]
fn a_damaged_image_hides_no_other() {
    let Some(ground) = prepared() else { return };
    commit(&ground, "other", &[]);
    let all: Value = serde_json::from_str(&sampan(&ground, &["image", "inspect", "other"]).ok()).unwrap();
    let digest = all[0]["Digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let blob = ground.dir.join("data/images/blobs/sha256").join(digest);
    fs::write(&blob, "{}").unwrap();

    let listed = sampan(&ground, &["images", "--format={{.Repository}}"]);
    assert_eq!((listed.code, listed.out.trim()), (125, "busybox"), "{listed:?}");
    assert!(listed.err.contains("warning: cannot read image other:latest: "), "{}", listed.err);
    assert!(listed.err.contains("; sampan system check --repair fetches it again"), "{}", listed.err);
    sampan(&ground, &["run", "--rm", "--network=none", "busybox", "true"]).ok();
    sampan(&ground, &["tag", "busybox", "mine"]).ok();
    sampan(&ground, &["rmi", "mine"]).ok();
    sampan(&ground, &["image", "inspect", "other"]).fails(1, "cannot read image other:latest");
    // What a damaged document leads to is not known, so nothing is taken for unused.
    let pruned = sampan(&ground, &["image", "prune", "--force"]);
    assert_ne!(pruned.code, 0, "{pruned:?}");
    sampan(&ground, &["rmi", "other"]).ok();
    assert_eq!(sampan(&ground, &["rmi", "other"]).code, 1);
    assert_eq!(sampan(&ground, &["images", "--format={{.Repository}}"]).ok(), "busybox");
    let checked = sampan(&ground, &["system", "check"]).ok();
    assert!(checked.ends_with(" 0 bad"), "{checked}");
}

#[test]
fn prune_takes_what_its_filters_let_through() {
    let Some(ground) = prepared() else { return };
    commit(&ground, "old", &["--change=LABEL keep=no"]);
    commit(&ground, "new", &["--change=LABEL keep=yes", "--change=LABEL of=us"]);
    let left = || {
        let mut names: Vec<String> =
            sampan(&ground, &["images", "--format={{.Repository}}"]).ok().lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    let prune = |filter: &str| sampan(&ground, &["image", "prune", "--all", "--force", "--filter", filter]);
    prune("until=24h").ok();
    // busybox does not say when it was made, so it is the oldest.
    assert_eq!(left(), "new old");
    prune("label=of=them").ok();
    assert_eq!(left(), "new old");
    prune("label!=keep=yes").ok();
    assert_eq!(left(), "new");
    prune("nothing=1").fails(1, "there is no filter nothing");
    prune("label=keep").ok();
    assert_eq!(left(), "");
}

#[test]
fn a_container_has_the_id_of_an_image_that_lost_its_name() {
    let Some(ground) = prepared() else { return };
    let id = commit(&ground, "app", &[]);
    let short = &id["sha256:".len()..][..12];
    sampan(&ground, &["run", "--name=a", "--network=none", "app", "true"]).ok();
    sampan(&ground, &["run", "--name=b", "--network=none", short, "true"]).ok();
    let shown = || sampan(&ground, &["ps", "--all", "--format={{.Names}} {{.Image}}"]).ok();
    let of_a = || shown().lines().find_map(|line| line.strip_prefix("a ")).unwrap().to_owned();
    assert_eq!(of_a(), "app:latest");
    sampan(&ground, &["tag", "busybox", "app"]).ok();
    assert_eq!(of_a(), short, "{}", shown());
    sampan(&ground, &["tag", &id, "app"]).ok();
    assert_eq!(of_a(), "app:latest");
    sampan(&ground, &["untag", "app"]).ok();
    assert_eq!(of_a(), short);
}

#[test]
fn proxies_of_dockers_client_are_variables() {
    let Some(ground) = prepared() else { return };
    let docker = ground.dir.join(".docker");
    fs::create_dir(&docker).unwrap();
    let text = r#"{"proxies": {"default": {"httpProxy": "http://p.example:1", "noProxy": "a"},
        "tcp://there": {"allProxy": "socks5://q.example"}}}"#;
    fs::write(docker.join("config.json"), text).unwrap();
    let run = |flags: &[&str]| {
        let words =
            [&["run", "--rm", "--network=none"], flags, &["busybox", "sh", "-c", "env | grep -i _proxy | sort"]];
        command(&ground, &words.concat())
    };
    let out = |mut command: Command| ran(command.output().unwrap()).out;
    let all = "HTTP_PROXY=http://p.example:1\nNO_PROXY=a\nhttp_proxy=http://p.example:1\nno_proxy=a\n";
    assert_eq!(out(run(&[])), all);
    assert_eq!(
        out(run(&["-e", "http_proxy=mine", "-e", "NO_PROXY="])),
        all.replace("http_proxy=http://p.example:1", "http_proxy=mine").replace("NO_PROXY=a", "NO_PROXY=")
    );
    assert_eq!(out(run(&["--http-proxy=false"])), "");
    let mut there = run(&[]);
    there.env("DOCKER_HOST", "tcp://there");
    assert_eq!(out(there), "ALL_PROXY=socks5://q.example\nall_proxy=socks5://q.example\n");
    fs::write(docker.join("config.json"), "{").unwrap();
    let broken = ran(run(&[]).output().unwrap());
    assert!(broken.out.is_empty() && broken.err.contains("warning: cannot read the proxies of "), "{broken:?}");
}

#[test]
fn it_is_tried_again_as_often_as_is_said() {
    let Some(ground) = prepared() else { return };
    let server = Server::start(|asked, stream| match asked.path() {
        "/v2/" => reply(stream, "200 OK", &[], b"{}"),
        _ => reply(stream, "503 Service Unavailable", &[], b""),
    });
    let name = format!("{}/a:1", server.host());
    let begun = Instant::now();
    let pull = ["pull", "--tls-verify=false", "--retry=3", "--retry-delay=20ms", &name];
    sampan(&ground, &pull).fails(1, "503");
    let tries = server.asked().iter().filter(|asked| asked.path() != "/v2/").count();
    assert_eq!(tries, 4);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let push = ["push", "--tls-verify=false", "--retry=1", "--retry-delay=20ms", "busybox", &name];
    sampan(&ground, &push).fails(1, "503");
    // One that is not there yet is met, too.
    let begun = Instant::now();
    let nobody = format!("127.0.0.1:{}/a:1", registry::free_port());
    sampan(&ground, &["pull", "--retry=2", "--retry-delay=300ms", &nobody]).fails(1, "refuses");
    assert!(begun.elapsed() > Duration::from_millis(600));
}

#[test]
fn a_manifest_is_shown_with_all_that_it_leads_to() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let upper = ground.dir.join("upper");
    fs::create_dir(&upper).unwrap();
    noise(&upper.join("noise"), 1000);
    let image = registry.publish("a", "v1", "arm64", &[layer_of(&upper)], false);
    let name = format!("{}/a:v1", registry.host());
    let shown: Value = serde_json::from_str(&sampan(&ground, &["manifest", "inspect", "-v", &name]).ok()).unwrap();
    assert_eq!(shown["Ref"], name);
    assert_eq!(shown["Descriptor"]["size"], image.manifest.len());
    assert_eq!(shown["Descriptor"]["platform"]["architecture"], "arm64");
    let whole: Value = serde_json::from_slice(&image.manifest).unwrap();
    let kind = if shown["OCIManifest"].is_null() { "SchemaV2Manifest" } else { "OCIManifest" };
    assert_eq!(shown[kind], whole);
    assert!(shown["Raw"].as_str().unwrap().len() >= image.manifest.len() * 4 / 3);

    // Of a list, here and at its registry.
    sampan(&ground, &["manifest", "create", "l", &name]).ok();
    let list = format!("{}/l:v1", registry.host());
    let here: Value = serde_json::from_str(&sampan(&ground, &["manifest", "inspect", "-v", "l"]).ok()).unwrap();
    sampan(&ground, &["manifest", "push", "l", &list]).ok();
    let there: Value = serde_json::from_str(&sampan(&ground, &["manifest", "inspect", "-v", &list]).ok()).unwrap();
    assert_eq!(there[0]["Ref"], format!("{list}@{}", there[0]["Descriptor"]["digest"].as_str().unwrap()));
    assert_eq!((&here[0][kind], &here[0]["Raw"]), (&there[0][kind], &there[0]["Raw"]));
    assert_eq!(there[0][kind], whole);
}

#[test]
fn all_images_go_at_once() {
    let (Some(ground), Some(registry)) = (prepared(), Registry::start(Kind::Plain)) else { return };
    let name = format!("{}/a:v1", registry.host());
    sampan(&ground, &["push", "busybox", &name]).ok();
    let digest = sampan(&ground, &["image", "inspect", "-f", "{{.Digest}}", "busybox"]).ok();
    sampan(&ground, &["pull", &format!("{}/a@{digest}", registry.host())]).ok();
    let listed = sampan(&ground, &["images", "--format={{.Repository}} {{.Tag}}"]).ok();
    assert!(listed.contains(&format!("{}/a <none>", registry.host())), "{listed}");
    commit(&ground, "mine", &[]);
    sampan(&ground, &["rmi", "--all", "mine"]).fails(1, "some are named");
    sampan(&ground, &["rmi", "--all"]).ok();
    assert_eq!(sampan(&ground, &["images", "-q"]).ok(), "");
}
