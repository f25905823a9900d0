//! Mandatory access control, as far as it was asked for: set, refused, or without effect and said so.

use crate::error::{Error, Result};
use crate::request::mount::Kind;
use crate::request::security::Security;
use crate::request::{Mount, Run};
use runtime::observe::lsm;

const UNCONFINED: &str = "unconfined";

/// The AppArmor profile to start the command under; empty: none.
///
/// # Errors
/// A profile was asked for that cannot be set here.
pub fn apparmor(security: &Security) -> Result<String> {
    let Some(profile) = &security.apparmor else { return Ok(String::new()) };
    let refuse =
        |why: &str| Error::rejected(format!("cannot confine the container by the AppArmor profile {profile}"), why);
    match (lsm::apparmor(), profile.as_str()) {
        (false, UNCONFINED) => Ok(String::new()),
        (false, _) => Err(refuse("AppArmor is not enabled on this host").hint("leave --security-opt apparmor= out")),
        (true, UNCONFINED) => Ok(profile.clone()),
        (true, _) if lsm::apparmor_has(profile) == Some(false) => {
            Err(refuse("no such profile is loaded").hint("apparmor_parser -r FILE loads it; aa-status lists what is"))
        }
        (true, _) => Ok(profile.clone()),
    }
}

/// SELinux labels: as with docker they mean nothing where SELinux is off.
///
/// # Errors
/// One was asked for where it would mean something.
pub fn labels(request: &Run) -> Result<Vec<String>> {
    let label = &request.security.label;
    let labelled = [&label.user, &label.role, &label.kind, &label.level].into_iter().any(Option::is_some);
    let relabels = |mount: &Mount| matches!(&mount.kind, Kind::Bind(bind) if bind.relabel.is_some());
    let mut warnings = Vec::new();
    match (labelled, lsm::selinux()) {
        (true, true) => {
            return Err(Error::rejected("cannot label the container", "this version sets no SELinux labels")
                .hint("leave --security-opt label= out"));
        }
        (true, false) => warnings.push("--security-opt label= has no effect: SELinux is off here".to_owned()),
        (false, true) if request.files.mounts.iter().any(relabels) => {
            warnings.push("volumes are not relabelled: this version does not confine containers by SELinux".to_owned());
        }
        (false, _) => {}
    }
    Ok(warnings)
}
