//! The container's process: what runs, as whom, with which environment and limits of its own.

use super::{Invalid, text};
pub use runtime::supervise::Signal;
use serde::{Deserialize, Serialize};
use spec::runtime::Rlimit;
use std::str::FromStr;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Absent: the image's. Empty: none, even if the image has one.
    pub entrypoint: Option<Vec<String>>,
    /// Empty: the image's, unless the entrypoint was given.
    pub command: Vec<String>,
    /// In the order of precedence: later ones win.
    pub env: Vec<Variable>,
    pub workdir: Option<String>,
    pub user: Option<User>,
    /// Names or numbers.
    pub groups: Vec<String>,
    /// Run a small init as pid 1, which forwards signals and reaps.
    pub init: bool,
    /// `kind` is `RLIMIT_NOFILE` and the like, `u64::MAX` is unlimited. No kind twice.
    pub ulimits: Vec<Rlimit>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    /// Absent: take the image's away.
    pub value: Option<String>,
}

/// `NAME=VALUE`, or `NAME` for the caller's value, which `lookup` knows.
///
/// # Errors
/// [`Invalid`] for a variable without a name.
pub fn variable(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Variable, Invalid> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, lookup(text)),
    };
    if name.is_empty() {
        return Err(Invalid::new("a variable without a name").hint("write NAME=VALUE, or NAME to pass it on"));
    }
    Ok(Variable { name: name.to_owned(), value })
}

/// docker's env-file: a variable a line, as [`variable`] reads it; empty lines and those that start with `#` are
/// skipped; nothing is unquoted. A name that the caller does not have is left out.
///
/// # Errors
/// [`Invalid`], with the number of the line.
pub fn env_file(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<Variable>, Invalid> {
    let mut variables = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, text) in pairs(text) {
        let at = |error: Invalid| Invalid { why: format!("line {line}: {}", error.why), ..error };
        let read = variable(text, &lookup).map_err(at)?;
        if read.name.contains(char::is_whitespace) {
            return Err(at(Invalid::new(format!("{:?} has a space in its name", read.name)).hint("write NAME=VALUE")));
        }
        if read.value.is_some() {
            variables.push(read);
        }
    }
    Ok(variables)
}

/// docker's label-file: `KEY=VALUE` a line, or `KEY` for an empty value.
///
/// # Errors
/// [`Invalid`], with the number of the line.
pub fn label_file(text: &str) -> Result<Vec<(String, String)>, Invalid> {
    let at = |line, error: Invalid| Invalid { why: format!("line {line}: {}", error.why), ..error };
    pairs(text).map(|(line, text)| label(text).map_err(|error| at(line, error))).collect()
}

/// The lines that say something, with their numbers.
fn pairs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_start()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// `KEY=VALUE`, or `KEY` for an empty value; for labels and annotations.
///
/// # Errors
/// [`Invalid`] for an empty key.
pub fn label(text: &str) -> Result<(String, String), Invalid> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(Invalid::new("no key before the =").hint("write KEY=VALUE"));
    }
    Ok((key.into(), value.into()))
}

/// `--sysctl NAME=VALUE`; both `net.ipv4.ip_forward` and `net/ipv4/ip_forward` name the same one (sysctl(8)).
///
/// # Errors
/// [`Invalid`] for other shapes.
pub fn sysctl(text: &str) -> Result<(String, String), Invalid> {
    let malformed =
        || Invalid::new("not a kernel parameter").hint("write NAME=VALUE: net.ipv4.ip_unprivileged_port_start=0");
    let (name, value) = text.split_once('=').ok_or_else(malformed)?;
    let separator = name.find(['.', '/']).ok_or_else(malformed)?;
    // Where the first separator is a slash, dots are part of the names: net/ipv4/conf/eth0.5/rp_filter.
    let name = if name[separator..].starts_with('/') {
        name.chars().map(plan::sysctl::swapped).collect()
    } else {
        name.to_owned()
    };
    let plain = |part: &str| {
        !part.is_empty()
            && part != "/"
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/'))
    };
    if !name.split('.').all(plain) {
        return Err(malformed());
    }
    Ok((name, value.to_owned()))
}

/// `--user USER[:GROUP]`: names or numbers, which the container's passwd and group files explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub user: String,
    pub group: Option<String>,
}

impl FromStr for User {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        Ok(Self { user: account(user)?, group: group.map(account).transpose()? })
    }
}

/// A user's or group's name, or a number below 2^32 - 1 (which is no id).
///
/// # Errors
/// [`Invalid`] for an empty text, one that would break a line of passwd(5), and larger numbers.
pub fn account(text: &str) -> Result<String, Invalid> {
    let how = "write NAME or NUMBER, with :GROUP after it if needed: 1000:1000";
    if text.is_empty() || text.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control()) {
        return Err(Invalid::new(format!("{text:?} is not a user or group")).hint(how));
    }
    let numeric = text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit());
    if numeric && text::number::<u32>(text).is_none_or(|id| id == u32::MAX) {
        return Err(Invalid::new(format!("the id {text} is not from 0 to 4294967294")).hint(how));
    }
    Ok(text.to_owned())
}

