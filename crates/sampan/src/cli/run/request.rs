//! From flags to the request: files are read, relative paths made absolute, the caller's variables looked up.

use super::flags::{self, Args};
use crate::cli::Verb;
use crate::cli::tree::Leaf;
use crate::ui::{FAILED, Failure};
use engine::request::limit::Bound;
use engine::request::log;
use engine::request::mount::{Kind, Mount};
use engine::request::network;
use engine::request::process::{self, Variable};
use engine::request::security::Seccomp;
use engine::request::{
    Files, Health, Invalid, Limits, Log, Namespaces, Network, Process, Rootfs, Run, Security, Stop, Terminal,
};
use spec::runtime::Rlimit;
use std::path::{Path, PathBuf};

impl Leaf for Args {
    const NAMES: &[&str] = &["run", "container run"];
    const ABOUT: &str = "Run a command in a new container";
    const USAGE: &str = "sampan run [OPTIONS] IMAGE [COMMAND] [ARG...]\n       \
                         sampan run [OPTIONS] --rootfs DIR COMMAND [ARG...]";
    const SHORT_HELP: bool = false;
    const CODE: u8 = FAILED;

    fn verb(self) -> Result<Verb, Failure> {
        self.request().map(|request| Verb::Run(Box::new(request)))
    }
}

impl Args {
    pub fn request(self) -> Result<Run, Failure> {
        let Self { container, process, terminal, files, network, namespaces, limits, security, access, words } = self;
        let (rootfs, command) = rootfs(&container, words)?;
        let health = health_of(&container);
        let labels = labels(&container.label_file, container.label)?;
        let pod = container.pod_id_file.as_deref().map(pod_id).transpose()?;
        Ok(Run {
            driver: None,
            no_proxies: process.http_proxy == Some(false),
            rootfs,
            name: container.name,
            remove: container.rm,
            process: process_of(process, command, limits.oom_score_adj)?,
            terminal: terminal_of(terminal)?,
            namespaces: namespaces_of(namespaces),
            network: network_of(network)?,
            security: security_of(security)?,
            limits: limits_of(limits, files.device_cgroup_rule.clone()),
            secrets: files.secret.clone(),
            files: files_of(files)?,
            log: log_of(container.log_driver, container.log_opt)?,
            stop: Stop { signal: container.stop_signal, patience: container.stop_timeout },
            restart: container.restart,
            requires: container.requires,
            pod: None,
            joins: container.pod.or(pod),
            health,
            detach: container.detach,
            replace: container.replace,
            labels,
            annotations: container.annotation,
            cidfile: container.cidfile.map(absolute).transpose()?,
            pidfile: container.pidfile.map(absolute).transpose()?,
            runtime: container.runtime,
            explain: container.explain,
            timings: container.timings,
            quiet: container.quiet,
            access: access.access(),
        })
    }
}

fn pod_id(path: &Path) -> Result<String, Failure> {
    Ok(read(path)?.trim().to_owned())
}

fn health_of(flags: &flags::Container) -> Health {
    Health {
        none: flags.no_healthcheck,
        command: flags.health_cmd.as_ref().map(|words| words.0.clone()),
        interval: flags.health_interval,
        timeout: flags.health_timeout,
        start_period: flags.health_start_period,
        start_interval: flags.health_start_interval,
        retries: flags.health_retries,
        on_failure: flags.health_on_failure,
    }
}

fn rootfs(container: &flags::Container, mut words: Vec<String>) -> Result<(Rootfs, Vec<String>), Failure> {
    if let Some((path, overlay)) = &container.rootfs {
        return Ok((Rootfs::Directory { path: absolute(path.clone())?, overlay: *overlay }, words));
    }
    if words.first().is_none_or(String::is_empty) {
        return Err(Failure::new("no image given").hint("name one after the flags: sampan run --rm -it host sh"));
    }
    let reference = words.remove(0);
    Ok((Rootfs::Image { reference, pull: container.pull, platform: container.platform.clone() }, words))
}

