//! Lists of images: made here, pushed with all that they lead to, read back by others.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use registry::{Kind, Proxy, Published, Registry, layer_of, noise};
use serde_json::{Value, json};
use spec::Digest;
use spec::image::media;
use std::fs;
use std::sync::atomic::Ordering;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    let mut command = ground.command(words);
    command.env("HOME", &ground.dir).env_remove("XDG_RUNTIME_DIR").env_remove("REGISTRY_AUTH_FILE");
    ran(command.output().unwrap())
}

fn manifest(ground: &Ground, words: &[&str]) -> Ran {
    sampan(ground, &[&["manifest"], words].concat())
}

/// busybox below noise: the upper layer is like no other one.
fn publish(ground: &Ground, registry: &Registry, name: &str, tag: &str, machine: &str) -> Published {
    let upper = ground.dir.join("upper");
    fs::create_dir_all(&upper).unwrap();
    noise(&upper.join("noise"), 100_000);
    registry.publish(name, tag, machine, &[layer_of(&ground.rootfs()), layer_of(&upper)], false)
}

fn index(ground: &Ground, name: &str) -> Value {
    serde_json::from_str(&manifest(ground, &["inspect", name]).ok()).unwrap()
}

fn native() -> String {
    spec::image::Platform::native().architecture
}

/// What a registry has of a name, as another program fetches it.
fn raw(name: &str) -> Option<Vec<u8>> {
    let words = ["inspect", "--tls-verify=false", "--raw", &format!("docker://{name}")];
    registry::has("skopeo").then(|| registry::tool("skopeo", &words).into_bytes())
}

#[test]
fn a_list_is_made_and_pushed() {
    let Some(ground) = Ground::new() else { return };
    let (Some(home), Some(abroad)) = (Registry::start(Kind::Plain), Registry::start(Kind::Plain)) else { return };
    let proxy = Proxy::start(home.port);
    let host = proxy.host();
    let near = publish(&ground, &home, "near", "s390x", "s390x");
    let far = publish(&ground, &abroad, "far", "arm64", "arm64");
    let size = |registry: &Registry, image: &Published| -> u64 {
        let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
        let size = |digest: &Digest| fs::metadata(registry.blob(&digest.hex())).unwrap().len();
        // busybox is the same layer in all of them.
        size(&image.layers[1]) + manifest["config"]["size"].as_u64().unwrap()
    };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();

    assert_eq!(manifest(&ground, &["create", "list"]).ok(), "Created manifest list docker.io/library/list:latest");
    assert_eq!(manifest(&ground, &["exists", "list"]).code, 0);
    assert_eq!(manifest(&ground, &["exists", "other"]).code, 1);
    assert_eq!(index(&ground, "list")["manifests"], json!([]));
    manifest(&ground, &["add", "list", "busybox"]).ok();
    let near_name = format!("{host}/near:s390x");
    let far_name = format!("docker://{}/far:arm64", abroad.host());
    let id = manifest(&ground, &["add", "--annotation=a=b", "--os-version=9", "list", &near_name, &far_name]).ok();
    assert_eq!(id.len(), 64);
    let listed = index(&ground, "list");
    let entries = listed["manifests"].as_array().unwrap();
    let machines: Vec<&str> = entries.iter().map(|entry| entry["platform"]["architecture"].as_str().unwrap()).collect();
    assert_eq!(machines, [&native(), "s390x", "arm64"]);
    assert_eq!(entries[1]["digest"], near.digest.to_string());
    assert_eq!(entries[2]["platform"], json!({ "architecture": "arm64", "os": "linux", "os.version": "9" }));
    assert_eq!(entries[2]["annotations"], json!({ "a": "b" }));
    manifest(&ground, &["annotate", "--variant=v8", "--os-features=x,y", "list", &far_name]).ok();
    manifest(&ground, &["annotate", "--annotation=c=d", "list", &near.digest.to_string()]).ok();
    manifest(&ground, &["annotate", "--index", "--annotation=all=yes", "list"]).ok();
    let listed = index(&ground, "list");
    assert_eq!(listed["manifests"][2]["platform"]["variant"], "v8");
    assert_eq!(listed["manifests"][2]["platform"]["os.features"], json!(["x", "y"]));
    assert_eq!(listed["manifests"][1]["annotations"], json!({ "a": "b", "c": "d" }));
    assert_eq!(listed["annotations"], json!({ "all": "yes" }));
    let one = manifest(&ground, &["inspect", "list", &near_name]).ok();
    assert_eq!(Digest::of(one.as_bytes()), near.digest);

    // What another repository there has is not sent; what another registry has, and the store, is.
    let to = format!("{host}/team/all:1");
    let file = ground.dir.join("digest");
    let out = manifest(&ground, &["push", &format!("--digestfile={}", file.display()), "list", &to]).ok();
    let digest = fs::read_to_string(&file).unwrap();
    assert!(out.ends_with(&format!("\n{digest}")), "{out}");
    assert_eq!(out.matches(": Mounted from another repository").count(), 3, "{out}");
    let own: Value = serde_json::from_str(&manifest(&ground, &["inspect", "list", "busybox"]).ok()).unwrap();
    let own = own["layers"][0]["size"].as_u64().unwrap() + own["config"]["size"].as_u64().unwrap();
    assert_eq!(proxy.uploads.bytes.load(Ordering::Relaxed), own + size(&abroad, &far));
    let again = manifest(&ground, &["push", "-q", "list", &to]).ok();
    assert_eq!(again, digest);
    assert_eq!(proxy.uploads.bytes.load(Ordering::Relaxed), own + size(&abroad, &far));

    let there = index(&ground, &to);
    assert_eq!(there, listed);
    if let Some(raw) = raw(&to) {
        assert_eq!(Digest::of(&raw).to_string(), digest);
        // All of it can be fetched by another program.
        let dir = ground.dir.join("all");
        let copy = ["copy", "-q", "--all", "--insecure-policy", "--src-tls-verify=false"];
        registry::tool(
            "skopeo",
            &[&copy[..], &[&format!("docker://{to}"), &format!("oci:{}", dir.display())]].concat(),
        );
        assert_eq!(fs::read(dir.join("blobs/sha256").join(&digest[7..])).unwrap(), raw);
        assert_eq!(fs::read(dir.join("blobs/sha256").join(far.digest.hex())).unwrap(), far.manifest);
    }
    let other = Ground::new().unwrap();
    let run = ["run", "--rm", "--network=none", &to, "echo", "from the list"];
    assert_eq!(sampan(&other, &run).ok(), "from the list");
    sampan(&other, &["pull", "-q", "--platform=linux/arm64", &to]).ok();
}

