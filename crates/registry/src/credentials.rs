//! Who the user is at a registry: docker's config.json, podman's auth.json, and the programs that keep secrets for them
//! (containers-auth.json(5)).
//!
//! Invariant: a secret is never in an argument or in a message, and a file that holds one is its owner's alone.

use crate::error::{Error, Kind, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// docker's name for the Hub in its files.
const HUB: &str = "https://index.docker.io/v1/";

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// An OAuth2 refresh token, which a helper or a login has left.
    Token(String),
}

/// Without the secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?})"),
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

impl Credentials {
    /// `user:password`; without a colon there is no password.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Self::Password { user: user.to_owned(), password: password.to_owned() }
    }
}

/// The files that may say it, in order; and the one to which a login is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub read: Vec<PathBuf>,
    pub write: PathBuf,
}

impl Files {
    /// `named`: by the user, and then it is the only one. `root`: podman's own file is below /run.
    #[must_use]
    pub fn new(named: Option<PathBuf>, root: bool, env: &dyn Fn(&str) -> Option<PathBuf>) -> Self {
        let set = |name: &str| env(name).filter(|path| !path.as_os_str().is_empty());
        if let Some(only) = named.or_else(|| set("REGISTRY_AUTH_FILE")) {
            return Self { read: vec![only.clone()], write: only };
        }
        let home = set("HOME").unwrap_or_else(|| "/root".into());
        let docker = set("DOCKER_CONFIG").unwrap_or_else(|| home.join(".docker")).join("config.json");
        let runtime = set("XDG_RUNTIME_DIR").or_else(|| root.then(|| "/run".into()));
        let podman = runtime.map(|dir| {
            let dir = dir.join("containers");
            if root && set("XDG_RUNTIME_DIR").is_none() { dir.join("0/auth.json") } else { dir.join("auth.json") }
        });
        let config = set("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("containers/auth.json");
        let read = podman.into_iter().chain([config, docker.clone()]).collect();
        Self { read, write: docker }
    }

    /// For `host/repository`; the most specific entry of the first file that has one.
    ///
    /// # Errors
    /// A file cannot be read, or a helper fails.
    pub fn find(&self, host: &str, repository: &str) -> Result<Option<Credentials>> {
        for path in &self.read {
            let file = File::read(path)?;
            if let Some(found) = file.find(host, repository).map_err(|error| error.at(unusable(path)))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Keeps them for the host: with the helper that the file names, else in the file. Where they are kept, for a warning.
    ///
    /// # Errors
    /// The file cannot be written, or the helper fails.
    pub fn keep(&self, host: &str, user: &str, password: &str) -> Result<Kept> {
        let mut file = File::read(&self.write)?;
        if let Some(helper) = file.helper(host) {
            let words = json!({ "ServerURL": key(host), "Username": user, "Secret": password });
            ask(&helper, "store", &words.to_string())?;
            return Ok(Kept::Helper(helper));
        }
        let auth = STANDARD.encode(format!("{user}:{password}"));
        file.auths().insert(key(host), json!({ "auth": auth }));
        file.write(&self.write)?;
        Ok(Kept::File(self.write.clone()))
    }

    /// Forgets the host's in the file that a login writes. Whether there were any.
    ///
    /// # Errors
    /// As [`Files::keep`].
    pub fn forget(&self, host: &str) -> Result<bool> {
        let mut file = File::read(&self.write)?;
        if let Some(helper) = file.helper(host) {
            return ask(&helper, "erase", &key(host)).map(|answer| answer.is_some());
        }
        let before = file.auths().len();
        file.auths().retain(|entry, _| plain(entry) != plain(&key(host)));
        if file.auths().len() == before {
            return Ok(false);
        }
        file.write(&self.write)?;
        Ok(true)
    }

    /// What docker's file wants said to registries: of its `HttpHeaders` those that docker hands on, `X-Meta-…`.
    ///
    /// # Errors
    /// A file cannot be read, or says what is no header.
    pub fn headers(&self) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for path in &self.read {
            let file = File::read(path)?;
            let all = file.0.get("HttpHeaders").and_then(Value::as_object);
            for (name, value) in all.into_iter().flatten().filter(|(name, _)| is_meta(name)) {
                let bad = || {
                    Error::new(Kind::Configuration, format!("{name} in HttpHeaders is no header")).at(unusable(path))
                };
                let value = value.as_str().filter(|value| !value.contains(['\r', '\n', '\0'])).ok_or_else(bad)?;
                if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                    return Err(bad());
                }
                found.push((name.clone(), value.to_owned()));
            }
        }
        Ok(found)
    }

    /// The hosts that a login was kept for in the file that a login writes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn hosts(&self) -> Result<Vec<String>> {
        let mut file = File::read(&self.write)?;
        Ok(file.auths().keys().map(|entry| plain(entry).to_owned()).collect())
    }
}

