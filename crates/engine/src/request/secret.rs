//! `--secret NAME[,KEY=VALUE…]`.

use super::{Invalid, mount, text};
use serde::{Deserialize, Serialize};

/// Where secrets are that nobody says another place of.
const PLACE: &str = "/run/secrets";
const HOW: &str = "write NAME[,type=mount|env][,target=][,uid=][,gid=][,mode=]: db,target=/etc/db,mode=0400";

/// One of the store's, and how the container gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub name: String,
    pub way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// `target`: absolute.
    File {
        target: String,
        uid: u32,
        gid: u32,
        mode: u32,
    },
    Variable(String),
}

/// podman's rule, which makes one a file's name.
///
/// # Errors
/// [`Invalid`] for a name with other characters, or one that is too long.
pub fn name(text: &str) -> Result<String, Invalid> {
    mount::name(text).ok().filter(|name| name.len() <= 253).ok_or_else(|| {
        Invalid::new(format!("{text:?} is no name of a secret"))
            .hint("a letter or digit, then letters, digits, _, . and -; 253 at most")
    })
}

/// # Errors
/// [`Invalid`] for unknown keys, and keys that do not go with the type.
pub fn secret(spec: &str) -> Result<Secret, Invalid> {
    let (mut source, mut kind, mut target) = (None, None, None);
    let (mut uid, mut gid, mut mode) = (None, None, None);
    for (at, field) in spec.split(',').enumerate() {
        let Some((key, value)) = field.split_once('=') else {
            if at > 0 {
                return Err(Invalid::new(format!("{field:?} has no value")).hint(HOW));
            }
            source = Some(name(field)?);
            continue;
        };
        let number = || text::number(value).ok_or_else(|| Invalid::new(format!("{field}: not a number")));
        match key {
            "source" | "src" => mount::once(&mut source, name(value)?, field)?,
            "type" => mount::once(&mut kind, value.to_owned(), field)?,
            "target" => mount::once(&mut target, value.to_owned(), field)?,
            "uid" => mount::once(&mut uid, number()?, field)?,
            "gid" => mount::once(&mut gid, number()?, field)?,
            "mode" => {
                let octal = mount::mode(value).filter(|mode| *mode <= 0o777);
                let octal = octal.ok_or_else(|| Invalid::new(format!("{field}: not an octal mode")).hint("0400"))?;
                mount::once(&mut mode, octal, field)?;
            }
            _ => return Err(Invalid::new(format!("unknown field {key:?}")).hint(HOW)),
        }
    }
    let name = source.ok_or_else(|| Invalid::new("no name of a secret").hint(HOW))?;
    let way = match kind.as_deref() {
        None | Some("mount") => {
            let target = target.unwrap_or_else(|| name.clone());
            let target = if target.starts_with('/') { target } else { format!("{PLACE}/{target}") };
            let (uid, gid, mode) = (uid.unwrap_or(0), gid.unwrap_or(0), mode.unwrap_or(0o444));
            Way::File { target: text::target(&target)?, uid, gid, mode }
        }
        Some("env") if uid.is_some() || gid.is_some() || mode.is_some() => {
            return Err(Invalid::new("a variable has neither owner nor mode").hint("leave uid, gid and mode out"));
        }
        Some("env") => {
            let variable = target.unwrap_or_else(|| name.clone());
            if variable.is_empty() || variable.contains(['=', '\0']) {
                return Err(Invalid::new(format!("{variable:?} is no name of a variable")).hint("target=DB_PASSWORD"));
            }
            Way::Variable(variable)
        }
        Some(other) => return Err(Invalid::new(format!("unknown type {other:?}")).hint("type=mount or type=env")),
    };
    Ok(Secret { name, way })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_podmans_fields() {
        let file = |target: &str, uid, gid, mode| Way::File { target: target.into(), uid, gid, mode };
        let way = |text: &str| secret(text).map(|secret| (secret.name, secret.way));
        assert_eq!(way("db"), Ok(("db".into(), file("/run/secrets/db", 0, 0, 0o444))));
        assert_eq!(way("source=db,target=pw"), Ok(("db".into(), file("/run/secrets/pw", 0, 0, 0o444))));
        let text = "db,type=mount,target=/etc/pw,uid=5,gid=6,mode=0400";
        assert_eq!(way(text), Ok(("db".into(), file("/etc/pw", 5, 6, 0o400))));
        assert_eq!(way("db,type=env"), Ok(("db".into(), Way::Variable("db".into()))));
        assert_eq!(way("db,type=env,target=PW"), Ok(("db".into(), Way::Variable("PW".into()))));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "\"\" is no name of a secret"),
            ("a/b", "\"a/b\" is no name of a secret"),
            ("type=env", "no name of a secret"),
            ("db,ro", "\"ro\" has no value"),
            ("db,type=disk", "unknown type \"disk\""),
            ("db,type=env,uid=5", "a variable has neither owner nor mode"),
            ("db,type=env,target=A=B", "\"A=B\" is no name of a variable"),
            ("db,mode=9", "mode=9: not an octal mode"),
            ("db,uid=root", "uid=root: not a number"),
            ("db,target=/a,target=/b", "\"target=/b\" repeats or contradicts an earlier option"),
        ] {
            assert_eq!(secret(text).unwrap_err().why, why, "{text}");
        }
    }
}
