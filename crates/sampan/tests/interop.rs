//! Images that buildah, podman, docker, skopeo and umoci have written, run here; ours, read back by all of them.
//!
//! Each engine works in a room of its own, with a registry in it.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::room::{DOCKER, Room};
use ground::{Ran, SAMPAN, until};
use serde_json::Value;
use spec::Digest;
use std::fs;

/// A tree with what is easily lost, in two steps: the second changes, removes and hides what the first has.
const FIRST: &str = "set -e; mkdir -p $0/data/sub/deep $0/data/empty $0/data/hidden; cd $0/data
    echo one >plain; ln plain hard; ln -s ../data/plain soft; ln -s /nowhere dangling; echo s >setuid; chown 12:34 setuid
    chmod 6755 setuid; chmod 1777 empty; echo old >changed; echo gone >removed; echo a >hidden/a; echo d >sub/deep/d
    long=$(printf 'l%.0s' $(seq 200)); echo long >$long; mkdir $long.d; echo long >$long.d/$long; echo u >'n\u{e4}me with blank'
    mkfifo pipe; chown 100000:100000 sub/deep; head -c 300000 /dev/urandom >noise; chmod 000 sub/deep/d";
const SECOND: &str = "set -e; cd $0/data; echo new >changed; rm removed; rm -r hidden; mkdir hidden; echo b >hidden/b
    rm soft; mkdir soft; echo dir >soft/file; chown 7:8 changed";

/// Names, kinds, modes, owners, links and content below the working directory, by busybox wherever that is.
const TREE: &str = "busybox find . | busybox sort | while read -r f; do test -d \"$f\" && busybox stat -c '%n %f %u:%g' \"$f\" \
    || busybox stat -c '%N %f %u:%g %s %h' \"$f\"; done; busybox find . -type f | busybox sort | while read -r f; do busybox md5sum \"$f\"; done";

struct Work {
    room: Room,
    host: String,
}

impl Work {
    /// None, with a line that says why, where the programs are not there.
    fn new(name: &str, programs: &[&str]) -> Option<Self> {
        let mut room = Room::new(name, &[programs, &["docker-registry", "skopeo"]].concat())?;
        let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
        room.file("policy.json", policy, None);
        room.file(
            "containers.conf",
            "[engine]\nevents_logger = \"file\"\ncgroup_manager = \"cgroupfs\"\n",
            Some("CONTAINERS_CONF"),
        );
        let stores = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = {:?}\nrunroot = {:?}\n",
            room.at("home/root"),
            room.at("home/runroot")
        );
        room.file("storage.conf", &stores, Some("CONTAINERS_STORAGE_CONF"));
        room.file("registries.conf", "", Some("CONTAINERS_REGISTRIES_CONF"));
        let config = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:5000'}}\n",
            room.at("registry")
        );
        room.file("registry.yml", &config, None);
        room.run(&["ip", "link", "set", "lo", "up"]).ok();
        drop(room.daemon(&["docker-registry", "serve", &room.at("registry.yml")], "registry.log"));
        until("the registry answers", || room.run(&["busybox", "wget", "-qO-", "http://127.0.0.1:5000/v2/"]).code == 0);
        let work = Self { room, host: "127.0.0.1:5000".to_owned() };
        work.sh(FIRST, "rootfs").ok();
        Some(work)
    }

    /// A script over a directory of the ground.
    fn sh(&self, script: &str, dir: &str) -> Ran {
        self.room.run(&["sh", "-c", script, &self.room.at(dir)])
    }

    fn sampan(&self, words: &[&str]) -> Ran {
        let (data, state) = (self.room.at("data"), self.room.at("state"));
        self.room.run(&[&[SAMPAN, "--root", &data, "--state", &state], words].concat())
    }

    /// The tree as a container of the image sees it.
    #[track_caller]
    fn inside(&self, image: &str) -> String {
        let words = ["run", "--rm", "--network=none", "--pull=never", "--entrypoint=", "-u", "0", "-w", "/data", image];
        self.sampan(&[&words[..], &["/bin/busybox", "sh", "-c", TREE]].concat()).ok()
    }

    fn tree(&self, dir: &str) -> String {
        self.room.run(&["sh", "-c", &format!("cd $0 && {TREE}"), dir]).ok()
    }

    /// It comes, is what it was, and goes.
    #[track_caller]
    fn comes(&self, words: &[&str], tree: &str) {
        let out = self.sampan(words).ok();
        let name = out.lines().last().unwrap().trim_start_matches("Loaded image: ").to_owned();
        assert_eq!(self.inside(&name), tree, "{words:?}");
        self.sampan(&["rmi", "-f", &name]).ok();
    }

    fn at(&self, path: &str) -> String {
        self.room.at(path)
    }

    fn registry(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// A file of an OCI layout, whose name is its digest.
    fn blobs(&self, layout: &str) -> Vec<(String, Vec<u8>)> {
        let dir = fs::read_dir(format!("{layout}/blobs/sha256")).unwrap().flatten();
        let mut all: Vec<_> =
            dir.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect();
        all.sort();
        assert!(all.iter().all(|(name, bytes)| Digest::of(bytes).hex() == *name), "{layout}");
        all
    }

    /// An image of ours in two layers, both steps in it, and its tree.
    fn own(&self) -> (String, String) {
        let tar = self.at("first.tar");
        self.room.run(&["tar", "-C", &self.at("rootfs"), "--numeric-owner", "-cf", &tar, "."]).ok();
        let changes = ["-c", "CMD [\"sh\"]", "-c", "ENV PATH=/bin A=b", "-c", "LABEL l=m"];
        self.sampan(&[&["import", "-q"], &changes[..], &[&tar, "first:1"]].concat()).ok();
        let words = ["run", "--name=two", "--network=none", "-u", "0", "first:1", "sh", "-c", SECOND, ""];
        self.sampan(&words).ok();
        self.sampan(&["commit", "-q", "two", "ours:2"]).ok();
        self.sampan(&["rm", "two"]).ok();
        self.sh(SECOND, "rootfs").ok();
        let tree = self.tree(&self.at("rootfs/data"));
        assert_eq!(self.inside("ours:2"), tree);
        ("ours:2".to_owned(), tree)
    }
}