fn process_of(flags: flags::Process, command: Vec<String>, oom_score_adj: Option<i32>) -> Result<Process, Failure> {
    Ok(Process {
        entrypoint: flags.entrypoint.map(|text| value("--entrypoint", &text, process::entrypoint)).transpose()?,
        command,
        env: environment(&flags.env_file, &flags.env)?,
        workdir: flags.workdir.map(|text| value("--workdir", &text, workdir)).transpose()?,
        user: flags.user,
        groups: flags.group_add,
        init: flags.init,
        ulimits: last_of_each(flags.ulimit),
        oom_score_adj,
    })
}

pub(in crate::cli) fn environment(files: &[PathBuf], given: &[String]) -> Result<Vec<Variable>, Failure> {
    // As docker's: the configuration is JSON, which cannot hold other bytes.
    let caller = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let mut variables = Vec::new();
    for path in files {
        variables.extend(process::env_file(&read(path)?, caller).map_err(|error| unreadable(path, error))?);
    }
    for text in given {
        variables.push(value("--env", text, |text| process::variable(text, caller))?);
    }
    Ok(variables)
}

pub(in crate::cli) fn labels(
    files: &[PathBuf],
    given: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut labels = Vec::new();
    for path in files {
        labels.extend(process::label_file(&read(path)?).map_err(|error| unreadable(path, error))?);
    }
    labels.extend(given);
    Ok(labels)
}

pub(in crate::cli) fn workdir(text: &str) -> Result<String, Invalid> {
    let relative = || Invalid::new("not an absolute path").hint(format!("/{text}"));
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err(relative()) }
}

/// A kind given again replaces the earlier one, as docker's.
fn last_of_each(given: Vec<Rlimit>) -> Vec<Rlimit> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for limit in given {
        limits.retain(|known| known.kind != limit.kind);
        limits.push(limit);
    }
    limits
}

pub(in crate::cli) fn terminal_of(flags: flags::Terminal) -> Result<Terminal, Failure> {
    let default = Terminal::default();
    let detach_keys = flags.detach_keys.map(|text| value("--detach-keys", &text, process::detach_keys)).transpose()?;
    Ok(Terminal {
        interactive: flags.interactive,
        tty: flags.tty,
        detach_keys: detach_keys.unwrap_or(default.detach_keys),
        forward_signals: flags.sig_proxy,
    })
}

fn files_of(flags: flags::Files) -> Result<Files, Failure> {
    let mut mounts: Vec<Mount> = flags.volume.into_iter().chain(flags.mount).chain(flags.tmpfs).collect();
    for mount in &mut mounts {
        if let Kind::Bind(bind) = &mut mount.kind {
            bind.source = absolute(std::mem::take(&mut bind.source))?;
        }
    }
    let shm_size = flags.shm_size.filter(|size| size.bytes() > 0);
    let volumes_from = flags.volumes_from;
    let (mut devices, mut named_devices) = (Vec::new(), Vec::new());
    for device in flags.device {
        match device {
            flags::Given::Node(device) => devices.push(device),
            flags::Given::Name(name) => named_devices.push(name),
        }
    }
    let layer_size = flags.storage_opt.filter(|size| size.bytes() > 0);
    Ok(Files { read_only: flags.read_only, mounts, volumes_from, layer_size, shm_size, devices, named_devices })
}

fn log_of(driver: Option<log::Driver>, options: Vec<log::Opt>) -> Result<Log, Failure> {
    let log = Log::new(driver, options).map_err(|error| Failure::invalid("invalid value for --log-opt", error))?;
    Ok(Log { path: log.path.map(absolute).transpose()?, ..log })
}

