//! The process that stays with a container: from its start to its last end, and what comes of that.
//!
//! Invariant: it holds the container's lease as long as there is something to undo. It alone writes the record of a
//! container that runs. It is told what it must know by [`Handover`], and reads everything else when it is needed.

use crate::containers::{self, Death, Durable, Record, Sent};
use crate::error::Result;
use crate::events::{self, News};
use crate::health::{self, Watcher};
use crate::logs::{self, Writer};
use crate::model::Model;
use crate::net;
use crate::paths::Paths;
use crate::request::health::OnFailure;
use crate::request::{Restart, Run, process};
use crate::run::{self, Identity, Prepared};
use crate::start::{self, Launch};
use crate::time::Moment;
use crate::volumes::object;
use plan::Rejected;
use plan::cgroup::Cgroup;
use runtime::Told;
use runtime::apply::cgroup;
use runtime::container::{Call, Stage, Started};
use runtime::journal::Journal;
use runtime::monitor::channel::{self, Stream};
use runtime::monitor::standing::Standing;
use runtime::monitor::{Beside, Ended, Ends, Manners, Monitor, Stop, handover};
use runtime::process::{Process, Signal};
use runtime::resolver::{Resolver, Sockets, View};
use runtime::supervise::Signals;
use serde::{Deserialize, Serialize};
use spec::unit::Size;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// docker's: the first wait before a container is started again, the longest, and how long it must have run to be taken
/// for one that works.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
const WORKS: Duration = Duration::from_secs(10);

/// docker's, where neither the image nor the user says anything.
const PATIENCE: u32 = 10;

/// How often it was started again, and how long it waited the last time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub times: u32,
    pub delay: Duration,
}

/// What this program's next execution knows.
#[derive(Debug, Serialize, Deserialize)]
struct Handover {
    id: String,
    data: PathBuf,
    state: PathBuf,
    journal: RawFd,
    listener: RawFd,
    tally: Tally,
    /// Of a container that runs; else it is to be started.
    running: Option<Running>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Running {
    pid: i32,
    pidfd: RawFd,
    terminal: Option<RawFd>,
    input: Option<RawFd>,
    outputs: [Option<RawFd>; 2],
    client: Option<(RawFd, bool)>,
    cgroup: Cgroup,
    memory_limit: Option<u64>,
    signal: i32,
    /// Absent: for ever.
    patience: Option<u32>,
    input_once: bool,
    /// Where the container asks for names, and who is asked instead of the host's servers.
    resolver: Option<([RawFd; 3], Vec<IpAddr>)>,
}

/// What came of a start, for the command that waits for it.
#[derive(Debug, Serialize, Deserialize)]
enum Outcome {
    Started,
    Failed(Told),
}

#[derive(Debug, Default)]
pub(crate) struct Report(Option<PipeWriter>);

impl Report {
    pub fn to(pipe: PipeWriter) -> Self {
        Self(Some(pipe))
    }

