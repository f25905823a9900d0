//! Devices by name, `vendor.com/class=name`, as the Container Device Interface has them (specification 1.0): what a
//! vendor's file says a container needs for one goes into its configuration.
//!
//! Invariant: what a file asks for is done, or refused by name; nothing of it is left out silently.

use crate::config::set_variable;
use crate::error::{Error, Result};
use plan::host::Host;
use plan::network::AttachStep;
use plan::order::merged;
use serde::Deserialize;
use spec::runtime::{Config, Device, DeviceRule, Hook, Mount, NamespaceKind, NetDevice, State, Status};
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Those that come later go before: what is made at each boot is newer than what was installed.
const PLACES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
const NEWEST: (u32, u32) = (1, 1);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Specification {
    cdi_version: String,
    kind: String,
    /// May be there, and mean nothing to a runtime.
    annotations: BTreeMap<String, String>,
    devices: Vec<Named>,
    container_edits: Edits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Named {
    name: String,
    /// May be there, and mean nothing to a runtime.
    annotations: BTreeMap<String, String>,
    container_edits: Edits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<Bind>,
    hooks: Vec<Call>,
    additional_gids: Vec<u32>,
    intel_rdt: Option<serde_json::Value>,
    net_devices: Vec<Link>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Call {
    hook_name: String,
    path: String,
    args: Vec<String>,
    env: Option<Vec<String>>,
    timeout: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Link {
    host_interface_name: String,
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Node {
    path: String,
    host_path: String,
    #[serde(rename = "type")]
    kind: String,
    major: i64,
    minor: i64,
    file_mode: Option<u32>,
    permissions: String,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Bind {
    host_path: String,
    container_path: String,
    options: Vec<String>,
    #[serde(rename = "type")]
    kind: String,
}

/// One that is a device's by name, not by path.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let word = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    word(vendor, "_-.") && word(class, "_-.") && word(name, "_-.:")
}

/// What all these devices need, in the order in which they are named.
#[derive(Debug, Clone, Default)]
pub struct Needs(Vec<Edits>);

/// # Errors
/// One that no file has, or that two of the same place have; a file that asks for what is not known here.
pub fn find(names: &[String]) -> Result<Needs> {
    find_in(names, &PLACES.map(PathBuf::from))
}

fn find_in(names: &[String], places: &[PathBuf]) -> Result<Needs> {
    let mut needs = Needs::default();
    let mut used: Vec<PathBuf> = Vec::new();
    for name in names {
        let what = || format!("cannot give the container the device {name}");
        let (kind, device) = name.split_once('=').unwrap_or((name, ""));
        let mut found = None;
        for place in places.iter().rev() {
            let mut here = files(place).into_iter().filter_map(|path| of(&path, kind, device, name).transpose());
            match (here.next().transpose()?, here.next().transpose()?) {
                (Some(_), Some(_)) => {
                    return Err(Error::rejected(what(), format!("two files in {} have it", place.display())));
                }
                (one @ Some(_), None) => {
                    found = one;
                    break;
                }
                (None, _) => {}
            }
        }
        let Some((path, all, own)) = found else {
            let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            return Err(Error::rejected(
                what(),
                format!("no file in {} has a device of this name", places.join(" or ")),
            )
            .hint("its vendor's tool writes one, such as nvidia-ctk cdi generate"));
        };
        if !used.contains(&path) {
            used.push(path);
            needs.0.push(all);
        }
        needs.0.push(own);
    }
    for edits in &needs.0 {
        let what = || format!("cannot give the container the device {}", names.join(", "));
        if let Some(part) = edits.unsupported() {
            return Err(Error::rejected(what(), format!("its file asks for {part}, which this version cannot do")));
        }
    }
    Ok(needs)
}

fn files(place: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let known = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("json" | "yaml" | "yml"))
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(known).collect();
    files.sort();
    files
}

/// The file's edits for all of its devices, and the device's own; `None`: it has it not. A file of another vendor's may
/// be as broken as it likes.
fn of(path: &Path, kind: &str, device: &str, name: &str) -> Result<Option<(PathBuf, Edits, Edits)>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    let what = || format!("cannot give the container the device {name}");
    let broken = |why: String| Error::rejected(what(), format!("{}: {why}", path.display()));
    if !text.contains(kind) {
        return Ok(None);
    }
    let read: std::result::Result<Specification, String> = if path.extension().is_some_and(|it| it == "json") {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        serde_saphyr::from_str(&text).map_err(|error| error.to_string())
    };
    let specification = read.map_err(broken)?;
    if specification.kind != kind {
        return Ok(None);
    }
    let mut numbers = specification.cdi_version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) <= NEWEST => {}
        _ => return Err(broken(format!("version {:?} of CDI is not known here", specification.cdi_version))),
    }
    let own = specification.devices.into_iter().find(|own| own.name == device);
    Ok(own.map(|own| (path.to_owned(), specification.container_edits, own.container_edits)))
}

