//! `--change`: lines of a Dockerfile that say how a container of an image is started.

use super::{Invalid, Signal};
use spec::image::{Empty, Execution};
use std::str::FromStr;

/// One or more lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Command(Vec<String>),
    Entrypoint(Vec<String>),
    Environment(Vec<(String, String)>),
    Expose(Vec<String>),
    Label(Vec<(String, String)>),
    OnBuild(String),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    WorkingDirectory(String),
}

const KNOWN: &str = "one of CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR";

impl FromStr for Changes {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let changes = lines.map(line).collect::<Result<Vec<_>, _>>()?;
        if changes.is_empty() { Err(Invalid::new("it is empty").hint(KNOWN)) } else { Ok(Self(changes)) }
    }
}

/// `KEYWORD value`, or as podman `KEYWORD=value`.
fn line(text: &str) -> Result<Change, Invalid> {
    let at = text.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(text.len());
    let (keyword, value) = (text[..at].to_ascii_uppercase(), text.get(at + 1..).unwrap_or_default().trim());
    if value.is_empty() {
        return Err(
            Invalid::new(format!("nothing follows {keyword}")).hint("write an instruction and its value: USER app")
        );
    }
    let one = || value.to_owned();
    Ok(match keyword.as_str() {
        "CMD" => Change::Command(command(value)),
        "ENTRYPOINT" => Change::Entrypoint(command(value)),
        "ENV" => Change::Environment(pairs(&keyword, value)?),
        "LABEL" => Change::Label(pairs(&keyword, value)?),
        "EXPOSE" => Change::Expose(value.split_whitespace().map(port).collect::<Result<_, _>>()?),
        "ONBUILD" => Change::OnBuild(one()),
        "STOPSIGNAL" => {
            value.parse::<Signal>().map_err(|error| Invalid::new(error.to_string()).hint("write a name: SIGTERM"))?;
            Change::StopSignal(one())
        }
        "USER" => Change::User(one()),
        "VOLUME" => Change::Volume(list(value).map_or_else(|| words(value), Ok)?),
        "WORKDIR" => Change::WorkingDirectory(one()),
        "HEALTHCHECK" => return Err(Invalid::new("HEALTHCHECK is not known to this version").hint(KNOWN)),
        _ => return Err(Invalid::new(format!("unknown instruction {keyword:?}")).hint(KNOWN)),
    })
}

fn list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// A list in JSON is executed as it is; anything else is a shell's.
fn command(text: &str) -> Vec<String> {
    list(text).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

/// `a=1 b="2 3"`, or one name and the rest of the line.
fn pairs(keyword: &str, text: &str) -> Result<Vec<(String, String)>, Invalid> {
    let words = words(text)?;
    let malformed = || Invalid::new(format!("not a name and a value: {text:?}")).hint(format!("{keyword} NAME=VALUE"));
    let first = words.first().ok_or_else(malformed)?;
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).ok_or_else(malformed)?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(malformed()),
    };
    words.iter().map(pair).collect()
}

/// As a shell splits them, without its variables.
fn words(text: &str) -> Result<Vec<String>, Invalid> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err(Invalid::new("a quote is not closed").hint("write it once more")) } else { Ok(words) }
}

fn port(text: &str) -> Result<String, Invalid> {
    let expose: super::network::Expose = text.parse()?;
    let super::network::Ports { first, last } = expose.ports;
    let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
    Ok(format!("{ports}/{}", expose.protocol))
}

