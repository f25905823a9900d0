//! `sampan oci`: containers of bundles, as engines ask for them.
//!
//! Invariant: nothing is printed on success but what was asked for; a failure is one line of the log as callers parse
//! it, a message on standard error, and exit code 1; of `exec` 255, which no command is likely to end with, as in runc.

use crate::cli::oci::{
    Call, Checkpoint, Create, Events, Exec, Format, Globals, Kill, List, LogFormat, Oci, Ps, Restore, Rootless, Run,
    Saving, Spec, Update,
};
use crate::ui::{self, Failure, table};
use oci::{Id, Root, Seen};
use serde_json::json;
use spec::runtime::{BlockIo, Cpu, IntelRdt, Memory, Pids, Resources};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// # Errors
/// [`Failure`], which is in the log by then.
pub fn run(call: Call) -> Result<u8, Failure> {
    let globals = call.globals;
    if globals.debug {
        debug(&globals, &format!("{:?}", call.verb));
    }
    let invalid = matches!(call.verb, Oci::Invalid(_));
    let code = if matches!(call.verb, Oci::Exec(_)) { 255 } else { 1 };
    act(call.verb, &globals).map_err(|failure| {
        // One line: of more than one, podman shows the one with the errno, and nobody knows of what it is.
        let text = std::iter::once(&*failure.what).chain(failure.causes.iter().map(String::as_str)).collect::<Vec<_>>();
        let what = text.join(": ");
        log(&globals, "error", &what);
        if invalid {
            return failure;
        }
        // Nor a hint where the exec failed: engines show all of it to who asked for the command.
        let hint = failure.hint.filter(|_| failure.code.is_none());
        Failure { what, causes: Vec::new(), hint, ..failure }.code(code)
    })
}

fn act(verb: Oci, globals: &Globals) -> Result<u8, Failure> {
    // Nothing is done of which nobody could be told.
    if let Some(path) = &globals.log {
        open(path).map_err(|error| engine::refused(format!("cannot open the log {}", path.display()), &error))?;
    }
    let variable = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from);
    let root = Root::new(globals.root.clone(), variable)?;
    let id = |text: String| text.parse::<Id>().map_err(Failure::from);
    match verb {
        Oci::Create(arguments) => {
            let name = id(arguments.id.clone())?;
            let asked = asked(arguments, globals, false)?;
            oci::create(&root, &name, &asked, &mut |warning| log(globals, "warning", warning)).map(drop)?;
        }
        Oci::Run(arguments) => return launch(&root, arguments, globals),
        Oci::Start(arguments) => {
            let warnings = oci::start(&root, &id(arguments.id)?)?;
            warn(globals, &warnings);
        }
        Oci::Exec(arguments) => return exec(&root, *arguments, globals),
        Oci::State(arguments) => print_json(&oci::state(&root, &id(arguments.id)?)?)?,
        Oci::Kill(arguments) => kill(&root, arguments)?,
        Oci::Pause(arguments) => oci::pause(&root, &id(arguments.id)?)?,
        Oci::Resume(arguments) => oci::resume(&root, &id(arguments.id)?)?,
        Oci::Events(arguments) => events(&root, arguments)?,
        Oci::Update(arguments) => update(&root, *arguments)?,
        Oci::Delete(arguments) => {
            let warnings = oci::delete(&root, &id(arguments.id)?, arguments.force)?;
            warn(globals, &warnings);
        }
        Oci::Checkpoint(arguments) => {
            let warnings = oci::checkpoint(&root, &id(arguments.id.clone())?, &saved(*arguments))?;
            warn(globals, &warnings);
        }
        Oci::Restore(arguments) => return restore(&root, *arguments, globals),
        Oci::List(arguments) => list(&root, &arguments)?,
        Oci::Ps(arguments) => ps(&root, arguments)?,
        Oci::Spec(arguments) => spec(&arguments)?,
        Oci::Features => print_json(&oci::features())?,
        Oci::Version => ui::print(&version())?,
        Oci::Invalid(failure) => return Err(failure),
    }
    Ok(ui::SUCCESS)
}

/// With the words of crun's for what it can do, which people look for.
fn version() -> String {
    let criu = if oci::checkpoints() { " +CRIU" } else { "" };
    let number = env!("CARGO_PKG_VERSION");
    format!("sampan-oci version {number}\nspec: 1.3.0\n+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF{criu}\n")
}

fn refuse_no_pivot(asked: bool) -> Result<(), Failure> {
    let why = "a chroot can be left, and the host's mounts would still be there to be found";
    if asked { Err(Failure::new("cannot do without pivot_root").cause(why)) } else { Ok(()) }
}

fn asked(arguments: Create, globals: &Globals, foreground: bool) -> Result<oci::Create, Failure> {
    Ok(oci::Create {
        bundle: arguments.bundle,
        pid_file: arguments.pid_file,
        console_socket: arguments.console_socket,
        pidfd_socket: arguments.pidfd_socket,
        passed: oci::Passed::find(arguments.preserve_fds)?,
        no_new_keyring: arguments.no_new_keyring,
        systemd: globals.systemd_cgroup,
        cgroup: if globals.rootless == Rootless::False { oci::Need::Always } else { oci::Need::Possible },
        no_pivot: arguments.no_pivot,
        foreground,
    })
}

