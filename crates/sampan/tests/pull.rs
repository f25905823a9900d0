//! Images from registries: fetched, run, interrupted, shared, refused.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, SAMPAN, ran, until};
use registry::{Kind, PASSWORD, Proxy, Published, Registry, Server, USER, layer_of, noise, reply};
use spec::Digest;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    let mut command = ground.command(words);
    // Nothing of who runs the tests.
    command.env("HOME", &ground.dir).env_remove("XDG_RUNTIME_DIR").env_remove("REGISTRY_AUTH_FILE");
    ran(command.output().unwrap())
}

fn run(ground: &Ground, image: &str, script: &str) -> Ran {
    sampan(ground, &["run", "--rm", "--network=none", "--pull=never", image, "sh", "-c", script])
}

/// busybox below, a file of noise and changes of what is below above.
fn busybox(ground: &Ground, registry: &Registry, name: &str, noisy: u64) -> Published {
    let upper = ground.dir.join("upper");
    fs::create_dir_all(upper.join("etc")).unwrap();
    fs::write(upper.join("etc/.wh.group"), "").unwrap();
    fs::write(upper.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    noise(&upper.join("noise"), noisy);
    let layers = [layer_of(&ground.rootfs()), layer_of(&upper)];
    registry.publish(name, "v1", "amd64", &layers, name.contains("docker"))
}

fn entries(ground: &Ground, path: &str) -> usize {
    fs::read_dir(ground.dir.join("data").join(path)).map_or(0, Iterator::count)
}

/// No partial, temporary or half-made thing.
#[track_caller]
fn is_clean(ground: &Ground) {
    assert_eq!(["tmp", "partial", "containers"].map(|path| entries(ground, path)), [0; 3]);
}

fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}

#[test]
fn an_image_is_pulled_and_run() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    for (repository, port) in [("team/oci", registry.port), ("team/docker", registry.port)] {
        let image = busybox(&ground, &registry, repository, 100_000);
        let name = format!("127.0.0.1:{port}/{repository}:v1");
        let out = sampan(&ground, &["pull", &name]).ok();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], format!("v1: Pulling from {repository}"));
        for layer in &image.layers {
            let done = format!("{}: Pull complete", short(layer));
            let there = format!("{}: Already exists", short(layer));
            assert!(lines.contains(&done.as_str()) || lines.contains(&there.as_str()), "{out}");
        }
        let end =
            [format!("Digest: {}", image.digest), format!("Status: Downloaded newer image for {name}"), name.clone()];
        assert_eq!(lines[lines.len() - 3..], end);
        let script = "cat /etc/passwd; test ! -e /etc/group && wc -c </noise";
        assert_eq!(run(&ground, &name, script).ok(), "root:x:0:0::/:/bin/sh\n100000");
        let again = sampan(&ground, &["image", "pull", &name]).ok();
        assert!(again.contains(&format!("Status: Image is up to date for {name}\n")), "{again}");
        assert_eq!(sampan(&ground, &["pull", "-q", &name]).ok(), name);
        let by_digest = format!("127.0.0.1:{port}/{repository}@{}", image.digest);
        assert!(sampan(&ground, &["pull", &by_digest]).ok().ends_with(&by_digest));
        assert_eq!(run(&ground, &by_digest, "echo digest").ok(), "digest");
        sampan(&ground, &["rmi", &name]).ok();
        assert_eq!(run(&ground, &by_digest, "echo still").ok(), "still");
        sampan(&ground, &["rmi", &by_digest]).ok();
        assert_eq!((entries(&ground, "layers"), entries(&ground, "images/blobs/sha256")), (0, 0));
    }
    is_clean(&ground);
}

