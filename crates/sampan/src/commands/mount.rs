//! `sampan image mount` and `unmount`, with podman's words.

use crate::cli::{Format, Globals, ImageMount, ImageUnmount};
use crate::template::Field;
use crate::ui::{self, Failure, Ui};
use engine::mounts::{self, Mounted};
use serde_json::{Value, json};

const FIELDS: [Field; 2] = [("ID", "IMAGE"), ("Path", "PATH")];

/// # Errors
/// [`Failure`] when there is no such image, or it cannot be mounted.
pub fn mount(arguments: &ImageMount, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let driver = super::driver(globals)?;
    let asked = arguments.all || !arguments.images.is_empty();
    let mounted =
        if asked { mounts::mount(&paths, &arguments.images, arguments.all, driver)? } else { mounts::list(&paths)? };
    ui::print(&match &arguments.format {
        // A script's `$(sampan image mount IMAGE)`.
        Format::Table if arguments.images.len() == 1 && !arguments.all => {
            mounted.iter().map(|mounted| format!("{}\n", mounted.path.display())).collect()
        }
        Format::Table => {
            ui::table(None, &mounted.iter().map(|mounted| vec![name(mounted), path(mounted)]).collect::<Vec<_>>())
        }
        Format::Json => format!("{:#}\n", Value::Array(mounted.iter().map(object).collect())),
        Format::Template(template) => {
            let row = |mounted: &Mounted| json!({ "ID": name(mounted), "Path": path(mounted) });
            template.rows(&FIELDS, &mounted.iter().map(row).collect::<Vec<_>>(), true)?
        }
    })
}

fn name(mounted: &Mounted) -> String {
    mounted.names.first().unwrap_or(&mounted.id).clone()
}

fn path(mounted: &Mounted) -> String {
    mounted.path.display().to_string()
}

fn object(mounted: &Mounted) -> Value {
    json!({
        "id": mounted.id,
        "Names": mounted.names,
        "Repositories": mounted.names,
        "mountpoint": mounted.path,
    })
}

/// # Errors
/// [`Failure`] when it is not mounted, or cannot be unmounted.
pub fn unmount(arguments: &ImageUnmount, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    if arguments.images.is_empty() && !arguments.all {
        return Err(Failure::new("cannot unmount images").cause("none is named").hint("name them, or add --all"));
    }
    let ids = mounts::unmount(&paths, &arguments.images, arguments.all, arguments.force)?;
    ui::print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>())
}
