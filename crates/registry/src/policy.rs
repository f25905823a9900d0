//! registries.conf, version 2 (containers-registries.conf(5)): where a name is looked for, and how far that place is
//! trusted; and what a short name stands for.

use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files' content, later ones over earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    registries: Vec<Registry>,
    search: Vec<String>,
    aliases: BTreeMap<String, String>,
}

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub host: String,
    pub repository: String,
    /// Neither its certificate nor that it has one is checked.
    pub insecure: bool,
    pub mirror: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    registry: Vec<Registry>,
    aliases: BTreeMap<String, String>,
    /// Version 1 had its lists here.
    registries: Option<toml::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Registry {
    prefix: Option<String>,
    location: Option<String>,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: Option<String>,
}

/// The whole name without tag and digest: `host/repository`.
fn full(host: &str, repository: &str) -> String {
    format!("{host}/{repository}")
}

impl Policy {
    /// The user's file, or the machine's if he has none, and the small ones beside both; last what podman has kept of his
    /// choices. `CONTAINERS_REGISTRIES_CONF` names one file that stands for all of them.
    ///
    /// # Errors
    /// A file is there and is not what it should be.
    pub fn load(env: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        Self::below(Path::new("/"), env)
    }

    fn below(root: &Path, env: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let mut own = Self::default();
        let set = |name: &str| env(name).filter(|path| !path.as_os_str().is_empty());
        if let Some(only) = set("CONTAINERS_REGISTRIES_CONF") {
            own.add(&only)?;
            return Ok(own);
        }
        let machine = root.join("etc/containers");
        let home = |variable: &str, below: &str| set(variable).or_else(|| Some(set("HOME")?.join(below)));
        let user = home("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("containers"));
        // containers-registries.conf(5): a user's own file is instead of the machine's, with all that is beside that.
        let instead = user.as_ref().is_some_and(|dir| dir.join("registries.conf").is_file());
        for dir in [Some(machine).filter(|_| !instead), user].into_iter().flatten() {
            own.add(&dir.join("registries.conf"))?;
            let drops = std::fs::read_dir(dir.join("registries.conf.d")).into_iter().flatten().flatten();
            let mut drops: Vec<_> = drops.map(|entry| entry.path()).collect();
            drops.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
            drops.sort();
            drops.iter().try_for_each(|path| own.add(path))?;
        }
        let cache = home("XDG_CACHE_HOME", ".cache").map(|dir| dir.join("containers"));
        let kept = |dir: PathBuf| dir.join("short-name-aliases.conf");
        // Root's choices, in a directory that podman makes for root alone.
        let roots = kept(root.join("var/cache/containers"));
        let hidden = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
        if !std::fs::File::open(&roots).is_err_and(hidden) {
            own.add(&roots)?;
        }
        cache.map_or(Ok(()), |cache| own.add(&kept(cache)))?;
        Ok(own)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let failed = |why: String| {
            Error::new(Kind::Configuration, why)
                .at(format!("cannot use the registries' configuration {}", path.display()))
        };
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            text => text.map_err(|error| failed(error.to_string()))?,
        };
        self.read(&text).map_err(|error| failed(error.why))
    }

    fn read(&mut self, text: &str) -> Result<()> {
        let bad = |why: String| Error::new(Kind::Configuration, why);
        let file: File = toml::from_str(text).map_err(|error| bad(error.to_string().trim().to_owned()))?;
        if file.registries.is_some() {
            return Err(bad("it is in the form of version 1, which podman has given up too".into()));
        }
        for registry in file.registry {
            if registry.key().is_empty() {
                return Err(bad("a [[registry]] has neither prefix nor location".into()));
            }
            self.registries.retain(|known| known.key() != registry.key());
            self.registries.push(registry);
        }
        if let Some(search) = file.unqualified_search_registries {
            self.search = search;
        }
        self.aliases.extend(file.aliases);
        Ok(())
    }

    /// What a name without a registry may stand for, in order: its alias, else in each registry of the search list. None:
    /// nothing is configured.
    #[must_use]
    pub fn expand(&self, short: &str) -> Vec<String> {
        // The alias is of the repository; tag and digest stay.
        let end = short.find([':', '@']).unwrap_or(short.len());
        let (repository, rest) = short.split_at(end);
        match self.aliases.get(repository).filter(|alias| !alias.is_empty()) {
            Some(alias) => vec![format!("{alias}{rest}")],
            None => self.search.iter().map(|host| full(host, short)).collect(),
        }
    }

    /// Where `host/repository` is to be looked for, mirrors first. For a push, the place itself only.
    ///
    /// # Errors
    /// It is blocked.
    pub fn places(&self, host: &str, repository: &str, by_digest: bool, push: bool) -> Result<Vec<Place>> {
        let name = full(host, repository);
        let matching = self.registries.iter().filter_map(|registry| Some((registry.matches(&name)?, registry)));
        let Some((length, registry)) = matching.max_by_key(|(length, _)| *length) else {
            return Ok(vec![place(&name, false, false)]);
        };
        if registry.blocked {
            return Err(Error::new(Kind::Configuration, format!("registries.conf blocks {}", registry.key()))
                .hint("take `blocked = true` out if it is to be used"));
        }
        let rest = &name[length..];
        let mirrors = registry.mirror.iter().filter(|mirror| !push && mirror.serves(by_digest, registry));
        let mut places: Vec<Place> =
            mirrors.map(|mirror| place(&format!("{}{rest}", mirror.location), mirror.insecure, true)).collect();
        let itself = match &registry.location {
            Some(location) if !location.is_empty() => format!("{location}{rest}"),
            _ => name.clone(),
        };
        places.push(place(&itself, registry.insecure, false));
        Ok(places)
    }
}

