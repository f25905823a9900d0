//! `sampan info`.

use crate::cli::{Format, Globals, Info};
use crate::ui::{self, Failure, Ui};
use engine::info::{self, Cgroup};
use serde_json::{Value, json};

/// # Errors
/// [`Failure`] when the host cannot be observed.
pub fn run(arguments: &Info, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let info = info::info(&super::clean_paths(globals, ui)?, super::driver(globals)?)?;
    ui::print(&match &arguments.format {
        Format::Table => lines(&info).iter().map(|(name, value)| format!("{name}: {value}\n")).collect(),
        Format::Json => format!("{}\n", object(&info)),
        Format::Template(template) => template.values(&[object(&info)])?,
    })
}

fn lines(info: &info::Info) -> Vec<(&'static str, String)> {
    let cgroup = match info.cgroup {
        Cgroup { hybrid: true, .. } => "1 with a version 2 tree beside it".to_owned(),
        Cgroup { version, .. } => version.to_string(),
    };
    let seccomp = if info.seccomp.is_empty() { "none".to_owned() } else { info.seccomp.join(" ") };
    vec![
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Containers", (info.running + info.paused + info.stopped).to_string()),
        ("Running", info.running.to_string()),
        ("Paused", info.paused.to_string()),
        ("Stopped", info.stopped.to_string()),
        ("Images", info.images.to_string()),
        ("Storage Driver", driver(info)),
        ("Name", info.name.clone()),
        ("Operating System", info.system.0.clone()),
        ("Kernel", info.kernel.clone()),
        ("Architecture", info.machine.clone()),
        ("CPUs", info.cpus.to_string()),
        ("Total Memory", spec::unit::decimal(info.memory, 4)),
        ("Cgroup Version", cgroup),
        ("Seccomp", seccomp),
        ("Rootless", info.rootless.to_string()),
        ("Subordinate Ids", info.subordinate.clone()),
        ("Rootless Network", info.pasta.clone().unwrap_or_else(|| "not installed".to_owned())),
        ("Time Namespace", info.time_namespace.to_string()),
        ("Data Directory", info.data.clone()),
        ("State Directory", info.state.clone()),
    ]
}

fn driver(info: &info::Info) -> String {
    let why = info.unfit.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    format!("{}{why}", info.driver.name())
}

/// docker's keys, as far as there is something to say, and ours.
fn object(info: &info::Info) -> Value {
    let has = |controller: &str| info.cgroup.controllers.iter().any(|name| name == controller);
    let version = env!("CARGO_PKG_VERSION");
    let mut object = json!({
        "Containers": info.running + info.paused + info.stopped,
        "ContainersRunning": info.running,
        "ContainersPaused": info.paused,
        "ContainersStopped": info.stopped,
        "Images": info.images,
        "Driver": info.driver.name(),
        "DriverStatus": info.unfit.iter().map(|why| ["Overlay", why]).collect::<Vec<_>>(),
        "LoggingDriver": "k8s-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": info.cgroup.version.to_string(),
        "KernelVersion": info.kernel,
        "OperatingSystem": info.system.0,
        "OSVersion": info.system.1,
        "OSType": "linux",
        "Architecture": info.machine,
        "NCPU": info.cpus,
        "MemTotal": info.memory,
        "DockerRootDir": info.data,
        "Name": info.name,
        "ServerVersion": version,
        "DefaultRuntime": "sampan",
        "Runtimes": { "sampan": { "path": std::env::current_exe().unwrap_or_default() } },
        "SecurityOptions": security(info),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "Swarm": { "LocalNodeState": "inactive" },
    });
    let limits = json!({
        "MemoryLimit": has("memory"),
        "SwapLimit": info.cgroup.swap,
        "CpuCfsPeriod": info.cgroup.cfs_quota,
        "CpuCfsQuota": info.cgroup.cfs_quota,
        "CPUShares": has("cpu"),
        "CPUSet": has("cpuset"),
        "PidsLimit": has("pids"),
        "IPv4Forwarding": info.forwarding,
    });
    let own = json!({
        "Kernel": info.kernel,
        "Seccomp": info.seccomp,
        "Rootless": info.rootless,
        "SubordinateIds": info.subordinate,
        "RootlessNetwork": info.pasta,
        "TimeNamespace": info.time_namespace,
        "DataDirectory": info.data,
        "StateDirectory": info.state,
    });
    for more in [limits, own] {
        if let (Value::Object(all), Value::Object(more)) = (&mut object, more) {
            all.extend(more);
        }
    }
    object
}

/// docker's words for it.
fn security(info: &info::Info) -> Vec<&'static str> {
    [
        (info.apparmor, "name=apparmor"),
        (!info.seccomp.is_empty(), "name=seccomp,profile=builtin"),
        (info.selinux, "name=selinux"),
        (info.rootless, "name=rootless"),
        (true, "name=cgroupns"),
    ]
    .into_iter()
    .filter_map(|(is, word)| is.then_some(word))
    .collect()
}