/// `--entrypoint`: one program, or as podman a JSON list of program and arguments; empty resets the image's.
///
/// # Errors
/// [`Invalid`] for a text that starts like a list and is none.
pub fn entrypoint(text: &str) -> Result<Vec<String>, Invalid> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if !text.starts_with('[') {
        return Ok(vec![text.to_owned()]);
    }
    serde_json::from_str(text)
        .map_err(|_| Invalid::new("neither a program nor a list in JSON").hint("[\"program\", \"argument\"]"))
}

/// `--ulimit NAME=SOFT[:HARD]`; -1 is unlimited.
///
/// # Errors
/// [`Invalid`] for unknown names, other numbers, and a soft limit above the hard one.
pub fn ulimit(text: &str) -> Result<Rlimit, Invalid> {
    let how = "write NAME=SOFT[:HARD]: nofile=1024:2048";
    let (name, values) = text.split_once('=').ok_or_else(|| Invalid::new("no value").hint(how))?;
    let name = name.to_ascii_lowercase();
    if !ULIMITS.contains(&name.as_str()) {
        return Err(Invalid::new(format!("unknown limit {name:?}")).hint(ULIMITS.join(", ")));
    }
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        _ => text::number(text).ok_or_else(|| Invalid::new(format!("{text:?} is not a number")).hint(how)),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        return Err(Invalid::new("the soft limit is above the hard limit").hint(how));
    }
    Ok(Rlimit { kind: format!("RLIMIT_{}", name.to_ascii_uppercase()), soft, hard })
}

/// getrlimit(2).
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// A name, with or without `SIG`, in any case; a number; `RTMIN+N` and `RTMAX-N`.
///
/// # Errors
/// [`Invalid`] for anything else.
pub fn signal(text: &str) -> Result<Signal, Invalid> {
    let unknown = |_| Invalid::new("unknown signal").hint("a name such as SIGTERM, or a number from 1 to 64");
    text.parse().map_err(unknown)
}

/// A signal in JSON: its name.
pub(super) mod by_name {
    use super::Signal;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(signal: &Option<Signal>, to: S) -> Result<S::Ok, S::Error> {
        match signal {
            Some(signal) => to.collect_str(signal),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Signal>, D::Error> {
        let name = Option::<String>::deserialize(from)?;
        name.map(|name| name.parse().map_err(D::Error::custom)).transpose()
    }
}

/// How long a container may take to stop before it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Patience {
    Seconds(u32),
    /// `-1`
    Endless,
}

impl FromStr for Patience {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "-1" {
            return Ok(Self::Endless);
        }
        text::number(text).map(Self::Seconds).ok_or_else(|| Invalid::new("not a number of seconds").hint("10, or -1"))
    }
}

/// `--detach-keys`: keys separated by commas, each a character or `ctrl-` and one of `a`-`z @ [ \ ] ^ _`. Empty
/// switches detaching off.
///
/// # Errors
/// [`Invalid`] for other keys.
pub fn detach_keys(text: &str) -> Result<Vec<u8>, Invalid> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(key).collect()
}

