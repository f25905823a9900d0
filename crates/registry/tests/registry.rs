//! The client against a real registry, and against one that lies.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "../../sampan/tests/ground/registry.rs"]
mod ground;

use ground::{Kind as Form, PASSWORD, Proxy, Registry, Server, USER, reply};
use registry::{Access, Client, Content, Credentials, Kind, Repository, Result, Use};
use spec::image::{Descriptor, Index, media};
use spec::{Digest, Reference};
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

fn client(access: Access) -> Client {
    // No files of this machine's user.
    let nowhere = |name: &str| (name == "HOME").then(|| PathBuf::from("/nonexistent"));
    Client::new(access, true, &nowhere).unwrap()
}

fn repository(client: &Client, host: &str, name: &str) -> Repository {
    let reference: Reference = format!("{host}/{name}").parse().unwrap();
    client.first(&reference, Use::Push, |_| Ok(())).unwrap().0
}

struct Bytes(&'static [u8]);

impl Content for Bytes {
    fn open(&self, offset: u64) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(Cursor::new(&self.0[usize::try_from(offset).unwrap()..])))
    }
}

fn push(repository: &Repository, bytes: &'static [u8], from: Option<&str>) -> registry::Result<Descriptor> {
    let blob = Descriptor::new(media::LAYER, Digest::of(bytes), bytes.len() as u64);
    repository.push_blob(&blob, from, &Bytes(bytes))?;
    Ok(blob)
}

fn index(entries: Vec<Descriptor>) -> Vec<u8> {
    serde_json::to_vec(&Index { manifests: entries, ..Index::default() }).unwrap()
}

static DATA: [u8; 300_000] = [7; 300_000];

#[test]
fn pushes_and_pulls() {
    let Some(server) = Registry::start(Form::Plain) else { return };
    let client = client(Access::default());
    let repository = repository(&client, &server.host(), "a/b");
    let blob = push(&repository, &DATA, None).unwrap();
    assert!(repository.has_blob(&blob.digest).unwrap());
    assert!(!repository.has_blob(&Digest::of(b"x")).unwrap());
    let mut bytes = Vec::new();
    repository.blob(&blob, 0).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, DATA);
    bytes.clear();
    repository.blob(&blob, 299_990).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, DATA[..10]);

    let manifest = index(vec![]);
    let digest = repository.push_manifest("v1", media::INDEX, &manifest).unwrap();
    let fetched = repository.manifest("v1").unwrap();
    assert_eq!((fetched.descriptor.digest, &fetched.bytes), (digest, &manifest));
    assert_eq!(fetched.descriptor.media_type, media::INDEX);
    assert_eq!(repository.manifest(&digest.to_string()).unwrap(), fetched);
    assert_eq!(repository.digest("v1").unwrap(), Some(digest));
    assert_eq!(repository.digest("v2").unwrap(), None);
    let missing = repository.manifest("v2").unwrap_err();
    assert_eq!(missing.kind, Kind::Missing);
    assert!(missing.to_string().contains("manifest unknown"), "{missing}");
    assert_eq!(repository.tags().unwrap(), ["v1"]);
    assert_eq!(client.catalog(&server.host()).unwrap(), ["a/b"]);

    let other = self::repository(&client, &server.host(), "c");
    struct Never;
    impl Content for Never {
        fn open(&self, _: u64) -> Result<Box<dyn Read + '_>> {
            panic!("sent, and not mounted")
        }
    }
    assert_eq!(other.push_blob(&blob, Some("a/b"), &Never).unwrap(), registry::Pushed::Mounted);
    assert_eq!(other.push_blob(&blob, None, &Never).unwrap(), registry::Pushed::There);
}

#[test]
fn a_broken_connection_fetches_the_rest() {
    let Some(server) = Registry::start(Form::Plain) else { return };
    let client = client(Access::default());
    let blob = push(&repository(&client, &server.host(), "a"), &DATA, None).unwrap();
    let proxy = Proxy::start(server.port);
    let through = repository(&client, &proxy.host(), "a");
    *proxy.budget.lock().unwrap() = Some(100_000);
    let mut bytes = Vec::new();
    through.blob(&blob, 0).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, DATA);
    assert_eq!(proxy.passed(&blob.digest.to_string()), DATA.len() as u64, "{:?}", proxy.blobs);
    assert_eq!(proxy.blobs.lock().unwrap().len(), 2);
}

#[test]
fn a_restart_of_the_registry_is_waited_for() {
    let Some(mut server) = Registry::start(Form::Plain) else { return };
    let client = client(Access::default());
    let blob = push(&repository(&client, &server.host(), "a"), &DATA, None).unwrap();
    let proxy = Proxy::start(server.port);
    let through = repository(&client, &proxy.host(), "a");
    *proxy.budget.lock().unwrap() = Some(50_000);
    server.stop();
    std::thread::scope(|scope| {
        let read = scope.spawn(|| {
            let mut bytes = Vec::new();
            through.blob(&blob, 0).read_to_end(&mut bytes).map(|_| bytes)
        });
        std::thread::sleep(std::time::Duration::from_millis(700));
        server.restart();
        assert_eq!(read.join().unwrap().unwrap(), DATA);
    });
    assert_eq!(proxy.passed(&blob.digest.to_string()), DATA.len() as u64);
}

