//! Privileges: capabilities, seccomp, mandatory access control, masked paths, kernel parameters.

use super::{Invalid, text};
pub use plan::capability::Capability;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    pub privileged: bool,
    pub cap_add: Vec<Capability>,
    pub cap_drop: Vec<Capability>,
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    /// A profile, or `unconfined`. Absent: the default where AppArmor is on.
    pub apparmor: Option<String>,
    pub label: Label,
    /// More paths to hide.
    pub mask: Vec<String>,
    pub unmask: Unmask,
    /// Dotted names; later ones win.
    pub sysctls: Vec<(String, String)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The built-in profile; none if privileged.
    #[default]
    Default,
    Unconfined,
    /// In docker's JSON form. As typed, so perhaps relative, until the caller has made it absolute.
    File(PathBuf),
}

/// SELinux.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub disable: bool,
    pub user: Option<String>,
    pub role: Option<String>,
    pub kind: Option<String>,
    pub level: Option<String>,
}

/// Which of the default masked and read-only paths are left as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unmask {
    All,
    Paths(Vec<String>),
}

impl Default for Unmask {
    fn default() -> Self {
        Self::Paths(Vec::new())
    }
}

const KNOWN: &str = "no-new-privileges, seccomp=, apparmor=, label=, mask=, unmask=, systempaths=unconfined";

impl Security {
    /// Takes one `--security-opt`. `KEY:VALUE`, an old spelling of docker's, is taken too.
    ///
    /// # Errors
    /// [`Invalid`] for unknown options and values.
    pub fn option(&mut self, option: &str) -> Result<(), Invalid> {
        let (key, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
            Some((key, value)) => (key, Some(value)),
            None => (option, None),
        };
        if key == "no-new-privileges" {
            self.no_new_privileges = value.map_or(Ok(true), spec::unit::boolean)?;
            return Ok(());
        }
        let unknown = || Invalid::new(format!("unknown security option {key:?}")).hint(KNOWN);
        if !["seccomp", "apparmor", "label", "mask", "unmask", "systempaths"].contains(&key) {
            return Err(unknown());
        }
        let value = value.filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| Invalid::new(format!("no value for {key:?}")).hint(format!("{key}=VALUE")))?;
        match key {
            "seccomp" => {
                self.seccomp = match value {
                    "unconfined" => Seccomp::Unconfined,
                    "builtin" => Seccomp::Default,
                    file => Seccomp::File(file.into()),
                }
            }
            "apparmor" => self.apparmor = Some(value.to_owned()),
            "label" => self.label.take(value)?,
            "mask" => self.mask.extend(paths(value)?),
            "unmask" if value.eq_ignore_ascii_case("all") => self.unmask = Unmask::All,
            "unmask" => {
                if let Unmask::Paths(known) = &mut self.unmask {
                    known.extend(paths(value)?);
                }
            }
            "systempaths" if value == "unconfined" => self.unmask = Unmask::All,
            _ => return Err(Invalid::new(format!("unknown value {value:?}")).hint("systempaths=unconfined")),
        }
        Ok(())
    }
}

impl Label {
    fn take(&mut self, value: &str) -> Result<(), Invalid> {
        let slot = match value.split_once(':') {
            None if value == "disable" => {
                self.disable = true;
                return Ok(());
            }
            Some(("user", _)) => &mut self.user,
            Some(("role", _)) => &mut self.role,
            Some(("type", _)) => &mut self.kind,
            Some(("level", _)) => &mut self.level,
            _ => {
                let why = format!("unknown label {value:?}");
                return Err(Invalid::new(why).hint("disable, user:NAME, role:NAME, type:NAME or level:LEVEL"));
            }
        };
        *slot = value.split_once(':').map(|(_, value)| value.to_owned());
        Ok(())
    }
}

/// podman: paths joined by colons.
fn paths(text: &str) -> Result<Vec<String>, Invalid> {
    text.split(':').map(text::absolute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_options() {
        let mut security = Security::default();
        for option in [
            "no-new-privileges",
            "seccomp=./profile.json",
            "apparmor:mine",
            "label=type:svirt_t",
            "label=level:s0:c1,c2",
            "mask=/proc/a:/proc/b",
            "unmask=/proc/acpi",
        ] {
            security.option(option).unwrap();
        }
        let label = Label { kind: Some("svirt_t".into()), level: Some("s0:c1,c2".into()), ..Label::default() };
        let expected = Security {
            no_new_privileges: true,
            seccomp: Seccomp::File("./profile.json".into()),
            apparmor: Some("mine".into()),
            label,
            mask: vec!["/proc/a".into(), "/proc/b".into()],
            unmask: Unmask::Paths(vec!["/proc/acpi".into()]),
            ..Security::default()
        };
        assert_eq!(security, expected);
        for option in ["no-new-privileges=false", "seccomp=unconfined", "label=disable", "systempaths=unconfined"] {
            security.option(option).unwrap();
        }
        assert!(!security.no_new_privileges && security.label.disable);
        assert_eq!((security.seccomp, security.unmask), (Seccomp::Unconfined, Unmask::All));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "unknown security option \"\""),
            ("secomp=unconfined", "unknown security option \"secomp\""),
            ("seccomp", "no value for \"seccomp\""),
            ("seccomp=", "no value for \"seccomp\""),
            ("no-new-privileges:perhaps", "\"perhaps\" is neither true nor false"),
            ("label=off", "unknown label \"off\""),
            ("mask=proc", "the container path \"proc\" is not absolute"),
            ("systempaths=all", "unknown value \"all\""),
        ] {
            assert_eq!(Security::default().option(text).unwrap_err().why, why);
        }
    }
}
