//! What the store takes of the disk, and that it is proved and mended whatever happens to its files.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "../../../fuzz/random.rs"]
mod random;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use random::Random;
use registry::{Kind, Registry, layer_of, noise};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    let mut command = ground.command(words);
    command.env("HOME", &ground.dir).env_remove("XDG_RUNTIME_DIR").env_remove("REGISTRY_AUTH_FILE");
    ran(command.output().unwrap())
}

fn container(ground: &Ground, name: &str, image: &str) {
    let words = format!("echo {name} >/file; dd if=/dev/urandom of=/big bs=64k count=4 2>/dev/null");
    sampan(ground, &["run", "--name", name, "--network=none", "--pull=never", image, "sh", "-c", &words]).ok();
}

fn du(path: &Path) -> u64 {
    let out = Command::new("du").args(["-s", "-B1"]).arg(path).output().unwrap();
    String::from_utf8(out.stdout).unwrap().split('\t').next().unwrap().parse().unwrap()
}

/// Every file below, and what a reader of the file would see of it.
fn files(path: &Path) -> BTreeMap<PathBuf, (u32, u64)> {
    let mut found = BTreeMap::new();
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let size = if meta.is_file() { meta.len() } else { 0 };
        found.insert(path, (meta.permissions().mode(), size));
    }
    found
}

#[test]
fn the_disk_is_reckoned_one_by_one() {
    let Some(ground) = Ground::new() else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    container(&ground, "one", "busybox");
    let one = sampan(&ground, &["commit", "one"]).ok();
    let data = ground.dir.join("data");
    let rows = sampan(&ground, &["system", "df", "--format={{.Type}} {{.TotalCount}} {{.Active}} {{.Size}}"]).ok();
    let sum = ["images", "layers", "tmp", "partial"].map(|part| du(&data.join(part))).iter().sum::<u64>();
    let [images, containers, volumes] = *rows.lines().collect::<Vec<_>>() else { panic!("{rows}") };
    assert_eq!(volumes, "Local Volumes 0 0 0B");
    assert_eq!(images, format!("Images 2 1 {}", spec::unit::decimal(sum, 4)));
    assert_eq!(containers, format!("Containers 1 0 {}", spec::unit::decimal(du(&data.join("containers")), 4)));

    let table = sampan(&ground, &["system", "df", "-v"]).ok();
    let heads = "REPOSITORY   TAG       IMAGE ID       CREATED   SIZE   SHARED SIZE   UNIQUE SIZE   CONTAINERS";
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(table.lines().nth(2).unwrap()), words(heads), "{table}");
    assert!(table.contains("\n\nContainers space usage:\n\nCONTAINER ID "), "{table}");
    let all: Value = serde_json::from_str(&sampan(&ground, &["system", "df", "-v", "--format=json"]).ok()).unwrap();
    let of = |id: &str, field: &str| {
        let image = all["Images"].as_array().unwrap().iter().find(|image| image["ID"] == id[7..19]).unwrap();
        image[field].as_str().unwrap().to_owned()
    };
    let busybox = sampan(&ground, &["images", "-q", "--no-trunc", "busybox"]).ok();
    // All of busybox is in both, and what the container has written in one only.
    assert_eq!((of(&busybox, "UniqueSize"), of(&busybox, "Containers")), ("0B".into(), "1".into()));
    assert_eq!(of(&busybox, "SharedSize"), of(&one, "SharedSize"));
    assert_eq!((of(&busybox, "Size"), of(&one, "Containers")), (of(&busybox, "SharedSize"), "0".into()));
    assert!(of(&one, "UniqueSize").ends_with("kB"), "{}", of(&one, "UniqueSize"));
    let size =
        spec::unit::decimal(du(&data.join("containers")) - fs::metadata(data.join("containers")).unwrap().len(), 4);
    assert_eq!(all["Containers"][0]["Size"], size);
}

/// Images with and without names, containers that ended, mounts: when all that is gone, nothing of it is left.
#[test]
fn an_emptied_store_is_as_small_as_an_empty_one() {
    let (Some(ground), Some(fresh)) = (Ground::new(), Ground::new()) else { return };
    for ground in [&ground, &fresh] {
        sampan(ground, &["image", "bootstrap", "busybox"]).ok();
        sampan(ground, &["rmi", "busybox"]).ok();
        sampan(ground, &["volume", "create", "data"]).ok();
        sampan(ground, &["volume", "rm", "data"]).ok();
    }
    let store = |ground: &Ground| {
        let root = ground.dir.join("data");
        let files = files(&root).into_iter().map(|(path, of)| (path.strip_prefix(&root).unwrap().to_owned(), of));
        // What happened is no part of it.
        files.filter(|(path, _)| !path.starts_with("events")).collect::<BTreeMap<_, _>>()
    };
    let empty = store(&fresh);
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    for name in ["one", "two", "three"] {
        container(&ground, name, "busybox");
        sampan(&ground, &["commit", name, "moving"]).ok();
    }
    sampan(&ground, &["commit", "one"]).ok();
    container(&ground, "four", "moving");
    let with = ["run", "--name=five", "--network=none", "-v", "data:/data", "moving", "sh", "-c", "echo x >/data/x"];
    sampan(&ground, &with).ok();
    let rows =
        sampan(&ground, &["system", "df", "--format={{.Type}} {{.TotalCount}} {{.Active}} {{.Reclaimable}}"]).ok();
    assert!(rows.ends_with("\nLocal Volumes 1 1 0B (0%)"), "{rows}");
    let archive = ground.dir.join("a.tar").to_string_lossy().into_owned();
    sampan(&ground, &["save", "-o", &archive, "moving"]).ok();
    sampan(&ground, &["untag", "moving"]).ok();
    sampan(&ground, &["load", "-i", &archive]).ok();
    sampan(&ground, &["system", "check"]).ok();
    let before = du(&ground.dir.join("data"));
    sampan(&ground, &["rm", "one", "two", "three", "four", "five"]).ok();
    sampan(&ground, &["volume", "rm", "data"]).ok();
    let pruned = sampan(&ground, &["image", "prune", "-af"]).ok();
    let after = du(&ground.dir.join("data"));
    assert!(after < before / 10, "{before} {after}");
    assert!(pruned.lines().filter(|line| line.starts_with("deleted: ")).count() >= 5, "{pruned}");
    let (left, empty): (Vec<_>, Vec<_>) = (store(&ground).into_iter().collect(), empty.into_iter().collect());
    assert_eq!(left, empty);
    let lines = sampan(&ground, &["system", "df", "--format={{.TotalCount}} {{.Reclaimable}}"]).ok();
    assert!(lines.starts_with("0 "), "{lines}");
}

