//! serde's values as the templates', and back.

use super::Field;
use crate::ui;
use gotmpl::{TemplateError, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// What becomes of the control characters of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    AsIs,
    Escaped,
}

/// A method in docker: `{{.Label "x"}}`. A row that has it as an object gets a function of its keys.
pub const METHOD: &str = "Label";

/// Go's nil slice and nil map: empty, and `null` as JSON. Known by their address, which a clone keeps.
static NO_LIST: LazyLock<Arc<[Value]>> = LazyLock::new(|| Arc::new([]));
static NO_MAP: LazyLock<Arc<BTreeMap<Arc<str>, Value>>> = LazyLock::new(Arc::default);

/// Which of the two a `null` is, the field's name says.
const LISTS: [&str; 5] = ["Cmd", "Entrypoint", "Env", "OnBuild", "Shell"];
const MAPS: [&str; 3] = ["ExposedPorts", "Labels", "Volumes"];

pub fn of(name: &str, value: &Json, foreign: Foreign) -> Value {
    match value {
        Json::Null if LISTS.contains(&name) => Value::List(NO_LIST.clone()),
        Json::Null if MAPS.contains(&name) => Value::Map(NO_MAP.clone()),
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::Uint(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) if foreign == Foreign::Escaped => Value::String(ui::clean(text).into()),
        Json::String(text) => Value::String(text.as_str().into()),
        Json::Array(items) => Value::List(items.iter().map(|item| of("", item, foreign)).collect()),
        Json::Object(fields) => Value::Map(Arc::new(fields.iter().map(|entry| field(entry, foreign)).collect())),
    }
}

fn field((name, value): (&String, &Json), foreign: Foreign) -> (Arc<str>, Value) {
    let made = match of(name, value, foreign) {
        Value::Map(labels) if name == METHOD => {
            method(move |key| labels.get(key).cloned().unwrap_or_else(|| Value::String("".into())))
        }
        made => made,
    };
    (name.as_str().into(), made)
}

fn method(of: impl Fn(&str) -> Value + Send + Sync + 'static) -> Value {
    Value::Function(Arc::new(move |arguments: &[Value]| match arguments {
        [Value::String(key)] => Ok(of(key)),
        _ => Err(TemplateError::Exec(format!("{METHOD} takes the name of a label"))),
    }))
}

/// The row of headings. docker's over a label is the last part of its name.
pub fn heading(fields: &[Field]) -> Value {
    let label = |key: &str| {
        let last = key.rsplit('.').next().unwrap_or_default();
        Value::String(last.replace(['-', '_'], " ").into())
    };
    let cell = |(name, text): &Field| {
        let value = if *name == METHOD { method(label) } else { Value::String((*text).into()) };
        (Arc::from(*name), value)
    };
    Value::Map(Arc::new(fields.iter().map(cell).collect()))
}

/// For `{{json .}}`; methods are no part of it.
pub fn json(value: &Value) -> Json {
    match value {
        Value::Nil | Value::Function(_) => Json::Null,
        Value::List(items) if Arc::ptr_eq(items, &NO_LIST) => Json::Null,
        Value::Map(fields) if Arc::ptr_eq(fields, &NO_MAP) => Json::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.as_ref().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(fields) => {
            let fields = fields.iter().filter(|(_, value)| !matches!(value, Value::Function(_)));
            fields.map(|(name, value)| (name.to_string(), json(value))).collect()
        }
    }
}
