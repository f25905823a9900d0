//! The bundles that every runtime gets: an engine's default configuration, in full.

use plan::capability::DEFAULT;
use plan::seccomp::{Arch, default_profile};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// `folder/bundles/name` with a config.json for the command, on the root file system `folder/rootfs`.
///
/// # Errors
/// It cannot be written.
pub fn write(folder: &Path, name: &str, words: &[&str]) -> Result<PathBuf, String> {
    let bundle = folder.join("bundles").join(name);
    let text = config(&folder.join("rootfs"), words).to_string();
    let written = fs::create_dir_all(&bundle).and_then(|()| fs::write(bundle.join("config.json"), text));
    written.map_err(|error| format!("cannot write {}: {error}", bundle.display()))?;
    Ok(bundle)
}

fn config(rootfs: &Path, words: &[&str]) -> Value {
    let arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };
    let mut seccomp = json!(default_profile(&DEFAULT, arch));
    // Go's runtimes take an absent field, not an empty one.
    drop_empty(&mut seccomp);
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": words,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": { "bounding": DEFAULT, "effective": DEFAULT, "permitted": DEFAULT },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": rootfs, "readonly": true },
        "hostname": "bench",
        "mounts": mounts(),
        "linux": {
            "resources": {
                "devices": [{ "allow": false, "access": "rwm" }],
                "memory": { "limit": 256 << 20 },
                "cpu": { "shares": 512, "quota": 100_000, "period": 100_000 },
                "pids": { "limit": 100 }
            },
            "namespaces": namespaces,
            "seccomp": seccomp,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi", "/sys/devices/virtual/powercap"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn mounts() -> Vec<Value> {
    [
        ("/proc", "proc", "proc", "nosuid,noexec,nodev"),
        ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
        ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
    ]
    .into_iter()
    .map(|(destination, kind, source, options)| {
        let options: Vec<&str> = options.split(',').collect();
        json!({ "destination": destination, "type": kind, "source": source, "options": options })
    })
    .collect()
}

fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(drop_empty);
            fields.retain(|_, value| !matches!(value, Value::Null) && *value != json!([]) && *value != json!(""));
        }
        Value::Array(values) => values.iter_mut().for_each(drop_empty),
        _ => {}
    }
}
