//! The flags of `run`, with docker's and podman's names. What a value means is said by the type that reads it.

use crate::cli::list::container;
use crate::cli::registry::Access;
use clap::Args as Flags;
use engine::request::device::{Device, DeviceRule};
use engine::request::health;
use engine::request::limit::{self, Bound, Numbers};
use engine::request::log;
use engine::request::mount::{self, Mount};
use engine::request::namespace::{self, Join};
use engine::request::network::{self, AddHost, Expose, Mac, Mode, Publish};
use engine::request::process::{self, Patience, Signal};
use engine::request::secret::{self, Secret};
use engine::request::security::Capability;
use engine::request::{Platform, Pull, Restart};
use spec::ContainerId;
use spec::runtime::{IdMapping, Rlimit};
use spec::unit::{Cpus, DeviceRate, DeviceWeight, Duration, Invalid, Operations, Size, boolean};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

#[derive(Debug, Flags)]
pub struct Args {
    #[command(flatten)]
    pub container: Container,
    #[command(flatten)]
    pub process: Process,
    #[command(flatten)]
    pub terminal: Terminal,
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub namespaces: Namespaces,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub security: Security,
    #[command(flatten)]
    pub access: Access,
    /// The image, unless --rootfs is given; then the command and its arguments
    #[arg(trailing_var_arg = true, value_name = "IMAGE [COMMAND] [ARG...]", hide = true)]
    pub words: Vec<String>,
}

#[derive(Debug, Flags)]
#[command(next_help_heading = "Container")]
pub struct Container {
    /// A name to call it by
    #[arg(long, value_name = "NAME", value_parser = container)]
    pub name: Option<ContainerId>,
    /// Run it in the background, and print its id
    #[arg(long, short)]
    pub detach: bool,
    /// Remove a container of this name first
    #[arg(long)]
    pub replace: bool,
    /// Start these containers before it, whenever it is started
    #[arg(long, value_name = "CONTAINER,...", value_delimiter = ',', value_parser = container)]
    pub requires: Vec<ContainerId>,
    /// Put it into a pod; new:NAME makes one
    #[arg(long, value_name = "POD", conflicts_with = "pod_id_file")]
    pub pod: Option<String>,
    /// Into the one whose id is in this file
    #[arg(long, value_name = "FILE")]
    pub pod_id_file: Option<PathBuf>,
    /// When it is started again: no, on-failure[:TIMES], always or unless-stopped
    #[arg(long, value_name = "POLICY", default_value = "no")]
    pub restart: Restart,
    /// Ask with this whether it is well: a line for a shell, a list in JSON, or none
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    pub health_cmd: Option<Words>,
    /// Between two times of asking [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub health_interval: Option<Duration>,
    /// So many failures in a row are too many [default: 3]
    #[arg(long, value_name = "NUMBER", value_parser = health::retries)]
    pub health_retries: Option<u32>,
    /// An answer may take so long [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub health_timeout: Option<Duration>,
    /// It has so long to come up
    #[arg(long, value_name = "DURATION")]
    pub health_start_period: Option<Duration>,
    /// Between two times of asking while it comes up [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub health_start_interval: Option<Duration>,
    /// What becomes of it when it is not well: none, kill, restart or stop
    #[arg(long, value_name = "ACTION", default_value = "none")]
    pub health_on_failure: health::OnFailure,
    /// Do not ask, whatever its image says
    #[arg(long)]
    pub no_healthcheck: bool,
    /// Remove it when it exits
    #[arg(long)]
    pub rm: bool,
    /// Run this directory instead of an image; with :O changes go to a layer over it
    #[arg(long, value_name = "DIR[:O]", value_parser = rootfs)]
    pub rootfs: Option<(PathBuf, bool)>,
    /// When to fetch the image: always, missing, never or newer
    #[arg(long, value_name = "POLICY", default_value = "missing")]
    pub pull: Pull,
    /// Which of an image's platforms
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    /// Set a label
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = process::label)]
    pub label: Vec<(String, String)>,
    /// Read labels from a file
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<PathBuf>,
    /// Set an annotation of the OCI configuration
    #[arg(long, value_name = "KEY=VALUE", value_parser = process::label)]
    pub annotation: Vec<(String, String)>,
    /// Write the id to a new file
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub cidfile: Option<PathBuf>,
    /// Write the pid to a file
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub pidfile: Option<PathBuf>,
    /// Use another OCI runtime, by name or path
    #[arg(long, value_name = "RUNTIME", value_parser = word)]
    pub runtime: Option<String>,
    /// The signal that asks it to stop
    #[arg(long, value_name = "SIGNAL", value_parser = process::signal)]
    pub stop_signal: Option<Signal>,
    /// Seconds until it is killed, or -1
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<Patience>,
    /// Where its output is kept: k8s-file, json-file, journald or none
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<log::Driver>,
    /// How: max-size, max-file, path, tag, labels or env
    #[arg(long, value_name = "OPTION=VALUE")]
    pub log_opt: Vec<log::Opt>,
    /// Print the plan as a shell script and do nothing
    #[arg(long)]
    pub explain: bool,
    /// Print how long each step took
    #[arg(long)]
    pub timings: bool,
    /// No progress
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Debug, Flags)]
#[command(next_help_heading = "Process")]
pub struct Process {
    /// Run this instead of the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Set a variable, or pass on the caller's
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Whether the proxies of docker's config.json become variables
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub http_proxy: Option<bool>,
    /// Directory to start in
    #[arg(long, short, value_name = "DIR")]
    pub workdir: Option<String>,
    /// User and group, by name or number
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub user: Option<process::User>,
    /// Another group
    #[arg(long, value_name = "GROUP", value_parser = process::account)]
    pub group_add: Vec<String>,
    /// Run an init that forwards signals and reaps processes
    #[arg(long)]
    pub init: bool,
    /// Set a limit of getrlimit(2)
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = process::ulimit)]
    pub ulimit: Vec<Rlimit>,
}

