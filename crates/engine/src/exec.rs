//! `sampan exec`: one more process in a container that runs.
//!
//! It is in the container's cgroup before it runs, enters the namespaces of the first process at once, by its pidfd, and
//! has its filter, profile and capabilities.

use crate::config::set_variable;
use crate::containers::{self, Record, Which};
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::model::Model;
use crate::paths::Paths;
use crate::request::Terminal;
use crate::request::process::{User, Variable};
use crate::run::{Notice, code, watch};
use runtime::container::{Call, Stage, Started};
use runtime::join;
use runtime::process::Process;
use runtime::supervise::{self, Exit, Signals};
use spec::runtime::{self as oci, Capabilities, ConsoleSize};
use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    pub container: Which,
    pub command: Vec<String>,
    /// Later ones win.
    pub env: Vec<Variable>,
    pub workdir: Option<String>,
    pub user: Option<User>,
    /// All capabilities; everything else stays as the container has it.
    pub privileged: bool,
    pub terminal: Terminal,
    /// Nobody waits for it.
    pub detach: bool,
}

/// The code that it ended with; 0 for one that is left alone.
///
/// # Errors
/// The container does not run; the command cannot be executed.
pub fn exec(asked: &Exec, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<u8> {
    let Terminal { tty, interactive, .. } = asked.terminal;
    if !asked.detach {
        supervise::check_input(tty, interactive, std::io::stdin())?;
    }
    let record = containers::which(paths, &asked.container)?.record;
    let what = format!("cannot execute in container {}", record.name);
    let first = containers::first(paths, &record, &what)?;
    let model = Model::load(paths, &record)?;
    if model.is_paused() {
        let hint = format!("sampan unpause {}", record.name);
        return Err(Error::rejected(what, "it is paused, and nothing in it goes on").hint(hint));
    }
    let mut process = process(asked, &model, &record, first)?;
    let filter = model.profile(&runtime::observe::host()?)?;
    let cgroup = model.cgroup.as_deref().map(|dir| place(dir, first.pid, &what)).transpose()?;
    let container = join::Container {
        first,
        chrooted: false,
        cgroup,
        cgroups: model.cgroups.into_iter().map(|(_, dir)| dir).collect(),
        enter: None,
        personality: None,
        memory: None,
        filter: filter.as_ref(),
        keeps_groups: false,
    };
    // With a terminal its hang-up ends it, unless the caller has detached.
    let (plan, lacking) = join::plan(container, &mut process, |_| None, !asked.detach && !tty)?;
    if !asked.privileged {
        lacking.into_iter().for_each(|text| tell(Notice::Warning(text)));
    }
    // Blocked before the clone: from here on a signal is read, not suffered.
    let signals = (!asked.detach).then(Signals::take).transpose().map_err(runtime::Error::from)?;
    let mut started = start(asked, &plan)?;
    let session = crate::run::id()?;
    let news = |action: String| News::of(&record, action).with("execID", &session);
    let told = ["exec_create", "exec_start"].map(|word| news(format!("{word}: {}", asked.command.join(" "))));
    events::tell(paths, told);
    let exit = match &signals {
        Some(signals) => watch(&asked.terminal, &mut started, signals, tell)?,
        None => Exit::Detached,
    };
    if let (Exit::Detached | Exit::Interrupted(_), Some(terminal)) = (exit, &started.terminal) {
        supervise::hold(terminal, &started.child.pidfd).map_err(runtime::Error::from)?;
    }
    if exit == Exit::Detached {
        return Ok(0);
    }
    let code = code(exit);
    if !matches!(exit, Exit::Interrupted(_)) {
        events::tell(paths, [news("exec_die".to_owned()).with("exitCode", code)]);
    }
    Ok(code)
}

fn start(asked: &Exec, plan: &plan::Plan) -> Result<Started> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| Error::io("cannot open /dev/null", &error))?;
    let stdin = if asked.terminal.interactive && !asked.detach { 0 } else { null.as_raw_fd() };
    let (stdout, stderr) = if asked.detach { (null.as_raw_fd(), null.as_raw_fd()) } else { (1, 2) };
    let mut at = |_: Stage, _: i32, _: &mut Option<OwnedFd>| Ok(());
    let call = Call { stdio: [stdin, stdout, stderr], passed: 0, timed: false, at: &mut at };
    Ok(runtime::container::start(plan, None, runtime::apply::Context::default(), call)?)
}

/// Its directory on v2 for one more process.
fn place(dir: &str, first: i32, what: &str) -> Result<String> {
    let dir = runtime::observe::cgroup::of_another(dir, first).map_err(runtime::Error::from)?;
    if runtime::observe::cgroup::may_clone_into(&dir).map_err(runtime::Error::from)? {
        return Ok(dir);
    }
    let why = format!("its cgroup {dir} is another session's, and no process can be moved from one to another");
    Err(Error::rejected(what, why).hint("call it in the session in which the container was started"))
}

/// As the container's first, but for what is asked for.
fn process(asked: &Exec, model: &Model, record: &Record, first: Process) -> Result<oci::Process> {
    let mut process = model.process.clone();
    process.args.clone_from(&asked.command);
    process.terminal = asked.terminal.tty;
    process.console_size = asked.terminal.tty.then(console);
    // What neither the image nor the request had said was said for the first process.
    let given = |name: &str| record.config.env.iter().any(|line| line.split('=').next() == Some(name));
    if !given("TERM") {
        let term = asked.terminal.tty.then(|| "TERM=xterm".to_owned());
        set_variable(&mut process.env, "TERM", term);
    }
    if let Some(user) = &asked.user {
        let found = find_user(user, first)?;
        if !given("HOME") {
            set_variable(&mut process.env, "HOME", Some(format!("HOME={}", found.home)));
        }
        process.user.uid = found.uid;
        process.user.gid = found.gid;
        process.user.additional_gids = found.additional_gids;
    }
    for variable in &asked.env {
        let line = variable.value.as_ref().map(|value| format!("{}={value}", variable.name));
        set_variable(&mut process.env, &variable.name, line);
    }
    if let Some(workdir) = &asked.workdir {
        process.cwd.clone_from(workdir);
    }
    if asked.privileged {
        let all: Vec<String> = plan::capability::NAMES.map(str::to_owned).into();
        // Nothing inheritable (CVE-2022-27652).
        let (effective, permitted) = (all.clone(), all.clone());
        process.capabilities = Some(Capabilities { bounding: all, effective, permitted, ..Capabilities::default() });
    }
    Ok(process)
}

fn console() -> ConsoleSize {
    let size = supervise::Size::of(std::io::stdin());
    size.map(|size| ConsoleSize { height: size.rows, width: size.columns }).unwrap_or_default()
}

/// By the files that the container sees now. They are looked up name by name from its root, as a stranger's layer is.
fn find_user(asked: &User, first: Process) -> Result<image::user::User> {
    let view = image::Rootfs::open(&[format!("/proc/{}/root", first.pid)])?;
    if !first.lives() {
        return Err(runtime::Error::Gone(first.pid).into());
    }
    let group = asked.group.as_ref().map(|group| format!(":{group}")).unwrap_or_default();
    Ok(image::user::resolve(&view, &format!("{}{group}", asked.user), &[])?)
}