fn is_meta(name: &str) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("x-meta-"))
}

#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    File(PathBuf),
    Helper(String),
}

/// A whole file, with what others have written into it.
struct File(Map<String, Value>);

impl File {
    fn read(path: &Path) -> Result<Self> {
        let failed = |why: String| Error::new(Kind::Configuration, why).at(unusable(path));
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self(Map::new())),
            text => text.map_err(|error| failed(error.to_string()))?,
        };
        if text.trim().is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(failed("it is no JSON object".into())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let entry = self.0.entry("auths").or_insert_with(|| json!({}));
        if !entry.is_object() {
            *entry = json!({});
        }
        match entry {
            Value::Object(auths) => auths,
            // Made one above.
            _ => unreachable!(),
        }
    }

    /// The one for this host, else that for all.
    fn helper(&self, host: &str) -> Option<String> {
        let of_host = self.0.get("credHelpers").and_then(Value::as_object).and_then(|helpers| {
            let named = helpers.iter().find(|(entry, _)| plain(entry) == plain(&key(host)));
            named.and_then(|(_, helper)| helper.as_str())
        });
        let name = of_host.or_else(|| self.0.get("credsStore").and_then(Value::as_str))?;
        Some(name.to_owned()).filter(|name| !name.is_empty())
    }

    fn find(&self, host: &str, repository: &str) -> Result<Option<Credentials>> {
        let auths = self.0.get("auths").and_then(Value::as_object);
        let entry = |wanted: &str| auths?.iter().find(|(entry, _)| plain(entry) == wanted).map(|(_, value)| value);
        let mut name = format!("{host}/{repository}");
        while name.len() > host.len() {
            if let Some(found) = entry(&name).map(decode).transpose()?.flatten() {
                return Ok(Some(found));
            }
            name.truncate(name.rfind('/').unwrap_or(0));
        }
        if let Some(helper) = self.helper(host) {
            return ask(&helper, "get", &key(host))?.map(|answer| of_helper(&helper, &answer)).transpose();
        }
        Ok(entry(plain(&key(host))).map(decode).transpose()?.flatten())
    }

    /// Beside it first, so that it is whole at any moment, and its owner's alone from the first byte.
    fn write(&self, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Configuration, error.to_string()).at(format!("cannot write {}", path.display()))
        };
        // A link stays one: the file that it leads to is replaced.
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        let beside = path.with_file_name(name);
        let _ = std::fs::remove_file(&beside);
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            let mut text = serde_json::to_string_pretty(&self.0)?;
            text.push('\n');
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, path)
        };
        write().map_err(|error| {
            let _ = std::fs::remove_file(&beside);
            failed(error)
        })
    }
}

/// The name under which docker keeps a host's.
fn key(host: &str) -> String {
    if matches!(host, "docker.io" | "registry-1.docker.io") { HUB.to_owned() } else { host.to_owned() }
}

/// Entries of old files are addresses: `https://host/v1/` is the host's. The Hub has three names.
fn plain(entry: &str) -> &str {
    let name = entry.strip_prefix("https://").or_else(|| entry.strip_prefix("http://"));
    let name = match name {
        None => entry,
        Some(address) => address.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2"),
    };
    match name.trim_end_matches('/') {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => "index.docker.io",
        name => name,
    }
}