#[test]
fn a_password_is_asked_for() {
    let Some(server) = Registry::start(Form::Password) else { return };
    let host = server.host();
    let asked = |credentials: Option<Credentials>| {
        let client = client(Access { credentials, ..Access::default() });
        repository(&client, &host, "a").tags().map_err(|error| (error.kind, error.to_string()))
    };
    let (kind, text) = asked(None).unwrap_err();
    assert_eq!(kind, Kind::Unauthorized);
    assert!(text.contains("no login is kept"), "{text}");
    let (kind, text) = asked(Some(Credentials::parse("alice:wrong"))).unwrap_err();
    assert_eq!(kind, Kind::Unauthorized);
    assert!(text.contains("password is wrong") && !text.contains("wrong:"), "{text}");
    let right = Credentials::parse(&format!("{USER}:{PASSWORD}"));
    let (kind, _) = asked(Some(right.clone())).unwrap_err();
    assert_eq!(kind, Kind::Missing, "there is no repository yet");
    assert!(client(Access::default()).check_login(&host, right.clone()).is_ok());
    let wrong = client(Access::default()).check_login(&host, Credentials::parse("bob:secret")).unwrap_err();
    assert_eq!((wrong.kind, wrong.hint), (Kind::Unauthorized, None));

    let access = Access { credentials: Some(right), ..Access::default() };
    let client = client(access);
    let blob = push(&repository(&client, &host, "a"), &DATA, None).unwrap();
    let mut bytes = Vec::new();
    repository(&client, &host, "a").blob(&blob, 0).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, DATA);
}

#[test]
fn certificates_are_checked() {
    let Some(server) = Registry::start(Form::Tls) else { return };
    let reference: Reference = format!("{}/a", server.host()).parse().unwrap();
    let open = |access: Access| client(access).first(&reference, Use::Pull, Repository::tags);
    let unknown = open(Access::default()).unwrap_err();
    assert_eq!(unknown.kind, Kind::Untrusted, "{unknown}");
    assert!(unknown.to_string().contains("authority that this machine does not know"), "{unknown}");
    assert!(unknown.hint.unwrap().contains("certs.d/127.0.0.1:"));
    let known = Access { cert_dir: Some(server.certs()), ..Access::default() };
    assert_eq!(open(known.clone()).unwrap_err().kind, Kind::Missing);
    assert_eq!(open(Access { tls_verify: Some(false), ..Access::default() }).unwrap_err().kind, Kind::Missing);

    // The server's own certificate, which is no authority's, believed by itself; and one that is not there.
    let pinned = server.dir.join("pinned");
    std::fs::create_dir(&pinned).unwrap();
    std::fs::copy(server.dir.join("server.pem"), pinned.join("server.crt")).unwrap();
    assert_eq!(open(Access { cert_dir: Some(pinned.clone()), ..Access::default() }).unwrap_err().kind, Kind::Missing);
    std::fs::write(pinned.join("client.key"), "x").unwrap();
    let lone = open(Access { cert_dir: Some(pinned), ..Access::default() }).unwrap_err();
    assert_eq!(lone.kind, Kind::Configuration, "{lone}");

    // One that is its own authority's.
    let Some(mut signed) = Registry::start(Form::Tls) else { return };
    std::fs::copy(signed.certs().join("ca.crt"), signed.dir.join("server.pem")).unwrap();
    std::fs::copy(signed.dir.join("ca.key"), signed.dir.join("server.key")).unwrap();
    signed.restart();
    let itself: Reference = format!("{}/a", signed.host()).parse().unwrap();
    let unknown = client(Access::default()).first(&itself, Use::Pull, Repository::tags).unwrap_err();
    assert!(unknown.to_string().contains("authority that this machine does not know"), "{unknown}");

    let named: Reference = format!("localhost:{}/a", server.port).parse().unwrap();
    let other = client(known).first(&named, Use::Pull, Repository::tags).unwrap_err();
    assert!(other.to_string().contains("another name"), "{other}");
}

#[test]
fn plain_http_is_not_for_others_and_nobody_is_refused() {
    let closed = format!("127.0.0.1:{}/a", ground::free_port());
    let error = client(Access::default()).first(&closed.parse().unwrap(), Use::Pull, Repository::tags).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(error.to_string().contains("nothing listens"), "{error}");
    let nobody = "no-such-host.invalid/a".parse().unwrap();
    let error = client(Access::default()).first(&nobody, Use::Pull, Repository::tags).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");

    let Some(server) = Registry::start(Form::Plain) else { return };
    let strict = Access { tls_verify: Some(true), ..Access::default() };
    let reference = format!("{}/a", server.host()).parse().unwrap();
    let error = client(strict).first(&reference, Use::Pull, Repository::tags).unwrap_err();
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
    assert!(error.hint.unwrap().contains("--tls-verify=false"));
}

