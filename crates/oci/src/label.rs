//! SELinux labels, which an engine gives where SELinux is on.

use crate::refused;
use runtime::Result;
use runtime::observe::lsm;

/// # Errors
/// There is a label, and nothing that would heed it.
pub(crate) fn check(label: &str) -> Result<()> {
    if label.is_empty() || lsm::selinux() {
        return Ok(());
    }
    refused(
        format!("cannot set the SELinux label {label:?}"),
        "selinux label is specified in config, but selinux is disabled or not supported",
    )
}
