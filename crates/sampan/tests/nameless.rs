//! Images without a name: how they come to be, what can be done with them, and when they go.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, Ran, ran};
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};

fn sampan(ground: &Ground, arguments: &[&str]) -> Ran {
    ran(ground.command(arguments).output().unwrap())
}

/// A store with busybox.
fn store() -> Option<Ground> {
    let ground = Ground::new()?;
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    Some(ground)
}

/// A container of the image with a file of its own, to be committed.
fn container(ground: &Ground, name: &str, image: &str) {
    let words = format!("echo {name} >/file");
    sampan(ground, &["run", "--name", name, "--network=none", image, "sh", "-c", &words]).ok();
}

fn images(ground: &Ground, words: &[&str]) -> Vec<String> {
    let format = ["images", "--no-trunc", "--format={{.Repository}}:{{.Tag}} {{.ID}}"];
    sampan(ground, &[&format[..], words].concat()).ok().lines().map(str::to_owned).collect()
}

fn file(ground: &Ground, image: &str) -> String {
    sampan(ground, &["run", "--rm", "--network=none", image, "cat", "/file"]).ok()
}

fn layers(ground: &Ground) -> usize {
    fs::read_dir(ground.dir.join("data/layers")).unwrap().count()
}

#[test]
fn a_name_that_moves_leaves_its_image() {
    let Some(ground) = store() else { return };
    container(&ground, "one", "busybox");
    container(&ground, "two", "busybox");
    let one = sampan(&ground, &["commit", "one", "mine"]).ok();
    let two = sampan(&ground, &["commit", "two", "mine"]).ok();
    assert_ne!(one, two);
    let nameless = format!("<none>:<none> {one}");
    assert_eq!(images(&ground, &["--filter=dangling=true"]), [nameless.as_str()]);
    assert_eq!(images(&ground, &["-a"]).len(), 3);
    assert_eq!((file(&ground, "mine").as_str(), file(&ground, &one).as_str()), ("two", "one"));
    // A name that comes back, from an archive or by tag: nothing is there twice.
    sampan(&ground, &["tag", &one, "mine"]).ok();
    assert_eq!(images(&ground, &["--filter=dangling=true"]), [format!("<none>:<none> {two}")]);
    let archive = ground.dir.join("mine.tar");
    sampan(&ground, &["save", "-o", archive.to_str().unwrap(), "mine"]).ok();
    sampan(&ground, &["tag", "busybox", "mine"]).ok();
    assert_eq!(images(&ground, &["--filter=dangling=true"]).len(), 2);
    sampan(&ground, &["load", "-i", archive.to_str().unwrap()]).ok();
    assert_eq!(images(&ground, &["--filter=dangling=true"]), [format!("<none>:<none> {two}")]);
    assert_eq!(file(&ground, "mine"), "one");
    // Two of the same are one.
    assert_eq!(
        sampan(&ground, &["image", "inspect", &two, "--format={{.RepoTags}} {{.Id}}"]).ok(),
        format!("[] {two}")
    );
    assert_eq!(sampan(&ground, &["history", "-q", &two[7..19]]).ok().lines().next(), Some(&two[7..19]));
    assert_eq!(sampan(&ground, &["image", "diff", &two]).ok(), "A /file");
    assert_eq!(sampan(&ground, &["rmi", &two[7..20]]).ok(), format!("Deleted: {two}"));
    assert_eq!(images(&ground, &[]).len(), 2);
}

#[test]
fn they_come_without_a_name() {
    let Some(ground) = store() else { return };
    container(&ground, "one", "busybox");
    let one = sampan(&ground, &["commit", "one"]).ok();
    assert_eq!(sampan(&ground, &["commit", "one"]).ok().len(), one.len());
    assert!(images(&ground, &[]).contains(&format!("<none>:<none> {one}")));
    assert_eq!(file(&ground, &one), "one");
    // To an archive and back, which has no name for it either.
    let archive = ground.dir.join("one.tar");
    sampan(&ground, &["save", "-o", archive.to_str().unwrap(), &one]).ok();
    sampan(&ground, &["rm", "one"]).ok();
    sampan(&ground, &["image", "prune", "-f"]).ok();
    assert_eq!((images(&ground, &[]).len(), layers(&ground)), (1, 1));
    let load = ["load", "-i", archive.to_str().unwrap()];
    assert_eq!(sampan(&ground, &load).ok(), format!("Loaded image ID: {one}"));
    assert_eq!(sampan(&ground, &load).ok(), format!("Loaded image ID: {one}"));
    assert_eq!(images(&ground, &["--filter=dangling=true"]).len(), 1);
    assert_eq!(file(&ground, &one), "one");
    assert_eq!(sampan(&ground, &[&load[..], &["--tag", "named"]].concat()).ok(), "Loaded image: named:latest");
    assert_eq!(images(&ground, &["--filter=dangling=true"]).len(), 0);
    // Files of a tar.
    let tar = ground.dir.join("files.tar");
    let made = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(ground.rootfs()).arg(".").status().unwrap();
    assert!(made.success());
    let imported = sampan(&ground, &["import", tar.to_str().unwrap()]).ok();
    assert!(images(&ground, &[]).contains(&format!("<none>:<none> {imported}")));
    sampan(&ground, &["push", &imported]).fails(1, "it has no name");
    assert_eq!(sampan(&ground, &["run", "--rm", "--network=none", &imported, "echo", "hi"]).ok(), "hi");
}

