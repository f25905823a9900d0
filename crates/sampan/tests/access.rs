//! The ways to registries: proxies, certificates, logins of all kinds, headers; and registries that are slow or busy.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use registry::{Asked, Kind, PASSWORD, Registry, Server, USER, layer_of, reply};
use serde_json::{Value, json};
use spec::Digest;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const VARIABLES: [&str; 12] = [
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "REGISTRY_AUTH_FILE",
    "DOCKER_CONFIG",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "NO_PROXY",
    "no_proxy",
];

fn with(ground: &Ground, variables: &[(&str, &str)], words: &[&str]) -> Ran {
    let mut command = ground.command(words);
    VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
    command.env("HOME", &ground.dir).env("CONTAINERS_REGISTRIES_CONF", ground.dir.join("none"));
    ran(command.envs(variables.iter().copied()).output().unwrap())
}

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    with(ground, &[], words)
}

/// A proxy that leads to one port, whatever it is asked for; what it was asked for.
fn tunnel(to: u16, answer: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let log = asked.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let log = log.clone();
            std::thread::spawn(move || _ = pass(client, to, answer, &log));
        }
    });
    (port, asked)
}

fn pass(mut client: TcpStream, to: u16, answer: &str, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    log.lock().unwrap().push(head);
    client.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes())?;
    if !answer.starts_with("200") {
        return Ok(());
    }
    let server = TcpStream::connect(("127.0.0.1", to))?;
    let (mut up, mut down) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut &server, &mut down);
        let _ = down.shutdown(std::net::Shutdown::Write);
    });
    std::io::copy(&mut reader, &mut up)?;
    up.shutdown(std::net::Shutdown::Write)
}

#[test]
fn proxies_of_the_environment_are_used() {
    let (Some(ground), Some(plain), Some(tls)) =
        (Ground::new(), Registry::start(Kind::Plain), Registry::start(Kind::Tls))
    else {
        return;
    };
    let machine = spec::image::Platform::native().architecture;
    plain.publish("a", "v1", &machine, &[layer_of(&ground.rootfs())], false);
    let (port, asked) = tunnel(plain.port, "200 Connected");
    // The name is the proxy's to know.
    let name = "far.invalid:5000/a:v1";
    let http = [("HTTP_PROXY", &*format!("http://me:p%40ss@127.0.0.1:{port}"))];
    assert_eq!(with(&ground, &http, &["pull", "-q", "--tls-verify=false", name]).ok(), name);
    let head = asked.lock().unwrap()[0].clone();
    assert!(head.starts_with("CONNECT far.invalid:5000 "), "{head}");
    assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic "), "{head}");
    let before = asked.lock().unwrap().len();
    let without = [http[0], ("NO_PROXY", "other.example, far.invalid")];
    with(&ground, &without, &["pull", "--tls-verify=false", name]).fails(1, "there is no host of the name far.invalid");
    // This machine itself needs none.
    let near = format!("{}/a:v1", plain.host());
    assert_eq!(with(&ground, &http, &["pull", "-q", &near]).ok(), near);
    assert_eq!(asked.lock().unwrap().len(), before);

    let (port, asked) = tunnel(tls.port, "200 OK");
    let https = [("https_proxy", &*format!("127.0.0.1:{port}"))];
    let words = ["tags", "--tls-verify=false", "far.invalid/none"];
    with(&ground, &https, &words).fails(1, "no such repository");
    assert!(asked.lock().unwrap()[0].starts_with("CONNECT far.invalid:443 "));
    let (port, _) = tunnel(0, "403 Forbidden");
    let refuses = [("HTTPS_PROXY", &*format!("127.0.0.1:{port}"))];
    let refused = with(&ground, &refuses, &["tags", "far.invalid/none"]);
    refused.fails(1, &format!("by the proxy 127.0.0.1:{port}"));
    refused.fails(1, "HTTPS_PROXY, HTTP_PROXY and NO_PROXY");
    with(&ground, &[("HTTPS_PROXY", "socks5://127.0.0.1:1")], &["tags", "far.invalid/x"])
        .fails(1, "SOCKS is not spoken");
}

