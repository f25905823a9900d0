//! `sampan port`.

use crate::cli::{Globals, Port};
use crate::ui::{self, Failure};
use engine::containers;
use engine::port::{mappings, of_port};

/// # Errors
/// [`Failure`] when there is no such container, or the port is not published.
pub fn run(arguments: &Port, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    if arguments.all {
        let running = containers::list(&paths).into_iter().filter(|listed| listed.running);
        let line =
            |id: &str, it: engine::port::Mapping| format!("{}\t{} -> {}\n", super::short(id), it.inside, it.outside);
        let lines = running.flat_map(|listed| {
            let record = listed.record;
            mappings(&record).into_iter().map(move |it| line(&record.id, it))
        });
        return ui::print(&lines.collect::<String>());
    }
    let (which, port) = arguments.of()?;
    let record = containers::which(&paths, &which)?.record;
    let text: String = match port {
        Some(port) => of_port(&record, port)?.into_iter().map(|outside| outside + "\n").collect(),
        None => mappings(&record).into_iter().map(|it| format!("{} -> {}\n", it.inside, it.outside)).collect(),
    };
    ui::print(&text)
}
