//! `sampan secret …`.

use super::list::List;
use crate::cli::Globals;
use crate::cli::secret::{self as arguments, Call, Filter};
use crate::template::{Field, METHOD};
use crate::ui::{self, Failure, SUCCESS, Ui};
use engine::secrets::{self, Record, There};
use serde_json::{Value, json};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;

/// # Errors
/// [`Failure`] for what cannot be done.
pub fn run(call: &Call, globals: &Globals, ui: &Ui) -> Result<u8, Failure> {
    match call {
        Call::Create(arguments) => create(arguments, globals),
        Call::List(arguments) => list(arguments, globals),
        Call::Inspect(arguments) => inspect(arguments, globals),
        Call::Remove(arguments) => remove(arguments, globals, ui),
        Call::Exists(arguments) => {
            let found = secrets::find(&arguments.secret, &super::paths(globals)?);
            return Ok(u8::from(found.is_err()));
        }
    }
    .map(|()| SUCCESS)
}

fn create(arguments: &arguments::Create, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let there = match (arguments.replace, arguments.ignore) {
        (true, _) => There::Replace,
        (_, true) => There::Ignore,
        _ => There::Refuse,
    };
    let labels = arguments.label.iter().cloned().collect();
    let secret = secret(arguments)?;
    ui::print(&format!("{}\n", secrets::create(&paths, &arguments.name, labels, &secret, there)?))
}

fn secret(arguments: &arguments::Create) -> Result<Vec<u8>, Failure> {
    let file = &arguments.file;
    if arguments.env {
        return std::env::var_os(file).map(OsStringExt::into_vec).ok_or_else(|| {
            Failure::new(format!("cannot keep the secret {}", arguments.name))
                .cause(format!("there is no variable {file} in the environment"))
        });
    }
    let mut bytes = Vec::new();
    let read = if file == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|mut from| from.read_to_end(&mut bytes))
    };
    read.map_err(|error| engine::refused(format!("cannot read {file}"), &error))?;
    Ok(bytes)
}

const FIELDS: [Field; 7] = [
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("CreatedAt", "CREATED"),
    ("UpdatedAt", "UPDATED"),
    ("Labels", "LABELS"),
    (METHOD, ""),
];

const COLUMNS: [&str; 5] = ["ID", "Name", "Driver", "CreatedAt", "UpdatedAt"];

fn row(record: &Record) -> Value {
    let labels: Vec<String> = record.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let ago = |then: u64| super::ps::ago(super::seconds_since(then));
    json!({
        "ID": record.id,
        "Name": record.name,
        "Driver": "file",
        "CreatedAt": ago(record.created),
        "UpdatedAt": ago(record.updated),
        "Labels": labels.join(","),
        METHOD: record.labels,
    })
}

fn list(arguments: &arguments::List, globals: &Globals) -> Result<(), Failure> {
    // Of several of one kind one must fit.
    let fits = |record: &Record| {
        let names: Vec<&Filter> = arguments.filter.iter().filter(|it| matches!(it, Filter::Name(_))).collect();
        let ids: Vec<&Filter> = arguments.filter.iter().filter(|it| matches!(it, Filter::Id(_))).collect();
        let one = |filter: &&Filter| match filter {
            Filter::Name(part) => record.name.contains(part.as_str()),
            Filter::Id(start) => record.id.starts_with(start.as_str()),
        };
        (names.is_empty() || names.iter().any(one)) && (ids.is_empty() || ids.iter().any(one))
    };
    let all = secrets::list(&super::paths(globals)?);
    let rows: Vec<Value> = all.iter().filter(|record| fits(record)).map(row).collect();
    let (quiet, heading) = (arguments.quiet.then_some("ID"), !arguments.noheading);
    ui::print(&List { fields: &FIELDS, columns: &COLUMNS, rows: &rows, quiet, heading }.text(&arguments.format)?)
}

fn inspect(arguments: &arguments::Inspect, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let found = arguments.secrets.iter().map(|word| secrets::find(word, &paths).map(|record| document(&record)));
    let documents = found.collect::<Result<Vec<Value>, _>>()?;
    ui::print(&super::list::documents(arguments.format.as_ref(), documents)?)
}

/// docker's and podman's keys.
fn document(record: &Record) -> Value {
    let date = engine::time::rfc3339;
    json!({
        "ID": record.id,
        "CreatedAt": date(record.created),
        "UpdatedAt": date(record.updated),
        "Spec": { "Name": record.name, "Driver": { "Name": "file", "Options": {} }, "Labels": record.labels },
    })
}

fn remove(arguments: &arguments::Remove, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let words = match arguments.all {
        true => secrets::list(&paths).into_iter().map(|record| record.name).collect(),
        false => arguments.secrets.clone(),
    };
    let remove = |word: &String| -> Result<(), Failure> {
        if arguments.ignore && secrets::find(word, &paths).is_err() {
            return Ok(());
        }
        ui::print(&format!("{}\n", secrets::remove(&paths, word)?))
    };
    super::all(words.iter().map(remove), ui)
}
