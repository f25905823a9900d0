//! Images in files: ours read by others, theirs read by us, and what is no archive.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use registry::{layer_of, tool};
use spec::Digest;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

fn fed(ground: &Ground, words: &[&str], input: &Path) -> Ran {
    ran(ground.command(words).stdin(File::open(input).unwrap()).output().unwrap())
}

fn hello(ground: &Ground, name: &str) -> String {
    sampan(ground, &["run", "--rm", "--network=none", "--pull=never", name, "echo", "hello"]).ok()
}

/// A store with busybox under two names, and a path below the ground.
fn prepared() -> Option<(Ground, impl Fn(&str) -> String)> {
    let ground = Ground::new()?;
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    sampan(&ground, &["tag", "busybox", "mine:2"]).ok();
    let dir = ground.dir.clone();
    Some((ground, move |name: &str| dir.join(name).to_str().unwrap().to_owned()))
}

#[track_caller]
fn emptied(ground: &Ground) {
    sampan(ground, &["rmi", "-f", "busybox", "mine:2"]);
    assert_eq!(fs::read_dir(ground.dir.join("data/layers")).unwrap().count(), 0);
}

#[test]
fn what_is_saved_is_loaded() {
    let Some((ground, path)) = prepared() else { return };
    let file = path("a.tar");
    sampan(&ground, &["save", "-o", &file, "busybox", "mine:2"]).ok();
    let piped = ground.command(&["save", "busybox", "mine:2"]).stdout(File::create(path("b.tar")).unwrap()).status();
    assert!(piped.unwrap().success());
    assert_eq!(fs::read(&file).unwrap(), fs::read(path("b.tar")).unwrap(), "the same each time");
    emptied(&ground);
    let loaded = sampan(&ground, &["load", "-i", &file]).ok();
    assert_eq!(loaded, "Loaded image: busybox:latest\nLoaded image: mine:2");
    assert_eq!(hello(&ground, "mine:2"), "hello");
    emptied(&ground);
    tool("gzip", &["-k", &file]);
    assert_eq!(fed(&ground, &["image", "load", "-q"], Path::new(&format!("{file}.gz"))).ok(), "");
    assert_eq!(hello(&ground, "busybox"), "hello");

    let dir = path("layout");
    sampan(&ground, &["save", "--format=oci-dir", "-o", &dir, "busybox"]).ok();
    sampan(&ground, &["save", "--format=oci-dir", "-o", &dir, "mine:2"]).ok();
    emptied(&ground);
    assert_eq!(sampan(&ground, &["load", "-i", &dir]).ok().lines().count(), 2);
    assert_eq!(hello(&ground, "busybox"), "hello");
    assert_eq!(fs::read_dir(ground.dir.join("data/tmp")).unwrap().count(), 0);
}

#[test]
fn skopeo_reads_ours_and_writes_for_us() {
    let Some((ground, path)) = prepared() else { return };
    if !registry::has("skopeo") {
        return;
    }
    let file = path("ours.tar");
    sampan(&ground, &["save", "-o", &file, "busybox", "mine:2"]).ok();
    for (form, back) in [
        (format!("docker-archive:{file}:mine:2"), format!("docker-archive:{}:theirs:1", path("docker.tar"))),
        (format!("oci-archive:{file}:docker.io/library/mine:2"), format!("oci-archive:{}:theirs:2", path("oci.tar"))),
        (format!("docker-archive:{file}:busybox:latest"), format!("oci:{}:theirs:3", path("dir"))),
        (format!("docker-archive:{file}:busybox:latest"), format!("oci-archive:{}", path("nameless.tar"))),
    ] {
        tool("skopeo", &["copy", "-q", "--insecure-policy", &form, &back]);
    }
    emptied(&ground);
    assert_eq!(sampan(&ground, &["load", "-i", &path("docker.tar")]).ok(), "Loaded image: theirs:1");
    assert_eq!(sampan(&ground, &["load", "-i", &path("oci.tar")]).ok(), "Loaded image: theirs:2");
    assert_eq!(sampan(&ground, &["load", "-i", &path("dir")]).ok(), "Loaded image: theirs:3");
    let nameless = sampan(&ground, &["load", "-i", &path("nameless.tar")]).ok();
    assert!(nameless.starts_with("Loaded image ID: sha256:"), "{nameless}");
    assert_eq!(
        sampan(&ground, &["load", "--tag=named", "-i", &path("nameless.tar")]).ok(),
        "Loaded image: named:latest"
    );
    for name in ["theirs:1", "theirs:2", "theirs:3", "named"] {
        assert_eq!(hello(&ground, name), "hello");
    }
}

