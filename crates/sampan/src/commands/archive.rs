//! `sampan save` and `sampan load`.

use crate::cli::{Form, Globals, Load, Save};
use crate::ui::{self, Failure};
use engine::images::Archive;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

/// # Errors
/// [`Failure`] when an image is not there, or the output cannot be written: then there is none.
pub fn save(arguments: &Save, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let Some(output) = &arguments.output else {
        if arguments.format == Form::Directory {
            return Err(Failure::new("cannot save to the standard output")
                .cause("a directory has to have a name")
                .hint("add --output DIR"));
        }
        if io::stdout().is_terminal() {
            return Err(no_text("cannot save to a terminal", "add --output FILE, or redirect the output"));
        }
        return Ok(engine::images::save(&paths, &arguments.images, None, &mut io::stdout().lock())?);
    };
    if arguments.format == Form::Directory {
        return Ok(engine::images::save(&paths, &arguments.images, Some(output), &mut io::sink())?);
    }
    to_file(output, &mut |file| Ok(engine::images::save(&paths, &arguments.images, None, file)?))
}

pub(super) fn no_text(what: &str, hint: &str) -> Failure {
    Failure::new(what).cause("an archive is no text").hint(hint)
}

/// Beside its name first: what fails leaves what was there. A device or a named pipe stays what it is, and is written to.
///
/// # Errors
/// Those of `write`, and the file's.
pub(super) fn to_file(
    output: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| engine::refused(format!("cannot write {}", output.display()), &error);
    if output.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let mut file = BufWriter::with_capacity(1 << 17, File::options().write(true).open(output).map_err(failed)?);
        return write(&mut file).and_then(|()| file.flush().map_err(|error| failed(error).into()));
    }
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = output.with_file_name(name);
    let mut file = BufWriter::with_capacity(1 << 17, File::create_new(&beside).map_err(failed)?);
    let done = write(&mut file)
        .and_then(|()| file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| failed(error).into()));
    match done.and_then(|()| std::fs::rename(&beside, output).map_err(|error| failed(error).into())) {
        Ok(()) => Ok(()),
        Err(failure) => {
            let _ = std::fs::remove_file(&beside);
            Err(failure)
        }
    }
}

/// # Errors
/// [`Failure`] when it is no archive of images.
pub fn load(arguments: &Load, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let tag = arguments.tag.as_deref();
    let loaded = match &arguments.input {
        Some(path) if path.is_dir() => engine::images::load(&paths, Archive::Directory(path), tag)?,
        Some(path) => engine::images::load(&paths, Archive::Stream(&mut open(path)?), tag)?,
        None if io::stdin().is_terminal() => {
            return Err(no_text("cannot load from a terminal", "add --input FILE, or redirect the input"));
        }
        None => engine::images::load(&paths, Archive::Stream(&mut io::stdin().lock()), tag)?,
    };
    if arguments.quiet {
        return Ok(());
    }
    let line = |loaded: &engine::images::Loaded| match &loaded.name {
        Some(name) => format!("Loaded image: {name}\n"),
        None => format!("Loaded image ID: {}\n", loaded.id),
    };
    ui::print(&loaded.iter().map(line).collect::<String>())
}

pub(super) fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| engine::refused(format!("cannot read {}", path.display()), &error).into())
}
