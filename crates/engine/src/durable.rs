//! What a command has acknowledged outlives a power cut.
//!
//! Invariant: a file is whole under its name or not there; a name that was given or taken away stays so once the directory
//! is on the disk, which rename(2) and unlink(2) do not see to (fsync(2), "Calling fsync() does not necessarily ensure …").

use std::fs::File;
use std::io::{Result, Write};
use std::path::Path;

/// A file in the place of one that may be there.
pub fn replace(path: &Path, text: &[u8]) -> Result<()> {
    replace_by(&path.with_extension("tmp"), path, text)
}

/// By another name until it is whole.
pub fn replace_by(temporary: &Path, path: &Path, text: &[u8]) -> Result<()> {
    let written = File::create(temporary)
        .and_then(|mut file| file.write_all(text).and_then(|()| file.sync_data()))
        .and_then(|()| std::fs::rename(temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(temporary);
    }
    written?;
    path.parent().map_or(Ok(()), names)
}

/// Takes it away.
pub fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path)?;
    path.parent().map_or(Ok(()), names)
}

/// The names in a directory; one that is not there has none.
pub fn names(directory: &Path) -> Result<()> {
    match File::open(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        opened => opened?.sync_all(),
    }
}
