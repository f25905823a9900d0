//! Images as a registry wants them: documents of the other kind, other compression, all tags, the digest in a file.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use registry::{Kind, Published, Registry, layer_of};
use serde_json::{Value, json};
use spec::Digest;
use spec::image::media;
use std::fs;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    let mut command = ground.command(words);
    command.env("HOME", &ground.dir).env_remove("XDG_RUNTIME_DIR").env_remove("REGISTRY_AUTH_FILE");
    ran(command.output().unwrap())
}

/// Two layers, the upper one with changes of the lower.
fn publish(ground: &Ground, registry: &Registry, name: &str, machine: &str, docker: bool) -> Published {
    let upper = ground.dir.join("upper");
    // Once: a layer has the times of its files.
    if fs::create_dir(&upper).is_ok() {
        fs::write(upper.join("new"), "x".repeat(100_000)).unwrap();
    }
    registry.publish(name, machine, machine, &[layer_of(&ground.rootfs()), layer_of(&upper)], docker)
}

fn document(ground: &Ground, name: &str) -> Value {
    serde_json::from_str(&sampan(ground, &["manifest", "inspect", name]).ok()).unwrap()
}

fn kinds(manifest: &Value) -> Vec<&str> {
    let layers = manifest["layers"].as_array().unwrap().iter();
    [&manifest["mediaType"], &manifest["config"]["mediaType"]]
        .into_iter()
        .chain(layers.map(|layer| &layer["mediaType"]))
        .map(|kind| kind.as_str().unwrap())
        .collect()
}

/// Fetched by a store that has nothing, it runs; its id.
fn runs(name: &str) -> String {
    let ground = Ground::new().unwrap();
    sampan(&ground, &["pull", "-q", name]).ok();
    let words = ["run", "--rm", "--network=none", "--pull=never", name, "sh", "-c", "wc -c </new"];
    assert_eq!(sampan(&ground, &words).ok(), "100000");
    sampan(&ground, &["images", "-q", "--no-trunc"]).ok()
}

#[test]
fn documents_and_layers_are_as_they_are_asked_for() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let machine = spec::image::Platform::native().architecture;
    let oci = publish(&ground, &registry, "oci", &machine, false);
    let docker = publish(&ground, &registry, "docker", &machine, true);
    let host = registry.host();
    let [from_oci, from_docker] = ["oci", "docker"].map(|name| format!("{host}/{name}:{machine}"));
    sampan(&ground, &["pull", "-q", &from_oci]).ok();
    sampan(&ground, &["pull", "-q", &from_docker]).ok();
    let id = sampan(&ground, &["images", "-q", "--no-trunc"]).ok().lines().next().unwrap().to_owned();
    let push = |words: &[&str], from: &str, to: &str| {
        let to = format!("{host}/{to}");
        let digest = sampan(&ground, &[&["push", "-q"], words, &[from, &to]].concat()).ok();
        if registry::has("skopeo") {
            let raw = registry::tool("skopeo", &["inspect", "--tls-verify=false", "--raw", &format!("docker://{to}")]);
            assert_eq!(Digest::of(raw.as_bytes()).to_string(), digest);
        }
        assert_eq!(runs(&to), id, "{words:?}");
        (digest, document(&ground, &to))
    };
    let [gzip, zstd] = [media::LAYER_GZIP, media::LAYER_ZSTD].map(|kind| [media::MANIFEST, media::CONFIG, kind, kind]);
    let docker_kinds =
        [media::DOCKER_MANIFEST, media::DOCKER_CONFIG, media::DOCKER_LAYER_GZIP, media::DOCKER_LAYER_GZIP];
    // What it is already is not touched.
    let (digest, _) = push(&["--format=oci", "--compression-format=gzip"], &from_oci, "a:same");
    assert_eq!(digest, oci.digest.to_string());
    let (digest, _) = push(&["-f", "v2s2"], &from_docker, "a:docker");
    assert_eq!(digest, docker.digest.to_string());
    assert_eq!(kinds(&push(&["--format", "v2s2"], &from_oci, "a:v2s2").1), docker_kinds);
    assert_eq!(kinds(&push(&["--format", "oci"], &from_docker, "a:oci").1), gzip);
    let (first, made) = push(&["--compression-format=zstd"], &from_oci, "a:zstd");
    assert_eq!(kinds(&made), zstd);
    // The same each time; of docker's documents, too, which have no word for it.
    assert_eq!(push(&["--compression-format=zstd"], &from_docker, "b:zstd"), (first, made));
    let back = format!("{host}/a:zstd");
    sampan(&ground, &["pull", "-q", &back]).ok();
    let (_, made) = push(&["--compression-format=gzip", "--compression-level=9"], &back, "b:gzip");
    assert_eq!(kinds(&made), gzip);

    let to = format!("{host}/c");
    sampan(&ground, &["push", "-f", "v2s2", "--compression-format=zstd", &from_oci, &to]).fails(1, "no layers of zstd");
    sampan(&ground, &["push", "-f", "v2s2", &back, &to]).fails(1, "no layers of zstd");
    for (words, why) in [
        (&["--sign-by=me"][..], "sampan makes no signatures"),
        (&["--sign-by-sigstore-private-key=f"], "sampan makes no signatures"),
        (&["--encryption-key=jwe:x"], "encrypts nothing"),
        (&["--compression-format=zstd:chunked"], "hint: zstd"),
        (&["--compression-level=3"], "add --compression-format"),
        (&["--compression-format=gzip", "--compression-level=10"], "1 to 9"),
        (&["--format=v2s1"], "take docker's first schema no more"),
        (&["--platform=linux/none"], "no variant for linux/none"),
        (&["--all-tags"], "cannot push all tags to one name"),
    ] {
        sampan(&ground, &[&["push"], words, &[&from_oci, &to]].concat()).fails(1, why);
    }
    sampan(&ground, &["push", &from_oci, "oci:/tmp/x"]).fails(1, "sampan save --format oci-dir");
    assert_eq!(fs::read_dir(ground.dir.join("data/tmp")).unwrap().count(), 0);
}

