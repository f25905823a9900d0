//! Devices and the rules of the device cgroup.

use super::{Invalid, text};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `--device HOST[:CONTAINER[:rwm]]`. The host path may be a directory, which stands for all devices in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub host: PathBuf,
    pub container: String,
    pub access: Access,
}

/// What the device cgroup grants; at least one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

impl Access {
    pub const ALL: Self = Self { read: true, write: true, mknod: true };

    /// As the OCI configuration writes it: a selection of `rwm`.
    #[must_use]
    pub fn letters(self) -> String {
        let letters = [(self.read, 'r'), (self.write, 'w'), (self.mknod, 'm')];
        letters.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut access = Self { read: false, write: false, mknod: false };
        for letter in text.chars() {
            let slot = match letter {
                'r' => &mut access.read,
                'w' => &mut access.write,
                'm' => &mut access.mknod,
                _ => return None,
            };
            if std::mem::replace(slot, true) {
                return None;
            }
        }
        (!text.is_empty()).then_some(access)
    }
}

impl FromStr for Device {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let how = "write DEVICE[:CONTAINER-PATH[:rwm]]: /dev/fuse, /dev/sda:/dev/xvda:r";
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, access) = match *parts.as_slice() {
            [host] => (host, host, "rwm"),
            // docker: the second of two is an access if it can be one.
            [host, second] if Access::parse(second).is_some() => (host, host, second),
            [host, container] => (host, container, "rwm"),
            [host, container, access] => (host, container, access),
            _ => return Err(Invalid::new("too many colons").hint(how)),
        };
        if !Path::new(host).is_absolute() {
            return Err(Invalid::new(format!("the device path {host:?} is not absolute")).hint(how));
        }
        let access = Access::parse(access)
            .ok_or_else(|| Invalid::new(format!("{access:?} is not a selection of r, w and m")).hint(how))?;
        let container = text::target(if container.is_empty() { host } else { container })?;
        Ok(Self { host: host.into(), container, access })
    }
}

/// `--device-cgroup-rule 'c 1:3 rwm'`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    pub kind: DeviceKind,
    /// Absent: any.
    pub major: Option<u32>,
    /// Absent: any.
    pub minor: Option<u32>,
    pub access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    All,
    Char,
    Block,
}

impl FromStr for DeviceRule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        rule(text).ok_or_else(|| {
            Invalid::new("not a device rule")
                .hint("write TYPE MAJOR:MINOR ACCESS: 'c 10:229 rw', with * for any number")
        })
    }
}

fn rule(text: &str) -> Option<DeviceRule> {
    let mut words = text.split(' ');
    let kind = match words.next()? {
        "a" => DeviceKind::All,
        "c" => DeviceKind::Char,
        "b" => DeviceKind::Block,
        _ => return None,
    };
    let (major, minor) = words.next()?.split_once(':')?;
    let number = |text: &str| {
        if text == "*" { Some(None) } else { text::number(text).map(Some) }
    };
    let rule = DeviceRule { kind, major: number(major)?, minor: number(minor)?, access: Access::parse(words.next()?)? };
    words.next().is_none().then_some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_devices() {
        for (text, host, container, access) in [
            ("/dev/fuse", "/dev/fuse", "/dev/fuse", "rwm"),
            ("/dev/fuse:rm", "/dev/fuse", "/dev/fuse", "rm"),
            ("/dev/sda:/dev/xvda", "/dev/sda", "/dev/xvda", "rwm"),
            ("/dev/sda:/dev/xvda:r", "/dev/sda", "/dev/xvda", "r"),
            ("/dev/sda::w", "/dev/sda", "/dev/sda", "w"),
        ] {
            let device: Device = text.parse().unwrap();
            assert_eq!((device.host.to_str(), device.container.as_str()), (Some(host), container), "{text}");
            assert_eq!(device.access.letters(), access);
        }
        for (text, why) in [
            ("", "the device path \"\" is not absolute"),
            ("fuse", "the device path \"fuse\" is not absolute"),
            ("vendor.com/class=gpu", "the device path \"vendor.com/class=gpu\" is not absolute"),
            ("/dev/a:/dev/b:rx", "\"rx\" is not a selection of r, w and m"),
            ("/dev/a:/dev/b:rr", "\"rr\" is not a selection of r, w and m"),
            ("/dev/a:b", "the container path \"b\" is not absolute"),
            ("/dev/a:/dev/b:r:w", "too many colons"),
        ] {
            assert_eq!(text.parse::<Device>().unwrap_err().why, why, "{text}");
        }
    }

    #[test]
    fn reads_rules() {
        let rule: DeviceRule = "c 10:* rw".parse().unwrap();
        assert_eq!((rule.kind, rule.major, rule.minor), (DeviceKind::Char, Some(10), None));
        assert_eq!(rule.access.letters(), "rw");
        assert!("a *:* rwm".parse::<DeviceRule>().is_ok());
        for text in ["", "c", "c 1:3", "x 1:3 r", "c 1 r", "c 1:3 x", "c 1:3 r ", "c 1:3  r", "c +1:3 r"] {
            assert_eq!(text.parse::<DeviceRule>().unwrap_err().why, "not a device rule", "{text}");
        }
    }
}