#[test]
fn run_pulls_as_it_is_told() {
    let (Some(ground), Some(mut registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    busybox(&ground, &registry, "a", 1000);
    let name = format!("{}/a:v1", registry.host());
    let run = |policy: &str| sampan(&ground, &["run", "--rm", "--network=none", policy, &name, "echo", "hi"]);
    run("--pull=never").fails(125, "cannot find image");
    sampan(&ground, &["run", "--explain", "--network=none", &name]).fails(125, "sampan pull");
    let first = run("--pull=missing");
    assert!(
        first.err.starts_with(&format!("Unable to find image '{name}' locally\nv1: Pulling from a\n")),
        "{first:?}"
    );
    assert!(first.err.ends_with(&format!("Status: Downloaded newer image for {name}\n")), "{first:?}");
    assert_eq!(first.ok(), "hi");
    let quiet = run("--pull=missing");
    assert_eq!((quiet.err.as_str(), quiet.code), ("", 0));
    let old = sampan(&ground, &["images", "-q"]).ok();
    busybox(&ground, &registry, "a", 2000);
    assert_eq!(run("--pull=missing").ok(), "hi");
    assert_eq!(sampan(&ground, &["images", "-q"]).ok(), old);
    let newer = run("--pull=newer");
    assert!(newer.err.contains("Downloaded newer image"), "{newer:?}");
    let nameless = ["images", "-q", "--filter=dangling=true"];
    assert_eq!(sampan(&ground, &nameless).ok(), old);
    assert_eq!(sampan(&ground, &["run", "--rm", "--network=none", &old, "echo", "old"]).ok(), "old");
    assert_eq!(entries(&ground, "layers"), 3);
    let pruned = sampan(&ground, &["image", "prune", "-f"]).ok();
    assert!(pruned.starts_with("Deleted Images:\ndeleted: sha256:"), "{pruned}");
    assert_eq!((sampan(&ground, &nameless).ok().as_str(), entries(&ground, "layers")), ("", 2));
    assert!(run("--pull=always").err.contains("Image is up to date"));
    registry.stop();
    run("--pull=always").fails(125, "nothing listens");
    let newer = run("--pull=newer");
    assert!(newer.err.contains("warning: the image that is here is used"), "{newer:?}");
    assert_eq!(newer.ok(), "hi");
    is_clean(&ground);
}

/// Each time a process that pulls is killed; no byte that was written is asked for twice.
#[test]
fn a_killed_pull_goes_on_where_it_was() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let image = busybox(&ground, &registry, "big", 6_000_000);
    let proxy = Proxy::start(registry.port);
    *proxy.pace.lock().unwrap() = Some(4_000_000);
    let name = format!("{}/big:v1", proxy.host());
    let big = image.layers[1];
    let partial = ground.dir.join("data/partial").join(big.hex());
    let mut starts = vec![0];
    for _ in 0..4 {
        let mut command = ground.command(&["pull", &name]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = *starts.last().unwrap();
        let length = || fs::metadata(&partial).map_or(0, |found| found.len());
        until("some of it is here", || length() > before + 300_000);
        child.kill().unwrap();
        child.wait().unwrap();
        // The worker goes with its parent, but not in the same instant.
        let mut last = length();
        until("nothing writes any more", || {
            std::thread::sleep(Duration::from_millis(150));
            std::mem::replace(&mut last, length()) == length()
        });
        starts.push(last);
    }
    *proxy.pace.lock().unwrap() = None;
    sampan(&ground, &["pull", &name]).ok();
    let asked: Vec<u64> = proxy.blobs.lock().unwrap().iter().filter(|b| b.0 == big.to_string()).map(|b| b.1).collect();
    assert_eq!(asked, starts, "each range begins where the file ended");
    assert_eq!(run(&ground, &name, "wc -c </noise").ok(), "6000000");
    is_clean(&ground);
    assert_eq!(entries(&ground, "layers"), 2);
}

#[test]
fn a_dead_network_is_waited_for_and_given_up() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let image = busybox(&ground, &registry, "cut", 3_000_000);
    let proxy = Proxy::start(registry.port);
    let name = format!("{}/cut:v1", proxy.host());
    // It is cut twice within one pull, which does not notice.
    *proxy.budget.lock().unwrap() = Some(1_000_000);
    sampan(&ground, &["pull", &name]).ok();
    for layer in &image.layers {
        let size = fs::metadata(registry.blob(&layer.hex())).unwrap().len();
        assert_eq!(proxy.passed(&layer.to_string()), size, "each byte once");
    }
    sampan(&ground, &["rmi", &name]).ok();
    is_clean(&ground);
}

#[test]
fn several_pulls_do_the_work_once() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let image = busybox(&ground, &registry, "shared", 2_000_000);
    let proxy = Proxy::start(registry.port);
    *proxy.pace.lock().unwrap() = Some(5_000_000);
    let name = format!("{}/shared:v1", proxy.host());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| sampan(&ground, &["pull", &name]).ok());
        }
    });
    for layer in &image.layers {
        let size = fs::metadata(registry.blob(&layer.hex())).unwrap().len();
        assert_eq!(proxy.passed(&layer.to_string()), size);
    }
    assert_eq!(run(&ground, &name, "echo hi").ok(), "hi");
    is_clean(&ground);
}