/// What a configuration says, run: the same for whoever wrote it.
#[track_caller]
fn runs_as_it_says(work: &Work, image: &str) {
    let run = |flags: &[&str], words: &[&str]| {
        work.sampan(&[&["run", "--rm", "--network=none", "--pull=never"], flags, &[image], words].concat()).ok()
    };
    assert_eq!(run(&[], &[]), "/data/sub\n1000\n1001\nb c");
    assert_eq!(run(&["--entrypoint=/bin/sh", "-e", "A=x", "-w", "/", "-u", "0:0"], &["-c", REPORT]), "/\n0\n0\nx");
    assert_eq!(run(&[], &["echo only the command is another"]), "only the command is another");
    let config = work.sampan(&["image", "inspect", image]).ok();
    let config: Value = serde_json::from_str(&config).unwrap();
    let config = &config[0]["Config"];
    assert_eq!((&config["StopSignal"], &config["Labels"]["key"]), (&"SIGUSR1".into(), &"value".into()));
    assert!(config["ExposedPorts"]["8080/tcp"].is_object() && config["Volumes"]["/volume"].is_object(), "{config}");
}

const REPORT: &str = "pwd; id -u; id -g; echo $A";

#[test]
fn what_buildah_writes_runs_and_ours_it_reads() {
    let Some(work) = Work::new("interop-buildah", &["buildah", "tar"]) else { return };
    let (policy, rootfs) = (work.at("policy.json"), work.at("rootfs"));
    let buildah = |words: &[&str]| {
        let ran = work.room.run(&[&["buildah", "--log-level=error"], words].concat());
        ran.ok().lines().last().unwrap_or_default().to_owned()
    };
    let container = buildah(&["from", "scratch"]);
    buildah(&["copy", "-q", &container, &rootfs, "/"]);
    // It splits the command into words as a shell does.
    let (entrypoint, command) = ("--entrypoint=[\"/bin/sh\",\"-c\"]", format!("'{REPORT}'"));
    let configuration = [
        entrypoint,
        "--cmd",
        &command,
        "--env",
        "A=b c",
        "--env",
        "PATH=/bin",
        "--user",
        "app",
        "--workingdir",
        "/data/sub",
        "--label",
        "key=value",
        "--port",
        "8080/tcp",
        "--volume",
        "/volume",
        "--stop-signal",
        "SIGUSR1",
    ];
    buildah(&[&["config"], &configuration[..], &[&container]].concat());
    let mounted = buildah(&["mount", &container]);
    let tree = work.tree(&format!("{mounted}/data"));
    for format in ["oci", "docker"] {
        let name = format!("localhost/first:{format}");
        buildah(&["commit", "-q", "--signature-policy", &policy, "--format", format, &container, &name]);
        // A second layer over it.
        let upper = buildah(&["from", "--pull-never", "--signature-policy", &policy, &name]);
        let mounted = buildah(&["mount", &upper]);
        work.room.run(&["sh", "-c", SECOND, &mounted]).ok();
        let second = work.tree(&format!("{mounted}/data"));
        let two = format!("localhost/second:{format}");
        buildah(&["commit", "-q", "--signature-policy", &policy, "--format", format, &upper, &two]);
        for (name, tree) in [(&name, &tree), (&two, &second)] {
            let push = |to: &str, more: &[&str]| {
                let flags = ["push", "-q", "--signature-policy", &policy, "--tls-verify=false"];
                buildah(&[&flags[..], more, &[name, to]].concat());
            };
            let (file, dir) = (work.at("file.tar"), work.at("dir"));
            let _ = (fs::remove_file(&file), fs::remove_dir_all(&dir));
            push(&format!("docker-archive:{file}:theirs:1"), &[]);
            work.comes(&["load", "-i", &file], tree);
            fs::remove_file(&file).unwrap();
            push(&format!("oci-archive:{file}:theirs:2"), &[]);
            work.comes(&["load", "-i", &file], tree);
            push(&format!("oci:{dir}:theirs:3"), &[]);
            work.comes(&["load", "-i", &dir], tree);
            let there = work.registry("theirs/image:1");
            push(&format!("docker://{there}"), &["--format", if format == "oci" { "oci" } else { "v2s2" }]);
            work.comes(&["pull", "-q", &there], tree);
        }
    }
    let there = work.registry("theirs/image:1");
    work.sampan(&["pull", "-q", &there]).ok();
    runs_as_it_says(&work, &there);

    let (ours, tree) = work.own();
    let (dir, there) = (work.at("ours"), work.registry("ours:2"));
    work.sampan(&["save", "--format=oci-dir", "-o", &dir, &ours]).ok();
    work.sampan(&["push", "-q", "--compression-format=zstd", &ours, &there]).ok();
    let name = format!("oci:{dir}:docker.io/library/ours:2");
    for from in [name, format!("docker://{there}")] {
        let container = buildah(&["from", "-q", "--signature-policy", &policy, "--tls-verify=false", &from]);
        let mounted = buildah(&["mount", &container]);
        assert_eq!(work.tree(&format!("{mounted}/data")), tree, "{from}");
    }
}

