//! `sampan completion`.

use crate::cli::{self, Shell};
use crate::ui::{self, Failure};

pub fn print(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::tree(), "sampan", &mut script);
    ui::print(&String::from_utf8_lossy(&script))
}
