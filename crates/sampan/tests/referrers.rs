//! What belongs to an image at its registry: by the question of distribution-spec 1.1, and by the tag where it is not known.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran};
use registry::{Kind, Registry, Server, layer_of, reply};
use serde_json::{Value, json};
use spec::Digest;
use spec::image::media::{INDEX, MANIFEST};

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(&[&["image", "referrers"], words].concat()).output().unwrap())
}

fn list(entries: &[(&str, &str)]) -> Vec<u8> {
    let entry = |(name, kind): &(&str, &str)| {
        let digest = Digest::of(name.as_bytes());
        json!({ "mediaType": MANIFEST, "digest": digest, "size": 1234, "artifactType": kind })
    };
    let entries: Vec<Value> = entries.iter().map(entry).collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string().into_bytes()
}

const SIGNATURE: &str = "application/vnd.example.signature.v1+json";
const SBOM: &str = "application/spdx+json";

#[test]
fn they_are_listed() {
    let Some(ground) = Ground::new() else { return };
    let subject = json!({ "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2 }, "layers": [] });
    let subject = subject.to_string().into_bytes();
    let digest = Digest::of(&subject);
    let server = |knows: bool| {
        let (subject, tag) = (subject.clone(), format!("/manifests/sha256-{}", digest.hex()));
        let question = format!("/v2/repo/a/referrers/{digest}");
        Server::start(move |asked, stream| {
            let path = asked.path().to_owned();
            let send = |stream: &mut _, kind: &str, link: &[(&str, &str)], body: &[u8]| {
                reply(stream, "200 OK", &[&[("Content-Type", kind)], link].concat(), body);
            };
            if path == "/v2/" {
                send(stream, "application/json", &[], b"{}");
            } else if path.ends_with("/manifests/1") {
                send(stream, MANIFEST, &[], &subject);
            } else if knows && path.starts_with(&question) {
                let next = format!("<{question}?page=2>; rel=\"next\"");
                match path.ends_with("page=2") {
                    // One that does not filter.
                    true => send(stream, INDEX, &[], &list(&[("sbom", SBOM)])),
                    false => send(stream, INDEX, &[("Link", &next)], &list(&[("one", SIGNATURE)])),
                }
            } else if !knows && path.ends_with(&tag) {
                send(stream, INDEX, &[], &list(&[("sbom", SBOM), ("two", SIGNATURE)]));
            } else {
                reply(stream, "404 Not Found", &[], b"{}");
            }
        })
    };
    let (knows, old) = (server(true), server(false));
    let [knows_name, old_name] = [&knows, &old].map(|server| format!("{}/repo/a:1", server.host()));
    let out = sampan(&ground, &[&knows_name]).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("DIGEST "), "{out}");
    assert!(lines[1].contains(SIGNATURE) && lines[2].starts_with(&Digest::of(b"sbom").to_string()), "{out}");
    let only = sampan(&ground, &["--artifact-type", SIGNATURE, "--format=json", &knows_name]).ok();
    let only: Value = serde_json::from_str(&only).unwrap();
    assert_eq!((&only["Digest"], &only["Size"]), (&Digest::of(b"one").to_string().into(), &"1.23kB".into()));
    let asked = knows.asked();
    assert!(
        asked.iter().any(|asked| asked.path().ends_with("?artifactType=application/vnd.example.signature.v1%2Bjson"))
    );

    let out = sampan(&ground, &["--format={{.Digest}}", &old_name]).ok();
    assert_eq!(out, format!("{}\n{}", Digest::of(b"sbom"), Digest::of(b"two")));
    let none = Server::start({
        let subject = subject.clone();
        move |asked, stream| match asked.path().ends_with("/manifests/1") {
            true => reply(stream, "200 OK", &[("Content-Type", MANIFEST)], &subject),
            false if asked.path() == "/v2/" => reply(stream, "200 OK", &[], b"{}"),
            false => reply(stream, "404 Not Found", &[], b"{}"),
        }
    });
    assert_eq!(sampan(&ground, &["--format=json", &format!("{}/repo/a:1", none.host())]).ok(), "");
    sampan(&ground, &[&format!("{}/repo/a:2", none.host())]).fails(1, "manifest unknown");
}

/// docker-registry does not know the question: what signers leave there is found by its tag.
#[test]
fn they_are_found_at_a_real_registry() {
    let (Some(ground), Some(registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let image = registry.publish("a", "v1", "amd64", &[layer_of(&ground.rootfs())], false);
    let name = format!("{}/a:v1", registry.host());
    assert_eq!(sampan(&ground, &["--format=json", &name]).ok(), "");
    // As "Referrers Tag Schema" has it: the artifact itself, and an index of all of them under the subject's digest.
    let other = registry.publish("a", "signature", "amd64", &[layer_of(&ground.rootfs())], false);
    let entry = json!({ "mediaType": MANIFEST, "digest": other.digest, "size": other.manifest.len(), "artifactType": SIGNATURE });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }).to_string();
    registry.put_manifest("a", &format!("sha256-{}", image.digest.hex()), INDEX, index.as_bytes());
    assert_eq!(
        sampan(&ground, &["--format={{.Digest}} {{.ArtifactType}}", &name]).ok(),
        format!("{} {SIGNATURE}", other.digest)
    );
    assert_eq!(sampan(&ground, &["--format=json", "--artifact-type", SBOM, &name]).ok(), "");
    // By the digest, too.
    let by_digest = format!("{}/a@{}", registry.host(), image.digest);
    assert_eq!(sampan(&ground, &["--format={{.Digest}}", &by_digest]).ok(), other.digest.to_string());
}