#[test]
fn names_are_taken_away() {
    let Some(ground) = store() else { return };
    let id = sampan(&ground, &["images", "-q", "--no-trunc"]).ok();
    sampan(&ground, &["tag", "busybox", "mine:1"]).ok();
    sampan(&ground, &["rmi", &id]).fails(1, "it has several names");
    sampan(&ground, &["untag", "busybox"]).ok();
    assert_eq!(images(&ground, &[]), [format!("<none>:<none> {id}")]);
    assert_eq!(layers(&ground), 1);
    sampan(&ground, &["tag", &id, "mine:1"]).ok();
    sampan(&ground, &["tag", &id, "mine:2"]).ok();
    // Another name can go while a container stands on it, the last one not.
    container(&ground, "user", "mine:1");
    assert_eq!(sampan(&ground, &["rmi", "mine:1"]).ok(), "Untagged: mine:1");
    sampan(&ground, &["rmi", "mine:2"]).fails(1, "container user uses it");
    assert_eq!(sampan(&ground, &["rmi", "-f", "mine:2"]).ok(), format!("Untagged: mine:2\nDeleted: {id}"));
    assert_eq!((images(&ground, &[]).len(), layers(&ground)), (0, 1));
    sampan(&ground, &["rm", "user"]).ok();
    assert_eq!(layers(&ground), 0);
}

#[test]
fn a_prune_leaves_what_containers_stand_on() {
    let Some(ground) = store() else { return };
    let id = sampan(&ground, &["images", "-q", "--no-trunc"]).ok();
    sampan(&ground, &["untag", "busybox"]).ok();
    container(&ground, "user", &id);
    sampan(&ground, &["rmi", &id]).fails(1, "container user uses it");
    assert_eq!(sampan(&ground, &["image", "prune", "-af"]).ok(), "Total reclaimed space: 0B");
    assert_eq!(images(&ground, &[]), [format!("<none>:<none> {id}")]);
    let used: Value = {
        let out = sampan(&ground, &["system", "df", "--format=json"]).ok();
        serde_json::from_str(out.lines().next().unwrap()).unwrap()
    };
    assert_eq!((&used["TotalCount"], &used["Active"]), (&"1".into(), &"1".into()));
    sampan(&ground, &["rm", "user"]).ok();
    assert_eq!(layers(&ground), 1, "it is nobody's yet, but not pruned");
    let pruned = sampan(&ground, &["image", "prune", "-f"]).ok();
    assert!(pruned.starts_with(&format!("Deleted Images:\ndeleted: {id}\n\nTotal reclaimed space: ")), "{pruned}");
    assert_eq!((images(&ground, &[]).len(), layers(&ground)), (0, 0));
}

/// Nobody can fetch it again, so what is damaged goes, and is in nobody's way any more.
#[test]
fn one_that_is_damaged_is_removed() {
    let Some(ground) = store() else { return };
    container(&ground, "one", "busybox");
    let check = |words: &[&str]| sampan(&ground, &[&["system", "check"], words].concat());
    for document in [0, 1, 2] {
        let one = sampan(&ground, &["commit", "one"]).ok();
        let index: Value =
            serde_json::from_slice(&fs::read(ground.dir.join("data/images/index.json")).unwrap()).unwrap();
        let blob = |digest: &Value| {
            ground.dir.join("data/images/blobs/sha256").join(digest.as_str().unwrap().trim_start_matches("sha256:"))
        };
        let manifest = blob(&index["manifests"][1]["digest"]);
        let own: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
        let damaged = [manifest, blob(&own["config"]["digest"]), blob(&own["layers"][1]["digest"])];
        fs::write(&damaged[document], "{}").unwrap();
        check(&[]).fails(1, "the store is not whole");
        let mended = check(&["--repair"]).ok();
        assert!(mended.contains("it has no name to be fetched by, and was removed (mended)\n"), "{mended}");
        assert!(mended.ends_with(": 0 bad"), "{mended}");
        assert!(!images(&ground, &[]).iter().any(|line| line.contains(&one)));
        check(&[]).ok();
    }
    sampan(&ground, &["image", "prune", "-f"]).ok();
    assert_eq!((images(&ground, &[]).len(), layers(&ground)), (1, 1));
}

/// Other tools still find the images that have names, and all that the index leads to is there.
#[test]
fn the_store_stays_a_layout() {
    let Some(ground) = store() else { return };
    container(&ground, "one", "busybox");
    sampan(&ground, &["commit", "one"]).ok();
    sampan(&ground, &["system", "check"]).ok();
    let layout = ground.dir.join("data/images");
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let named = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"].is_string();
    assert_eq!((entries.len(), entries.iter().filter(named).count()), (2, 1));
    let tool = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        let Ok(out) = command.args(words).stdin(Stdio::null()).output() else {
            println!("skipped: no {program} on this machine");
            return;
        };
        assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    };
    let from = format!("oci:{}:docker.io/library/busybox:latest", layout.display());
    tool("skopeo", &["copy", "-q", "--insecure-policy", &from, &format!("dir:{}", ground.dir.join("copy").display())]);
    tool("umoci", &["ls", "--layout", layout.to_str().unwrap()]);
}