fn key(name: &str) -> Result<u8, Invalid> {
    let unknown =
        || Invalid::new(format!("unknown key {name:?}")).hint("characters or ctrl-X, by commas: ctrl-p,ctrl-q");
    let single = |text: &str| match *text.as_bytes() {
        [byte] if byte.is_ascii_graphic() || byte == b' ' => Some(byte),
        _ => None,
    };
    match name.strip_prefix("ctrl-") {
        None => single(name).ok_or_else(unknown),
        Some(rest) => match single(rest).map(|byte| byte.to_ascii_uppercase()) {
            // The control characters are 64 below: ctrl-a is 1 (ascii(7)).
            Some(byte @ b'@'..=b'_') => Ok(byte - b'@'),
            _ => Err(unknown()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root".to_owned())
    }

    fn set(name: &str, value: &str) -> Variable {
        Variable { name: name.into(), value: Some(value.into()) }
    }

    #[test]
    fn reads_variables() {
        assert_eq!(variable("A=b=c", lookup), Ok(set("A", "b=c")));
        assert_eq!(variable("A=", lookup), Ok(set("A", "")));
        assert_eq!(variable("HOME", lookup), Ok(set("HOME", "/root")));
        assert_eq!(variable("NONE", lookup), Ok(Variable { name: "NONE".into(), value: None }));
        for text in ["", "=x"] {
            assert_eq!(variable(text, lookup).unwrap_err().why, "a variable without a name");
        }
    }

    #[test]
    fn reads_env_files() {
        let text = "\u{feff}A=b\r\n\n  # comment\n  C=\"d e\" # kept\nHOME\nNONE\nE=\n";
        let expected = [set("A", "b"), set("C", "\"d e\" # kept"), set("HOME", "/root"), set("E", "")];
        assert_eq!(env_file(text, lookup).unwrap(), expected);
        assert_eq!(env_file("A=b\n=c", lookup).unwrap_err().why, "line 2: a variable without a name");
        assert_eq!(env_file("A b=c", lookup).unwrap_err().why, "line 1: \"A b\" has a space in its name");
        assert_eq!(label_file("a=b\n#\nc\n").unwrap(), [("a".into(), "b".into()), ("c".into(), String::new())]);
        assert_eq!(label_file("a=b\n=c").unwrap_err().why, "line 2: no key before the =");
    }

    #[test]
    fn reads_kernel_parameters() {
        for (text, name, value) in [
            ("net.ipv4.ip_forward=1", "net.ipv4.ip_forward", "1"),
            ("net/ipv4/ip_forward=1", "net.ipv4.ip_forward", "1"),
            ("net/ipv4/conf/eth0.5/rp_filter=0", "net.ipv4.conf.eth0/5.rp_filter", "0"),
            ("kernel.sem=250 32000 32 128", "kernel.sem", "250 32000 32 128"),
            ("kernel.domainname=", "kernel.domainname", ""),
        ] {
            assert_eq!(sysctl(text), Ok((name.into(), value.into())));
        }
        for text in ["", "a=b", "net.ipv4.ip_forward", "net..a=1", "net.../a=1", "=1", "net. a=1", "/net/a=1"] {
            assert_eq!(sysctl(text).unwrap_err().why, "not a kernel parameter", "{text}");
        }
    }

    #[test]
    fn reads_users() {
        assert_eq!("1000:1000".parse(), Ok(User { user: "1000".into(), group: Some("1000".into()) }));
        assert_eq!("www-data".parse(), Ok(User { user: "www-data".into(), group: None }));
        for (text, why) in [
            ("", "\"\" is not a user or group"),
            (":5", "\"\" is not a user or group"),
            ("5:", "\"\" is not a user or group"),
            ("a:b:c", "\"b:c\" is not a user or group"),
            ("4294967295", "the id 4294967295 is not from 0 to 4294967294"),
            ("-1", "the id -1 is not from 0 to 4294967294"),
        ] {
            assert_eq!(text.parse::<User>().unwrap_err().why, why);
        }
    }

    #[test]
    fn reads_entrypoints() {
        assert_eq!(entrypoint("").unwrap(), [""; 0]);
        assert_eq!(entrypoint("/bin/sh -c").unwrap(), ["/bin/sh -c"]);
        assert_eq!(entrypoint(r#"["sh", "-c"]"#).unwrap(), ["sh", "-c"]);
        assert_eq!(entrypoint("[sh]").unwrap_err().why, "neither a program nor a list in JSON");
    }

    #[test]
    fn reads_ulimits() {
        let limit = |soft, hard| Rlimit { kind: "RLIMIT_NOFILE".into(), soft, hard };
        assert_eq!(ulimit("nofile=1024:2048"), Ok(limit(1024, 2048)));
        assert_eq!(ulimit("NOFILE=1024"), Ok(limit(1024, 1024)));
        assert_eq!(ulimit("nofile=5:-1"), Ok(limit(5, u64::MAX)));
        for (text, why) in [
            ("nofile", "no value"),
            ("files=1", "unknown limit \"files\""),
            ("nofile=x", "\"x\" is not a number"),
            ("nofile=1:2:3", "\"2:3\" is not a number"),
            ("nofile=2:1", "the soft limit is above the hard limit"),
            ("nofile=-1:5", "the soft limit is above the hard limit"),
        ] {
            assert_eq!(ulimit(text).unwrap_err().why, why);
        }
    }

    #[test]
    fn reads_keys_and_patience() {
        assert_eq!(detach_keys("ctrl-p,ctrl-q"), Ok(vec![16, 17]));
        assert_eq!(detach_keys("a,ctrl-@,ctrl-["), Ok(vec![b'a', 0, 27]));
        assert_eq!(detach_keys(""), Ok(vec![]));
        for text in ["ctrl-", "ctrl-1", "ab", ",", "ü"] {
            assert!(detach_keys(text).unwrap_err().why.starts_with("unknown key"), "{text}");
        }
        assert_eq!(("10".parse(), "-1".parse()), (Ok(Patience::Seconds(10)), Ok(Patience::Endless)));
        assert_eq!("soon".parse::<Patience>().unwrap_err().why, "not a number of seconds");
    }
}