#[test]
fn a_client_shows_its_certificate() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Mutual)) else { return };
    let (certs, name) = (registry.certs(), format!("{}/a", registry.host()));
    let flag = format!("--cert-dir={}", certs.display());
    let without = sampan(&ground, &["tags", &flag, &name]);
    without.fails(1, "it wants a client's certificate");
    without.fails(1, &format!("put client.cert and client.key into /etc/containers/certs.d/{}", registry.host()));
    for file in ["client.cert", "client.key"] {
        fs::copy(registry.dir.join(file), certs.join(file)).unwrap();
    }
    sampan(&ground, &["image", "bootstrap", "busybox"]).ok();
    sampan(&ground, &["push", &flag, "busybox", &format!("{name}:v1")]).ok();
    assert_eq!(sampan(&ground, &["tags", &flag, &name]).ok(), "v1");
    fs::remove_file(certs.join("client.key")).unwrap();
    sampan(&ground, &["tags", &flag, &name]).fails(1, "client.key");
}

/// docker's and podman's files, each alone, where each of them looks for them.
#[test]
fn logins_are_where_docker_and_podman_keep_them() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Password)) else { return };
    let name = format!("{}/a", registry.host());
    let text = format!(r#"{{"auths":{{"{}":{{"auth":"YWxpY2U6c2VjcmV0"}}}}}}"#, registry.host());
    let at = |path: &str| ground.dir.join(path).to_str().unwrap().to_owned();
    for (path, variable, value) in [
        (".docker/config.json", "X", ""),
        (".config/containers/auth.json", "X", ""),
        ("docker/config.json", "DOCKER_CONFIG", "docker"),
        ("config/containers/auth.json", "XDG_CONFIG_HOME", "config"),
        ("run/containers/auth.json", "XDG_RUNTIME_DIR", "run"),
        ("any.json", "REGISTRY_AUTH_FILE", "any.json"),
    ] {
        let (file, value) = (ground.dir.join(path), at(value));
        let call = || with(&ground, &[(variable, &value)], &["tags", &name]);
        call().fails(1, if variable == "REGISTRY_AUTH_FILE" { "no login is kept for it" } else { "no login" });
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &text).unwrap();
        call().fails(1, "no such repository");
        fs::remove_file(&file).unwrap();
    }
    // One that is there says more than one that follows.
    fs::create_dir_all(at("run/containers")).unwrap();
    fs::create_dir_all(at(".docker")).unwrap();
    fs::write(at("run/containers/auth.json"), &text).unwrap();
    fs::write(at(".docker/config.json"), text.replace("YWxpY2U6c2VjcmV0", "YWxpY2U6Z3Vlc3M=")).unwrap();
    with(&ground, &[("XDG_RUNTIME_DIR", &at("run"))], &["tags", &name]).fails(1, "no such repository");
    sampan(&ground, &["tags", &name]).fails(1, "password is wrong");
    assert_eq!((USER, PASSWORD), ("alice", "secret"));
}

