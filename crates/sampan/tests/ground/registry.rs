//! Registries on 127.0.0.1: Debian's docker-registry in the forms that clients meet, and one that lies.
//!
//! Invariant: each is a child of the test, on a port of its own, and its files go with the value.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// With a certificate of an authority of its own: [`Registry::certs`].
    Tls,
    /// As that, for clients with a certificate of that authority only; one is with it.
    Mutual,
    /// For [`USER`] with [`PASSWORD`] only.
    Password,
}

impl Kind {
    fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Mutual)
    }
}

pub const USER: &str = "alice";
pub const PASSWORD: &str = "secret";
/// bcrypt of [`PASSWORD`].
const HASH: &str = "$2b$04$qsva042Kx77Xa/Tvj9w/K.z0IA7IgyeTo.hwVDwBBFKO9hsCYa7DK";

pub struct Registry {
    pub dir: PathBuf,
    pub port: u16,
    child: Option<Child>,
}

/// Whether the program is there; else says that the test is skipped.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !found {
        println!("skipped: no {program} on this machine");
    }
    found
}

/// A directory for a test's files.
pub fn directory(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("sampan-{name}-{}-{number}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Registry {
    /// `None`, with a line that says why: what it needs is not here.
    pub fn start(kind: Kind) -> Option<Self> {
        if !has("docker-registry") || (kind.has_tls() && !has("openssl")) {
            return None;
        }
        let mut registry = Self { dir: directory("registry"), port: free_port(), child: None };
        if kind.has_tls() {
            registry.make_certificates();
        }
        let (dir, port) = (registry.dir.display(), registry.port);
        let mut config = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {dir}/data}}, delete: {{enabled: true}}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n  secret: for uploads that outlive a restart\n"
        );
        match kind {
            Kind::Plain => {}
            Kind::Tls => config += &format!("  tls: {{certificate: {dir}/server.pem, key: {dir}/server.key}}\n"),
            Kind::Mutual => {
                let own = format!("certificate: {dir}/server.pem, key: {dir}/server.key");
                config += &format!("  tls: {{{own}, clientcas: [{dir}/certs/ca.crt]}}\n");
            }
            Kind::Password => {
                fs::write(registry.dir.join("htpasswd"), format!("{USER}:{HASH}\n")).unwrap();
                config += &format!("auth: {{htpasswd: {{realm: test, path: {dir}/htpasswd}}}}\n");
            }
        }
        fs::write(registry.dir.join("config.yml"), config).unwrap();
        registry.restart();
        Some(registry)
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The directory that `--cert-dir` takes.
    pub fn certs(&self) -> PathBuf {
        self.dir.join("certs")
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn restart(&mut self) {
        self.stop();
        let log = fs::File::create(self.dir.join("log")).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(self.dir.join("config.yml")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = fs::read_to_string(self.dir.join("log")).unwrap();
            assert!(start.elapsed() < Duration::from_secs(60), "the registry does not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An authority, and a certificate of it for 127.0.0.1.
    fn make_certificates(&self) {
        fs::create_dir(self.certs()).unwrap();
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = ["req", "-x509", "-subj", "/CN=test authority", "-days", "2", "-out", "certs/ca.crt"];
        self.openssl(&[&authority[..], &["-keyout", "ca.key"], &key[..]].concat());
        fs::write(self.dir.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        for (name, out) in [("server", "server.pem"), ("client", "client.cert")] {
            let (subject, request, private) = (format!("/CN={name}"), format!("{name}.csr"), format!("{name}.key"));
            let words = ["req", "-new", "-subj", &subject, "-out", &request, "-keyout", &private];
            self.openssl(&[&words[..], &key[..]].concat());
            let sign = ["x509", "-req", "-in", &request, "-CA", "certs/ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
            self.openssl(&[&sign[..], &["-days", "2", "-extfile", "san", "-out", out]].concat());
        }
    }

    fn openssl(&self, words: &[&str]) {
        let output = Command::new("openssl").current_dir(&self.dir).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }

    /// The file of a blob, to damage it.
    pub fn blob(&self, hex: &str) -> PathBuf {
        self.dir.join(format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// One request: its first line, the headers, in lower case, and so much of its body as came with them.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub first: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

type Answer = dyn Fn(&Asked, &mut TcpStream) + Send + Sync;

/// A server that answers as the test says, one connection for each request. Ends with the test's process.
pub struct Server {
    pub port: u16,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer): (_, Arc<Answer>) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &log, &*answer));
            }
        });
        Self { port, asked }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, answer: &Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = Vec::new();
    // A TLS client's first words are no line of text.
    if reader.by_ref().take(8192).read_until(b'\n', &mut line).is_err() || !line.is_ascii() || line.is_empty() {
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        return;
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).is_err() || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.trim().split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let line = String::from_utf8_lossy(&line).trim().to_owned();
    let asked = Asked { line, headers, first: reader.buffer().to_vec() };
    log.lock().unwrap().push(asked.clone());
    answer(&asked, &mut stream);
}

/// A whole answer, closed behind it.
pub fn reply(stream: &mut TcpStream, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    let _ = stream.write_all((text + "\r\n").as_bytes());
    let _ = stream.write_all(body);
}

/// A proxy in front of a registry: counts the bytes of blobs that it hands on, and may cut connections.
pub struct Proxy {
    pub port: u16,
    /// Of each request for a blob: its digest, where its range starts, and how many bytes of content were passed on.
    pub blobs: Arc<Mutex<Vec<(String, u64, u64)>>>,
    /// After so many bytes of content in all, connections are cut; then the budget is gone.
    pub budget: Arc<Mutex<Option<u64>>>,
    /// Bytes a second, for those who must be killed in time.
    pub pace: Arc<Mutex<Option<u64>>>,
    pub uploads: Arc<Uploads>,
}

/// What goes the other way.
#[derive(Default)]
pub struct Uploads {
    /// Bytes of blobs that were handed on.
    pub bytes: AtomicU64,
    /// So many pieces go through, then one is cut off before its first byte; then the number is gone.
    pub pieces: Mutex<Option<u32>>,
    /// After so many bytes a connection is cut; then the budget is gone.
    pub budget: Mutex<Option<u64>>,
}

impl Proxy {
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = Self {
            port: listener.local_addr().unwrap().port(),
            blobs: Arc::default(),
            budget: Arc::default(),
            pace: Arc::default(),
            uploads: Arc::default(),
        };
        let shared = (own.blobs.clone(), own.budget.clone(), own.pace.clone(), own.uploads.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (blobs, budget, pace, uploads) = shared.clone();
                std::thread::spawn(move || _ = pass(stream, to, &blobs, &budget, &pace, &uploads));
            }
        });
        own
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many bytes of the blob's content were passed on.
    pub fn passed(&self, digest: &str) -> u64 {
        self.blobs.lock().unwrap().iter().filter(|(blob, ..)| blob == digest).map(|(.., bytes)| bytes).sum()
    }

    pub fn total(&self) -> u64 {
        self.blobs.lock().unwrap().iter().map(|(.., bytes)| bytes).sum()
    }
}