#[test]
fn the_platform_decides() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let native = spec::image::Platform::native();
    let layers = [layer_of(&ground.rootfs())];
    let ours = registry.publish("multi", "ours", &native.architecture, &layers, false);
    let theirs = registry.publish("multi", "theirs", "s390x", &layers, false);
    let entry = |image: &Published, architecture: &str| {
        serde_json::json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image.digest,
            "size": image.manifest.len(), "platform": { "os": "linux", "architecture": architecture } })
    };
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry(&theirs, "s390x"), entry(&ours, &native.architecture)] });
    let kind = "application/vnd.oci.image.index.v1+json";
    let digest = registry.put_manifest("multi", "all", kind, index.to_string().as_bytes());
    let name = format!("{}/multi:all", registry.host());
    let out = sampan(&ground, &["pull", "--platform=linux/s390x", &name]).ok();
    assert!(out.contains(&format!("Digest: {digest}\n")), "{out}");
    run(&ground, &name, "true").fails(125, "it is for linux/s390x");
    sampan(&ground, &["pull", "--platform=linux/riscv64", &name]).fails(1, "only for linux/s390x, linux/");
    sampan(&ground, &["pull", "--platform=linux/riscv64", &format!("{}/multi:ours", registry.host())])
        .fails(1, "not for linux/riscv64");
    // What is here is for another machine: as good as missing.
    let words = ["run", "--rm", "--network=none", &name, "echo", "hi"];
    assert_eq!(sampan(&ground, &words).ok(), "hi");
    assert_eq!(run(&ground, &name, "echo both").ok(), "both");
    let all = sampan(&ground, &["pull", "-a", &format!("{}/multi", registry.host())]);
    assert!(all.ok().ends_with(&format!("{}/multi", registry.host())));
    assert_eq!(sampan(&ground, &["images", "-q"]).ok().lines().count(), 3);
    sampan(&ground, &["pull", "host"]).fails(1, "this machine itself");
}

