//! `sampan logs`: what containers printed, as they printed it.

use crate::cli::{Globals, Logs};
use crate::ui::{self, Failure, Streams};
use engine::containers::Which;
use engine::logs::{Ask, Line, Source, Told};
use std::io;

/// # Errors
/// [`Failure`] for a container that is not there or keeps no log.
pub fn run(arguments: &Logs, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let ask = Ask { since: arguments.since, until: arguments.until, tail: arguments.tail.0, follow: arguments.follow };
    let named = arguments.containers.iter().map(|name| Which::Named(name.to_string()));
    let which: Vec<Which> = named.chain(arguments.latest.then_some(Which::Latest)).collect();
    let several = which.len() > 1;
    let mut streams = Streams::new();
    let mut tell = |told: Told<'_>| match told {
        Told::Line(source, line) => print(arguments, several, &mut streams, source, line),
        Told::Pause => streams.flush(),
    };
    let read = engine::logs::read(&paths, &which, ask, &mut tell);
    streams.unless_left(read)
}

fn print(arguments: &Logs, several: bool, streams: &mut Streams, source: &Source, line: &Line) -> io::Result<()> {
    let to_error = line.stream == engine::logs::Stream::Stderr;
    if line.begins {
        streams.write(to_error, before(arguments, several, source, line).as_bytes())?;
    }
    streams.write(to_error, &line.text)
}

/// In podman's order.
fn before(arguments: &Logs, several: bool, source: &Source, line: &Line) -> String {
    let mut before = String::new();
    let name = if arguments.names { &source.name } else { super::short(&source.id) };
    if arguments.names || several {
        before = if arguments.color { ui::of_number(source.number, name) } else { name.to_owned() };
        before.push(' ');
    }
    if arguments.timestamps {
        before.extend(line.time.text().map(char::from));
        before.push(' ');
    }
    if arguments.details {
        let pairs: Vec<String> = source.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        before.push_str(&pairs.join(","));
        before.push(' ');
    }
    before
}
