//! `sampan inspect`: all that is known, in docker's document and with its names.

mod container;
mod host;
mod image;
mod network;

use crate::cli::{ContainerInspect, Globals, ImageInspect, Inspect, Object};
use crate::ui::{self, Failure};
use engine::Paths;
use engine::containers::Which;
use serde_json::Value;

/// Of containers, images and what else has this name; in this order, if the kind is not said.
///
/// # Errors
/// [`Failure`] for the first that is not there; the others are printed.
pub fn any(arguments: &Inspect, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let one = |word: &String| match arguments.kind {
        Some(Object::Container) => container(&paths, &Which::Named(word.clone()), arguments.size),
        Some(Object::Image) => image(&paths, word),
        Some(Object::Network) => network(&paths, word),
        Some(Object::Volume) => volume(&paths, word),
        None => container(&paths, &Which::Named(word.clone()), arguments.size)
            .or_else(|_| image(&paths, word))
            .or_else(|_| network(&paths, word))
            .or_else(|_| volume(&paths, word))
            .map_err(|_| absent(word)),
    };
    let latest = arguments.latest.then(|| container(&paths, &Which::Latest, arguments.size));
    print(arguments.format.as_deref(), arguments.names.iter().map(one).chain(latest))
}

/// # Errors
/// As [`any`].
pub fn containers(arguments: &ContainerInspect, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let named = arguments.containers.iter().map(|name| Which::Named(name.to_string()));
    let which = named.chain(arguments.latest.then_some(Which::Latest));
    print(arguments.format.as_deref(), which.map(|which| container(&paths, &which, arguments.size)))
}

/// # Errors
/// As [`any`].
pub fn images(arguments: &ImageInspect, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    print(arguments.format.as_deref(), arguments.images.iter().map(|word| image(&paths, word)))
}

fn container(paths: &Paths, which: &Which, size: bool) -> Result<Value, Failure> {
    Ok(container::document(&engine::inspect::container(paths, which, size)?))
}

fn image(paths: &Paths, word: &str) -> Result<Value, Failure> {
    Ok(image::document(&engine::images::inspect(paths, word)?))
}

fn network(paths: &Paths, word: &str) -> Result<Value, Failure> {
    let (record, places) = engine::networks::inspect(paths, word)?;
    Ok(super::network::object(&record, &places))
}

fn volume(paths: &Paths, word: &str) -> Result<Value, Failure> {
    Ok(super::volume::document(&engine::volumes::object::inspect(paths, word)?))
}

fn absent(word: &str) -> Failure {
    Failure::new(format!("cannot find {word}")).cause("no container, image, network or volume has this name or id")
}

/// As docker, what is there even if something else is not.
fn print(format: Option<&str>, all: impl Iterator<Item = Result<Value, Failure>>) -> Result<(), Failure> {
    let format = crate::cli::format(format)?;
    let (mut there, mut missing) = (Vec::new(), None);
    for one in all {
        match one {
            Ok(document) => there.push(document),
            Err(failure) => missing = missing.or(Some(failure)),
        }
    }
    // What comes out of a configuration is a stranger's; JSON escapes what a terminal would obey.
    ui::print(&super::list::documents(format.as_ref(), there)?)?;
    missing.map_or(Ok(()), Err)
}

/// Go's nil for what is empty.
fn there<T>(of: &T, is_empty: bool) -> Option<&T> {
    (!is_empty).then_some(of)
}