#[test]
fn who_asks_and_who_answers_are_checked() {
    let (Some(ground), Some(tls)) = (Ground::new(), Registry::start(Kind::Tls)) else { return };
    let name = format!("{}/a:v1", tls.host());
    sampan(&ground, &["pull", &name]).fails(1, "an authority that this machine does not know");
    let certs = format!("--cert-dir={}", tls.certs().display());
    sampan(&ground, &["pull", &certs, &name]).fails(1, "manifest unknown");
    sampan(&ground, &["pull", "--tls-verify=false", &name]).fails(1, "manifest unknown");
    let Some(locked) = Registry::start(Kind::Password) else { return };
    let name = format!("{}/a:v1", locked.host());
    let wrong = sampan(&ground, &["pull", &name]);
    wrong.fails(1, "no login is kept for it");
    wrong.fails(1, "hint: sampan login");
    let right = format!("--creds={USER}:{PASSWORD}");
    sampan(&ground, &["pull", "--creds=alice:guess", &name]).fails(1, "password is wrong");
    sampan(&ground, &["pull", &right, &name]).fails(1, "manifest unknown");
    sampan(&ground, &["run", &right, "--network=none", &name]).fails(125, "manifest unknown");
    let file = ground.dir.join("auth.json");
    fs::write(&file, format!(r#"{{"auths":{{"{}":{{"auth":"YWxpY2U6c2VjcmV0"}}}}}}"#, locked.host())).unwrap();
    sampan(&ground, &["pull", &format!("--authfile={}", file.display()), &name]).fails(1, "manifest unknown");
    sampan(&ground, &["pull", "a/B"]).fails(1, "lower case");
    sampan(&ground, &["pull", "127.0.0.1:1/a"]).fails(1, "nothing listens");
    sampan(&ground, &["pull", "no-such-host.invalid/a"]).fails(1, "no-such-host.invalid");
    is_clean(&ground);
}

/// A registry of lies: what is stored is what was promised, or nothing.
#[test]
fn a_hostile_registry_leaves_nothing() {
    let Some(ground) = Ground::new() else { return };
    let (tar, blob) = layer_of(&ground.rootfs());
    let config = serde_json::json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&tar)] } });
    let config = config.to_string().into_bytes();
    let (layer, config_digest) = (Digest::of(&blob), Digest::of(&config));
    let bytes = blob.clone();
    let server = Server::start(move |asked, stream| {
        let path = asked.path();
        let manifest = |size: usize, extra: &str| {
            let kind = "application/vnd.oci.image";
            format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"{kind}.config.v1+json","digest":"{config_digest}","size":{}}},
                "layers":[{{"mediaType":"{kind}.layer.v1.tar+gzip","digest":"{layer}","size":{size}{extra}}}]}}"#,
                config.len()
            )
        };
        let mut content = bytes.clone();
        match path {
            "/v2/" => reply(stream, "200 OK", &[], b"{}"),
            "/v2/short/manifests/v1" => reply(stream, "200 OK", &[], manifest(bytes.len() + 10, "").as_bytes()),
            "/v2/long/manifests/v1" => reply(stream, "200 OK", &[], manifest(bytes.len() - 10, "").as_bytes()),
            "/v2/foreign/manifests/v1" => {
                let urls = r#","urls":["http://127.0.0.1/x"]"#;
                reply(stream, "200 OK", &[], manifest(bytes.len(), urls).as_bytes());
            }
            "/v2/artifact/manifests/v1" => {
                let text = manifest(bytes.len(), "").replace("image.config.v1", "other.thing.v1");
                reply(stream, "200 OK", &[], text.as_bytes());
            }
            _ if path.ends_with("/manifests/v1") => reply(stream, "200 OK", &[], manifest(bytes.len(), "").as_bytes()),
            _ if path.ends_with(&config_digest.to_string()) && path.contains("/config/") => {
                reply(stream, "200 OK", &[], &vec![b' '; config.len()]);
            }
            _ if path.ends_with(&config_digest.to_string()) => reply(stream, "200 OK", &[], &config),
            _ if path.contains("/flipped/") => {
                let middle = content.len() / 2;
                content[middle] ^= 1;
                reply(stream, "200 OK", &[], &content);
            }
            _ if path.contains("/garbage/") => reply(stream, "200 OK", &[], &vec![7; content.len()]),
            _ if asked.header("range").is_some() => reply(stream, "416 Range Not Satisfiable", &[], b""),
            _ => reply(stream, "200 OK", &[], &content),
        }
    });
    for (repository, words) in [
        ("flipped", ""),
        ("garbage", ""),
        ("config", "sends something else"),
        ("short", "at most, and the manifest says"),
        ("long", ""),
        ("foreign", "foreign layer"),
        ("artifact", "no image but an artifact"),
    ] {
        let ran = sampan(&ground, &["pull", &format!("{}/{repository}:v1", server.host())]);
        ran.fails(1, words);
        assert!(ran.err.starts_with("error: cannot "), "{ran:?}");
        assert_eq!(sampan(&ground, &["images", "-q"]).ok(), "");
        assert_eq!((entries(&ground, "layers"), entries(&ground, "images/blobs/sha256")), (0, 0), "{repository}");
        assert_eq!(entries(&ground, "tmp"), 0, "{repository}");
        // Only what may still go on is kept.
        assert_eq!(entries(&ground, "partial"), usize::from(repository == "short"), "{repository}");
        let _ = fs::remove_dir_all(ground.dir.join("data/partial"));
    }
    sampan(&ground, &["pull", &format!("{}/honest:v1", server.host())]).ok();
}

