//! What lists print: templates, JSON, headings, filters.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, Ran, ran};
use serde_json::Value;

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
    assert_eq!(sampan(&ground, &df).ok(), "Images=1\nContainers=0");
    assert!(
        sampan(&ground, &["system", "df", "--format", r"table {{.Type}}\t{{.Size}}"])
            .ok()
            .starts_with("TYPE         SIZE\n")
    );
}
