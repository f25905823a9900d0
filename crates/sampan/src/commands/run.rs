//! `sampan run`.

use crate::cli::Globals;
use crate::ui::{self, Bars, Failure, To, Ui};
use engine::Paths;
use engine::request::Run;
use engine::run::{Ended, Notice};

/// Shows what happens meanwhile.
pub struct Teller<'a> {
    bars: Bars,
    ui: &'a Ui,
}

impl<'a> Teller<'a> {
    #[must_use]
    pub fn new(quiet: bool, ui: &'a Ui) -> Self {
        Self { bars: Bars::new(if quiet { To::Nowhere } else { To::Error }), ui }
    }

    pub fn tell(&mut self, notice: Notice) {
        match notice {
            Notice::Warning(text) => self.ui.warn(&text),
            Notice::Pulling(name) => self.bars.line(&format!("Unable to find image '{name}' locally")),
            Notice::Progress(progress) => self.bars.show(&progress),
            Notice::Pulled(pulled) => self.bars.line(&super::pull::status(&pulled)),
            Notice::Leftover(error) => super::warn_of_rest(&error, self.ui),
        }
    }
}

/// # Errors
/// [`Failure`], with docker's exit code.
pub fn run(mut request: Run, globals: &Globals, ui: &Ui) -> Result<u8, Failure> {
    let paths = super::paths(globals)?;
    engine::pods::admit(&mut request, &paths, &mut |notice| Teller::new(true, ui).tell(notice))?;
    if request.explain {
        return explain(&request, &paths, ui);
    }
    let mut teller = Teller::new(request.quiet, ui);
    let mut tell = |notice| teller.tell(notice);
    if request.detach {
        let id = engine::start::run(&request, &paths, &mut tell)?;
        ui::print(&format!("{id}\n"))?;
        return Ok(ui::SUCCESS);
    }
    let ended = if request.is_watched() && !request.timings {
        engine::attach::run(&request, &paths, &mut tell)?
    } else {
        engine::run::run(&request, &paths, &mut tell)?
    };
    for line in ended.timings.iter().flat_map(super::timings::lines) {
        ui.info(&line);
    }
    Ok(self::ended(&ended, ui))
}

/// 128 and SIGSYS, which nothing but a filter sends.
const KILLED_BY_FILTER: u8 = 159;

/// The exit code, and what is to be said of the end.
pub fn ended(ended: &Ended, ui: &Ui) -> u8 {
    if let Some(limit) = ended.out_of_memory {
        let limit = limit.map_or(String::new(), |bytes| format!(" (the limit is {})", spec::unit::binary(bytes)));
        ui.warn(&format!("out of memory: the kernel killed a process of the container{limit}"));
    }
    if ended.refused_processes > 0 {
        ui.warn("no more processes: the container was at its limit, which --pids-limit raises");
    }
    if ended.code == KILLED_BY_FILTER {
        ui.warn(
            "killed by SIGSYS: a seccomp filter forbids a system call that it made (--security-opt seccomp=PROFILE)",
        );
    }
    ended.code
}

fn explain(request: &Run, paths: &Paths, ui: &Ui) -> Result<u8, Failure> {
    let explained = engine::run::explain(request, paths)?;
    for warning in &explained.warnings {
        ui.warn(warning);
    }
    ui::print(&explained.script)?;
    Ok(ui::SUCCESS)
}
