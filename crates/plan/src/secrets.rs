//! Secrets: texts that a container gets and that nothing here ever sees: only where they are kept.
//!
//! Invariant: no step holds one, so no plan that is printed or kept does. Each is a file whose first line is not of it.

use crate::host::Host;
use crate::order::Input;
use crate::step::HostStep;
use crate::volumes;
use crate::{Rejected, ids};
use spec::runtime::{Linux, User};

/// Those of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// On tmpfs: for files, and gone with the container.
    pub directory: String,
    pub files: Vec<File>,
    pub variables: Vec<Variable>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is kept.
    pub from: String,
    /// In the directory.
    pub name: String,
    pub mode: u32,
    /// As the container counts.
    pub uid: u32,
    pub gid: u32,
}

/// One of the command's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub from: String,
}

/// # Errors
/// An owner that the container does not have.
pub(crate) fn steps(input: &Input<'_>, linux: &Linux, host: &Host) -> Result<Vec<HostStep>, Rejected> {
    let Secrets { directory, files, .. } = &input.secrets;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let mapped = host.rootless() && host.subordinate.is_some();
    let root = ids::root(host, &linux.uid_mappings, &linux.gid_mappings);
    let mut steps = vec![HostStep::Secrets { path: directory.clone(), owner: root, mapped }];
    for file in files {
        let user = User { uid: file.uid, gid: file.gid, ..User::default() };
        let refuse = |why: &str| Rejected::new(format!("cannot give the secret {} to {}", file.name, file.uid), why);
        let (owner, mapped) = volumes::owner(input, linux, &user, "").map_err(refuse)?;
        let (from, to) = (file.from.clone(), format!("{directory}/{}", file.name));
        steps.push(HostStep::Secret { from, to, mode: file.mode, owner, mapped });
    }
    Ok(steps)
}