impl Needs {
    /// # Errors
    /// A node that is no device of this host's.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        self.0.iter().try_for_each(|edits| edits.apply(config))
    }
}

impl Edits {
    fn apply(&self, config: &mut Config) -> Result<()> {
        let mut user = 0;
        if let Some(process) = &mut config.process {
            for line in &self.env {
                set_variable(&mut process.env, line.split('=').next().unwrap_or_default(), Some(line.clone()));
            }
            for gid in self.additional_gids.iter().filter(|gid| **gid != 0) {
                if !process.user.additional_gids.contains(gid) {
                    process.user.additional_gids.push(*gid);
                }
            }
            user = process.user.uid;
        }
        for node in &self.device_nodes {
            let (device, access) = node.device(user)?;
            let linux = config.linux.get_or_insert_default();
            linux.devices.retain(|known| known.path != device.path);
            let rule = DeviceRule {
                allow: true,
                kind: device.kind.clone(),
                major: Some(device.major),
                minor: Some(device.minor),
                access,
            };
            linux.devices.push(device);
            linux.resources.get_or_insert_default().devices.push(rule);
        }
        for bind in &self.mounts {
            config.mounts.retain(|known| known.destination != bind.container_path);
            config.mounts.push(bind.mount());
        }
        for link in &self.net_devices {
            let name = NetDevice { name: link.name.clone() };
            config.linux.get_or_insert_default().net_devices.insert(link.host_interface_name.clone(), name);
        }
        for call in &self.hooks {
            call.stage(config.hooks.get_or_insert_default()).extend([call.hook()]);
        }
        Ok(())
    }

    fn unsupported(&self) -> Option<String> {
        // By then there is another execution of this program, which knows nothing of it any more.
        let late = |call: &&Call| matches!(call.hook_name.as_str(), "poststart" | "poststop");
        let known = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
        let strange = |call: &&Call| !known.contains(&call.hook_name.as_str());
        let hook = self.hooks.iter().find(|call| late(call) || strange(call));
        let hook = hook.map(|call| format!("a hook {:?}", call.hook_name));
        hook.or_else(|| self.intel_rdt.as_ref().map(|_| "intelRdt".to_owned()))
    }
}

impl Call {
    fn stage<'a>(&self, hooks: &'a mut spec::runtime::Hooks) -> &'a mut Vec<Hook> {
        match self.hook_name.as_str() {
            "prestart" => &mut hooks.prestart,
            "createContainer" => &mut hooks.create_container,
            "startContainer" => &mut hooks.start_container,
            // The rest is refused before.
            _ => &mut hooks.create_runtime,
        }
    }

    fn hook(&self) -> Hook {
        Hook { path: self.path.clone(), args: self.args.clone(), env: self.env.clone(), timeout: self.timeout }
    }
}

/// What hooks look for in the bundle: this container's directory.
pub(crate) const CONFIG: &str = "config.json";

/// Those that this process runs, and what they are told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hooks {
    pub hooks: spec::runtime::Hooks,
    pub state: State,
}