fn place(name: &str, insecure: bool, mirror: bool) -> Place {
    let (host, repository) = name.split_once('/').unwrap_or((name, ""));
    Place { host: host.to_owned(), repository: repository.to_owned(), insecure, mirror }
}

impl Registry {
    fn key(&self) -> &str {
        self.prefix.as_deref().filter(|prefix| !prefix.is_empty()).or(self.location.as_deref()).unwrap_or_default()
    }

    /// How much of the name the prefix covers. `*.example.com` covers the host.
    fn matches(&self, name: &str) -> Option<usize> {
        let key = self.key();
        if let Some(domain) = key.strip_prefix('*') {
            let host = name.split('/').next().unwrap_or_default();
            let bare = host.split(':').next().unwrap_or_default();
            return (domain.starts_with('.') && (host.ends_with(domain) || bare.ends_with(domain)))
                .then_some(host.len());
        }
        let rest = name.strip_prefix(key)?;
        (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(key.len())
    }
}

impl Mirror {
    fn serves(&self, by_digest: bool, registry: &Registry) -> bool {
        match self.pull_from_mirror.as_deref() {
            Some("digest-only") => by_digest,
            Some("tag-only") => !by_digest,
            _ => by_digest || !registry.mirror_by_digest_only,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
unqualified-search-registries = ["docker.io", "quay.example"]
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.example:5000/hub"
insecure = true
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"
[[registry]]
prefix = "docker.io/secret"
location = "inner.example/x"
[[registry]]
prefix = "*.bad.example"
blocked = true
[aliases]
"fedora" = "registry.fedora.example/fedora"
"#;

    #[test]
    fn finds_the_longest_prefix() {
        let mut policy = Policy::default();
        policy.read(FILE).unwrap();
        let places = |repository: &str, digest: bool| {
            let places = policy.places("docker.io", repository, digest, false).unwrap();
            places.into_iter().map(|p| format!("{}/{} {}", p.host, p.repository, p.insecure)).collect::<Vec<_>>()
        };
        let hub = "mirror.example:5000/hub/library/busybox true";
        assert_eq!(places("library/busybox", false), [hub, "docker.io/library/busybox false"]);
        assert_eq!(places("library/busybox", true)[1], "digests.example/library/busybox false");
        assert_eq!(places("secret/a", false), ["inner.example/x/a false"]);
        assert_eq!(places("secrets/a", false).len(), 2);
        assert_eq!(policy.places("docker.io", "a/b", false, true).unwrap().len(), 1);
        assert!(policy.places("x.bad.example:5000", "a", false, false).unwrap_err().why.contains("blocks"));
        assert_eq!(policy.places("other.example", "a", false, false).unwrap()[0].host, "other.example");
    }

    #[test]
    fn expands_short_names() {
        let mut policy = Policy::default();
        assert!(policy.expand("fedora").is_empty());
        policy.read(FILE).unwrap();
        assert_eq!(policy.expand("fedora:40"), ["registry.fedora.example/fedora:40"]);
        assert_eq!(policy.expand("x"), ["docker.io/x", "quay.example/x"]);
        policy.read("unqualified-search-registries = []\n[[registry]]\nlocation='docker.io'\nblocked=true").unwrap();
        assert!(policy.places("docker.io", "a/b", false, false).is_err());
        assert!(policy.expand("x").is_empty());
    }

    #[test]
    fn the_users_file_is_instead_of_the_machines() {
        let root = std::env::temp_dir().join(format!("sampan-policy-{}", std::process::id()));
        let write = |path: &str, alias: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("[aliases]\n\"{alias}\" = \"h.example/{alias}\"\n")).unwrap();
        };
        let known = || -> Vec<String> {
            let policy = Policy::below(&root, |name| (name == "HOME").then(|| root.join("home"))).unwrap();
            policy.aliases.into_keys().collect()
        };
        write("etc/containers/registries.conf", "machine");
        write("etc/containers/registries.conf.d/000-shortnames.conf", "drop");
        write("home/.config/containers/registries.conf.d/mine.conf", "mine");
        write("home/.cache/containers/short-name-aliases.conf", "kept");
        assert_eq!(known(), ["drop", "kept", "machine", "mine"]);
        write("home/.config/containers/registries.conf", "user");
        assert_eq!(known(), ["kept", "mine", "user"]);
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(Policy::default().read("[registries.search]\nregistries = ['a']").is_err());
        assert!(Policy::default().read("[[registry]]\nblocked = true").is_err());
        assert!(Policy::default().read("registry = 3").is_err());
    }
}
