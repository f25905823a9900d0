//! From a reference to the repositories that may have it.

use crate::auth::Session;
use crate::certs::{self, Own};
use crate::credentials::{Credentials, Files};
use crate::error::{Error, Kind, Result};
use crate::host::{Host, Trust, Way};
use crate::policy::{Place, Policy};
use crate::proxy::Proxies;
use crate::retry::Retry;
use crate::tls;
use serde::{Deserialize, Serialize};
use spec::Reference;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the user said about the way to registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Said: `--tls-verify`. Unsaid: the configuration's, and this machine itself may do without TLS, as for docker.
    pub tls_verify: Option<bool>,
    pub authfile: Option<PathBuf>,
    pub credentials: Option<Credentials>,
    pub cert_dir: Option<PathBuf>,
    #[serde(default)]
    pub retry: Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Pull,
    Push,
}

#[derive(Debug)]
pub struct Client {
    access: Access,
    policy: Policy,
    files: Files,
    certs: Vec<PathBuf>,
    proxies: Proxies,
    patience: Duration,
}

/// One repository of one host that answers.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) host: Arc<Host>,
    pub(crate) name: String,
}

impl Repository {
    /// Its name, where it is of the same host as the other.
    #[must_use]
    pub fn beside(&self, other: &Self) -> Option<&str> {
        (self.host.name == other.host.name).then_some(&self.name)
    }
}

impl Client {
    /// `root`: of the machine. `env` is the caller's environment.
    ///
    /// # Errors
    /// registries.conf cannot be used.
    pub fn new(access: Access, root: bool, env: &dyn Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let files = Files::new(access.authfile.clone(), root, env);
        let (certs, proxies) = (certs::directories(root, env), Proxies::of(env));
        Ok(Self { policy: Policy::load(env)?, files, certs, proxies, patience: patience(env)?, access })
    }

    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What `ask` gets from the first place that has the reference: mirrors, then the registry itself.
    ///
    /// # Errors
    /// What the last place said; what mirrors said before is in its reason.
    pub fn first<T>(
        &self,
        reference: &Reference,
        purpose: Use,
        ask: impl Fn(&Repository) -> Result<T>,
    ) -> Result<(Repository, T)> {
        let by_digest = reference.digest().is_some();
        let places =
            self.policy.places(reference.registry(), reference.repository(), by_digest, purpose == Use::Push)?;
        let mut said = Vec::new();
        for place in places {
            let answer = self.open(&place).and_then(|repository| Ok((ask(&repository)?, repository)));
            match answer {
                Ok((answer, repository)) => return Ok((repository, answer)),
                Err(error) if place.mirror => said.push(format!("mirror {}: {error}", place.host)),
                Err(error) => {
                    let why = said.into_iter().chain([error.why.clone()]).collect::<Vec<_>>().join("\n");
                    return Err(Error { why, ..error });
                }
            }
        }
        Err(Error::new(Kind::Configuration, said.join("\n")))
    }

    fn open(&self, place: &Place) -> Result<Repository> {
        let credentials = match &self.access.credentials {
            Some(credentials) => Some(credentials.clone()),
            None => self.files.find(&place.host, &place.repository)?,
        };
        let host = self.connect(&place.host, place.insecure, credentials)?;
        let name = place.repository.clone();
        Ok(Repository { host: Arc::new(host), name })
    }

    /// The host itself, for what is of no repository.
    ///
    /// # Errors
    /// It does not answer, or cannot be believed.
    pub(crate) fn host(&self, name: &str, credentials: Option<Credentials>) -> Result<Host> {
        let place = self.policy.places(name, "", false, true)?.pop();
        self.connect(name, place.is_some_and(|place| place.insecure), credentials)
    }

    fn connect(&self, name: &str, insecure: bool, credentials: Option<Credentials>) -> Result<Host> {
        let insecure = self.access.tls_verify.map_or(insecure, |verify| !verify);
        let trust =
            Trust { verify: !insecure, plain: insecure || (self.access.tls_verify.is_none() && is_loopback(name)) };
        let directory = match &self.access.cert_dir {
            Some(directory) => Some(directory.clone()),
            None => self.certs.iter().map(|directory| directory.join(name)).find(|directory| directory.is_dir()),
        };
        let extra = self.files.headers()?;
        let own = directory.as_deref().map(Own::read).transpose()?.unwrap_or_default();
        let (tls, retry) = (tls::config(own, trust.verify)?, self.access.retry);
        let way = Way { tls, proxies: &self.proxies, patience: self.patience, retry, extra };
        Host::connect(name, trust, way, Session::new(name, credentials))
    }
}

/// How long a silent registry is waited for: `SAMPAN_REGISTRY_TIMEOUT` in seconds, 30 of them without it.
fn patience(env: &dyn Fn(&str) -> Option<PathBuf>) -> Result<Duration> {
    let Some(text) = env("SAMPAN_REGISTRY_TIMEOUT").filter(|text| !text.as_os_str().is_empty()) else {
        return Ok(Duration::from_secs(30));
    };
    let seconds = text.to_str().and_then(|text| text.parse().ok()).filter(|seconds| (1..=3600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| {
        Error::new(Kind::Configuration, "it is no number of seconds from 1 to 3600")
            .at(format!("cannot use SAMPAN_REGISTRY_TIMEOUT={}", text.display()))
    })
}

/// docker's rule: 127.0.0.0/8, ::1 and localhost need no TLS.
fn is_loopback(name: &str) -> bool {
    let host = match name.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => name.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn this_machine_is_no_other() {
        for name in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(name), "{name}");
        }
        for name in ["localhost.example", "10.0.0.1:5000", "[fe80::1]", "x"] {
            assert!(!is_loopback(name), "{name}");
        }
    }
}