#[test]
fn an_index_is_changed_with_all_that_it_leads_to() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let native = spec::image::Platform::native().architecture;
    let machines = [native.as_str(), "s390x"];
    let images = machines.map(|machine| publish(&ground, &registry, "m", machine, false));
    let entry = |(image, machine): (&Published, &str)| {
        json!({ "mediaType": media::MANIFEST, "digest": image.digest, "size": image.manifest.len(),
            "platform": { "os": "linux", "architecture": machine } })
    };
    let entries: Vec<Value> = images.iter().zip(machines).map(entry).collect();
    let index =
        json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": entries, "annotations": { "a": "b" } });
    registry.put_manifest("m", "all", media::INDEX, index.to_string().as_bytes());
    let host = registry.host();
    let from = format!("{host}/m:all");
    sampan(&ground, &["pull", "-q", "--platform=linux/s390x", &from]).ok();
    sampan(&ground, &["pull", "-q", &from]).ok();
    let to = format!("{host}/n:zstd");
    sampan(&ground, &["push", "--compression-format=zstd", &from, &to]).ok();
    let made = document(&ground, &to);
    assert_eq!((&made["mediaType"], &made["annotations"]["a"]), (&media::INDEX.into(), &"b".into()));
    assert_eq!(made["manifests"][1]["platform"]["architecture"], "s390x");
    assert_ne!(made["manifests"][0]["digest"], images[0].digest.to_string());
    runs(&to);
    let to = format!("{host}/n:docker");
    sampan(&ground, &["push", "--format=v2s2", &from, &to]).ok();
    let made = document(&ground, &to);
    assert_eq!(made["mediaType"], media::DOCKER_INDEX);
    assert_eq!(made["manifests"][0]["mediaType"], media::DOCKER_MANIFEST);
    runs(&to);
    // One alone is what it was.
    let to = format!("{host}/n:one");
    let digest = sampan(&ground, &["push", "-q", "--platform=linux/s390x", &from, &to]).ok();
    assert_eq!(digest, images[1].digest.to_string());
}

#[test]
fn all_tags_go_at_once() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let (name, file) = (format!("{}/team/a", registry.host()), ground.dir.join("digests"));
    for other in ["team/a:1", "team/a:2", "team/b:1"] {
        sampan(&ground, &["tag", "busybox", &format!("{}/{other}", registry.host())]).ok();
    }
    let flag = format!("--digestfile={}", file.display());
    let out = sampan(&ground, &["push", "-a", &flag, &name]).ok();
    assert_eq!(out.matches("The push refers to repository").count(), 1, "{out}");
    assert!(out.contains("\n1: digest: sha256:") && out.contains("\n2: digest: sha256:"), "{out}");
    let mut tags: Vec<String> = sampan(&ground, &["tags", &name]).ok().lines().map(str::to_owned).collect();
    tags.sort();
    assert_eq!(tags, ["1", "2"]);
    let digests = fs::read_to_string(&file).unwrap();
    assert_eq!(digests.lines().count(), 2);
    let quiet = sampan(&ground, &["push", "-q", &flag, &format!("{name}:1"), &format!("docker://{name}:3")]).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), quiet);
    assert_eq!(digests.lines().next(), Some(quiet.as_str()));
    sampan(&ground, &["push", "-a", &format!("{name}:1")]).fails(1, "the name has one");
    sampan(&ground, &["push", "-a", "nothing"]).fails(1, "the store has none");
}