#[derive(Debug, Flags)]
#[command(next_help_heading = "Terminal")]
pub struct Terminal {
    /// Connect standard input
    #[arg(long, short)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(long, short)]
    pub tty: bool,
    /// Keys that detach [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Forward signals; on unless =false
    #[arg(long, default_value = "true")]
    pub sig_proxy: bool,
}

#[derive(Debug, Flags)]
#[command(next_help_heading = "Files and devices")]
pub struct Files {
    /// Mount a directory or file of the host, or a volume
    #[arg(long, short, value_name = "[SOURCE:]TARGET[:OPTIONS]", value_parser = mount::volume)]
    pub volume: Vec<Mount>,
    /// The same, a tmpfs, an image or a devpts, in fields: type=bind,src=/a,dst=/b,ro
    #[arg(long, value_name = "FIELDS", value_parser = mount::long)]
    pub mount: Vec<Mount>,
    /// Mount what another container has mounted, too
    #[arg(long, value_name = "CONTAINER[:OPTIONS]", value_parser = mount::from)]
    pub volumes_from: Vec<mount::From>,
    /// Give it a secret, as a file or a variable
    #[arg(long, value_name = "NAME[,FIELDS]", value_parser = secret::secret)]
    pub secret: Vec<Secret>,
    /// Mount a tmpfs
    #[arg(long, value_name = "TARGET[:OPTIONS]", value_parser = mount::tmpfs)]
    pub tmpfs: Vec<Mount>,
    /// Nothing can be written to the root file system
    #[arg(long)]
    pub read_only: bool,
    /// Size of /dev/shm [default: 64m]
    #[arg(long, value_name = "BYTES")]
    pub shm_size: Option<Size>,
    /// size=BYTES: so much of the disk may be what it changes
    #[arg(long, value_name = "size=BYTES", value_parser = storage)]
    pub storage_opt: Option<Size>,
    /// Give it a device of the host, or one by its CDI name
    #[arg(long, value_name = "DEVICE[:PATH[:rwm]]|VENDOR/CLASS=NAME", value_parser = device)]
    pub device: Vec<Given>,
    /// Allow devices by number
    #[arg(long, value_name = "RULE")]
    pub device_cgroup_rule: Vec<DeviceRule>,
}

