//! What lists print: templates, JSON, headings, filters.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran, until};
use registry::{layer_of, tool};
use serde_json::{Value, json};
use spec::Digest;
use std::fs;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// A store with busybox.
fn prepared() -> Option<Ground> {
    let ground = Ground::new()?;
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    Some(ground)
}

/// A container that has ended, kept.
fn kept(ground: &Ground, name: &str, flags: &[&str], command: &[&str]) -> Ran {
    let words = [&["run", "--network=none", "--name", name], flags, &["busybox"], command].concat();
    sampan(ground, &words)
}

#[test]
fn images_are_printed_as_a_template_says() {
    let Some(ground) = prepared() else { return };
    let images = |format: &str| sampan(&ground, &["images", "--format", format]).ok();
    let id = sampan(&ground, &["images", "-q"]).ok();
    assert_eq!(images("{{.Repository}}:{{.Tag}}"), "busybox:latest");
    assert_eq!(images("{{.ID}}{{if eq .Tag \"latest\"}} newest{{end}}"), format!("{id} newest"));
    assert_eq!(images(r"table {{.Repository}}\t{{.Tag}}"), "REPOSITORY   TAG\nbusybox      latest");
    let bare = ["images", "--noheading", "--format", r"table {{.Repository}}\t{{.Tag}}"];
    assert_eq!(sampan(&ground, &bare).ok(), "busybox   latest");
    let row: Value = serde_json::from_str(&images("json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&images("{{json .}}")).unwrap(), row);
    let digest = row["Digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:"));
    assert_eq!(row["CreatedAt"], "N/A", "the image does not say");
    let wide = sampan(&ground, &["image", "ls", "--digests", "-a"]).ok();
    assert!(wide.starts_with("REPOSITORY   TAG       DIGEST ") && wide.contains(digest), "{wide}");
    assert!(!sampan(&ground, &["image", "ls", "--noheading"]).ok().contains("REPOSITORY"));
    // docker's: a template goes before -q.
    assert_eq!(sampan(&ground, &["images", "-q", "--format", "{{.Tag}}"]).ok(), "latest");

    let failed = sampan(&ground, &["images", "--format", "{{.Id}}"]);
    failed.fails(1, "there is no Id");
    assert!(failed.err.contains("hint: one of Repository, Tag, Digest, ID, "), "{}", failed.err);
    sampan(&ground, &["images", "--format", "{{.ID"]).fails(1, "unclosed action");
    sampan(&ground, &["images", "--format", "{{shout .ID}}"]).fails(1, "there is no function shout");
    sampan(&ground, &["images", "--format", "{{if .ID}}"]).fails(1, "not every block has its {{end}}");
}

#[test]
fn an_image_is_inspected_as_a_template_says() {
    let Some(ground) = prepared() else { return };
    let inspect = |format: &str| sampan(&ground, &["image", "inspect", "-f", format, "busybox"]).ok();
    let whole: Value = serde_json::from_str(&sampan(&ground, &["image", "inspect", "busybox"]).ok()).unwrap();
    let line = inspect("json");
    assert_eq!((serde_json::from_str::<Value>(&line).unwrap(), line.lines().count()), (whole.clone(), 1));
    assert_eq!(inspect("{{.Id}} {{.Os}}"), format!("{} linux", whole[0]["Id"].as_str().unwrap()));
    assert_eq!(inspect("{{json .}}").parse::<Value>().unwrap(), whole[0]);
    assert_eq!(
        inspect("{{index .RepoTags 0}} {{len .RepoTags}} {{join .RepoTags \",\"}}"),
        "busybox:latest 1 busybox:latest"
    );
    let env: Vec<String> = serde_json::from_str(&inspect("{{json .Config.Env}}")).unwrap();
    assert_eq!(inspect("{{range .Config.Env}}{{println .}}{{end}}").trim_end(), env.join("\n"));
    assert_eq!(inspect("{{.Config.Volumes}}{{json .Config.Volumes}}{{index .Config.Labels \"a\"}}"), "map[]null");
    assert_eq!(sampan(&ground, &["image", "inspect", "-f", "{{.Os}}", "busybox", "busybox"]).ok(), "linux\nlinux");

    let failed = sampan(&ground, &["image", "inspect", "-f", "{{.Config.Foo}}", "busybox"]);
    failed.fails(1, "there is no Foo");
    assert!(failed.err.contains("hint: one of Cmd, Entrypoint, Env, "), "{}", failed.err);
    sampan(&ground, &["image", "inspect", "-f", "table", "busybox"]).fails(1, "cannot print a table");
}

#[test]
fn containers_are_printed_as_a_template_says() {
    let Some(ground) = prepared() else { return };
    kept(&ground, "one", &["--label", "a.b=c", "--label", "d"], &["true"]).ok();
    let ps = |format: &str| sampan(&ground, &["ps", "-a", "--format", format]).ok();
    assert!(ps("{{.CreatedAt}}").starts_with("20") && ps("{{.CreatedAt}}").ends_with(" +0000 UTC"));
    assert_eq!(ps("{{.Names}} {{.Image}} {{.State}} {{.Label \"a.b\"}}"), "one busybox:latest exited c");
    assert_eq!(ps("{{.Labels}}"), "a.b=c,d=");
    assert_eq!(ps(r#"table {{.Names}}\t{{.Label "a.b"}}"#), "NAMES     b\none       c");
    assert_eq!(ps("{{index (split .Status \" \") 0}} {{upper .Names}}"), "Exited ONE");
    let id = sampan(&ground, &["ps", "-aq", "--no-trunc"]).ok();
    assert_eq!((id.len(), ps("{{.ID}}")), (64, id[..12].to_owned()));
    assert_eq!(
        sampan(&ground, &["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Command}}"]).ok(),
        format!("{id} \"true\"")
    );
    assert!(!sampan(&ground, &["ps", "-a", "--noheading"]).ok().contains("NAMES"));
    sampan(&ground, &["ps", "--format", "{{.Name}}"]).fails(1, "there is no Name");
}

#[test]
fn what_is_no_list_of_images_or_containers_takes_templates_too() {
    let Some(ground) = prepared() else { return };
    let version = sampan(&ground, &["version", "-f", "{{.Server.Version}} {{.Client.Version}} {{.Version}}"]).ok();
    assert!(version.split(' ').all(|version| version == env!("CARGO_PKG_VERSION")), "{version}");
    assert_eq!(sampan(&ground, &["info", "-f", "{{.Images}} {{.Containers}}"]).ok(), "1 0");
    sampan(&ground, &["info", "-f", "{{.Foo}}"]).fails(1, "there is no Foo");
    let df = ["system", "df", "--format", "{{.Type}}={{.TotalCount}}"];
    assert_eq!(sampan(&ground, &df).ok(), "Images=1\nContainers=0\nLocal Volumes=0");
    assert!(
        sampan(&ground, &["system", "df", "--format", r"table {{.Type}}\t{{.Size}}"])
            .ok()
            .starts_with("TYPE            SIZE\n")
    );
}

/// An image of these layers (plain tars), in docker's form.
fn load(ground: &Ground, name: &str, layers: &[&[u8]], created: &str, labels: &Value) {
    let dir = ground.dir.join("made");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({ "architecture": spec::image::Platform::native().architecture, "os": "linux", "created": created,
        "config": { "Cmd": ["true"], "Env": ["PATH=/bin"], "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": ids } });
    fs::write(dir.join("c.json"), config.to_string()).unwrap();
    let files: Vec<String> = (0..layers.len()).map(|number| format!("{number}.tar")).collect();
    for (file, layer) in files.iter().zip(layers) {
        fs::write(dir.join(file), layer).unwrap();
    }
    let list = json!([{ "Config": "c.json", "RepoTags": [name], "Layers": files }]);
    fs::write(dir.join("manifest.json"), list.to_string()).unwrap();
    let tar = ground.dir.join("made.tar");
    tool("tar", &["-C", dir.to_str().unwrap(), "-cf", tar.to_str().unwrap(), "."]);
    sampan(ground, &["load", "-i", tar.to_str().unwrap()]).ok();
}

/// A base of 2023, and one of 2024 that stands on it.
fn family() -> Option<Ground> {
    let ground = Ground::new()?;
    let base = layer_of(&ground.rootfs()).0;
    let dir = ground.dir.join("more");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("more"), "more").unwrap();
    let more = layer_of(&dir).0;
    load(&ground, "base:1", &[&base], "2023-01-02T03:04:05Z", &json!({ "kind": "base", "both": "" }));
    load(
        &ground,
        "reg.example/a/top:2",
        &[&base, &more],
        "2024-01-02T03:04:05Z",
        &json!({ "kind": "top", "both": "" }),
    );
    Some(ground)
}

#[test]
fn images_are_filtered() {
    let Some(ground) = family() else { return };
    let tags = |words: &[&str]| {
        let mut tags: Vec<String> = sampan(&ground, &[&["images", "--format", "{{.Tag}}"], words].concat())
            .ok()
            .lines()
            .map(str::to_owned)
            .collect();
        tags.sort();
        tags.concat()
    };
    for (words, left) in [
        (&[][..], "12"),
        (&["-f", "label=kind=top"], "2"),
        (&["-f", "label=both", "--filter=label=kind=base"], "1"),
        (&["-f", "label=none"], ""),
        (&["-f", "before=reg.example/a/top:2"], "1"),
        (&["-f", "since=base:1"], "2"),
        (&["-f", "until=2023-06-01"], "1"),
        (&["-f", "until=24h"], "12"),
        (&["-f", "reference=*/a/*"], "2"),
        (&["-f", "dangling=true"], ""),
        (&["-f", "dangling=false"], "12"),
        (&["base"], "1"),
        (&["docker.io/library/base:1"], "1"),
        (&["base:2"], ""),
        (&["reg.example/a/*:?"], "2"),
    ] {
        assert_eq!(tags(words), left, "{words:?}");
    }
    assert_eq!(sampan(&ground, &["images", "--format", "{{.Tag}}"]).ok(), "2\n1", "the newest first");
    assert_eq!(
        sampan(&ground, &["images", "--format", "{{.CreatedAt}}", "base"]).ok(),
        "2023-01-02 03:04:05 +0000 UTC"
    );
    let failed = sampan(&ground, &["images", "-f", "colour=red"]);
    failed.fails(1, "there is no filter colour");
    assert!(
        failed.err.contains("hint: one of before, dangling, label, label!, reference, since, until"),
        "{}",
        failed.err
    );
    sampan(&ground, &["images", "-f", "since=absent"]).fails(1, "cannot find image absent");
}

#[test]
fn containers_are_filtered() {
    let Some(ground) = family() else { return };
    let run = |name: &str, image: &str, flags: &[&str], command: &[&str]| {
        let words = [&["run", "--network=none", "--name", name], flags, &[image], command].concat();
        ground.command(&words).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut web = run("web", "base:1", &["--label", "kind=mine", "--rm"], &["sleep", "1000"]);
    let names = |words: &[&str]| {
        let out = sampan(&ground, &[&["ps", "--format", "{{.Names}}"], words].concat()).ok();
        let mut names: Vec<String> = out.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    // Before the others are made: the order counts below.
    until("the container runs", || names(&[]) == "web");
    run("webby", "reg.example/a/top:2", &[], &["sh", "-c", "exit 3"]).wait().unwrap();
    run("db", "base:1", &[], &["true"]).wait().unwrap();
    for (words, left) in [
        (&["-a"][..], "db web webby"),
        (&["-f", "name=web"], "web"),
        (&["-af", "name=web"], "web webby"),
        (&["-af", "name=^/web$"], "web"),
        (&["-f", "status=exited"], "db webby"),
        (&["-f", "status=running"], "web"),
        (&["-f", "status=created"], ""),
        (&["-f", "exited=3"], "webby"),
        (&["-f", "exited=3", "-f", "exited=0"], "db webby"),
        (&["-af", "label=kind=mine"], "web"),
        (&["-af", "label=kind=top", "-f", "label=both"], "webby"),
        (&["-af", "ancestor=base:1"], "db web webby"),
        (&["-af", "ancestor=reg.example/a/top:2"], "webby"),
        (&["-af", "ancestor=absent"], ""),
        (&["-af", "ancestor=base:1", "-f", "exited=0"], "db"),
    ] {
        assert_eq!(names(words), left, "{words:?}");
    }
    let id = sampan(&ground, &["ps", "-aq", "-f", "name=webby"]).ok();
    assert_eq!(names(&["-a", "-f", &format!("id={}", &id[..6])]), "webby");
    let base = sampan(&ground, &["images", "-q", "base"]).ok();
    assert_eq!(names(&["-f", &format!("ancestor={base}")]), "web");
    assert_eq!((names(&["--latest"]).split(' ').count(), names(&["-n", "2"]).split(' ').count()), (1, 2));
    assert_eq!(names(&["-af", "since=web"]), "db webby");
    assert_eq!(names(&["-af", "before=db", "-f", "since=web"]), "webby");
    assert_eq!(names(&["-af", &format!("before={}", &id[..8])]), "web");
    sampan(&ground, &["ps", "-af", "before=none"]).fails(1, "no container has this name or id");
    // In the same second, perhaps: the newest is the first all the same.
    let order = sampan(&ground, &["ps", "-a", "--format", "{{.Names}}"]).ok();
    assert_eq!(order, "db\nwebby\nweb");
    let sizes = sampan(&ground, &["ps", "-as", "--format", "{{.Names}} {{.Size}}"]).ok();
    assert!(sizes.lines().all(|line| line.contains(" (virtual ")), "{sizes}");
    sampan(&ground, &["ps", "-f", "health=none"]).fails(1, "there is no filter health");
    sampan(&ground, &["ps", "-f", "status=happy"]).fails(1, "is no state of a container");
    sampan(&ground, &["rm", "-f", "web"]).ok();
    web.wait().unwrap();
    // What its image was called is known when it is gone.
    sampan(&ground, &["rmi", "-f", "base:1"]).ok();
    assert_eq!(names(&["-af", "ancestor=base:1"]), "db");
}

/// Each costs a file that is opened, read and closed, and nothing grows with the square.
#[test]
fn a_list_of_two_thousand_takes_as_long_as_twenty_of_a_hundred() {
    let Some(ground) = prepared() else { return };
    kept(&ground, "first", &["-l", "kind=it"], &["true"]).ok();
    let containers = ground.dir.join("data/containers");
    let id = sampan(&ground, &["ps", "-aq", "--no-trunc"]).ok();
    let record = fs::read_to_string(containers.join(&id).join("record.json")).unwrap();
    let copy = |number: usize| {
        let new = format!("{number:064x}");
        fs::create_dir(containers.join(&new)).unwrap();
        let text = record.replace(&id, &new).replace("\"first\"", &format!("\"copy-{number}\""));
        fs::write(containers.join(&new).join("record.json"), text).unwrap();
    };
    // The least of some, as the machine does other things, too.
    let least = |count: usize| {
        let time = |_| {
            let start = std::time::Instant::now();
            assert_eq!(sampan(&ground, &["ps", "-a"]).ok().lines().count(), count + 1);
            start.elapsed()
        };
        (0..5).map(time).min().unwrap()
    };
    (1..100).for_each(copy);
    let few = least(100);
    (100..2000).for_each(copy);
    let many = least(2000);
    assert!(many < few * 40, "{few:?} for a hundred, {many:?} for two thousand");
    // What starts a container looks at none of them.
    let calls = |words: &[&str]| {
        let mut traced = std::process::Command::new("strace");
        let sampan = ground.command(words);
        traced
            .args(["-f", "-qq", "-e", "trace=openat,readlink,statx"])
            .arg(sampan.get_program())
            .args(sampan.get_args());
        let out = traced.output().map(|out| String::from_utf8_lossy(&out.stderr).into_owned());
        out.ok().map(|text| text.lines().filter(|line| line.contains("record.json")).count())
    };
    match calls(&["run", "--rm", "--network=none", "busybox", "true"]) {
        Some(opened) => assert!(opened < 20, "{opened} records"),
        None => println!("skipped: no strace on this machine"),
    }
}
