//! One verb a file: call the engine, print. No policy here.

mod archive;
mod check;
mod commit;
mod completion;
mod cp;
mod df;
mod diff;
mod doctor;
mod events;
mod exec;
mod history;
mod image;
mod images;
mod info;
mod inspect;
mod lifecycle;
mod list;
mod login;
mod logs;
mod manifest;
mod mount;
mod network;
mod oci;
mod pause;
mod pod;
mod port;
mod prune;
mod ps;
mod pull;
mod push;
mod registry;
mod rm;
mod run;
mod secret;
mod startup;
mod stats;
mod timings;
mod top;
mod update;
mod version;
mod volume;

use crate::cli::{Call, Verb};
use crate::ui::{self, Failure, Ui};
use engine::containers::now;
use engine::request::{Run, proxy};
use engine::snapshot::Driver;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

/// # Errors
/// [`Failure`], with the exit code where it is not 125.
pub fn dispatch(call: Call, ui: &Ui) -> Result<u8, Failure> {
    let Call { globals, verb } = call;
    match verb {
        Verb::Run(request) => return run::run(ready(*request, &globals, ui)?, &globals, ui),
        Verb::Start(arguments) => return coded(lifecycle::start(&arguments, &globals, ui)),
        Verb::HealthCheck(arguments) => return coded(lifecycle::health_check(&arguments, &globals, ui)),
        Verb::Attach(arguments) => return coded(lifecycle::attach(&arguments, &globals, ui)),
        Verb::Exec(asked) => return exec::run(&asked, &globals, ui),
        Verb::Oci(call) => return oci::run(*call),
        Verb::Manifest(verb) => return manifest::run(&verb, &globals).map_err(usual),
        Verb::Pod(call) => return pod::run(&call, &globals, ui).map_err(usual),
        Verb::Secret(call) => return secret::run(&call, &globals, ui).map_err(usual),
        Verb::Network(call) => return network::run(&call, &globals, ui).map_err(usual),
        Verb::Help(text) => ui::print(&text),
        Verb::Version(arguments) => version::print(&arguments, &globals),
        Verb::Completion(shell) => completion::print(shell),
        Verb::Create(request) => {
            ready(*request, &globals, ui).and_then(|request| lifecycle::create(&request, &globals, ui))
        }
        Verb::Stop(arguments) => lifecycle::stop(&arguments, &globals, ui),
        Verb::Kill(arguments) => lifecycle::kill(&arguments, &globals, ui),
        Verb::Wait(arguments) => lifecycle::wait(&arguments, &globals, ui),
        Verb::Restart(arguments) => lifecycle::restart(&arguments, &globals, ui),
        Verb::Rename(arguments) => lifecycle::rename(&arguments, &globals, ui),
        Verb::ContainerPrune(arguments) => prune::containers(&arguments, &globals, ui),
        Verb::StartAll(_) => startup::start_all(&globals, ui),
        Verb::StopAll(_) => startup::stop_all(&globals, ui),
        Verb::Enable(_) => startup::enable(&globals),
        Verb::Disable(_) => startup::disable(),
        Verb::Ps(arguments) => ps::run(&arguments, &globals, ui),
        Verb::Cp(asked, quiet, to) => cp::run(&asked, quiet, &to, &globals, ui),
        Verb::Update(asked, containers) => update::run(&asked, &containers, &globals, ui),
        Verb::Pause(of) => pause::pause(&of, &globals, ui),
        Verb::Unpause(of) => pause::unpause(&of, &globals, ui),
        Verb::Top(arguments) => top::run(&arguments, &globals),
        Verb::Port(arguments) => port::run(&arguments, &globals),
        Verb::Stats(arguments) => stats::run(&arguments, &globals),
        Verb::Remove(arguments) => rm::run(&arguments, &globals, ui),
        Verb::Logs(arguments) => logs::run(&arguments, &globals),
        Verb::Events(arguments) => events::run(&arguments, &globals),
        Verb::ImageBootstrap(arguments) => image::bootstrap(&arguments, &globals),
        Verb::ImageList(arguments) => return coded(images::run(&arguments, &globals, ui)),
        Verb::ImageInspect(arguments) => inspect::images(&arguments, &globals),
        Verb::Inspect(arguments) => inspect::any(&arguments, &globals),
        Verb::ContainerInspect(arguments) => inspect::containers(&arguments, &globals),
        Verb::Pull(arguments) => pull::run(&arguments, &globals),
        Verb::Push(arguments) => push::run(&arguments, &globals),
        Verb::Login(arguments) => login::login(&arguments, &globals, ui),
        Verb::Logout(arguments) => login::logout(&arguments),
        Verb::Tag(arguments) => image::tag(&arguments, &globals),
        Verb::Untag(arguments) => image::untag(&arguments, &globals),
        Verb::Tags(arguments) => registry::tags(&arguments, &globals),
        Verb::Search(arguments) => registry::search(&arguments, &globals),
        Verb::Save(arguments) => archive::save(&arguments, &globals),
        Verb::Load(arguments) => archive::load(&arguments, &globals),
        Verb::ImagePrune(arguments) => prune::images(&arguments, &globals, ui),
        Verb::SystemPrune(arguments) => prune::system(&arguments, &globals, ui),
        Verb::Check(arguments) => check::run(&arguments, &globals, ui),
        Verb::Doctor(arguments) => doctor::run(&arguments, &globals),
        Verb::DiskUsage(arguments) => df::run(&arguments, &globals),
        Verb::History(arguments) => history::history(&arguments, &globals),
        Verb::Commit(arguments) => commit::commit(&arguments, &globals, ui),
        Verb::Export(arguments) => commit::export(&arguments, &globals, ui),
        Verb::Import(arguments) => commit::import(&arguments, &globals),
        Verb::Diff(arguments) => diff::either(&arguments, &globals, ui),
        Verb::ContainerDiff(arguments) => diff::container(&arguments, &globals, ui),
        Verb::Referrers(arguments) => registry::referrers(&arguments, &globals),
        Verb::ImageDiff(arguments) => diff::image(&arguments, &globals),
        Verb::ImageMount(arguments) => mount::mount(&arguments, &globals),
        Verb::ImageUnmount(arguments) => mount::unmount(&arguments, &globals, ui),
        Verb::ImageTree(arguments) => history::tree(&arguments, &globals),
        Verb::ImageRemove(arguments) => image::remove(&arguments, &globals, ui),
        Verb::VolumeCreate(arguments) => volume::create(&arguments, &globals),
        Verb::VolumeList(arguments) => volume::list(&arguments, &globals, ui),
        Verb::VolumeInspect(arguments) => volume::inspect(&arguments, &globals, ui),
        Verb::VolumeRemove(arguments) => volume::remove(&arguments, &globals, ui),
        Verb::VolumePrune(arguments) => prune::volumes(&arguments, &globals, ui),
        Verb::VolumeExists(arguments) => return volume::exists(&arguments, &globals),
        Verb::VolumeExport(arguments) => volume::export(&arguments, &globals, ui),
        Verb::VolumeImport(arguments) => volume::import(&arguments, &globals, ui),
        Verb::Info(arguments) => info::run(&arguments, &globals, ui),
    }
    .map(|()| ui::SUCCESS)
    // docker's exit code for all but `run`.
    .map_err(usual)
}

