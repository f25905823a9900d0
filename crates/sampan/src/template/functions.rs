//! The functions that docker's templates have and Go's have not.

use super::value;
use gotmpl::{FuncMap, TemplateError, Value};
use std::sync::Arc;

type Made = Result<Value, TemplateError>;

/// Go's own.
const GOS: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery",
];

type Named = (&'static str, fn(&[Value]) -> Made);

/// docker's, and `index`, whose answer for a key that is not there is the empty text where all others are texts, as in
/// Go's `map[string]string`.
const DOCKERS: [Named; 10] = [
    ("index", index),
    ("join", join),
    ("json", json),
    ("lower", |arguments| text("lower", arguments, |text| text.to_lowercase())),
    ("pad", pad),
    ("split", split),
    ("title", |arguments| text("title", arguments, title)),
    ("truncate", truncate),
    ("upper", |arguments| text("upper", arguments, |text| text.to_uppercase())),
    ("len", len),
];

pub fn is_known(name: &str) -> bool {
    GOS.contains(&name) || DOCKERS.iter().any(|(known, _)| *known == name)
}

/// All names, for a message.
pub fn names() -> String {
    let mut names: Vec<&str> = DOCKERS.iter().map(|(name, _)| *name).chain(GOS).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

pub fn docker() -> FuncMap {
    let boxed = |(name, function): Named| (name.to_owned(), Arc::new(function) as gotmpl::ValueFunc);
    DOCKERS.into_iter().map(boxed).collect()
}

/// Over a column stands its heading, whatever the column's cells go through.
pub fn heading() -> FuncMap {
    let same: fn(&[Value]) -> Made = |arguments| Ok(arguments.first().cloned().unwrap_or(Value::Nil));
    DOCKERS.into_iter().map(|(name, _)| (name.to_owned(), Arc::new(same) as gotmpl::ValueFunc)).collect()
}

fn refused(name: &str, takes: &str) -> TemplateError {
    TemplateError::Exec(format!("{name} takes {takes}"))
}

fn string(text: impl Into<Arc<str>>) -> Made {
    Ok(Value::String(text.into()))
}

fn text(name: &str, arguments: &[Value], change: impl Fn(&str) -> String) -> Made {
    match arguments {
        [Value::String(text)] => string(change(text)),
        _ => Err(refused(name, "a text")),
    }
}

fn json(arguments: &[Value]) -> Made {
    match arguments {
        [value] => string(value::json(value).to_string()),
        _ => Err(refused("json", "a value")),
    }
}

fn join(arguments: &[Value]) -> Made {
    let wrong = || refused("join", "a list of texts and what comes between");
    let [list, Value::String(between)] = arguments else { return Err(wrong()) };
    let part = |item: &Value| match item {
        Value::String(text) => Ok(text.to_string()),
        _ => Err(wrong()),
    };
    match list {
        Value::Nil => string(""),
        Value::List(items) => string(items.iter().map(part).collect::<Result<Vec<_>, _>>()?.join(between)),
        _ => Err(wrong()),
    }
}

fn split(arguments: &[Value]) -> Made {
    let [Value::String(text), Value::String(at)] = arguments else {
        return Err(refused("split", "a text and where to split it"));
    };
    let part = |part: &str| Value::String(part.into());
    // Go splits at nothing into characters, without the empty ones at both ends.
    Ok(Value::List(match at.is_empty() {
        true => text.chars().map(|c| part(c.encode_utf8(&mut [0; 4]))).collect(),
        false => text.split(at.as_ref()).map(part).collect(),
    }))
}

/// Each word with a capital.
fn title(text: &str) -> String {
    let mut before = ' ';
    let mut titled = String::new();
    for c in text.chars() {
        if before.is_alphanumeric() || matches!(before, '_' | '\'') {
            titled.push(c);
        } else {
            titled.extend(c.to_uppercase());
        }
        before = c;
    }
    titled
}

fn truncate(arguments: &[Value]) -> Made {
    match arguments {
        [Value::String(text), Value::Int(most)] => match usize::try_from(*most) {
            Ok(most) => string(text.chars().take(most).collect::<String>()),
            Err(_) => Err(refused("truncate", "a text and how much of it")),
        },
        _ => Err(refused("truncate", "a text and how much of it")),
    }
}

/// Spaces before and behind a text, unless it is empty.
fn pad(arguments: &[Value]) -> Made {
    let wrong = || refused("pad", "a text, how many spaces before, and how many behind");
    let [Value::String(text), Value::Int(before), Value::Int(behind)] = arguments else { return Err(wrong()) };
    // More than a line of a terminal can have is a mistake, not a wish.
    let spaces = |count: &i64| match usize::try_from(*count) {
        Ok(count) if count <= 10_000 => Ok(" ".repeat(count)),
        _ => Err(wrong()),
    };
    let (before, behind) = (spaces(before)?, spaces(behind)?);
    string(if text.is_empty() { String::new() } else { format!("{before}{text}{behind}") })
}

fn index(arguments: &[Value]) -> Made {
    let [value, keys @ ..] = arguments else { return Err(refused("index", "a list or a map, and where to look")) };
    keys.iter().try_fold(value.clone(), |value, key| match (&value, key) {
        (Value::Map(map), Value::String(key)) => Ok(map.get(key.as_ref()).cloned().unwrap_or_else(|| {
            let texts = map.values().all(|value| matches!(value, Value::String(_)));
            if texts { Value::String("".into()) } else { Value::Nil }
        })),
        _ => value.index(key),
    })
}

fn len(arguments: &[Value]) -> Made {
    match arguments {
        [Value::Nil] => Ok(Value::Int(0)),
        [value] => {
            let length = value.len().and_then(|length| i64::try_from(length).ok());
            length.map(Value::Int).ok_or_else(|| refused("len", "a text, a list or a map"))
        }
        _ => Err(refused("len", "a text, a list or a map")),
    }
}