    /// Once; nobody listens where it is started again.
    fn say(&mut self, outcome: &Outcome) {
        if let (Some(mut pipe), Ok(text)) = (self.0.take(), serde_json::to_vec(outcome)) {
            // Whoever has gone is not to be told.
            let _ = pipe.write_all(&text);
        }
    }
}

/// # Errors
/// What failed in the process that started it.
pub(crate) fn listen(told: &mut PipeReader) -> Result<()> {
    let mut text = Vec::new();
    let read = BufReader::new(told).read_until(0, &mut text);
    read.map_err(|error| crate::Error::io("cannot start a monitor", &error))?;
    match serde_json::from_slice(&text) {
        Ok(Outcome::Started) => Ok(()),
        Ok(Outcome::Failed(told)) => Err(crate::Error::Told(told)),
        Err(_) => Err(crate::Error::rejected("cannot start the container", "the process that started it was killed")
            .hint("try again: the next command undoes what it left")),
    }
}

/// To be called first: `None`, unless this process is a monitor.
pub fn serve_if_asked(words: &[OsString]) -> Option<u8> {
    let handover = serde_json::from_str(&handover::asked(words)?).ok();
    Some(u8::from(handover.is_none_or(|handover| serve(handover).is_err())))
}

/// Comes back when the container has ended for good.
fn serve(handover: Handover) -> Result<()> {
    // What a terminal or a session says to all its processes is not for this one.
    let _signals = Signals::take().map_err(runtime::Error::from)?;
    let Handover { id, data, state, journal, listener, tally, running } = handover;
    let paths = Paths { data, state };
    let journal = Journal::inherit(handover::take(journal)?, &paths.journal(&id));
    let listener = handover::take(listener)?;
    let Some(running) = running else {
        let manners = Manners { signal: Signal::TERM, patience: None, input_once: false };
        let (monitor, standing) = (Monitor::new(listener, None, manners), Standing::default());
        return Post { id, paths, journal, tally, monitor, standing }.again();
    };
    let Running { pid, pidfd, terminal, input, outputs: [out, err], client, cgroup, memory_limit, .. } = running;
    let take = |number: Option<RawFd>| number.map(handover::take).transpose();
    let client = client.map(|(number, input)| Ok::<_, runtime::Error>((handover::take(number)?, input))).transpose()?;
    let manners = Manners {
        signal: Signal::from_raw(running.signal).unwrap_or(Signal::TERM),
        patience: running.patience.map(|seconds| Duration::from_secs(seconds.into())),
        input_once: running.input_once,
    };
    let (pidfd, terminal, input) = (handover::take(pidfd)?, take(terminal)?, take(input)?);
    let ends = Ends { pid, pidfd, terminal, input, outputs: [take(out)?, take(err)?] };
    let resolver = running.resolver.map(|(fds, servers)| resolver(fds, &servers, &paths, &id)).transpose()?;
    let monitor = Monitor::new(listener, client, manners);
    Post { id, paths, journal, tally, monitor, standing: Standing::take() }.watch(ends, &cgroup, memory_limit, resolver)
}

/// The host's servers are where its C library finds them.
fn resolver(fds: [RawFd; 3], servers: &[IpAddr], paths: &Paths, id: &str) -> Result<Resolver> {
    let [udp, tcp, namespace] = fds;
    let sockets =
        Sockets { udp: handover::take(udp)?, tcp: handover::take(tcp)?, namespace: handover::take(namespace)? };
    let view = View { state_dir: paths.networks(), container: id.to_owned() };
    Ok(Resolver::new(sockets, view, servers, "/etc/resolv.conf".into()).map_err(runtime::Error::from)?)
}

/// In a process that stays. Comes back only when it failed, and all is undone.
pub(crate) fn start(launch: Launch<'_>, report: &mut Report) {
    let Launch { request, paths, mut prepared, mut journal, record, client, discard } = launch;
    let listening = channel::serve(&paths.socket(&record.id)).map_err(crate::Error::from);
    let raised = listening.and_then(|listener| {
        let raising = Raising { request, paths, record: &record, tally: Tally::default(), client };
        raising.raise(&mut prepared, &mut journal, &listener, report)
    });
    let Err(error) = raised;
    let told = Told::from(error);
    if discard {
        start::discard(paths, &record);
        run::forget_cidfile(request, &record.id);
    } else {
        let failed = Record { error: told.to_string(), ..record.clone() };
        let _ = containers::write(paths, &failed, Durable::Yes);
    }
    containers::forget_running(paths, &record.id);
    // What cannot be undone the next command tries, and tells of.
    runtime::undo::replay(journal, None);
    object::reap_of(paths, &record);
    report.say(&Outcome::Failed(told));
}

struct Raising<'a> {
    request: &'a Run,
    paths: &'a Paths,
    record: &'a Record,
    tally: Tally,
    client: Option<(OwnedFd, bool)>,
}

