//! The binary: arguments in, one verb called, messages and an exit code out.

#![cfg_attr(not(test), no_main)]

mod cli;
mod commands;
mod template;
mod ui;

use std::ffi::OsString;

#[cfg(not(test))]
engine::entry!(run);

#[cfg_attr(test, allow(dead_code, reason = "the tests' harness has a main of its own"))]
fn run(words: Vec<OsString>) -> u8 {
    engine::run::reap_if_asked(&words);
    if let Some(code) = engine::monitor::serve_if_asked(&words).or_else(|| engine::remote::serve_if_asked(&words)) {
        return code;
    }
    let podman = cli::is_podman(&words);
    let call = match cli::parse(cli::words(words)) {
        Ok(mut call) => {
            call.globals.podman = podman;
            call
        }
        Err(failure) => return ui::Ui::plain().failed(&failure),
    };
    let ui = ui::Ui::new(call.globals.level(), call.verb.quiet());
    let code = commands::dispatch(call, &ui).unwrap_or_else(|failure| ui.failed(&failure));
    if let Some(why) = engine::events::failure() {
        ui.warn(why);
    }
    code
}
