//! Who a container runs as: docker's `--user` and `--group-add` against the root filesystem's own passwd and group.
//!
//! Invariant: no NSS, and no file of the host: a name means what the image says it means.

use crate::error::{Error, Kind, Result};
use crate::rootfs::Rootfs;
use std::path::Path;

/// Docker's: ids are signed there.
const MAX_ID: u32 = i32::MAX as u32;
/// Far above any real passwd file; a hostile one is not read further.
const MAX_FILE: u64 = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    pub home: String,
}

/// `user` is `""`, a name or uid, and after a colon a group or gid; `groups` are `--group-add`'s.
///
/// As docker: a name must be listed; a number need not be. The groups that list the user as a member are added, unless
/// a group was named. Without an entry the home is `/`.
///
/// # Errors
/// [`Kind::Missing`] for a name that is not listed or an id out of range; the layers cannot be read.
pub fn resolve(rootfs: &Rootfs, user: &str, groups: &[String]) -> Result<User> {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let passwd = records(rootfs, "/etc/passwd")?;
    let listed = records(rootfs, "/etc/group")?;
    let wanted = if user.is_empty() { "0" } else { user };
    let entry = passwd.iter().filter_map(|line| Account::parse(line)).find(|account| account.is(wanted));
    let mut found = match &entry {
        Some(account) => {
            User { uid: account.uid, gid: account.gid, additional_gids: vec![], home: account.home.into() }
        }
        None => User { uid: id("user", wanted, "passwd")?, gid: 0, additional_gids: vec![], home: "/".into() },
    };
    if found.home.is_empty() {
        found.home = "/".into();
    }
    let listed: Vec<Group<'_>> = listed.iter().filter_map(|line| Group::parse(line)).collect();
    if !group.is_empty() {
        found.gid = gid(&listed, group)?;
    } else if let Some(account) = entry {
        let of = listed.iter().filter(|group| group.members.split(',').any(|member| member == account.name));
        found.additional_gids = of.map(|group| group.gid).collect();
    }
    for group in groups {
        found.additional_gids.push(gid(&listed, group)?);
    }
    found.additional_gids.sort_unstable();
    found.additional_gids.dedup();
    Ok(found)
}

/// What /etc/passwd and /etc/group have to say (name, content) for a user of the host to be known by his name, and for
/// his group: those of the two that do not have the number.
///
/// # Errors
/// The layers cannot be read.
pub fn introduce(rootfs: &Rootfs, (uid, gid): (u32, u32), name: &str) -> Result<Vec<(String, String)>> {
    let listed = |line: &String, id: u32| line.split(':').nth(2).is_some_and(|word| word.parse() == Ok(id));
    let entries =
        [("passwd", uid, format!("{name}:x:{uid}:{gid}::/:/bin/sh")), ("group", gid, format!("{name}:x:{gid}:"))];
    let mut files = Vec::new();
    for (file, id, entry) in entries {
        let mut lines = records(rootfs, &format!("/etc/{file}"))?;
        if !lines.iter().any(|line| listed(line, id)) {
            lines.push(entry + "\n");
            files.push((file.to_owned(), lines.join("\n")));
        }
    }
    Ok(files)
}

/// passwd(5).
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Account<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, ..] = fields.as_slice() else {
            return None;
        };
        Some(Self { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: fields.get(5).copied().unwrap_or("") })
    }

    /// A number is a number, even where someone has it as a name.
    fn is(&self, wanted: &str) -> bool {
        wanted.parse().map_or_else(|_| self.name == wanted, |uid: u32| self.uid == uid)
    }
}

/// group(5).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, ..] = fields.as_slice() else {
            return None;
        };
        Some(Self { name, gid: gid.parse().ok()?, members: fields.get(3).copied().unwrap_or("") })
    }
}

fn gid(listed: &[Group<'_>], wanted: &str) -> Result<u32> {
    if wanted.parse::<u64>().is_ok() {
        return id("group", wanted, "group");
    }
    match listed.iter().find(|group| group.name == wanted) {
        Some(group) => Ok(group.gid),
        None => id("group", wanted, "group"),
    }
}

fn id(what: &str, text: &str, file: &str) -> Result<u32> {
    let missing = |why: String| Error::new(Kind::Missing, format!("unable to find {what} {text}"), why);
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        let error = missing(format!("no matching entries in {file} file"));
        return Err(error.hint(format!("add it to the image's /etc/{file}, or give the number")));
    }
    let id = text.parse().ok().filter(|id| *id <= MAX_ID);
    id.ok_or_else(|| missing(format!("uids and gids must be in range 0-{MAX_ID}")))
}

fn records(rootfs: &Rootfs, path: &str) -> Result<Vec<String>> {
    let bytes = rootfs.read(Path::new(path), MAX_FILE)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).lines().map(|line| line.trim().to_owned()).collect())
}