impl Raising<'_> {
    fn raise(
        self,
        prepared: &mut Prepared,
        journal: &mut Journal,
        listener: &OwnedFd,
        report: &mut Report,
    ) -> Result<Infallible> {
        let Self { request, paths, record, tally, client } = self;
        start::tidy(paths, &record.id)?;
        // Blocked before the clone: no signal comes between a step and its undoing.
        let _signals = Signals::take().map_err(runtime::Error::from)?;
        let pipes = Pipes::new(request)?;
        let context = runtime::apply::Context::new(prepared.net.lock.take());
        let mut at = |stage, pid, _: &mut Option<OwnedFd>| match stage {
            Stage::Hooks => prepared.hooks.call(pid),
            Stage::Listener(_) => Ok(()),
            Stage::Ready => Ok(announce(request, paths, &begun(record, paths, prepared, pid, tally), &prepared.model)?),
        };
        let call = Call { stdio: pipes.theirs(), passed: 0, timed: false, at: &mut at };
        let started = runtime::container::start(&prepared.plan, Some(&mut *journal), context, call)
            .map_err(|error| run::starved(error, prepared))?;
        // The ports are the container's now, and the layers, as its record says.
        prepared.net.held = None;
        prepared.hold = None;
        (prepared.volumes.held, prepared.volumes.hold) = (Vec::new(), None);
        report.say(&Outcome::Started);
        let restart = (tally.times > 0).then(|| News::of(record, "restart"));
        events::tell(paths, [News::of(record, "start")].into_iter().chain(restart));
        hand_over(request, paths, record, prepared, journal, listener, started, pipes, client, tally)
    }
}

/// The record of a container whose command is about to run.
fn begun(record: &Record, paths: &Paths, prepared: &Prepared, pid: i32, tally: Tally) -> Record {
    let monitor = Process::now(std::process::id().cast_signed());
    Record {
        pid,
        pid_start: runtime::observe::start_time(pid),
        started: containers::now(),
        monitor: monitor.pid,
        monitor_start: monitor.start,
        state: paths.state.clone(),
        ports: prepared.net.ports.clone(),
        restarts: tally.times,
        fleeting: false,
        exit_code: None,
        out_of_memory: false,
        restarting: false,
        paused: false,
        stopped: false,
        error: String::new(),
        death: Death::default(),
        health: None,
        ..record.clone()
    }
}

/// Before its command runs, others can see the container.
fn announce(request: &Run, paths: &Paths, record: &Record, model: &Model) -> std::result::Result<(), Rejected> {
    // What is to be kept first: a container that was seen to run must not be gone after a kill -9. One that its monitor
    // starts again is known to have run.
    if record.restarts == 0 {
        containers::write(paths, record, Durable::Yes)?;
    }
    model.save(paths, &record.id)?;
    containers::write(paths, record, Durable::No)?;
    run::write_pidfile(request, record.pid)
}

/// The ends of what the container has for standard input, output and error where it has no terminal.
struct Pipes {
    null: OwnedFd,
    input: Option<(OwnedFd, OwnedFd)>,
    outputs: Option<[(OwnedFd, OwnedFd); 2]>,
}

impl Pipes {
    fn new(request: &Run) -> Result<Self> {
        let cannot = |error: std::io::Error| crate::Error::io("cannot make a pipe", &error);
        let pipe = || std::io::pipe().map(|(ours, theirs)| (ours.into(), theirs.into())).map_err(cannot);
        let null =
            std::fs::File::open("/dev/null").map_err(|error| crate::Error::io("cannot open /dev/null", &error))?;
        let (tty, interactive) = (request.terminal.tty, request.terminal.interactive);
        let input = if interactive && !tty { Some(pipe()?) } else { None };
        let outputs = if tty { None } else { Some([pipe()?, pipe()?]) };
        Ok(Self { null: null.into(), input, outputs })
    }

    fn theirs(&self) -> [RawFd; 3] {
        let input = self.input.as_ref().map_or(&self.null, |(reads, _)| reads);
        let outputs = self.outputs.as_ref().map(|ends| [&ends[0].1, &ends[1].1]).unwrap_or([&self.null; 2]);
        [input, outputs[0], outputs[1]].map(AsRawFd::as_raw_fd)
    }