#[derive(Debug, Flags)]
#[command(next_help_heading = "Network")]
pub struct Network {
    /// A network; NAME:ip=,ip6=,mac=,alias=,interface_name= or name=NAME,…; bridge, none, host, pasta, container:NAME, ns:PATH
    #[arg(long, alias = "net", value_name = "NETWORK")]
    pub network: Vec<Mode>,
    /// Another name in the network
    #[arg(long, alias = "net-alias", value_name = "NAME", value_parser = network::hostname)]
    pub network_alias: Vec<String>,
    /// Publish a port
    #[arg(long, short, value_name = "[[IP:]PORT:]PORT[/PROTO]")]
    pub publish: Vec<Publish>,
    /// Publish all exposed ports on free ports
    #[arg(long, short = 'P')]
    pub publish_all: bool,
    /// Expose a port
    #[arg(long, value_name = "PORT[/PROTO]")]
    pub expose: Vec<Expose>,
    /// Host name
    #[arg(long, short = 'h', value_name = "NAME", value_parser = network::hostname)]
    pub hostname: Option<String>,
    /// NIS domain name
    #[arg(long, value_name = "NAME", value_parser = network::hostname)]
    pub domainname: Option<String>,
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS", value_parser = ip4)]
    pub ip: Option<Ipv4Addr>,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS", value_parser = ip6)]
    pub ip6: Option<Ipv6Addr>,
    /// Ethernet address
    #[arg(long, value_name = "ADDRESS")]
    pub mac_address: Option<Mac>,
    /// Name server
    #[arg(long, value_name = "ADDRESS", value_parser = ip)]
    pub dns: Vec<IpAddr>,
    /// Search domain; . for none
    #[arg(long, value_name = "DOMAIN", value_parser = network::search_domain)]
    pub dns_search: Vec<String>,
    /// Resolver option
    #[arg(long, alias = "dns-opt", value_name = "OPTION", value_parser = network::resolver_option)]
    pub dns_option: Vec<String>,
    /// A line for /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub add_host: Vec<AddHost>,
}

#[derive(Debug, Flags)]
#[command(next_help_heading = "Namespaces (private, host, container:NAME, ns:PATH)")]
pub struct Namespaces {
    /// Process ids
    #[arg(long, value_name = "MODE", default_value = "private", hide_default_value = true)]
    pub pid: Join,
    /// System V IPC and message queues
    #[arg(long, value_name = "MODE", default_value = "private", hide_default_value = true)]
    pub ipc: Join,
    /// Host name
    #[arg(long, value_name = "MODE", default_value = "private", hide_default_value = true)]
    pub uts: Join,
    /// cgroups
    #[arg(long, value_name = "MODE", default_value = "private", hide_default_value = true)]
    pub cgroupns: Join,
    /// Users; also auto and keep-id[:uid=N,gid=N]
    #[arg(long, value_name = "MODE")]
    pub userns: Option<namespace::User>,
    /// Map user ids
    #[arg(long, value_name = "ID:HOST-ID[:SIZE]", value_parser = namespace::id_mapping)]
    pub uidmap: Vec<IdMapping>,
    /// Map group ids
    #[arg(long, value_name = "ID:HOST-ID[:SIZE]", value_parser = namespace::id_mapping)]
    pub gidmap: Vec<IdMapping>,
}

#[derive(Debug, Flags)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Memory
    #[arg(long, short, value_name = "BYTES")]
    pub memory: Option<Size>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, value_name = "BYTES")]
    pub memory_swap: Option<Bound<Size>>,
    /// Memory that is kept for it when memory is short
    #[arg(long, value_name = "BYTES")]
    pub memory_reservation: Option<Size>,
    /// How readily its memory is swapped, 0 to 100
    #[arg(long, value_name = "PERCENT", value_parser = swappiness)]
    pub memory_swappiness: Option<Swappiness>,
    /// Do not kill processes when it runs out of memory
    #[arg(long)]
    pub oom_kill_disable: bool,
    /// Who is killed first, -1000 to 1000
    #[arg(long, value_name = "SCORE", value_parser = oom_score)]
    pub oom_score_adj: Option<i32>,
    /// CPUs, in parts of one
    #[arg(long, value_name = "CPUS")]
    pub cpus: Option<Cpus>,
    /// Weight of its CPU time, 2 to 262144, else 1024
    #[arg(long, short = 'c', value_name = "WEIGHT", value_parser = |text: &str| limit::ranged(text, 2, 262_144))]
    pub cpu_shares: Option<u64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "TIME", value_parser = limit::quota)]
    pub cpu_quota: Option<Bound<u64>>,
    /// Period of the quota, in microseconds
    #[arg(long, value_name = "TIME", value_parser = |text: &str| limit::ranged(text, 1000, 1_000_000))]
    pub cpu_period: Option<u64>,
    /// CPUs it may run on: 0-3,5
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<Numbers>,
    /// Memory nodes it may use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<Numbers>,
    /// Processes and threads; -1 for no limit
    #[arg(long, value_name = "NUMBER", value_parser = limit::pids)]
    pub pids_limit: Option<Bound<u64>>,
    /// Weight of its input and output, 10 to 1000
    #[arg(long, value_name = "WEIGHT", value_parser = |text: &str| limit::ranged(text, 10, 1000))]
    pub blkio_weight: Option<u64>,
    /// The same for one device
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    pub blkio_weight_device: Vec<DeviceWeight>,
    /// Bytes a second read from a device
    #[arg(long, value_name = "DEVICE:BYTES")]
    pub device_read_bps: Vec<DeviceRate<Size>>,
    /// Bytes a second written to a device
    #[arg(long, value_name = "DEVICE:BYTES")]
    pub device_write_bps: Vec<DeviceRate<Size>>,
    /// Reads a second from a device
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub device_read_iops: Vec<DeviceRate<Operations>>,
    /// Writes a second to a device
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub device_write_iops: Vec<DeviceRate<Operations>>,
    /// Make its cgroup in this one
    #[arg(long, value_name = "PATH", value_parser = limit::cgroup_parent)]
    pub cgroup_parent: Option<String>,
}