fn launch(root: &Root, arguments: Run, globals: &Globals) -> Result<u8, Failure> {
    let id: Id = arguments.create.id.parse()?;
    let asked = asked(arguments.create, globals, !arguments.detach)?;
    let ended = oci::run(root, &id, &asked, arguments.keep, &mut |warning| log(globals, "warning", warning))?;
    warn(globals, &ended.warnings);
    Ok(ended.code)
}

fn saving(arguments: Saving) -> oci::Saving {
    oci::Saving {
        images: arguments.image_path,
        work: arguments.work_path,
        tcp_established: arguments.tcp_established,
        ext_unix_sk: arguments.ext_unix_sk,
        shell_job: arguments.shell_job,
        lazy_pages: arguments.lazy_pages,
        file_locks: arguments.file_locks,
        auto_dedup: arguments.auto_dedup,
        cgroups: arguments.manage_cgroups_mode.unwrap_or_default(),
        ..oci::Saving::default()
    }
}

fn saved(arguments: Checkpoint) -> oci::Checkpoint {
    oci::Checkpoint {
        saving: oci::Saving {
            tcp_skip_in_flight: arguments.tcp_skip_in_flight,
            link_remap: arguments.link_remap,
            ..saving(arguments.saving)
        },
        parent: arguments.parent_path,
        pre_dump: arguments.pre_dump,
        leave_running: arguments.leave_running,
        page_server: arguments.page_server,
        // runc's word for none.
        status_fd: arguments.status_fd.filter(|fd| *fd != -1),
    }
}

fn restore(root: &Root, arguments: Restore, globals: &Globals) -> Result<u8, Failure> {
    let passed = oci::Passed::find(arguments.preserve_fds)?;
    refuse_no_pivot(arguments.no_pivot)?;
    let restore = oci::Restore {
        saving: saving(arguments.saving),
        bundle: arguments.bundle,
        pid_file: arguments.pid_file,
        console_socket: arguments.console_socket,
        passed,
        systemd: globals.systemd_cgroup,
        lsm_profile: arguments.lsm_profile,
        lsm_mount_context: arguments.lsm_mount_context,
        foreground: !arguments.detach,
    };
    let ended = oci::restore(root, &arguments.id.parse()?, &restore)?;
    warn(globals, &ended.warnings);
    Ok(ended.code)
}

fn exec(root: &Root, arguments: Exec, globals: &Globals) -> Result<u8, Failure> {
    let id: Id = arguments.id.parse()?;
    let what = match arguments.process {
        Some(path) => oci::What::File(path),
        None => oci::What::Like(Box::new(oci::Changes {
            args: arguments.args,
            terminal: arguments.tty,
            cwd: arguments.cwd,
            env: arguments.env,
            user: arguments.user,
            additional_gids: arguments.additional_gids,
            no_new_privileges: arguments.no_new_privs,
            apparmor: arguments.apparmor,
            selinux_label: arguments.process_label,
            capabilities: arguments.cap,
        })),
    };
    let exec = oci::Exec {
        what,
        pid_file: arguments.pid_file,
        console_socket: arguments.console_socket,
        pidfd_socket: arguments.pidfd_socket,
        passed: oci::Passed::find(arguments.preserve_fds)?,
        cgroups: arguments.cgroup,
        ignore_paused: arguments.ignore_paused,
        foreground: !arguments.detach,
    };
    let failed = |error| Failure::of_plan(&format!("cannot execute in the container {id}"), error);
    oci::exec(root, &id, &exec, &mut |warning| log(globals, "warning", warning)).map_err(failed)
}

fn update(root: &Root, arguments: Update) -> Result<(), Failure> {
    let id: Id = arguments.id.parse()?;
    let Some(path) = &arguments.resources else {
        let share = IntelRdt {
            l3_cache_schema: arguments.l3_cache_schema.clone(),
            mem_bw_schema: arguments.mem_bw_schema.clone(),
            ..IntelRdt::default()
        };
        return Ok(oci::update(root, &id, &limits(arguments), &share)?);
    };
    let cannot = |error| engine::refused(format!("cannot read {}", path.display()), &error);
    let text = match path.to_str() {
        Some("-") => oci::whole(std::io::stdin(), path)?,
        _ => oci::whole(std::fs::File::open(path).map_err(cannot)?, path)?,
    };
    Ok(oci::update(root, &id, &oci::resources(&text)?, &IntelRdt::default())?)
}