#[test]
fn an_index_is_added_by_what_is_meant_of_it() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let machines = [native(), "s390x".to_owned(), "ppc64le".to_owned()];
    let images = machines.each_ref().map(|machine| publish(&ground, &registry, "m", machine, machine));
    let entry = |(image, machine): (&Published, &String)| {
        json!({ "mediaType": media::MANIFEST, "digest": image.digest, "size": image.manifest.len(),
            "platform": { "os": "linux", "architecture": machine } })
    };
    let entries: Vec<Value> = images.iter().zip(&machines).map(entry).collect();
    let whole = json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": entries });
    registry.put_manifest("m", "all", media::INDEX, whole.to_string().as_bytes());
    let name = format!("{}/m:all", registry.host());
    let digests = |list: &str| -> Vec<String> {
        let index = index(&ground, list);
        index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["digest"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = images.each_ref().map(|image| image.digest.to_string());
    manifest(&ground, &["create", "a", &name]).ok();
    assert_eq!(digests("a"), all[..1]);
    manifest(&ground, &["add", "--arch=ppc64le", "a", &name]).ok();
    assert_eq!(digests("a"), [all[0].clone(), all[2].clone()]);
    manifest(&ground, &["add", "--arch=mips", "a", &name]).fails(1, "no variant for linux/mips");
    manifest(&ground, &["create", "--all", "b", &name]).ok();
    assert_eq!(digests("b"), all);
    manifest(&ground, &["annotate", "--arch=x", "b", &name]).fails(1, "several of its images");
    // One that is here in part is asked for where the rest is.
    sampan(&ground, &["pull", "-q", &name]).ok();
    manifest(&ground, &["create", "c", &name]).ok();
    assert_eq!(digests("c"), all[..1]);
    manifest(&ground, &["add", "--all", "c", &name]).ok();
    assert_eq!(digests("c"), all);
    assert_eq!(manifest(&ground, &["remove", "c", &all[1]]).ok(), all[1]);
    assert_eq!(digests("c"), [all[0].clone(), all[2].clone()]);
    let to = format!("{}/n:docker", registry.host());
    manifest(&ground, &["push", "--purge", "--format=v2s2", "c", &to]).ok();
    assert_eq!(manifest(&ground, &["exists", "c"]).code, 1);
    let made = index(&ground, &to);
    assert_eq!(
        (&made["mediaType"], &made["manifests"][1]["mediaType"]),
        (&media::DOCKER_INDEX.into(), &media::DOCKER_MANIFEST.into())
    );
    let run = ["run", "--rm", "--network=none", "--pull=always", &to, "echo", "docker's"];
    assert_eq!(sampan(&ground, &run).ok(), "docker's");
}

/// What a list needs stays while it is there, and no longer.
#[test]
fn a_list_keeps_its_images() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let blobs = || fs::read_dir(ground.dir.join("data/images/blobs/sha256")).unwrap().count();
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let to = format!("{}/kept", registry.host());
    manifest(&ground, &["create", &to, "busybox"]).ok();
    sampan(&ground, &["rmi", "busybox"]).ok();
    assert_eq!(sampan(&ground, &["images", "-q"]).ok(), "");
    sampan(&ground, &["image", "prune", "-af"]).ok();
    assert_eq!(blobs(), 3);
    sampan(&ground, &["system", "check"]).ok();
    manifest(&ground, &["push", &to]).ok();
    manifest(&ground, &["rm", &to]).ok();
    assert_eq!(blobs(), 0);
    let run = ["run", "--rm", "--network=none", &to, "echo", "there"];
    assert_eq!(sampan(&ground, &run).ok(), "there");
}