#[test]
fn a_full_disk_is_said_and_left_empty() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    busybox(&ground, &registry, "big", 4_000_000);
    let name = format!("{}/big:v1", registry.host());
    let disk = ground.dir.join("disk");
    fs::create_dir(&disk).unwrap();
    let script = "mount -t tmpfs -o size=4m tmpfs $1 && { $2 --root $1/data --state $1/state pull $3; echo $?; \
                  find $1/data/tmp $1/data/partial $1/data/layers -mindepth 1 | grep -v '^'$1/data/layers/; \
                  mount -o remount,size=64m $1; $2 --root $1/data --state $1/state pull -q $3; }";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(&disk).arg(SAMPAN).arg(&name);
    let out = ran(command.output().unwrap());
    assert!(out.err.contains("no space left on device") && out.err.contains("free some space"), "{out:?}");
    let lines: Vec<&str> = out.out.lines().filter(|line| !line.contains(": Pull") && !line.contains(": D")).collect();
    assert_eq!(lines, ["1", &name], "{out:?}");
}

/// Killed at any moment, and again: the store is whole, and the next pull makes a whole image of it.
#[test]
fn kills_at_random_moments_leave_a_whole_store() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    busybox(&ground, &registry, "a", 2_000_000);
    let name = format!("{}/a:v1", registry.host());
    for round in 0..12_u64 {
        let mut command = ground.command(&["pull", &name]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(10 + round * 37 % 400));
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = sampan(&ground, &["images", "-q"]);
        if !listed.ok().is_empty() {
            assert_eq!(run(&ground, &name, "wc -c </noise").ok(), "2000000");
            sampan(&ground, &["rmi", &name]).ok();
        }
    }
    sampan(&ground, &["pull", &name]).ok();
    assert_eq!(run(&ground, &name, "wc -c </noise").ok(), "2000000");
    is_clean(&ground);
    sampan(&ground, &["rmi", &name]).ok();
    assert_eq!((entries(&ground, "layers"), entries(&ground, "images/blobs/sha256")), (0, 0));
}

/// Short names, mirrors and blocked registries, as registries.conf has them.
#[test]
fn the_configuration_of_registries_is_heeded() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    busybox(&ground, &registry, "mirror/tool", 1000);
    let host = registry.host();
    let file = ground.dir.join("registries.conf");
    let text = format!(
        "[[registry]]\nprefix = \"tools.example\"\nlocation = \"dead.invalid\"\n\
         [[registry.mirror]]\nlocation = \"127.0.0.1:1\"\n[[registry.mirror]]\nlocation = \"{host}/mirror\"\n\
         [[registry]]\nlocation = \"bad.example\"\nblocked = true\n\
         [aliases]\n\"tool\" = \"tools.example/tool\"\n"
    );
    fs::write(&file, text).unwrap();
    let call = |words: &[&str]| {
        let mut command = ground.command(words);
        ran(command.env("CONTAINERS_REGISTRIES_CONF", &file).env("HOME", &ground.dir).output().unwrap())
    };
    assert!(call(&["pull", "tool:v1"]).ok().ends_with("\ntools.example/tool:v1"));
    let words = ["run", "--rm", "--network=none", "--pull=never", "tool:v1", "echo", "hi"];
    assert_eq!(call(&words).ok(), "hi");
    call(&["pull", "bad.example/x"]).fails(1, "registries.conf blocks bad.example");
    let missing = call(&["pull", "tools.example/other"]);
    missing.fails(1, "mirror 127.0.0.1:1: ");
    missing.fails(1, "manifest unknown");
    fs::write(&file, "registry = 3").unwrap();
    call(&["pull", "tool:v1"]).fails(1, "registries.conf");
}