impl Changes {
    pub fn apply(&self, execution: &mut Execution) {
        let mut commanded = false;
        for change in &self.0 {
            match change {
                Change::Command(words) => {
                    commanded = true;
                    execution.cmd.clone_from(words);
                }
                // The command that was there was the other entrypoint's (docker does so, too).
                Change::Entrypoint(words) => {
                    if !commanded {
                        execution.cmd.clear();
                    }
                    execution.entrypoint.clone_from(words);
                }
                Change::Environment(pairs) => {
                    pairs.iter().for_each(|(name, value)| set(&mut execution.env, name, value))
                }
                Change::Expose(ports) => {
                    execution.exposed_ports.extend(ports.iter().map(|port| (port.clone(), Empty {})))
                }
                Change::Label(pairs) => execution.labels.extend(pairs.iter().cloned()),
                Change::OnBuild(text) => execution.on_build.push(text.clone()),
                Change::StopSignal(text) => execution.stop_signal.clone_from(text),
                Change::User(text) => execution.user.clone_from(text),
                Change::Volume(paths) => execution.volumes.extend(paths.iter().map(|path| (path.clone(), Empty {}))),
                Change::WorkingDirectory(path) if path.starts_with('/') => execution.working_dir.clone_from(path),
                Change::WorkingDirectory(path) => {
                    execution.working_dir = format!("{}/{path}", execution.working_dir.trim_end_matches('/'));
                }
            }
        }
    }
}

/// In the place of a variable of that name.
pub(crate) fn set(env: &mut Vec<String>, name: &str, value: &str) {
    let line = format!("{name}={value}");
    match env.iter_mut().find(|known| known.split('=').next() == Some(name)) {
        Some(known) => *known = line,
        None => env.push(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(lines: &[&str]) -> Execution {
        let mut execution = Execution { cmd: vec!["old".into()], env: vec!["A=0".into()], ..Execution::default() };
        lines.iter().for_each(|line| line.parse::<Changes>().unwrap().apply(&mut execution));
        execution
    }

    #[test]
    fn lines_of_a_dockerfile() {
        assert_eq!(changed(&["CMD [\"a\", \"b c\"]"]).cmd, ["a", "b c"]);
        assert_eq!(changed(&["cmd echo $HOME"]).cmd, ["/bin/sh", "-c", "echo $HOME"]);
        let execution = changed(&["ENTRYPOINT [\"/x\"]"]);
        assert!(execution.cmd.is_empty() && execution.entrypoint == ["/x"]);
        assert_eq!(changed(&["CMD [\"y\"]\nENTRYPOINT [\"/x\"]"]).cmd, ["y"]);
        assert_eq!(changed(&["ENV A=1 B=\"2 3\" C='x\"' D=\\ e"]).env, ["A=1", "B=2 3", "C=x\"", "D= e"]);
        assert_eq!(changed(&["ENV A  one and two"]).env, ["A=one and two"]);
        assert_eq!(changed(&["LABEL a.b=c"]).labels["a.b"], "c");
        let ports: Vec<_> = changed(&["EXPOSE 80 53/udp 8000-8010/tcp"]).exposed_ports.into_keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000-8010/tcp"]);
        assert_eq!(changed(&["WORKDIR /a/", "WORKDIR b"]).working_dir, "/a/b");
        let execution = changed(&["USER=app:1", "STOPSIGNAL SIGINT", "VOLUME [\"/d\"]", "ONBUILD RUN x"]);
        assert_eq!((execution.user.as_str(), execution.stop_signal.as_str()), ("app:1", "SIGINT"));
        assert!(execution.volumes.contains_key("/d") && execution.on_build == ["RUN x"]);
    }

    #[test]
    fn what_is_none() {
        for (text, why) in [
            ("", "it is empty"),
            ("RUN true", "unknown instruction \"RUN\""),
            ("USER", "nothing follows USER"),
            ("ENV A", "not a name and a value: \"A\""),
            ("ENV A='x", "a quote is not closed"),
            ("HEALTHCHECK NONE", "HEALTHCHECK is not known to this version"),
        ] {
            assert_eq!(text.parse::<Changes>().unwrap_err().why, why);
        }
        assert!("STOPSIGNAL x".parse::<Changes>().is_err() && "EXPOSE 0".parse::<Changes>().is_err());
    }
}
