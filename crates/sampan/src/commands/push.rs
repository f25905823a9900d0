//! `sampan push`.

use crate::cli::{Globals, Push};
use crate::ui::{self, Bars, Failure, To};

/// # Errors
/// [`Failure`] when the registry or the store fails.
pub fn run(arguments: &Push, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let mut bars = Bars::new(if arguments.quiet { To::Nowhere } else { To::Output });
    let mut tell = |progress| bars.show(&progress);
    let (access, to) = (arguments.access.access(), arguments.to.as_deref());
    let digest = engine::images::push(&paths, &access, &arguments.name, to, &mut tell)?;
    if arguments.quiet { ui::print(&format!("{digest}\n")) } else { Ok(()) }
}