impl Uploads {
    fn is_cut(&self) -> bool {
        let mut pieces = self.pieces.lock().unwrap();
        let cut = *pieces == Some(0);
        *pieces = pieces.and_then(|left| left.checked_sub(1));
        cut
    }

    /// So many bytes were.
    fn hand_on(&self, from: &mut impl Read, to: &mut TcpStream, size: u64, counts: bool) -> std::io::Result<u64> {
        let mut done = 0;
        let mut buffer = [0; 16 << 10];
        while done < size {
            let room = if counts { self.budget.lock().unwrap().unwrap_or(u64::MAX) } else { u64::MAX };
            let room = usize::try_from(room.min(size - done)).unwrap_or(usize::MAX).min(buffer.len());
            let length = from.read(&mut buffer[..room])?;
            if length == 0 {
                *self.budget.lock().unwrap() = None;
                break;
            }
            to.write_all(&buffer[..length])?;
            done += length as u64;
            if counts {
                self.bytes.fetch_add(length as u64, Ordering::Relaxed);
                if let Some(left) = self.budget.lock().unwrap().as_mut() {
                    *left -= length as u64;
                }
            }
        }
        Ok(done)
    }
}

/// One request of the client, answered by the registry; then the connection ends.
fn pass(
    mut client: TcpStream,
    to: u16,
    blobs: &Mutex<Vec<(String, u64, u64)>>,
    budget: &Mutex<Option<u64>>,
    pace: &Mutex<Option<u64>>,
    uploads: &Uploads,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut first = Vec::new();
    reader.by_ref().take(8192).read_until(b'\n', &mut first)?;
    if !first.is_ascii() || first.is_empty() {
        return client.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
    }
    let line = String::from_utf8_lossy(&first).into_owned();
    let mut head = line.clone();
    let (mut from, mut body) = (0, 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let lower = header.to_ascii_lowercase();
        if let Some(length) = lower.strip_prefix("content-length:") {
            body = length.trim().parse().unwrap_or(0);
        }
        if let Some(range) = lower.strip_prefix("range: bytes=") {
            from = range.trim().trim_end_matches('-').parse().unwrap_or(0);
        }
        if header.trim().is_empty() {
            break;
        }
        if !lower.starts_with("connection:") {
            head += &header;
        }
    }
    if line.starts_with("PATCH") && uploads.is_cut() {
        return client.shutdown(std::net::Shutdown::Both);
    }
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    server.write_all((head + "Connection: close\r\n\r\n").as_bytes())?;
    if uploads.hand_on(&mut reader, &mut server, body, line.contains("/uploads/"))? < body {
        return client.shutdown(std::net::Shutdown::Both);
    }
    let mut answer = BufReader::new(server);
    loop {
        let mut header = String::new();
        answer.read_line(&mut header)?;
        client.write_all(header.as_bytes())?;
        if header.trim().is_empty() {
            break;
        }
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let digest = path.split("/blobs/").nth(1).map(str::to_owned);
    let mut buffer = [0; 16 << 10];
    loop {
        let room = if digest.is_some() { budget.lock().unwrap().unwrap_or(u64::MAX) } else { u64::MAX };
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            *budget.lock().unwrap() = None;
            return client.shutdown(std::net::Shutdown::Both);
        }
        let length = answer.read(&mut buffer[..room])?;
        if length == 0 {
            return Ok(());
        }
        if let Some(digest) = &digest {
            if let Some(left) = budget.lock().unwrap().as_mut() {
                // Another connection may have had of it since.
                *left = left.saturating_sub(length as u64);
            }
            let mut blobs = blobs.lock().unwrap();
            match blobs.iter_mut().find(|(blob, start, _)| blob == digest && *start == from) {
                Some(entry) => entry.2 += length as u64,
                None => blobs.push((digest.clone(), from, length as u64)),
            }
            drop(blobs);
            let rate = *pace.lock().unwrap();
            if let Some(rate) = rate {
                std::thread::sleep(Duration::from_secs_f64(length as f64 / rate as f64));
            }
        }
        client.write_all(&buffer[..length])?;
    }
}