fn usual(failure: Failure) -> Failure {
    Failure { code: failure.code.or(Some(1)), ..failure }
}

/// docker's exit code of a failure where the verb has others, too.
fn coded(done: Result<u8, Failure>) -> Result<u8, Failure> {
    done.map_err(|failure| Failure { code: failure.code.or(Some(1)), ..failure })
}

/// # Errors
/// [`Failure`] when there is no place for them.
fn paths(globals: &crate::cli::Globals) -> Result<engine::Paths, Failure> {
    let variable = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from);
    Ok(engine::Paths::new(globals.root.clone(), globals.state.clone(), variable)?)
}

/// With what the globals, the environment and docker's file say of all containers.
///
/// # Errors
/// As [`driver`].
fn ready(mut request: Run, globals: &crate::cli::Globals, ui: &Ui) -> Result<Run, Failure> {
    request.driver = driver(globals)?;
    if request.no_proxies {
        return Ok(request);
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let docker = variable("DOCKER_CONFIG").map(PathBuf::from);
    let directory = docker.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".docker")));
    let Some(path) = directory.map(|directory| directory.join("config.json")) else { return Ok(request) };
    let host = variable("DOCKER_HOST").map_or_else(|| DOCKER.to_owned(), |host| host.to_string_lossy().into_owned());
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(request) };
    match proxy::variables(&text, &host, &request.process.env) {
        Ok(mut variables) => {
            variables.append(&mut request.process.env);
            request.process.env = variables;
        }
        // As docker, to which it is nothing that a container could not do without.
        Err(error) => ui.warn(&format!("cannot read the proxies of {}: {error}", path.display())),
    }
    Ok(request)
}

/// Where docker's daemon is, if nobody says otherwise.
const DOCKER: &str = "unix:///var/run/docker.sock";

/// The storage driver that is asked for.
///
/// # Errors
/// [`Failure`] where the environment names none.
fn driver(globals: &crate::cli::Globals) -> Result<Option<Driver>, Failure> {
    const VARIABLE: &str = "SAMPAN_STORAGE_DRIVER";
    match std::env::var(VARIABLE) {
        Ok(text) if globals.storage_driver.is_none() && !text.is_empty() => {
            crate::cli::storage_driver(&text).map(Some).map_err(|invalid| {
                let failure = Failure::new(format!("cannot use {VARIABLE}={text}")).cause(&invalid.why);
                invalid.hint.iter().fold(failure, |failure, hint| failure.hint(hint))
            })
        }
        _ => Ok(globals.storage_driver),
    }
}

/// The paths, after what dead sampans left was undone.
///
/// # Errors
/// As [`paths`].
fn clean_paths(globals: &crate::cli::Globals, ui: &Ui) -> Result<engine::Paths, Failure> {
    let paths = paths(globals)?;
    for error in engine::containers::clean(&paths) {
        warn_of_rest(&error, ui);
    }
    Ok(paths)
}

fn warn_of_rest(error: &engine::Error, ui: &Ui) {
    let hint = error.fix().map_or(String::new(), |hint| format!("\nhint: {hint}"));
    ui.warn(&format!("not undone yet, the next command tries again: {error}{hint}"));
}

/// The last that failed; those before it are told.
fn all(done: impl Iterator<Item = Result<(), Failure>>, ui: &Ui) -> Result<(), Failure> {
    let mut last = Ok(());
    for failure in done.filter_map(Result::err) {
        if let Err(earlier) = std::mem::replace(&mut last, Err(failure)) {
            ui.failed(&earlier);
        }
    }
    last
}

/// Whether a person says yes to removing all that.
///
/// # Errors
/// [`Failure`] when nobody can be asked.
fn agreed(objects: &str, what: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(format!("cannot prune {objects}"))
            .cause("the input is no terminal, so nobody can be asked")
            .hint("add --force"));
    }
    ui::prompt(&format!("WARNING! This will remove {what}.\nAre you sure you want to continue? [y/N] "));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::new("cannot read the answer").cause(error))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn seconds_since(then: u64) -> u64 {
    now().saturating_sub(then)
}

/// So much of an id as tables show.
fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}