fn decode(entry: &Value) -> Result<Option<Credentials>> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credentials::Token(token.to_owned())));
    }
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Ok(Some(Credentials::Password { user: user.to_owned(), password: password.to_owned() }));
    }
    let Some(auth) = text("auth") else { return Ok(None) };
    let bad = || Error::new(Kind::Configuration, "an entry of `auths` is not the base64 of user:password");
    let bytes = STANDARD.decode(auth.trim()).map_err(|_| bad())?;
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    let (user, password) = text.split_once(':').ok_or_else(bad)?;
    let password = password.trim_end_matches('\0').to_owned();
    Ok(Some(Credentials::Password { user: user.to_owned(), password }))
}

/// docker-credential-helpers' protocol: the request on standard input, JSON on standard output. `None`: it has nothing.
fn ask(helper: &str, verb: &str, input: &str) -> Result<Option<String>> {
    let program = format!("docker-credential-{helper}");
    let failed = |why: String| Error::new(Kind::Configuration, why).at(format!("cannot ask {program} to {verb}"));
    // The name is the program's own, not a way to another directory.
    if helper.contains('/') {
        return Err(failed("the name of a helper has no slash".into()));
    }
    let mut command = Command::new(&program);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let fix =
        || format!("install {program}, or take it out of config.json: it is in `credsStore` or `credHelpers` there");
    let mut child = command.spawn().map_err(|error| failed(crate::error::of_io(&error)).hint(fix()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it says why it fails by itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(Some(text));
    }
    if text.contains("credentials not found") {
        return Ok(None);
    }
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let words = [text, error].into_iter().find(|words| !words.is_empty());
    Err(failed(words.unwrap_or_else(|| output.status.to_string())))
}

fn of_helper(helper: &str, answer: &str) -> Result<Credentials> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let bad = |error| Error::new(Kind::Configuration, format!("docker-credential-{helper} answers no JSON: {error}"));
    let Answer { username, secret } = serde_json::from_str(answer).map_err(bad)?;
    Ok(match username.as_str() {
        "<token>" => Credentials::Token(secret),
        _ => Credentials::Password { user: username, password: secret },
    })
}

fn unusable(path: &Path) -> String {
    format!("cannot use the credentials in {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File(serde_json::from_str::<Map<String, Value>>(text).unwrap())
    }

    fn user(found: Option<Credentials>) -> String {
        match found {
            Some(Credentials::Password { user, .. }) => user,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_most_specific_entry_counts() {
        let auth = |user: &str| STANDARD.encode(format!("{user}:p:w"));
        let file = file(&format!(
            r#"{{"auths":{{"h:5000":{{"auth":"{}"}},"h:5000/a/b":{{"auth":"{}"}},
                "https://index.docker.io/v1/":{{"auth":"{}"}},"t":{{"identitytoken":"x"}},"bad":{{"auth":"%"}}}}}}"#,
            auth("host"),
            auth("deep"),
            auth("hub")
        ));
        let find = |host: &str, repository: &str| file.find(host, repository).unwrap();
        assert_eq!(user(find("h:5000", "a")), "host");
        assert_eq!(user(find("h:5000", "a/b/c")), "deep");
        assert_eq!(user(find("h:5000", "a/bc")), "host");
        assert_eq!(user(find("docker.io", "library/x")), "hub");
        assert_eq!(find("t", "x"), Some(Credentials::Token("x".into())));
        assert_eq!(find("other", "x"), None);
        assert!(file.find("bad", "x").is_err());
        assert_eq!(decode(&json!({ "auth": auth("a") })).unwrap(), Some(Credentials::parse("a:p:w")));
    }

    #[test]
    fn the_places_of_the_files() {
        let env = |name: &str| (name == "HOME").then(|| PathBuf::from("/h"));
        let files = Files::new(None, true, &env);
        assert_eq!(files.write, Path::new("/h/.docker/config.json"));
        assert_eq!(files.read[0], Path::new("/run/containers/0/auth.json"));
        assert_eq!(Files::new(Some("/x".into()), true, &env).read, [Path::new("/x")]);
    }

    #[test]
    fn no_secret_is_printed() {
        assert_eq!(format!("{:?}", Credentials::parse("u:secret")), "Password(\"u\")");
    }
}