#[test]
fn a_hostile_registry_gets_nowhere() {
    let real = index(vec![]);
    let digest = Digest::of(&real);
    let server = Server::start(move |asked, stream| match asked.path() {
        "/v2/" => reply(stream, "200 OK", &[], b"{}"),
        "/v2/lies/manifests/latest" => {
            let other = Digest::of(b"other").to_string();
            reply(stream, "200 OK", &[("Docker-Content-Digest", &other)], b"{\"schemaVersion\":2,\"manifests\":[]}");
        }
        "/v2/old/manifests/latest" => {
            let kind = [("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")];
            reply(stream, "200 OK", &kind, b"{\"schemaVersion\":1,\"fsLayers\":[]}");
        }
        "/v2/limited/manifests/latest" => {
            let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"enough\u001b[2J"}]}"#;
            reply(stream, "429 Too Many Requests", &[("Retry-After", "3600")], body);
        }
        "/v2/huge/manifests/latest" => reply(stream, "200 OK", &[], &vec![b' '; 5 << 20]),
        "/v2/loop/manifests/latest" => reply(stream, "302 Found", &[("Location", "/v2/loop/manifests/latest")], b""),
        path if path.starts_with("/v2/lies/manifests/sha256:") => reply(stream, "200 OK", &[], b"{\"manifests\":[ ]}"),
        path if path.starts_with("/v2/lies/blobs/") => reply(stream, "200 OK", &[], b"something else"),
        _ => reply(stream, "404 Not Found", &[], b"<html>"),
    });
    let client = client(Access::default());
    let get = |name: &str, which: &str| repository(&client, &server.host(), name).manifest(which).unwrap_err();
    let expect = |name: &str, kind: Kind, words: &str| {
        let error = get(name, "latest");
        assert_eq!(error.kind, kind, "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
    };
    expect("lies", Kind::Corrupt, "sends something else");
    assert_eq!(get("lies", &digest.to_string()).kind, Kind::Corrupt);
    expect("old", Kind::Unsupported, "schema 1");
    expect("limited", Kind::Limited, "try again in 60 minutes");
    expect("huge", Kind::Corrupt, "longer than");
    expect("loop", Kind::Refused, "in a circle");
    let blob = Descriptor::new(media::CONFIG, digest, 14);
    let error = repository(&client, &server.host(), "lies").document(&blob).unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
}

/// It sends less than it says, each time: given up, with what is here counted.
#[test]
fn a_blob_that_never_comes_is_given_up() {
    let server = Server::start(|asked, stream| match asked.path() {
        "/v2/" => reply(stream, "200 OK", &[], b"{}"),
        _ if asked.header("range").is_none() => reply(stream, "200 OK", &[], b"12345"),
        _ => reply(stream, "416 Range Not Satisfiable", &[], b""),
    });
    let repository = repository(&client(Access::default()), &server.host(), "a");
    let mut read = Vec::new();
    let blob = Descriptor::new(media::LAYER, Digest::of(b"x"), 10);
    let error: io::Error = repository.blob(&blob, 0).read_to_end(&mut read).unwrap_err();
    assert_eq!(read, b"12345");
    assert!(error.to_string().contains("has 5 bytes of it at most, and the manifest says 10"), "{error}");
}

/// Bearer tokens: asked for once for each scope, with the password, at the place that the registry names.
#[test]
fn tokens_are_fetched_and_kept() {
    let server = Server::start(|asked, stream| {
        let host = asked.header("host").unwrap_or_default().to_owned();
        let realm = format!("Bearer realm=\"http://{host}/token\",service=\"reg\"");
        match asked.path() {
            path if path.starts_with("/token?") => {
                let right = asked.header("authorization") == Some("Basic YWxpY2U6c2VjcmV0");
                let answer: &[u8] = if right { br#"{"token":"good"}"# } else { br#"{"details":"no"}"# };
                reply(stream, if right { "200 OK" } else { "401 Unauthorized" }, &[], answer);
            }
            _ if asked.header("authorization") != Some("Bearer good") => {
                reply(stream, "401 Unauthorized", &[("WWW-Authenticate", &realm)], b"");
            }
            path if path.ends_with("/tags/list") => reply(stream, "200 OK", &[], br#"{"name":"a","tags":["x"]}"#),
            _ => reply(stream, "200 OK", &[], b"{}"),
        }
    });
    let access = |text: &str| Access { credentials: Some(Credentials::parse(text)), ..Access::default() };
    let known = repository(&client(access("alice:secret")), &server.host(), "a");
    assert_eq!(known.tags().unwrap(), ["x"]);
    assert_eq!(known.tags().unwrap(), ["x"]);
    let asked: Vec<_> = server.asked().into_iter().filter(|asked| asked.path().starts_with("/token")).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].path().contains("service=reg") && asked[0].path().contains("repository%3Aa%3Apull"), "{asked:?}");
    let error = repository(&client(access("alice:wrong")), &server.host(), "a").tags().unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized, "{error}");
}