fn limits(arguments: Update) -> Resources {
    let memory = Memory {
        limit: arguments.memory,
        reservation: arguments.memory_reservation,
        swap: arguments.memory_swap,
        kernel: arguments.kernel_memory,
        kernel_tcp: arguments.kernel_memory_tcp,
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: arguments.cpu_share,
        quota: arguments.cpu_quota,
        period: arguments.cpu_period,
        burst: arguments.cpu_burst,
        realtime_runtime: arguments.cpu_rt_runtime,
        realtime_period: arguments.cpu_rt_period,
        idle: arguments.cpu_idle,
        cpus: arguments.cpuset_cpus,
        mems: arguments.cpuset_mems,
    };
    Resources {
        memory: Some(memory),
        cpu: Some(cpu),
        pids: arguments.pids_limit.map(|limit| Pids { limit: Some(limit) }),
        block_io: arguments.blkio_weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    }
}

/// A line each.
fn events(root: &Root, arguments: Events) -> Result<(), Failure> {
    let id: Id = arguments.id.parse()?;
    if arguments.interval.0.is_zero() {
        return Err(Failure::new("cannot use the interval 0s").cause("it has to be greater than 0"));
    }
    // Who listens no more ends it.
    let mut tell = |event: &oci::Event| {
        let mut out = std::io::stdout().lock();
        let text = serde_json::to_string(event).unwrap_or_default() + "\n";
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
    };
    if arguments.stats {
        tell(&oci::stats(root, &id)?);
        return Ok(());
    }
    Ok(oci::watch(root, &id, arguments.interval.0, &mut tell)?)
}

fn kill(root: &Root, arguments: Kill) -> Result<(), Failure> {
    let id: Id = arguments.id.parse()?;
    let unknown = |error| Failure::new(format!("cannot send a signal to the container {id}")).cause(error);
    // As kill(2) has it: 0 only asks.
    let signal = match arguments.signal.as_str() {
        "0" => None,
        name => Some(name.parse::<oci::Signal>().map_err(unknown)?),
    };
    if arguments.all {
        oci::kill_all(root, &id, signal)?
    } else {
        oci::kill(root, &id, signal)?
    }
    Ok(())
}

fn list(root: &Root, arguments: &List) -> Result<(), Failure> {
    let seen = oci::list(root)?;
    match arguments.format {
        _ if arguments.quiet => ui::print(&seen.iter().map(|seen| format!("{}\n", seen.id)).collect::<String>()),
        // Not by a Value, which would sort the fields.
        Format::Json => ui::print(&format!("{}\n", serde_json::to_string(&seen).unwrap_or_default())),
        Format::Table => {
            let cells: Vec<_> = seen.into_iter().map(cells).collect();
            ui::print(&table(Some(&["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]), &cells))
        }
    }
}

fn cells(Seen { id, pid, status, bundle, created, owner, .. }: Seen) -> Vec<String> {
    let status = json!(status).as_str().unwrap_or_default().to_owned();
    vec![id, pid.to_string(), status, bundle, created, owner]
}

/// The table is that of ps(1), whatever it is called with, with the lines of the container's processes.
fn ps(root: &Root, arguments: Ps) -> Result<(), Failure> {
    let pids = oci::processes(root, &arguments.id.parse()?)?;
    if arguments.format == Format::Json {
        return ui::print(&format!("{}\n", json!(pids)));
    }
    let options = if arguments.options.is_empty() { vec!["-ef".to_owned()] } else { arguments.options };
    let cannot = "cannot list processes";
    let output = Command::new("ps").args(options).output().map_err(|error| engine::refused(cannot, &error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let Some(column) = header.split_whitespace().position(|word| word == "PID") else {
        return Err(Failure::new(cannot).cause("ps shows no column PID").hint("use --format json"));
    };
    let own = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    ui::print(&std::iter::once(header).chain(lines.filter(own)).map(|line| format!("{line}\n")).collect::<String>())
}

fn spec(arguments: &Spec) -> Result<(), Failure> {
    let path = arguments.bundle.join("config.json");
    let text = oci::template(arguments.rootless.then(oci::caller));
    let written = std::fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| engine::refused(format!("cannot write {}", path.display()), &error).into())
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    ui::print(&format!("{text}\n"))
}

/// Only in the log: standard error of a command that worked is empty.
fn warn(globals: &Globals, warnings: &[oci::Error]) {
    for warning in warnings {
        log(globals, "warning", &warning.to_string());
    }
}

/// Without a log, on standard error: it was asked for.
fn debug(globals: &Globals, text: &str) {
    match &globals.log {
        Some(_) => log(globals, "debug", text),
        None => _ = std::io::stderr().write_all(line(globals, "debug", text).as_bytes()),
    }
}

/// As callers read it: containerd looks for `level` and `msg`.
fn line(globals: &Globals, level: &str, text: &str) -> String {
    let time = oci::now();
    match globals.log_format {
        LogFormat::Json => format!("{}\n", json!({ "level": level, "msg": text, "time": time })),
        LogFormat::Text => format!("time={} level={level} msg={}\n", json!(time), json!(text)),
    }
}

fn open(log: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).open(log)
}

/// A log that cannot be written to any more leaves nobody to tell.
fn log(globals: &Globals, level: &str, text: &str) {
    let Some(path) = &globals.log else { return };
    let line = line(globals, level, text);
    let _ = open(path).and_then(|mut file| file.write_all(line.as_bytes()));
}