/// Files of the store, changed at random: each is found, and mended from the registry or from what is there.
#[test]
fn damage_at_random_is_found_and_mended() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let upper = ground.dir.join("upper");
    fs::create_dir_all(upper.join("etc")).unwrap();
    fs::write(upper.join("etc/.wh.group"), "").unwrap();
    fs::write(upper.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    noise(&upper.join("noise"), 50_000);
    // Few files, so that each is likely.
    let lower = ground.dir.join("lower");
    for part in ["bin", "etc"] {
        fs::create_dir_all(lower.join(part)).unwrap();
    }
    fs::copy(ground.rootfs().join("bin/busybox"), lower.join("bin/sh")).unwrap();
    fs::write(lower.join("etc/group"), "root:x:0:\n").unwrap();
    registry.publish("a", "v1", "amd64", &[layer_of(&lower), layer_of(&upper)], false);
    let name = format!("{}/a:v1", registry.host());
    sampan(&ground, &["pull", &name]).ok();
    // A second one, which nobody can fetch, has layers of both.
    sampan(&ground, &["run", "--name=c", "--network=none", "--pull=never", &name, "sh", "-c", "echo x >/x"]).ok();
    sampan(&ground, &["commit", "c"]).ok();
    sampan(&ground, &["rm", "c"]).ok();
    let data = ground.dir.join("data");
    let check = |words: &[&str]| sampan(&ground, &[&["system", "check"], words].concat());
    let whole = check(&[]).ok();
    assert!(whole.ends_with("2 images, 3 layers: 0 bad"), "{whole}");
    let parts = ["images/blobs/sha256", "layers"].map(|part| data.join(part));
    let rounds = random::number("ROUNDS", 12);
    let mut random = Random(random::number("SEED", 0x0b5e_55ed));
    for round in 0..rounds {
        let all: Vec<PathBuf> = parts
            .iter()
            .flat_map(|part| files(part).into_keys().filter(|path| path != part).collect::<Vec<_>>())
            .collect();
        let mut done = Vec::new();
        for _ in 0..=random.below(3) {
            let path = random.pick(&all);
            // Not what an earlier damage of this round took away, or what would be undone by the same once more.
            let Ok(meta) = path.symlink_metadata() else { continue };
            if !done.iter().any(|done: &String| done.starts_with(&format!("{} ", path.display()))) {
                done.push(format!("{} {}", path.display(), damage(path, &meta, &mut random)));
            }
        }
        let found = check(&[]);
        assert_eq!(found.code, 1, "round {round}, {done:?}: {found:?}");
        let mended = check(&["--repair"]);
        assert_eq!(mended.code, 0, "round {round}, {done:?}: {mended:?}");
        let again = check(&[]);
        assert_eq!(again.code, 0, "round {round}, {done:?}: {mended:?} {again:?}");
        let script = "cat /etc/passwd; wc -c </noise; test -e /etc/group; echo $?";
        let words = ["run", "--rm", "--network=none", "--pull=never", &name, "sh", "-c", script];
        assert_eq!(sampan(&ground, &words).ok(), "root:x:0:0::/:/bin/sh\n50000\n1", "{done:?}");
    }
    println!("{rounds} rounds");
}

fn damage(path: &Path, meta: &fs::Metadata, random: &mut Random) -> &'static str {
    let blob = path.components().any(|part| part.as_os_str() == "blobs");
    match random.below(4) {
        0 if meta.is_dir() => {
            fs::remove_dir_all(path).unwrap();
            "removed with all in it"
        }
        0 => {
            fs::remove_file(path).unwrap();
            "removed"
        }
        1 if meta.is_dir() => {
            fs::write(path.join("new"), "new").unwrap();
            "one more in it"
        }
        2 if !blob && !meta.is_symlink() => {
            fs::set_permissions(path, fs::Permissions::from_mode(meta.permissions().mode() ^ 0o2)).unwrap();
            "another mode"
        }
        _ if meta.is_file() && meta.len() > 0 => {
            let mut bytes = fs::read(path).unwrap();
            let at = random.below(bytes.len());
            if random.below(2) == 0 {
                bytes[at] ^= 1 << random.below(8);
            } else {
                bytes.truncate(at);
            }
            fs::write(path, bytes).unwrap();
            "another content"
        }
        _ if meta.is_dir() => {
            fs::set_permissions(path, fs::Permissions::from_mode(meta.permissions().mode() ^ 0o2)).unwrap();
            "another mode"
        }
        _ => {
            fs::remove_file(path).unwrap();
            "removed"
        }
    }
}
