//! What the options of the local driver, the only one, stand for: `type`, `device` and `o` as mount(8) has them, `size`.

use plan::Rejected;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// A directory of ours; so many bytes at most.
    Directory { quota: Option<u64> },
    /// A path of the host.
    Path { path: PathBuf, read_only: bool },
    /// A filesystem, which is mounted while somebody uses it.
    Filesystem { fstype: String, device: String, options: Vec<String> },
}

/// # Errors
/// An option that there is none of, or that does not go with the others.
pub fn read(options: &BTreeMap<String, String>) -> Result<Stands, Rejected> {
    let known = ["type", "device", "o", "size"];
    if let Some(key) = options.keys().find(|key| !known.contains(&key.as_str())) {
        let why = format!("the local driver has no option {key:?}");
        return Err(refuse(why).hint("one of type, device, o, size"));
    }
    let given = |key: &str| options.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let words: Vec<&str> = given("o").unwrap_or_default().split(',').filter(|word| !word.is_empty()).collect();
    let stands = match (given("type"), given("device")) {
        (kind, device) if words.iter().any(|word| matches!(*word, "bind" | "rbind")) => bind(kind, device, &words)?,
        (None, None) => return directory(given("size"), &words),
        (Some("tmpfs"), device) => filesystem("tmpfs", device.unwrap_or("tmpfs"), &words),
        (Some(kind), Some(device)) => network(kind, &words).map(|()| filesystem(kind, device, &words))?,
        (Some(_), None) => return Err(refuse("a type needs a device").hint("--opt device=/dev/sdb1")),
        (None, Some(_)) => return Err(refuse("a device needs a type, or o=bind").hint("--opt type=ext4")),
    };
    match given("size") {
        Some(_) => Err(refuse("size is for a volume that is no mount of its own")
            .hint("a tmpfs has its size among the words of o: o=size=64m")),
        None => Ok(stands),
    }
}

fn refuse(why: impl Into<String>) -> Rejected {
    Rejected::new("cannot make such a volume", why)
}

fn bind(kind: Option<&str>, device: Option<&str>, words: &[&str]) -> Result<Stands, Rejected> {
    if let Some(kind) = kind.filter(|kind| !matches!(*kind, "none" | "bind")) {
        return Err(refuse(format!("a bind has no type {kind:?}")).hint("leave the type out, or write none"));
    }
    let path = device.filter(|device| device.starts_with('/'));
    let path = path.ok_or_else(|| refuse("a bind needs an absolute path").hint("--opt device=/srv/data"))?;
    let mut read_only = false;
    for word in words {
        match *word {
            "bind" | "rbind" | "rw" => {}
            "ro" => read_only = true,
            word => return Err(refuse(format!("a bind has no option {word:?}")).hint("bind, rbind, ro or rw")),
        }
    }
    Ok(Stands::Path { path: path.into(), read_only })
}

fn directory(size: Option<&str>, words: &[&str]) -> Result<Stands, Rejected> {
    let mut quota = size;
    for word in words {
        // podman's way to say it.
        match word.strip_prefix("size=") {
            Some(size) => quota = Some(size),
            None => {
                let why = format!("the option {word:?} is for a mount, and neither type nor device is given");
                return Err(refuse(why).hint("--opt type=tmpfs, or --opt device=/srv/data --opt o=bind"));
            }
        }
    }
    let bytes = |text: &str| {
        let size = text.parse::<spec::unit::Size>().map_err(|error| refuse(format!("{text:?}: {}", error.why)))?;
        Ok::<_, Rejected>(size.bytes())
    };
    Ok(Stands::Directory { quota: quota.map(bytes).transpose()?.filter(|bytes| *bytes > 0) })
}

/// The kernel takes the server of a network filesystem as a number (nfs(5), mount.cifs(8)): mount(8) calls a program that
/// finds it.
fn network(kind: &str, words: &[&str]) -> Result<(), Rejected> {
    let key = match kind {
        "nfs" | "nfs4" => "addr=",
        "cifs" | "smb3" => "ip=",
        _ => return Ok(()),
    };
    let address = words.iter().find_map(|word| word.strip_prefix(key));
    match address.map(str::parse::<IpAddr>) {
        Some(Ok(_)) => Ok(()),
        _ => Err(refuse(format!("a file system of type {kind} needs the address of its server"))
            .hint(format!("write it as a number among the words of o: o={key}192.0.2.7"))),
    }
}

fn filesystem(kind: &str, device: &str, words: &[&str]) -> Stands {
    let options = words.iter().map(|word| (*word).to_owned()).collect();
    Stands::Filesystem { fstype: kind.to_owned(), device: device.to_owned(), options }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(options: &[(&str, &str)]) -> Result<Stands, String> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        read(&options.collect()).map_err(|error| error.why)
    }

    #[test]
    fn as_mount_has_them() {
        assert_eq!(stands(&[]), Ok(Stands::Directory { quota: None }));
        assert_eq!(stands(&[("size", "1m")]), Ok(Stands::Directory { quota: Some(1 << 20) }));
        assert_eq!(stands(&[("o", "size=1m")]), Ok(Stands::Directory { quota: Some(1 << 20) }));
        let path = Stands::Path { path: "/srv".into(), read_only: true };
        assert_eq!(stands(&[("type", "none"), ("device", "/srv"), ("o", "bind,ro")]), Ok(path));
        let tmpfs = |words: &[&str]| filesystem("tmpfs", "tmpfs", words);
        assert_eq!(stands(&[("type", "tmpfs")]), Ok(tmpfs(&[])));
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,uid=5")];
        assert_eq!(stands(&options), Ok(tmpfs(&["size=1m", "uid=5"])));
        let options = [("type", "nfs"), ("device", ":/x"), ("o", "addr=192.0.2.7,rw")];
        assert_eq!(stands(&options), Ok(filesystem("nfs", ":/x", &["addr=192.0.2.7", "rw"])));
    }

    #[test]
    fn what_does_not_go_together() {
        for (options, why) in [
            (&[("color", "red")][..], "the local driver has no option \"color\""),
            (&[("type", "ext4")], "a type needs a device"),
            (&[("device", "/dev/x")], "a device needs a type, or o=bind"),
            (&[("device", "x"), ("o", "bind")], "a bind needs an absolute path"),
            (&[("device", "/x"), ("o", "bind,uid=5")], "a bind has no option \"uid=5\""),
            (&[("o", "uid=5")], "the option \"uid=5\" is for a mount, and neither type nor device is given"),
            (&[("type", "tmpfs"), ("size", "1m")], "size is for a volume that is no mount of its own"),
            (
                &[("type", "nfs"), ("device", "host:/x"), ("o", "addr=host")],
                "a file system of type nfs needs the address of its server",
            ),
        ] {
            assert_eq!(stands(options).unwrap_err(), why);
        }
    }
}