    fn ours(self) -> (Option<OwnedFd>, [Option<OwnedFd>; 2]) {
        let input = self.input.map(|(_, writes)| writes);
        (input, self.outputs.map_or([None, None], |ends| ends.map(|(reads, _)| Some(reads))))
    }
}

#[allow(clippy::too_many_arguments, reason = "all that one execution leaves to the next")]
fn hand_over(
    request: &Run,
    paths: &Paths,
    record: &Record,
    prepared: &Prepared,
    journal: &Journal,
    listener: &OwnedFd,
    started: Started,
    pipes: Pipes,
    client: Option<(OwnedFd, bool)>,
    tally: Tally,
) -> Result<Infallible> {
    let Started { child, terminal, resolver, .. } = started;
    let (input, outputs) = pipes.ours();
    let number = |fd: &Option<OwnedFd>| fd.as_ref().map(AsRawFd::as_raw_fd);
    let named = prepared.config.stop_signal.parse().unwrap_or(Signal::TERM);
    let running = Running {
        pid: child.pid,
        pidfd: child.pidfd.as_raw_fd(),
        terminal: number(&terminal),
        input: number(&input),
        outputs: [number(&outputs[0]), number(&outputs[1])],
        client: client.as_ref().map(|(client, input)| (client.as_raw_fd(), *input)),
        cgroup: prepared.cgroup.clone(),
        memory_limit: prepared.memory_limit,
        signal: request.stop.signal.unwrap_or(named).as_raw(),
        patience: match request.stop.patience {
            None => Some(PATIENCE),
            Some(process::Patience::Seconds(seconds)) => Some(seconds),
            Some(process::Patience::Endless) => None,
        },
        input_once: client.is_some(),
        resolver: resolver.as_ref().map(|sockets| {
            let fds = [&sockets.udp, &sockets.tcp, &sockets.namespace].map(AsRawFd::as_raw_fd);
            (fds, prepared.net.resolver.clone().unwrap_or_default())
        }),
    };
    let [out, err] = &outputs;
    let client = client.map(|(client, _)| client);
    let fds = [&terminal, &input, out, err, &client].into_iter().flatten().chain([listener, &child.pidfd]);
    let fds = fds.chain(resolver.iter().flat_map(|sockets| [&sockets.udp, &sockets.tcp, &sockets.namespace]));
    execute(paths, &record.id, journal, listener, tally, Some(running), &fds.collect::<Vec<_>>())
}

fn execute(
    paths: &Paths,
    id: &str,
    journal: &Journal,
    listener: &OwnedFd,
    tally: Tally,
    running: Option<Running>,
    fds: &[&OwnedFd],
) -> Result<Infallible> {
    let (data, state) = (paths.data.clone(), paths.state.clone());
    let lease = journal.file()?;
    let (journal, listener) = (lease.as_raw_fd(), listener.as_raw_fd());
    let handover = Handover { id: id.to_owned(), data, state, journal, listener, tally, running };
    let text = serde_json::to_string(&handover)
        .map_err(|error| crate::Error::rejected("cannot start a monitor", error.to_string()))?;
    Ok(handover::execute(id, &text, &[fds, &[&lease]].concat())?)
}

/// How a run of the container ended.
struct End {
    code: u8,
    out_of_memory: bool,
    death: Death,
    /// Somebody asked for it.
    stopped: bool,
    /// It stays, although it was to go with its end.
    keep: bool,
    /// That is not to be remembered.
    passing: bool,
    /// It is started again, whatever its policy says.
    force: bool,
    /// Why it did not begin.
    error: String,
    ran: Duration,
}

/// A monitor at its place.
struct Post {
    id: String,
    paths: Paths,
    journal: Journal,
    tally: Tally,
    monitor: Monitor,
    standing: Standing,
}