impl Hooks {
    /// While the container waits with its mounts made.
    ///
    /// # Errors
    /// One that fails.
    pub fn call(&self, pid: i32) -> runtime::Result<()> {
        let state = State { pid, ..self.state.clone() };
        let directory = Path::new(&self.state.bundle);
        runtime::hook::run_all("prestart", &self.hooks.prestart, &state, directory)?;
        runtime::hook::run_all("createRuntime", &self.hooks.create_runtime, &state, directory)
    }
}

pub(crate) fn state(config: &Config, id: &str, data: &str) -> State {
    State {
        oci_version: config.oci_version.clone(),
        id: id.to_owned(),
        status: Status::Creating,
        bundle: data.to_owned(),
        annotations: config.annotations.clone(),
        ..State::default()
    }
}

/// The file that hooks find the root by, where there are any.
pub(crate) fn file(config: &Config, data: &str) -> Option<(String, String)> {
    config.hooks.as_ref()?;
    let mut config = config.clone();
    config.root.get_or_insert_default().path = merged(data).into();
    Some((CONFIG.to_owned(), serde_json::to_string(&config).ok()?))
}

/// What of the host's links goes to the container.
///
/// # Errors
/// It has none of its own to put them in; they are not there.
pub(crate) fn links(config: &Config, host: &Host) -> Result<Vec<AttachStep>> {
    let Some(linux) = config.linux.as_ref().filter(|linux| !linux.net_devices.is_empty()) else {
        return Ok(Vec::new());
    };
    let shared = linux.namespaces.iter().find(|namespace| namespace.kind == NamespaceKind::Network);
    let path = shared.and_then(|namespace| namespace.path.as_ref()).map(|path| path.to_string_lossy());
    let links = runtime::observe::network::links(path.as_deref()).map_err(runtime::Error::from)?;
    Ok(plan::network::devices(linux, host, links)?)
}

impl Bind {
    fn mount(&self) -> Mount {
        let mut options = self.options.clone();
        let is_bind = |option: &String| option == "bind" || option == "rbind";
        let kind = if self.kind.is_empty() { "bind" } else { &self.kind };
        if kind == "bind" && !options.iter().any(is_bind) {
            options.push("rbind".to_owned());
        }
        Mount {
            destination: self.container_path.clone(),
            source: self.host_path.clone(),
            kind: kind.to_owned(),
            options,
            ..Mount::default()
        }
    }
}

