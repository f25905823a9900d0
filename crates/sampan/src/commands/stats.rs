//! `sampan stats`: the table, again and again.

use super::list::List;
use crate::cli::{Format, Globals, Stats};
use crate::template::Field;
use crate::ui::{self, Failure};
use engine::Paths;
use engine::containers::{self, Listed, Which};
use engine::stats::Sample;
use serde_json::{Value, json};
use spec::unit::{binary, decimal};
use std::collections::HashMap;
use std::time::Duration;

const FIELDS: [Field; 9] = [
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
    ("Container", "CONTAINER"),
];

const COLUMNS: [&str; 8] = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];

/// To the upper left, and all that is behind it away (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[J";

/// How it is shown.
pub struct Look<'a> {
    pub no_stream: bool,
    pub no_reset: bool,
    pub interval: Duration,
    pub format: &'a Format,
    pub fields: &'a [Field],
    pub columns: &'a [&'a str],
}

/// Containers, each with the word by which it was called.
type Chosen = Vec<(String, Listed)>;

/// A line about one, of a sample before and one of now.
type Line<'a> = dyn Fn(&str, &Listed, Option<&Sample>, Option<&Sample>) -> Value + 'a;

/// # Errors
/// [`Failure`] when there is no such container.
pub fn run(arguments: &Stats, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let look = Look {
        no_stream: arguments.no_stream,
        no_reset: arguments.no_reset,
        interval: arguments.interval,
        format: &arguments.format,
        fields: &FIELDS,
        columns: &COLUMNS,
    };
    let row: &Line<'_> = &|word, listed, before, now| row(word, listed, arguments.no_trunc, before, now);
    again(&paths, &look, &|| chosen(arguments, &paths), row)
}

/// # Errors
/// What `chosen` says.
pub fn again(
    paths: &Paths,
    look: &Look<'_>,
    chosen: &dyn Fn() -> Result<Chosen, Failure>,
    row: &Line<'_>,
) -> Result<(), Failure> {
    let resets = ui::is_terminal() && !look.no_stream && !look.no_reset && *look.format == Format::Table;
    let mut before = samples(paths, &chosen()?);
    loop {
        std::thread::sleep(look.interval);
        let chosen = chosen()?;
        let now = samples(paths, &chosen);
        let row = |(word, listed): &(String, Listed)| {
            let id = &listed.record.id;
            row(word, listed, before.get(id), now.get(id))
        };
        let rows: Vec<Value> = chosen.iter().map(row).collect();
        let list = List { fields: look.fields, columns: look.columns, rows: &rows, quiet: None, heading: true };
        let text = list.text(look.format)?;
        ui::print(&if resets { format!("{CLEAR}{text}") } else { text })?;
        if look.no_stream {
            return Ok(());
        }
        before = now;
    }
}

fn chosen(arguments: &Stats, paths: &Paths) -> Result<Chosen, Failure> {
    let Some(named) = &arguments.containers else {
        let all = engine::stats::containers(paths, arguments.all).into_iter();
        return Ok(all.map(|listed| (super::short(&listed.record.id).to_owned(), listed)).collect());
    };
    let find = |which: &Which| {
        let listed = containers::which(paths, which)?;
        let word = if let Which::Named(word) = which { word.clone() } else { listed.record.name.clone() };
        Ok((word, listed))
    };
    named.iter().map(find).collect()
}

fn samples(paths: &Paths, chosen: &[(String, Listed)]) -> HashMap<String, Sample> {
    let sample = |(_, listed): &(String, Listed)| Some((listed.record.id.clone(), Sample::of(paths, listed)?));
    chosen.iter().filter_map(sample).collect()
}

/// docker's keys, all values texts; `--` for what is not known yet.
pub fn row(word: &str, listed: &Listed, whole: bool, before: Option<&Sample>, now: Option<&Sample>) -> Value {
    let record = &listed.record;
    let unknown = || "--".to_owned();
    let pair = |one: Option<String>, two: Option<String>| {
        format!("{} / {}", one.unwrap_or_else(unknown), two.unwrap_or_else(unknown))
    };
    let bytes = |of: fn(&Sample) -> u64| now.map(|it| decimal(of(it), 3));
    let percent = |number: Option<f64>| number.map_or_else(unknown, |number| format!("{number:.2}%"));
    let share = |it: &Sample| if it.limit > 0 { it.memory as f64 * 100.0 / it.limit as f64 } else { 0.0 };
    json!({
        "Container": word,
        "ID": if whole { &record.id } else { super::short(&record.id) },
        "Name": record.name,
        "CPUPerc": percent(now.zip(before).map(|(now, before)| now.load(before))),
        "MemUsage": pair(now.map(|it| binary(it.memory)), now.map(|it| binary(it.limit))),
        "MemPerc": percent(now.map(share)),
        "NetIO": pair(bytes(|it| it.received), bytes(|it| it.sent)),
        "BlockIO": pair(bytes(|it| it.read), bytes(|it| it.written)),
        "PIDs": now.map_or_else(unknown, |it| it.processes.to_string()),
    })
}
