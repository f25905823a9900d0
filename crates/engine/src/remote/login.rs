//! Who the user is at registries: asked of the registry, kept in docker's file or with docker's helpers.

use super::{Access, Task, call};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::remote::Failure;
use registry::Credentials;
use registry::credentials::{Files, Kept};
use std::path::PathBuf;

fn files(access: &Access) -> Files {
    let env = |name: &str| std::env::var_os(name).map(PathBuf::from);
    Files::new(access.authfile.clone(), runtime::observe::is_machines_root(), &env)
}

fn own(error: registry::Error) -> Error {
    Failure::from(error).into()
}

/// The login that is kept for the host.
///
/// # Errors
/// The file cannot be used, or the helper fails.
pub fn kept(access: &Access, host: &str) -> Result<Option<Credentials>> {
    files(access).find(host, "").map_err(own)
}

/// Whether the registry knows the user by that password.
///
/// # Errors
/// It does not, or does not answer.
pub fn check(paths: &Paths, access: &Access, host: &str, credentials: Credentials) -> Result<()> {
    paths.ensure()?;
    call(paths, access, Task::Login { host: host.to_owned(), credentials }, &mut |_| {})
}

/// Checks, and keeps. The file where the password lies open, where it does.
///
/// # Errors
/// As [`check`]; the file cannot be written.
pub fn login(paths: &Paths, access: &Access, host: &str, user: &str, password: &str) -> Result<Option<PathBuf>> {
    let credentials = Credentials::Password { user: user.to_owned(), password: password.to_owned() };
    check(paths, access, host, credentials)?;
    match files(access).keep(host, user, password).map_err(own)? {
        Kept::File(path) => Ok(Some(path)),
        Kept::Helper(_) => Ok(None),
    }
}

/// Whether there was one to forget.
///
/// # Errors
/// The file cannot be written, or the helper fails.
pub fn logout(access: &Access, host: &str) -> Result<bool> {
    files(access).forget(host).map_err(own)
}

/// The hosts that a login is kept for.
///
/// # Errors
/// The file cannot be read.
pub fn hosts(access: &Access) -> Result<Vec<String>> {
    files(access).hosts().map_err(own)
}

/// A password typed at the terminal of the input.
///
/// # Errors
/// There is none, or it is left with ctrl-c.
pub fn ask_password() -> Result<String> {
    use std::os::fd::AsFd;
    let stdin = std::io::stdin();
    let typed = runtime::console::secret(stdin.as_fd())?;
    typed.ok_or_else(|| Error::rejected("cannot read the password", "nothing was typed"))
}
