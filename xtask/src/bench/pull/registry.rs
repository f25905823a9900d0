//! docker-registry on 127.0.0.1, and how an image gets into it.

use crate::bench::row;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The network namespace is the bench's own.
pub const HOST: &str = "127.0.0.1:5000";

pub struct Registry(Child);

impl Registry {
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(folder: &Path) -> Result<Self, String> {
        let program = row::find("docker-registry")?;
        let config = folder.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {HOST:?}}}\n",
            folder.join("registry").display()
        );
        fs::write(&config, text).map_err(|error| format!("cannot write {}: {error}", config.display()))?;
        let mut command = Command::new(program);
        command.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("docker-registry: {error}"))?;
        let registry = Self(child);
        let start = Instant::now();
        while TcpStream::connect(HOST).is_err() {
            if start.elapsed() > Duration::from_secs(60) {
                return Err("docker-registry: it does not answer".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    /// `folder/manifest` as `name:latest`, and the blobs in `folder/sha256`.
    ///
    /// # Errors
    /// The registry refuses something.
    pub fn publish(&self, name: &str, folder: &Path) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot publish {}: {error}", folder.display());
        for entry in fs::read_dir(folder.join("sha256")).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let place = ask(&format!("POST /v2/{name}/blobs/uploads/"), "", None).map_err(failed)?;
            let mark = if place.contains('?') { '&' } else { '?' };
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy());
            let line = format!("PUT {place}{mark}digest={digest}");
            ask(&line, "application/octet-stream", Some(&entry.path())).map_err(failed)?;
        }
        let kind = "application/vnd.oci.image.manifest.v1+json";
        ask(&format!("PUT /v2/{name}/manifests/latest"), kind, Some(&folder.join("manifest"))).map_err(failed)?;
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One request that must succeed; the path of the answer's Location.
fn ask(line: &str, kind: &str, body: Option<&Path>) -> io::Result<String> {
    let mut body = body.map(File::open).transpose()?;
    let length = body.as_ref().map(File::metadata).transpose()?.map_or(0, |found| found.len());
    let mut stream = TcpStream::connect(HOST)?;
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if let Some(body) = &mut body {
        io::copy(body, &mut stream)?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 2") {
        return Err(io::Error::other(format!("{line}: {}", answer.lines().next().unwrap_or("no answer"))));
    }
    let place = answer.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap_or_default();
    Ok(place.find("/v2/").map_or_else(String::new, |at| place[at..].trim().to_owned()))
}
