//! Where the container's output is kept: `--log-driver` and `--log-opt`.

use super::Invalid;
use super::limit::Bound;
use serde::{Deserialize, Serialize};
use spec::unit::Size;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Absent options are the defaults: a log is bounded unless it is asked not to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    pub driver: Option<Driver>,
    /// Bytes of one file; 0 for as many as there come.
    pub max_size: Option<u64>,
    /// The file that is written to and those before it.
    pub max_files: Option<u32>,
    /// Absolute. Instead of one in the container's directory.
    pub path: Option<PathBuf>,
    pub tag: Option<Tag>,
    /// Those of the container's that are told with each line.
    pub labels: Vec<String>,
    pub env: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// As kubelets and podman read it: a line each, its bytes as they are.
    #[default]
    K8sFile,
    /// docker's.
    JsonFile,
    /// systemd's journal.
    Journald,
    /// Nowhere.
    None,
}

impl Driver {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::K8sFile => "k8s-file",
            Self::JsonFile => "json-file",
            Self::Journald => "journald",
            Self::None => "none",
        }
    }

    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::K8sFile | Self::JsonFile => &["max-size", "max-file", "path", "tag", "labels", "env"],
            Self::Journald => &["tag", "labels", "env"],
            Self::None => &[],
        }
    }
}

impl FromStr for Driver {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let all = [Self::K8sFile, Self::JsonFile, Self::Journald, Self::None];
        all.into_iter().find(|driver| driver.name() == text).ok_or_else(|| {
            Invalid::new(format!("there is no log driver {text:?}")).hint("one of k8s-file, json-file, journald, none")
        })
    }
}

/// One `--log-opt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opt {
    MaxSize(u64),
    MaxFiles(u32),
    Path(PathBuf),
    Tag(Tag),
    Labels(Vec<String>),
    Env(Vec<String>),
}

impl Opt {
    const fn name(&self) -> &'static str {
        match self {
            Self::MaxSize(_) => "max-size",
            Self::MaxFiles(_) => "max-file",
            Self::Path(_) => "path",
            Self::Tag(_) => "tag",
            Self::Labels(_) => "labels",
            Self::Env(_) => "env",
        }
    }
}

impl FromStr for Opt {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = "one of max-size, max-file, path, tag, labels, env";
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Invalid::new("no value").hint(format!("write OPTION=VALUE; an option is {known}")))?;
        let list = || value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(match key {
            "max-size" => Self::MaxSize(size(value)?),
            "max-file" => {
                Self::MaxFiles(
                    value.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
                        Invalid::new(format!("{value:?} is no number of files")).hint("write 1 or more")
                    })?,
                )
            }
            "path" if !value.is_empty() => Self::Path(value.into()),
            "path" => return Err(Invalid::new("no path").hint("write path=FILE")),
            "tag" => Self::Tag(value.parse()?),
            "labels" => Self::Labels(list()),
            "env" => Self::Env(list()),
            _ => return Err(Invalid::new(format!("there is no log option {key:?}")).hint(known)),
        })
    }
}

/// A size of 0 would be a file that nothing fits into; docker refuses it, too.
fn size(text: &str) -> Result<u64, Invalid> {
    match text.parse::<Bound<Size>>()? {
        Bound::Unlimited => Ok(0),
        Bound::At(size) if size.bytes() > 0 => Ok(size.bytes()),
        Bound::At(_) => {
            Err(Invalid::new("a log file of no bytes").hint("write a size such as 20m, or -1 for no limit"))
        }
    }
}

impl Log {
    /// Nothing is kept.
    #[must_use]
    pub fn none() -> Self {
        Self { driver: Some(Driver::None), ..Self::default() }
    }

    /// Of what was typed, the last of each.
    ///
    /// # Errors
    /// [`Invalid`] for an option that the driver has not.
    pub fn new(driver: Option<Driver>, options: Vec<Opt>) -> Result<Self, Invalid> {
        let mut log = Self { driver, ..Self::default() };
        let driver = log.driver();
        for option in options {
            if !driver.options().contains(&option.name()) {
                let (name, driver, options) = (option.name(), driver.name(), driver.options().join(", "));
                let error = Invalid::new(format!("the log driver {driver} has no option {name}"));
                return Err(if options.is_empty() { error } else { error.hint(format!("it has {options}")) });
            }
            match option {
                Opt::MaxSize(size) => log.max_size = Some(size),
                Opt::MaxFiles(count) => log.max_files = Some(count),
                Opt::Path(path) => log.path = Some(path),
                Opt::Tag(tag) => log.tag = Some(tag),
                Opt::Labels(labels) => log.labels = labels,
                Opt::Env(env) => log.env = env,
            }
        }
        Ok(log)
    }

