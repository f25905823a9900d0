//! `spec`: a config.json to begin with, as runc writes it.

use serde_json::{Value, json};

/// `rootless`: for an ordinary user with these ids.
#[must_use]
pub fn template(rootless: Option<(u32, u32)>) -> String {
    let mut text = serde_json::to_string_pretty(&config(rootless)).unwrap_or_default();
    text.push('\n');
    text
}

fn config(rootless: Option<(u32, u32)>) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let more = if rootless.is_some() { "user" } else { "network" };
    // As runc: on v1 there are containers that find their cgroups by the host's names.
    let cgroup = runtime::observe::cgroup::is_unified().then_some("cgroup");
    let kinds = ["pid", "ipc", "uts", "mount", more].into_iter().chain(cgroup);
    let namespaces: Vec<Value> = kinds.map(|kind| json!({ "type": kind })).collect();
    let mut linux = json!({
        "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
        "namespaces": namespaces,
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    });
    if let (Some((uid, gid)), Some(fields)) = (rootless, linux.as_object_mut()) {
        let map = |id| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
        fields.insert("uidMappings".to_owned(), map(uid));
        fields.insert("gidMappings".to_owned(), map(gid));
        fields.remove("resources");
    }
    json!({
        "ociVersion": "1.3.0",
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "sampan",
        "mounts": mounts(rootless.is_some()),
        "linux": linux
    })
}

fn mounts(rootless: bool) -> Vec<Value> {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        // A map of one id has no group 5.
        mount("/dev/pts", "devpts", "devpts", if rootless { &pts[..5] } else { &pts }),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        // Only its owner may mount what shows the devices of a network namespace.
        if rootless {
            mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"])
        } else {
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"])
        },
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}
