//! `sampan version`.

use crate::cli::{Format, Version};
use crate::ui::{self, Failure};
use serde_json::json;

pub fn print(arguments: Version) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    ui::print(&match arguments.format {
        Format::Table => format!("sampan version {version}\n"),
        Format::Json => {
            let fields = json!({ "Version": version, "Os": "linux", "Arch": std::env::consts::ARCH });
            format!("{fields}\n")
        }
    })
}
