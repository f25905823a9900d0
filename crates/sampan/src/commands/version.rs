//! `sampan version`.

use crate::cli::{Format, Globals, Version};
use crate::ui::{self, Failure};
use serde_json::{Value, json};

/// Whose words and JSON its clients find: from it they conclude what there is.
const PODMAN: &str = "5.0.0";

/// # Errors
/// [`Failure`] for a template that does not fit.
pub fn print(arguments: &Version, globals: &Globals) -> Result<(), Failure> {
    let podman = if globals.podman { format!(", as podman version {PODMAN}") } else { String::new() };
    ui::print(&match &arguments.format {
        Format::Table => format!("sampan version {}{podman}\n", env!("CARGO_PKG_VERSION")),
        Format::Json => format!("{}\n", facts()),
        Format::Template(template) => template.values(&[facts()])?,
    })
}

/// docker's halves are the same program here, and its keys, but for an API, which there is not.
fn facts() -> Value {
    let architecture = spec::image::Platform::native().architecture;
    let all = json!({ "Version": env!("CARGO_PKG_VERSION"), "Os": "linux", "Arch": architecture });
    let mut whole = all.clone();
    whole["Client"] = all.clone();
    whole["Server"] = all;
    whole["Server"]["KernelVersion"] = engine::info::kernel().into();
    whole["Server"]["Platform"] = json!({ "Name": "sampan" });
    whole
}