impl Node {
    /// What the file does not say is as the host has it; and it belongs to the container's user.
    fn device(&self, user: u32) -> Result<(Device, String)> {
        let on_host = if self.host_path.is_empty() { &self.path } else { &self.host_path };
        let what = || format!("cannot give the container {on_host}");
        let mut device = Device {
            path: self.path.clone(),
            kind: self.kind.clone(),
            major: self.major,
            minor: self.minor,
            file_mode: self.file_mode,
            uid: self.uid.or((user > 0).then_some(user)),
            gid: self.gid,
        };
        if device.kind.is_empty() || device.major == 0 && device.kind != "p" {
            let found = std::fs::metadata(on_host).map_err(|error| Error::io(what(), &error))?;
            let kind = match found.file_type() {
                kind if kind.is_char_device() => "c",
                kind if kind.is_block_device() => "b",
                kind if kind.is_fifo() => "p",
                _ => return Err(Error::rejected(what(), "it is no device")),
            };
            if !device.kind.is_empty() && device.kind != kind && !(device.kind == "u" && kind == "c") {
                return Err(Error::rejected(what(), format!("it is a device of type {kind}, not {}", device.kind)));
            }
            let (major, minor) = runtime::observe::device_number(&found);
            device.kind = kind.to_owned();
            (device.major, device.minor) = (i64::from(major), i64::from(minor));
            device.file_mode = device.file_mode.or(Some(found.mode() & 0o777));
        }
        let access = if self.permissions.is_empty() { "rwm" } else { &self.permissions };
        Ok((device, access.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::runtime::Process;

    const YAML: &str = "cdiVersion: 0.8.0\nkind: vendor.com/net\ncontainerEdits:\n  env: [ALL=1]\ndevices:\n- name: one\n  \
        containerEdits:\n    env: [ONE=1, PATH=/vendor]\n    deviceNodes:\n    - path: /dev/vendor\n      hostPath: /dev/null\n    \
        mounts:\n    - hostPath: /usr/lib\n      containerPath: /vendor\n      options: [ro, nosuid]\n    additionalGids: [7]\n";

    #[test]
    fn names() {
        for text in ["vendor.com/net=one", "nvidia.com/gpu=0", "a/b=c:1"] {
            assert!(is_name(text), "{text}");
        }
        for text in ["/dev/null", "vendor.com/net", "vendor.com/net=", "/net=a", "a/b/c=d", "/dev/a:/dev/b=c"] {
            assert!(!is_name(text), "{text}");
        }
    }

    #[test]
    fn what_a_file_says_is_done_or_refused() {
        let dir = std::env::temp_dir().join(format!("sampan-cdi-{}", std::process::id()));
        let (old, new) = (dir.join("etc"), dir.join("run"));
        std::fs::create_dir_all(&old).unwrap();
        std::fs::create_dir_all(&new).unwrap();
        std::fs::write(old.join("a.yaml"), YAML).unwrap();
        let places = [old.clone(), new.clone()];
        let find = |name: &str| find_in(&[name.to_owned()], &places);
        let mut config = Config { process: Some(Process::default()), ..Config::default() };
        find("vendor.com/net=one").unwrap().apply(&mut config).unwrap();
        let process = config.process.as_ref().unwrap();
        assert_eq!(process.env, ["ALL=1", "ONE=1", "PATH=/vendor"]);
        assert_eq!(process.user.additional_gids, [7]);
        let linux = config.linux.as_ref().unwrap();
        let device = &linux.devices[0];
        assert_eq!(
            (device.path.as_str(), device.kind.as_str(), device.major, device.minor),
            ("/dev/vendor", "c", 1, 3)
        );
        assert_eq!(linux.resources.as_ref().unwrap().devices[0].access, "rwm");
        assert_eq!(config.mounts[0].options, ["ro", "nosuid", "rbind"]);
        // What was made since the boot goes before.
        let json = r#"{"cdiVersion": "1.0.0", "kind": "vendor.com/net", "devices": [{"name": "one", "containerEdits":
            {"hooks": [{"hookName": "createContainer", "path": "/bin/true", "args": ["true", "x"]}],
             "netDevices": [{"hostInterfaceName": "up1", "name": "eth7"}]}}]}"#;
        std::fs::write(new.join("a.json"), json).unwrap();
        let mut config = Config::default();
        find("vendor.com/net=one").unwrap().apply(&mut config).unwrap();
        assert_eq!(config.hooks.as_ref().unwrap().create_container[0].args, ["true", "x"]);
        assert_eq!(config.linux.as_ref().unwrap().net_devices["up1"].name, "eth7");
        for (from, to, part) in [
            ("createContainer", "poststop", "asks for a hook \"poststop\""),
            (
                "\"netDevices\": [{\"hostInterfaceName\": \"up1\", \"name\": \"eth7\"}]",
                "\"intelRdt\": {}",
                "asks for intelRdt",
            ),
        ] {
            std::fs::write(new.join("a.json"), json.replace(from, to)).unwrap();
            assert!(find("vendor.com/net=one").unwrap_err().to_string().contains(part));
        }
        std::fs::write(new.join("a.json"), json).unwrap();
        std::fs::write(new.join("b.json"), json).unwrap();
        assert!(find("vendor.com/net=one").unwrap_err().to_string().contains("two files in"));
        std::fs::write(new.join("b.json"), json.replace("1.0.0", "7.0.0")).unwrap();
        assert!(find("vendor.com/net=one").unwrap_err().to_string().contains("is not known here"));
        assert!(find("vendor.com/net=two").unwrap_err().to_string().contains("is not known here"));
        assert!(find("other.com/net=two").unwrap_err().to_string().contains("has a device of this name"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