impl Post {
    fn watch(
        mut self,
        ends: Ends,
        cgroup: &Cgroup,
        memory_limit: Option<u64>,
        resolver: Option<Resolver>,
    ) -> Result<()> {
        let begun = Instant::now();
        let manners = self.monitor.manners();
        let mut sideline = Sideline::new(&self.paths, &self.id, cgroup, resolver, manners, self.standing);
        let ended = self.monitor.watch(ends, &mut sideline)?;
        // What could not be written by now is counted as lost.
        sideline.log.as_mut().map(|log| log.finish(Moment::now()));
        let on_failure = sideline.on_failure;
        // With its sockets the container's network goes.
        drop(sideline);
        // Before the cgroup goes. An update may have given it others, and another limit.
        let (cgroup, memory_limit) = self.limits(cgroup, memory_limit);
        let killed = cgroup::oom_kills(&cgroup).unwrap_or(0) > 0;
        let (code, signal) = match ended.exit {
            runtime::monitor::Exit::Code(code) => (code, None),
            runtime::monitor::Exit::Signal(signal) => (128 + signal as u8, Some(signal)),
        };
        let death = Death {
            signal,
            sent: sent(&ended),
            overdue: ended.stop.is_some_and(|stop| stop.overdue),
            memory_peak: cgroup::memory_peak(&cgroup),
            memory_limit,
            unseen: false,
        };
        // What the monitor did for want of health is nobody's wish.
        let (by_hand, of_its_own) = ended.stop.map_or((false, false), |stop| (stop.by.is_some(), stop.by.is_none()));
        let stopped = by_hand || of_its_own && on_failure == OnFailure::Stop;
        let passing = by_hand && ended.stop.is_some_and(|stop| stop.passing);
        let force = of_its_own && on_failure == OnFailure::Restart;
        let keep = by_hand && ended.stop.is_some_and(|stop| stop.keep);
        let out_of_memory = killed && code != 0;
        self.after(End {
            code,
            out_of_memory,
            death,
            stopped,
            keep,
            passing,
            force,
            error: String::new(),
            ran: begun.elapsed(),
        })
    }

    fn limits(&self, cgroup: &Cgroup, memory_limit: Option<u64>) -> (Cgroup, Option<u64>) {
        let record = self.record();
        let v1 = Model::load(&self.paths, &record).map_or_else(|_| cgroup.v1.clone(), |model| model.cgroups);
        let asked = start::load(&self.paths, &record).map(|request| request.limits.memory.map(Size::bytes));
        (Cgroup { v1, ..cgroup.clone() }, asked.unwrap_or(memory_limit))
    }

    /// The container is started once more. Comes back when that failed, or it is not to be.
    fn again(mut self) -> Result<()> {
        let begun = Instant::now();
        let raised = self.raise();
        let Err(error) = raised;
        let told = Told::from(error);
        let (code, error) = (told.code.unwrap_or(125), told.to_string());
        let (death, ran) = (Death::default(), begun.elapsed());
        self.after(End {
            code,
            out_of_memory: false,
            death,
            stopped: false,
            keep: false,
            passing: false,
            force: false,
            error,
            ran,
        })
    }

    fn raise(&mut self) -> Result<Infallible> {
        let record = self.record();
        let request = start::load(&self.paths, &record)?;
        let mut prepared = run::prepare(&request, &self.paths, &Identity::of(record.clone(), &self.paths), true)?;
        let (paths, tally) = (&self.paths, self.tally);
        let raising = Raising { request: &request, paths, record: &record, tally, client: None };
        raising.raise(&mut prepared, &mut self.journal, self.monitor.listener(), &mut Report::default())
    }

    /// That of the container while it runs, or what is kept of it where that is gone.
    fn record(&self) -> Record {
        let running = containers::load(&self.paths.running(&self.id));
        running.or_else(|| containers::load(&self.paths.record(&self.id))).unwrap_or_default()
    }