#[test]
fn what_podman_writes_runs_and_ours_it_reads() {
    let Some(work) = Work::new("interop-podman", &["podman", "tar"]) else { return };
    let (policy, rootfs, tmp) = (work.at("policy.json"), work.at("rootfs"), work.at("home/tmp"));
    let podman = |words: &[&str]| {
        let ran = work.room.run(&[&["podman", "--tmpdir", &tmp, "--log-level=error"], words].concat());
        ran.ok().lines().last().unwrap_or_default().to_owned()
    };
    let file = format!(
        "FROM scratch\nADD first.tar /\nENV A=\"b c\" PATH=/bin\nUSER app\nWORKDIR /data/sub\nLABEL key=value\nEXPOSE 8080\n\
         VOLUME /volume\nSTOPSIGNAL SIGUSR1\nENTRYPOINT [\"/bin/sh\", \"-c\"]\nCMD [\"{REPORT}\"]\n"
    );
    fs::write(work.at("Containerfile"), file).unwrap();
    work.room.run(&["tar", "-C", &rootfs, "--numeric-owner", "-cf", &work.at("first.tar"), "."]).ok();
    let tree = work.tree(&format!("{rootfs}/data"));
    let build = |format: &str, name: &str| {
        let flags =
            ["build", "-q", "--signature-policy", &policy, "--isolation=chroot", "--format", format, "-t", name];
        podman(&[&flags[..], &["-f", &work.at("Containerfile"), &work.at("")]].concat());
    };
    for format in ["oci", "docker"] {
        let name = format!("localhost/theirs:{format}");
        build(format, &name);
        for form in ["docker-archive", "oci-archive", "oci-dir"] {
            let to = work.at(&format!("{format}-{form}"));
            podman(&["save", "-q", "--format", form, "-o", &to, &name]);
            work.comes(&["load", "-i", &to], &tree);
        }
        let there = work.registry("theirs/image:1");
        let mut pushes = vec![vec!["--format=v2s2"], vec!["--format=oci"]];
        if format == "oci" {
            pushes.push(vec!["--format=oci", "--compression-format=zstd"]);
        }
        for more in pushes {
            let flags = ["push", "-q", "--signature-policy", &policy, "--tls-verify=false"];
            podman(&[&flags[..], &more, &[&name, &format!("docker://{there}")]].concat());
            work.comes(&["pull", "-q", &there], &tree);
        }
        work.sampan(&["pull", "-q", &there]).ok();
        runs_as_it_says(&work, &there);
    }
    // Several at once.
    let all = work.at("all.tar");
    podman(&["save", "-q", "-m", "-o", &all, "localhost/theirs:oci", "localhost/theirs:docker"]);
    assert_eq!(work.sampan(&["load", "-i", &all]).ok().lines().count(), 2);

    let (ours, tree) = work.own();
    let id = work.sampan(&["image", "inspect", "--format={{.Id}}", &ours]).ok().replace("sha256:", "");
    let (file, there) = (work.at("ours.tar"), work.registry("ours:2"));
    let digest = work.sampan(&["push", "-q", &ours, &there]).ok();
    work.sampan(&["save", "-o", &file, &ours]).ok();
    podman(&["load", "-q", "--signature-policy", &policy, "-i", &file]);
    let id_of = |name: &str| podman(&["image", "inspect", "--format={{.Id}}", name]);
    assert_eq!(id_of("docker.io/library/ours:2"), id);
    podman(&["rmi", "-f", "docker.io/library/ours:2"]);
    podman(&["pull", "-q", "--signature-policy", &policy, "--tls-verify=false", &there]);
    assert_eq!(id_of(&there), id);
    assert_eq!(podman(&["image", "inspect", "--format={{.Digest}}", &there]), digest);
    let mounted = podman(&["image", "mount", &there]);
    assert_eq!(work.tree(&format!("{mounted}/data")), tree);
}

