//! How an image came to be, and which layers it shares.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use registry::{layer_of, tool};
use spec::{ChainId, DiffId, Digest};
use std::fs;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// An image of these layers (plain tars), in docker's form.
fn load(ground: &Ground, name: &str, layers: &[&[u8]], history: serde_json::Value) {
    let dir = ground.dir.join("made");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = serde_json::json!({ "architecture": spec::image::Platform::native().architecture, "os": "linux",
        "config": { "Cmd": ["sh"] }, "rootfs": { "type": "layers", "diff_ids": ids }, "history": history });
    fs::write(dir.join("c.json"), config.to_string()).unwrap();
    let files: Vec<String> = (0..layers.len()).map(|number| format!("{number}.tar")).collect();
    for (file, layer) in files.iter().zip(layers) {
        fs::write(dir.join(file), layer).unwrap();
    }
    let list = serde_json::json!([{ "Config": "c.json", "RepoTags": [name], "Layers": files }]);
    fs::write(dir.join("manifest.json"), list.to_string()).unwrap();
    let tar = ground.dir.join("made.tar");
    tool("tar", &["-C", dir.to_str().unwrap(), "-cf", tar.to_str().unwrap(), "."]);
    sampan(ground, &["load", "-i", tar.to_str().unwrap()]).ok();
}

fn layer(ground: &Ground, file: &str) -> Vec<u8> {
    let dir = ground.dir.join(file);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(file), file).unwrap();
    layer_of(&dir).0
}

#[test]
fn an_image_says_how_it_was_made() {
    let Some(ground) = Ground::new() else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let table = sampan(&ground, &["history", "busybox"]).ok();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("IMAGE ") && lines[0].ends_with("COMMENT"), "{table}");
    assert!(lines.len() == 2 && lines[1].contains("sampan image bootstrap busybox"), "{table}");

    let (base, top) = (layer(&ground, "base"), layer(&ground, "top"));
    let history = serde_json::json!([
        { "created": "2024-01-01T00:00:00Z", "created_by": "ADD rootfs.tar.xz / # an old and very long line of a shell" },
        { "created": "2024-01-02T00:00:00Z", "created_by": "CMD [\"sh\"]", "empty_layer": true, "comment": "said" },
    ]);
    load(&ground, "made:1", &[&base, &top], history);
    let id = sampan(&ground, &["history", "-q", "--no-trunc", "made:1"]).ok();
    let id = id.lines().next().unwrap();
    let out = sampan(&ground, &["image", "history", "--format=json", "--human=false", id]).ok();
    let steps: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |key: &str| steps.iter().map(|step| step[key].as_str().unwrap()).collect::<Vec<_>>();
    // The last first; a layer that the history does not count has no words.
    let (ours, base_size) = (top.len().to_string(), base.len().to_string());
    assert_eq!(of("Size"), [&*ours, "0", &*base_size]);
    assert_eq!(of("ID"), [&id["sha256:".len()..][..12], "<missing>", "<missing>"]);
    assert_eq!(of("CreatedAt"), ["N/A", "2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"]);
    assert_eq!(of("Comment"), ["", "said", ""]);
    let shown = sampan(&ground, &["history", "--format", "{{.Comment}}|", "made:1"]).ok();
    assert_eq!(shown, "|\nsaid|\n|");
    let table = sampan(&ground, &["history", "made:1"]).ok();
    assert!(table.contains("ADD rootfs.tar.xz / # an old and very long l…"), "{table}");
    sampan(&ground, &["history", "absent"]).fails(1, "cannot find image absent");
}

#[test]
fn layers_are_drawn_as_a_tree() {
    let Some(ground) = Ground::new() else { return };
    let [a, b, c] = ["a", "b", "c"].map(|name| layer(&ground, name));
    for (name, layers) in [("one", &[&a[..]][..]), ("two", &[&a, &b]), ("three", &[&a, &b, &c]), ("side", &[&a, &c])] {
        load(&ground, &format!("{name}:1"), layers, serde_json::json!([]));
    }
    let ids = ChainId::chain(&[&a, &b, &c].map(|layer| DiffId(Digest::of(layer))));
    let short = |id: &ChainId| id.0.hex()[..12].to_owned();
    let tree = sampan(&ground, &["image", "tree", "two:1"]).ok();
    let lines: Vec<&str> = tree.lines().collect();
    assert_eq!(lines[1], "Tags:     [docker.io/library/two:1]");
    assert!(lines[4].starts_with(&format!("├── ID: {} ", short(&ids[1]))), "{tree}");
    assert!(lines[4].ends_with(" Top Layer of: [docker.io/library/two:1]"), "{tree}");
    assert!(lines[5].starts_with(&format!("└── ID: {} ", short(&ids[0]))) && lines.len() == 6, "{tree}");
    let tree = sampan(&ground, &["image", "tree", "--whatrequires", "one:1"]).ok();
    let names: Vec<&str> = tree.lines().skip(4).map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(names.len(), 4, "{tree}");
    for (name, depth) in [("one", 0), ("two", 1), ("three", 2), ("side", 1)] {
        let line = tree.lines().find(|line| line.ends_with(&format!("/{name}:1]")) && line.contains("ID: ")).unwrap();
        assert_eq!(line.split("ID: ").next().unwrap().chars().count(), 4 * (depth + 1), "{tree}");
    }
    sampan(&ground, &["image", "tree", "absent"]).fails(1, "cannot find image absent");
}
