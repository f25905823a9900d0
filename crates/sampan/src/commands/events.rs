//! `sampan events`.

use crate::cli::{Events, Format, Globals};
use crate::template::{Template, no_table};
use crate::ui::{Failure, Streams};
use engine::events::{Ask, Event, Kind};
use serde_json::{Value, json};
use std::io;

/// # Errors
/// [`Failure`] when the log cannot be read, or a template asks for what an event has not.
pub fn run(arguments: &Events, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let format = crate::cli::format(arguments.format.as_deref())?;
    if format == Some(Format::Table) {
        return Err(no_table());
    }
    let ask = Ask {
        since: arguments.since,
        until: arguments.until,
        filters: arguments.filter.clone(),
        stream: arguments.stream,
    };
    let mut streams = Streams::new();
    let mut failed = None;
    let mut tell = |event: Option<&Event>| match event.map(|event| text(format.as_ref(), event)) {
        None => streams.flush(),
        Some(Ok(line)) => streams.write(false, line.as_bytes()),
        Some(Err(failure)) => {
            // docker's, for whatever is wrong with a template.
            failed = Some(failure.code(64));
            Err(io::ErrorKind::InvalidInput.into())
        }
    };
    let read = engine::events::read(&paths, &ask, &mut tell);
    failed.map_or_else(|| streams.unless_left(read), Err)
}

fn text(format: Option<&Format>, event: &Event) -> Result<String, Failure> {
    Ok(match format {
        Some(Format::Json) => format!("{}\n", json(event)),
        Some(Format::Template(template)) => of_template(template, event)?,
        _ => {
            let pairs: Vec<String> = event.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let time: String = event.time.text().map(char::from).iter().collect();
            let line = format!("{time} {} {} {} ({})", event.kind.name(), event.action, event.id, pairs.join(", "));
            format!("{}\n", crate::ui::clean(&line.replace('\n', "\\n")))
        }
    })
}

/// As docker: before what is in the log, the names that these had before.
fn json(event: &Event) -> String {
    let of = |key: &str, value: &str| format!("\"{key}\":{},", Value::from(value));
    let mut before = of("status", &event.action) + &of("id", &event.id);
    if let Some(image) = event.attributes.get("image") {
        before.push_str(&of("from", image));
    }
    let has_them = matches!(event.kind, Kind::Container | Kind::Image);
    format!("{{{}{}", if has_them { &before } else { "" }, event.json.trim_start_matches('{'))
}

/// docker's fields, with the names that it had before, and podman's.
fn of_template(template: &Template, event: &Event) -> Result<String, Failure> {
    let attribute = |key: &str| event.attributes.get(key).cloned().unwrap_or_default();
    let image = if event.kind == Kind::Image { attribute("name") } else { attribute("image") };
    template.values(&[json!({
        "Type": event.kind,
        "Action": event.action,
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "Scope": "local",
        "Time": event.time.seconds(),
        "TimeNano": event.time.0,
        "ID": event.id,
        "Status": event.action,
        "From": image,
        "Image": image,
        "Name": attribute("name"),
        "Attributes": event.attributes,
        "ContainerExitCode": Value::from(attribute("exitCode")),
    })])
}