    fn after(mut self, end: End) -> Result<()> {
        let was = self.record();
        let record = Record {
            pid: 0,
            pid_start: 0,
            exit_code: Some(end.code),
            out_of_memory: end.out_of_memory,
            finished: containers::now(),
            paused: false,
            stopped: end.stopped && !end.passing,
            error: end.error,
            death: end.death,
            ..was
        };
        self.tell(&record);
        let policy = start::load(&self.paths, &record).map(|request| request.restart).unwrap_or_default();
        let remove = record.remove && !end.keep;
        let again = !end.stopped && (end.force || wants(policy, end.code, self.tally.times));
        if !again {
            self.keep(&record, remove);
        }
        let errors = runtime::undo::rewind(&mut self.journal);
        if again && errors.is_empty() {
            let waiting = Record { restarting: true, ..record.clone() };
            let saved = containers::write(&self.paths, &waiting, Durable::No);
            self.monitor.dismiss(end.code, end.out_of_memory);
            let delay = if end.ran >= WORKS { FIRST } else { next(self.tally.delay) };
            self.tally = Tally { times: self.tally.times + 1, delay };
            if saved.is_ok() && !self.monitor.rest(Instant::now() + delay, &mut Idle)? {
                return self.execute();
            }
            self.keep(&Record { stopped: true, ..record.clone() }, remove);
        }
        self.leave(&record, remove, end.code, end.out_of_memory)
    }

    fn tell(&self, record: &Record) {
        let signal = record.death.sent.as_ref().map(|sent| News::of(record, "kill").with("signal", sent.signal));
        let oom = record.out_of_memory.then(|| News::of(record, "oom"));
        let lived = record.finished.saturating_sub(record.started);
        let code = record.exit_code.unwrap_or_default();
        let die = News::of(record, "die").with("exitCode", code).with("execDuration", lived);
        let stop = record.stopped.then(|| News::of(record, "stop"));
        events::tell(&self.paths, signal.into_iter().chain(oom).chain([die]).chain(stop));
    }

    /// Before it is said that it does not run.
    fn keep(&self, record: &Record, remove: bool) {
        if !remove {
            // Without it the next command says that nobody saw its end.
            let _ = containers::write(&self.paths, record, Durable::Yes);
        }
    }

    fn execute(self) -> Result<()> {
        let Self { id, paths, journal, tally, monitor, standing } = self;
        standing.give_up();
        let Err(error) = execute(&paths, &id, &journal, monitor.listener(), tally, None, &[monitor.listener()]);
        Err(error)
    }

    fn leave(mut self, record: &Record, remove: bool, code: u8, out_of_memory: bool) -> Result<()> {
        if remove {
            start::discard(&self.paths, record);
        }
        containers::forget_running(&self.paths, &self.id);
        // What is left of it the next command tries again.
        runtime::undo::replay(self.journal, None);
        if remove {
            object::reap_of(&self.paths, record);
            events::tell(&self.paths, [News::of(record, "destroy")]);
            let _ = crate::images::sweep(&self.paths, &record.all_layers());
        }
        let _ = net::retire(&self.paths);
        self.monitor.dismiss(code, out_of_memory);
        Ok(())
    }
}

fn sent(ended: &Ended) -> Option<Sent> {
    let (by, signal) = ended.signal?;
    let program = std::fs::read_to_string(format!("/proc/{}/comm", by.pid)).unwrap_or_default();
    Some(Sent { signal: signal.as_raw(), pid: by.pid, uid: by.uid, program: program.trim_end().to_owned() })
}

/// docker's rule.
fn wants(policy: Restart, code: u8, times: u32) -> bool {
    match policy {
        Restart::No => false,
        Restart::Always | Restart::UnlessStopped => true,
        Restart::OnFailure(most) => code != 0 && most.is_none_or(|most| times < most),
    }
}

fn next(delay: Duration) -> Duration {
    (delay * 2).clamp(FIRST, LONGEST)
}

/// What a monitor does beside.
struct Sideline<'a> {
    log: Option<Writer>,
    cgroup: &'a Cgroup,
    resolver: Option<Resolver>,
    health: Option<Watcher>,
    on_failure: OnFailure,
    manners: Manners,
}

