//! `sampan oci`, and the whole program where it is called `sampan-oci`: runc's commands and flags.

use super::{Verb, tree, usage};
use crate::ui::Failure;
use clap::{Args, Command, FromArgMatches};
use spec::unit::Invalid;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

/// What the program is called to be this one.
pub const NAME: &str = "sampan-oci";

#[derive(Debug)]
pub struct Call {
    pub globals: Globals,
    pub verb: Oci,
}

#[derive(Debug)]
pub enum Oci {
    Create(Create),
    Run(Run),
    Start(One),
    Exec(Box<Exec>),
    State(One),
    Pause(One),
    Resume(One),
    Update(Box<Update>),
    Events(Events),
    Kill(Kill),
    Delete(Delete),
    Checkpoint(Box<Checkpoint>),
    Restore(Box<Restore>),
    List(List),
    Ps(Ps),
    Spec(Spec),
    Features,
    Version,
    /// What cannot be understood: for the log, as all failures.
    Invalid(Failure),
}

/// Flags before the command.
#[derive(Debug, Default, Args)]
pub struct Globals {
    /// Keep containers in this directory, on a tmpfs
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Write messages to this file, too
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Say more
    #[arg(long)]
    pub debug: bool,
    /// Have systemd make cgroups, as scopes
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// auto, true or false: whether a container may do without a cgroup where the caller may make none
    #[arg(long, value_name = "WHETHER", default_value = "auto")]
    pub rootless: Rootless,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl FromStr for LogFormat {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Invalid::new("unknown format").hint("one of text, json")),
        }
    }
}

/// What it is for in runc: to pass over cgroups that cannot be made. Who the caller is, the kernel says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rootless {
    #[default]
    Auto,
    True,
    False,
}

impl FromStr for Rootless {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "true" | "t" | "1" => Ok(Self::True),
            "false" | "f" | "0" => Ok(Self::False),
            _ => Err(Invalid::new("unknown word").hint("one of auto, true, false")),
        }
    }
}

/// runc prints one JSON document, not one a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Table,
    Json,
}

impl FromStr for Format {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            _ => Err(Invalid::new("unknown format").hint("one of table, json")),
        }
    }
}