#[test]
fn skopeo_reads_the_store_and_umoci_writes_for_it() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    if !registry::has("skopeo") || !registry::has("umoci") {
        return;
    }
    let host = registry.host();
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let layout = ground.dir.join("data/images");
    let copy = |from: &str, to: &str| {
        let off = ["--src-tls-verify=false", "--dest-tls-verify=false", "--insecure-policy"];
        registry::tool("skopeo", &[&["copy", "-q"], &off[..], &[from, to]].concat());
    };
    copy(&format!("oci:{}:docker.io/library/busybox:latest", layout.display()), &format!("docker://{host}/bb:skopeo"));
    let name = format!("{host}/bb:skopeo");
    sampan(&ground, &["pull", &name]).ok();
    assert_eq!(run(&ground, &name, "echo skopeo").ok(), "skopeo");

    // A layer of umoci's upon it, with whiteouts.
    let work = ground.dir.join("umoci");
    copy(&format!("docker://{host}/bb:skopeo"), &format!("oci:{}:base", work.display()));
    let (image, bundle) = (format!("{}:base", work.display()), ground.dir.join("bundle"));
    registry::tool("umoci", &["unpack", "--image", &image, bundle.to_str().unwrap()]);
    fs::remove_file(bundle.join("rootfs/etc/passwd")).unwrap();
    fs::write(bundle.join("rootfs/etc/new"), "by umoci\n").unwrap();
    registry::tool("umoci", &["repack", "--image", &image, bundle.to_str().unwrap()]);
    copy(&format!("oci:{image}"), &format!("docker://{host}/bb:umoci"));
    let name = format!("{host}/bb:umoci");
    sampan(&ground, &["pull", &name]).ok();
    assert_eq!(run(&ground, &name, "cat /etc/new; ls /etc/passwd 2>&1").code, 1);
    assert_eq!(run(&ground, &name, "cat /etc/new; test ! -e /etc/passwd").ok(), "by umoci");
    let read = registry::tool("skopeo", &["inspect", "--raw", &format!("oci:{}:{name}", layout.display())]);
    assert!(read.contains("schemaVersion"), "{read}");
}

/// What is bad is found by its content, and fetched again alone.
#[test]
fn a_damaged_store_is_found_and_mended() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let image = busybox(&ground, &registry, "a", 100_000);
    let proxy = Proxy::start(registry.port);
    let name = format!("{}/a:v1", proxy.host());
    sampan(&ground, &["pull", &name]).ok();
    let check = |words: &[&str]| sampan(&ground, &[&["system", "check"], words].concat());
    assert_eq!(check(&[]).ok(), "1 images, 2 layers: 0 bad");
    let blob = |digest: &Digest| ground.dir.join("data/images/blobs/sha256").join(digest.hex());
    let layers = || fs::read_dir(ground.dir.join("data/layers")).unwrap().flatten().map(|entry| entry.path());
    let upper = layers().find(|layer| layer.join("noise").exists()).unwrap();
    let lower = layers().find(|layer| layer.join("bin").exists()).unwrap();

    // In the layers: content, mode, one file more, one less.
    for damage in ["echo x >>$1/noise", "chmod 4755 $1/noise", "touch $1/new", "rm $1/etc/passwd"] {
        registry::tool("sh", &["-c", damage, "sh", upper.to_str().unwrap()]);
        check(&[]).fails(1, "the store is not whole");
        let mended = check(&["--repair"]).ok();
        assert!(mended.contains("(mended)\n") && mended.ends_with(": 0 bad"), "{damage}: {mended}");
        assert_eq!(check(&[]).ok(), "1 images, 2 layers: 0 bad");
    }
    assert_eq!(proxy.passed(&image.layers[1].to_string()), fs::metadata(blob(&image.layers[1])).unwrap().len());

    // In the blobs: fetched again, that one only.
    let before = proxy.passed(&image.layers[0].to_string());
    fs::write(blob(&image.layers[1]), "spoilt").unwrap();
    let found = check(&[]);
    found.fails(1, "--repair");
    assert!(found.out.contains(&format!("{} has other content", image.layers[1])), "{found:?}");
    assert!(check(&["--repair"]).ok().ends_with(": 0 bad"));
    fs::remove_file(blob(&image.digest)).unwrap();
    assert!(check(&["--repair"]).ok().ends_with(": 0 bad"));
    assert_eq!(proxy.passed(&image.layers[0].to_string()), before);
    fs::remove_dir_all(&lower).unwrap();
    assert!(check(&["--repair"]).ok().contains("it is missing (mended)"));
    assert_eq!(run(&ground, &name, "wc -c </noise").ok(), "100000");
    is_clean(&ground);
}