#[test]
fn what_is_not_there_is_said() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    manifest(&ground, &["create", "list", "busybox"]).ok();
    manifest(&ground, &["create", "list"]).fails(1, "--amend adds to it");
    manifest(&ground, &["create", "--amend", "list", "busybox"]).ok();
    assert_eq!(index(&ground, "list")["manifests"].as_array().unwrap().len(), 1);
    let nothing = format!("{}/nothing", registry.host());
    manifest(&ground, &["create", "other", &nothing]).fails(1, "manifest unknown");
    assert_eq!(manifest(&ground, &["exists", "other"]).code, 1, "a list that failed is not left");
    for (words, why) in [
        (&["add", "list", &nothing][..], "manifest unknown"),
        (&["add", "other", "busybox"], "cannot find the list other"),
        (&["add", "list", "containers-storage:absent"], "cannot find image absent"),
        (&["annotate", "--arch=x", "list", "absent"], "it is not in it"),
        (&["annotate", "--arch=x", "list"], "--index annotates the list itself"),
        (&["annotate", "--index", "--arch=x", "list"], "only images are for a platform"),
        (&["remove", "list", "absent"], "it is not in it"),
        (&["rm", "list", "other"], "cannot find the list other"),
        (&["push", "other"], "cannot find the list other"),
        (&["push", "--all=false", "list"], "only with what it leads to"),
        (&["push", "list", "127.0.0.1:1/x"], "nothing listens"),
        (&["create", "a@sha256:0"], "digest"),
        (&["inspect", "other", "busybox"], "cannot find the list other"),
    ] {
        manifest(&ground, words).fails(1, why);
    }
    assert_eq!(manifest(&ground, &["exists", "list"]).code, 0, "all are removed or none");
}

/// Files of other tools, in all their forms: no name of them is an image's here.
#[test]
fn archives_are_added() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let machines = [native(), "s390x".to_owned()];
    let images = machines.each_ref().map(|machine| publish(&ground, &registry, "m", machine, machine));
    let at = |name: &str| ground.dir.join(name).to_str().unwrap().to_owned();
    let other = Ground::new().unwrap();
    for machine in &machines {
        let name = format!("{}/m:{machine}", registry.host());
        sampan(&other, &["pull", "-q", &format!("--platform=linux/{machine}"), &name]).ok();
        sampan(&other, &["tag", &name, &format!("mine:{machine}")]).ok();
    }
    let [first, second] = machines.each_ref().map(|machine| format!("mine:{machine}"));
    sampan(&other, &["save", "-o", &at("both.tar"), &first, &second]).ok();
    sampan(&other, &["save", "--format=oci-dir", "-o", &at("layout"), &second]).ok();
    manifest(&ground, &["create", "list", &format!("oci-archive:{}:{first}", at("both.tar"))]).ok();
    manifest(&ground, &["add", "list", &format!("oci:{}", at("layout"))]).ok();
    let listed = index(&ground, "list");
    let digests: Vec<&str> =
        listed["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
    assert_eq!(digests, images.each_ref().map(|image| image.digest.to_string()));
    assert_eq!(listed["manifests"][1]["platform"]["architecture"], "s390x");
    assert_eq!(sampan(&ground, &["images", "-aq"]).ok(), "");
    sampan(&ground, &["image", "prune", "-af"]).ok();
    let to = format!("{}/n:1", registry.host());
    manifest(&ground, &["push", "list", &to]).ok();
    assert_eq!(index(&ground, &to), listed);
    manifest(&ground, &["add", "list", &format!("docker-archive:{}:absent", at("both.tar"))])
        .fails(1, "no image of that name");
    manifest(&ground, &["add", "list", &format!("oci:{}", at("absent"))]).fails(1, "absent");
}
