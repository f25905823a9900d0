//! Removing trees.

use crate::error::Result;

/// Remove a directory and all below it; gone already is success. `mapped`: it holds files of the caller's subordinate
/// ids, which only root of a user namespace with the caller's maps may remove.
///
/// # Errors
/// The first call that failed.
pub fn remove(path: &str, _mapped: bool) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => Ok(other.map_err(sys::Error::of_io(|| format!("remove({path:?})")))?),
    }
}
