//! Small images, and a registry that has them: what a machine pulls and loads.

use crate::command;
use crate::lab::dice::Dice;
use serde_json::{Value, json};
use spec::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[derive(Debug, Clone)]
struct Layer {
    blob: Vec<u8>,
    content: Digest,
}

#[derive(Debug)]
pub struct Image {
    manifest: Vec<u8>,
    blobs: BTreeMap<String, Vec<u8>>,
}

/// The images of these names. All stand on one layer, in which there is busybox; each has more of its own.
///
/// # Errors
/// tar or gzip fails.
pub fn make(folder: &Path, names: &[&str], dice: &mut Dice) -> Result<BTreeMap<String, Image>, String> {
    let base = base(&folder.join("base"))?;
    let mut images = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        let mut layers = vec![base.clone()];
        for layer in 0..=number {
            layers.push(noise(&folder.join(format!("{name}{layer}")), dice)?);
        }
        images.insert((*name).to_owned(), Image::of(&layers));
    }
    Ok(images)
}

fn base(root: &Path) -> Result<Layer, String> {
    let busybox = command::find("busybox").ok_or("no busybox")?;
    let write = || {
        fs::create_dir_all(root.join("bin"))?;
        fs::create_dir_all(root.join("etc"))?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        for name in ["sh", "true"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
    };
    write().map_err(|error| format!("cannot write {}: {error}", root.display()))?;
    pack(root)
}

/// Files small and large, of which few bytes can be packed, and one of the base's that is gone.
fn noise(root: &Path, dice: &mut Dice) -> Result<Layer, String> {
    let write = |dice: &mut Dice| {
        fs::create_dir_all(root.join("etc"))?;
        fs::write(root.join("etc/.wh.passwd"), "")?;
        for number in 0..20 + dice.index(30) {
            let folder = root.join(format!("data/{}", number % 5));
            fs::create_dir_all(&folder)?;
            let size = if number == 0 { 100_000 + dice.index(400_000) } else { dice.index(9000) };
            let content: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| dice.next().to_le_bytes()).collect();
            fs::write(folder.join(format!("file{number}")), content)?;
        }
        Ok(())
    };
    write(dice).map_err(|error: std::io::Error| format!("cannot write {}: {error}", root.display()))?;
    pack(root)
}

fn pack(root: &Path) -> Result<Layer, String> {
    let file = root.with_extension("tar");
    let words = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-cf"];
    command::output(Command::new("tar").args(words).arg(&file).arg("-C").arg(root).arg("."))?;
    let read = |file: &Path| fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()));
    let content = Digest::of(&read(&file)?);
    command::output(Command::new("gzip").args(["-1", "-n", "-f"]).arg(&file))?;
    Ok(Layer { blob: read(&root.with_extension("tar.gz"))?, content })
}

impl Image {
    fn of(layers: &[Layer]) -> Self {
        let mut blobs = BTreeMap::new();
        let mut add = |kind: &str, bytes: Vec<u8>| {
            let digest = Digest::of(&bytes).to_string();
            let descriptor = json!({ "mediaType": kind, "digest": digest, "size": bytes.len() });
            blobs.insert(digest, bytes);
            descriptor
        };
        let ids: Vec<String> = layers.iter().map(|layer| layer.content.to_string()).collect();
        let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": ids } });
        let config = add("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        let layers: Vec<Value> = layers.iter().map(|layer| add(tar, layer.blob.clone())).collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        Self { manifest: manifest.to_string().into_bytes(), blobs }
    }

    /// An archive of an OCI layout in which it has that name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn archive(&self, name: &str, folder: &Path, file: &Path) -> Result<(), String> {
        let digest = Digest::of(&self.manifest).to_string();
        let index = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": MANIFEST, "digest": digest,
            "size": self.manifest.len(), "annotations": { "org.opencontainers.image.ref.name": name } }] });
        let write = || {
            let blobs = folder.join("blobs/sha256");
            fs::create_dir_all(&blobs)?;
            for (digest, bytes) in self.blobs.iter().chain([(&digest, &self.manifest)]) {
                fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes)?;
            }
            fs::write(folder.join("index.json"), index.to_string())?;
            fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        };
        write().map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
        command::output(Command::new("tar").arg("-cf").arg(file).arg("-C").arg(folder).arg(".")).map(drop)
    }
}

/// Serves them on the host's loopback until the process ends; the port.
///
/// # Errors
/// There is none.
pub fn serve(images: BTreeMap<String, Image>) -> Result<u16, String> {
    let failed = |error| format!("cannot listen on 127.0.0.1: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let images = Arc::new(images);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let images = images.clone();
            // One whose machine is gone ends by itself.
            std::thread::spawn(move || _ = answer(stream, &images));
        }
    });
    Ok(port)
}

/// One request (distribution-spec, "Pull").
fn answer(mut stream: TcpStream, images: &BTreeMap<String, Image>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut from = 0;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap_or_default();
        }
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let found = match parts.as_slice() {
        ["v2"] => Some((&b""[..], "text/plain")),
        ["v2", name, "manifests", _] => images.get(*name).map(|image| (image.manifest.as_slice(), MANIFEST)),
        ["v2", name, "blobs", digest] => images
            .get(*name)
            .and_then(|image| image.blobs.get(*digest))
            .map(|blob| (blob.as_slice(), "application/octet-stream")),
        _ => None,
    };
    let Some((body, kind)) = found else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    };
    let (whole, rest) = (body.len(), body.get(from..).unwrap_or_default());
    let status = if from == 0 { "200 OK" } else { "206 Partial Content" };
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\n");
    if from > 0 {
        head += &format!("Content-Range: bytes {from}-{}/{whole}\r\n", whole - 1);
    }
    head += &format!("Content-Length: {}\r\n\r\n", rest.len());
    stream.write_all(head.as_bytes())?;
    if method == "HEAD" { Ok(()) } else { stream.write_all(rest) }
}
