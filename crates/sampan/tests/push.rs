//! Images to registries, logins, names.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use registry::{Kind, PASSWORD, Registry, Server, USER, layer_of, reply};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

fn prepared(ground: &Ground, words: &[&str]) -> Command {
    let mut command = ground.command(words);
    command.env("HOME", &ground.dir).env_remove("XDG_RUNTIME_DIR").env_remove("REGISTRY_AUTH_FILE");
    command.env_remove("DOCKER_CONFIG");
    command
}

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(prepared(ground, words).output().unwrap())
}

fn with_input(ground: &Ground, words: &[&str], input: &str) -> Ran {
    let mut command = prepared(ground, words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that does not want it may be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    ran(child.wait_with_output().unwrap())
}

#[test]
fn what_is_pushed_comes_back() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let host = registry.host();
    let name = format!("{host}/a/b:v1");
    sampan(&ground, &["tag", "busybox", &name]).ok();
    let out = sampan(&ground, &["push", &name]).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], format!("The push refers to repository [{host}/a/b]"));
    assert!(lines.iter().filter(|line| line.ends_with(": Pushed")).count() == 2, "{out}");
    assert!(lines.last().unwrap().starts_with("v1: digest: sha256:"), "{out}");
    let again = sampan(&ground, &["image", "push", &name]).ok();
    assert_eq!(again.matches(": Layer already exists").count(), 2, "{again}");

    let id = sampan(&ground, &["images", "-q", "--no-trunc"]).ok().lines().next().unwrap().to_owned();
    let other = sampan(&ground, &["push", &id, &format!("{host}/c:v2")]).ok();
    assert!(other.contains(": Mounted from another repository"), "{other}");
    let quiet = sampan(&ground, &["push", "-q", "busybox", &format!("{host}/c:v3")]).ok();
    assert_eq!(sampan(&ground, &["tags", &format!("{host}/c")]).ok(), "v2\nv3");
    assert_eq!(sampan(&ground, &["search", "--format={{.Name}}", &format!("{host}/a")]).ok(), format!("{host}/a/b"));
    let manifest = sampan(&ground, &["manifest", "inspect", &name]).ok();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);

    sampan(&ground, &["rmi", "busybox", &name]).ok();
    sampan(&ground, &["pull", &format!("{host}/c@{quiet}")]).ok();
    sampan(&ground, &["pull", &name]).ok();
    let words = ["run", "--rm", "--network=none", "--pull=never", &name, "echo", "back"];
    assert_eq!(sampan(&ground, &words).ok(), "back");
    let inspected = sampan(&ground, &["image", "inspect", &name]).ok();
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!((&inspected[0]["Id"], &inspected[0]["RepoTags"][0]), (&id.as_str().into(), &name.as_str().into()));
    assert_eq!(inspected[0]["RepoDigests"].as_array().unwrap().len(), 2);
    assert_eq!(inspected[0]["Config"]["Cmd"], serde_json::json!(["sh"]));
    if registry::has("skopeo") {
        let words = ["inspect", "--tls-verify=false", &format!("docker://{host}/c:v2")];
        assert!(registry::tool("skopeo", &words).contains("\"Layers\""));
    }
    sampan(&ground, &["push", "absent"]).fails(1, "cannot find image absent");
    sampan(&ground, &["push", &name, "127.0.0.1:1/x"]).fails(1, "nothing listens");
    sampan(&ground, &["image", "inspect", "absent"]).fails(1, "cannot find image absent");
}

#[test]
fn names_come_and_go() {
    let Some(ground) = Ground::new() else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    sampan(&ground, &["tag", "busybox", "mine:1"]).ok();
    sampan(&ground, &["tag", "mine:1", "mine:2"]).ok();
    assert_eq!(sampan(&ground, &["images", "-q"]).ok().lines().count(), 3);
    sampan(&ground, &["tag", "absent", "x"]).fails(1, "cannot find image absent");
    sampan(&ground, &["tag", "busybox", "UPPER"]).fails(1, "lower case");
    sampan(&ground, &["untag", "busybox", "mine:1", "mine:2"]).ok();
    assert_eq!(sampan(&ground, &["images", "-q"]).ok().lines().count(), 1);
    sampan(&ground, &["untag", "busybox", "mine:1"]).fails(1, "mine:1 is no name of it");
}

/// An index of which only one variant is here is pushed as that one; whole, as it is.
#[test]
fn an_index_is_pushed_as_far_as_it_is_here() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let native = spec::image::Platform::native().architecture;
    let layers = [layer_of(&ground.rootfs())];
    let publish =
        |machine: &'static str, name: &str| (registry.publish("m", machine, name, &layers, false), name.to_owned());
    let images = [publish("ours", &native), publish("theirs", "s390x")];
    let entries = images.each_ref().map(|(image, machine)| {
        serde_json::json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image.digest,
            "size": image.manifest.len(), "platform": { "os": "linux", "architecture": machine } })
    });
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries }).to_string();
    let whole = registry.put_manifest("m", "all", kind, index.as_bytes());
    let host = registry.host();
    let (from, to) = (format!("{host}/m:all"), format!("{host}/n:all"));
    sampan(&ground, &["pull", &from]).ok();
    assert_eq!(sampan(&ground, &["push", "-q", &from, &to]).ok(), images[0].0.digest.to_string());
    sampan(&ground, &["pull", "--platform=linux/s390x", &from]).ok();
    assert_eq!(sampan(&ground, &["push", "-q", &from, &to]).ok(), whole.to_string());
    assert_eq!(sampan(&ground, &["manifest", "inspect", &to]).ok(), index);
}

