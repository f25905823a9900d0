//! `sampan manifest`: lists of images.

use super::push::{bars, leave};
use crate::cli::Globals;
use crate::cli::manifest::{
    Manifest, ManifestAdd, ManifestAnnotate, ManifestCreate, ManifestDelete, ManifestExists, ManifestInspect,
    ManifestPush, ManifestRemove,
};
use crate::ui::{self, Failure};
use engine::lists::{self, Add};
use engine::remote::Said;

/// # Errors
/// [`Failure`] of the one that is asked for.
pub fn run(verb: &Manifest, globals: &Globals) -> Result<u8, Failure> {
    match verb {
        Manifest::Create(arguments) => create(arguments, globals),
        Manifest::Add(arguments) => add(arguments, globals),
        Manifest::Annotate(arguments) => annotate(arguments, globals),
        Manifest::Inspect(arguments) => inspect(arguments, globals),
        Manifest::Push(arguments) => push(arguments, globals),
        Manifest::Remove(arguments) => remove(arguments, globals),
        Manifest::Delete(arguments) => delete(arguments, globals),
        Manifest::Exists(arguments) => return exists(arguments, globals),
    }
    .map(|()| ui::SUCCESS)
}

/// # Errors
/// [`Failure`] when there is such a list, or an image is nowhere: a new list is not left then.
fn create(arguments: &ManifestCreate, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let list = &arguments.list;
    let new = !lists::exists(&paths, list)?;
    let name = lists::create(&paths, list, arguments.amend, &arguments.annotation.iter().cloned().collect())?;
    if !arguments.images.is_empty() {
        let add = Add { images: &arguments.images, all: arguments.all, said: Said::default() };
        if let Err(error) = lists::add(&paths, &arguments.reach.access(), list, add) {
            if new {
                let _ = lists::remove(&paths, std::slice::from_ref(list));
            }
            return Err(error.into());
        }
    }
    ui::print(&format!("Created manifest list {name}\n"))
}

/// # Errors
/// [`Failure`] when there is no such list, or an image is nowhere.
fn add(arguments: &ManifestAdd, globals: &Globals) -> Result<(), Failure> {
    let add = Add { images: &arguments.images, all: arguments.all, said: arguments.about.said() };
    let digest = lists::add(&super::paths(globals)?, &arguments.reach.access(), &arguments.list, add)?;
    // podman's: an id.
    ui::print(&format!("{}\n", digest.trim_start_matches("sha256:")))
}

/// # Errors
/// [`Failure`] when there is no such list, or the image is not in it.
fn annotate(arguments: &ManifestAnnotate, globals: &Globals) -> Result<(), Failure> {
    let (paths, said) = (super::paths(globals)?, arguments.about.said());
    match &arguments.image {
        Some(image) if !arguments.index => Ok(lists::annotate(&paths, &arguments.list, image, &said)?),
        _ => Ok(lists::annotate_list(&paths, &arguments.list, &said.annotations)?),
    }
}

/// What is here comes first.
///
/// # Errors
/// [`Failure`] when the registry fails.
fn inspect(arguments: &ManifestInspect, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    if arguments.verbose && arguments.image.is_none() {
        let here = lists::show_all(&paths, &arguments.name).ok().flatten();
        let all = match here {
            Some(all) => all,
            None => engine::images::manifests(&paths, &arguments.reach.access(), &arguments.name)?,
        };
        return ui::print(&format!("{all:#}\n"));
    }
    let text = match (lists::show(&paths, &arguments.name, arguments.image.as_deref()), &arguments.image) {
        (Ok(Some(text)), _) => text,
        (Ok(None), Some(_)) => return Err(Failure::new(format!("cannot find the list {}", arguments.name))),
        // A name with a digest is none of a list.
        (Ok(None) | Err(_), None) => engine::images::manifest(&paths, &arguments.reach.access(), &arguments.name)?,
        (Err(error), Some(_)) => return Err(error.into()),
    };
    ui::print(&format!("{}\n", text.trim_end()))
}

/// # Errors
/// [`Failure`] when there is no such list, or the registry fails.
fn push(arguments: &ManifestPush, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let mut bars = bars(&arguments.outgoing);
    let (access, wish) = (arguments.reach.access(), arguments.outgoing.wish()?);
    let mut tell = |progress| bars.show(&progress);
    let digest = lists::push(&paths, &access, &arguments.list, arguments.to.as_deref(), wish, &mut tell)?;
    if arguments.purge {
        lists::remove(&paths, std::slice::from_ref(&arguments.list))?;
    }
    leave(&arguments.outgoing, std::slice::from_ref(&digest))?;
    // docker's last word.
    if arguments.outgoing.quiet { Ok(()) } else { ui::print(&format!("{digest}\n")) }
}

/// # Errors
/// [`Failure`] when there is no such list, or the image is not in it.
fn remove(arguments: &ManifestRemove, globals: &Globals) -> Result<(), Failure> {
    let digest = lists::take_out(&super::paths(globals)?, &arguments.list, &arguments.image)?;
    ui::print(&format!("{digest}\n"))
}

/// # Errors
/// [`Failure`] when there is no such list.
fn delete(arguments: &ManifestDelete, globals: &Globals) -> Result<(), Failure> {
    Ok(lists::remove(&super::paths(globals)?, &arguments.lists)?)
}

/// The exit code says it.
///
/// # Errors
/// [`Failure`] when the lists cannot be read.
fn exists(arguments: &ManifestExists, globals: &Globals) -> Result<u8, Failure> {
    Ok(u8::from(!lists::exists(&super::paths(globals)?, &arguments.list)?))
}