/// A docker of the room's, without networks and containers.
#[test]
fn what_docker_writes_runs_and_ours_it_reads() {
    let Some(work) = Work::new("interop-docker", &["dockerd", "docker", "containerd", "tar"]) else { return };
    let mut daemon = work.room.dockerd(&[]);
    let docker = |words: &[&str]| {
        let call = ["env", "DOCKER_BUILDKIT=0", "docker", "--host", DOCKER];
        work.room.run(&[&call[..], words].concat())
    };
    let tar = work.at("first.tar");
    work.room.run(&["tar", "-C", &work.at("rootfs"), "--numeric-owner", "-cf", &tar, "."]).ok();
    let tree = work.tree(&work.at("rootfs/data"));
    let changes = [
        "ENV A=\"b c\" PATH=/bin",
        "USER app",
        "WORKDIR /data/sub",
        "LABEL key=value",
        "EXPOSE 8080",
        "VOLUME /volume",
        "STOPSIGNAL SIGUSR1",
        "ENTRYPOINT [\"/bin/sh\", \"-c\"]",
        &format!("CMD [\"{REPORT}\"]"),
    ];
    // Not `docker import -c`, which knows no STOPSIGNAL: built, with a layer below and one above.
    let build = work.at("build");
    fs::create_dir(&build).unwrap();
    fs::copy(&tar, format!("{build}/first.tar")).unwrap();
    fs::write(format!("{build}/Dockerfile"), format!("FROM scratch\nADD first.tar /\n{}\n", changes.join("\n")))
        .unwrap();
    let there = work.registry("theirs/image:1");
    docker(&["build", "-q", "-t", "theirs:1", "-t", &there, &build]).ok();
    let saved = work.at("saved.tar");
    docker(&["save", "-o", &saved, "theirs:1"]).ok();
    work.comes(&["load", "-i", &saved], &tree);
    docker(&["push", "-q", &there]).ok();
    work.comes(&["pull", "-q", &there], &tree);
    work.sampan(&["pull", "-q", &there]).ok();
    runs_as_it_says(&work, &there);

    let (ours, tree) = work.own();
    let id = work.sampan(&["image", "inspect", "--format={{.Id}}", &ours]).ok();
    let (file, there) = (work.at("ours.tar"), work.registry("ours:2"));
    work.sampan(&["save", "-o", &file, &ours]).ok();
    assert_eq!(docker(&["load", "-q", "-i", &file]).ok(), "Loaded image: ours:2");
    assert_eq!(docker(&["image", "inspect", "--format={{.Id}}", "ours:2"]).ok(), id);
    // Its tree, as docker sees it: the container is made and not started.
    docker(&["create", "--name=seen", "--network=none", "ours:2"]).ok();
    docker(&["export", "-o", &work.at("seen.tar"), "seen"]).ok();
    work.room.run(&["mkdir", &work.at("seen")]).ok();
    work.room.run(&["tar", "-C", &work.at("seen"), "--numeric-owner", "-xpf", &work.at("seen.tar")]).ok();
    assert_eq!(work.tree(&work.at("seen/data")), tree);
    docker(&["rm", "seen"]).ok();
    docker(&["rmi", "ours:2"]).ok();
    for more in [&["--format=v2s2"][..], &["--format=oci"]] {
        let digest = work.sampan(&[&["push", "-q"], more, &[&ours, &there]].concat()).ok();
        docker(&["pull", "-q", &there]).ok();
        assert_eq!(
            docker(&["image", "inspect", "--format={{.Id}} {{index .RepoDigests 0}}", &there]).ok(),
            format!("{id} {}@{digest}", work.registry("ours"))
        );
        docker(&["rmi", &there]).ok();
    }
    work.room.run(&["sh", "-c", "kill $(cat /run/docker.pid)"]).ok();
    let _ = daemon.wait();
}

