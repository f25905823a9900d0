//! clap's errors in the one form that messages have, in docker's words.

use crate::ui::Failure;
use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use spec::unit::Invalid;
use std::error::Error as _;

/// `call` is how the verb is called, for the way to its help.
pub fn failure(error: &Error, call: &str) -> Failure {
    let argument = text(error, ContextKind::InvalidArg);
    let value = text(error, ContextKind::InvalidValue);
    let see = format!("see '{call} --help'");
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let flag = argument.split('=').next().unwrap_or_default();
            if !flag.starts_with('-') {
                return Failure::new(format!("unexpected argument {flag:?}")).hint(see);
            }
            let hint = absent(flag).map(str::to_owned).or_else(|| near(error, ContextKind::SuggestedArg));
            Failure::new(format!("unknown flag {flag}")).hint(hint.unwrap_or(see))
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(error, ContextKind::InvalidSubcommand);
            let hint = near(error, ContextKind::SuggestedSubcommand).unwrap_or(see);
            Failure::new(format!("unknown command {word:?}")).hint(hint)
        }
        ErrorKind::ValueValidation => {
            let what = format!("invalid value {value:?} for {}", flag(&argument));
            match error.source().and_then(|source| source.downcast_ref::<Invalid>()) {
                Some(invalid) => Failure::invalid(what, invalid.clone()),
                None => error.source().map_or_else(|| Failure::new(&what), |source| Failure::new(&what).cause(source)),
            }
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            Failure::new(format!("{} needs a value", flag(&argument))).hint(see)
        }
        ErrorKind::MissingRequiredArgument => {
            Failure::new(format!("missing {}", argument.replace(['<', '>', '[', ']'], ""))).hint(see)
        }
        ErrorKind::InvalidUtf8 => Failure::new("an argument is not UTF-8").hint("a container's configuration is JSON"),
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            Failure::new(line.strip_prefix("error: ").unwrap_or(line)).hint(see)
        }
    }
}

/// docker's flags that a user will try and this version has not.
fn absent(flag: &str) -> Option<&'static str> {
    Some(match flag {
        "-a" | "--attach" => "output is always shown; add -i to connect the input",
        _ => return None,
    })
}

/// `--memory <BYTES>`, `--rm[=<RM>]` without what follows the flag.
fn flag(argument: &str) -> &str {
    if argument.starts_with(['<', '[']) {
        return argument.trim_matches(['<', '>', '[', ']', '.']);
    }
    argument.split([' ', '=', '[']).next().unwrap_or_default()
}

fn near(error: &Error, kind: ContextKind) -> Option<String> {
    let near = text(error, kind);
    (!near.is_empty()).then(|| format!("did you mean {near}?"))
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" or "),
        _ => String::new(),
    }
}
