//! No call into NSS in the binary: it would load a second libc (docs/adr/0002-static-linking.md).
//!
//! Looks at the development build, which is not stripped; its code is that of the release.

use super::Finding;
use crate::command;
use std::process::Command;

/// The libc functions that end in NSS; `_r` forms too.
const NSS: [&str; 9] = [
    "getaddrinfo",
    "gethostby",
    "getpwnam",
    "getpwuid",
    "getgrnam",
    "getgrgid",
    "getgrouplist",
    "initgroups",
    "getservby",
];

/// # Errors
/// The binary cannot be built, or nm is missing.
pub fn check() -> Result<Vec<Finding>, String> {
    command::succeed(&mut command::cargo(&["build", "--quiet", "--package", "sampan"]))?;
    let binary = command::binary("debug")?;
    let symbols = command::output(Command::new("nm").arg(&binary))?;
    let names = symbols.lines().filter_map(|line| line.rsplit(' ').next());
    // glibc's fork carries parts of its resolver along (`gethostbyname3_multi`): nothing that a program can call.
    let internal = |name: &str| name.starts_with("gethostbyname3");
    let banned = names.filter(|name| NSS.iter().any(|nss| name.trim_start_matches('_').starts_with(nss)));
    let banned = banned.filter(|name| !internal(name));
    Ok(banned.map(|name| format!("the binary has {name}: NSS crashes a static binary")).collect())
}