#[derive(Debug, Args)]
struct Top {
    #[command(flatten)]
    globals: Globals,
    /// Print the version
    #[arg(long, short = 'v')]
    version: bool,
    /// Print help
    #[arg(long, short = 'h')]
    help: bool,
    #[arg(trailing_var_arg = true)]
    words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Create {
    /// Directory of config.json
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// Unix socket that takes the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Unix socket that takes a pidfd of the container's first process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// Write the pid of the container's first process to this file
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Do without pivot_root; not supported
    #[arg(long)]
    pub no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Pass on so many files after standard error
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub preserve_fds: u32,
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub create: Create,
    /// Leave the container to itself
    #[arg(long, short)]
    pub detach: bool,
    /// Do not delete the container when it has ended
    #[arg(long)]
    pub keep: bool,
    /// Accepted: orphans are never adopted
    #[arg(long)]
    pub no_subreaper: bool,
}

/// Nothing but a container.
#[derive(Debug, Args)]
pub struct One {
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Exec {
    /// File with the process, as config.json has it
    #[arg(long, short, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Leave the process to itself
    #[arg(long, short)]
    pub detach: bool,
    /// Give it a terminal
    #[arg(long, short)]
    pub tty: bool,
    /// Unix socket that takes the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Unix socket that takes a pidfd of the process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// Write the pid to this file
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Working directory
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,
    /// Set an environment variable
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// User, and after a colon group, by number
    #[arg(long, short, value_name = "UID[:GID]", value_parser = user)]
    pub user: Option<(u32, Option<u32>)>,
    /// One more group, by number
    #[arg(long, short = 'g', value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// Set-uid programs give nothing
    #[arg(long)]
    pub no_new_privs: bool,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// One more capability
    #[arg(long, short, value_name = "CAP")]
    pub cap: Vec<oci::Capability>,
    /// Cgroup below the container's, of all controllers or on v1 of those before a colon
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<String>,
    /// Also in a paused container
    #[arg(long)]
    pub ignore_paused: bool,
    /// Pass on so many files after standard error
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub preserve_fds: u32,
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

fn user(text: &str) -> Result<(u32, Option<u32>), Invalid> {
    let number = |text: &str| text.parse().map_err(|_| Invalid::new(format!("{text:?} is not a number")));
    match text.split_once(':') {
        Some((user, group)) => Ok((number(user)?, Some(number(group)?))),
        None => Ok((number(text)?, None)),
    }
}

#[derive(Debug, Args)]
pub struct Update {
    /// File with resources as config.json has them, - for standard input; no other flag counts then
    #[arg(long, short, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Bytes, -1 for no limit
    #[arg(long, short, value_name = "SIZE", value_parser = bytes)]
    pub memory: Option<i64>,
    /// Bytes that are reclaimed last
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory_reservation: Option<i64>,
    /// Bytes of memory and swap, -1 for no limit
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory_swap: Option<i64>,
    /// Bytes of the kernel for the container, where it counts them apart
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub kernel_memory: Option<i64>,
    /// Likewise for TCP
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub kernel_memory_tcp: Option<i64>,
    /// Relative weight
    #[arg(long, value_name = "NUMBER", alias = "cpu-shares")]
    pub cpu_share: Option<u64>,
    /// Microseconds of CPU time in each period, -1 for no limit
    #[arg(long, value_name = "NUMBER")]
    pub cpu_quota: Option<i64>,
    /// Microseconds
    #[arg(long, value_name = "NUMBER")]
    pub cpu_period: Option<u64>,
    /// Microseconds that may be saved up
    #[arg(long, value_name = "NUMBER")]
    pub cpu_burst: Option<u64>,
    /// Microseconds of CPU time that real-time processes have in each of their periods
    #[arg(long, value_name = "NUMBER")]
    pub cpu_rt_runtime: Option<i64>,
    /// Microseconds
    #[arg(long, value_name = "NUMBER")]
    pub cpu_rt_period: Option<u64>,
    /// 1: only the CPU time that nobody else wants
    #[arg(long, value_name = "NUMBER")]
    pub cpu_idle: Option<i64>,
    /// CPUs, as 0-2,4
    #[arg(long, value_name = "LIST", default_value = "")]
    pub cpuset_cpus: String,
    /// Memory nodes
    #[arg(long, value_name = "LIST", default_value = "")]
    pub cpuset_mems: String,
    /// Processes, -1 for no limit
    #[arg(long, value_name = "NUMBER")]
    pub pids_limit: Option<i64>,
    /// Shares of the third cache, as L3:0=ff;1=f, where the container has a resctrl group
    #[arg(long, value_name = "SCHEMA", default_value = "")]
    pub l3_cache_schema: String,
    /// Shares of memory bandwidth, as MB:0=20;1=70
    #[arg(long, value_name = "SCHEMA", default_value = "")]
    pub mem_bw_schema: String,
    /// Relative weight, 10 to 1000
    #[arg(long, value_name = "NUMBER")]
    pub blkio_weight: Option<u16>,
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
}

fn bytes(text: &str) -> Result<i64, Invalid> {
    if text == "-1" {
        return Ok(-1);
    }
    let size: spec::unit::Size = text.parse()?;
    i64::try_from(size.bytes()).map_err(|_| Invalid::new("too large"))
}

#[derive(Debug, Args)]
pub struct Events {
    /// Say at such intervals what the container uses
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub interval: spec::unit::Duration,
    /// Say it once
    #[arg(long)]
    pub stats: bool,
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Kill {
    /// All processes of the container
    #[arg(long, short)]
    pub all: bool,
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
    /// Name or number
    #[arg(value_name = "SIGNAL", default_value = "TERM")]
    pub signal: String,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// Kill a running container first, and do not complain about one that is not there
    #[arg(long, short)]
    pub force: bool,
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
}

/// What both have in common.
#[derive(Debug, Args)]
pub struct Saving {
    /// Directory of CRIU's images
    #[arg(long, value_name = "DIR", default_value = "checkpoint")]
    pub image_path: PathBuf,
    /// Directory of CRIU's log and other files of its work, that of the images if none
    #[arg(long, value_name = "DIR")]
    pub work_path: Option<PathBuf>,
    /// Established TCP connections, too
    #[arg(long)]
    pub tcp_established: bool,
    /// Unix sockets whose other end is outside, too
    #[arg(long)]
    pub ext_unix_sk: bool,
    /// Of a shell's: its session's leader, or its terminal, is outside
    #[arg(long)]
    pub shell_job: bool,
    /// Memory follows when it is needed (userfaultfd)
    #[arg(long)]
    pub lazy_pages: bool,
    /// File locks, too
    #[arg(long)]
    pub file_locks: bool,
    /// Cut from images what a later one has
    #[arg(long)]
    pub auto_dedup: bool,
    /// What of cgroups is restored: soft, full, strict or ignore
    #[arg(long, value_name = "MODE", value_parser = cgroups)]
    pub manage_cgroups_mode: Option<oci::Cgroups>,
    /// Kind of namespace that comes back empty; network, which always does
    #[arg(long, value_name = "KIND", value_parser = ["network"])]
    pub empty_ns: Vec<String>,
}

fn cgroups(text: &str) -> Result<oci::Cgroups, Invalid> {
    Ok(match text {
        "" => oci::Cgroups::Default,
        "soft" => oci::Cgroups::Soft,
        "full" => oci::Cgroups::Full,
        "strict" => oci::Cgroups::Strict,
        "ignore" => oci::Cgroups::Ignore,
        _ => return Err(Invalid::new("unknown mode").hint("one of soft, full, strict, ignore")),
    })
}

#[derive(Debug, Args)]
pub struct Checkpoint {
    #[command(flatten)]
    pub saving: Saving,
    /// Images of an earlier --pre-dump, relative to those of this one
    #[arg(long, value_name = "DIR")]
    pub parent_path: Option<PathBuf>,
    /// Save memory only, and let it go on
    #[arg(long)]
    pub pre_dump: bool,
    /// Let it go on
    #[arg(long)]
    pub leave_running: bool,
    /// Leave out connections that are being made
    #[arg(long)]
    pub tcp_skip_in_flight: bool,
    /// Link files that have no name any more
    #[arg(long)]
    pub link_remap: bool,
    /// Where memory goes
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = page_server)]
    pub page_server: Option<(String, u16)>,
    /// Write a zero byte to this file when --lazy-pages can be fetched
    #[arg(long, value_name = "FD", allow_negative_numbers = true)]
    pub status_fd: Option<i32>,
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
}

fn page_server(text: &str) -> Result<(String, u16), Invalid> {
    let wrong = || Invalid::new("it is not ADDRESS:PORT");
    let (address, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().ok().filter(|port| *port != 0 && !address.is_empty()).ok_or_else(wrong)?;
    Ok((address.to_owned(), port))
}

#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    pub saving: Saving,
    /// Directory of config.json
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// Leave the container to itself
    #[arg(long, short)]
    pub detach: bool,
    /// Write the pid of the container's first process to this file
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Unix socket that takes the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Accepted: orphans are never adopted
    #[arg(long)]
    pub no_subreaper: bool,
    /// Do without pivot_root; not supported
    #[arg(long)]
    pub no_pivot: bool,
    /// So many files after standard error take the place of those that the container had
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub preserve_fds: u32,
    /// Another profile of AppArmor or SELinux, as TYPE:NAME
    #[arg(long, value_name = "PROFILE", default_value = "")]
    pub lsm_profile: String,
    /// Another SELinux context of mounts
    #[arg(long, value_name = "CONTEXT", default_value = "")]
    pub lsm_mount_context: String,
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct List {
    /// table or json
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// Print ids only
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Ps {
    /// table or json
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    #[arg(required = true, value_name = "CONTAINER")]
    pub id: String,
    /// What ps(1) is called with, -ef if nothing
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Spec {
    /// Directory to write config.json to
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// For an ordinary user
    #[arg(long)]
    pub rootless: bool,
}

#[derive(Debug, Args)]
struct Features {}

struct Entry {
    name: &'static str,
    about: &'static str,
    parse: fn(Vec<OsString>) -> Result<Parsed, Failure>,
}

enum Parsed {
    Verb(Oci),
    Help(String),
}

static ENTRIES: [Entry; 17] = [
    Entry { name: "create", about: "Create a container", parse: |words| leaf("create", words, Oci::Create) },
    Entry { name: "start", about: "Start a created container", parse: |words| leaf("start", words, Oci::Start) },
    Entry { name: "run", about: "Create and start a container", parse: |words| leaf("run", words, Oci::Run) },
    Entry {
        name: "exec",
        about: "Execute one more process in a container",
        parse: |words| leaf("exec", words, |exec| Oci::Exec(Box::new(exec))),
    },
    Entry { name: "state", about: "Print a container's state", parse: |words| leaf("state", words, Oci::State) },
    Entry { name: "kill", about: "Send a signal to a container", parse: |words| leaf("kill", words, Oci::Kill) },
    Entry { name: "delete", about: "Delete a container", parse: |words| leaf("delete", words, Oci::Delete) },
    Entry { name: "pause", about: "Freeze a container's processes", parse: |words| leaf("pause", words, Oci::Pause) },
    Entry { name: "resume", about: "Let them go on", parse: |words| leaf("resume", words, Oci::Resume) },
    Entry {
        name: "update",
        about: "Give a container other limits",
        parse: |words| leaf("update", words, |update| Oci::Update(Box::new(update))),
    },
    Entry {
        name: "events",
        about: "Say what a container uses, and when it runs out of memory",
        parse: |words| leaf("events", words, Oci::Events),
    },
    Entry {
        name: "checkpoint",
        about: "Save a container's processes with CRIU",
        parse: |words| leaf("checkpoint", words, |checkpoint| Oci::Checkpoint(Box::new(checkpoint))),
    },
    Entry {
        name: "restore",
        about: "Go on with a saved container",
        parse: |words| leaf("restore", words.into_iter().map(dashed).collect(), |it| Oci::Restore(Box::new(it))),
    },
    Entry { name: "list", about: "List containers", parse: |words| leaf("list", words, Oci::List) },
    Entry { name: "ps", about: "List a container's processes", parse: |words| leaf("ps", words, Oci::Ps) },
    Entry { name: "spec", about: "Write a config.json to begin with", parse: |words| leaf("spec", words, Oci::Spec) },
    Entry {
        name: "features",
        about: "Print what this runtime can do",
        parse: |words| leaf("features", words, |Features {}| Oci::Features),
    },
];

/// containerd's own slip, which Go's flags forgive.
fn dashed(word: OsString) -> OsString {
    if word == "-no-subreaper" { "--no-subreaper".into() } else { word }
}

fn leaf<A: Args + FromArgMatches>(
    name: &'static str,
    words: Vec<OsString>,
    verb: fn(A) -> Oci,
) -> Result<Parsed, Failure> {
    let failed = |error: clap::Error| usage::failure(&error, &format!("sampan oci {name}")).code(1);
    let parsed = tree::leaf::<A>(name, true).try_get_matches_from(std::iter::once(NAME.into()).chain(words));
    match parsed.and_then(|matches| A::from_arg_matches(&matches)) {
        Ok(arguments) => Ok(Parsed::Verb(verb(arguments))),
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {
            let about = ENTRIES.iter().find(|entry| entry.name == name).map_or("", |entry| entry.about);
            // So far as runc has it: there are callers that look whether a command is there by its help.
            Ok(Parsed::Help(format!("NAME:\n   {NAME} {name} - {about}\n\n{}", error.render())))
        }
        Err(error) => Err(failed(error)),
    }
}

/// What the words after `oci` mean.
///
/// # Errors
/// None: what cannot be understood is [`Oci::Invalid`].
pub fn parse(words: Vec<OsString>) -> Result<Verb, Failure> {
    let call = |globals, verb| Ok(Verb::Oci(Box::new(Call { globals, verb })));
    let (globals, mut words) = match words.first() {
        Some(first) if first.as_encoded_bytes().starts_with(b"-") => {
            let Top { globals, version, help, words } = match top(&words, false) {
                Ok(top) => top,
                Err(error) => {
                    // As far as they were understood: the log may be among them.
                    let globals = top(&words, true).map(|top| top.globals).unwrap_or_default();
                    return call(globals, Oci::Invalid(usage::failure(&error, "sampan oci").code(1)));
                }
            };
            if version {
                return call(globals, Oci::Version);
            }
            (globals, if help { Vec::new() } else { words })
        }
        _ => (Globals::default(), words),
    };
    if words.is_empty() || words[0] == "help" {
        return Ok(Verb::Help(command("oci").render_help().to_string()));
    }
    let name = words.remove(0);
    let Some(entry) = ENTRIES.iter().find(|entry| name == entry.name) else {
        let known: Vec<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
        let failure = Failure::new(format!("unknown command {:?}", name.to_string_lossy()));
        return call(globals, Oci::Invalid(failure.hint(format!("one of {}", known.join(", "))).code(1)));
    };
    match (entry.parse)(words) {
        Ok(Parsed::Verb(verb)) => call(globals, verb),
        Ok(Parsed::Help(text)) => Ok(Verb::Help(text)),
        Err(failure) => call(globals, Oci::Invalid(failure)),
    }
}

fn top(words: &[OsString], lenient: bool) -> Result<Top, clap::Error> {
    let words = std::iter::once(NAME.into()).chain(words.iter().cloned());
    let matches = tree::leaf::<Top>("oci", false).ignore_errors(lenient).try_get_matches_from(words)?;
    Top::from_arg_matches(&matches)
}

/// For people: what there is.
pub fn command(name: &'static str) -> Command {
    let command = Globals::augment_args(Command::new(name)).disable_help_subcommand(true);
    let command = command.about("The OCI runtime: containers of bundles, with runc's commands");
    command.subcommands(ENTRIES.iter().map(|entry| Command::new(entry.name).about(entry.about)))
}
