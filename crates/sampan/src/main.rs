//! The binary: arguments in, one verb called, messages and an exit code out.

mod cli;
mod commands;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    engine::run::reap_if_asked();
    if let Some(code) = engine::remote::serve_if_asked() {
        return code;
    }
    let call = match cli::parse(cli::words(std::env::args_os())) {
        Ok(call) => call,
        Err(failure) => return ui::Ui::plain().failed(&failure),
    };
    let ui = ui::Ui::new(call.globals.level(), call.verb.quiet());
    commands::dispatch(call, &ui).unwrap_or_else(|failure| ui.failed(&failure))
}