/// What docker's login leaves of a registry that gives tokens, in the file or with a helper.
#[test]
fn identity_tokens_are_exchanged() {
    let Some(ground) = Ground::new() else { return };
    let forms = Arc::new(Mutex::new(Vec::new()));
    let log = forms.clone();
    let server = Server::start(move |asked, stream| {
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"reg\"", asked.header("host").unwrap());
        match asked.path() {
            "/token" => {
                let form = body(asked, stream);
                let right = form.contains("grant_type=refresh_token") && form.contains("refresh_token=keep+me");
                log.lock().unwrap().push(form);
                let answer: &[u8] = if right { br#"{"access_token":"good"}"# } else { b"{}" };
                reply(stream, if right { "200 OK" } else { "401 Unauthorized" }, &[], answer);
            }
            _ if asked.header("authorization") != Some("Bearer good") => {
                reply(stream, "401 Unauthorized", &[("WWW-Authenticate", &realm)], b"");
            }
            path if path.ends_with("/tags/list") => reply(stream, "200 OK", &[], br#"{"tags":["x"]}"#),
            _ => reply(stream, "200 OK", &[], b"{}"),
        }
    });
    let (file, name) = (ground.dir.join("auth.json"), format!("{}/a", server.host()));
    let flag = format!("--authfile={}", file.display());
    fs::write(&file, format!(r#"{{"auths":{{"{}":{{"identitytoken":"keep me"}}}}}}"#, server.host())).unwrap();
    assert_eq!(sampan(&ground, &["tags", &flag, &name]).ok(), "x");
    let form = forms.lock().unwrap()[0].clone();
    assert!(form.contains("service=reg") && form.contains("scope=repository%3Aa%3Apull"), "{form}");
    fs::write(&file, format!(r#"{{"auths":{{"{}":{{"identitytoken":"old"}}}}}}"#, server.host())).unwrap();
    sampan(&ground, &["tags", &flag, &name]).fails(1, "wrong, or may not do this");

    let bin = ground.dir.join("bin");
    fs::create_dir(&bin).unwrap();
    let helper = bin.join("docker-credential-kept");
    fs::write(&helper, "#!/bin/sh\necho '{\"Username\":\"<token>\",\"Secret\":\"keep me\"}'\n").unwrap();
    fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(&file, format!(r#"{{"credHelpers":{{"{}":"kept"}}}}"#, server.host())).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    assert_eq!(with(&ground, &[("PATH", &path)], &["tags", &flag, &name]).ok(), "x");
}

/// All of a small body.
fn body(asked: &Asked, stream: &mut TcpStream) -> String {
    let length: usize = asked.header("content-length").unwrap().parse().unwrap();
    let mut bytes = asked.first.clone();
    let left = length.saturating_sub(bytes.len());
    stream.take(left as u64).read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn headers_of_the_users_go_to_the_registry() {
    let Some(ground) = Ground::new() else { return };
    let server = Server::start(|_, stream| reply(stream, "200 OK", &[], br#"{"tags":["x"]}"#));
    let (file, name) = (ground.dir.join("config.json"), format!("{}/a", server.host()));
    let call = |text: &str| {
        fs::write(&file, text).unwrap();
        sampan(&ground, &["tags", &format!("--authfile={}", file.display()), &name])
    };
    call(r#"{"HttpHeaders":{"X-Meta-Who":"me","User-Agent":"not this"}}"#).ok();
    let asked = server.asked();
    let last = asked.last().unwrap();
    assert_eq!(last.header("x-meta-who"), Some("me"));
    assert!(last.header("user-agent").unwrap().starts_with("sampan/"));
    call(r#"{"HttpHeaders":{"X-Meta-Who":"me\r\nX: y"}}"#).fails(1, "is no header");
}

/// As the Hub answers, and as a registry that has only its list.
#[test]
fn a_registry_is_searched() {
    let Some(ground) = Ground::new() else { return };
    let server = Server::start(|asked, stream| match asked.path().split('?').next().unwrap() {
        "/v1/search" => {
            let one = |name: &str, stars: u64, official: bool| {
                let description = format!("about {name}: {}", "x".repeat(60));
                json!({ "name": name, "description": description, "star_count": stars, "is_official": official, "is_automated": false })
            };
            let all = [one("few/tool", 3, false), one("tool", 700, true), one("some/tool", 70, false)];
            reply(stream, "200 OK", &[], json!({ "num_results": 3, "results": all }).to_string().as_bytes());
        }
        _ => reply(stream, "200 OK", &[], b"{}"),
    });
    let term = format!("{}/my tool", server.host());
    let search = |words: &[&str]| sampan(&ground, &[&["search"], words, &[&term]].concat()).ok();
    let table = search(&[]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("NAME ") && lines[0].ends_with("STARS     OFFICIAL"), "{table}");
    assert!(
        lines[1].starts_with(&format!("{}/tool ", server.host()))
            && lines[1].contains("700")
            && lines[1].ends_with("[OK]")
    );
    assert!(lines[2].contains("some/tool") && lines[3].contains("few/tool") && lines[3].contains('…'), "{table}");
    let names =
        |words: &[&str]| search(&[&["--format={{.Name}}"], words].concat()).replace(&format!("{}/", server.host()), "");
    assert_eq!(names(&["--filter=stars=10"]), "tool\nsome/tool");
    assert_eq!(names(&["-f", "is-official=false", "--limit=2"]), "some/tool");
    let whole: Value = serde_json::from_str(search(&["--no-trunc", "--format=json"]).lines().next().unwrap()).unwrap();
    assert_eq!(whole["Description"].as_str().unwrap().len(), 72);
    assert!(server.asked().iter().any(|asked| asked.path() == "/v1/search?q=my%20tool&n=25"), "{:?}", server.asked());
    sampan(&ground, &["search", "--limit=0", &term]).fails(1, "1 to 100");
    sampan(&ground, &["search", "--filter=x=y", &term]).fails(1, "not a filter");

    let Some(registry) = Registry::start(Kind::Plain) else { return };
    registry.publish("team/one", "v1", "amd64", &[layer_of(&ground.rootfs())], false);
    registry.publish("team/two", "v1", "amd64", &[layer_of(&ground.rootfs())], false);
    let words = ["search", "--format={{.Name}} {{.StarCount}}", &format!("{}/two", registry.host())];
    assert_eq!(sampan(&ground, &words).ok(), format!("{}/team/two 0", registry.host()));
}

/// Busy ones are asked again, when they say so; silent ones are given up, with a word that says so.
#[test]
fn busy_and_silent_registries() {
    let Some(ground) = Ground::new() else { return };
    let count = AtomicU32::new(0);
    let server = Server::start(move |asked, stream| match asked.path() {
        "/v2/" => reply(stream, "200 OK", &[], b"{}"),
        "/v2/busy/tags/list" => match count.fetch_add(1, Ordering::Relaxed) {
            0 => reply(stream, "429 Too Many Requests", &[("Retry-After", "2")], b""),
            1 => reply(stream, "503 Service Unavailable", &[], b""),
            2 => reply(stream, "502 Bad Gateway", &[], b""),
            _ => reply(stream, "200 OK", &[], br#"{"tags":["x"]}"#),
        },
        "/v2/limited/tags/list" => {
            let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}"#;
            reply(stream, "429 Too Many Requests", &[("Retry-After", "21600")], body);
        }
        "/v2/drip/tags/list" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(300));
            }
        }
        _ => std::thread::sleep(Duration::from_secs(60)),
    });
    let start = Instant::now();
    let name = |name: &str| format!("{}/{name}", server.host());
    assert_eq!(sampan(&ground, &["tags", &name("busy")]).ok(), "x");
    assert!(start.elapsed() >= Duration::from_secs(2), "it waits as long as it is told to");
    let limited = sampan(&ground, &["tags", &name("limited")]);
    limited.fails(1, "the registry limits how often one may ask: it asks to try again in 6 hours (You have reached");
    limited.fails(1, "hint: wait, or log in");
    let short = [("SAMPAN_REGISTRY_TIMEOUT", "1")];
    let start = Instant::now();
    with(&ground, &short, &["tags", &name("drip")]).fails(1, &format!("{} does not answer", server.host()));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    with(&ground, &[("SAMPAN_REGISTRY_TIMEOUT", "x")], &["tags", &name("a")]).fails(1, "no number of seconds");
    let silent = Server::start(|_, _| std::thread::sleep(Duration::from_secs(60)));
    let words = ["tags", &format!("{}/a", silent.host())];
    with(&ground, &short, &words).fails(1, &format!("{} does not answer", silent.host()));
}

/// It sends a part of a layer, each time, and then nothing more.
#[test]
fn a_layer_that_stalls_is_given_up_and_kept() {
    let Some(ground) = Ground::new() else { return };
    let (tar, blob) = layer_of(&ground.rootfs());
    let config = json!({ "architecture": spec::image::Platform::native().architecture, "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&tar)] } });
    let config = config.to_string().into_bytes();
    let kind = "application/vnd.oci.image";
    let manifest = json!({ "schemaVersion": 2, "mediaType": format!("{kind}.manifest.v1+json"),
        "config": { "mediaType": format!("{kind}.config.v1+json"), "digest": Digest::of(&config), "size": config.len() },
        "layers": [{ "mediaType": format!("{kind}.layer.v1.tar+gzip"), "digest": Digest::of(&blob), "size": blob.len() }] });
    let (size, stalls) = (blob.len(), Arc::new(AtomicU32::new(0)));
    let (manifest, counted) = (manifest.to_string().into_bytes(), stalls.clone());
    let digest = Digest::of(&blob).to_string();
    let server = Server::start(move |asked, stream| match asked.path() {
        "/v2/" => reply(stream, "200 OK", &[], b"{}"),
        path if path.contains("/manifests/") => {
            reply(stream, "200 OK", &[("Content-Type", "application/vnd.oci.image.manifest.v1+json")], &manifest);
        }
        path if path.ends_with(&digest) => {
            counted.fetch_add(1, Ordering::Relaxed);
            let from = asked
                .header("range")
                .map_or(0, |range| range.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap());
            let (status, range) = if from == 0 {
                ("200 OK", String::new())
            } else {
                ("206 Partial Content", format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1))
            };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{range}\r\n", size - from);
            let _ = stream.write_all(&blob[from..(from + 100_000).min(size)]);
            std::thread::sleep(Duration::from_secs(if from == 0 { 60 } else { 0 }));
        }
        _ => reply(stream, "200 OK", &[], &config),
    });
    let name = format!("{}/a:v1", server.host());
    // After the first silence the connection is closed each time: it goes on, a piece at a time.
    with(&ground, &[("SAMPAN_REGISTRY_TIMEOUT", "1")], &["pull", "-q", &name]).ok();
    assert_eq!(stalls.load(Ordering::Relaxed), u32::try_from(size.div_ceil(100_000)).unwrap());
    assert_eq!(sampan(&ground, &["run", "--rm", "--network=none", &name, "echo", "whole"]).ok(), "whole");
}