/// A tar of files, as docker wrote before it knew OCI; `links` are symbolic.
fn archive(dir: &Path, files: &[(&str, Vec<u8>)], links: &[(&str, &str)]) -> PathBuf {
    let root = dir.join("files");
    let _ = fs::remove_dir_all(&root);
    for (name, bytes) in files {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), bytes).unwrap();
    }
    for (name, target) in links {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    }
    let file = dir.join("made.tar");
    tool("tar", &["-C", root.to_str().unwrap(), "-cf", file.to_str().unwrap(), "."]);
    file
}

#[test]
fn dockers_older_form_and_what_is_none() {
    let Some(ground) = Ground::new() else { return };
    let (tar, _) = layer_of(&ground.rootfs());
    let upper = ground.dir.join("empty");
    fs::create_dir(&upper).unwrap();
    let (empty, _) = layer_of(&upper);
    let ids = [Digest::of(&tar), Digest::of(&empty), Digest::of(&empty)];
    let config = serde_json::json!({ "architecture": spec::image::Platform::native().architecture, "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["sh"] }, "rootfs": { "type": "layers", "diff_ids": ids }, "extra": 1 });
    let config = config.to_string().into_bytes();
    let list = |config: &str, layers: &[&str]| {
        serde_json::json!([{ "Config": config, "RepoTags": ["old/form:1", "old/form:2"], "Layers": layers }])
            .to_string()
            .into_bytes()
    };
    let layers = ["a/layer.tar", "b/layer.tar", "c/layer.tar"];
    let files = |list: Vec<u8>, base: Vec<u8>| {
        vec![("manifest.json", list), ("c.json", config.clone()), ("a/layer.tar", base), ("b/layer.tar", empty.clone())]
    };
    let again = [("c/layer.tar", "../b/layer.tar")];
    let load = |files: &[(&str, Vec<u8>)], links: &[(&str, &str)]| {
        fed(&ground, &["load"], &archive(&ground.dir, files, links))
    };
    let good = load(&files(list("c.json", &layers), tar.clone()), &again);
    assert_eq!(good.ok(), "Loaded image: old/form:1\nLoaded image: old/form:2");
    assert_eq!(hello(&ground, "old/form:2"), "hello");
    let inspected = sampan(&ground, &["image", "inspect", "old/form:1"]).ok();
    assert!(inspected.contains(&Digest::of(&config).to_string()), "the id is that of the configuration as it came");
    sampan(&ground, &["rmi", "old/form:1", "old/form:2"]).ok();

    fs::write(ground.dir.join("secret"), &empty).unwrap();
    let secret = ground.dir.join("secret");
    let secret = secret.to_str().unwrap();
    for (files, links, words) in [
        (files(list("c.json", &layers), empty.clone()), &again[..], "diffID is"),
        (files(list("c.json", &layers[..2]), tar.clone()), &again[..], "does not list the layers"),
        (files(list("d.json", &layers), tar.clone()), &again[..], "d.json is missing"),
        (files(list("c.json", &layers), tar.clone()), &[("c/layer.tar", "layer.tar")][..], "circle"),
        (files(list("c.json", &layers), tar.clone()), &[("c/layer.tar", secret)][..], "is missing"),
        (files(list("c.json", &["a/layer.tar", "b/layer.tar", secret]), tar.clone()), &again[..], "is missing"),
        (vec![("x", vec![])], &[][..], "neither an index.json nor a manifest.json"),
        (files(b"{".to_vec(), tar.clone()), &again[..], "manifest.json"),
    ] {
        load(&files, links).fails(1, words);
        assert_eq!(sampan(&ground, &["images", "-q"]).ok(), "");
        assert_eq!(fs::read_dir(ground.dir.join("data/tmp")).unwrap().count(), 0, "{words}");
    }
    let text = ground.dir.join("text");
    fs::write(&text, "no archive").unwrap();
    fed(&ground, &["load"], &text).fails(1, "cannot load images");
    sampan(&ground, &["load", "-i", "/no/such"]).fails(1, "cannot read /no/such");
    sampan(&ground, &["save", "absent"]).fails(1, "cannot find image absent");
    sampan(&ground, &["save", "--format=oci-dir", "absent"]).fails(1, "a directory has to have a name");
    sampan(&ground, &["image", "prune", "-f"]).ok();
    assert_eq!(fs::read_dir(ground.dir.join("data/layers")).unwrap().count(), 0);
}

#[test]
fn what_nobody_needs_is_counted_and_pruned() {
    let Some((ground, _)) = prepared() else { return };
    let rows = || {
        let out = sampan(&ground, &["system", "df", "--format=json"]).ok();
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let images = rows().remove(0);
    assert_eq!((&images["TotalCount"], &images["Active"]), (&"1".into(), &"0".into()));
    let du = |path: &str| {
        let out = Command::new("du").args(["-s", "-B1"]).arg(ground.dir.join("data").join(path)).output().unwrap();
        String::from_utf8(out.stdout).unwrap().split('\t').next().unwrap().parse::<u64>().unwrap()
    };
    let sum = ["images", "layers", "tmp", "partial"].map(du).iter().sum();
    assert_eq!(images["Size"], spec::unit::decimal(sum, 4));
    assert!(sampan(&ground, &["system", "df"]).ok().starts_with("TYPE "));
    sampan(&ground, &["run", "--name=user", "--network=none", "mine:2", "true"]).ok();
    assert_eq!(rows()[0]["Active"], "1");
    sampan(&ground, &["image", "prune", "-a"]).fails(1, "add --force");
    let pruned = sampan(&ground, &["image", "prune", "-af"]).ok();
    assert!(pruned.starts_with("Deleted Images:\nuntagged: busybox:latest\n\nTotal reclaimed space: "), "{pruned}");
    assert_eq!(hello(&ground, "mine:2"), "hello");
    sampan(&ground, &["rm", "user"]).ok();
    fs::write(ground.dir.join("data/partial").join("0".repeat(64)), "x").unwrap();
    let pruned = sampan(&ground, &["image", "prune", "--all", "--force"]).ok();
    assert!(pruned.contains("untagged: mine:2\n") && !pruned.ends_with(": 0B"), "{pruned}");
    for path in ["layers", "partial", "images/blobs/sha256", "tmp"] {
        assert_eq!(fs::read_dir(ground.dir.join("data").join(path)).unwrap().count(), 0, "{path}");
    }
}

#[test]
fn a_disk_that_is_full_keeps_the_old_file() {
    let Some((_ground, path)) = prepared() else { return };
    let disk = path("disk");
    fs::create_dir(&disk).unwrap();
    let script = "mount -t tmpfs -o size=200k none $1 && echo old >$1/a.tar && $2 --root $3 --state $4 save -o $1/a.tar busybox; \
                  echo $?; ls $1; cat $1/a.tar";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh", &disk, ground::SAMPAN, &path("data"), &path("state")]);
    let out = ran(command.stdin(Stdio::null()).output().unwrap());
    assert!(out.err.contains("no space left on device"), "{out:?}");
    assert_eq!(out.ok(), "1\na.tar\nold");
}