    #[must_use]
    pub fn driver(&self) -> Driver {
        self.driver.unwrap_or_default()
    }

    /// Whether anything was asked for, so that somebody must write it.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self != Self::default()
    }
}

/// What a line is marked with: text, with docker's `{{.Name}}` and its like in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// What a tag may tell of a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct Named<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub image: &'a str,
    pub command: &'a str,
}

const FIELDS: [&str; 6] = ["ID", "FullID", "Name", "ImageName", "Command", "DaemonName"];

impl FromStr for Tag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let hint = || format!("write text and {{{{.FIELD}}}}, a field being one of {}", FIELDS.join(", "));
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("{{") {
            let (field, after) =
                after.split_once("}}").ok_or_else(|| Invalid::new("a {{ without its }}").hint(hint()))?;
            let known = field.trim().strip_prefix('.').is_some_and(|field| FIELDS.contains(&field));
            if !known {
                return Err(Invalid::new(format!("{{{{{field}}}}} is nothing that a tag can tell")).hint(hint()));
            }
            rest = after;
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Tag {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl Tag {
    #[must_use]
    pub fn of(&self, named: Named<'_>) -> String {
        let mut text = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            let (field, after) = after.split_once("}}").unwrap_or((after, ""));
            text.push_str(before);
            text.push_str(match field.trim().trim_start_matches('.') {
                "ID" => named.id.get(..12).unwrap_or(named.id),
                "FullID" => named.id,
                "Name" => named.name,
                "ImageName" => named.image,
                "Command" => named.command,
                _ => "sampan",
            });
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(driver: &str, options: &[&str]) -> Result<Log, Invalid> {
        let options = options.iter().map(|option| option.parse()).collect::<Result<_, _>>()?;
        Log::new(Some(driver.parse()?), options)
    }

    #[test]
    fn options_are_dockers() {
        let log = log("json-file", &["max-size=10m", "max-size=1k", "max-file=3", "labels=a,b", "env=C", "path=/l"]);
        let log = log.unwrap();
        assert_eq!((log.max_size, log.max_files), (Some(1024), Some(3)));
        assert_eq!(
            (log.labels.as_slice(), log.env.as_slice()),
            (&["a".to_owned(), "b".to_owned()][..], &["C".to_owned()][..])
        );
        assert!(log.is_asked() && !Log::default().is_asked());
        let again: Log = serde_json::from_str(&serde_json::to_string(&log).unwrap()).unwrap();
        assert_eq!(again, log);
    }

    #[test]
    fn what_a_driver_has_not_is_refused() {
        for (driver, option, why) in [
            ("none", "max-size=1m", "the log driver none has no option max-size"),
            ("journald", "path=/l", "the log driver journald has no option path"),
            ("json-file", "compress=true", "there is no log option \"compress\""),
            ("json-file", "max-size=0", "a log file of no bytes"),
            ("json-file", "max-file=0", "\"0\" is no number of files"),
            ("json-file", "max-size", "no value"),
            ("json-file", "tag={{.Name", "a {{ without its }}"),
            ("json-file", "tag={{upper .Name}}", "{{upper .Name}} is nothing that a tag can tell"),
            ("syslog", "tag=a", "there is no log driver \"syslog\""),
        ] {
            assert_eq!(log(driver, &[option]).unwrap_err().why, why, "{driver} {option}");
        }
        assert_eq!(log("k8s-file", &["max-size=-1"]).unwrap().max_size, Some(0));
    }

    #[test]
    fn a_tag_names_the_container() {
        let tag: Tag = "{{.ImageName}}/{{.Name}}/{{ .ID }}!".parse().unwrap();
        let id = "0123456789abcdef";
        assert_eq!(tag.of(Named { id, name: "web", image: "busybox", command: "sh" }), "busybox/web/0123456789ab!");
    }
}
