//! `sampan commit`, `export` and `import`.

use super::archive::{no_text, open, to_file};
use crate::cli::{Commit, Export, Globals, Import};
use crate::ui::{self, Failure, Ui};
use engine::commit::Words;
use engine::containers::Which;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// # Errors
/// [`Failure`] when there is no such container, or nothing to make an image of.
pub fn commit(arguments: &Commit, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let (message, author) = (arguments.message.clone(), arguments.author.clone());
    let words = Words { changes: arguments.change.clone(), message, author };
    let container = Which::Named(arguments.container.to_string());
    let id = engine::commit::commit(&paths, &container, arguments.name.as_deref(), &words, arguments.pause)?;
    if let Some(path) = &arguments.iidfile {
        to_file(path, &mut |file| {
            let written = file.write_all(id.as_bytes());
            written.map_err(|error| engine::refused(format!("cannot write {}", path.display()), &error).into())
        })?;
    }
    ui::print(&format!("{id}\n"))
}

/// # Errors
/// [`Failure`] when there is no such container, or the output cannot be written: then there is none.
pub fn export(arguments: &Export, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let container = crate::cli::one(arguments.container.clone(), arguments.latest)?;
    let mut write = |output: &mut dyn Write| Ok(engine::content::export(&paths, &container, output)?);
    match &arguments.output {
        Some(output) => to_file(output, &mut write),
        None if io::stdout().is_terminal() => {
            Err(no_text("cannot export to a terminal", "add --output FILE, or redirect the output"))
        }
        None => write(&mut io::stdout().lock()),
    }
}

/// # Errors
/// [`Failure`] when it is no tar.
pub fn import(arguments: &Import, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let words = Words { changes: arguments.change.clone(), message: arguments.message.clone(), author: String::new() };
    let make = |from: &mut dyn io::Read| {
        engine::commit::import(&paths, from, arguments.name.as_deref(), arguments.platform.as_ref(), &words)
    };
    let text = arguments.file.to_string_lossy();
    let id = if arguments.file == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(no_text("cannot import from a terminal", "name a file, or redirect the input"));
        }
        make(&mut io::stdin().lock())?
    } else if text.starts_with("http://") || text.starts_with("https://") {
        return Err(Failure::new(format!("cannot import {text}"))
            .cause("this version reads files only")
            .hint(format!("curl -fL {text} | sampan import - {}", arguments.name.as_deref().unwrap_or_default())));
    } else {
        make(&mut open(&arguments.file)?)?
    };
    ui::print(&format!("{id}\n"))
}
