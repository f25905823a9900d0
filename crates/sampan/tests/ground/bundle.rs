//! A bundle over the ground's root file system, and what the tests of `sampan oci` do with one.
//!
//! Invariant: its containers, of a root of its own, go with the value.

use super::{Ground, Ran, SAMPAN, ran, until};
use serde_json::{Value, json};
use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory with a root file system, and the calls of a runtime on it.
pub struct Bundle {
    pub ground: Ground,
    pub config: Value,
}

impl Bundle {
    pub fn new() -> Option<Self> {
        let ground = Ground::new()?;
        let mut bundle = Self { ground, config: Value::Null };
        bundle.oci(&["spec", "--bundle", bundle.at("").to_str().unwrap()]).ok();
        bundle.config = serde_json::from_slice(&fs::read(bundle.at("config.json")).unwrap()).unwrap();
        let config = &mut bundle.config;
        config["process"]["terminal"] = false.into();
        config["process"]["env"] = json!(["PATH=/bin"]);
        // As on v2, where the template has it.
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        if !namespaces.contains(&json!({ "type": "cgroup" })) {
            namespaces.push(json!({ "type": "cgroup" }));
        }
        // What the oldest of those that it is compared with takes.
        config["ociVersion"] = "1.0.2".into();
        Some(bundle)
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.ground.dir.join(path)
    }

    pub fn sh(&mut self, script: &str) -> &mut Self {
        self.config["process"]["args"] = json!(["sh", "-c", script]);
        self.save()
    }

    pub fn save(&mut self) -> &mut Self {
        fs::write(self.at("config.json"), self.config.to_string()).unwrap();
        self
    }

    pub fn command(&self, runtime: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(runtime);
        command.arg("--root").arg(self.at("root")).args(words).current_dir(self.at("")).stdin(Stdio::null());
        command
    }

    pub fn oci(&self, words: &[&str]) -> Ran {
        // By that name it needs no verb of its own.
        let name = self.at("sampan-oci");
        if !name.exists() {
            std::os::unix::fs::symlink(SAMPAN, &name).unwrap();
        }
        ran(self.command(&name, words).output().unwrap())
    }

    /// `create` with its output in a file: a pipe would end with the container only.
    pub fn create(&self, id: &str, words: &[&str]) -> Ran {
        let output = fs::File::create(self.at("output")).unwrap();
        let mut command = self.command(&self.at("sampan-oci"), &["create"]);
        command.args(words).arg(id).stdout(output);
        let errors = fs::File::create(self.at("errors")).unwrap();
        let code = command.stderr(errors).status().unwrap().code().unwrap_or(-1);
        Ran { code, out: String::new(), err: fs::read_to_string(self.at("errors")).unwrap() }
    }

    pub fn output(&self) -> String {
        fs::read_to_string(self.at("output")).unwrap()
    }

    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.oci(&["state", id]).ok()).unwrap()
    }

    pub fn until_status(&self, id: &str, status: &str) {
        until(&format!("{id} is {status}"), || self.state(id)["status"] == status);
    }

    /// Its directory and its cgroups are gone.
    #[track_caller]
    pub fn nothing_left(&self, id: &str) {
        let root = fs::read_dir(self.at("root")).map(|entries| entries.count()).unwrap_or(0);
        assert_eq!(root, 0);
        let found = Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &format!("*{id}*")]).output();
        let found = found.unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for id in self.oci(&["list", "-q"]).out.lines() {
            self.oci(&["delete", "--force", id]);
        }
    }
}

/// One that no other test has: cgroups are the whole host's.
pub fn id(name: &str) -> String {
    format!("e2e-{name}-{}", std::process::id())
}

/// The file that comes to a console socket, and its name.
pub fn receive(listener: &UnixListener) -> (OwnedFd, Vec<u8>) {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    let (stream, _) = listener.accept().unwrap();
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let length = rustix::net::recvmsg(&stream, &mut parts, &mut control, RecvFlags::empty()).unwrap().bytes;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    (fd.unwrap(), bytes[..length].to_vec())
}
