//! `sampan pull`.

use crate::cli::{Globals, Pull};
use crate::ui::{self, Bars, Failure, To};
use engine::remote::{self, Pulled};

/// # Errors
/// [`Failure`] when the registry or the store fails.
pub fn run(arguments: &Pull, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let mut bars = Bars::new(if arguments.quiet { To::Nowhere } else { To::Output });
    let platform = arguments.platform.as_ref().map(engine::request::Platform::of_image);
    let task = remote::Pull { platform, all_tags: arguments.all_tags, ..remote::Pull::default() };
    let access = arguments.access.access();
    let pulled = engine::images::pull(&paths, &access, &arguments.name, task, &mut |progress| bars.show(&progress))?;
    let Some(last) = pulled.last() else { return Ok(()) };
    let newer = pulled.iter().any(|pulled| pulled.newer);
    let name = if arguments.all_tags { untagged(&last.name) } else { last.name.clone() };
    if !arguments.quiet {
        bars.line(&status(&Pulled { name: name.clone(), newer, ..last.clone() }));
    }
    ui::print(&format!("{name}\n"))
}

/// docker's last word but one.
pub fn status(pulled: &Pulled) -> String {
    let name = pulled.name.parse().map_or_else(|_| pulled.name.clone(), |name: spec::Reference| name.familiar());
    let what = if pulled.newer { "Downloaded newer image" } else { "Image is up to date" };
    format!("Status: {what} for {name}")
}

fn untagged(name: &str) -> String {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => name.to_owned(),
    }
}