/// Runs a tool that must succeed.
pub fn tool(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// One request, and the answer's status, headers and body.
pub fn http(port: u16, line: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut head = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + &format!("Content-Length: {}\r\n\r\n", body.len())).as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

/// An image for a registry: layers as tars, bottom first, and what its configuration has beside the defaults.
pub struct Published {
    pub manifest: Vec<u8>,
    pub digest: spec::Digest,
    pub layers: Vec<spec::Digest>,
}

impl Registry {
    fn upload(&self, repository: &str, bytes: &[u8]) -> spec::Digest {
        let digest = spec::Digest::of(bytes);
        let (status, head, _) = http(self.port, &format!("POST /v2/{repository}/blobs/uploads/"), &[], b"");
        assert_eq!(status, 202, "{head}");
        let place = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap().trim();
        let path = &place[place.find("/v2/").unwrap()..];
        let mark = if path.contains('?') { '&' } else { '?' };
        let kind = [("Content-Type", "application/octet-stream")];
        let (status, head, _) = http(self.port, &format!("PUT {path}{mark}digest={digest}"), &kind, bytes);
        assert_eq!(status, 201, "{head}");
        digest
    }

    pub fn put_manifest(&self, repository: &str, which: &str, kind: &str, bytes: &[u8]) -> spec::Digest {
        let headers = [("Content-Type", kind)];
        let (status, head, body) = http(self.port, &format!("PUT /v2/{repository}/manifests/{which}"), &headers, bytes);
        assert_eq!(status, 201, "{head} {}", String::from_utf8_lossy(&body));
        spec::Digest::of(bytes)
    }

    /// `kinds`: docker's media types instead of OCI's. Layers as they are: whoever wants gzip compresses before.
    pub fn publish(
        &self,
        repository: &str,
        tag: &str,
        architecture: &str,
        layers: &[(Vec<u8>, Vec<u8>)],
        docker: bool,
    ) -> Published {
        let diff_ids: Vec<String> = layers.iter().map(|(tar, _)| spec::Digest::of(tar).to_string()).collect();
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux",
            "config": { "Env": ["PATH=/bin"], "Cmd": ["sh"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = config.to_string().into_bytes();
        let digests: Vec<spec::Digest> = layers.iter().map(|(_, blob)| self.upload(repository, blob)).collect();
        let config_digest = self.upload(repository, &config);
        let [manifest_kind, config_kind, layer_kind] = if docker {
            [
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ]
        } else {
            [
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            ]
        };
        let descriptor = |kind: &str, digest: &spec::Digest, size: usize| serde_json::json!({ "mediaType": kind, "digest": digest, "size": size });
        let entries: Vec<_> =
            layers.iter().zip(&digests).map(|((_, blob), digest)| descriptor(layer_kind, digest, blob.len())).collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": manifest_kind,
            "config": descriptor(config_kind, &config_digest, config.len()), "layers": entries,
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = self.put_manifest(repository, tag, manifest_kind, &manifest);
        Published { manifest, digest, layers: digests }
    }
}

/// A tar of a directory's content, and the same compressed with gzip, as a layer is.
pub fn layer_of(dir: &Path) -> (Vec<u8>, Vec<u8>) {
    let tar = Command::new("tar").arg("-C").arg(dir).args(["--numeric-owner", "-cf", "-", "."]).output().unwrap();
    assert!(tar.status.success(), "{tar:?}");
    let mut gzip = Command::new("gzip");
    let mut gzip = gzip.args(["-1", "-n"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = gzip.stdin.take().unwrap();
    let bytes = tar.stdout.clone();
    let feeder = std::thread::spawn(move || stdin.write_all(&bytes));
    let packed = gzip.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    (tar.stdout, packed.stdout)
}

/// A file that does not compress.
pub fn noise(path: &Path, size: u64) {
    let mut from = fs::File::open("/dev/urandom").unwrap().take(size);
    std::io::copy(&mut from, &mut fs::File::create(path).unwrap()).unwrap();
}
