//! What mandatory access control this host has. Looked at only when a request names it.

use std::path::Path;

/// Whether the kernel was booted with AppArmor.
#[must_use]
pub fn apparmor() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.trim() == "Y")
}

/// Whether a profile is loaded; `None` for who may not read the list.
#[must_use]
pub fn apparmor_has(profile: &str) -> Option<bool> {
    let list = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles").ok()?;
    // Each with its mode: `docker-default (enforce)`.
    Some(list.lines().any(|line| line.rsplit_once(" (").is_some_and(|(name, _)| name == profile)))
}

#[must_use]
pub fn selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}