impl<'a> Sideline<'a> {
    fn new(
        paths: &Paths,
        id: &str,
        cgroup: &'a Cgroup,
        resolver: Option<Resolver>,
        manners: Manners,
        standing: Standing,
    ) -> Self {
        let record = containers::load(&paths.running(id)).unwrap_or_default();
        let settings = logs::settings(paths, id).unwrap_or_default();
        let command = record.command.join(" ");
        let log = Writer::open(&settings, &paths.container(id), logs::whose(&record, &command));
        let request = start::load(paths, &record).unwrap_or_default();
        let check = health::check(&request, &record);
        let health = check.map(|check| Watcher::new(paths, id, check, standing));
        Self { log: log.ok(), cgroup, resolver, health, on_failure: request.health.on_failure, manners }
    }

    fn cgroups(&self) -> Vec<String> {
        self.cgroup.v2.iter().chain(self.cgroup.v1.iter().map(|(_, path)| path)).cloned().collect()
    }
}

impl Beside for Sideline<'_> {
    fn said(&mut self, stream: Stream, bytes: &[u8]) {
        let stream = match stream {
            Stream::Output => logs::Stream::Stdout,
            Stream::Error => logs::Stream::Stderr,
        };
        // A full disk is no reason for the container to wait: the log says what is missing, and clients still get it.
        self.log.as_mut().map(|log| log.write(stream, bytes, Moment::now()));
    }

    fn before_signal(&mut self, _: Signal) {
        let all = self.cgroups();
        if cgroup::is_frozen(&all) {
            let _ = cgroup::thaw(&all);
        }
    }

    fn watched(&self) -> Vec<BorrowedFd<'_>> {
        let health = self.health.as_ref().map_or(Vec::new(), Watcher::watched);
        self.resolver.iter().map(Resolver::fd).chain(health).collect()
    }

    fn due(&self) -> Option<Instant> {
        self.health.as_ref().map(Watcher::due)
    }

    fn turn(&mut self, now: Instant) -> Option<Stop> {
        self.resolver.as_mut().map(Resolver::serve);
        let health = self.health.as_mut()?;
        // Asked only when a probe is due: an idle monitor opens no file.
        let frozen = health.due() <= now && {
            let all: Vec<String> =
                self.cgroup.v2.iter().chain(self.cgroup.v1.iter().map(|(_, path)| path)).cloned().collect();
            cgroup::is_frozen(&all)
        };
        if !health.turn(now, frozen) {
            return None;
        }
        let Manners { signal, patience, .. } = self.manners;
        let stop = Stop {
            by: None,
            signal,
            deadline: patience.map(|patience| now + patience),
            overdue: false,
            keep: true,
            passing: false,
        };
        match self.on_failure {
            OnFailure::None => None,
            OnFailure::Kill => Some(Stop { signal: Signal::KILL, deadline: None, ..stop }),
            OnFailure::Restart | OnFailure::Stop => Some(stop),
        }
    }
}

/// Nothing runs.
struct Idle;

impl Beside for Idle {
    fn said(&mut self, _: Stream, _: &[u8]) {}

    fn before_signal(&mut self, _: Signal) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_crashes_waits_twice_as_long_and_a_minute_at_most() {
        let waits: Vec<u64> = std::iter::successors(Some(next(Duration::ZERO)), |delay| Some(next(*delay)))
            .map(|delay| delay.as_millis() as u64)
            .take(12)
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
    }

    #[test]
    fn a_policy_says_when_it_is_started_again() {
        assert!(!wants(Restart::No, 1, 0));
        assert!(wants(Restart::Always, 0, 100) && wants(Restart::UnlessStopped, 0, 100));
        assert!(!wants(Restart::OnFailure(None), 0, 0) && wants(Restart::OnFailure(None), 1, 100));
        assert!(wants(Restart::OnFailure(Some(2)), 1, 1) && !wants(Restart::OnFailure(Some(2)), 1, 2));
    }
}