/// Of a health check; of its own type, so that the words are one value.
#[derive(Debug, Clone)]
pub struct Words(pub Vec<String>);

fn words(text: &str) -> Result<Words, Invalid> {
    health::command(text).map(Words)
}

/// Absent for docker's `-1`.
pub type Swappiness = (Option<u8>,);

#[derive(Debug, Flags)]
#[command(next_help_heading = "Security")]
pub struct Security {
    /// All capabilities and devices, no seccomp, nothing masked
    #[arg(long)]
    pub privileged: bool,
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<Capability>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<Capability>,
    /// no-new-privileges, seccomp=, apparmor=, label=, mask=, unmask=
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,
    /// Set a kernel parameter of its namespaces
    #[arg(long, value_name = "NAME=VALUE", value_parser = process::sysctl)]
    pub sysctl: Vec<(String, String)>,
}

/// By path, or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    Node(Device),
    Name(String),
}

fn storage(text: &str) -> Result<Size, Invalid> {
    match text.split_once('=') {
        Some(("size", size)) => size.parse(),
        _ => Err(Invalid::new("there is no such option of the storage").hint("size=BYTES")),
    }
}

fn device(text: &str) -> Result<Given, Invalid> {
    if engine::cdi::is_name(text) { Ok(Given::Name(text.to_owned())) } else { text.parse().map(Given::Node) }
}

fn rootfs(text: &str) -> Result<(PathBuf, bool), Invalid> {
    let (directory, overlay) = match text.strip_suffix(":O") {
        Some(directory) => (directory, true),
        None => (text, false),
    };
    if text.starts_with('-') {
        return Err(Invalid::new("a flag where the directory should be").hint("write the directory after --rootfs"));
    }
    Ok((file(directory)?, overlay))
}

fn file(text: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() { Err(Invalid::new("an empty path")) } else { Ok(text.into()) }
}

fn word(text: &str) -> Result<String, Invalid> {
    if text.is_empty() { Err(Invalid::new("an empty word")) } else { Ok(text.into()) }
}

fn ip4(text: &str) -> Result<Ipv4Addr, Invalid> {
    text.parse().map_err(|_| Invalid::new("not an IPv4 address").hint("four numbers, such as 10.88.0.7"))
}

fn ip6(text: &str) -> Result<Ipv6Addr, Invalid> {
    text.parse().map_err(|_| Invalid::new("not an IPv6 address").hint("such as fd00::7"))
}

fn ip(text: &str) -> Result<IpAddr, Invalid> {
    text.parse().map_err(|_| Invalid::new("not an IP address").hint("such as 9.9.9.9"))
}

fn swappiness(text: &str) -> Result<Swappiness, Invalid> {
    let number = text.parse().ok().filter(|number| *number <= 100 && !text.starts_with('+'));
    match (text, number) {
        ("-1", _) => Ok((None,)),
        (_, Some(number)) => Ok((Some(number),)),
        _ => Err(Invalid::new(format!("{text:?} is not from 0 to 100"))),
    }
}

fn oom_score(text: &str) -> Result<i32, Invalid> {
    let score = text.parse().ok().filter(|score| (-1000..=1000).contains(score));
    score.ok_or_else(|| Invalid::new(format!("{text:?} is not from -1000 to 1000")))
}