/// Byte for byte: what is copied out of a registry is what lay in the store.
#[test]
fn skopeo_and_umoci_read_ours_and_write_for_us() {
    let Some(work) = Work::new("interop-skopeo", &["umoci", "tar"]) else { return };
    let (ours, tree) = work.own();
    let there = work.registry("ours:2");
    let digest = work.sampan(&["push", "-q", &ours, &there]).ok();
    let skopeo = |from: &str, to: &str| {
        let flags = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"];
        work.room.run(&[&flags[..], &["--preserve-digests", from, to]].concat()).ok();
    };
    let [layout, saved, copied, again] = ["layout", "saved", "copied", "again"].map(|name| work.at(name));
    work.sampan(&["save", "--format=oci-dir", "-o", &saved, &ours]).ok();
    skopeo(&format!("docker://{there}"), &format!("oci:{layout}:x"));
    skopeo(&format!("oci:{saved}:docker.io/library/ours:2"), &format!("oci:{copied}:x"));
    skopeo(&format!("oci:{}:docker.io/library/ours:2", work.at("data/images")), &format!("oci:{again}:x"));
    let blobs = work.blobs(&layout);
    assert_eq!(blobs.len(), 4);
    assert!(blobs.iter().any(|(name, _)| digest.ends_with(name)));
    assert_eq!(blobs, work.blobs(&saved));
    assert_eq!(blobs, work.blobs(&copied));
    assert_eq!(blobs, work.blobs(&again));
    // Back from skopeo's own forms, into a store that has nothing of it.
    work.sampan(&["rmi", "-f", &ours, "first:1"]).ok();
    skopeo(&format!("oci:{layout}:x"), &format!("docker://{}", work.registry("back:1")));
    work.comes(&["pull", "-q", &work.registry("back:1")], &tree);
    let file = work.at("skopeo.tar");
    skopeo(&format!("oci:{layout}:x"), &format!("oci-archive:{file}:theirs:1"));
    work.comes(&["load", "-i", &file], &tree);

    let umoci = |words: &[&str]| work.room.run(&[&["umoci"], words].concat()).ok();
    let (image, bundle) = (format!("{layout}:x"), work.at("bundle"));
    umoci(&["unpack", "--image", &image, &bundle]);
    assert_eq!(work.tree(&format!("{bundle}/rootfs/data")), tree);
    fs::write(format!("{bundle}/rootfs/data/by umoci"), "x").unwrap();
    fs::remove_file(format!("{bundle}/rootfs/data/hard")).unwrap();
    umoci(&["repack", "--image", &image, &bundle]);
    umoci(&[
        "config",
        "--image",
        &image,
        "--config.user",
        "app",
        "--config.workingdir",
        "/data/sub",
        "--config.cmd",
        "pwd",
    ]);
    let tree = work.tree(&format!("{bundle}/rootfs/data"));
    // Its index has the name as umoci writes it.
    assert_eq!(work.sampan(&["load", "-i", &layout]).ok(), "Loaded image: x:latest");
    assert_eq!(work.inside("x"), tree);
    assert_eq!(work.sampan(&["run", "--rm", "--network=none", "x"]).ok(), "/data/sub");
}
