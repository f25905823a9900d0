//! Blobs and manifests to a registry (distribution-spec, "Push").

use crate::client::Repository;
use crate::error::{Error, Kind, Result};
use crate::host::{self, Body as Sent, Request};
use crate::upload::Halt;
use spec::Digest;
use spec::image::Descriptor;
use std::io::Read;
use ureq::http::{Method, StatusCode};

/// What can be sent more than once.
pub trait Content {
    /// From there on.
    ///
    /// # Errors
    /// It cannot be had.
    fn open(&self, offset: u64) -> Result<Box<dyn Read + '_>>;
}

/// What came of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The repository has it already.
    There,
    /// From another repository of the same registry, without being sent.
    Mounted,
    Sent,
}

impl Repository {
    pub(crate) fn push_scope(&self, from: Option<&str>) -> String {
        let own = format!("repository:{}:pull,push", self.name);
        from.map_or(own.clone(), |from| format!("{own} repository:{from}:pull"))
    }

    /// Puts a blob there. `from`: another repository of the host that has it. `open` gives its content, again for each try.
    ///
    /// # Errors
    /// The registry refuses it, or what arrived has another digest.
    pub fn push_blob(&self, blob: &Descriptor, from: Option<&str>, open: &dyn Content) -> Result<Pushed> {
        let what = || format!("cannot push {} to {}", blob.digest, self.full_name());
        self.try_push_blob(blob, from, open).map_err(|error| error.at(what()))
    }

    /// An upload of which the registry knows nothing any more begins again.
    fn try_push_blob(&self, blob: &Descriptor, from: Option<&str>, open: &dyn Content) -> Result<Pushed> {
        let mut backoff = self.host.backoff();
        let mut whole = false;
        loop {
            if self.has_blob(&blob.digest)? {
                return Ok(Pushed::There);
            }
            let Some(start) = self.begin(blob, from.filter(|from| *from != self.name))? else {
                return Ok(Pushed::Mounted);
            };
            match self.upload(blob, open, start, whole) {
                Ok(()) => return Ok(Pushed::Sent),
                Err(Halt::NoPieces) => whole = true,
                Err(Halt::Forgotten(_)) if backoff.wait() => {}
                Err(Halt::Forgotten(error) | Halt::Refused(error)) => return Err(error),
            }
        }
    }

    /// # Errors
    /// The registry does not answer, or refuses.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let path = format!("/v2/{}/blobs/{digest}", self.name);
        let mut response = self.host.send(&Request::new(Method::HEAD, &path, &self.push_scope(None)))?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(host::refusal(&mut response, "")),
        }
    }

    /// Names a manifest whose blobs are there; `which` is a tag or its digest. The digest that the registry gives it.
    ///
    /// # Errors
    /// The registry refuses it.
    pub fn push_manifest(&self, which: &str, kind: &str, bytes: &[u8]) -> Result<Digest> {
        let what =
            || format!("cannot push the manifest of {}{}{which}", self.full_name(), crate::manifest::separator(which));
        let push = || {
            let path = format!("/v2/{}/manifests/{which}", self.name);
            let (scope, headers) = (self.push_scope(None), [("Content-Type", kind)]);
            let content = Sent::Bytes(bytes);
            let request = Request { headers: &headers, content, ..Request::new(Method::PUT, &path, &scope) };
            let mut response = self.host.send(&request)?;
            if response.status() != StatusCode::CREATED {
                return Err(host::refusal(&mut response, "the registry has no such repository"));
            }
            let given = host::header(&response, "docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
            let own = Digest::of(bytes);
            match given.filter(|given| *given != own) {
                None => Ok(own),
                Some(given) => {
                    Err(Error::new(Kind::Corrupt, format!("the registry has stored {given}, and {own} was sent")))
                }
            }
        };
        push().map_err(|error: Error| error.at(what()))
    }
}