#[test]
fn a_login_is_checked_and_kept() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Password)) else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let host = registry.host();
    let name = format!("{host}/a:v1");
    sampan(&ground, &["push", "busybox", &name]).fails(1, "no login is kept for it");
    let file = ground.dir.join(".docker/config.json");
    let login = ["login", "--username", USER, "--password-stdin", &host];
    let wrong = with_input(&ground, &login, "guess");
    wrong.fails(1, "password is wrong");
    assert!(!file.exists() && !wrong.err.contains("guess"));
    sampan(&ground, &["login", &host]).fails(1, "the input is no terminal");
    sampan(&ground, &["login", "--password-stdin", &host]).fails(1, "add --username");
    sampan(&ground, &["login", "no host"]).fails(1, "no host of a registry");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, r#"{"others":{"kept":true}}"#).unwrap();
    let right = with_input(&ground, &login, &format!("{PASSWORD}\n"));
    assert!(right.err.contains("not encrypted"), "{right:?}");
    assert_eq!(right.ok(), "Login Succeeded");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&file).unwrap().contains("\"kept\": true"));
    assert_eq!(sampan(&ground, &["login", "--get-login", &host]).ok(), USER);
    assert_eq!(sampan(&ground, &["login", &host]).ok(), "Login Succeeded");
    sampan(&ground, &["push", "busybox", &name]).ok();
    sampan(&ground, &["pull", &name]).ok();
    if registry::has("skopeo") {
        // The form is theirs, too.
        let words =
            ["inspect", "--tls-verify=false", "--authfile", file.to_str().unwrap(), &format!("docker://{name}")];
        registry::tool("skopeo", &words);
    }
    assert_eq!(sampan(&ground, &["logout", &host]).ok(), format!("Removing login credentials for {host}"));
    assert_eq!(sampan(&ground, &["logout", &host]).ok(), format!("Not logged in to {host}"));
    sampan(&ground, &["pull", &name]).fails(1, "no login is kept for it");
}

/// A program that keeps the secret, in docker's protocol.
#[test]
fn a_helper_keeps_the_login() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Password)) else { return };
    let (host, bin) = (registry.host(), ground.dir.join("bin"));
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nf={}/kept\ncase $1 in store) cat >$f;; erase) rm $f;;\n\
         get) test -e $f && cat $f || {{ echo credentials not found in native keychain; exit 1; }};; esac\n",
        ground.dir.display()
    );
    let helper = bin.join("docker-credential-test");
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let file = ground.dir.join("auth.json");
    fs::write(&file, format!(r#"{{"credHelpers":{{"{host}":"test"}}}}"#)).unwrap();
    let call = |words: &[&str]| {
        let mut command = prepared(&ground, words);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        ran(command.env("PATH", path).env("REGISTRY_AUTH_FILE", &file).output().unwrap())
    };
    call(&["tags", &format!("{host}/a")]).fails(1, "no login is kept for it");
    let login = call(&["login", "-u", USER, "-p", PASSWORD, &host]);
    assert!(login.err.contains("seen by all") && !login.err.contains("encrypted"), "{login:?}");
    login.ok();
    assert!(fs::read_to_string(ground.dir.join("kept")).unwrap().contains(PASSWORD));
    assert!(!fs::read_to_string(&file).unwrap().contains("auth\""));
    call(&["tags", &format!("{host}/a")]).fails(1, "no such repository");
    call(&["logout", &host]).ok();
    call(&["tags", &format!("{host}/a")]).fails(1, "no login is kept for it");
    fs::remove_file(&helper).unwrap();
    call(&["tags", &format!("{host}/a")]).fails(1, "docker-credential-test");
}

/// A registry that forgets the upload, refuses the manifest, or stores something else.
#[test]
fn a_registry_that_does_not_keep_is_found_out() {
    let Some(ground) = Ground::new() else { return };
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    let server = Server::start(|asked, stream| {
        let (line, path) = (asked.line.as_str(), asked.path());
        let forward = [("Location", "/v2/x/blobs/uploads/1")];
        match path {
            "/v2/" => reply(stream, "200 OK", &[], b"{}"),
            _ if line.starts_with("HEAD") => reply(stream, "404 Not Found", &[], b""),
            _ if path.starts_with("/v2/lost/blobs/uploads/") => reply(stream, "202 Accepted", &[], b""),
            _ if line.starts_with("POST") => reply(stream, "202 Accepted", &forward, b""),
            "/v2/other/manifests/v1" => {
                let digest = spec::Digest::of(b"other").to_string();
                drain(stream);
                reply(stream, "201 Created", &[("Docker-Content-Digest", &digest)], b"");
            }
            "/v2/no/manifests/v1" => {
                drain(stream);
                let body = br#"{"errors":[{"code":"MANIFEST_INVALID","message":"not today"}]}"#;
                reply(stream, "400 Bad Request", &[], body);
            }
            _ => {
                drain(stream);
                reply(stream, "201 Created", &[], b"");
            }
        }
    });
    let push = |name: &str| sampan(&ground, &["push", "busybox", &format!("{}/{name}:v1", server.host())]);
    push("lost").fails(1, "does not say where the upload goes on");
    push("other").fails(1, "the registry has stored sha256:");
    push("no").fails(1, "not today");
}

/// The body of a request, so that the client is not cut off while it writes.
fn drain(stream: &mut std::net::TcpStream) {
    use std::io::Read as _;
    stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let mut buffer = [0; 1 << 16];
    while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
}
