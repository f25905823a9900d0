//! `sampan create`, `start`, `stop`, `kill`, `wait`, `restart`, `rename`.

use crate::cli::{Attach, Globals, HealthCheck, Kill, Rename, Restart, Start, Stop, Wait};
use crate::ui::{self, Failure, Ui};
use engine::containers::Choice;
use engine::control;
use engine::request::Run;
use engine::{Paths, start};

/// # Errors
/// [`Failure`] for everything that is wrong with the request.
pub fn create(request: &Run, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let mut teller = super::run::Teller::new(request.quiet, ui);
    let mut request = request.clone();
    engine::pods::admit(&mut request, &paths, &mut |notice| teller.tell(notice))?;
    let id = start::create(&request, &paths, &mut |notice| teller.tell(notice))?;
    ui::print(&format!("{id}\n"))
}

/// # Errors
/// [`Failure`] for the last that could not be started; the others are.
pub fn start(arguments: &Start, globals: &Globals, ui: &Ui) -> Result<u8, Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let words = arguments.containers.iter().map(ToString::to_string).collect();
    let choice = Choice { words, all: arguments.all, latest: arguments.latest, ignore: false };
    if arguments.attach || arguments.interactive {
        let words = engine::containers::choose(&paths, &choice, false)?;
        let [word] = words.as_slice() else {
            return Err(Failure::new("cannot attach to several containers").hint("name one, or start them without"));
        };
        let mut teller = super::run::Teller::new(true, ui);
        let wish = arguments.terms.wish(arguments.interactive);
        let ended = engine::attach::start(&paths, word, &wish, &mut |notice| teller.tell(notice))?;
        return Ok(super::run::ended(&ended, ui));
    }
    each(&paths, &choice, false, ui, |word| {
        start::start(&paths, word, &mut |notice| super::run::Teller::new(true, ui).tell(notice))?;
        Ok(Some(word.to_owned()))
    })
    .map(|()| ui::SUCCESS)
}

/// # Errors
/// [`Failure`] when it does not run.
pub fn attach(arguments: &Attach, globals: &Globals, ui: &Ui) -> Result<u8, Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let words = arguments.container.iter().map(ToString::to_string).collect();
    let choice = Choice { words, latest: arguments.latest, ..Choice::default() };
    let words = engine::containers::choose(&paths, &choice, true)?;
    let mut teller = super::run::Teller::new(true, ui);
    let wish = arguments.terms.wish(!arguments.no_stdin);
    let word = words.first().map(String::as_str).unwrap_or_default();
    let ended = engine::attach::attach(&paths, word, &wish, &mut |notice| teller.tell(notice))?;
    Ok(super::run::ended(&ended, ui))
}

/// # Errors
/// As [`start`]. So do all below.
pub fn stop(arguments: &Stop, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let stop = control::Stop { signal: arguments.signal, patience: arguments.time, ..control::Stop::default() };
    each(&paths, &arguments.which.which(arguments.ignore), true, ui, |word| {
        control::stop(&paths, word, stop)?;
        Ok(Some(word.to_owned()))
    })
}

pub fn restart(arguments: &Restart, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let stop = control::Stop { signal: arguments.signal, patience: arguments.time, keep: true, passing: false };
    each(&paths, &arguments.which.which(false), arguments.running, ui, |word| {
        let mut teller = super::run::Teller::new(true, ui);
        control::restart(&paths, word, stop, &mut |notice| teller.tell(notice))?;
        Ok(Some(word.to_owned()))
    })
}

pub fn kill(arguments: &Kill, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    each(&paths, &arguments.which.which(false), true, ui, |word| {
        control::kill(&paths, word, arguments.signal)?;
        Ok(Some(word.to_owned()))
    })
}

pub fn wait(arguments: &Wait, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let interval = arguments.interval.map_or(std::time::Duration::from_millis(250), |interval| interval.0);
    each(&paths, &arguments.which.which(arguments.ignore), true, ui, |word| {
        if arguments.condition.is_empty() {
            return Ok(Some(control::wait(&paths, word)?.code.to_string()));
        }
        let code = control::wait_for(&paths, word, &arguments.condition, interval)?;
        // podman's for one that has not ended.
        Ok(Some(code.map_or("-1".to_owned(), |code| code.to_string())))
    })
}

/// # Errors
/// [`Failure`] when there is no such container, or the name is another's.
pub fn rename(arguments: &Rename, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    Ok(control::rename(&paths, arguments.container.as_str(), &arguments.name)?)
}

/// # Errors
/// [`Failure`] when it does not run, or has no check.
pub fn health_check(arguments: &HealthCheck, globals: &Globals, ui: &Ui) -> Result<u8, Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let well = engine::health::ask(&paths, arguments.container.as_str())?;
    if !well {
        ui::print("unhealthy\n")?;
    }
    Ok(u8::from(!well))
}

/// A line for each, and a failure for each that could not be done.
pub(super) fn each(
    paths: &Paths,
    which: &Choice,
    running: bool,
    ui: &Ui,
    mut act: impl FnMut(&str) -> Result<Option<String>, Failure>,
) -> Result<(), Failure> {
    let act = |word: String| match act(&word)? {
        Some(line) => ui::print(&format!("{line}\n")),
        None => Ok(()),
    };
    super::all(engine::containers::choose(paths, which, running)?.into_iter().map(act), ui)
}