pub(in crate::cli) fn network_of(flags: flags::Network) -> Result<Network, Failure> {
    let mode = network::Mode::of(flags.network);
    Ok(Network {
        mode: mode.map_err(|error| Failure::invalid("cannot use these --network".to_owned(), error))?,
        aliases: flags.network_alias,
        ip: flags.ip,
        ip6: flags.ip6,
        mac: flags.mac_address,
        hostname: flags.hostname,
        domainname: flags.domainname,
        dns: flags.dns,
        dns_search: flags.dns_search,
        dns_options: flags.dns_option,
        add_host: flags.add_host,
        publish: flags.publish,
        publish_all: flags.publish_all,
        expose: flags.expose,
    })
}

pub(in crate::cli) fn namespaces_of(flags: flags::Namespaces) -> Namespaces {
    Namespaces {
        pid: flags.pid,
        ipc: flags.ipc,
        uts: flags.uts,
        cgroup: flags.cgroupns,
        user: flags.userns,
        uid_map: flags.uidmap,
        gid_map: flags.gidmap,
    }
}

pub(in crate::cli) fn limits_of(flags: flags::Limits, device_rules: Vec<engine::request::DeviceRule>) -> Limits {
    let given = |size: &spec::unit::Size| size.bytes() > 0;
    Limits {
        memory: flags.memory.filter(given),
        memory_swap: flags.memory_swap.filter(|swap| !matches!(swap, Bound::At(size) if !given(size))),
        memory_reservation: flags.memory_reservation.filter(given),
        memory_swappiness: flags.memory_swappiness.and_then(|(percent,)| percent),
        oom_kill_disable: flags.oom_kill_disable,
        cpus: flags.cpus.filter(|cpus| cpus.nano() > 0),
        cpu_shares: flags.cpu_shares.filter(|shares| *shares > 0),
        cpu_quota: flags.cpu_quota.filter(|quota| *quota != Bound::At(0)),
        cpu_period: flags.cpu_period.filter(|period| *period > 0),
        cpuset_cpus: flags.cpuset_cpus,
        cpuset_mems: flags.cpuset_mems,
        pids: flags.pids_limit,
        blkio_weight: flags.blkio_weight.filter(|weight| *weight > 0).and_then(|weight| u16::try_from(weight).ok()),
        blkio_weight_device: flags.blkio_weight_device,
        device_read_bps: flags.device_read_bps,
        device_write_bps: flags.device_write_bps,
        device_read_iops: flags.device_read_iops,
        device_write_iops: flags.device_write_iops,
        cgroup_parent: flags.cgroup_parent,
        device_rules,
    }
}

pub(in crate::cli) fn security_of(flags: flags::Security) -> Result<Security, Failure> {
    let mut security = Security {
        privileged: flags.privileged,
        cap_add: flags.cap_add,
        cap_drop: flags.cap_drop,
        sysctls: flags.sysctl,
        ..Security::default()
    };
    for option in &flags.security_opt {
        value("--security-opt", option, |option| security.option(option))?;
    }
    if let Seccomp::File(path) = &mut security.seccomp {
        *path = absolute(std::mem::take(path))?;
    }
    Ok(security)
}

/// For flags whose value needs more than itself to be read; the message is that of all others.
pub(in crate::cli) fn value<T>(
    flag: &str,
    text: &str,
    read: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Result<T, Failure> {
    read(text).map_err(|error| Failure::invalid(format!("invalid value {text:?} for {flag}"), error))
}

fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    let what = || format!("cannot find the working directory for {}", path.display());
    std::path::absolute(&path).map_err(|error| engine::refused(what(), &error).into())
}

fn read(path: &Path) -> Result<String, Failure> {
    let what = || format!("cannot read {}", path.display());
    let bytes = std::fs::read(path).map_err(|error| engine::refused(what(), &error))?;
    String::from_utf8(bytes).map_err(|_| Failure::new(what()).cause("it is no text (UTF-8)"))
}

fn unreadable(path: &Path, error: Invalid) -> Failure {
    Failure::invalid(format!("cannot use {}", path.display()), error)
}
