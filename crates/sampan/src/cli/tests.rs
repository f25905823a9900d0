//! Command lines in, requests or messages out.

mod habits;
mod values;
mod verbs;

use super::{Verb, parse};
use crate::ui::Failure;
use engine::request::Run;

fn call(words: &[&str]) -> Result<Verb, Failure> {
    parse(words.iter().map(Into::into).collect()).map(|call| call.verb)
}

/// `words` are split at spaces; a `~` stands for a space inside a word.
fn split(words: &str) -> Vec<String> {
    words.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace('~', " ")).collect()
}

fn run(words: &str) -> Run {
    let words = split(words);
    let words: Vec<&str> = std::iter::once("run").chain(words.iter().map(String::as_str)).collect();
    match call(&words) {
        Ok(Verb::Run(request)) => *request,
        other => panic!("{words:?}: {other:?}"),
    }
}

/// The message of a call that must fail, without its exit code.
fn message(words: &[&str]) -> (String, Option<u8>) {
    let failure = call(words).unwrap_err();
    (failure.render(false), failure.code)
}
